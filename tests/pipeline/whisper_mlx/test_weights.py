"""Weights of every layout that people have give the same model, and damaged ones are refused."""

from __future__ import annotations

import json

import mlx.core as mx
import numpy as np
import pytest

from pipeline.whisper_mlx.config import Quantization, read_config
from pipeline.whisper_mlx.model import Model
from pipeline.whisper_mlx.weights import load_weights, save_quantized
from schemas.errors import ModelNotFound
from tests.pipeline.whisper_mlx.tiny import DIMS, log_mels, random_weights

TRANSFORMERS = {
    "attn_ln": "self_attn_layer_norm",
    "cross_attn_ln": "encoder_attn_layer_norm",
    "mlp_ln": "final_layer_norm",
    "cross_attn": "encoder_attn",
    "attn": "self_attn",
    "query": "q_proj",
    "key": "k_proj",
    "value": "v_proj",
    "out": "out_proj",
    "mlp1": "fc1",
    "mlp2": "fc2",
    "blocks": "layers",
    "ln_post": "layer_norm",
    "ln": "layer_norm",
    "token_embedding": "embed_tokens",
}


@pytest.fixture
def weights() -> dict[str, mx.array]:
    return {name: mx.array(value) for name, value in random_weights().items()}


def write_config(folder, **more) -> None:
    (folder / "config.json").write_text(json.dumps({"model_type": "whisper", **vars(DIMS), **more}))


def features(folder) -> np.ndarray:
    model = Model.load(folder, "cpu", "float32")
    hidden, _ = model.decoder.prefill(
        mx.array([[50_258, 7]]), model.cross_cache(model.encode(mx.array(np.stack(log_mels(1)))))
    )
    return np.array(model.decoder.logits(hidden))


@pytest.fixture
def expected(tmp_path_factory, weights) -> np.ndarray:
    folder = tmp_path_factory.mktemp("mlx")
    write_config(folder)
    mx.save_safetensors(str(folder / "weights.safetensors"), weights)
    return features(folder)


def test_npz_files_are_read(tmp_path, weights, expected) -> None:
    write_config(tmp_path)
    mx.savez(str(tmp_path / "weights.npz"), **weights)
    assert np.array_equal(features(tmp_path), expected)


@pytest.mark.parametrize("shards", [1, 2])
def test_transformers_names_layouts_and_shards_are_read(tmp_path, weights, expected, shards: int) -> None:
    renamed = {transformers_name(n): transformers_layout(n, a) for n, a in weights.items()}
    renamed["proj_out.weight"] = weights["decoder.token_embedding.weight"]
    renamed["model.encoder.embed_positions.weight"] = mx.zeros((DIMS.n_audio_ctx, DIMS.n_audio_state))
    if shards == 1:
        mx.save_safetensors(str(tmp_path / "model.safetensors"), renamed)
    else:
        write_shards(tmp_path, renamed)
    (tmp_path / "config.json").write_text(
        json.dumps(
            {
                "num_mel_bins": DIMS.n_mels,
                "max_source_positions": DIMS.n_audio_ctx,
                "d_model": DIMS.n_audio_state,
                "encoder_attention_heads": DIMS.n_audio_head,
                "encoder_layers": DIMS.n_audio_layer,
                "vocab_size": DIMS.n_vocab,
                "max_target_positions": DIMS.n_text_ctx,
                "decoder_attention_heads": DIMS.n_text_head,
                "decoder_layers": DIMS.n_text_layer,
            }
        )
    )
    (tmp_path / "generation_config.json").write_text(json.dumps({"alignment_heads": [[1, 0]]}))
    assert np.allclose(features(tmp_path), expected, atol=1e-5)
    assert read_config(tmp_path).alignment_heads == ((1, 0),)


def transformers_name(name: str) -> str:
    if name == "decoder.positional_embedding":
        return "model.decoder.embed_positions.weight"
    return "model." + ".".join(TRANSFORMERS.get(part, part) for part in name.split("."))


def transformers_layout(name: str, array: mx.array) -> mx.array:
    return mx.contiguous(array.swapaxes(1, 2)) if "conv" in name and array.ndim == 3 else array


def write_shards(folder, tensors: dict[str, mx.array]) -> None:
    names = sorted(tensors)
    files = {n: f"model-0000{1 + i % 2}-of-00002.safetensors" for i, n in enumerate(names)}
    for file in set(files.values()):
        mx.save_safetensors(str(folder / file), {n: tensors[n] for n in names if files[n] == file})
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": files}))


@pytest.mark.parametrize(("bits", "tolerance"), [(8, 0.02), (4, 0.4)])
def test_quantized_copies_stay_close_and_are_read(tmp_path, weights, expected, bits, tolerance) -> None:
    source, target = tmp_path / "float", tmp_path / "quantized"
    source.mkdir()
    write_config(source)
    mx.save_safetensors(str(source / "weights.safetensors"), weights)
    save_quantized(source, target, read_config(source), Quantization(bits))
    assert read_config(target).quantization == Quantization(bits, 64)
    packed = target / "weights.safetensors"
    assert packed.stat().st_size < (source / "weights.safetensors").stat().st_size / 3
    assert np.abs(features(target) - expected).max() < tolerance * np.abs(expected).max()


def test_a_missing_tensor_is_named(tmp_path, weights) -> None:
    write_config(tmp_path)
    del weights["decoder.blocks.1.cross_attn.key.weight"]
    mx.save_safetensors(str(tmp_path / "weights.safetensors"), weights)
    with pytest.raises(ModelNotFound, match=r"blocks\.1\.cross_attn\.key") as caught:
        load_weights(tmp_path, read_config(tmp_path))
    assert caught.value.code == "model_damaged"


@pytest.mark.parametrize("content", ["", "{}", '{"n_mels": 80}', "[1]"])
def test_a_folder_that_is_no_whisper_is_refused(tmp_path, content: str) -> None:
    (tmp_path / "config.json").write_text(content)
    with pytest.raises(ModelNotFound) as caught:
        read_config(tmp_path)
    assert caught.value.code == "model_damaged"


def test_a_broken_file_is_refused(tmp_path) -> None:
    write_config(tmp_path)
    (tmp_path / "weights.safetensors").write_bytes(b"not weights")
    with pytest.raises(ModelNotFound):
        load_weights(tmp_path, read_config(tmp_path))
