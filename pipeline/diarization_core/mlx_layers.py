"""Layers of the speaker embedding networks in MLX, batch norms folded in. Import inside ``load`` only.

MLX's convolutions over a plane are slow on a CPU and so are dilated ones on any device: there they become matrix
products over shifted copies.
"""

from __future__ import annotations

from collections.abc import Mapping

import mlx.core as mx
import numpy as np

State = Mapping[str, np.ndarray]
_EPSILON = 1e-5


class Affine:
    """A batch norm as it is at inference, and the ReLU behind it."""

    def __init__(self, state: State, prefix: str) -> None:
        scale, shift = _scale_and_shift(state, prefix)
        self.scale, self.shift = mx.array(scale), mx.array(shift)

    def __call__(self, x: mx.array) -> mx.array:
        """The last axis of ``x`` are the channels."""
        return _rectified_affine(x, self.scale, self.shift)


class Conv:
    """A convolution over channels-last data with the batch norm behind it folded in."""

    def __init__(self, state: State, conv: str, norm: str | None = None, bias: str | None = None) -> None:
        weight = state[f"{conv}.weight"].astype(np.float64)
        shift = state[bias].astype(np.float64) if bias else np.zeros(len(weight))
        if norm is not None:
            scale, offset = _scale_and_shift(state, norm)
            weight = weight * scale.reshape(-1, *([1] * (weight.ndim - 1)))
            shift = shift * scale + offset
        self.weight = mx.array(np.ascontiguousarray(np.moveaxis(weight, 1, -1), dtype=np.float32))
        self.shift = mx.array(shift.astype(np.float32))
        self._by_products = mx.default_device() == mx.cpu

    def over_plane(self, x: mx.array, stride: int | tuple[int, int] = 1) -> mx.array:
        """A 3×3 convolution of (batch, mels, frames, channels), padded by one."""
        if self._by_products and x.shape[-1] > 1:
            return self._plane_by_products(x, (stride, stride) if isinstance(stride, int) else stride)
        return mx.conv2d(x, self.weight, stride=stride, padding=1) + self.shift

    def _plane_by_products(self, x: mx.array, stride: tuple[int, int]) -> mx.array:
        """Three products, one for each row of the kernel, of three neighbours along the frames side by side."""
        batch, mels, frames, channels = x.shape
        down, along = stride
        padded = mx.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
        wide = mx.concatenate([padded[:, :, i : i + frames : along] for i in range(3)], axis=-1)
        shape = (batch, -(-mels // down), wide.shape[2], len(self.shift))
        out = self.shift
        for i in range(3):
            rows = wide[:, i : i + mels : down].reshape(-1, 3 * channels)
            out = mx.addmm(out, rows, self.weight[:, i].reshape(len(self.shift), -1).T)
        return out.reshape(shape)

    def over_time(self, x: mx.array, stride: int = 1, padding: int = 0) -> mx.array:
        """(batch, frames, channels)."""
        return mx.conv1d(x, self.weight, stride=stride, padding=padding) + self.shift

    def dilated(self, x: mx.array, dilation: int) -> mx.array:
        """Three taps ``dilation`` frames apart over (batch, frames, channels), padded to the same length."""
        frames, outputs = x.shape[1], len(self.shift)
        taps = x @ self.weight.transpose(2, 1, 0).reshape(x.shape[2], -1)  # (…, 3 · outputs)
        taps = mx.pad(taps, ((0, 0), (dilation, dilation), (0, 0)))
        before, here, after = (
            taps[:, i * dilation : i * dilation + frames, i * outputs : (i + 1) * outputs] for i in range(3)
        )
        return before + here + after + self.shift

    def pointwise(self, x: mx.array) -> mx.array:
        """A convolution of width one as a product."""
        return mx.addmm(self.shift, x, self.weight.reshape(len(self.shift), -1).T)


class Residual:
    """Two 3×3 convolutions and a shortcut."""

    def __init__(self, state: State, prefix: str, stride: tuple[int, int]) -> None:
        self.first = Conv(state, f"{prefix}.conv1", f"{prefix}.bn1")
        self.second = Conv(state, f"{prefix}.conv2", f"{prefix}.bn2")
        self.stride = stride
        has_shortcut = f"{prefix}.shortcut.0.weight" in state
        self.shortcut = Conv(state, f"{prefix}.shortcut.0", f"{prefix}.shortcut.1") if has_shortcut else None

    def __call__(self, x: mx.array) -> mx.array:
        """(batch, mels, frames, channels)."""
        y = self.second.over_plane(relu(self.first.over_plane(x, self.stride)))
        down, along = self.stride
        beside = x if self.shortcut is None else self.shortcut.pointwise(x[:, ::down, ::along])
        return relu(y + beside)


def relu(x: mx.array) -> mx.array:
    """max(x, 0)."""
    return mx.maximum(x, 0)


@mx.compile
def _rectified_affine(x: mx.array, scale: mx.array, shift: mx.array) -> mx.array:
    return mx.maximum(x * scale + shift, 0)


def flattened(x: mx.array) -> mx.array:
    """(batch, mels, frames, channels) to (batch, frames, channels · mels): the order that the weights expect."""
    batch, mels, frames, channels = x.shape
    return x.transpose(0, 2, 3, 1).reshape(batch, frames, channels * mels)


def _scale_and_shift(state: State, prefix: str) -> tuple[np.ndarray, np.ndarray]:
    """A batch norm's running statistics as scale and shift, float32; with or without learnt ones."""
    variance = state[f"{prefix}.running_var"].astype(np.float64)
    scale = state.get(f"{prefix}.weight", 1.0) / np.sqrt(variance + _EPSILON)
    shift = state.get(f"{prefix}.bias", 0.0) - state[f"{prefix}.running_mean"] * scale
    return scale.astype(np.float32), shift.astype(np.float32)
