"""Speech regions, the chunks that they are packed into, and the step from probabilities to regions."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

SHORTEST_S = 0.1  # of a region, and of a pause between two: WhisperX's min_duration_on and min_duration_off


@dataclass(frozen=True)
class SpeechRegion:
    """From onset to offset, in seconds."""

    start: float
    end: float


@dataclass(frozen=True)
class Chunk:
    """Regions packed together: the stretch ``start`` to ``end`` in seconds, silence inside included."""

    start: float
    end: float
    regions: tuple[SpeechRegion, ...] = ()
    doubtful: bool = False  # not speech by the thresholds asked for, but near it


def active_frames(probability: np.ndarray, onset: float, offset: float) -> np.ndarray:
    """Which frames (frames,) are speech: on from the first above ``onset``, off from the first below ``offset``.

    Hysteresis thresholding after Gelly and Gauvain, Minimum Word Error Training of RNN-based Voice Activity
    Detection, Interspeech 2015, as in pyannote.audio.
    """
    decided = np.where(probability > onset, 1, np.where(probability < min(offset, onset), 0, -1))
    last = np.maximum.accumulate(np.where(decided >= 0, np.arange(len(decided)), -1))
    return (last >= 0) & (decided[last] == 1)


def to_regions(
    active: np.ndarray,
    frame_s: float,
    duration_s: float,
    *,
    first_s: float = 0.0,
    pad_s: float = 0.0,
    shortest_s: float = SHORTEST_S,
) -> list[SpeechRegion]:
    """Runs of active frames (frames,) as regions: ``pad_s`` longer at both ends, pauses and then regions below
    ``shortest_s`` left out. Frame 0 begins at ``first_s``.
    """
    edges = np.diff(np.concatenate(([0], active.astype(np.int8), [0])))
    starts = np.flatnonzero(edges == 1) * frame_s + first_s
    ends = np.flatnonzero(edges == -1) * frame_s + first_s
    merged: list[list[float]] = []
    for start, end in zip(starts - pad_s, ends + pad_s, strict=True):
        start, end = max(0.0, float(start)), min(duration_s, float(end))
        if merged and start - merged[-1][1] < shortest_s:
            merged[-1][1] = end
        else:
            merged.append([start, end])
    return [SpeechRegion(start, end) for start, end in merged if end - start >= shortest_s]
