"""The characters of a word on the clock, by the phones that were heard of it.

The spoken letters get the word's phones in order, as the language's spelling rules would have it (dynamic
programming, as in :mod:`tools.train_aligner.letters`). Silent letters share the time of the letter before.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass
from itertools import accumulate, pairwise

import numpy as np

from pipeline.align._letters import Phones, letter_of, predicted
from pipeline.align._pronunciation import Said
from schemas.transcript import Char

_LONGEST = 3  # phones of a letter, where there are not more to each
_KNOWN_COST, _UNKNOWN_COST, _LENGTH_COST = 1.0, 3.0, 1.0

Span = tuple[float, float, float | None]
"""Start and end in seconds, and a score, or none where there is nothing that speaks for it."""


@dataclass(frozen=True)
class Spelling:
    """A language's rules, and for each letter all that it stands for somewhere."""

    rules: Mapping[str, Phones]
    chunks: Mapping[str, Set[Phones]]

    @classmethod
    def of(cls, rules: Mapping[str, Phones]) -> Spelling:
        """From rules as :mod:`pipeline.align._letters` has them."""
        chunks: dict[str, set[Phones]] = {}
        for key, phones in rules.items():
            chunks.setdefault(letter_of(key), set()).add(phones)
        return cls(rules, chunks)

    def cost(self, word: str, place: int, phones: Phones) -> float:
        """How odd it would be for that letter of the word to stand for ``phones``."""
        if phones == predicted(self.rules, word, place):
            return 0.0
        if phones in self.chunks.get(word[place], ()):
            return _KNOWN_COST
        return _UNKNOWN_COST + _LENGTH_COST * abs(len(phones) - 1)

    def dealt(self, word: str, phones: Phones) -> list[int]:
        """How many of the phones each letter of the word stands for; all of them are dealt."""
        longest = max(_LONGEST, -(-len(phones) // len(word)) + 1)
        best: list[dict[int, tuple[float, int]]] = [{0: (0.0, 0)}]
        for place in range(len(word)):
            now: dict[int, tuple[float, int]] = {}
            for used, (total, _) in best[-1].items():
                for length in range(min(longest, len(phones) - used) + 1):
                    cost = total + self.cost(word, place, phones[used : used + length])
                    if used + length not in now or cost < now[used + length][0]:
                        now[used + length] = (cost, length)
            best.append(now)
        counts, at = [], len(phones)
        for step in reversed(best[1:]):
            counts.append(step[at][1])
            at -= counts[-1]
        return counts[::-1]


def characters(
    text: str, said: Said, units: Sequence[Span], phones: Sequence[str], spelling: Spelling
) -> tuple[Char, ...]:
    """The written word's characters with the times of what is said for them; none for punctuation.

    ``units`` are those of ``said``; ``phones`` the names of all ids.
    """
    letters: list[Span] = []
    bounds = pairwise(accumulate(said.counts, initial=0))
    for word, (first, stop) in zip(said.form.words, bounds, strict=True):
        names = tuple(phones[unit] if unit >= 0 else "" for unit in said.units[first:stop])
        letters += _letters(spelling.dealt(word, names), units[first:stop])
    spans: dict[int, list[Span]] = {}
    for place, span in zip(said.form.places, letters, strict=True):
        spans.setdefault(place, []).append(span)
    return tuple(_char(character, spans.get(place, ())) for place, character in enumerate(text))


def _letters(counts: Sequence[int], units: Sequence[Span]) -> list[Span]:
    """Each letter's time, out of how many units each has; those without share with the one before (or after)."""
    sounding = [place for place, count in enumerate(counts) if count]
    begins = [0, *sounding[1:], len(counts)]
    found: list[Span] = []
    at = 0
    for begin, stop in pairwise(begins):
        own = units[at : at + sum(counts[begin:stop])]
        at += len(own)
        moments = np.linspace(own[0][0], own[-1][1], stop - begin + 1).tolist()
        score = _mean([unit_score for *_, unit_score in own])
        found += [(start, end, score) for start, end in pairwise(moments)]
    return found


def _char(character: str, spans: Sequence[Span]) -> Char:
    if not spans:
        return Char(char=character)
    score = _mean([score for *_, score in spans])
    return Char(
        char=character, start=spans[0][0], end=spans[-1][1], score=None if score is None else round(score, 3)
    )


def _mean(scores: Sequence[float | None]) -> float | None:
    known = [score for score in scores if score is not None]
    return float(np.mean(known)) if known else None
