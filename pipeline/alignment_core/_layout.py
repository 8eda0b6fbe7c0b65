"""The states of a phone model's graph, laid out: plain loops over arrays, for numba where it is installed."""

from __future__ import annotations

import numpy as np


def lay_out(units, lengths, counts, pause, edge, shortest):
    """The arrays of a :class:`pipeline.alignment_core.graph.Graph` from ``label`` to ``left``, in its order.

    ``units`` of all ways one after the other, ``lengths`` of the ways, ``counts`` of the ways of each word.
    """
    spoken = np.flatnonzero(counts)
    ways = counts[spoken]
    edges = len(units) + (ways[:-1] * (1 + ways[1:])).sum() + ways[-1:].sum()
    most = len(units) + len(spoken) + 1 + (len(spoken) == 0)
    label, least = np.full(most, edge), np.ones(most, np.int64)
    word, alternative, unit = np.full(most, -1), np.full(most, -1), np.full(most, -1)
    starts, ends = np.zeros(most, np.bool_), np.zeros(most, np.bool_)
    first, before = np.zeros(most + 1, np.int64), np.zeros(edges, np.int64)
    reach, left = np.ones(most, np.int64), np.zeros(most, np.int64)
    lasts = np.zeros(len(lengths) + 1, np.int64)  # where the ways of the word before end
    starts[0] = True
    state, link, way, at, last, sooner = 1, 0, 0, 0, 0, 0
    for number in spoken:
        entry = 0
        if last:
            entry, label[state], reach[state], left[state] = state, pause, sooner + 1, -sooner
            before[link : link + last] = lasts[:last]
            state, link = state + 1, link + last
            first[state] = link
        after = sooner + shortest * lengths[way : way + counts[number]].min()
        own_lasts = np.zeros(counts[number], np.int64)
        for choice in range(counts[number]):
            for place in range(lengths[way]):
                label[state], least[state] = units[at], shortest
                word[state], alternative[state], unit[state] = number, choice, place
                reach[state] = sooner + (place + 1) * shortest
                left[state] = (lengths[way] - 1 - place) * shortest - after
                before[link] = state - 1 if place else entry
                link += 1
                if not place:
                    starts[state] = not last
                    before[link : link + last] = lasts[:last]
                    link += last
                at, state = at + 1, state + 1
                first[state] = link
            own_lasts[choice] = state - 1
            way += 1
        last, sooner = counts[number], after
        lasts[:last] = own_lasts
    before[link : link + last] = lasts[:last]
    for choice in range(last):
        ends[lasts[choice]] = True
    ends[state], starts[state] = True, not last
    first[state + 1], reach[state] = link + last, sooner + 1
    left += sooner
    left[state] = 0
    return label, least, word, alternative, unit, starts, ends, first, before, reach, left
