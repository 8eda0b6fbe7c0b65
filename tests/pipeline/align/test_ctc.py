"""Every written character finds its symbol or takes no time."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.align._ctc import Frames, Vocabulary, place, spell
from schemas.errors import FailedToAlign

ENGLISH = Vocabulary.of({label: i for i, label in enumerate("-|abcdefghijklmnopqrstuvwxyz'")}, blank=0)


def spelled(*words: str, language: str = "en") -> str:
    labels = "-|abcdefghijklmnopqrstuvwxyz'"
    return "|".join(
        "".join("*" if code < 0 else labels[code] for code in ways[0].symbols)
        for ways in spell(words, language, ENGLISH)
        if ways
    )


def test_punctuation_case_and_accents_are_no_sound():
    assert spelled("“Well,", "it’s", "naïve…”") == "well|it's|naive"


def test_the_hyphen_is_not_the_blank():
    assert spelled("twenty-five") == "twentyfive"


def test_what_is_said_and_has_no_symbol_is_a_wildcard_and_a_dash_is_nothing():
    assert spelled("in", "2014", "we") == "in|*|we"
    assert spelled("in", "–", "we") == "in|we"
    assert spelled("3rd", "5%", "ты", "of", "them") == "*rd|*|*|of|them"


def test_the_letter_that_grows_in_lower_case_stays_one_character():
    """``"İ".lower()`` is two code points; what follows must not move by one."""
    ((found,),) = spell(("İzmir",), "tr", ENGLISH)
    assert [found.characters, len(found.symbols)] == [(0, 1, 2, 3, 4), 5]
    assert spelled("İzmir") == "izmir"


def test_turkish_capitals_are_lowered_the_turkish_way():
    turkish = Vocabulary.of({"<pad>": 0, "|": 1, "i": 2, "ı": 3}, blank=0)
    assert turkish.spell("I", "tr") == [3]
    assert turkish.spell("İ", "tr") == [2]
    assert turkish.spell("I", "en") == [2]


def test_words_written_together_have_no_separator():
    chinese = Vocabulary.of({"<pad>": 0, "|": 1, "你": 2, "好": 3, "a": 4}, blank=0)
    log_probs = np.full((4, 5), -9.0)
    log_probs[range(4), [2, 3, 1, 4]] = 0.0
    found = place(log_probs, ("你", "—", "好。", "a"), "zh", chinese, Frames(1.0))
    assert [time and time.start for time in found] == [0.0, None, 1.0, 3.0]
    assert [char.start for char in found[2].chars] == [1.0, None]


def test_text_in_another_script_is_refused_and_symbols_alone_are_not():
    with pytest.raises(FailedToAlign):
        spell(("привет", "мир"), "ru", ENGLISH)
    assert spell(("2014", "♪", "…"), "en", ENGLISH) == [[], [], []]
