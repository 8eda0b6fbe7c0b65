"""Who speaks, decided on stretches of a second and a half instead of windows of ten.

The segmentation takes two people with like voices for one local speaker of a window, and an embedding of ten
seconds of both is nobody's. Voices of short stretches tell them apart: the stretches are clustered (average
linkage of cosines), the local speakers of the windows are split where their frames belong to several people, and
each goes to the person whose voice is nearest. A stretch costs a product, as all share the trunk's frames.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from pipeline.diarization_core import frames
from pipeline.diarization_core.clustering import (
    Agglomerative,
    Bounds,
    Clusters,
    constrained_argmax,
    similarity,
    thinned,
)
from pipeline.diarization_core.fbank import HOP_SAMPLES
from pipeline.diarization_core.shared_frames import SharedFrames
from pipeline.diarization_core.voices import Embedding

_POOLED_S = 30.0  # stretches pooled together


@dataclass(frozen=True)
class ShortStretches:
    """Seconds, and what joins people's stretches: a mean distance of cosines under ``clustering.threshold``."""

    clustering: Agglomerative
    length_s: float = 1.5
    hop_s: float = 0.5
    least_part_s: float = 0.75  # of a local speaker's frames, to be somebody of its own


@dataclass(frozen=True)
class Stretches:
    """Middles in seconds (n,) and voices (n, dimension), of unit length."""

    middles: np.ndarray
    voices: np.ndarray


@dataclass(frozen=True)
class People:
    """``centroids`` (people, dimension), and whose each stretch is, (n,)."""

    centroids: np.ndarray
    labels: np.ndarray


@dataclass(frozen=True)
class Nearest:
    """A clustering whose people are known: local speakers of a window go to different ones of them."""

    centroids: np.ndarray

    def __call__(self, embeddings: np.ndarray, activity: np.ndarray, bounds: Bounds) -> Clusters:
        """As :class:`pipeline.diarization_core.clustering.Clustering`."""
        return Clusters(constrained_argmax(similarity(embeddings, self.centroids)), self.centroids)


def listen(
    how: ShortStretches,
    shared: SharedFrames,
    embedding: Embedding,
    activity: np.ndarray,
    step_s: float,
    progress: Callable[[float], None],
) -> Stretches:
    """The stretches at least half of which one person speaks alone."""
    frame_s = embedding.mels_per_frame * HOP_SAMPLES / frames.SAMPLE_RATE
    alone = _alone(activity, step_s, frame_s, shared.total)
    half = round(how.length_s / 2 / frame_s)
    middles = np.arange(half, max(half + 1, shared.total - half + 1), round(how.hop_s / frame_s))
    begins, ends = middles - half, np.minimum(middles + half, shared.total)
    so_far = np.concatenate([[0], np.cumsum(alone)])
    heard = np.flatnonzero(so_far[ends] - so_far[begins] >= half)
    voices = [np.empty((0, embedding.dimension), np.float32)]
    together = max(1, round(_POOLED_S / how.hop_s))
    for block in np.split(heard, np.flatnonzero(np.diff(heard // together)) + 1) if len(heard) else ():
        begin, end = begins[block[0]], ends[block[-1]]
        rows = np.zeros((len(block), end - begin), np.float32)
        for row, first, last in zip(rows, begins[block], ends[block], strict=True):
            row[first - begin : last - begin] = alone[first:last]
        voices.append(embedding.pool_shared(shared.read(begin, end), rows))
        progress(end / shared.total)
    found = np.concatenate(voices)
    return Stretches(middles[heard] * frame_s, found / np.linalg.norm(found, axis=1, keepdims=True))


def _alone(activity: np.ndarray, step_s: float, frame_s: float, total: int) -> np.ndarray:
    """Whether one person speaks in each of the trunk's frames, (total,) bool."""
    count = frames.speaker_count(activity, step_s)
    seconds = (np.arange(total) + 0.5) * frame_s
    index = np.rint((seconds - frames.FRAME_DURATION_S / 2) / frames.FRAME_STEP_S).astype(int)
    return count[np.clip(index, 0, len(count) - 1)] == 1


def people_of(stretches: Stretches, how: ShortStretches, bounds: Bounds) -> People:
    """The people who speak; of long recordings, found on every second or third stretch."""
    kept, every = thinned(np.arange(len(stretches.voices)), how.clustering.most_training)
    train = stretches.voices[kept]
    labels = how.clustering.train_labels(train, bounds.among(len(train)), every)
    centroids = np.stack([train[labels == k].mean(axis=0) for k in range(labels.max() + 1)])
    centroids /= np.linalg.norm(centroids, axis=1, keepdims=True)
    return People(centroids, (stretches.voices @ centroids.T).argmax(axis=1))


def split(
    activity: np.ndarray, stretches: Stretches, people: People, how: ShortStretches, step_s: float
) -> np.ndarray:
    """Activity (windows, frames, local speakers) with those who are several people in as many columns.

    Frames in which several talk stay with the person who has most of the local speaker's others.
    """
    windows = [
        _split(
            window, _whose(stretches, people, how, number * step_s), how.least_part_s, len(people.centroids)
        )
        for number, window in enumerate(activity)
    ]
    most = max(activity.shape[2], *(len(columns) for columns in windows))
    found = np.zeros((*activity.shape[:2], most), activity.dtype)
    for window, columns in zip(found, windows, strict=True):
        for column, own in enumerate(columns):
            window[:, column] = own
    return found


def _whose(stretches: Stretches, people: People, how: ShortStretches, begin_s: float) -> np.ndarray:
    """Whom the stretch nearest to each frame of a window belongs to, (frames,); -1 where none is near."""
    seconds = begin_s + np.arange(frames.WINDOW_FRAMES) * frames.FRAME_STEP_S + frames.FRAME_DURATION_S / 2
    index = np.searchsorted(stretches.middles, seconds - how.hop_s / 2).clip(0, len(stretches.middles) - 1)
    near = np.abs(stretches.middles[index] - seconds) < 2 * how.hop_s
    return np.where(near, people.labels[index], -1)


def _split(window: np.ndarray, whose: np.ndarray, least_s: float, people: int) -> list[np.ndarray]:
    """The columns of one window (frames, local speakers) that are not silent, those of several people apart."""
    whose = np.where(frames.talkers(window[None])[0] == 1, whose, -1)
    columns: list[np.ndarray] = []
    for own in window.T.astype(bool):
        if not own.any():
            continue
        of_people = np.bincount(whose[own] + 1, minlength=people + 1)[1:]  # frames of each alone
        enough = np.flatnonzero(of_people * frames.FRAME_STEP_S >= least_s)
        others = [own & (whose == k) for k in enough if k != of_people.argmax()]
        columns += [own & ~np.any(others, axis=0) if others else own, *others]
    return columns
