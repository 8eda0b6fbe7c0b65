"""Logits are the reference's, for every variant of the network, alone and in a padded batch."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from checkpoints import SMALL, VARIANTS, random_model, randomised, reference, save, save_adapter, waveforms

torch = pytest.importorskip("torch")
pytest.importorskip("mlx.core")

from pipeline import mlx_runtime  # noqa: E402
from pipeline.wav2vec2.checkpoint import NoAdapter, read_hub, read_torchaudio  # noqa: E402
from pipeline.wav2vec2.config import Config  # noqa: E402
from pipeline.wav2vec2.network import Network  # noqa: E402

ATOL = 5e-4


@pytest.fixture(autouse=True)
def _on_the_cpu():
    mlx_runtime.use_device("cpu")


def network(checkpoint, **options):
    return Network(checkpoint.config, checkpoint.tensors, "cpu", **options)


def assert_same(ours: np.ndarray, theirs: np.ndarray) -> None:
    assert np.abs(theirs).max() > 8, "logits too narrow to tell anything"
    assert np.abs(ours - theirs).max() <= ATOL
    assert (ours.argmax(-1) == theirs.argmax(-1)).all()


@pytest.mark.parametrize("name", VARIANTS)
def test_logits_are_those_of_transformers_and_a_batch_gives_what_singles_give(name, tmp_path):
    model = random_model(*VARIANTS[name])
    net = network(read_hub(save(model, tmp_path)))
    sounds = waveforms(1.3, 0.025, 2.1, 0.4)
    singles = [net([sound])[0] for sound in sounds]
    for sound, ours, in_batch in zip(sounds, singles, net(sounds), strict=True):
        assert_same(ours, reference(model, sound))
        assert np.abs(in_batch - ours).max() <= 1e-4


@pytest.mark.parametrize(
    "bundle",
    [
        "WAV2VEC2_ASR_BASE_960H",
        "WAV2VEC2_ASR_LARGE_LV60K_960H",
        "VOXPOPULI_ASR_BASE_10K_DE",
        "HUBERT_ASR_LARGE",
    ],
)
def test_torchaudio_bundles_are_read_by_name_without_the_rows_that_no_text_uses(
    bundle, tmp_path, monkeypatch
):
    """In the true shapes but for depth and width; whether the waveform is normalised is the bundle's to say."""
    pipelines = pytest.importorskip("torchaudio").pipelines
    from torchaudio.models import wav2vec2_model

    true = getattr(pipelines, bundle)
    params = {
        **true._params,
        "encoder_num_layers": 2,
        "encoder_embed_dim": 96,
        "encoder_ff_interm_features": 128,
        "encoder_num_heads": 4,
        "extractor_conv_layer_config": [
            (32, kernel, stride) for _, kernel, stride in true._params["extractor_conv_layer_config"]
        ],
    }
    monkeypatch.setattr(pipelines, bundle, replace(true, _params=params))
    torch.manual_seed(0)
    # The published file has rows that the bundle removes.
    rows = params["aux_num_out"] + len(true._remove_aux_axis)
    published = randomised(wav2vec2_model(**{**params, "aux_num_out": rows}).eval(), "aux")
    torch.save(published.state_dict(), tmp_path / true._path)
    checkpoint = read_torchaudio(tmp_path / true._path)
    kept = [row for row in range(rows) if row not in true._remove_aux_axis]
    (sound,) = waveforms(1.1)
    assert_same(network(checkpoint)([sound])[0], reference(published, sound)[:, kept])
    assert checkpoint.normalise == true._normalize_waveform
    assert list(checkpoint.labels) == list(true.get_labels())
    assert checkpoint.blank == 0


def test_both_ways_to_write_a_weight_norm_are_folded(tmp_path):
    from safetensors.torch import load_file, save_file

    model = random_model(*VARIANTS["wav2vec2 base"])
    folder = save(model, tmp_path)
    before = network(read_hub(folder))(waveforms(0.5))[0]
    file = folder / "model.safetensors"
    names = {"parametrizations.weight.original0": "weight_g", "parametrizations.weight.original1": "weight_v"}
    state = {}
    for name, tensor in load_file(file).items():
        for new, old in names.items():
            name = name.replace(new, old)
        state[name] = tensor
    assert any(name.endswith("weight_g") for name in state)
    save_file(state, file)
    assert np.array_equal(network(read_hub(folder))(waveforms(0.5))[0], before)


