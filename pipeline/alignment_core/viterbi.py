"""The best path through a graph (Viterbi), and the words that it passes."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from importlib.util import find_spec

import numpy as np

from pipeline.alignment_core.graph import WILDCARD, Graph
from schemas.errors import FailedToAlign

_LOWEST = -1e4  # of an emission, so that what is impossible stays a number
Search = Callable[..., np.ndarray]


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
    labels, columns = _columns(emission, graph, wildcard_cost, edge_cost)
    low, high = _band(graph, len(columns))
    run = search or _fastest()
    path = run(
        columns, labels, graph.shortest, graph.first, graph.before, graph.starts, graph.ends, low, high
    )
    if not len(path):
        raise FailedToAlign("they hold more text than can be said in their time")
    return Alignment(path, _units(path, columns, labels, graph), graph.words)


def _columns(
    emission: np.ndarray, graph: Graph, wildcard_cost: float, edge_cost: float
) -> tuple[np.ndarray, np.ndarray]:
    """The columns that the graph uses (frames, used) in float64, and each state's among them (states,)."""
    if emission.ndim != 2:
        raise ValueError(f"an emission has two dimensions, frames and vocabulary, not {emission.ndim}")
    used, labels = np.unique(graph.label, return_inverse=True)
    columns = np.empty((len(emission), len(used)))
    plain = np.count_nonzero(used < 0)  # the columns before are made
    columns[:, plain:] = emission[:, used[plain:]]
    best = emission.max(axis=1, initial=_LOWEST).astype(np.float64)
    for column, unit in enumerate(used[:plain].tolist()):
        columns[:, column] = (
            best - wildcard_cost
            if unit == WILDCARD
            else np.maximum(emission[:, graph.silent], best - edge_cost)
        )
    return labels, np.maximum(columns, _LOWEST, out=columns)


def _band(graph: Graph, frames: int) -> tuple[np.ndarray, np.ndarray]:
    """For each frame the first state from which the end can be reached, and one past the last from the start."""
    states = len(graph.label)
    soonest = np.minimum.accumulate(graph.reach[::-1])[::-1]
    shortest_left = np.minimum.accumulate(graph.left)
    time = np.arange(frames)
    low = states - np.searchsorted(shortest_left[::-1], frames - 1 - time, side="right")
    return low, np.searchsorted(soonest, time + 1, side="right")


@cache
def _fastest() -> Search:
    name = "numba" if find_spec("numba") else "numpy"
    return importlib.import_module(f"pipeline.alignment_core._{name}").search


def _units(path: np.ndarray, columns: np.ndarray, labels: np.ndarray, graph: Graph) -> PlacedUnits:
    begins = np.concatenate([[0], np.flatnonzero(np.diff(path)) + 1])
    stops = np.append(begins[1:], len(path))
    scores = np.add.reduceat(columns[np.arange(len(path)), labels[path]], begins) / (stops - begins)
    states = path[begins]
    said = graph.word[states] >= 0
    states = states[said]
    return PlacedUnits(
        graph.word[states],
        graph.alternative[states],
        graph.label[states],
        begins[said],
        stops[said],
        scores[said],
    )


def _word(spans: Sequence[tuple[int, Span]]) -> PlacedWord | None:
    return PlacedWord(spans[0][0], tuple(span for _, span in spans)) if spans else None
