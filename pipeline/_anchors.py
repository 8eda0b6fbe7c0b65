"""What two long lists of words have in common, in order, in nearly linear time.

Patience diff (Bram Cohen) over runs of words: runs that both lists have exactly once are matched first, their
longest increasing sequence kept; between these the same again with shorter runs; what is left is small and
compared exactly. Repeated small talk ("yes", "the") is never matched far from its neighbours.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from difflib import SequenceMatcher
from itertools import pairwise

_RUNS = (5, 3, 2, 1)
_SMALL = 60  # words on each side that difflib compares exactly
_NEAR = 4  # neighbours on each side of a match, of which
_ENOUGH = 0.3  # so many are matched too, or it is taken for chance

_Pair = tuple[int, int]


def anchors(ours: Sequence[str], theirs: Sequence[str]) -> list[_Pair]:
    """Pairs of places (ours, theirs) with equal words, both rising."""
    found: list[_Pair] = []
    todo = [(0, len(ours), 0, len(theirs), 0)]
    while todo:
        a, a_end, b, b_end, step = todo.pop()
        if a == a_end or b == b_end:
            continue
        if step == len(_RUNS):
            found += _exactly(ours, theirs, (a, a_end, b, b_end))
            continue
        pairs = _extended(
            ours, theirs, _unique(ours, theirs, (a, a_end, b, b_end), _RUNS[step]), (a, a_end, b, b_end)
        )
        found += pairs
        edges = [(a - 1, b - 1), *pairs, (a_end, b_end)]
        for (a0, b0), (a1, b1) in pairwise(edges):
            if a1 - a0 > 1 and b1 - b0 > 1:
                todo.append((a0 + 1, a1, b0 + 1, b1, step + 1))
    return list(_likely(sorted(found), len(ours)))


def _unique(
    ours: Sequence[str], theirs: Sequence[str], bounds: tuple[int, int, int, int], length: int
) -> list[_Pair]:
    """Beginnings of runs of ``length`` words that stand once in each part; the longest rising sequence of them."""
    a, a_end, b, b_end = bounds
    first, second = _once(ours, a, a_end, length), _once(theirs, b, b_end, length)
    pairs = sorted((place, second[run]) for run, place in first.items() if run in second)
    return _rising(pairs)


def _once(words: Sequence[str], begin: int, end: int, length: int) -> dict[tuple[str, ...], int]:
    places: dict[tuple[str, ...], int] = {}
    for at in range(begin, end - length + 1):
        run = tuple(words[at : at + length])
        places[run] = -1 if run in places else at
    return {run: at for run, at in places.items() if at >= 0}


def _rising(pairs: Sequence[_Pair]) -> list[_Pair]:
    """The longest sequence in which the second places rise too."""
    tops: list[int] = []
    ends: list[int] = []
    before: list[int] = []
    for number, (_, place) in enumerate(pairs):
        at = bisect_left(tops, place)
        tops[at : at + 1], ends[at : at + 1] = [place], [number]
        before.append(ends[at - 1] if at else -1)
    kept: list[_Pair] = []
    number = ends[-1] if ends else -1
    while number >= 0:
        kept.append(pairs[number])
        number = before[number]
    return kept[::-1]


def _extended(
    ours: Sequence[str], theirs: Sequence[str], pairs: Sequence[_Pair], bounds: tuple[int, int, int, int]
) -> list[_Pair]:
    """The pairs with all that is equal before and behind them."""
    a, a_end, b, b_end = bounds
    found: list[_Pair] = []
    low = (a, b)
    for number, (x, y) in enumerate(pairs):
        if x < low[0] or y < low[1]:
            continue
        back = 1
        while x - back >= low[0] and y - back >= low[1] and ours[x - back] == theirs[y - back]:
            found.append((x - back, y - back))
            back += 1
        high = pairs[number + 1] if number + 1 < len(pairs) else (a_end, b_end)
        while x < high[0] and y < high[1] and ours[x] == theirs[y]:
            found.append((x, y))
            x, y = x + 1, y + 1
        low = (x, y)
    return sorted(found)


def _exactly(
    ours: Sequence[str], theirs: Sequence[str], bounds: tuple[int, int, int, int]
) -> Iterator[_Pair]:
    a, a_end, b, b_end = bounds
    if a_end - a > _SMALL or b_end - b > _SMALL:
        return
    matcher = SequenceMatcher(None, ours[a:a_end], theirs[b:b_end], autojunk=False)
    for block in matcher.get_matching_blocks():
        yield from ((a + block.a + k, b + block.b + k) for k in range(block.size))


def _likely(pairs: Sequence[_Pair], length: int) -> Iterator[_Pair]:
    """Pairs that do not stand alone among words that were not matched."""
    total = [0]
    matched = {ours for ours, _ in pairs}
    for place in range(length):
        total.append(total[-1] + (place in matched))
    for ours, theirs in pairs:
        low, high = max(0, ours - _NEAR), min(length, ours + _NEAR + 1)
        if total[high] - total[low] - 1 >= _ENOUGH * (high - low - 1):
            yield ours, theirs
