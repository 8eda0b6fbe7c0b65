"""Where devices differ, and the one place that chooses."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol

import mlx.core as mx

if TYPE_CHECKING:
    from pipeline.wav2vec2.network import Convolution, Norm


class Kernels(Protocol):
    """``softmax_scale`` belongs into the query weights. Shapes are (batch, frames, features) if none is given."""

    softmax_scale: float

    def front(
        self,
        samples: mx.array,
        convolutions: Sequence[Convolution],
        weight: mx.array | None,
        bias: mx.array | None,
    ) -> mx.array:
        """All convolutions over (batch, samples), each with its norm and GELU.

        ``weight`` (batch, kernel, out) and ``bias`` (batch, out) take the place of the first one's where given.
        """
        ...

    def grouped(self, x: mx.array, weight: mx.array, groups: int) -> mx.array:
        """A convolution in groups of channels with ``weight`` (out, kernel, in / groups), without padding."""
        ...

    def gelu(self, x: mx.array) -> mx.array:
        """The exact GELU of what was just made."""
        ...

    def norm(self, x: mx.array, norm: Norm) -> mx.array:
        """Layer norm."""
        ...

    def mask(self, lengths: Sequence[int], frames: int, dtype: mx.Dtype) -> Any:
        """What :meth:`attention` needs to know of the valid frames of each row."""
        ...

    def attention(self, q: mx.array, k: mx.array, v: mx.array, mask: Any) -> mx.array:
        """All valid frames see all valid frames; (batch, heads, frames, head_dim)."""
        ...


def kernels_for(device: str) -> Kernels:
    """``"cpu"``, or ``"metal"`` or ``"cuda"``."""
    if device == "cpu":
        from pipeline.wav2vec2.cpu_kernels import CpuKernels

        return CpuKernels()
    from pipeline.wav2vec2.gpu_kernels import GpuKernels

    return GpuKernels()


def unfolded(x: mx.array, kernel: int, stride: int) -> mx.array:
    """Each frame's neighbours beside it: (batch, time, channels) to (batch, frames, kernel * channels), a view."""
    x = mx.contiguous(x)
    batch, time, channels = x.shape
    frames = (time - kernel) // stride + 1
    return mx.as_strided(x, (batch, frames, kernel * channels), (time * channels, stride * channels, 1))