def test_pickled_weights_are_read_and_nothing_else_in_them_is_run(tmp_path):
    import pickle

    model = random_model(*VARIANTS["wav2vec2 base"])
    folder = save(model, tmp_path, pickled=True)
    assert not (folder / "model.safetensors").exists()
    (sound,) = waveforms(0.5)
    assert_same(network(read_hub(folder))([sound])[0], reference(model, sound))

    class Evil:
        def __reduce__(self):
            return (open, (str(tmp_path / "ran"), "w"))

    torch.save({"wav2vec2.x": Evil()}, folder / "pytorch_model.bin")
    with pytest.raises(pickle.UnpicklingError):
        read_hub(folder)
    assert not (tmp_path / "ran").exists()


def test_an_adapter_is_the_languages(tmp_path):
    """MMS: one body, and for each language a vocabulary, a head and a small adapter in each block."""
    model = random_model(*VARIANTS["MMS"])
    folder = save(model, tmp_path)
    (sound,) = waveforms(0.6)
    english = network(read_hub(folder))([sound])[0]
    assert_same(english, reference(model, sound))
    with torch.no_grad():
        for tensor in model._get_adapters().values():
            tensor.add_(0.2 * torch.randn_like(tensor))
    save_adapter(model, folder / "adapter.fra.safetensors")
    french = read_hub(folder, "fra")
    assert_same(network(french)([sound])[0], reference(model, sound))
    assert np.abs(english - reference(model, sound)).max() > 0.1
    assert "é" in french.labels
    with pytest.raises(NoAdapter):
        read_hub(folder, "deu")
    (folder / "adapter.fra.safetensors").unlink()
    with pytest.raises(NoAdapter):
        read_hub(folder, "fra")


@pytest.fixture
def _uncompiled():
    """The operations of the GPU on MLX's CPU, where compiling them would take a C++ compiler."""
    import mlx.core as mx

    mx.disable_compile()
    yield
    mx.enable_compile()


@pytest.mark.usefixtures("_uncompiled")
@pytest.mark.parametrize("name", VARIANTS)
def test_the_operations_for_gpus_give_the_same_in_batches_and_nearly_in_float16(name, tmp_path):
    import mlx.core as mx

    checkpoint = read_hub(save(random_model(*VARIANTS[name]), tmp_path / name))
    sounds = waveforms(0.6, 2.0, 0.025)
    expected = [network(checkpoint)([sound])[0] for sound in sounds]
    for dtype, most in ((mx.float32, 2e-4), (mx.float16, 0.3)):
        found = Network(checkpoint.config, checkpoint.tensors, "metal", dtype)(sounds)
        assert max(np.abs(a - b).max() for a, b in zip(found, expected, strict=True)) < most
    same = [a.argmax(-1) == b.argmax(-1) for a, b in zip(found, expected, strict=True)]
    assert np.concatenate(same).mean() >= 0.98


def test_bfloat16_is_refused(tmp_path):
    import mlx.core as mx

    with pytest.raises(ValueError, match="bfloat16"):
        network(read_hub(save(random_model(*VARIANTS["wav2vec2 base"]), tmp_path)), dtype=mx.bfloat16)


def test_a_quiet_waveform_gives_what_a_loud_one_gives_where_the_norm_sees_to_that(tmp_path):
    """The group norm takes the level away, down to its epsilon."""
    net = network(read_hub(save(random_model(*VARIANTS["wav2vec2 base"]), tmp_path)))
    sound = waveforms(1.0)[0]
    sound /= sound.std()
    assert np.abs(net([sound])[0] - net([sound * 0.3])[0]).max() < 0.02


def test_silence_gives_numbers(tmp_path):
    net = network(read_hub(save(random_model(*VARIANTS["wav2vec2 base"]), tmp_path)))
    silence = np.zeros(8000, np.float32)
    both = net([silence, waveforms(0.7)[0]])
    assert all(np.isfinite(logits).all() for logits in both)
    assert np.abs(both[0] - net([silence])[0]).max() <= 1e-4


@pytest.mark.parametrize(
    "config",
    [
        {"model_type": "wavlm"},
        {"hidden_act": "relu"},
        {"add_adapter": True},
        {"model_type": "hubert", "conv_pos_batch_norm": True},
    ],
)
def test_what_the_network_does_not_do_is_said(config):
    with pytest.raises(ValueError):
        Config.of_hub(config)


def test_frames_are_counted_as_the_convolutions_make_them(tmp_path):
    model = random_model(*VARIANTS["wav2vec2 base"])
    config = Config.of_hub(SMALL)
    assert (config.hop_samples, config.field_samples) == (320, 400)
    for samples in (400, 719, 720, 16_000, 16_001):
        assert config.frames(samples) == int(model._get_feat_extract_output_lengths(samples))
