"""For Metal and CUDA: MLX's convolutions, fused norms and attention."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import mlx.core as mx

from pipeline.wav2vec2.kernels import unfolded
from pipeline.whisper_mlx.gpu_kernels import gelu

if TYPE_CHECKING:
    from pipeline.wav2vec2.network import Convolution, Norm


def grouped_product(x: mx.array, weight: mx.array, groups: int) -> mx.array:
    """As one batched product, a group each; see :meth:`pipeline.wav2vec2.kernels.Kernels.grouped`."""
    batch, time, _ = x.shape
    out, kernel, own = weight.shape
    frames = time - kernel + 1
    x = mx.contiguous(x.reshape(batch, time, groups, own).transpose(0, 2, 1, 3))
    windows = mx.as_strided(
        x, (batch, groups, frames, kernel * own), (groups * time * own, time * own, own, 1)
    )
    weights = weight.reshape(groups, out // groups, kernel * own).swapaxes(1, 2)
    return (windows @ weights).transpose(0, 2, 1, 3).reshape(batch, frames, out)


class GpuKernels:
    """See :class:`pipeline.wav2vec2.kernels.Kernels`."""

    softmax_scale = 1.0
    gelu = staticmethod(gelu)
    grouped = staticmethod(grouped_product)

    def front(
        self,
        samples: mx.array,
        convolutions: Sequence[Convolution],
        weight: mx.array | None,
        bias: mx.array | None,
    ) -> mx.array:
        x = samples[:, :, None]
        for number, layer in enumerate(convolutions):
            if number == 0 and weight is not None and bias is not None:
                x = unfolded(x, weight.shape[1], layer.stride) @ weight + bias[:, None]
            else:
                x = mx.conv1d(x, layer.weight, stride=layer.stride)
                x = x if layer.bias is None else x + layer.bias
            x = gelu(x if layer.norm is None else self.norm(x, layer.norm))
        return x

    def norm(self, x: mx.array, norm: Norm) -> mx.array:
        return mx.fast.layer_norm(x, norm.weight, norm.bias, norm.eps)

    def mask(self, lengths: Sequence[int], frames: int, dtype: mx.Dtype) -> mx.array | None:
        """Additive (batch, 1, 1, frames): a boolean one doubles the time of the CUDA kernel."""
        if min(lengths) == frames:
            return None
        valid = mx.arange(frames)[None] < mx.array(list(lengths))[:, None]
        return mx.where(valid, 0.0, -1e4).astype(dtype)[:, None, None]

    def attention(self, q: mx.array, k: mx.array, v: mx.array, mask: mx.array | None) -> mx.array:
        return mx.fast.scaled_dot_product_attention(q, k, v, scale=1.0, mask=mask)
