"""Who spoke when, from a recording and two networks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal, Protocol

import numpy as np

from pipeline.diarization_core import frames, reconstruction, short_stretches, voices
from pipeline.diarization_core.clustering import INACTIVE, Agglomerative, Bounds, Clustering
from pipeline.diarization_core.shared_frames import SharedFrames
from pipeline.diarization_core.short_stretches import ShortStretches
from pipeline.recording import Recording
from schemas.diarization import SpeakerTurn

Mode = Literal["exact", "fast"]

# Share of the time that finding the activity takes; only the progress display depends on it.
_ACTIVITY_SHARE = {"exact": 0.12, "fast": 0.5}


class Segmentation(Protocol):
    """pyannote's segmentation-3.0 on any framework."""

    def __call__(self, samples: np.ndarray, step_samples: int) -> np.ndarray:
        """The windows of 160,000 that lie in (samples,) to powerset scores (windows, 589, 7)."""
        ...


@dataclass(frozen=True)
class Networks:
    """The two networks, and how many windows each takes at a time."""

    segmentation: Segmentation
    embedding: voices.Embedding
    segmentation_batch: int = 32
    embedding_batch: int = 8


@dataclass(frozen=True)
class Pipeline:
    """All that makes the answer; the rest are pyannote's hyper-parameters."""

    networks: Networks
    clustering: Clustering
    exclude_overlap: bool = True
    min_duration_off_s: float = 0.0
    step_s: float = 1.0
    stretches: ShortStretches | None = None  # of mode fast, for embeddings whose threshold is known


@dataclass(frozen=True)
class Found:
    """Turns that may overlap, turns that don't, and what was found in the windows (none where nobody speaks).

    ``activity`` is (windows, frames, local speakers), ``embeddings`` (windows, local speakers, dimension), NaN for
    the silent. ``by_itself`` is the number of speakers that the clustering found, where another one was forced.
    """

    turns: tuple[SpeakerTurn, ...] = ()
    exclusive_turns: tuple[SpeakerTurn, ...] = ()
    activity: np.ndarray | None = None
    embeddings: np.ndarray | None = None
    by_itself: int | None = None


def constrained(pipeline: Pipeline) -> Pipeline:
    """The same, but two local speakers of a window are two people (as with VBx): a little more often right."""
    if not isinstance(pipeline.clustering, Agglomerative):
        return pipeline
    return replace(pipeline, clustering=replace(pipeline.clustering, constrained=True))


def diarize(
    recording: Recording,
    pipeline: Pipeline,
    bounds: Bounds,
    *,
    mode: Mode,
    progress: Callable[[float], None],
) -> Found:
    """The turns of a recording of any length. ``progress`` takes a fraction and may raise to cancel."""
    networks = pipeline.networks
    step_samples = round(pipeline.step_s * frames.SAMPLE_RATE)
    share = _ACTIVITY_SHARE[mode]
    activity = find_activity(recording, networks, step_samples, lambda f: progress(share * f))
    if not activity.any():
        return Found()

    def behind(fraction: float) -> None:
        progress(share + (0.97 - share) * fraction)

    if mode == "fast" and pipeline.stretches is not None:
        by_stretches = _by_stretches(recording, activity, pipeline, bounds, behind)
        if by_stretches is not None:
            progress(1.0)
            return by_stretches
    embed = voices.exact if mode == "exact" else voices.fast
    embeddings = embed(
        recording,
        activity,
        networks.embedding,
        step_samples,
        networks.embedding_batch,
        behind,
        exclude_overlap=pipeline.exclude_overlap,
    )
    found = answer(activity, embeddings, pipeline, bounds, recording.duration_s)
    progress(1.0)
    return found


def _by_stretches(
    recording: Recording,
    activity: np.ndarray,
    pipeline: Pipeline,
    bounds: Bounds,
    progress: Callable[[float], None],
) -> Found | None:
    """By short stretches, see :mod:`pipeline.diarization_core.short_stretches`; none where there are too few."""
    how, embedding, batch = pipeline.stretches, pipeline.networks.embedding, pipeline.networks.embedding_batch
    assert how is not None
    shared = SharedFrames(recording, embedding, voices.blocks_together(batch), keep=True)
    stretches = short_stretches.listen(
        how, shared, embedding, activity, pipeline.step_s, lambda f: progress(0.9 * f)
    )
    if len(stretches.voices) < 2:
        return None
    people = short_stretches.people_of(stretches, how, bounds)
    activity = short_stretches.split(activity, stretches, people, how, pipeline.step_s)
    embeddings = voices.fast(
        recording,
        activity,
        embedding,
        round(pipeline.step_s * frames.SAMPLE_RATE),
        batch,
        lambda f: progress(0.9 + 0.1 * f),
        exclude_overlap=pipeline.exclude_overlap,
        shared=shared,
    )
    nearest = replace(pipeline, clustering=short_stretches.Nearest(people.centroids))
    return answer(activity, embeddings, nearest, bounds, recording.duration_s)


def answer(
    activity: np.ndarray, embeddings: np.ndarray, pipeline: Pipeline, bounds: Bounds, duration_s: float
) -> Found:
    """The turns of what the networks found, see :class:`Found`; somebody speaks in ``activity``."""
    step_s = pipeline.step_s
    clusters = pipeline.clustering(embeddings, activity, bounds)
    labels = clusters.labels.copy()
    labels[activity.sum(axis=1) == 0] = INACTIVE
    count = frames.speaker_count(activity, step_s)
    most = bounds.exactly or bounds.most
    count = count if most is None else np.minimum(count, most)

    active = reconstruction.activations(activity, labels, step_s)

    def turns(count: np.ndarray) -> list[tuple[float, float, int]]:
        speaking = reconstruction.most_active(active, count)
        return reconstruction.turns(speaking, duration_s, pipeline.min_duration_off_s)

    every, one = turns(count), turns(np.minimum(count, 1))
    names = reconstruction.names_in_order(every)
    return Found(
        reconstruction.labelled(every, names),
        reconstruction.labelled([turn for turn in one if turn[2] in names], names),
        activity,
        embeddings,
        clusters.found,
    )


def find_activity(
    recording: Recording, networks: Networks, step_samples: int, progress: Callable[[float], None]
) -> np.ndarray:
    """Which local speakers talk in which frames of each window, (windows, 589, 3) uint8."""
    windows = frames.window_count(recording.samples, step_samples)
    activity = np.zeros((windows, frames.WINDOW_FRAMES, frames.POWERSET.shape[1]), np.uint8)
    size = networks.segmentation_batch
    for first in range(0, windows, size):
        batch = range(first, min(windows, first + size))
        begin = batch[0] * step_samples
        samples = recording.read(begin, batch[-1] * step_samples + frames.WINDOW_SAMPLES)
        samples = frames.filled_up(samples, (len(batch) - 1) * step_samples + frames.WINDOW_SAMPLES)
        activity[batch.start : batch.stop] = frames.binarize(networks.segmentation(samples, step_samples))
        progress((batch[-1] + 1) / windows)
    return activity
