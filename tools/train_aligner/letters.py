"""Spelling learned: for each letter, by its neighbours, the phones that it stands for.

Words and their phones are aligned letter by letter (hard expectation-maximisation over chunks of no to three
phones; Black, Lenzo and Pagel, "Issues in building general letter to sound rules", 1998), and the commonest chunk
is kept for each letter in each context, where it differs from what a narrower context says.
"""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence

from pipeline.align._letters import CONTEXTS, context, predicted

Chunk = tuple[str, ...]
Pair = tuple[str, Chunk]
_LONGEST = 3
_LENGTH_COST = (1.5, 0.0, 1.5, 4.0)
_ROUNDS = 4


def learned(pairs: Sequence[Pair]) -> dict[str, Chunk]:
    """Rules from words and their phones: a context (see :func:`pipeline.align._letters.context`) to phones."""
    dealt = [(word, chunks) for word, chunks in aligned(pairs) if chunks]
    rules: dict[str, Chunk] = {}
    for sides in CONTEXTS:
        counts: dict[str, Counter[Chunk]] = defaultdict(Counter)
        before: dict[str, Chunk] = {}
        for word, chunks in dealt:
            for place, chunk in enumerate(chunks):
                key = context(word, place, sides)
                counts[key][chunk] += 1
                if key not in before:
                    before[key] = predicted(rules, word, place)
        for key, found in counts.items():
            chunk, count = found.most_common(1)[0]
            enough = count >= 2 and 2 * count > sum(found.values())
            if sides == CONTEXTS[0] or (enough and chunk != before[key]):
                rules[key] = chunk
    return rules


def aligned(pairs: Sequence[Pair]) -> Iterable[tuple[str, list[Chunk] | None]]:
    """Words with the phones of each of their letters, none for words that have too many."""
    scores = _first_guess(pairs)
    for _ in range(_ROUNDS):
        counts: dict[str, Counter[Chunk]] = defaultdict(Counter)
        for word, phones in pairs:
            for letter, chunk in zip(word, _best(word, phones, scores) or (), strict=False):
                counts[letter][chunk] += 1
        scores = _Counted(counts)
    return [(word, _best(word, phones, scores)) for word, phones in pairs]


class _Counted:
    def __init__(self, counts: dict[str, Counter[Chunk]]) -> None:
        self._log = {
            letter: {chunk: math.log(n / sum(found.values())) for chunk, n in found.items()}
            for letter, found in counts.items()
        }

    def __call__(self, letter: str, chunk: Chunk) -> float:
        return self._log.get(letter, {}).get(chunk, -8.0 - 2.0 * len(chunk))


def _first_guess(pairs: Sequence[Pair]):
    """Letters go with phones that are often at the same place of a word."""
    together: dict[str, Counter[str]] = defaultdict(Counter)
    for word, phones in pairs:
        for i, letter in enumerate(word):
            for j, phone in enumerate(phones):
                if abs((i + 0.5) / len(word) - (j + 0.5) / len(phones)) < 0.2:
                    together[letter][phone] += 1
    total = {letter: sum(found.values()) for letter, found in together.items()}

    def score(letter: str, chunk: Chunk) -> float:
        found = together.get(letter, {})
        said = sum(math.log((found.get(phone, 0) + 0.1) / (total.get(letter, 0) + 4)) for phone in chunk)
        return said - _LENGTH_COST[len(chunk)] - (3.0 if not chunk else 0.0)

    return score


def _best(word: str, phones: Chunk, score) -> list[Chunk] | None:
    """The word's phones dealt to its letters; none if there are too many."""
    best: list[dict[int, tuple[float, int]]] = [{0: (0.0, 0)}]
    for letter in word:
        now: dict[int, tuple[float, int]] = {}
        for used, (total, _) in best[-1].items():
            for length in range(min(_LONGEST, len(phones) - used) + 1):
                value = total + score(letter, phones[used : used + length])
                if used + length not in now or value > now[used + length][0]:
                    now[used + length] = (value, length)
        best.append(now)
    at = len(phones)
    if at not in best[-1]:
        return None
    chunks = []
    for step in reversed(best[1:]):
        length = step[at][1]
        chunks.append(phones[at - length : at])
        at -= length
    return chunks[::-1]
