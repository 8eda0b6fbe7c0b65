"""Where devices differ, and the one place that chooses."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import mlx.core as mx

from pipeline.whisper_mlx.layers import Linear, QuantizedLinear

KeysValues = tuple[mx.array, mx.array]


class Kernels(Protocol):
    """Shapes: (windows, heads, queries, head_dim) for queries; keys and values the same with their own length.

    ``softmax_scale`` belongs into the query weights, beside ``head_dim ** -0.5``. With ``stacked_cross`` the
    cross-attention keys and values of all windows are one array, else one pair a window. A batch drops finished
    rows once at most ``shrink_at`` of its rows are alive. With ``whole_steps`` a decoder step is one compiled
    function over all columns, for devices where the host's work is what a step costs.
    """

    softmax_scale: float
    stacked_cross: bool
    shrink_at: float
    whole_steps: bool

    def compile(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """Fuse a pure function of arrays, where that can be had."""
        ...

    def gelu(self, x: mx.array) -> mx.array:
        """The exact GELU; x (windows, frames, features)."""
        ...

    def mlp(self, x: mx.array, up: Linear | QuantizedLinear, down: Linear | QuantizedLinear) -> mx.array:
        """``down(gelu(up(x)))``."""
        ...

    def logsumexp(self, x: mx.array) -> mx.array:
        """Over the last axis of float32 x."""
        ...

    def encoder_attention(self, q: mx.array, k: mx.array, v: mx.array) -> mx.array:
        """All frames see all frames."""
        ...

    def attention(self, q: mx.array, k: mx.array, v: mx.array, mask: mx.array) -> mx.array:
        """With an additive mask (windows, 1, queries, keys)."""
        ...

    def cross_keys(self, k: mx.array) -> mx.array:
        """Keys in the layout that the cross-attention product wants."""
        ...

    def cross_attention(self, q: mx.array, keys_values: KeysValues | Sequence[KeysValues]) -> mx.array:
        """Queries of each window over that window's frames."""
        ...

    def cross_weights(self, q: mx.array, keys_values: KeysValues | Sequence[KeysValues]) -> mx.array:
        """The weights of :meth:`cross_attention`, (windows, heads, queries, frames)."""
        ...


def kernels_for(device: str) -> Kernels:
    """``"cpu"``, or ``"metal"`` or ``"cuda"``."""
    if device == "cpu":
        from pipeline.whisper_mlx.cpu_kernels import CpuKernels

        return CpuKernels()
    from pipeline.whisper_mlx.gpu_kernels import GpuKernels

    return GpuKernels()
