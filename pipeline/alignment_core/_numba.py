"""The search as compiled loops: some 3 ms for a 30 s window."""

from __future__ import annotations

import numpy as np
from numba import njit

_BEGIN = 255


@njit(cache=True, nogil=True)
def search(columns, labels, shortest, first, before, starts, ends, low, high):  # noqa: C901 - one loop nest
    """The state of each frame (frames,) of the best path, empty if there is none; see ``align`` for the rest."""
    frames, states = len(columns), len(labels)
    rows = shortest.max() + 1
    score = np.full((rows, states), -np.inf)  # of the last frames, in turn
    steps = np.zeros((frames, states), np.uint8)  # 0: stays; k: came from its k-th predecessor
    sums = np.zeros((frames + 1, columns.shape[1]))
    row = np.zeros(rows, np.int64)  # of the frame so many frames ago
    for t in range(frames):
        sums[t + 1] = sums[t] + columns[t]
        for ago in range(rows):
            row[ago] = (t - ago) % rows
        now, last = score[row[0]], score[row[1]]
        now[:] = -np.inf
        for s in range(low[t], high[t]):
            least, label = shortest[s], labels[s]
            own = columns[t, label]
            best, step = -np.inf, 0
            if t >= least:
                past = score[row[least]]
                for k in range(first[s], first[s + 1]):  # conditional moves, no branches to mispredict
                    came = past[before[k]]
                    step = k - first[s] + 1 if came > best else step
                    best = max(came, best)
                best += own if least == 1 else sums[t + 1, label] - sums[t + 1 - least, label]
            elif t == least - 1 and starts[s]:
                best, step = sums[t + 1, label], _BEGIN
            stay = last[s] + own
            step = 0 if stay >= best else step
            best = max(stay, best)
            now[s] = best
            steps[t, s] = step
    path = np.zeros(frames, np.int64)
    state, best = -1, -np.inf
    for s in range(states):
        if frames and ends[s] and score[(frames - 1) % rows, s] > best:
            state, best = s, score[(frames - 1) % rows, s]
    if state < 0:
        return path[:0]
    t = frames - 1
    while t >= 0:
        path[t] = state
        step = steps[t, state]
        t -= 1
        if step:
            for _ in range(shortest[state] - 1):
                path[t] = state
                t -= 1
            if step < _BEGIN:
                state = before[first[state] + step - 1]
    return path
