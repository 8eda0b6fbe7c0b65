"""The search with numpy, all states of a frame at once: where numba is not installed."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pipeline.alignment_core.graph import WILDCARD, Graph

LOWEST = -1e4
"""Of an emission, so that what is impossible stays a number."""
_BEGIN = 255


def search(emission, graph, wildcard_cost, edge_cost):
    """See :data:`pipeline.alignment_core.viterbi.Search`."""
    labels, columns = _columns(emission, graph, wildcard_cost, edge_cost)
    path = _best_path(columns, labels, graph)
    begins = np.flatnonzero(np.diff(path, prepend=-1))
    stops = np.append(begins[1:], len(path))[: len(begins)]
    own = columns[np.arange(len(path)), labels[path]]
    scores = np.add.reduceat(own, begins) / (stops - begins) if len(path) else own
    said = graph.word[path[begins]] >= 0
    states = path[begins][said]
    own = graph.word[states], graph.alternative[states], graph.label[states]
    return path, *own, begins[said], stops[said], scores[said]


def _columns(
    emission: np.ndarray, graph: Graph, wildcard_cost: float, edge_cost: float
) -> tuple[np.ndarray, np.ndarray]:
    """The columns that the graph uses (frames, used) in float64, and each state's among them (states,)."""
    used, labels = np.unique(graph.label, return_inverse=True)
    columns = np.empty((len(emission), len(used)))
    plain = np.count_nonzero(used < 0)  # the columns before are made
    columns[:, plain:] = emission[:, used[plain:]]
    best = emission.max(axis=1, initial=LOWEST).astype(np.float64)
    for column, unit in enumerate(used[:plain].tolist()):
        columns[:, column] = (
            best - wildcard_cost
            if unit == WILDCARD
            else np.maximum(emission[:, graph.silent], best - edge_cost)
        )
    return labels, np.maximum(columns, LOWEST, out=columns)


def _band(graph: Graph, frames: int) -> tuple[np.ndarray, np.ndarray]:
    """For each frame the first state from which the end can be reached, and one past the last from the start."""
    states = len(graph.label)
    soonest = np.minimum.accumulate(graph.reach[::-1])[::-1]
    shortest_left = np.minimum.accumulate(graph.left)
    time = np.arange(frames)
    low = states - np.searchsorted(shortest_left[::-1], frames - 1 - time, side="right")
    return low, np.searchsorted(soonest, time + 1, side="right")


def _best_path(columns: np.ndarray, labels: np.ndarray, graph: Graph) -> np.ndarray:
    frames, shortest = len(columns), graph.shortest
    if not frames:
        return np.zeros(0, np.int64)
    ranks = _ranks(graph.first, graph.before)
    last, steps = _scores(columns, labels, shortest, ranks, graph.starts, *_band(graph, frames))
    last = np.where(graph.ends, last, -np.inf)
    if last.max() == -np.inf:
        return np.zeros(0, np.int64)
    path = np.zeros(frames, np.int64)
    state, t = int(last.argmax()), frames - 1
    while t >= 0:
        step = steps[t, state]
        begin = t - shortest[state] + 1 if step else t
        path[begin : t + 1] = state
        t = begin - 1
        if 0 < step < _BEGIN:
            state = graph.before[graph.first[state] + step - 1]
    return path


def _ranks(first: np.ndarray, before: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    """For k = 0, 1, …: the states that have a k-th predecessor, and that predecessor."""
    counts = np.diff(first)
    chosen = [np.flatnonzero(counts > k) for k in range(counts.max(initial=0))]
    return [(states, before[first[states] + k]) for k, states in enumerate(chosen)]


def _scores(
    columns: np.ndarray,
    labels: np.ndarray,
    shortest: np.ndarray,
    ranks: Sequence[tuple[np.ndarray, np.ndarray]],
    starts: np.ndarray,
    low: np.ndarray,
    high: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """The last frame's scores (states,) and the step that led to each state (frames, states)."""
    frames, states = len(columns), len(labels)
    rows = int(shortest.max()) + 1
    score = np.full((rows, states), -np.inf)
    steps = np.zeros((frames, states), np.uint8)
    sums = np.vstack([np.zeros(columns.shape[1]), np.cumsum(columns, axis=0)])
    for t in range(frames):
        own = columns[t, labels]
        best, step = score[(t - 1) % rows] + own, steps[t]
        since = np.maximum(t + 1 - shortest, 0)
        passed = np.where(shortest == 1, own, sums[t + 1, labels] - sums[since, labels])
        for k, (here, there) in enumerate(ranks):
            moved = score[(t - shortest[here]) % rows, there] + passed[here]
            better = moved > best[here]
            best[here[better]], step[here[better]] = moved[better], k + 1
        begin = starts & (shortest == t + 1)
        best[begin], step[begin] = passed[begin], _BEGIN
        best[: low[t]] = best[high[t] :] = -np.inf
        score[t % rows] = best
    return score[(frames - 1) % rows], steps
