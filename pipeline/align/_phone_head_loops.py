"""What a phone head does between its matrix products, as loops that numba compiles, one pass over memory each."""

from __future__ import annotations

import numpy as np

from pipeline.vector_loops.exponential import LOG2E, compiled, exp2
from pipeline.vector_loops.gelu import gelu
from pipeline.vector_loops.layer_norm import centre

_f32 = np.float32
_EPSILON = _f32(1e-5)
_TWO_TO_112 = _f32(2.0**112)


@compiled(inline="always")
def _float(half):
    """The float32 of float16's bits: the exponent moves by 112. Subnormal numbers come out right, too."""
    bits = np.int32(half)
    sign, size = (bits & np.int32(0x8000)) << np.int32(16), (bits & np.int32(0x7FFF)) << np.int32(13)
    return np.int32(sign | size).view(np.float32) * _TWO_TO_112


@compiled()
def normalised_halves(halves, out):
    """Layer norm without weights of float16 rows, given as uint16 (rows, n), into float32 ``out``."""
    for r in range(halves.shape[0]):
        source, row = halves[r], out[r]
        for j in range(row.size):
            row[j] = _float(source[j])
        _normalise(row)


@compiled()
def normalised_floats(floats, out):
    """The same of float32 rows."""
    for r in range(floats.shape[0]):
        source, row = floats[r], out[r]
        for j in range(row.size):
            row[j] = source[j]
        _normalise(row)


@compiled(inline="always")
def _normalise(row):
    scale = centre(row, _EPSILON)
    for j in range(row.size):
        row[j] *= scale


@compiled()
def activate(x, bias, around, residual):
    """GELU of x (frames, n) + ``bias``, on top of what is there if ``residual``, into ``around`` (frames, 3 * n).

    A row of ``around`` is a frame between the one before and the one after; beyond the ends they stay as they are.
    """
    frames, n = x.shape
    for t in range(frames):
        own, row = x[t], around[t, n : 2 * n]
        if residual:
            for j in range(n):
                row[j] += gelu(own[j] + bias[j])
        else:
            for j in range(n):
                row[j] = gelu(own[j] + bias[j])
        if t > 0:
            around[t - 1, 2 * n :] = row
        if t + 1 < frames:
            around[t + 1, :n] = row


@compiled()
def mean_probabilities(log_probs, phones, first, stop, out):
    """Of each phone over its frames, into ``out``; of a negative one (it has none) not a number."""
    for k in range(len(phones)):
        total = np.float64(0.0)
        for t in range(first[k], stop[k]):
            total += exp2(log_probs[t, max(phones[k], 0)] * LOG2E)
        out[k] = total / (stop[k] - first[k]) if phones[k] >= 0 else np.nan


@compiled()
def log_softmax(x, bias):
    """Of each row of x (rows, n) in place, plus those of ``bias`` (k, n) in turn."""
    for r in range(x.shape[0]):
        row, own = x[r], bias[r % len(bias)]
        top = _f32(-np.inf)
        for j in range(row.size):
            row[j] += own[j]
            top = max(top, row[j])
        total = _f32(0.0)
        for j in range(row.size):
            total += exp2((row[j] - top) * LOG2E)
        total = top + np.log(total)
        for j in range(row.size):
            row[j] -= total
