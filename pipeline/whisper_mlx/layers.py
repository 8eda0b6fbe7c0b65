"""The two kinds of linear layer, and what fusing and scaling does to their weights.

Weights are kept the way that the products want them: float ones as (in, out), quantized ones as MLX packs them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import mlx.core as mx

from pipeline.whisper_mlx.config import Quantization

Weights = Mapping[str, mx.array]


@dataclass(frozen=True)
class Linear:
    """``x @ weight + bias`` with ``weight`` (in, out)."""

    weight: mx.array
    bias: mx.array | None

    def __call__(self, x: mx.array) -> mx.array:
        """(..., in) to (..., out)."""
        return x @ self.weight if self.bias is None else mx.addmm(self.bias, x, self.weight)


@dataclass(frozen=True)
class QuantizedLinear:
    """The same with affine-quantized weights (out, in), unpacked group by group within the product."""

    weight: mx.array
    scales: mx.array
    biases: mx.array
    bias: mx.array | None
    quantization: Quantization

    def __call__(self, x: mx.array) -> mx.array:
        """(..., in) to (..., out)."""
        packed = self.quantization
        y = mx.quantized_matmul(
            x, self.weight, self.scales, self.biases, True, packed.group_size, packed.bits
        )
        return y if self.bias is None else y + self.bias


@dataclass(frozen=True)
class LayerNorm:
    """Layer norm over the last axis."""

    weight: mx.array
    bias: mx.array

    def __call__(self, x: mx.array) -> mx.array:
        """(..., features) to the same."""
        return mx.fast.layer_norm(x, self.weight, self.bias, 1e-5)


def split_heads(x: mx.array, parts: int, heads: int) -> list[mx.array]:
    """(windows, n, parts * state) as views (windows, heads, n, head_dim), one a part.

    Not by indexing: MLX copies what a whole number picks out of an axis.
    """
    windows, n, _ = x.shape
    return [part.reshape(windows, n, heads, -1).transpose(0, 2, 1, 3) for part in mx.split(x, parts, axis=-1)]


class Reader:
    """Builds layers out of named tensors, in one precision."""

    def __init__(self, weights: Weights, dtype: mx.Dtype, quantization: Quantization | None) -> None:
        self.weights = weights
        self.dtype = dtype
        self.quantization = quantization

    def tensor(self, name: str) -> mx.array:
        """A tensor in the working precision."""
        return self.weights[name].astype(self.dtype)

    def norm(self, name: str) -> LayerNorm:
        """The layer norm of that name."""
        return LayerNorm(self.tensor(f"{name}.weight"), self.tensor(f"{name}.bias"))

    def linear(self, *names: str, scales: Sequence[float] = ()) -> Linear | QuantizedLinear:
        """The named layers as one, their outputs side by side; output i multiplied by ``scales[i]``.

        Quantization groups lie along the input, so packed rows are joined, and their scales scaled, exactly.
        """
        factors = tuple(scales) or (1.0,) * len(names)
        bias = self._bias(names, factors)
        if f"{names[0]}.scales" in self.weights:
            if self.quantization is None:
                raise ValueError(f"{names[0]} is quantized, and config.json does not say how")
            return QuantizedLinear(
                mx.concatenate([self.weights[f"{n}.weight"] for n in names]),
                self._joined(names, "scales", factors),
                self._joined(names, "biases", factors),
                bias,
                self.quantization,
            )
        return Linear(mx.contiguous(self._joined(names, "weight", factors).T), bias)

    def embedding(self, name: str) -> mx.array:
        """An embedding table (rows, features), unpacked where it is quantized."""
        table = self.weights[f"{name}.weight"]
        if f"{name}.scales" in self.weights:
            packed = self.quantization
            assert packed is not None
            table = mx.dequantize(
                table,
                self.weights[f"{name}.scales"],
                self.weights[f"{name}.biases"],
                packed.group_size,
                packed.bits,
            )
        return table.astype(self.dtype)

    def _joined(self, names: Sequence[str], part: str, factors: Sequence[float]) -> mx.array:
        rows = (
            self.tensor(f"{n}.{part}") * f if f != 1.0 else self.tensor(f"{n}.{part}")
            for n, f in zip(names, factors, strict=True)
        )
        return mx.concatenate(list(rows))

    def _bias(self, names: Sequence[str], factors: Sequence[float]) -> mx.array | None:
        if all(f"{n}.bias" not in self.weights for n in names):
            return None
        return mx.concatenate([self._one_bias(n) * f for n, f in zip(names, factors, strict=True)])

    def _one_bias(self, name: str) -> mx.array:
        if f"{name}.bias" in self.weights:
            return self.tensor(f"{name}.bias")
        return mx.zeros(self.weights[f"{name}.weight"].shape[0], self.dtype)  # Whisper's keys have none
