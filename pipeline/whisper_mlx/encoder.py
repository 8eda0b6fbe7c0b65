"""Whisper's audio encoder: two convolutions, sinusoidal positions, pre-norm transformer blocks."""

from __future__ import annotations

import math
from dataclasses import dataclass

import mlx.core as mx
import numpy as np

from pipeline.whisper_mlx.config import Dims
from pipeline.whisper_mlx.kernels import Kernels
from pipeline.whisper_mlx.layers import LayerNorm, Linear, QuantizedLinear, Reader, split_heads

AnyLinear = Linear | QuantizedLinear


@dataclass(frozen=True)
class EncoderBlock:
    """``qkv`` gives scaled queries, keys and values side by side."""

    attn_ln: LayerNorm
    qkv: AnyLinear
    out: AnyLinear
    mlp_ln: LayerNorm
    up: AnyLinear
    down: AnyLinear


class Encoder:
    """Log-mel windows to audio features."""

    def __init__(self, reader: Reader, dims: Dims, kernels: Kernels) -> None:
        self.dims = dims
        self.kernels = kernels
        self.conv1 = _convolution(reader, "encoder.conv1")
        self.conv2 = _convolution(reader, "encoder.conv2")
        self.positions = mx.array(sinusoids(dims.n_audio_ctx, dims.n_audio_state)).astype(reader.dtype)
        scale = (dims.n_audio_state // dims.n_audio_head) ** -0.5 * kernels.softmax_scale
        self.blocks = [_block(reader, f"encoder.blocks.{i}", scale) for i in range(dims.n_audio_layer)]
        self.ln_post = reader.norm("encoder.ln_post")

    def __call__(self, log_mel: mx.array) -> mx.array:
        """(windows, 2 * ctx, n_mels) to (windows, ctx, state)."""
        x = self.stem(log_mel)
        for block in self.blocks:
            x = x + self._attend(block, block.attn_ln(x))
            x = x + self.kernels.mlp(block.mlp_ln(x), block.up, block.down)
        return self.ln_post(x)

    def stem(self, log_mel: mx.array) -> mx.array:
        """The convolutions and the positions."""
        x = self.kernels.gelu(self.conv1(_neighbours(log_mel, stride=1)))
        x = self.kernels.gelu(self.conv2(_neighbours(x, stride=2)))
        return x + self.positions[: x.shape[1]]

    def _attend(self, block: EncoderBlock, x: mx.array) -> mx.array:
        windows, frames, state = x.shape
        q, k, v = split_heads(block.qkv(x), 3, self.dims.n_audio_head)
        out = self.kernels.encoder_attention(q, k, v)
        return block.out(out.transpose(0, 2, 1, 3).reshape(windows, frames, state))


def sinusoids(length: int, channels: int) -> np.ndarray:
    """Whisper's fixed positions, (length, channels) float32."""
    step = math.log(10_000) / (channels // 2 - 1)
    angles = np.arange(length)[:, None] * np.exp(-step * np.arange(channels // 2))[None]
    return np.concatenate([np.sin(angles), np.cos(angles)], axis=1).astype(np.float32)


def _block(reader: Reader, name: str, scale: float) -> EncoderBlock:
    attn = f"{name}.attn"
    return EncoderBlock(
        reader.norm(f"{name}.attn_ln"),
        reader.linear(f"{attn}.query", f"{attn}.key", f"{attn}.value", scales=(scale, 1.0, 1.0)),
        reader.linear(f"{attn}.out"),
        reader.norm(f"{name}.mlp_ln"),
        reader.linear(f"{name}.mlp1"),
        reader.linear(f"{name}.mlp2"),
    )


def _convolution(reader: Reader, name: str) -> Linear:
    """A convolution over three frames as one product over :func:`_neighbours`."""
    weight = reader.tensor(f"{name}.weight")  # (out, 3, in)
    return Linear(mx.contiguous(weight.reshape(weight.shape[0], -1).T), reader.tensor(f"{name}.bias"))


def _neighbours(x: mx.array, stride: int) -> mx.array:
    """Each frame beside the one before and the one after, (windows, frames / stride, 3 * features)."""
    frames = x.shape[1]
    padded = mx.pad(x, ((0, 0), (1, 1), (0, 0)))
    return mx.concatenate([padded[:, i : i + frames : stride] for i in range(3)], axis=-1)
