"""For CPUs: products over unfolded frames; norms, GELU and softmax by compiled loops, as in the Whisper engine.

The convolutions depend on nothing but the samples that a frame sees, so they run over a second at a time: what
they make (512 numbers for every fifth sample) then stays in the cache.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from typing import TYPE_CHECKING

import mlx.core as mx
import numpy as np

from pipeline.vector_loops.exponential import LOG2E, compiled
from pipeline.vector_loops.layer_norm import centre
from pipeline.wav2vec2.kernels import unfolded
from pipeline.whisper_mlx.cpu_kernels import gelu, in_place, softmax

if TYPE_CHECKING:
    from pipeline.wav2vec2.network import Convolution, Norm

_TILE_FRAMES = 50
_QUERY_TILE = 500
_POSITION_TILE = 250

_f32 = np.float32


@compiled()
def norm_rows(x, weight, bias, eps):
    """Layer norm over each row of x (rows, n), in place."""
    for r in range(x.shape[0]):
        row = x[r]
        factor = centre(row, eps)
        for j in range(row.size):
            row[j] = row[j] * factor * weight[j] + bias[j]


class CpuKernels:
    """See :class:`pipeline.wav2vec2.kernels.Kernels`. In float32."""

    softmax_scale = float(LOG2E)
    gelu = staticmethod(gelu)

    def front(
        self,
        samples: mx.array,
        convolutions: Sequence[Convolution],
        weight: mx.array | None,
        bias: mx.array | None,
    ) -> mx.array:
        hop = reduce(lambda a, b: a * b, (layer.stride for layer in convolutions))
        frames = _frames(samples.shape[1], convolutions)
        field = samples.shape[1] - (frames - 1) * hop  # and at most a hop more, which no frame sees
        tiles = []
        for first in range(0, frames, _TILE_FRAMES):
            stop = min(frames, first + _TILE_FRAMES)
            tile = samples[:, first * hop : (stop - 1) * hop + field]
            tiles.append(self._tile(tile, convolutions, weight, bias)[:, : stop - first])
            mx.eval(tiles[-1])
        return mx.concatenate(tiles, axis=1)

    def _tile(
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
                out, kernel, _ = layer.weight.shape
                x = unfolded(x, kernel, layer.stride) @ layer.weight.reshape(out, -1).T
                x = x if layer.bias is None else x + layer.bias
            x = gelu(x if layer.norm is None else self.norm(x, layer.norm))
        return x

    def grouped(self, x: mx.array, weight: mx.array, groups: int) -> mx.array:
        from pipeline.wav2vec2.gpu_kernels import grouped_product

        kernel = weight.shape[1]
        frames = x.shape[1] - kernel + 1
        tiles = []
        for first in range(0, frames, _POSITION_TILE):
            stop = min(frames, first + _POSITION_TILE)
            tiles.append(grouped_product(x[:, first : stop + kernel - 1], weight, groups))
            mx.eval(tiles[-1])
        return mx.concatenate(tiles, axis=1)

    def norm(self, x: mx.array, norm: Norm) -> mx.array:
        """In place on a copy where something else refers to x."""
        weight, bias, eps = np.array(norm.weight), np.array(norm.bias), _f32(norm.eps)
        x = x + 0
        return in_place(lambda a: norm_rows(a.reshape(-1, a.shape[-1]), weight, bias, eps), x)

    def mask(self, lengths: Sequence[int], frames: int, dtype: mx.Dtype) -> list[int]:
        return list(lengths)

    def attention(self, q: mx.array, k: mx.array, v: mx.array, mask: list[int]) -> mx.array:
        """Row by row over the valid frames, some queries at a time; frames of padding stay zero."""
        rows = []
        for row, length in enumerate(mask):
            heads = [self._head(*(a[row, h, :length] for a in (q, k, v))) for h in range(q.shape[1])]
            rows.append(mx.pad(mx.stack(heads), [(0, 0), (0, q.shape[2] - length), (0, 0)]))
        return mx.stack(rows)

    def _head(self, q: mx.array, k: mx.array, v: mx.array) -> mx.array:
        q, k, v = mx.contiguous(q), mx.contiguous(k.swapaxes(-1, -2)), mx.contiguous(v)
        parts: list[mx.array] = []
        for first in range(0, q.shape[0], _QUERY_TILE):
            weights = softmax(q[first : first + _QUERY_TILE] @ k, *parts[-1:])
            parts.append(weights @ v)
        return parts[0] if len(parts) == 1 else mx.concatenate(parts)


def _frames(samples: int, convolutions: Sequence[Convolution]) -> int:
    for layer in convolutions:
        samples = (samples - layer.weight.shape[1]) // layer.stride + 1
    return samples
