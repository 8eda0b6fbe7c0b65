"""Kana are said by rule, kanji in the readings that words have, and the sound chooses."""

from __future__ import annotations

import pytest

from pipeline.align._japanese import spelled, ways
from pipeline.align._phone_head import PhoneHead
from pipeline.align._pronunciation import Pronunciation


def first(text: str) -> str:
    """The likeliest phones of each character."""
    around = zip(text, ["", *text[:-1]], [*text[1:], ""], strict=True)
    return " ".join("+".join((ways(*three) or [("?",)])[0]) for three in around)


@pytest.mark.parametrize(
    ("text", "phones"),
    [
        ("がっこう", "ɡ+a pau k+o o"),
        ("きょう", "k j+o o"),
        ("しゃちょう", "ɕ a tɕ o o"),
        ("コーヒー", "k+o o h+i i"),
        ("せんせい", "s+e n s+e e"),
        ("ファイル", "f a i ɾ+ɯ"),
        ("ウィキ", "w i k+i"),
        ("つづく", "ts+ɯ z+ɯ k+ɯ"),
        ("ー。A", "? ? ?"),
    ],
)
def test_kana_are_said_by_rule(text, phones):
    assert first(text) == phones


def test_particles_and_whispered_vowels_are_alternatives():
    assert ways("は") == [("h", "a"), ("w", "a")]
    assert ways("す") == [("s", "ɯ"), ("s",)]


def test_kanji_have_the_readings_of_words():
    assert {spelled("ニチ"), spelled("ヒ")} <= set(ways("日"))
    assert spelled("ガク") in ways("学")
    assert ways("々", "人") == ways("人")
    assert ways("々") == []


def test_every_character_of_a_sentence_has_a_pronunciation_in_its_context():
    names = list(PhoneHead.read("others.base").phones)
    pronunciation = Pronunciation("ja", PhoneHead.read("others.base").phones)
    ways_of = pronunciation.alternatives(list("今日は学校へ行きます。"))
    said = [{" ".join(names[unit] for unit in way.units) for way in own} for own in ways_of]
    assert "h e" in said[5]
    assert "ɡ a pau" in said[3]
    assert "k o o" in said[4]
    assert said[-1] == set()
