"""Spelling: the phones of a written word, by rules that were learned from a synthesiser's or a dictionary's words.

A rule is a letter between its neighbours and the phones that it stands for there; the widest context that has a
rule decides (:mod:`tools.train_aligner.letters` says how they are learned).
"""

from __future__ import annotations

from collections.abc import Mapping

CONTEXTS = ((0, 0), (0, 1), (1, 1), (1, 2), (2, 2), (2, 3), (3, 3))
"""Letters to the left and to the right, from the narrowest to the widest; each holds the one before."""

_FROM_WIDEST = tuple((left, 1 + right) for left, right in reversed(CONTEXTS))
_BORDER = "#" * max(max(sides) for sides in CONTEXTS)

Phones = tuple[str, ...]


def context(word: str, place: int, sides: tuple[int, int]) -> str:
    """The letter at ``place`` with its neighbours, as rules are keyed; ``#`` is the border of the word.

    The length of a key says how many neighbours it has on each side: :data:`CONTEXTS` have different ones.
    """
    left, right = sides
    first = place + len(_BORDER) - left
    return (_BORDER + word + _BORDER)[first : first + left + 1 + right]


def letter_of(key: str) -> str:
    """The letter that a rule's key is about."""
    return key[CONTEXTS[len(key) - 1][0]]


def predicted(rules: Mapping[str, Phones], word: str, place: int) -> Phones:
    """The phones of the letter at ``place``; none for a letter that no rule knows."""
    return _of_letter(rules, _BORDER + word + _BORDER, place + len(_BORDER))


def pronounced(rules: Mapping[str, Phones], word: str) -> Phones:
    """The phones of a word in lower case."""
    padded = _BORDER + word + _BORDER
    places = range(len(_BORDER), len(_BORDER) + len(word))
    return tuple([phone for place in places for phone in _of_letter(rules, padded, place)])


def _of_letter(rules: Mapping[str, Phones], padded: str, place: int) -> Phones:
    for left, onward in _FROM_WIDEST:
        phones = rules.get(padded[place - left : place + onward])
        if phones is not None:
            return phones
    return ()
