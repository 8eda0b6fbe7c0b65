"""Speech from synthesisers that know when each word and each phone is said, for training and for measuring.

Both libraries are the distribution's (Debian: ``libflite1``, ``libespeak-ng1``) and are called through ctypes.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import gcd

import numpy as np

RATE = 16_000


@dataclass(frozen=True)
class Unit:
    """A word or a phone, with start and end in seconds."""

    text: str
    start: float
    end: float


@dataclass(frozen=True)
class Spoken:
    """``samples`` float32 (samples,) at 16 kHz, peak at most 1, and what is said in them, in order."""

    samples: np.ndarray
    words: tuple[Unit, ...]
    phones: tuple[Unit, ...]

    @property
    def duration_s(self) -> float:
        return len(self.samples) / RATE


def at_16_khz(samples: np.ndarray, rate: int) -> np.ndarray:
    """16-bit samples at ``rate`` as float32 at 16 kHz."""
    from scipy.signal import resample_poly

    waveform = samples.astype(np.float32) / 32768
    if rate == RATE:
        return waveform
    common = gcd(RATE, rate)
    return resample_poly(waveform, RATE // common, rate // common).astype(np.float32)
