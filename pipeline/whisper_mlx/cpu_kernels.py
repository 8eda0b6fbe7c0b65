"""Arithmetic for CPUs, where MLX computes ``exp`` and ``erf`` one number at a time.

What made the encoder fast on x86, by measurement: attention tiled by queries, so that the scores of a tile stay in
the cache; exp and GELU as polynomials over whole tiles; the softmax in powers of two, with log2(e) folded into the
query weights. Gelu's error function: Abramowitz and Stegun 7.1.26 (absolute error 1.5e-7).
"""

from __future__ import annotations

import math
from functools import cache

import mlx.core as mx
import numpy as np

from pipeline.whisper_mlx.layers import Linear, QuantizedLinear

QUERY_TILE = 500
_ROUND = 12582912.0  # 1.5 * 2**23: adding it rounds a float32 to an integer, kept in the low mantissa bits
_ERF = (1.061405429, -1.453152027, 1.421413741, -0.284496736, 0.254829592)
_ERF_P = 0.3275911


@cache
def exp2_coefficients(degree: int) -> tuple[float, ...]:
    """2**f on [-0.5, 0.5], highest power first, fitted at Chebyshev nodes."""
    nodes = np.cos(np.pi * (np.arange(400) + 0.5) / 400) * 0.5
    fit = np.polynomial.chebyshev.Chebyshev.fit(nodes, 2.0**nodes, degree, domain=[-0.5, 0.5])
    return tuple(float(c) for c in fit.convert(kind=np.polynomial.Polynomial).coef[::-1])


def exp2(x: mx.array, degree: int = 5) -> mx.array:
    """2**x for float32 x <= 0: relative error 2e-7 at degree 5, 4e-6 at degree 4; 2**-126 below that."""
    x = mx.maximum(x, -126.0)
    rounded = x + _ROUND
    fraction = x - (rounded - _ROUND)
    first, second, *rest = exp2_coefficients(degree)
    value = first * fraction + second
    for coefficient in rest:
        value = value * fraction + coefficient
    exponent = mx.left_shift(mx.view(rounded, mx.int32), 23)
    return mx.view(mx.view(value, mx.int32) + exponent, mx.float32)


def gelu(x: mx.array) -> mx.array:
    """The exact GELU, ``x * Phi(x)``, with an absolute error below 1e-6."""
    a = mx.abs(x) * math.sqrt(0.5)
    t = mx.reciprocal(1.0 + _ERF_P * a)
    first, *rest = _ERF
    series = first * t + rest[0]
    for coefficient in rest[1:]:
        series = series * t + coefficient
    tail = series * t * exp2(a * a * -math.log2(math.e))  # 1 - erf(a)
    return mx.maximum(x, 0.0) - (a * math.sqrt(0.5)) * tail


def softmax_parts(scores: mx.array) -> tuple[mx.array, mx.array]:
    """Numerator and reciprocal denominator of a softmax in powers of two over the last axis."""
    powers = exp2(scores - mx.max(scores, -1, keepdims=True), degree=4)
    return powers, mx.reciprocal(mx.sum(powers, -1, keepdims=True))


class CpuKernels:
    """See :class:`pipeline.whisper_mlx.kernels.Kernels`."""

    softmax_scale = math.log2(math.e)
    stacked_cross = False

    def compile(self, function):
        """As it is: MLX's fused CPU kernels need a C++ compiler on the user's machine."""
        return function

    def gelu(self, x: mx.array) -> mx.array:
        tiles = [gelu(x[:, i : i + QUERY_TILE]) for i in range(0, x.shape[1], QUERY_TILE)]
        return mx.concatenate(tiles, axis=1)

    def mlp(self, x: mx.array, up: Linear | QuantizedLinear, down: Linear | QuantizedLinear) -> mx.array:
        tiles = [down(gelu(up(x[:, i : i + QUERY_TILE]))) for i in range(0, x.shape[1], QUERY_TILE)]
        return tiles[0] if len(tiles) == 1 else mx.concatenate(tiles, axis=1)

    def logsumexp(self, x: mx.array) -> mx.array:
        top = mx.max(x, -1, keepdims=True)
        powers = exp2((x - top) * math.log2(math.e))
        return (top + mx.log(mx.sum(powers, -1, keepdims=True))).squeeze(-1)

    def encoder_attention(self, q: mx.array, k: mx.array, v: mx.array) -> mx.array:
        q, v, kt = mx.contiguous(q), mx.contiguous(v), mx.contiguous(k.swapaxes(-1, -2))
        windows, heads, queries, _ = q.shape
        rows = []
        for b in range(windows):
            for h in range(heads):
                for i in range(0, queries, QUERY_TILE):
                    powers, scale = softmax_parts(q[b, h, i : i + QUERY_TILE] @ kt[b, h])
                    rows.append((powers @ v[b, h]) * scale)
        return mx.concatenate(rows).reshape(q.shape)

    def attention(self, q: mx.array, k: mx.array, v: mx.array, mask: mx.array) -> mx.array:
        powers, scale = softmax_parts(q @ k.swapaxes(-1, -2) + mask)
        return (powers @ v) * scale

    def cross_keys(self, k: mx.array) -> mx.array:
        return mx.contiguous(k.swapaxes(-1, -2))

    def cross_attention(self, q: mx.array, keys_values) -> mx.array:
        scores = [q[s] @ k for s, (k, _) in enumerate(keys_values)]
        powers, scale = softmax_parts(mx.stack(scores))
        return mx.stack([powers[s] @ v for s, (_, v) in enumerate(keys_values)]) * scale

    def cross_weights(self, q: mx.array, keys_values) -> mx.array:
        powers, scale = softmax_parts(mx.stack([q[s] @ k for s, (k, _) in enumerate(keys_values)]))
        return powers * scale
