"""CTranslate2's own writer against our reader, and converted Whisper against CTranslate2's decoding."""

from __future__ import annotations

import json
import struct
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pipeline.ctranslate2_weights import Weights, check_sinusoids, convert, converted_to_mlx, dimensions
from pipeline.model_files import ModelFiles, sha256_of
from schemas.errors import InvalidArgument, ModelNotFound

LAYERS, HEADS, WIDTH, MELS, FRAMES, TOKENS, CONTEXT = 2, 2, 8, 5, 12, 20, 6


def sinusoids(length: int, channels: int) -> np.ndarray:
    """Whisper's encoder positions, (length, channels)."""
    rates = np.exp(-np.log(10_000) / (channels // 2 - 1) * np.arange(channels // 2))
    angles = np.arange(length)[:, None] * rates
    return np.concatenate([np.sin(angles), np.cos(angles)], axis=1).astype(np.float32)


def shape_of(name: str) -> tuple[int, ...] | None:
    """The shape of a variable of a small Whisper, by the end of its CTranslate2 name."""
    shapes = {
        "conv1/weight": (WIDTH, MELS, 3),
        "conv2/weight": (WIDTH, WIDTH, 3),
        "embeddings/weight": (TOKENS, WIDTH),
        "self_attention/linear_0/weight": (3 * WIDTH, WIDTH),
        "self_attention/linear_1/weight": (WIDTH, WIDTH),
        "attention/linear_0/weight": (WIDTH, WIDTH),
        "attention/linear_1/weight": (2 * WIDTH, WIDTH),
        "attention/linear_2/weight": (WIDTH, WIDTH),
        "ffn/linear_0/weight": (4 * WIDTH, WIDTH),
        "ffn/linear_1/weight": (WIDTH, 4 * WIDTH),
        "gamma": (WIDTH,),
        "beta": (WIDTH,),
    }
    if name.endswith("/bias"):
        weight = shape_of(name.removesuffix("bias") + "weight")
        return None if weight is None else weight[:1]
    return next((shapes[end] for end in sorted(shapes, key=len, reverse=True) if name.endswith(end)), None)


def write_model(
    folder: Path, quantization: str | None = None, *, key_bias: float = 0.0
) -> dict[str, np.ndarray]:
    """A small Whisper with random weights, written by CTranslate2 itself; returns the weights before rounding."""
    from ctranslate2.specs import WhisperSpec

    spec = WhisperSpec(LAYERS, HEADS, LAYERS, HEADS)
    random = np.random.default_rng(0)
    written: dict[str, np.ndarray] = {}

    def fill(part, name, value):
        last = name.rsplit("/", 1)[-1]
        shape = None if name.startswith("decoder/projection") else shape_of(name)
        if shape is not None and last in ("weight", "bias", "gamma", "beta"):
            written[name] = random.standard_normal(shape).astype(np.float32)
            keys = {
                "self_attention/linear_0/bias": slice(WIDTH, 2 * WIDTH),
                "attention/linear_1/bias": slice(WIDTH),
            }
            for end, rows in keys.items():
                if name.endswith(f"/{end}"):
                    written[name][rows] = key_bias
            setattr(part, last, written[name].copy())

    spec._visit(fill)
    spec.encoder.position_encodings.encodings = sinusoids(FRAMES, WIDTH)
    written["decoder/position_encodings/encodings"] = random.standard_normal((CONTEXT, WIDTH)).astype(
        np.float32
    )
    spec.decoder.position_encodings.encodings = written["decoder/position_encodings/encodings"].copy()
    spec.decoder.projection.weight = spec.decoder.embeddings.weight
    spec.register_vocabulary([str(i) for i in range(TOKENS)])
    spec.config.alignment_heads = [[1, 0], [1, 1]]
    folder.mkdir(parents=True, exist_ok=True)
    spec.validate()
    spec.optimize(quantization)
    spec.save(str(folder))
    return written


@pytest.fixture
def model(tmp_path):
    """A folder with a small float32 model, and its weights."""
    return tmp_path / "model", write_model(tmp_path / "model")


# int8 steps are a 127th of a row's largest value, int16 steps a 1024th of the matrix's
@pytest.mark.parametrize(
    ("quantization", "tolerance"),
    [
        (None, 0),
        ("float16", 2e-3),
        ("bfloat16", 2e-2),
        ("int16", 4e-3),
        ("int8", 2e-2),
        ("int8_float16", 2e-2),
    ],
)
def test_every_variable_comes_back_as_it_was_written(tmp_path, quantization, tolerance):
    written = write_model(tmp_path, quantization)
    weights = Weights(tmp_path / "model.bin")
    assert (weights.specification, weights.revision) == ("WhisperSpec", 3)
    for name, array in written.items():
        assert np.abs(weights.real(name) - array).max() <= tolerance, name
    embeddings, projection = (weights.real(f"decoder/{n}/weight") for n in ("embeddings", "projection"))
    assert np.array_equal(embeddings, projection)


def test_dimensions_are_read_from_the_shapes(model):
    folder, _ = model
    assert dimensions(Weights(folder / "model.bin")) == {
        "n_mels": MELS,
        "n_audio_ctx": FRAMES,
        "n_audio_state": WIDTH,
        "n_audio_head": HEADS,
        "n_audio_layer": LAYERS,
        "n_vocab": TOKENS,
        "n_text_ctx": CONTEXT,
        "n_text_state": WIDTH,
        "n_text_head": HEADS,
        "n_text_layer": LAYERS,
    }


def test_mlx_whisper_loads_every_parameter_from_the_conversion(model, tmp_path):
    """No name is missing and none is left over, and each array has the shape that mlx-whisper gives it."""
    from pipeline.mlx_runtime import import_mlx

    mx = import_mlx()
    from mlx.utils import tree_flatten
    from mlx_whisper.load_models import load_model
    from mlx_whisper.whisper import ModelDimensions, Whisper

    folder, written = model
    target = tmp_path / "mlx"
    target.mkdir()
    assert convert(folder, target) == "float32"
    config = json.loads((target / "config.json").read_text())
    assert config.pop("model_type") == "whisper"
    fresh = {name: a.shape for name, a in tree_flatten(Whisper(ModelDimensions(**config)).parameters())}
    stored = {name: a.shape for name, a in mx.load(str(target / "weights.safetensors")).items()}
    heads = stored.pop("alignment_heads"), fresh.pop("alignment_heads")
    assert stored == fresh
    assert heads[0] == (2, 2)
    loaded = load_model(str(target))
    kernel = np.array(loaded.encoder.conv1.weight)
    assert np.array_equal(kernel.transpose(0, 2, 1), written["encoder/conv1/weight"])
    value = np.array(loaded.decoder.blocks[1].cross_attn.value.bias)
    assert np.array_equal(value, written["decoder/layer_1/attention/linear_1/bias"][WIDTH:])
    assert np.array(loaded.alignment_heads).tolist() == [[1, 0], [1, 1]]


@pytest.mark.parametrize(
    ("quantization", "asked", "stored"),
    [
        (None, "auto", "float32"),
        ("float16", "auto", "float16"),
        ("int8", "auto", "float16"),
        ("int8", "float32", "float32"),
        (None, "float16", "float16"),
    ],
)
def test_precision_is_the_one_asked_for_else_the_originals(tmp_path, quantization, asked, stored):
    from safetensors import safe_open

    write_model(tmp_path / "model", quantization)
    assert convert(tmp_path / "model", tmp_path, asked) == stored
    with safe_open(tmp_path / "weights.safetensors", "np") as file:
        kinds = {file.get_tensor(name).dtype.name for name in file.keys() if name != "alignment_heads"}  # noqa: SIM118
    assert kinds == {stored}


def test_a_precision_that_cannot_be_written_is_refused(model, tmp_path):
    with pytest.raises(InvalidArgument, match="not to int4"):
        convert(model[0], tmp_path, "int4")


def _cut(data: bytes) -> bytes:
    return data[:-1]


def _cut_short(data: bytes) -> bytes:
    return data[: len(data) // 2]


def _longer(data: bytes) -> bytes:
    return data + b"\0"


def _older(data: bytes) -> bytes:
    return struct.pack("<I", 5) + data[4:]


def _empty(_: bytes) -> bytes:
    return b""


def _unknown_type(data: bytes) -> bytes:
    """The first variable's type byte becomes 9: after header, name, rank and shape."""
    at = 4 + 2 + len("WhisperSpec") + 1 + 4 + 4
    (length,) = struct.unpack_from("<H", data, at)
    at += 2 + length
    at += 1 + 4 * data[at]
    return data[:at] + b"\x09" + data[at + 1 :]


@pytest.mark.parametrize("harm", [_cut, _cut_short, _longer, _older, _empty, _unknown_type])
def test_a_file_that_is_not_whole_or_not_known_is_refused(model, tmp_path, harm):
    path = model[0] / "model.bin"
    path.write_bytes(harm(path.read_bytes()))
    with pytest.raises(ModelNotFound) as caught:
        convert(model[0], tmp_path)
    assert caught.value.code == "model_damaged"
    assert str(path) in caught.value.message


def test_another_kind_of_model_is_refused(model, tmp_path):
    path = model[0] / "model.bin"
    path.write_bytes(path.read_bytes().replace(b"WhisperSpec", b"Wav2VecSpec"))
    with pytest.raises(ModelNotFound, match="Wav2VecSpec, not Whisper"):
        convert(model[0], tmp_path)


def test_a_bias_on_the_keys_is_refused_because_mlx_whisper_has_none(tmp_path):
    write_model(tmp_path / "model", key_bias=0.5)
    with pytest.raises(ModelNotFound, match="bias for its keys"):
        convert(tmp_path / "model", tmp_path)


def test_positions_other_than_whispers_are_refused():
    check_sinusoids(sinusoids(1500, 384).astype(np.float16))
    with pytest.raises(ValueError, match="sinusoids"):
        check_sinusoids(sinusoids(1500, 384) + 0.01)


def test_a_conversion_is_kept_and_made_again_when_it_is_damaged(model, tmp_path):
    files = ModelFiles("whisper", "small one", "ctranslate2", model[0], "abc", "local", None)
    root = tmp_path / "cache"
    made = converted_to_mlx(files, root)
    assert (made.format, made.revision, made.name) == ("mlx", "abc", "small one")
    path = made.path / "weights.safetensors"
    first = path.stat().st_mtime_ns, sha256_of(path)
    assert converted_to_mlx(files, root) == made
    assert path.stat().st_mtime_ns == first[0]
    path.write_bytes(b"short")
    assert converted_to_mlx(files, root) == made
    assert sha256_of(path) == first[1]


def test_another_revision_or_precision_is_another_conversion(model, tmp_path):
    files = ModelFiles("whisper", "m", "ctranslate2", model[0], "abc", "local", None)
    paths = {
        converted_to_mlx(files, tmp_path).path,
        converted_to_mlx(replace(files, revision="def"), tmp_path).path,
        converted_to_mlx(files, tmp_path, "float16").path,
    }
    assert len(paths) == 3


# --- real weights ------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "prompt"), [("base", ["en", "transcribe"]), ("tiny.en", [])])
def test_converted_whisper_says_what_ctranslate2_says(starter_weights, shipped, tmp_path, name, prompt):
    """Ten seconds of the shipped meeting: encoder output, tokens and their log probabilities, in float32."""
    import ctranslate2

    from pipeline.mlx_runtime import import_mlx

    original = starter_weights("whisper", name, "ctranslate2")
    convert(original.path, tmp_path, "float32")
    mx = import_mlx()
    from mlx_whisper.load_models import load_model

    reference = ctranslate2.models.Whisper(
        str(original.path), device="cpu", compute_type="float32", intra_threads=2
    )
    model = load_model(str(tmp_path))
    log_mel = _log_mel(shipped / "syn_en_meeting_a.opus", 10.0)

    theirs = np.array(reference.encode(_view(log_mel.T), to_cpu=True))  # (1, 1500, width)
    # The stored positions are rounded to float16, mlx-whisper's are exact; nothing else may differ.
    stored = Weights(original.path / "model.bin").real("encoder/position_encodings/encodings")
    model.encoder._positional_embedding = mx.array(stored.astype(np.float32))
    encoded = model.encoder(mx.array(log_mel[None]))
    assert _distance(np.array(encoded), theirs) < 2e-5

    words = ["<|startoftranscript|>", *(f"<|{word}|>" for word in prompt), "<|notimestamps|>"]
    tokens = _token_ids(original.path, words)
    (said,) = reference.generate(
        _view(theirs[0]),
        [tokens],
        beam_size=1,
        suppress_blank=False,
        suppress_tokens=[],
        return_logits_vocab=True,
    )
    spoken = said.sequences_ids[0]
    assert len(spoken) > 15
    logits, _, _ = model.decoder(mx.array([[*tokens, *spoken]]), encoded)
    ours = np.array(logits)[0, len(tokens) - 1 : -1]  # (steps, vocabulary): the step before each token
    expected = np.stack([np.array(step) for step in said.logits[0]])[: len(spoken)]
    assert ours.argmax(axis=1).tolist() == spoken
    likely = _log_softmax(expected) > -15
    assert np.abs(_log_softmax(ours) - _log_softmax(expected))[likely].max() < 2e-3


def _log_mel(recording: Path, seconds: float) -> np.ndarray:
    """The beginning of a recording as Whisper sees it, (3000, mels), padded with silence."""
    from faster_whisper import decode_audio
    from faster_whisper.feature_extractor import FeatureExtractor

    waveform = decode_audio(str(recording))[: round(seconds * 16_000)]
    return FeatureExtractor()(waveform, padding=480_000 - len(waveform))[:, :3000].T


def _view(array: np.ndarray):
    import ctranslate2

    return ctranslate2.StorageView.from_array(np.ascontiguousarray(array[None], np.float32))


def _distance(ours: np.ndarray, theirs: np.ndarray) -> float:
    """The norm of the difference, as a part of the whole."""
    return float(np.linalg.norm(ours - theirs) / np.linalg.norm(theirs))


def _log_softmax(logits: np.ndarray) -> np.ndarray:
    shifted = logits.astype(np.float64) - logits.max(axis=-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))


def _token_ids(folder: Path, words: list[str]) -> list[int]:
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    return [tokenizer.token_to_id(word) for word in words]
