"""Weights from disk, under mlx-whisper's names, whatever repository they come from.

Read are: MLX repositories (``weights.safetensors``, ``weights.npz``, ``model.safetensors``, float or quantized),
and Hugging Face transformers repositories (``model.safetensors``, also in shards).
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.whisper_mlx.config import Dims, ModelConfig, Quantization, damaged

if TYPE_CHECKING:
    import mlx.core as mx

FILES = ("weights.safetensors", "model.safetensors", "weights.npz")
SHARDS = "model.safetensors.index.json"

# Hugging Face transformers' names (and OpenAI's for the two MLP layers) to mlx-whisper's, in order.
_RENAMES = (
    (r"^model\.", ""),
    (r"\.layers\.(\d+)\.", r".blocks.\1."),
    (r"\.self_attn_layer_norm\.", ".attn_ln."),
    (r"\.encoder_attn_layer_norm\.", ".cross_attn_ln."),
    (r"\.final_layer_norm\.", ".mlp_ln."),
    (r"\.self_attn\.", ".attn."),
    (r"\.encoder_attn\.", ".cross_attn."),
    (r"\.q_proj\.", ".query."),
    (r"\.k_proj\.", ".key."),
    (r"\.v_proj\.", ".value."),
    (r"\.out_proj\.", ".out."),
    (r"\.(fc1|mlp\.0)\.", ".mlp1."),
    (r"\.(fc2|mlp\.2)\.", ".mlp2."),
    (r"^encoder\.layer_norm\.", "encoder.ln_post."),
    (r"^decoder\.layer_norm\.", "decoder.ln."),
    (r"^decoder\.embed_tokens\.", "decoder.token_embedding."),
    (r"^decoder\.embed_positions\.weight$", "decoder.positional_embedding"),
)
_UNUSED = re.compile(
    r"^(proj_out\.weight|alignment_heads|encoder\.(_?positional_embedding|embed_positions\..*))$"
)


def load_weights(folder: Path, config: ModelConfig) -> dict[str, mx.array]:
    """Every tensor of the model under mlx-whisper's names; convolutions as (out, kernel, in).

    Raises :class:`ModelNotFound` (``model_damaged``) when files or tensors are missing or have the wrong shape.
    """
    import mlx.core as mx

    raw: dict[str, mx.array] = {}
    for file in weight_files(folder):
        try:
            raw.update(mx.load(str(file)))
        except (RuntimeError, ValueError, OSError) as error:
            raise damaged(folder, f"{file.name} cannot be read ({type(error).__name__})") from None
    weights = {mlx_name(name): tensor for name, tensor in raw.items() if not _UNUSED.match(name)}
    for conv in ("encoder.conv1.weight", "encoder.conv2.weight"):
        if conv in weights and weights[conv].shape[1] != 3:
            weights[conv] = weights[conv].swapaxes(1, 2)  # torch's (out, in, kernel)
    check(folder, weights, config)
    return weights


def weight_files(folder: Path) -> list[Path]:
    """The weight files of a folder: one file, or the shards of an index."""
    for name in FILES:
        if (folder / name).is_file():
            return [folder / name]
    if (folder / SHARDS).is_file():
        index = json.loads((folder / SHARDS).read_text(encoding="utf-8"))
        return [folder / name for name in sorted(set(index["weight_map"].values()))]
    raise damaged(folder, f"none of {', '.join(FILES)} is there")


def mlx_name(name: str) -> str:
    """mlx-whisper's name of a tensor."""
    for pattern, replacement in _RENAMES:
        name = re.sub(pattern, replacement, name)
    return name


def expected_shapes(dims: Dims) -> dict[str, tuple[int, ...]]:
    """Name and shape of every tensor that a float model of these sizes has, biases and norms left out."""
    audio, text = dims.n_audio_state, dims.n_text_state
    shapes: dict[str, tuple[int, ...]] = {
        "encoder.conv1.weight": (audio, 3, dims.n_mels),
        "encoder.conv2.weight": (audio, 3, audio),
        "decoder.token_embedding.weight": (dims.n_vocab, text),
        "decoder.positional_embedding": (dims.n_text_ctx, text),
    }
    for part, layers, state in (("encoder", dims.n_audio_layer, audio), ("decoder", dims.n_text_layer, text)):
        attentions = ("attn",) if part == "encoder" else ("attn", "cross_attn")
        for i in range(layers):
            block = f"{part}.blocks.{i}"
            for attention in attentions:
                for linear in ("query", "key", "value", "out"):
                    shapes[f"{block}.{attention}.{linear}.weight"] = (state, state)
            shapes[f"{block}.mlp1.weight"] = (4 * state, state)
            shapes[f"{block}.mlp2.weight"] = (state, 4 * state)
    return shapes


def check(folder: Path, weights: Mapping[str, mx.array], config: ModelConfig) -> None:
    """Compare with :func:`expected_shapes`, quantized tensors by their rows alone."""
    for name, shape in expected_shapes(config.dims).items():
        if name not in weights:
            raise damaged(folder, f"tensor {name} is missing")
        found = tuple(weights[name].shape)
        packed = name.removesuffix(".weight") + ".scales" in weights
        if found != shape and not (packed and found[0] == shape[0]):
            raise damaged(folder, f"tensor {name} has the shape {found} instead of {shape}")


def quantize_weights(
    weights: Mapping[str, mx.array], quantization: Quantization, dtype: mx.Dtype
) -> dict[str, mx.array]:
    """Linear layers and the embedding quantized, as mlx-whisper's ``convert -q`` does, the rest in ``dtype``."""
    import mlx.core as mx

    out: dict[str, mx.array] = {}
    for name, tensor in weights.items():
        linear = name.endswith(".weight") and tensor.ndim == 2 and "_ln." not in name
        if linear and tensor.shape[1] % quantization.group_size == 0:
            base = name.removesuffix(".weight")
            packed = mx.quantize(tensor.astype(dtype), quantization.group_size, quantization.bits)
            out[name], out[f"{base}.scales"], out[f"{base}.biases"] = packed
        else:
            out[name] = tensor.astype(dtype)
    return out


def save_quantized(folder: Path, target: Path, config: ModelConfig, quantization: Quantization) -> None:
    """Write a quantized copy of a float model, atomically, in the layout of MLX repositories."""
    import mlx.core as mx

    weights = quantize_weights(load_weights(folder, config), quantization, mx.float16)
    described = {
        "model_type": "whisper",
        **vars(config.dims),
        "quantization": vars(quantization),
        "alignment_heads": config.alignment_heads,
    }
    temporary = target.with_name(target.name + ".part")
    temporary.mkdir(parents=True, exist_ok=True)
    mx.save_safetensors(str(temporary / "weights.safetensors"), weights)
    (temporary / "config.json").write_text(json.dumps(described, indent=1), encoding="utf-8")
    temporary.rename(target)
