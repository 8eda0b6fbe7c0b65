"""Waveforms to CTC logits: convolutions over samples, a convolutional position, transformer blocks, a linear head.

Padded waveforms of a batch give what each gives alone. Three things make that so, of which transformers lacks the
first: the group norm of the first convolution counts valid frames only; frames of padding are zero before the
positional convolution; and attention does not see them.

That group norm costs nothing here. It is the norm of a linear function of ten samples, so its mean and variance
follow from the mean and the covariance of the windows of the waveform (ten numbers and a hundred, in float64 on
the host), and normalising is a change of the convolution's weights, one set a waveform.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial

import mlx.core as mx
import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from pipeline.machine import usable_cores
from pipeline.wav2vec2.checkpoint import Tensors
from pipeline.wav2vec2.config import Config
from pipeline.wav2vec2.kernels import Kernels, kernels_for
from pipeline.whisper_mlx.layers import Linear

_NORM_EPS = 1e-5  # of the convolutions' norms and the projection's, whatever the transformer's is


@dataclass(frozen=True)
class Norm:
    """Layer norm over the last axis."""

    weight: mx.array
    bias: mx.array
    eps: float


@dataclass(frozen=True)
class Convolution:
    """``weight`` (out, kernel, in) without padding; ``norm`` follows it where there is one."""

    weight: mx.array
    bias: mx.array | None
    stride: int
    norm: Norm | None


@dataclass(frozen=True)
class Block:
    """A transformer block. ``qkv`` gives scaled queries, keys and values side by side."""

    qkv: Linear
    out: Linear
    attention_norm: Norm
    up: Linear
    down: Linear
    final_norm: Norm
    adapter: Adapter | None


@dataclass(frozen=True)
class Adapter:
    """MMS's bottleneck at the end of a block: norm, linear, ReLU, linear, added to what comes in."""

    norm: Norm
    down: Linear
    up: Linear


