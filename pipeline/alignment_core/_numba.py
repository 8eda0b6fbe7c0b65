"""The search as compiled loops: some 2 ms for a 30 s window of phones.

Most states do nothing but follow the state before them, several of which the machine takes at once; the others
compare their predecessors, without branches, which would be mispredicted.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from pipeline.alignment_core import _layout
from pipeline.alignment_core._numpy import LOWEST
from pipeline.alignment_core.graph import EDGE, WILDCARD

_BEGIN = 255
_compiled = njit(cache=True, nogil=True)

lay_out = _compiled(_layout.lay_out)


def search(emission, graph, wildcard_cost, edge_cost):
    """See :data:`pipeline.alignment_core.viterbi.Search`."""
    return _search(
        emission,
        (graph.word, graph.alternative, graph.label),
        graph.silent,
        wildcard_cost,
        edge_cost,
        (graph.shortest, graph.first, graph.before, graph.starts, graph.ends),
        (graph.reach, graph.left),
    )


@_compiled
def _search(emission, names, silent, wildcard_cost, edge_cost, graph, distances):
    word, alternative, label = names
    labels, columns = _columns(emission, label, silent, wildcard_cost, edge_cost)
    low, high = _band(*distances, len(columns))
    path = _best_path(columns, labels, *graph, low, high)
    states, first, stop, score = _stretches(path, columns, labels, word)
    return path, word[states], alternative[states], label[states], first, stop, score


@_compiled
def _columns(emission, label, silent, wildcard_cost, edge_cost):
    """The columns that the graph uses (frames, used) in float64, and each state's among them (states,)."""
    frames, units = emission.shape
    place = np.full(units + 2, -1)  # of the columns of EDGE, WILDCARD, and the units
    place[label + 2] = 0
    used = np.flatnonzero(place == 0)
    place[used] = np.arange(len(used))
    columns = np.empty((frames, len(used)))
    for t in range(frames):
        best = max(LOWEST, emission[t].max())
        for k in range(len(used)):
            unit = used[k] - 2
            if unit == EDGE:
                value = max(emission[t, silent], best - edge_cost)
            elif unit == WILDCARD:
                value = best - wildcard_cost
            else:
                value = emission[t, unit]
            columns[t, k] = max(LOWEST, value)
    return place[label + 2], columns


@_compiled
def _band(reach, left, frames):
    """For each frame the first state from which the end can be reached, and one past the last from the start."""
    soonest, gained = reach.copy(), -left
    for s in range(len(left) - 1):
        soonest[-2 - s] = min(soonest[-2 - s], soonest[-1 - s])
        gained[s + 1] = max(gained[s], gained[s + 1])
    low, high = np.zeros(frames, np.int64), np.zeros(frames, np.int64)
    first, stop = 0, 0
    for t in range(frames):
        first, stop = _reached(gained, first, t + 1 - frames), _reached(soonest, stop, t + 2)
        low[t], high[t] = first, stop
    return low, high


@_compiled
def _best_path(columns, labels, shortest, first, before, starts, ends, low, high):
    """The state of each frame (frames,), empty if there is no path."""
    frames, states = len(columns), len(labels)
    rows = shortest.max() + 1
    score = np.full(
        (rows, states + 1), -np.inf
    )  # of the last frames, in turn; the last state is never reached
    steps = np.zeros((frames, states), np.uint8)  # 0: stays; k: came from its k-th predecessor
    sums = np.zeros((rows, columns.shape[1]))  # of all frames up to the last ones, in turn
    passed = np.zeros((rows, columns.shape[1]))  # of the last so many frames
    begins = np.zeros(rows, np.uint32)  # where the scores of the frame so many frames ago begin
    kinds = labels.astype(np.uint32)
    others, pairs, more = _not_in_chains(shortest, first, before, starts)
    kinds_of_others, least = kinds[others], shortest[others].astype(np.uint32)
    best, came = np.zeros(len(others)), np.zeros(len(others), np.uint8)
    at, stop, at_more, stop_more = 0, 0, 0, 0
    for t in range(frames):
        _pass(columns[t], t, sums, passed)
        for ago in range(rows):
            begins[ago] = (t - ago) % rows * (states + 1)
        now, last, past = score[t % rows], score[(t - 1) % rows], score[(t + 1) % rows]  # rows - 1 frames ago
        now[:] = -np.inf
        a, b = max(1, low[t]), max(1, high[t])
        own = columns[t], passed[rows - 1]
        _follow(now[a:b], last[a:b], past[a - 1 : b - 1], *own, kinds[a:b], steps[t, a:b])
        at, stop = _reached(others, at, low[t]), _reached(others, stop, high[t])
        at_more, stop_more = _reached(more[:, 0], at_more, at), _reached(more[:, 0], stop_more, stop)
        _compare(score.reshape(-1), begins, least, pairs, more[at_more:stop_more], at, stop, best, came)
        for i in range(at, stop):
            s = others[i]
            moved, step = best[i] + passed[least[i], kinds_of_others[i]], came[i]
            if t < rows and starts[s] and t == least[i] - 1:
                moved, step = passed[least[i], kinds_of_others[i]], np.uint8(_BEGIN)
            stay = last[s] + columns[t, kinds_of_others[i]]
            steps[t, s] = np.uint8(0) if stay >= moved else step
            now[s] = max(stay, moved)
    return _path(score[(frames - 1) % rows], steps, shortest, first, before, ends)


