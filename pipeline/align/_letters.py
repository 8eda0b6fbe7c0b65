"""Spelling: the phones of a written word, by rules that were learned from a synthesiser's or a dictionary's words.

A rule is a letter between its neighbours and the phones that it stands for there; the widest context that has a
rule decides (:mod:`tools.train_aligner.letters` says how they are learned).
"""

from __future__ import annotations

from collections.abc import Mapping

CONTEXTS = ((0, 0), (0, 1), (1, 1), (1, 2), (2, 2), (2, 3), (3, 3))
"""Letters to the left and to the right, from the narrowest to the widest; each holds the one before."""

_FROM_WIDEST = CONTEXTS[::-1]

Phones = tuple[str, ...]


def context(word: str, place: int, sides: tuple[int, int]) -> str:
    """The letter at ``place`` with its neighbours, as rules are keyed; ``#`` is the border of the word."""
    left, right = sides
    padded = "#" * left + word + "#" * right
    at = place + left
    return f"{padded[at - left : at]}|{padded[at]}|{padded[at + 1 : at + 1 + right]}"


def predicted(rules: Mapping[str, Phones], word: str, place: int) -> Phones:
    """The phones of the letter at ``place``; none for a letter that no rule knows."""
    for sides in reversed(CONTEXTS):
        found = rules.get(context(word, place, sides))
        if found is not None:
            return found
    return ()


def pronounced(rules: Mapping[str, Phones], word: str) -> Phones:
    """The phones of a word in lower case."""
    found: list[str] = []
    padded = f"###{word}###"
    for at in range(3, len(word) + 3):
        letter = padded[at]
        for left, right in _FROM_WIDEST:  # as in ``predicted``, a hundred times a second of speech
            phones = rules.get(f"{padded[at - left : at]}|{letter}|{padded[at + 1 : at + 1 + right]}")
            if phones is not None:
                found += phones
                break
    return tuple(found)
