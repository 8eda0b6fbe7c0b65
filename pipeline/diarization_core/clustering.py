"""Which local speakers of the windows are one person: centroid-linkage clustering, and VBx on top of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.optimize import linear_sum_assignment
from scipy.spatial.distance import cdist
from scipy.special import logsumexp, softmax

from pipeline.diarization_core.frames import talkers
from pipeline.diarization_core.plda import Plda

INACTIVE = -2
MIN_ACTIVE_RATIO = 0.2
_KEPT_PRIOR = 1e-7
MOST_TRAINING = 9000  # embeddings of two hours; the linkage's time and memory grow with their square


@dataclass(frozen=True)
class Bounds:
    """How many speakers there may be; ``exactly`` where that was said."""

    least: int = 1
    most: int | None = None
    exactly: int | None = None

    def among(self, embeddings: int) -> Bounds:
        """Bounds that ``embeddings`` training embeddings can meet."""
        least = max(1, min(embeddings, self.exactly or self.least))
        most = max(1, min(embeddings, self.exactly or self.most or embeddings))
        return Bounds(least, most, least if least == most else self.exactly)


@dataclass(frozen=True)
class Clusters:
    """``labels`` (windows, local speakers), ``INACTIVE`` for none; ``centroids`` (clusters, dimension).

    ``found`` is the number that the clustering found by itself, where it was made to give another one.
    """

    labels: np.ndarray
    centroids: np.ndarray
    found: int | None = None


class Clustering(Protocol):
    """Embeddings (windows, local speakers, dimension) and activity (windows, frames, speakers) to clusters."""

    def __call__(self, embeddings: np.ndarray, activity: np.ndarray, bounds: Bounds) -> Clusters: ...


def trainable(embeddings: np.ndarray, activity: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Windows and local speakers whose embedding is finite and who talk alone in a fifth of the frames."""
    alone = talkers(activity) == 1
    clean_frames = np.stack(
        [(part.astype(bool) & alone).sum(axis=1) for part in np.moveaxis(activity, 2, 0)], 1
    )
    enough = clean_frames >= MIN_ACTIVE_RATIO * activity.shape[1]
    return np.where(enough & ~np.isnan(embeddings).any(axis=2))


