"""A text as states from left to right: which unit each one is, and which ones it may follow."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib.util import find_spec
from itertools import chain

import numpy as np

WILDCARD = -1
"""A unit that sounds like anything: for what is said and has no unit of its own."""
EDGE = -2
"""What comes before the first word and after the last: anything, or nothing."""
_NEVER = 2**40  # frames
MOST_BEFORE = 254
"""A state has no more predecessors; the back-pointers are bytes."""
_TOO_MANY = f"a word has more than {MOST_BEFORE - 2} alternatives"

Alternatives = Sequence[Sequence[int]]
"""The ways to say a word, each as unit ids; none for a word that is not said (punctuation)."""


@dataclass(frozen=True)
class Graph:
    """States in an order in which each one follows only earlier ones. All arrays are (states,) but two.

    ``label`` is the unit; ``shortest`` the frames that it lasts at least; ``word``, ``alternative`` and ``unit``
    say what it belongs to (−1: nothing); ``starts`` and ``ends`` where a path may begin and end. State s follows
    ``before[first[s]:first[s + 1]]``, or itself. ``reach`` are the fewest frames from the start to a state's end,
    ``left`` those after it. ``silent`` is the unit for no speech, ``words`` their count.
    """

    label: np.ndarray
    shortest: np.ndarray
    word: np.ndarray
    alternative: np.ndarray
    unit: np.ndarray
    starts: np.ndarray
    ends: np.ndarray
    first: np.ndarray  # (states + 1,)
    before: np.ndarray  # (edges,)
    reach: np.ndarray
    left: np.ndarray
    silent: int
    words: int


def hmm_graph(words: Sequence[Alternatives], *, pause: int, shortest: int = 1) -> Graph:
    """Units one after the other, each at least ``shortest`` frames; a pause may stand between words.

    Raises ``ValueError`` for words with too many alternatives.
    """
    ways = list(chain.from_iterable(words))
    units = np.fromiter(chain.from_iterable(ways), np.int64)
    lengths = np.fromiter(map(len, ways), np.int64, len(ways))
    counts = np.fromiter(map(len, words), np.int64, len(words))
    if counts.max(initial=0) >= MOST_BEFORE:
        raise ValueError(_TOO_MANY)
    states = _lay_out()(units, lengths, counts, pause, EDGE, shortest)
    return Graph(*states, silent=pause, words=len(words))


@cache
def _lay_out() -> Callable[..., tuple[np.ndarray, ...]]:
    from pipeline.alignment_core._layout import lay_out

    return (
        importlib.import_module("pipeline.alignment_core._numba").lay_out if find_spec("numba") else lay_out
    )


def ctc_graph(
    words: Sequence[Alternatives],
    *,
    blank: int,
    separator: int | None = None,
    separated: Sequence[bool] | None = None,
    separator_optional: bool = False,
) -> Graph:
    """Units with blanks between them that may be left out between different ones (Graves et al. 2006).

    ``separator`` is the model's mark between words, where it has one; ``separated`` (words,) says for each word
    whether the mark stands before it (everywhere, if not given), and ``separator_optional`` that it may lack.

    Raises ``ValueError`` for words with too many alternatives.
    """
    states = _States(blank)
    entry = [states.add(EDGE, [], starts=True)]
    ends: list[int] = []
    for number, alternatives in enumerate(words):
        if not alternatives:
            continue
        if ends:
            marked = separator is not None and (separated is None or separated[number])
            entry = _between(states, ends, separator if marked else None, separator_optional)
        starts = not ends
        ends = [
            _spelled(states, units, entry, (number, choice), starts)
            for choice, units in enumerate(alternatives)
        ]
    return states.graph(ends, len(words))


def _between(states: _States, ends: list[int], separator: int | None, optional: bool) -> list[int]:
    """What the next word may follow."""
    blank = states.add(states.silent, ends)
    if separator is None:
        return [blank, *ends]
    mark = states.add(separator, [blank, *ends])
    after = [states.add(states.silent, [mark]), mark]
    return [*after, blank, *ends] if optional else after


def _spelled(
    states: _States, units: Sequence[int], entry: list[int], belongs: tuple[int, int], starts: bool
) -> int:
    """Adds the units of an alternative; the last state."""
    before, here = entry, -1
    for place, unit in enumerate(units):
        allowed = [state for state in before if states.label[state] != unit]
        here = states.add(unit, allowed, (*belongs, place), starts=starts and not place)
        before = [here] if place + 1 == len(units) else [states.add(states.silent, [here]), here]
    return here


@dataclass
class _States:
    """A graph in the making."""

    silent: int
    label: list[int] = field(default_factory=list)
    shortest: list[int] = field(default_factory=list)
    word: list[int] = field(default_factory=list)
    alternative: list[int] = field(default_factory=list)
    unit: list[int] = field(default_factory=list)
    starts: list[bool] = field(default_factory=list)
    before: list[int] = field(default_factory=list)  # of all states, one after the other
    counts: list[int] = field(default_factory=list)  # how many of these are each state's
    reach: list[int] = field(default_factory=list)

    def add(
        self,
        label: int,
        before: list[int],
        belongs: tuple[int, int, int] = (-1, -1, -1),
        *,
        shortest: int = 1,
        starts: bool = False,
    ) -> int:
        """A state that follows ``before``; its number."""
        if len(before) > MOST_BEFORE:
            raise ValueError(_TOO_MANY)
        self.label.append(label)
        self.shortest.append(shortest)
        self.word.append(belongs[0])
        self.alternative.append(belongs[1])
        self.unit.append(belongs[2])
        self.starts.append(starts)
        self.before += before
        self.counts.append(len(before))
        sooner = 0 if starts else min((self.reach[state] for state in before), default=_NEVER)
        self.reach.append(sooner + shortest)
        return len(self.label) - 1

    def graph(self, ends: list[int], words: int) -> Graph:
        """With the edge after the last word."""
        ends = [*ends, self.add(EDGE, ends, starts=not ends)]
        is_end = np.zeros(len(self.label), bool)
        is_end[ends] = True
        return Graph(
            label=np.array(self.label, np.int64),
            shortest=np.array(self.shortest, np.int64),
            word=np.array(self.word, np.int64),
            alternative=np.array(self.alternative, np.int64),
            unit=np.array(self.unit, np.int64),
            starts=np.array(self.starts, bool),
            ends=is_end,
            first=np.cumsum([0, *self.counts]),
            before=np.array(self.before, np.int64),
            reach=np.array(self.reach, np.int64),
            left=np.array(self._left(ends), np.int64),
            silent=self.silent,
            words=words,
        )

    def _left(self, ends: list[int]) -> list[int]:
        left = [_NEVER] * len(self.label)
        for state in ends:
            left[state] = 0
        at = len(self.before)
        for state in range(len(left) - 1, -1, -1):
            needed = left[state] + self.shortest[state]
            for before in self.before[at - self.counts[state] : at]:
                if needed < left[before]:
                    left[before] = needed
            at -= self.counts[state]
        return left
