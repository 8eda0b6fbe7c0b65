"""From clustered windows back to turns over the recording."""

from __future__ import annotations

import numpy as np

from pipeline.diarization_core.clustering import INACTIVE
from pipeline.diarization_core.frames import first_frames, frame_count, frame_time
from schemas.diarization import SpeakerTurn


def discrete(activity: np.ndarray, labels: np.ndarray, count: np.ndarray, step_s: float) -> np.ndarray:
    """Who speaks in which frame, (frames, speakers) bool: the ``count`` most active clusters of each frame.

    ``activity`` (windows, frames, local speakers), ``labels`` (windows, local speakers), ``count`` (frames,).
    """
    windows, frames, _ = activity.shape
    clusters = int(labels.max()) + 1
    summed = np.zeros((frame_count(windows, step_s), clusters), np.float32)
    for window, first in enumerate(first_frames(windows, step_s)):
        stop = min(len(summed), first + frames)
        for cluster in np.unique(labels[window]):
            if cluster != INACTIVE:
                active = activity[window][: stop - first, labels[window] == cluster].max(axis=1)
                summed[first:stop, cluster] += active
    most = int(count.max())
    if clusters < most:
        summed = np.pad(summed, ((0, 0), (0, most - clusters)))
    ranks = np.empty(summed.shape, int)
    np.put_along_axis(ranks, np.argsort(-summed, axis=-1), np.arange(summed.shape[1])[None], axis=1)
    length = min(len(summed), len(count))
    return ranks[:length] < count[:length, None]


def turns(speaking: np.ndarray) -> list[tuple[float, float, int]]:
    """Stretches of frames (frames, speakers) bool as (start, end, speaker), in order, seconds.

    A turn goes from the middle of its first frame to the middle of the first frame after it.
    """
    found = []
    last = len(speaking) - 1
    for speaker in range(speaking.shape[1]):
        edges = np.diff(speaking[:, speaker].astype(np.int8), prepend=0, append=0)
        for first, behind in zip(np.where(edges == 1)[0], np.where(edges == -1)[0], strict=True):
            stop = min(behind, last)
            if stop > first:
                found.append((frame_time(first), frame_time(stop), speaker))
    return sorted(found)


def labelled(found: list[tuple[float, float, int]], names: dict[int, str]) -> tuple[SpeakerTurn, ...]:
    """Turns with the names of their speakers."""
    return tuple(SpeakerTurn(start=start, end=end, speaker=names[speaker]) for start, end, speaker in found)


def names_in_order(found: list[tuple[float, float, int]]) -> dict[int, str]:
    """SPEAKER_00, SPEAKER_01 … by first appearance."""
    order = dict.fromkeys(speaker for _, _, speaker in sorted(found))
    return {speaker: f"SPEAKER_{number:02d}" for number, speaker in enumerate(order)}
