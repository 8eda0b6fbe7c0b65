"""How the words of a text are pronounced, all the ways that are known, as the phones of a head.

Words go by rules (:mod:`pipeline.align._letters`) unless a lexicon has them, which keeps what the rules get wrong:
for English out of CMUdict (Carnegie Mellon University, BSD), for other languages the common words, with what
becomes of them before other words (:mod:`tools.train_aligner.lexicon`).
"""

from __future__ import annotations

import json
import lzma
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache

from pipeline.align import _japanese as japanese
from pipeline.align._letters import Phones, pronounced
from pipeline.align._phone_head import DATA
from pipeline.alignment_core import WILDCARD
from pipeline.spoken import UNKNOWN, Form, spoken_forms

_MOST_WAYS = 12  # of a written word
_KEPT = 4096  # words that were said last


@dataclass(frozen=True)
class Said:
    """A way to say a written word: phones as ``units``, so many (``counts``) of each word of the spoken form."""

    units: tuple[int, ...]
    counts: tuple[int, ...]
    form: Form


class Pronunciation:
    """Of a language, in the ids of a head's ``phones``."""

    def __init__(self, language: str, phones: Mapping[str, int]) -> None:
        self._language, self._ids = language, phones
        self.rules = _rules().get(language, {})
        self._lexicon = _lexicon(language)
        self._ways = lru_cache(_KEPT)(self._ways_of)

    def alternatives(self, words: Sequence[str]) -> list[list[Said]]:
        """For each of the words of a text the ways to say it, none for one that is not said."""
        forms = spoken_forms(words, self._language)
        if self._language != "ja":
            return [self._ways(own, "", "") for own in forms]
        ends = ["", *(word[-1:] for word in words[:-1])]
        begins = [*(word[:1] for word in words[1:]), ""]
        return [self._ways(*own) for own in zip(forms, ends, begins, strict=True)]

    def _ways_of(self, forms: tuple[Form, ...], before: str, after: str) -> list[Said]:
        """``before`` and ``after``: the characters around the word, where readings depend on them."""
        ways: dict[tuple[int, ...], Said] = {}
        for form in forms:
            said: list[tuple[tuple[int, ...], tuple[int, ...]]] = [((), ())]
            for word in form.words:
                own = self._of_word(word, before, after)
                said = [(units + more, (*counts, len(more))) for units, counts in said for more in own][
                    :_MOST_WAYS
                ]
            for units, counts in said:
                if units not in ways:
                    ways[units] = Said(units, counts, form)
        return list(ways.values())[:_MOST_WAYS]

    def _of_word(self, word: str, before: str, after: str) -> list[tuple[int, ...]]:
        """A wildcard where nothing is known of its letters."""
        if word == UNKNOWN:
            return [(WILDCARD,)]
        written = unicodedata.normalize("NFC", word)
        if self._language == "ja":
            found = _japanese_ways(before + written + after, len(before), len(written))
        else:
            found = self._lexicon.get(written) or [pronounced(self.rules, written)]
        said = [tuple([self._ids[phone] for phone in phones if phone in self._ids]) for phones in found]
        return [phones for phones in said if phones] or [(WILDCARD,)]


def _japanese_ways(text: str, first: int, count: int) -> list[Phones]:
    """Of the characters from ``first`` on, in the text around them."""
    said: list[Phones] = [()]
    for place in range(first, first + count):
        around = text[place - 1 : place], text[place + 1 : place + 2]
        own = japanese.ways(text[place], *around) or [()]
        said = [start + phones for start in said for phones in own][:_MOST_WAYS]
    return said


@cache
def _rules() -> dict[str, dict[str, Phones]]:
    read = json.loads(lzma.decompress((DATA / "letters.json.xz").read_bytes()))
    return {
        language: {context: tuple(phones.split()) for context, phones in rules.items()}
        for language, rules in read.items()
    }


@cache
def _lexicon(language: str) -> dict[str, list[Phones]]:
    """Words to their pronunciations: a word, a tab, and the ways to say it with commas between them."""
    path, lexicon = DATA / f"lexicon.{language}.txt.xz", {}
    if not path.is_file():
        return lexicon
    for line in lzma.decompress(path.read_bytes()).decode().splitlines():
        word, ways = line.split("\t")
        lexicon[word] = [tuple(way.split()) for way in ways.split(",")]
    return lexicon