def thinned(windows: np.ndarray, most: int) -> tuple[np.ndarray, int]:
    """Which training embeddings to cluster, by their ``windows``, and of how many each stands for one.

    Windows overlap, so that of a recording of many hours every second or third says as much: the rest is assigned
    to the clusters like any other embedding.
    """
    every = max(1, -(-len(windows) // most))
    return windows % every == 0, every


@dataclass(frozen=True)
class Agglomerative:
    """Linkage of unit embeddings, small clusters given to large ones: pyannote 3.1's clustering by default."""

    threshold: float = 0.7045654963945799
    min_cluster_size: int = 12
    constrained: bool = False
    most_training: int = MOST_TRAINING
    method: str = "centroid"
    metric: Literal["euclidean", "cosine"] = "euclidean"

    def __call__(self, embeddings: np.ndarray, activity: np.ndarray, bounds: Bounds) -> Clusters:
        windows, speakers = trainable(embeddings, activity)
        kept, every = thinned(windows, self.most_training)
        train = embeddings[windows[kept], speakers[kept]]
        bounds = bounds.among(len(train))
        if len(train) == 0 or bounds.most < 2:
            return _one_cluster(embeddings, train)
        labels = self.train_labels(train, bounds, every)
        centroids = np.stack([train[labels == k].mean(axis=0) for k in range(labels.max() + 1)])
        similar = similarity(embeddings, centroids)
        hard = constrained_argmax(similar) if self.constrained else similar.argmax(axis=2)
        return Clusters(hard, centroids)

    def train_labels(self, train: np.ndarray, bounds: Bounds, every: int = 1) -> np.ndarray:
        """Clusters of the training embeddings (n, dimension), of ``every`` so many one, numbered from 0."""
        count = len(train)
        if count == 1:
            return np.zeros(1, int)
        smallest = min(max(1, round(self.min_cluster_size / every)), max(1, round(0.1 * count)))
        unit = train / np.linalg.norm(train, axis=-1, keepdims=True)
        tree = linkage(cosine_distances(unit) if self.metric == "cosine" else unit, method=self.method)
        labels = fcluster(tree, self.threshold, criterion="distance") - 1
        large = _large(labels, smallest)
        wanted = bounds.exactly
        if len(large) < bounds.least:
            wanted = bounds.least
        elif bounds.most is not None and len(large) > bounds.most:
            wanted = bounds.most
        if wanted is not None and len(large) != wanted:
            labels = self._nearest_cut(tree, wanted, smallest)
            large = _large(labels, smallest)
        if len(large) == 0:
            return np.zeros(count, int)
        return _small_into_large(unit, labels, large)

    def _nearest_cut(self, tree: np.ndarray, wanted: int, smallest: int) -> np.ndarray:
        """The cut of the tree nearest to the threshold whose number of large clusters is nearest to wanted."""
        count = len(tree) + 1
        sizes = np.concatenate([np.ones(count), tree[:, 3]])
        large = (sizes >= smallest).astype(int)
        joined = tree[:, :2].astype(int)
        found = large[:count].sum() + np.cumsum(large[count:] - large[joined[:, 0]] - large[joined[:, 1]])
        order = np.argsort(np.abs(tree[:, 2] - self.threshold))
        order = order[tree[order, 3] >= smallest]
        off = np.abs(found[order] - wanted)
        best = order[off.argmin()] if len(order) and off.min() < abs(1 - wanted) else len(tree)
        steps = tree.copy()
        steps[:, 2] = np.arange(len(tree))
        return fcluster(steps, best, criterion="distance") - 1


@dataclass(frozen=True)
class Vbx:
    """community-1's clustering: centroid linkage, then variational Bayes on PLDA features.

    A number of speakers that VBx does not find by itself is met by k-means, without the constraint that two
    local speakers of a window are two people.
    """

    plda: Plda
    threshold: float = 0.6
    fa: float = 0.07
    fb: float = 0.8
    most_training: int = MOST_TRAINING

    def __call__(self, embeddings: np.ndarray, activity: np.ndarray, bounds: Bounds) -> Clusters:
        windows, speakers = trainable(embeddings, activity)
        kept, _ = thinned(windows, self.most_training)
        train = embeddings[windows[kept], speakers[kept]]
        if len(train) < 2:
            return _one_cluster(embeddings, train)
        unit = train / np.linalg.norm(train, axis=1, keepdims=True)
        tree = linkage(unit, method="centroid", metric="euclidean")
        start = _renumbered(fcluster(tree, self.threshold, criterion="distance"))
        gamma, priors = vbx(self.plda(train), self.plda.phi, start, self.fa, self.fb)
        weights = gamma[:, priors > _KEPT_PRIOR]
        centroids = weights.T @ train / weights.sum(axis=0, keepdims=True).T
        found = len(centroids)
        wanted = self._wanted(found, bounds.among(len(train)))
        if wanted is not None:
            centroids = _k_means(unit, train, wanted)
        similar = similarity(embeddings, centroids)
        if wanted is not None:
            return Clusters(similar.argmax(axis=2), centroids, found)
        similar[activity.sum(axis=1) == 0] = np.nanmin(similar) - 1.0
        return Clusters(constrained_argmax(similar), centroids)

    @staticmethod
    def _wanted(found: int, bounds: Bounds) -> int | None:
        """The number of speakers to force, where VBx found another one."""
        wanted = bounds.exactly
        if found < bounds.least:
            wanted = bounds.least
        elif bounds.most is not None and found > bounds.most:
            wanted = bounds.most
        return wanted if wanted != found else None


def vbx(
    features: np.ndarray,
    phi: np.ndarray,
    start: np.ndarray,
    fa: float,
    fb: float,
    iterations: int = 20,
    epsilon: float = 1e-4,
) -> tuple[np.ndarray, np.ndarray]:
    """Variational Bayes clustering of PLDA features, GMM form (Landini et al. 2022, equations 16 to 25).

    ``features`` (n, d), ``phi`` (d,) the between-class variances, ``start`` (n,) initial clusters. Returns
    responsibilities (n, clusters) and priors (clusters,).
    """
    one_hot = np.zeros((len(start), start.max() + 1))
    one_hot[np.arange(len(start)), start] = 1.0
    gamma = softmax(one_hot * 7.0, axis=1)
    priors = np.ones(gamma.shape[1]) / gamma.shape[1]
    constant = -0.5 * (np.sum(features**2, axis=1, keepdims=True) + len(phi) * np.log(2 * np.pi))
    rho = features * np.sqrt(phi)
    previous = None
    for _ in range(iterations):
        inverse = 1.0 / (1 + fa / fb * gamma.sum(axis=0, keepdims=True).T * phi)
        alpha = fa / fb * inverse * gamma.T.dot(rho)
        log_p = fa * (rho.dot(alpha.T) - 0.5 * (inverse + alpha**2).dot(phi) + constant)
        log_prior = np.log(priors + 1e-8)
        log_px = logsumexp(log_p + log_prior, axis=-1)
        gamma = np.exp(log_p + log_prior - log_px[:, None])
        priors = gamma.sum(axis=0)
        priors = priors / priors.sum()
        bound = log_px.sum(axis=0) + fb * 0.5 * np.sum(np.log(inverse) - inverse - alpha**2 + 1)
        if previous is not None and bound - previous < epsilon:
            break
        previous = bound
    return gamma, priors


def cosine_distances(unit: np.ndarray) -> np.ndarray:
    """Condensed as scipy's ``pdist`` has them, of unit vectors (n, d), by matrix products."""
    count, rows = len(unit), 512
    found = np.empty(count * (count - 1) // 2)
    at = 0
    for first in range(0, count, rows):
        for i, row in enumerate(np.maximum(1.0 - unit[first : first + rows] @ unit.T, 0.0), first):
            found[at : at + count - i - 1] = row[i + 1 :]
            at += count - i - 1
    return found


def similarity(embeddings: np.ndarray, centroids: np.ndarray) -> np.ndarray:
    """2 minus the cosine distance of every embedding to every centroid, (windows, speakers, clusters)."""
    windows, speakers, dimension = embeddings.shape
    distance = cdist(embeddings.reshape(-1, dimension), centroids, metric="cosine")
    return 2.0 - distance.reshape(windows, speakers, len(centroids))


def constrained_argmax(similar: np.ndarray) -> np.ndarray:
    """The best assignment in which the local speakers of a window are different people, (windows, speakers)."""
    if np.isnan(similar).all():
        return np.zeros(similar.shape[:2], int)
    similar = np.nan_to_num(similar, nan=np.nanmin(similar))
    labels = np.full(similar.shape[:2], INACTIVE)
    for window, scores in enumerate(similar):
        speakers, clusters = linear_sum_assignment(scores, maximize=True)
        labels[window, speakers] = clusters
    return labels


def _one_cluster(embeddings: np.ndarray, train: np.ndarray) -> Clusters:
    dimension = embeddings.shape[2]
    centroid = train.mean(axis=0, keepdims=True) if len(train) else np.zeros((1, dimension), np.float32)
    return Clusters(np.zeros(embeddings.shape[:2], int), centroid)


def _large(labels: np.ndarray, smallest: int) -> np.ndarray:
    names, counts = np.unique(labels, return_counts=True)
    return names[counts >= smallest]


def _small_into_large(unit: np.ndarray, labels: np.ndarray, large: np.ndarray) -> np.ndarray:
    small = np.setdiff1d(np.unique(labels), large)
    if len(small):
        near = cdist(
            np.stack([unit[labels == k].mean(axis=0) for k in large]),
            np.stack([unit[labels == k].mean(axis=0) for k in small]),
            metric="cosine",
        ).argmin(axis=0)
        labels = labels.copy()
        for cluster, target in zip(small, near, strict=True):
            labels[labels == cluster] = large[target]
    return _renumbered(labels)


def _renumbered(labels: np.ndarray) -> np.ndarray:
    return np.unique(labels, return_inverse=True)[1]


def _k_means(unit: np.ndarray, train: np.ndarray, clusters: int) -> np.ndarray:
    from sklearn.cluster import KMeans

    labels = KMeans(n_clusters=clusters, n_init=3, random_state=42).fit_predict(unit)
    return np.stack([train[labels == k].mean(axis=0) for k in range(clusters)])