class Network:
    """A network on MLX's default device, which ``device`` names. Bound to the thread that makes it."""

    def __init__(self, config: Config, tensors: Tensors, device: str, dtype: mx.Dtype = mx.float32) -> None:
        """Raises KeyError for tensors that are missing, ValueError for bfloat16, which is too coarse."""
        if dtype == mx.bfloat16:
            raise ValueError("bfloat16 changes one label in fifty; use float16")
        self.config, self.dtype = config, dtype
        self.kernels: Kernels = kernels_for(device)
        read = _Reader(tensors, dtype)
        self._group = _GroupNorm.of(tensors) if config.feat_extract_norm == "group" else None
        self._convolutions = [read.convolution(config, i) for i in range(len(config.conv_dim))]
        self._features = read.norm("feature_projection.layer_norm") if config.feat_proj_layer_norm else None
        self._projection = read.linear("feature_projection.projection")
        self._position = read.array("encoder.pos_conv_embed.conv.weight")
        self._position_bias = read.array("encoder.pos_conv_embed.conv.bias")
        self._norm = read.norm("encoder.layer_norm", config.layer_norm_eps)
        scale = (config.hidden_size // config.num_attention_heads) ** -0.5 * self.kernels.softmax_scale
        self._blocks = [read.block(config, i, scale) for i in range(config.num_hidden_layers)]
        self._head = read.linear("lm_head")
        mx.eval(read.made)

    def __call__(self, waveforms: Sequence[np.ndarray]) -> list[np.ndarray]:
        """Logits (frames, vocabulary) float32 of each waveform (samples,), none shorter than a frame's field."""
        lengths = [self.config.frames(len(waveform)) for waveform in waveforms]
        assert min(lengths) >= 1, "a waveform is shorter than what a frame sees"
        x = self._encoded(self._front(waveforms), lengths)
        logits = self._head(x).astype(mx.float32)
        mx.eval(logits)
        return [np.array(logits[row, :length]) for row, length in enumerate(lengths)]

    def _front(self, waveforms: Sequence[np.ndarray]) -> mx.array:
        """The convolutions, (batch, frames, channels)."""
        first = self._convolutions[0]
        longest = max(map(len, waveforms))
        batch = np.zeros((len(waveforms), longest), np.float32)
        for row, waveform in enumerate(waveforms):
            batch[row, : len(waveform)] = waveform
        weight, bias = None, None
        if self._group is not None:
            with ThreadPoolExecutor(min(len(waveforms), usable_cores())) as pool:
                folded = list(pool.map(partial(self._group.folded, stride=first.stride), waveforms))
            # scaled to what float16 holds best, and the weights against it
            level = [max(1e-6, float(np.abs(waveform).max())) for waveform in waveforms]
            batch /= np.array(level, np.float32)[:, None]
            weight = np.stack([w * size for (w, _), size in zip(folded, level, strict=True)])
            bias = np.stack([b for _, b in folded])
            weight, bias = (mx.array(a.astype(np.float32)).astype(self.dtype) for a in (weight, bias))
        samples = mx.array(batch).astype(self.dtype)
        return self.kernels.front(samples, self._convolutions, weight, bias)

    def _encoded(self, features: mx.array, lengths: Sequence[int]) -> mx.array:
        k = self.kernels
        if self._features is not None:
            features = k.norm(features, self._features)
        x = self._projection(features)
        frames = x.shape[1]
        if min(lengths) < frames:
            valid = mx.arange(frames)[None, :, None] < mx.array(list(lengths))[:, None, None]
            x = mx.where(valid, x, mx.zeros((), x.dtype))
        x = x + self._positions(x)
        if not self.config.do_stable_layer_norm:
            x = k.norm(x, self._norm)
        mask = k.mask(lengths, frames, self.dtype)
        for block in self._blocks:
            x = (
                self._stable(block, x, mask)
                if self.config.do_stable_layer_norm
                else self._plain(block, x, mask)
            )
        return k.norm(x, self._norm) if self.config.do_stable_layer_norm else x

    def _plain(self, block: Block, x: mx.array, mask) -> mx.array:
        """Norms behind the sums, as in the original transformer."""
        k = self.kernels
        x = k.norm(x + self._attend(block, x, mask), block.attention_norm)
        return k.norm(x + block.down(k.gelu(block.up(x))), block.final_norm)

    def _stable(self, block: Block, x: mx.array, mask) -> mx.array:
        """Norms before, and the sums left alone."""
        k = self.kernels
        x = x + self._attend(block, k.norm(x, block.attention_norm), mask)
        x = x + block.down(k.gelu(block.up(k.norm(x, block.final_norm))))
        if block.adapter is None:
            return x
        inner = block.adapter.down(k.norm(x, block.adapter.norm))
        return x + block.adapter.up(mx.maximum(inner, 0))

    def _attend(self, block: Block, x: mx.array, mask) -> mx.array:
        batch, frames, hidden = x.shape
        heads = self.config.num_attention_heads
        qkv = block.qkv(x).reshape(batch, frames, 3, heads, -1).transpose(2, 0, 3, 1, 4)
        out = self.kernels.attention(qkv[0], qkv[1], qkv[2], mask)
        return block.out(out.transpose(0, 2, 1, 3).reshape(batch, frames, hidden))

    def _positions(self, x: mx.array) -> mx.array:
        """The grouped convolution over 2.5 s that tells frames where they are."""
        width = self.config.num_conv_pos_embeddings
        padded = mx.pad(x, [(0, 0), (width // 2, (width - 1) // 2), (0, 0)])
        out = self.kernels.grouped(padded, self._position, self.config.num_conv_pos_embedding_groups)
        return self.kernels.gelu(out + self._position_bias)


@dataclass(frozen=True)
class _GroupNorm:
    """The first convolution (out, kernel) and the norm of each of its channels over time, in float64."""

    weight: np.ndarray
    scale: np.ndarray
    shift: np.ndarray

    @classmethod
    def of(cls, tensors: Tensors) -> _GroupNorm:
        name = "feature_extractor.conv_layers.0"
        arrays = (
            tensors[f"{name}.conv.weight"][:, :, 0],
            tensors[f"{name}.layer_norm.weight"],
            tensors[f"{name}.layer_norm.bias"],
        )
        return cls(*(array.astype(np.float64) for array in arrays))

    def folded(self, waveform: np.ndarray, stride: int) -> tuple[np.ndarray, np.ndarray]:
        """Weights (kernel, out) and bias (out,) of convolution and norm as one, for this waveform.

        A bias of the convolution falls out of the norm.
        """
        windows = sliding_window_view(waveform, self.weight.shape[1])[::stride].T.astype(
            np.float64, order="C"
        )
        mean = windows.mean(axis=1)
        windows -= mean[:, None]
        covariance = windows @ windows.T / windows.shape[1]
        variance = np.einsum("ok,kl,ol->o", self.weight, covariance, self.weight, optimize=True)
        factor = self.scale / np.sqrt(np.maximum(variance, 0.0) + _NORM_EPS)
        return (self.weight * factor[:, None]).T, self.shift - factor * (self.weight @ mean)


class _Reader:
    """Layers out of named tensors in one precision. ``made`` are all the arrays."""

    def __init__(self, tensors: Tensors, dtype: mx.Dtype) -> None:
        self.tensors, self.dtype = tensors, dtype
        self.made: list[mx.array] = []

    def array(self, name: str) -> mx.array:
        return self._keep(self.tensors[name])

    def norm(self, name: str, eps: float = _NORM_EPS) -> Norm:
        return Norm(self.array(f"{name}.weight"), self.array(f"{name}.bias"), eps)

    def linear(self, *names: str, scale: float = 1.0) -> Linear:
        """The named layers side by side; the first one's output multiplied by ``scale``."""
        factors = [scale] + [1.0] * (len(names) - 1)
        parts = {
            part: [self.tensors[f"{n}.{part}"] * np.float32(f) for n, f in zip(names, factors, strict=True)]
            for part in ("weight", "bias")
        }
        weight = np.ascontiguousarray(np.concatenate(parts["weight"]).T)
        return Linear(self._keep(weight), self._keep(np.concatenate(parts["bias"])))

    def convolution(self, config: Config, number: int) -> Convolution:
        name = f"feature_extractor.conv_layers.{number}"
        weight = self.array(f"{name}.conv.weight")
        bias = self.array(f"{name}.conv.bias") if config.conv_bias else None
        norm = self.norm(f"{name}.layer_norm") if config.feat_extract_norm == "layer" else None
        return Convolution(weight, bias, config.conv_stride[number], norm)

    def block(self, config: Config, number: int, scale: float) -> Block:
        name, eps = f"encoder.layers.{number}", config.layer_norm_eps
        attention = f"{name}.attention"
        return Block(
            self.linear(*(f"{attention}.{part}_proj" for part in "qkv"), scale=scale),
            self.linear(f"{attention}.out_proj"),
            self.norm(f"{name}.layer_norm", eps),
            self.linear(f"{name}.feed_forward.intermediate_dense"),
            self.linear(f"{name}.feed_forward.output_dense"),
            self.norm(f"{name}.final_layer_norm", eps),
            self.adapter(f"{name}.adapter_layer") if config.adapter_attn_dim is not None else None,
        )

    def adapter(self, name: str) -> Adapter:
        return Adapter(
            self.norm(f"{name}.norm"), self.linear(f"{name}.linear_1"), self.linear(f"{name}.linear_2")
        )

    def _keep(self, array: np.ndarray) -> mx.array:
        kept = mx.array(array).astype(self.dtype)
        self.made.append(kept)
        return kept
