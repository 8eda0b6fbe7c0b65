"""The search with numpy, all states of a frame at once: where numba is not installed."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

_BEGIN = 255


def search(columns, labels, shortest, first, before, starts, ends, low, high):
    """The state of each frame (frames,) of the best path, empty if there is none; as ``_numba.search``."""
    frames = len(columns)
    if not frames:
        return np.zeros(0, np.int64)
    last, steps = _scores(columns, labels, shortest, _ranks(first, before), starts, low, high)
    last = np.where(ends, last, -np.inf)
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
            state = before[first[state] + step - 1]
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
