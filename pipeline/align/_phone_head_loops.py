"""A phone head as two calls of what numba compiles, so that heads on several threads do not wait for one another.

The matrix products are SciPy's BLAS.
"""

from __future__ import annotations

import numpy as np
import scipy.linalg.cython_blas  # noqa: F401 - that numba calls it, threadpoolctl must see before

from pipeline.vector_loops.exponential import LOG2E, compiled, exp2
from pipeline.vector_loops.gelu import gelu
from pipeline.vector_loops.layer_norm import centre

_f32 = np.float32
_EPSILON = _f32(1e-5)
_TWO_TO_112 = _f32(2.0**112)
_TILE_FRAMES = 250


@compiled(inline="always")
def _float(half):
    """The float32 of float16's bits: the exponent moves by 112. Subnormal numbers come out right, too."""
    bits = np.int32(half)
    sign, size = (bits & np.int32(0x8000)) << np.int32(16), (bits & np.int32(0x7FFF)) << np.int32(13)
    return np.int32(sign | size).view(np.float32) * _TWO_TO_112


@compiled()
def inward_of_halves(halves, weight):
    """Layer norm without weights of float16 rows, given as uint16 (rows, n), and the product with ``weight``."""
    product = np.empty((len(halves), weight.shape[1]), np.float32)
    tile = np.empty((_TILE_FRAMES, halves.shape[1]), np.float32)  # stays in the cache
    for first in range(0, len(halves), _TILE_FRAMES):
        own = halves[first : first + _TILE_FRAMES]
        for r in range(len(own)):
            for j in range(tile.shape[1]):
                tile[r, j] = _float(own[r, j])
            _normalise(tile[r])
        np.dot(tile[: len(own)], weight, product[first : first + len(own)])
    return product


@compiled()
def inward_of_floats(floats, weight):
    """The same of float32 rows."""
    product = np.empty((len(floats), weight.shape[1]), np.float32)
    tile = np.empty((_TILE_FRAMES, floats.shape[1]), np.float32)
    for first in range(0, len(floats), _TILE_FRAMES):
        own = floats[first : first + _TILE_FRAMES]
        for r in range(len(own)):
            tile[r] = own[r]
            _normalise(tile[r])
        np.dot(tile[: len(own)], weight, product[first : first + len(own)])
    return product


@compiled()
def log_probs(inward, inward_bias, weight1, bias1, weight2, bias2, outward, outward_bias):
    """Of the phones (2 * frames, phones), after the first product: two residual convolutions, and the last one."""
    frames, n = inward.shape
    around = np.zeros((frames, 3 * n), np.float32)
    _activate(inward, inward_bias, around, False)
    _activate(np.dot(around, weight1), bias1, around, True)
    own = np.dot(around, weight2)
    for t in range(frames):
        for j in range(n):
            own[t, j] = around[t, n + j] + gelu(own[t, j] + bias2[j])
    found = np.dot(own, outward).reshape(2 * frames, outward_bias.shape[1])
    _log_softmax(found, outward_bias)
    return found


@compiled(inline="always")
def _normalise(row):
    scale = centre(row, _EPSILON)
    for j in range(row.size):
        row[j] *= scale


@compiled()
def _activate(x, bias, around, residual):
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
def times(log_probs, words, phones, first, stop, frame_s):
    """Of phones by their frames: start, end and mean probability, not a number if it has none (phones,) each.

    And of the words that they belong to: the first phone's place, and the mean (words,) each.
    """
    starts, ends = np.maximum(0.0, (first - 0.5) * frame_s), (stop - 0.5) * frame_s
    scores, begins = np.empty(len(phones)), np.flatnonzero(np.append(1, np.diff(words)))[: len(words)]
    means = np.empty(len(begins))
    for w in range(len(begins)):
        total, weight = 0.0, 0.0
        for k in range(begins[w], begins[w + 1] if w + 1 < len(begins) else len(words)):
            scores[k] = np.nan
            if phones[k] >= 0:
                scores[k] = _mean_probability(log_probs, phones[k], first[k], stop[k])
                total += scores[k] * (ends[k] - starts[k])
                weight += ends[k] - starts[k]
        means[w] = total / weight if weight > 0 else np.nan
    return starts, ends, scores, begins, means


@compiled()
def _mean_probability(log_probs, phone, first, stop):
    total = np.float64(0.0)
    for t in range(first, stop):
        total += exp2(log_probs[t, phone] * LOG2E)
    return total / (stop - first)


@compiled()
def _log_softmax(x, bias):
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
