"""The path is the best of all there are, whatever the graph, and the words are the ones that it passes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.alignment_core import EDGE, WILDCARD, align, ctc_graph, hmm_graph
from pipeline.alignment_core import _numpy as with_numpy
from pipeline.alignment_core import graph as graphs
from pipeline.alignment_core._layout import lay_out
from schemas.errors import FailedToAlign

SILENT, SEPARATOR = 0, 1  # the vocabulary: these, and 2 and 3, so that repeats are common
WILDCARD_COST, EDGE_COST = 0.3, 0.5


def searches():
    try:
        from pipeline.alignment_core import _numba
    except ImportError:
        return [with_numpy.search]
    return [with_numpy.search, _numba.search]


@dataclass(frozen=True)
class Token:
    """A step of a way through a text; ``shortest`` frames at least."""

    label: int
    shortest: int = 1


Way = tuple[Token, ...]
units = st.lists(st.sampled_from([2, 3, WILDCARD]), min_size=1, max_size=3)
texts = st.lists(st.lists(units, max_size=2), min_size=1, max_size=3).filter(
    lambda text: sum(max(map(len, word), default=0) for word in text) <= 4
)
log_probs = st.integers(0, 2**31).map(np.random.default_rng)


def brute_force(emission: np.ndarray, ways: Iterator[Way]) -> float:
    """The best score over every way, and over every division of the frames among its tokens."""
    return max((_best_division(emission, way) for way in ways), default=-np.inf)


def _best_division(emission: np.ndarray, way: Way) -> float:
    if not way:
        return 0.0 if not len(emission) else -np.inf
    token, rest = way[0], way[1:]
    scores = [-np.inf]
    for length in range(token.shortest, len(emission) + 1):
        here = sum(_value(frame, token.label) for frame in emission[:length])
        scores.append(here + _best_division(emission[length:], rest))
    return max(scores)


def _value(frame: np.ndarray, label: int) -> float:
    if label == WILDCARD:
        return frame.max() - WILDCARD_COST
    if label == EDGE:
        return max(frame[SILENT], frame.max() - EDGE_COST)
    return frame[label]


def hmm_ways(text: Sequence, shortest: int) -> Iterator[Way]:
    said = [word for word in text if word]
    for chosen in product(*said):
        for pauses in product([(), (Token(SILENT),)], repeat=max(0, len(chosen) - 1)):
            middle: Way = ()
            for word, pause in zip(chosen, [(), *pauses], strict=False):
                middle += (*pause, *(Token(unit, shortest) for unit in word))
            yield from _with_edges(middle)


def ctc_ways(text: Sequence, separator: bool, optional: bool) -> Iterator[Way]:
    """Every sequence of symbols, then every choice of blanks, the ones between equal symbols kept."""
    said = [word for word in text if word]
    marks = [(), (SEPARATOR,)] if optional else [(SEPARATOR,)]
    for chosen in product(*said):
        for between in product(marks if separator else [()], repeat=max(0, len(chosen) - 1)):
            symbols: tuple[int, ...] = ()
            for word, mark in zip(chosen, [(), *between], strict=False):
                symbols += (*mark, *word)
            for blanks in product([False, True], repeat=max(0, len(symbols) - 1)):
                pairs = zip(blanks, symbols, symbols[1:], strict=False)
                if all(blank or a != b for blank, a, b in pairs):
                    middle: Way = ()
                    for blank, symbol in zip([False, *blanks], symbols, strict=False):
                        middle += (Token(SILENT), Token(symbol)) if blank else (Token(symbol),)
                    yield from _with_edges(middle)


def _with_edges(middle: Way) -> Iterator[Way]:
    edge = (Token(EDGE),)
    yield from [middle, edge + middle, middle + edge, edge + middle + edge]


def score_of(path: np.ndarray, emission: np.ndarray, graph) -> float:
    return sum(_value(frame, graph.label[state]) for frame, state in zip(emission, path, strict=True))


def check(emission: np.ndarray, graph, expected: float) -> None:
    for search in searches():
        if expected == -np.inf:
            with pytest.raises(FailedToAlign):
                align(emission, graph, search=search)
            continue
        found = align(emission, graph, wildcard_cost=WILDCARD_COST, edge_cost=EDGE_COST, search=search)
        assert score_of(found.path, emission, graph) == pytest.approx(expected)


@settings(max_examples=150, deadline=None)
@given(text=texts, rng=log_probs, frames=st.integers(1, 7), shortest=st.integers(1, 3))
def test_hmm_paths_are_the_best_of_all_there_are(text, rng, frames, shortest):
    emission = np.log(rng.dirichlet(np.ones(4), frames))
    graph = hmm_graph(text, pause=SILENT, shortest=shortest)
    check(emission, graph, brute_force(emission, hmm_ways(text, shortest)))


@settings(max_examples=100, deadline=None)
@given(text=texts, rng=log_probs, frames=st.integers(1, 6), separator=st.booleans(), optional=st.booleans())
def test_ctc_paths_are_the_best_of_all_there_are(text, rng, frames, separator, optional):
    emission = np.log(rng.dirichlet(np.ones(4), frames))
    graph = ctc_graph(
        text, blank=SILENT, separator=SEPARATOR if separator else None, separator_optional=optional
    )
    check(emission, graph, brute_force(emission, ctc_ways(text, separator, optional)))


@settings(max_examples=25, deadline=None)
@given(rng=log_probs)
def test_both_implementations_find_the_same_path_in_long_texts(rng):
    emission = np.log(rng.dirichlet(np.ones(9), 220))
    text = [
        [rng.integers(1, 9, rng.integers(1, 6)).tolist() for _ in range(rng.integers(0, 4))]
        for _ in range(12)
    ]
    for graph in (hmm_graph(text, pause=0, shortest=3), ctc_graph(text, blank=0, separator=1)):
        paths = [align(emission, graph, search=search).path.tolist() for search in searches()]
        assert paths[0] == paths[-1]


@settings(max_examples=100, deadline=None)
@given(text=texts, shortest=st.integers(1, 3))
def test_states_are_laid_out_alike_with_numba_and_without(text, shortest):
    own = hmm_graph(text, pause=SILENT, shortest=shortest)
    with patch.object(graphs, "_lay_out", lambda: lay_out):
        plain = hmm_graph(text, pause=SILENT, shortest=shortest)
    for name, value in vars(own).items():
        assert np.array_equal(value, getattr(plain, name)), name


def peaked(*labels: int) -> np.ndarray:
    """Emissions that are sure of each frame."""
    emission = np.full((len(labels), 5), -9.0)
    emission[np.arange(len(labels)), labels] = 0.0
    return emission


def spans(found) -> list:
    return [word and [(unit.first, unit.stop) for unit in word.units] for word in found.words]


def test_the_alternative_that_was_said_is_found_and_words_without_any_stay_empty():
    graph = hmm_graph([[[1]], [], [[2], [3, 4], [3]]], pause=0)
    found = align(peaked(0, 1, 1, 0, 3, 3, 4, 0), graph, edge_cost=1.0)
    assert spans(found) == [[(1, 3)], None, [(4, 6), (6, 7)]]
    assert found.words[2].alternative == 1
    assert (found.words[2].first, found.words[2].stop) == (4, 7)
    assert found.words[2].units[0].score == 0.0


def test_units_last_their_shortest_time_and_pauses_take_what_is_left():
    found = align(peaked(1, 0, 0, 0, 0, 2, 2, 2), hmm_graph([[[1]], [[2]]], pause=0, shortest=3))
    assert spans(found) == [[(0, 3)], [(5, 8)]]


def test_a_wildcard_takes_the_frames_that_nothing_else_explains():
    """1, then two frames of 3 and 4 for which there is no text, then 2."""
    graph = ctc_graph([[[1, WILDCARD, 2]]], blank=0)
    found = align(peaked(0, 1, 0, 3, 4, 0, 0, 2, 0), graph, wildcard_cost=0.05)
    assert spans(found) == [[(1, 2), (3, 5), (7, 8)]]


def test_other_speech_before_and_after_the_text_is_left_to_the_edges():
    found = align(peaked(4, 3, 4, 0, 1, 2, 0, 3, 3), ctc_graph([[[1]], [[2]]], blank=0))
    assert spans(found) == [[(4, 5)], [(5, 6)]]


def test_separators_stand_where_they_are_said_to():
    words = [[[2]], [[3]], [[4]]]
    graph = ctc_graph(words, blank=0, separator=1, separated=[True, False, True])
    found = align(peaked(2, 3, 1, 4), graph)
    assert spans(found) == [[(0, 1)], [(1, 2)], [(3, 4)]]
    with pytest.raises(FailedToAlign):
        align(peaked(2, 3, 1, 4), ctc_graph(words, blank=0, separator=1))


def test_text_that_fits_exactly_is_placed_and_one_unit_more_is_not():
    emission = np.log(np.full((4, 3), 1 / 3))
    assert spans(align(emission, ctc_graph([[[1, 2, 1, 2]]], blank=0))) == [[(0, 1), (1, 2), (2, 3), (3, 4)]]
    for text in ([1, 2, 1, 2, 1], [1, 1, 1]):  # equal neighbours need a blank between them
        with pytest.raises(FailedToAlign):
            align(emission, ctc_graph([[text]], blank=0))


def test_impossible_emissions_stay_numbers():
    emission = np.full((3, 3), -np.inf)
    assert spans(align(emission, hmm_graph([[[1]], [[2]]], pause=0))) != [None, None]


def test_no_text_and_no_audio():
    assert align(peaked(0, 1), hmm_graph([[], []], pause=0)).words == (None, None)
    with pytest.raises(FailedToAlign):
        align(np.zeros((0, 3)), hmm_graph([[[1]]], pause=0))
    with pytest.raises(ValueError, match="alternatives"):
        hmm_graph([[[1]] * 300, [[1]]], pause=0)
