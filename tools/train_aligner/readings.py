"""The readings of kanji in words: which kana each stands for, counted over a dictionary of SudachiPy (Apache-2.0).

Words and their readings are aligned character by character, as letters and phones are for spelling rules.
"""

from __future__ import annotations

import random
import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence

from tools.train_aligner.letters import aligned

_WORD = re.compile(r"[\u3005\u4e00-\u9fff]{1,4}[ぁ-ゖ]{0,3}")
_READING = re.compile(r"[ァ-ヺー]+")
_PARTS = (
    "名詞,普通名詞",
    "名詞,数詞",
    "動詞,一般",
    "動詞,非自立可能",
    "形容詞,一般",
    "形状詞,一般",
    "副詞",
    "接尾辞",
    "接頭辞",
)
_MOST = 8
_SHARE = 0.02  # of the words with a kanji, for a reading to be kept
_ALONE = 5  # a word with one kanji counts so many times: there are few, and they are common


def words(count: int = 120_000, seed: int = 1) -> list[tuple[str, tuple[str, ...]]]:
    """Words and their readings by syllables, out of SudachiPy's small dictionary."""
    from sudachipy import Dictionary

    dictionary = Dictionary(dict="small")
    found = sorted(set(_spoken(dictionary)))
    random.Random(seed).shuffle(found)
    return [(surface, _syllables(reading)) for surface, reading in found[:count]]


def readings(pairs: Sequence[tuple[str, tuple[str, ...]]]) -> str:
    """The file that :mod:`pipeline.align._japanese` reads."""
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    for word, chunks in aligned(pairs):
        kanji = [
            (c, "".join(own)) for c, own in zip(word, chunks or (), strict=False) if c > "\u4dff" and own
        ]
        for character, reading in kanji:
            counts[character][reading] += _ALONE if len(kanji) == 1 else 1
    lines = []
    for kanji, found in sorted(counts.items()):
        least = _SHARE * sum(found.values())
        kept = [reading for reading, count in found.most_common(_MOST) if count >= least]
        lines.append(f"{kanji}\t{','.join(kept)}\n")
    return "".join(lines)


def _spoken(dictionary) -> Iterator[tuple[str, str]]:
    for entry in dictionary.entries():
        written, read = entry.surface(), entry.reading_form()
        part = ",".join(entry.part_of_speech())
        usual = entry.dictionary_form() == written and part.startswith(_PARTS)
        if usual and _WORD.fullmatch(written) and _READING.fullmatch(read):
            yield written, read


def _syllables(reading: str) -> tuple[str, ...]:
    """Kana, each with the small one behind it."""
    return tuple(re.findall(r".[ァィゥェォャュョ]?", reading))
