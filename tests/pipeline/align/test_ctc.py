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
    assert spelled("twenty-five") == "twenty|five"


def test_what_is_said_and_has_no_symbol_is_a_wildcard_and_a_dash_is_nothing():
    assert spelled("in", "9" * 50, "we") == "in|*|we"
    assert spelled("in", "–", "we") == "in|we"
    assert spelled("ты", "of", "them") == "*|of|them"
    assert spelled("in", "5", "we", language="xx") == "in|*|we"


def test_numerals_and_signs_are_spelt_as_they_may_be_said():
    assert spelled("in", "2014", "we") == "in|twenty|fourteen|we"
    assert spelled("3rd", "5%", "A&B") == "third|five|percent|a|and|b"
    ((*ways,),) = spell(("2014",), "en", ENGLISH)
    assert len(ways) == 5
    assert ways[0].characters == (0, 0, 0, 0, 1, 1, -1, 1, 2, 2, 2, 2, 3, 3, 3)


def test_a_model_with_digits_is_given_them_too():
    digits = Vocabulary.of({"<pad>": 0, "|": 1, "5": 2, "e": 3, "f": 4, "i": 5, "v": 6}, blank=0)
    assert [way.symbols for way in spell(("5",), "en", digits)[0]] == [(2,), (4, 5, 6, 3)]


@pytest.mark.parametrize(("said", "third"), [("two|zero|one|two", "one"), ("twenty|twelve", "twelve")])
def test_the_path_chooses_what_was_said_and_each_digit_has_a_time(said: str, third: str):
    labels = "-|abcdefghijklmnopqrstuvwxyz'"
    heard = [0, *(labels.index(c) for c in "in|" + said + "|we"), 0]
    log_probs = np.full((len(heard), len(labels)), -9.0)
    log_probs[range(len(heard)), heard] = 0.0
    found = place(log_probs, ("in", "2012", "we"), "en", ENGLISH, Frames(1.0))
    assert (found[1].start, found[2].start, found[1].score) == (4.0, 5.0 + len(said), 1.0)
    starts = [char.start for char in found[1].chars]
    assert starts == sorted(starts)
    assert starts[2] == pytest.approx(4.0 + said.index(third), abs=2.0)


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
    assert spell(("2014", "♪", "…"), "xx", ENGLISH) == [[], [], []]
