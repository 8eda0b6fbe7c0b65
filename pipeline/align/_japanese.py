"""How Japanese characters are pronounced, in the phones of the head of many languages, alternatives among them.

Kana by rule. Kanji have the readings that are common in words (``data/readings.ja.txt.xz``, learned by
:mod:`tools.train_aligner.readings`); which of them was said, the sound decides.
"""

from __future__ import annotations

import lzma
from functools import cache

from pipeline.align._letters import Phones
from pipeline.align._phone_head import DATA

_PAUSE = "pau"
_VOWELS = "aiueo"
_IPA = {"u": "ɯ"}
# Consonants of the rows of the syllabary; where a column has its own sound, after the comma.
_ROWS = {
    "アイウエオ": "",
    "カキクケコ": "k",
    "ガギグゲゴ": "ɡ",
    "サシスセソ": "s,i:ɕ",
    "ザジズゼゾ": "z,i:dʑ",
    "タチツテト": "t,i:tɕ,u:ts",
    "ダヂヅデド": "d,i:dʑ,u:z",
    "ナニヌネノ": "n,i:ɲ",
    "ハヒフヘホ": "h,u:f",
    "バビブベボ": "b",
    "パピプペポ": "p",
    "マミムメモ": "m",
    "ラリルレロ": "ɾ",
}
_MORE = {
    "ヤ": "j a",
    "ユ": "j ɯ",
    "ヨ": "j o",
    "ワ": "w a",
    "ヲ": "o",
    "ヰ": "i",
    "ヱ": "e",
    "ヴ": "b ɯ",
    "ヮ": "w a",
}
_SMALL = {"ャ": "ja", "ュ": "ju", "ョ": "jo", "ァ": "a", "ィ": "i", "ゥ": "u", "ェ": "e", "ォ": "o"}
_PALATAL = ("ɕ", "tɕ", "dʑ", "ɲ")
_VOICELESS = ("k", "s", "ɕ", "t", "tɕ", "ts", "h", "f", "p")
_PARTICLES = {"ハ": ("w", "a"), "ヘ": ("e",)}


def ways(character: str, before: str = "", after: str = "") -> list[Phones]:
    """The pronunciations of a character between its neighbours, likelier ones first; none for what it is not."""
    if character == "々":
        return ways(before) if before and before != "々" else []
    kana, before, after = _katakana(character), _katakana(before), _katakana(after)
    if kana in _SMALL:
        return [_small(kana, before)]
    if kana == "ン":
        return [("n",), ("ŋ",), ("m",)]
    if kana == "ッ":
        return [(_PAUSE,), *([own[:1]] if (own := _plain(after)) else [])]
    if kana == "ー":
        return [(vowel,)] if (vowel := _vowel(before)) else []
    own = _plain(kana)
    return _of_kana(kana, own, before, after) if own else list(_readings().get(character, ()))


def spelled(kana: str) -> Phones:
    """The likeliest phones of a reading."""
    neighbours = zip(kana, ["", *kana[:-1]], [*kana[1:], ""], strict=True)
    return tuple(phone for three in neighbours for phone in (ways(*three) or [()])[0])


def _of_kana(kana: str, own: Phones, before: str, after: str) -> list[Phones]:
    if after in _SMALL:
        return [own[:-1]] if len(own) > 1 else [("w",) if kana == "ウ" else own]
    found = [own]
    if kana == "ウ" and _vowel(before) in ("o", "ɯ"):
        found = [(_vowel(before),), own]
    elif kana == "イ" and _vowel(before) == "e":
        found = [("e",), own]
    elif own[-1] in ("i", "ɯ") and own[0] in _VOICELESS:
        found.append(own[:-1])  # a vowel that is only whispered
    if kana in _PARTICLES:
        found.append(_PARTICLES[kana])
    return found


def _small(kana: str, before: str) -> Phones:
    """The end of a syllable that the kana before began."""
    glide, vowel = _SMALL[kana][:-1], _SMALL[kana][-1]
    vowel = _IPA.get(vowel, vowel)
    plain = _plain(before)
    return (vowel,) if not glide or (plain and plain[0] in _PALATAL) else (glide, vowel)


def _vowel(kana: str) -> str:
    """What a kana ends in, if that is a vowel."""
    if kana in _SMALL:
        return _IPA.get(_SMALL[kana][-1], _SMALL[kana][-1])
    own = _plain(kana)
    return own[-1] if own and own[-1] in ("a", "i", "ɯ", "e", "o") else ""


def _plain(kana: str) -> Phones:
    return _table().get(kana, ())


@cache
def _table() -> dict[str, Phones]:
    table = {kana: tuple(phones.split()) for kana, phones in _MORE.items()}
    for row, consonants in _ROWS.items():
        usual, *others = consonants.split(",")
        own = dict(other.split(":") for other in others)
        for kana, vowel in zip(row, _VOWELS, strict=True):
            consonant = own.get(vowel, usual)
            table[kana] = (*([consonant] if consonant else []), _IPA.get(vowel, vowel))
    return table


def _katakana(character: str) -> str:
    """Hiragana as katakana."""
    return chr(ord(character) + 0x60) if "ぁ" <= character <= "ゖ" else character


@cache
def _readings() -> dict[str, list[Phones]]:
    """Kanji to their pronunciations; in the file a kanji, a tab, and its readings in kana with commas between."""
    found = {}
    for line in lzma.decompress((DATA / "readings.ja.txt.xz").read_bytes()).decode().splitlines():
        kanji, readings = line.split("\t")
        found[kanji] = list(dict.fromkeys(spelled(reading) for reading in readings.split(",")))
    return found
