"""A written word as characters that can be looked at: compatibility forms resolved, each with its place kept."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass

_APOSTROPHES = dict.fromkeys("’‘ʼʻ`´＇′", "'")
_DASHES = dict.fromkeys("‐‑‒–−﹣－", "-")
_FRACTIONS = frozenset("¼½¾⅓⅔⅛⅜⅝⅞")  # NFKC makes three characters of them, the middle one a slash
_KEEP = {**_APOSTROPHES, **_DASHES, **{c: c for c in _FRACTIONS}, "№": "№"}
_DOTTED = {"tr", "az"}  # languages where the capital of ı is I, and of i İ


@dataclass(frozen=True)
class Written:
    """``text`` after NFKC, case kept, and for each of its characters the index of the one it comes from."""

    text: str
    places: tuple[int, ...]


def written(word: str) -> Written:
    """The word in compatibility form; what has neither sound nor width (joiners, selectors) is left out."""
    if word.isascii() and word.isprintable() and "`" not in word:
        return Written(word, tuple(range(len(word))))  # most words: what follows comes to the same
    text: list[str] = []
    places: list[int] = []
    for start, cluster in _clusters(word):
        plain = _KEEP.get(cluster) or unicodedata.normalize("NFKC", cluster)
        plain = "".join(_plain(character) for character in plain)
        text.append(plain)
        places += [start] * len(plain)
    return Written("".join(text), tuple(places))


def lowered(character: str, language: str) -> str:
    """One character in lower case, always one: ``İ``, whose lower case is two code points, too."""
    if language in _DOTTED and character in "Iİ":
        return "ı" if character == "I" else "i"
    return character.lower()[0]


def is_letter(character: str) -> bool:
    """Letters and the marks that belong to them (vowel signs of Indic scripts, accents that do not compose)."""
    return unicodedata.category(character)[0] in "LM"


def is_mark(character: str) -> bool:
    """Whether the character belongs to the one before it."""
    return unicodedata.category(character)[0] == "M"


def _clusters(word: str) -> list[tuple[int, str]]:
    """Characters with the combining marks that follow them, and where each begins."""
    clusters: list[tuple[int, str]] = []
    for index, character in enumerate(word):
        if clusters and unicodedata.combining(character) and len(clusters[-1][1]) < 8:
            clusters[-1] = (clusters[-1][0], clusters[-1][1] + character)
        else:
            clusters.append((index, character))
    return clusters


def _plain(character: str) -> str:
    if character in _KEEP:
        return _KEEP[character]
    if unicodedata.category(character) in ("Cf", "Cc", "Cs") or "\ufe00" <= character <= "\ufe0f":
        return ""
    digit = unicodedata.decimal(character, None)
    return character if digit is None else str(digit)  # Arabic, Devanagari, Thai digits
