"""Words on the clock: a transcript's words placed on the recording.

The driver cuts the audio of each segment, shifts the times, clips them to the recording, and falls back; a
backend places the words of a batch of cuts.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from schemas.transcript import Char, Timing


@dataclass(frozen=True)
class Cut:
    """The audio of a segment, ``waveform`` float32 (samples,) at 16 kHz, and the words said in it."""

    waveform: np.ndarray
    words: tuple[str, ...]
    language: str


@dataclass(frozen=True)
class WordTime:
    """Start and end in seconds from the beginning of the cut; ``score`` from 0 to 1."""

    start: float
    end: float
    score: float | None
    timing: Timing
    chars: tuple[Char, ...] = ()


class Aligner(Protocol):
    """``cache_key`` names weights and whatever else changes the answer."""

    cache_key: str
    model: str | None
    revision: str | None
    device: str

    def align(self, cuts: Sequence[Cut]) -> list[list[WordTime | None] | Exception]:
        """For each cut one entry per word, in order (none where it has no time), or a FailedToAlign."""
        ...
