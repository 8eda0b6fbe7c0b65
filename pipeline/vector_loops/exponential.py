"""The exponential, and the way to compile, of loops that numba makes vector instructions of.

The exponential of the C library is called for one number at a time; this one is a polynomial that the compiler
takes eight or sixteen numbers through at once.
"""

from __future__ import annotations

from functools import partial

import numpy as np
from numba import njit

_f32 = np.float32
LOG2E = _f32(1.4426950408889634)

compiled = partial(
    njit,
    cache=True,
    nogil=True,
    error_model="numpy",
    fastmath={"nnan", "ninf", "nsz", "contract", "reassoc"},
)
"""Compiled on first use, then cached; runs beside other Python threads."""


@compiled(inline="always")
def exp2(x):
    """2**x for float32 x, relative error 4e-7; 2**-126 for all that is smaller. Chebyshev fit on [-0.5, 0.5]."""
    x = max(x, _f32(-126.0))
    whole = np.floor(x + _f32(0.5))
    part = x - whole
    value = _f32(1.3400432165823137e-3) * part + _f32(9.67603709788144e-3)
    value = value * part + _f32(5.5503272142078036e-2)
    value = value * part + _f32(2.4022107355830186e-1)
    value = value * part + _f32(6.931472067106205e-1)
    value = value * part + _f32(1.0000000754953497)
    return value * np.int32((np.int32(whole) + np.int32(127)) << np.int32(23)).view(np.float32)
