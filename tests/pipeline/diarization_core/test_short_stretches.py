"""Local speakers of windows that are several people, told apart by short stretches."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.diarization_core.clustering import INACTIVE, Agglomerative, Bounds
from pipeline.diarization_core.frames import WINDOW_FRAMES
from pipeline.diarization_core.short_stretches import (
    Nearest,
    People,
    ShortStretches,
    Stretches,
    listen,
    people_of,
    split,
)

HOW = ShortStretches(Agglomerative(0.63, 6, method="average", metric="cosine"))
HALF = WINDOW_FRAMES // 2


def unit(*rows: list[float]) -> np.ndarray:
    voices = np.array(rows, np.float32)
    return voices / np.linalg.norm(voices, axis=1, keepdims=True)


def stretches(labels: list[int]) -> tuple[Stretches, People]:
    """One every half second, of people as different as can be."""
    whose = np.array(labels)
    centroids = np.eye(max(labels) + 1, dtype=np.float32)
    return Stretches(np.arange(len(labels)) * 0.5 + 0.75, centroids[whose]), People(centroids, whose)


def one_window(*columns: np.ndarray) -> np.ndarray:
    return np.stack(columns, axis=1)[None].astype(np.uint8)


def test_a_local_speaker_who_is_two_people_becomes_two():
    own = np.ones(WINDOW_FRAMES)
    found = split(one_window(own, own * 0, own * 0), *stretches([0] * 9 + [1] * 10), HOW, 1.0)
    assert found.shape == (1, WINDOW_FRAMES, 3)
    assert (found.sum(axis=2) == 1).all()
    np.testing.assert_allclose(found[0, :, :2].sum(axis=0, dtype=float), HALF, atol=20)
    assert found[0, -1].argmax() != found[0, 0].argmax()


def test_more_people_than_there_were_columns_get_columns_of_their_own():
    own = np.ones(WINDOW_FRAMES)
    found = split(
        one_window(own, own * 0, own * 0), *stretches([0] * 5 + [1] * 5 + [2] * 5 + [3] * 5), HOW, 1.0
    )
    assert found.shape == (1, WINDOW_FRAMES, 4)
    assert found.any(axis=1).all()


def test_a_part_of_less_than_three_quarters_of_a_second_stays():
    own = np.ones(WINDOW_FRAMES)
    found = split(one_window(own), *stretches([0] * 18 + [1]), HOW, 1.0)
    assert (found[0, :, 0] == 1).all()
    assert found.shape[2] == 1


def test_frames_in_which_two_talk_keep_both():
    own, other = np.ones(WINDOW_FRAMES), np.zeros(WINDOW_FRAMES)
    other[100:200] = 1
    window = one_window(own, other)
    found = split(window, *stretches([0] * 9 + [1] * 10), HOW, 1.0)
    np.testing.assert_array_equal(found.sum(axis=2), window.sum(axis=2))


@pytest.mark.parametrize(
    ("bounds", "people"),
    [(Bounds(), 3), (Bounds(2, 2, 2), 2), (Bounds(1, 2), 2), (Bounds(1, 1, 1), 1)],
)
def test_people_are_found_by_their_voices_and_by_the_number_asked_for(bounds, people):
    rng = np.random.default_rng(0)
    centres = np.repeat(np.eye(3, 8), 20, axis=0)
    voices = unit(*(centres + 0.1 * rng.standard_normal(centres.shape)).tolist())
    found = people_of(Stretches(np.arange(60) * 0.5, voices), HOW, bounds)
    assert len(found.centroids) == people
    whose = found.labels.reshape(3, 20)
    assert (whose == whose[:, :1]).all()
    assert len(set(whose[:, 0].tolist())) == people


def test_of_many_stretches_every_second_is_clustered_and_all_are_given_to_somebody():
    clustering = Agglomerative(0.63, 6, method="average", metric="cosine", most_training=50)
    voices = np.repeat(np.eye(2, 4, dtype=np.float32), 50, axis=0)
    found = people_of(Stretches(np.arange(100) * 0.5, voices), ShortStretches(clustering), Bounds())
    assert len(found.centroids) == 2
    assert len(set(found.labels[:50].tolist())) == len(set(found.labels[50:].tolist())) == 1


def test_two_local_speakers_of_a_window_are_different_people():
    embeddings = unit([1, 0.1], [1, 0.2], [0, 1])[None]
    found = Nearest(unit([1, 0], [0, 1]))(embeddings, np.ones((1, 4, 3)), Bounds())
    assert sorted(found.labels[0].tolist()) == [INACTIVE, 0, 1]


class _Frames:
    """Shared frames that say nothing but their number."""

    total = 1000

    def read(self, begin: int, end: int) -> np.ndarray:
        return np.arange(begin, end)[:, None]


class _Network:
    """An embedding that says which frames it was pooled from."""

    dimension, mels_per_frame = 2, 2

    def pool_shared(self, frames: np.ndarray, masks: np.ndarray) -> np.ndarray:
        seen = [frames[mask > 0, 0] for mask in masks]
        return np.array([[own.min() + 1, own.max() + 1] for own in seen], np.float32)


def test_stretches_are_those_that_one_person_speaks_alone():
    """20 s: the first 10 of one person, the others of two at once."""
    activity = np.zeros((11, WINDOW_FRAMES, 3), np.uint8)
    for window in range(11):
        at = window + np.arange(WINDOW_FRAMES) * 0.016875
        activity[window, :, 0] = 1
        activity[window, at >= 10, 1] = 1
    fractions: list[float] = []
    found = listen(HOW, _Frames(), _Network(), activity, 1.0, fractions.append)
    assert found.middles[0] == pytest.approx(0.76, abs=0.02)
    assert found.middles[-1] == pytest.approx(10.0, abs=0.3)
    np.testing.assert_allclose(np.diff(found.middles), 0.5, atol=0.011)
    np.testing.assert_allclose(np.linalg.norm(found.voices, axis=1), 1, atol=1e-6)
    assert fractions
    assert fractions == sorted(fractions)