@_compiled
def _stretches(path, columns, labels, word):
    """Frames in one state of a word after the other: that state, the first, one past the last, the mean score."""
    frames = len(path)
    begins = np.append(0, np.flatnonzero(path[1:] != path[:-1]) + 1)[:frames]
    begins = begins[word[path[begins]] >= 0]
    states, stops, scores = path[begins], np.zeros(len(begins), np.int64), np.zeros(len(begins))
    for k in range(len(begins)):
        t = begins[k]
        while t < frames and path[t] == states[k]:
            scores[k] += columns[t, labels[states[k]]]
            t += 1
        stops[k] = t
    return states, begins, stops, scores / (stops - begins)


@_compiled
def _reached(numbers, at, bound):
    """The first place, from ``at`` on, of a number that is not below ``bound``."""
    while at < len(numbers) and numbers[at] < bound:
        at += 1
    return at


@_compiled
def _compare(scores, begins, least, pairs, more, at, stop, best, came):
    """The best predecessor of each of the other states from ``at`` to ``stop``: its score and its rank."""
    for i in range(at, stop):
        begin = begins[least[i]]
        one, two = scores[begin + pairs[i, 0]], scores[begin + pairs[i, 1]]
        best[i] = max(one, two)
        came[i] = 1 + (two > one)
    for i in range(len(more)):
        other, state, rank = more[i]
        new = scores[begins[least[other]] + state]
        came[other] = rank if new > best[other] else came[other]
        best[other] = max(best[other], new)


@_compiled
def _not_in_chains(shortest, first, before, starts):
    """The states that do more than to follow the state before them after the longest time that any state takes.

    Their numbers; two predecessors of each; and for each further one its state's place among these, and the
    predecessor's state and rank. Where there are less than two, the state that is never reached stands in.
    """
    states, longest = len(shortest), shortest.max()
    found = np.zeros(states, np.uint32)
    pairs = np.full((states, 2), states, np.uint32)
    more = np.zeros((len(before), 3), np.uint32)
    count, further = 0, 0
    for s in range(states):
        ranks = first[s + 1] - first[s]
        if ranks == 1 and before[first[s]] == s - 1 and not starts[s] and shortest[s] == longest:
            continue
        for rank in range(ranks):
            if rank < 2:
                pairs[count, rank] = before[first[s] + rank]
            else:
                more[further] = count, before[first[s] + rank], rank + 1
                further += 1
        found[count] = s
        count += 1
    return found[:count], pairs[:count], more[:further]


@_compiled
def _pass(own, t, sums, passed):
    """Frame t into the sums, and what the last k frames come to into ``passed[k]``."""
    rows = len(sums)
    now = sums[(t + 1) % rows]
    now[:] = sums[t % rows] + own
    passed[1, :] = own
    for k in range(2, rows):
        passed[k, :] = now - sums[(t + 1 - k) % rows]


@_compiled
def _follow(now, last, past, own, passed, labels, steps):
    """A frame of the states of chains; ``past`` is of the states before."""
    for s in range(now.size):
        stay, came = last[s] + own[labels[s]], past[s] + passed[labels[s]]
        now[s] = max(came, stay)
        steps[s] = came > stay


@_compiled
def _path(last, steps, shortest, first, before, ends):
    """The way back from the best end."""
    frames = len(steps)
    path = np.zeros(frames, np.int64)
    state, best = -1, -np.inf
    for s in range(len(ends)):
        if frames and ends[s] and last[s] > best:
            state, best = s, last[s]
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
