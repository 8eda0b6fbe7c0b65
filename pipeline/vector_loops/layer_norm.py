"""The layer norm of loops that numba makes vector instructions of."""

from __future__ import annotations

import numpy as np

from pipeline.vector_loops.exponential import compiled

_f32 = np.float32


@compiled(inline="always")
def centre(row, epsilon):
    """Takes the mean out of a float32 row, in place; what to multiply it with for a variance of one."""
    total = _f32(0.0)
    for j in range(row.size):
        total += row[j]
    mean = total / _f32(row.size)
    squares = _f32(0.0)
    for j in range(row.size):
        row[j] -= mean
        squares += row[j] * row[j]
    return _f32(1.0) / np.sqrt(squares / _f32(row.size) + epsilon)
