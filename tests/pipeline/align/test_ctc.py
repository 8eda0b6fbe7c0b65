"""The CTC path is the best one, and every written character finds its symbol or takes no time."""

from __future__ import annotations

from itertools import pairwise, product

import numpy as np
import pytest

from pipeline.align._ctc import Vocabulary, best_path, spell
from schemas.errors import FailedToAlign

ENGLISH = Vocabulary.of({label: i for i, label in enumerate("-|abcdefghijklmnopqrstuvwxyz'")}, blank=0)


def _score(path, log_probs, symbols):
    """The log probability of a path of states, minus infinity where it is not allowed."""
    last = 2 * len(symbols)
    if path[0] > 1 or path[-1] < last - 1:
        return -np.inf
    for before, after in pairwise(path):
        step = after - before
        repeated = after % 2 and after > 1 and symbols[after // 2] == symbols[after // 2 - 1]
        if step not in (0, 1, 2) or (step == 2 and (after % 2 == 0 or repeated)):
            return -np.inf
    total = 0.0
    for frame, state in enumerate(path):
        if state in (0, last):
            total += log_probs[frame].max()
        else:
            total += log_probs[frame, symbols[state // 2] if state % 2 else 0]
    return total


@pytest.mark.parametrize("seed", range(12))
def test_the_path_is_the_best_of_all_there_are(seed):
    rng = np.random.default_rng(seed)
    symbols = rng.integers(1, 3, rng.integers(1, 4))  # two symbols, so that repeats are common
    log_probs = np.log(rng.dirichlet(np.ones(3), int(rng.integers(5, 7))))
    everything = product(range(2 * len(symbols) + 1), repeat=len(log_probs))
    best = max(_score(path, log_probs, symbols) for path in everything)
    found = best_path(log_probs, symbols, blank=0)
    assert _score(found.tolist(), log_probs, symbols) == pytest.approx(best)


def test_text_that_fits_exactly_is_placed_and_one_symbol_more_is_not():
    log_probs = np.log(np.full((4, 3), 1 / 3))
    assert best_path(log_probs, np.array([1, 2, 1, 2]), blank=0).tolist() == [1, 3, 5, 7]
    for symbols in ([1, 2, 1, 2, 1], [1, 1, 1]):  # equal neighbours need a blank between them
        with pytest.raises(FailedToAlign):
            best_path(log_probs, np.array(symbols), blank=0)


def spelled(*words: str, language: str = "en") -> str:
    labels = "-|abcdefghijklmnopqrstuvwxyz'"
    return "".join("*" if code < 0 else labels[code] for code in spell(words, language, ENGLISH).symbols)


def test_punctuation_case_and_accents_are_no_sound():
    assert spelled("“Well,", "it’s", "naïve…”") == "well|it's|naive"


def test_the_hyphen_is_not_the_blank():
    assert spelled("twenty-five") == "twentyfive"


def test_what_is_said_and_has_no_symbol_is_a_wildcard_and_a_dash_is_nothing():
    assert spelled("in", "2014", "we") == "in|*|we"
    assert spelled("in", "–", "we") == "in|we"
    assert spelled("3rd", "5%", "ты", "of", "them") == "*rd|*|*|of|them"


def test_a_wildcard_takes_the_frames_that_nothing_else_explains():
    """a, then two frames of c and d for which there is no text, then b."""
    log_probs = np.full((9, 5), -9.0)
    for frame, symbol in enumerate([0, 1, 0, 3, 4, 0, 0, 2, 0]):
        log_probs[frame, symbol] = 0.0
    path = best_path(log_probs, np.array([1, -1, 2]), blank=0)
    assert [np.flatnonzero(path == state).tolist() for state in (1, 3, 5)] == [[1], [3, 4], [7]]


def test_the_letter_that_grows_in_lower_case_stays_one_character():
    """``"İ".lower()`` is two code points; what follows must not move by one."""
    found = spell(("İzmir",), "tr", ENGLISH)
    assert [found.character.tolist(), len(found.symbols)] == [[0, 1, 2, 3, 4], 5]
    assert spelled("İzmir") == "izmir"


def test_turkish_capitals_are_lowered_the_turkish_way():
    turkish = Vocabulary.of({"<pad>": 0, "|": 1, "i": 2, "ı": 3}, blank=0)
    assert turkish.spell("I", "tr") == [3]
    assert turkish.spell("İ", "tr") == [2]
    assert turkish.spell("I", "en") == [2]


def test_words_written_together_have_no_separator():
    chinese = Vocabulary.of({"<pad>": 0, "|": 1, "你": 2, "好": 3, "a": 4}, blank=0)
    assert spell(("你", "好。", "a"), "zh", chinese).symbols.tolist() == [2, 3, 1, 4]


def test_text_in_another_script_is_refused_and_symbols_alone_are_not():
    with pytest.raises(FailedToAlign):
        spell(("привет", "мир"), "ru", ENGLISH)
    assert len(spell(("2014", "♪", "…"), "en", ENGLISH).symbols) == 0
