"""Arithmetic for Metal and CUDA: MLX's fused attention and compiled elementwise chains."""

from __future__ import annotations

import math

import mlx.core as mx

from pipeline.whisper_mlx.layers import Linear, QuantizedLinear


@mx.compile
def gelu(x: mx.array) -> mx.array:
    """The exact GELU in one kernel, computed in float32."""
    wide = x.astype(mx.float32)
    return (wide * (1 + mx.erf(wide * math.sqrt(0.5))) * 0.5).astype(x.dtype)


class GpuKernels:
    """See :class:`pipeline.whisper_mlx.kernels.Kernels`."""

    softmax_scale = 1.0
    stacked_cross = True
    whole_steps = True
    shrink_at = 0.5  # a row costs next to nothing, and a new shape new kernels and graphs

    def compile(self, function):
        return mx.compile(function)

    def gelu(self, x: mx.array) -> mx.array:
        return gelu(x)

    def mlp(self, x: mx.array, up: Linear | QuantizedLinear, down: Linear | QuantizedLinear) -> mx.array:
        return down(gelu(up(x)))

    def logsumexp(self, x: mx.array) -> mx.array:
        return mx.logsumexp(x, -1)

    def encoder_attention(self, q: mx.array, k: mx.array, v: mx.array) -> mx.array:
        return mx.fast.scaled_dot_product_attention(q, k, v, scale=1.0)

    def attention(self, q: mx.array, k: mx.array, v: mx.array, mask: mx.array) -> mx.array:
        # additive: a boolean mask doubles the time of the CUDA kernel
        return mx.fast.scaled_dot_product_attention(q, k, v, scale=1.0, mask=mask)

    def cross_keys(self, k: mx.array) -> mx.array:
        return mx.contiguous(k)

    def cross_attention(self, q: mx.array, keys_values) -> mx.array:
        return mx.fast.scaled_dot_product_attention(q, *keys_values, scale=1.0)

    def cross_weights(self, q: mx.array, keys_values) -> mx.array:
        return mx.softmax(q @ keys_values[0].swapaxes(-1, -2), axis=-1, precise=True)
