"""From clustered windows back to turns over the recording."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from pipeline.diarization_core.clustering import INACTIVE
from pipeline.diarization_core.frames import first_frames, frame_count, frame_time
from schemas.diarization import SpeakerTurn

_BLOCK_FRAMES = 1 << 16  # ranks are eight bytes each; a recording of hours has a million frames


def activations(activity: np.ndarray, labels: np.ndarray, step_s: float) -> np.ndarray:
    """In how many windows each cluster talks in each frame of the recording, (frames, clusters).

    ``activity`` (windows, frames, local speakers), ``labels`` (windows, local speakers).
    """
    windows, frames, _ = activity.shape
    clusters = int(labels.max()) + 1
    summed = np.zeros((frame_count(windows, step_s), clusters), np.float32)
    for window, first in enumerate(first_frames(windows, step_s)):
        stop = min(len(summed), first + frames)
        for cluster in set(labels[window].tolist()) - {INACTIVE}:
            active = activity[window][: stop - first, labels[window] == cluster].max(axis=1)
            summed[first:stop, cluster] += active
    return summed


def most_active(summed: np.ndarray, count: np.ndarray) -> np.ndarray:
    """The ``count`` (frames,) greatest of each frame's :func:`activations`, (frames, speakers) bool."""
    most = int(count.max())
    if summed.shape[1] < most:
        summed = np.pad(summed, ((0, 0), (0, most - summed.shape[1])))
    length = min(len(summed), len(count))
    speaking = np.empty((length, summed.shape[1]), bool)
    for first in range(0, length, _BLOCK_FRAMES):
        rows = slice(first, min(length, first + _BLOCK_FRAMES))
        ranks = np.empty(summed[rows].shape, int)
        np.put_along_axis(ranks, np.argsort(-summed[rows], axis=-1), np.arange(ranks.shape[1])[None], axis=1)
        speaking[rows] = ranks < count[rows, None]
    return speaking


def turns(
    speaking: np.ndarray, end_s: float = np.inf, min_gap_s: float = 0.0
) -> list[tuple[float, float, int]]:
    """Stretches of frames (frames, speakers) bool as (start, end, speaker), in order, in seconds, up to ``end_s``.

    A turn goes from the middle of its first frame to the middle of the first frame after it; a pause shorter than
    ``min_gap_s`` does not end it.
    """
    found: list[tuple[float, float, int]] = []
    last = len(speaking) - 1
    for speaker in range(speaking.shape[1]):
        edges = np.diff(speaking[:, speaker].astype(np.int8), prepend=0, append=0)
        own: list[tuple[float, float]] = []
        for first, behind in zip(np.where(edges == 1)[0], np.where(edges == -1)[0], strict=True):
            stop = min(behind, last)
            if stop > first:
                own.append((frame_time(first), frame_time(stop)))
        found += [(*turn, speaker) for turn in _joined(own, min_gap_s)]
    cut = ((start, min(end_s, end), speaker) for start, end, speaker in found)
    return sorted(turn for turn in cut if turn[0] < turn[1])


def _joined(own: list[tuple[float, float]], min_gap_s: float) -> Iterator[tuple[float, float]]:
    """A speaker's turns, those with a shorter pause between them made one."""
    begin = end = None
    for start, stop in own:
        if end is not None and start - end >= min_gap_s:
            yield begin, end
            begin = start
        begin, end = (start if begin is None else begin), stop
    if end is not None:
        yield begin, end


def labelled(found: list[tuple[float, float, int]], names: dict[int, str]) -> tuple[SpeakerTurn, ...]:
    """Turns with the names of their speakers, to the millisecond."""
    rounded = ((round(start, 3), round(end, 3), names[speaker]) for start, end, speaker in found)
    turns = (SpeakerTurn(start=start, end=end, speaker=name) for start, end, name in rounded if start < end)
    return tuple(sorted(turns, key=lambda turn: (turn.start, turn.end)))


def names_in_order(found: list[tuple[float, float, int]]) -> dict[int, str]:
    """SPEAKER_00, SPEAKER_01 … by first appearance."""
    order = dict.fromkeys(speaker for _, _, speaker in sorted(found))
    return {speaker: f"SPEAKER_{number:02d}" for number, speaker in enumerate(order)}
