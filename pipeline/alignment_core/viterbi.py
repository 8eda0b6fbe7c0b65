"""The best path through a graph (Viterbi), and the words that it passes."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from importlib.util import find_spec

import numpy as np

from pipeline.alignment_core.graph import Graph
from schemas.errors import FailedToAlign

Search = Callable[[np.ndarray, Graph, float, float], tuple[np.ndarray, ...]]
"""Of an emission, a graph, a wildcard's cost and the edges': the state of each frame of the best path, empty if
there is none, and the columns of :class:`PlacedUnits`."""


@dataclass(frozen=True)
class Span:
    """Frames ``first`` to ``stop`` (one past the last) of a unit; the mean of its emission over them."""

    first: int
    stop: int
    score: float


@dataclass(frozen=True)
class PlacedWord:
    """The units of the alternative that was said."""

    alternative: int
    units: tuple[Span, ...]

    @property
    def first(self) -> int:
        """Its first frame."""
        return self.units[0].first

    @property
    def stop(self) -> int:
        """One past its last frame."""
        return self.units[-1].stop


@dataclass(frozen=True)
class PlacedUnits:
    """All units that a path passes, one after the other, as arrays (units,).

    ``word`` is the number of the word, ``alternative`` the way it was said, ``label`` the unit; ``first``,
    ``stop`` and ``score`` are those of its :class:`Span`.
    """

    word: np.ndarray
    alternative: np.ndarray
    label: np.ndarray
    first: np.ndarray
    stop: np.ndarray
    score: np.ndarray


@dataclass(frozen=True)
class Alignment:
    """``path`` is the state of each frame; ``count`` the number of words."""

    path: np.ndarray
    units: PlacedUnits
    count: int

    @cached_property
    def words(self) -> tuple[PlacedWord | None, ...]:
        """As they were given, none for those that are not said."""
        units = self.units
        found: list[list[tuple[int, Span]]] = [[] for _ in range(self.count)]
        columns = (units.word, units.alternative, units.first, units.stop, units.score)
        for word, alternative, first, stop, score in zip(*(a.tolist() for a in columns), strict=True):
            found[word].append((alternative, Span(first, stop, score)))
        return tuple(_word(spans) for spans in found)


def align(
    emission: np.ndarray,
    graph: Graph,
    *,
    wildcard_cost: float = 0.0,
    edge_cost: float = 0.0,
    search: Search | None = None,
) -> Alignment:
    """The best path of all; ``emission`` (frames, vocabulary) holds log-probabilities or scores like them.

    A wildcard has the score of a frame's best unit less ``wildcard_cost``; the edges that of the silent unit, or
    of the best one less ``edge_cost`` where that is more. ``search`` is one of the two implementations, numba's
    by default where it is installed. Memory: a byte per frame and state.

    Raises :class:`schemas.errors.FailedToAlign` for fewer frames than the shortest way through the graph.
    """
    if emission.ndim != 2:
        raise ValueError(f"an emission has two dimensions, frames and vocabulary, not {emission.ndim}")
    run = search or _fastest()
    path, *units = run(emission, graph, wildcard_cost, edge_cost)
    if not len(path):
        raise FailedToAlign("they hold more text than can be said in their time")
    return Alignment(path, PlacedUnits(*units), graph.words)


@cache
def _fastest() -> Search:
    name = "numba" if find_spec("numba") else "numpy"
    return importlib.import_module(f"pipeline.alignment_core._{name}").search


def _word(spans: Sequence[tuple[int, Span]]) -> PlacedWord | None:
    return PlacedWord(spans[0][0], tuple(span for _, span in spans)) if spans else None
