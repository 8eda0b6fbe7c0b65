"""A layer of a bidirectional LSTM in MLX: a loop over time anywhere, one kernel on an NVIDIA GPU.

The recurrence is a small product for each of some hundred steps, and every step waits for the one before: a loop
of MLX's operations spends its time on starting kernels. The kernel keeps eight sequences in a block of
threads from the first step to the last; the weights stream through the caches. Hochreiter and Schmidhuber, "Long
short-term memory", Neural Computation 1997; gates in torch's order (input, forget, cell, output).
"""

from __future__ import annotations

from functools import cache
from typing import Any

import mlx.core as mx

HIDDEN = 128
_STEPS_PER_EVALUATION = 64  # keeps the loop's graph small
_SEQUENCES = 8  # of a block
_THREADS = 2 * HIDDEN  # a thread computes one unit of four sequences

_SOURCE = """
    const int batch = sizes[0], time = sizes[1];
    const int unit = threadIdx.x & 127, part = (threadIdx.x >> 7) * 4, direction = blockIdx.y;
    const int first = blockIdx.x * 8 + part;
    const float4* weight = reinterpret_cast<const float4*>(weights) + direction * 128 * 128 + unit;
    __shared__ float hidden[2][8][128];
    float cell[4] = {0.f, 0.f, 0.f, 0.f};
    for (int s = 0; s < 4; ++s) hidden[0][part + s][unit] = 0.f;
    __syncthreads();
    for (int step = 0; step < time; ++step) {
        const int at = direction ? time - 1 - step : step;
        float sum[4][4];
        #pragma unroll
        for (int s = 0; s < 4; ++s) {
            const long long row = min(first + s, batch - 1);
            const float* gate = gates + (row * time + at) * 1024 + direction * 512 + unit;
            #pragma unroll
            for (int g = 0; g < 4; ++g) sum[s][g] = gate[g * 128];
        }
        const float* before = hidden[step & 1][part];
        #pragma unroll 4
        for (int k = 0; k < 128; k += 4) {
            float known[4][4];
            #pragma unroll
            for (int s = 0; s < 4; ++s)
                *reinterpret_cast<float4*>(known[s]) = *reinterpret_cast<const float4*>(before + s * 128 + k);
            #pragma unroll
            for (int i = 0; i < 4; ++i) {
                const float4 w = weight[(k + i) * 128];
                #pragma unroll
                for (int s = 0; s < 4; ++s) {
                    sum[s][0] += known[s][i] * w.x;
                    sum[s][1] += known[s][i] * w.y;
                    sum[s][2] += known[s][i] * w.z;
                    sum[s][3] += known[s][i] * w.w;
                }
            }
        }
        #pragma unroll
        for (int s = 0; s < 4; ++s) {
            const float enter = 1.f / (1.f + expf(-sum[s][0])), forget = 1.f / (1.f + expf(-sum[s][1]));
            cell[s] = forget * cell[s] + enter * tanhf(sum[s][2]);
            const float state = tanhf(cell[s]) / (1.f + expf(-sum[s][3]));
            hidden[(step + 1) & 1][part + s][unit] = state;
            if (first + s < batch)
                states[((long long)(first + s) * time + at) * 256 + direction * 128 + unit] = state;
        }
        __syncthreads();
    }
"""


class Layer:
    """Both directions of a layer, on MLX's default device."""

    def __init__(self, inward: mx.array, bias: mx.array, state: mx.array) -> None:
        """Weights (inputs, 1024) and bias (1024,), backward gates last, and recurrent weights (2, 128, 512)."""
        self._inward, self._bias, self._state = inward, bias, state
        self._in_one_kernel = mx.default_device() == mx.gpu and mx.cuda.is_available()
        if self._in_one_kernel:
            self._state = kernel_weights(state)

    def __call__(self, x: mx.array) -> mx.array:
        """(batch, time, inputs) to (batch, time, 256)."""
        gates = mx.addmm(self._bias, x, self._inward)
        states = (by_kernel if self._in_one_kernel else by_steps)(gates, self._state)
        mx.eval(states)
        return states


def kernel_weights(state: mx.array) -> mx.array:
    """Recurrent weights (2, 128, 512), of both directions, as the kernel reads them, (2, 128, 128, 4)."""
    return mx.contiguous(state.reshape(2, HIDDEN, 4, HIDDEN).transpose(0, 1, 3, 2))


def by_kernel(gates: mx.array, weights: mx.array) -> mx.array:
    """Input products (batch, time, 1024) and :func:`kernel_weights` to states (batch, time, 256)."""
    batch, time, _ = gates.shape
    (states,) = _kernel()(
        inputs=[gates, weights, mx.array([batch, time], mx.int32)],
        grid=(-(-batch // _SEQUENCES) * _THREADS, 2, 1),
        threadgroup=(_THREADS, 1, 1),
        output_shapes=[(batch, time, 2 * HIDDEN)],
        output_dtypes=[mx.float32],
    )
    return states


@cache
def _kernel() -> Any:
    return mx.fast.cuda_kernel(
        name="bidirectional_lstm",
        input_names=["gates", "weights", "sizes"],
        output_names=["states"],
        source=_SOURCE,
    )


def by_steps(gates: mx.array, state: mx.array) -> mx.array:
    """As :func:`by_kernel`, with the weights (2, 128, 512) as they are: both directions in one loop."""
    batch, time, _ = gates.shape
    x = gates.reshape(batch, time, 2, -1).transpose(1, 2, 0, 3)  # (time, 2, batch, 512)
    x = mx.stack([x[:, 0], x[::-1, 1]], axis=1)  # the backward one flipped in time
    hidden = cell = mx.zeros((2, batch, HIDDEN))
    states = []
    mx.eval(x)
    for step in range(time):
        hidden, cell = _step(x[step] + hidden @ state, cell)
        states.append(hidden)
        if step % _STEPS_PER_EVALUATION == _STEPS_PER_EVALUATION - 1:
            mx.async_eval(hidden, cell)
    out = mx.stack(states)
    return mx.concatenate([out[:, 0], out[::-1, 1]], axis=-1).transpose(1, 0, 2)


def _gates(x: mx.array, cell: mx.array) -> tuple[mx.array, mx.array]:
    enter, forget, update, leave = mx.split(x, 4, axis=-1)
    cell = mx.sigmoid(forget) * cell + mx.sigmoid(enter) * mx.tanh(update)
    return mx.sigmoid(leave) * mx.tanh(cell), cell


_step = mx.compile(_gates)
