"""Clustering gives what pyannote.audio's own classes give, on drawn embeddings and activity."""

import os

import numpy as np
import pytest

from pipeline.diarization_core.clustering import (
    Agglomerative,
    Bounds,
    Vbx,
    constrained_argmax,
    cosine_distances,
    thinned,
)

os.environ["PYANNOTE_METRICS_ENABLED"] = "0"


def drawn(seed, people=3, windows=40, spread=0.35, dimension=64):
    """Embeddings (windows, 3, dimension) of ``people`` voices and activity (windows, 100, 3)."""
    rng = np.random.default_rng(seed)
    voices = rng.standard_normal((people, dimension))
    embeddings = np.full((windows, 3, dimension), np.nan)
    activity = np.zeros((windows, 100, 3), np.float32)
    for window in range(windows):
        present = rng.choice(people, size=rng.integers(1, min(3, people) + 1), replace=False)
        for local, person in enumerate(present):
            start = rng.integers(0, 60)
            activity[window, start : start + rng.integers(10, 40), local] = 1
            embeddings[window, local] = voices[person] + spread * rng.standard_normal(dimension)
    return embeddings, activity


class RandomPlda:
    """A linear map to fewer dimensions with decreasing variances."""

    def __init__(self, seed, dimension=64, kept=32):
        rng = np.random.default_rng(seed)
        self.matrix = rng.standard_normal((dimension, kept)) / np.sqrt(dimension) * 3
        self.phi = np.linspace(8, 0.2, kept)

    def __call__(self, embeddings):
        return embeddings @ self.matrix


def reference(kind, embeddings, activity, bounds, **parameters):
    from pyannote.audio.pipelines import clustering as theirs
    from pyannote.core import SlidingWindow, SlidingWindowFeature

    plda = parameters.pop("plda", None)
    cluster = theirs.VBxClustering(plda) if kind == "vbx" else theirs.AgglomerativeClustering("cosine")
    cluster.instantiate(parameters)
    hard, _, centroids = cluster(
        embeddings=embeddings.copy(),
        segmentations=SlidingWindowFeature(activity, SlidingWindow(duration=10.0, step=1.0)),
        num_clusters=bounds.exactly,
        min_clusters=bounds.least,
        max_clusters=bounds.most or np.inf,
    )
    return hard, centroids


def talks(activity):
    return activity.sum(axis=1) > 0


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize(
    "bounds", [Bounds(), Bounds(exactly=2, least=2, most=2), Bounds(least=4), Bounds(most=2)]
)
def test_agglomerative_equals_pyannotes(seed, bounds):
    embeddings, activity = drawn(seed, people=2 + seed % 3)
    hard, centroids = reference(
        "ahc",
        embeddings,
        activity,
        bounds,
        method="centroid",
        min_cluster_size=12,
        threshold=0.7045654963945799,
    )
    found = Agglomerative()(embeddings, activity, bounds)
    np.testing.assert_array_equal(found.labels[talks(activity)], hard[talks(activity)])
    np.testing.assert_allclose(found.centroids, centroids, rtol=1e-6)


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("bounds", [Bounds(), Bounds(exactly=2, least=2, most=2), Bounds(most=2)])
def test_vbx_equals_pyannotes(seed, bounds):
    embeddings, activity = drawn(seed, people=2 + seed % 3)
    plda = RandomPlda(seed)
    hard, centroids = reference(
        "vbx", embeddings, activity, bounds, plda=plda, threshold=0.6, Fa=0.07, Fb=0.8
    )
    found = Vbx(plda)(embeddings, activity, bounds)
    np.testing.assert_allclose(found.centroids, centroids, rtol=1e-6)
    np.testing.assert_array_equal(found.labels[talks(activity)], hard[talks(activity)])


@pytest.mark.parametrize("cluster", [Agglomerative(), Vbx(RandomPlda(0))])
def test_too_few_embeddings_make_one_cluster(cluster):
    embeddings, activity = drawn(0, windows=1)
    embeddings[:] = np.nan
    found = cluster(embeddings, activity, Bounds())
    assert found.labels.tolist() == [[0, 0, 0]]
    assert found.centroids.shape == (1, 64)
    assert np.isfinite(found.centroids).all()


def test_local_speakers_of_a_window_become_different_people():
    similar = np.array([[[0.9, 0.8], [0.95, 0.1], [np.nan, np.nan]]])
    assert constrained_argmax(similar).tolist() == [[1, 0, -2]]


def test_bounds_shrink_to_what_can_be_met():
    assert Bounds(exactly=5, least=5, most=5).among(2) == Bounds(2, 2, 2)
    assert Bounds(least=3).among(10) == Bounds(3, 10, None)


@pytest.mark.parametrize("cluster", [Agglomerative, Vbx])
def test_a_long_recording_is_clustered_by_every_so_many_of_its_windows(cluster):
    """Its speakers are those that all of the windows give; every embedding gets one of them."""
    embeddings, activity = drawn(3, people=4, windows=400)
    plda = () if cluster is Agglomerative else (RandomPlda(3),)
    whole, part = cluster(*plda), cluster(*plda, most_training=150)
    every = whole(embeddings, activity, Bounds())
    some = part(embeddings, activity, Bounds())
    assert some.centroids.shape == every.centroids.shape == (4, 64)
    pairs = set(zip(every.labels[talks(activity)], some.labels[talks(activity)], strict=True))
    assert len(pairs) == 4


def test_thinned_windows_are_as_few_as_asked_for():
    windows = np.repeat(np.arange(1000), 2)
    kept, every = thinned(windows, 450)
    assert (kept.sum(), every) == (400, 5)
    kept, every = thinned(windows, 2000)
    assert (kept.all(), every) == (True, 1)


def test_cosine_distances_are_those_of_pdist():
    from scipy.spatial.distance import pdist

    unit = np.random.default_rng(0).standard_normal((1030, 5))
    unit /= np.linalg.norm(unit, axis=1, keepdims=True)
    np.testing.assert_allclose(cosine_distances(unit), pdist(unit, "cosine"), atol=1e-12)
    twice = np.repeat(unit.astype(np.float32), 2, axis=0)
    assert cosine_distances(twice).min() >= 0
