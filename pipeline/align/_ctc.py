"""Forced alignment with a CTC model: a text's characters placed on the model's frames.

The best path through the CTC states of the text (Graves et al. 2006; Kürzinger et al., "CTC-Segmentation", 2020;
:mod:`pipeline.alignment_core`). Before and after the text the path pays for the best symbol whatever it is, so
that neighbours' speech inside the cut does not pull the first and last words. Numerals, signs and abbreviations
are spelt as they may be said, and the path chooses; what is said and cannot be spelt (foreign letters) is a
wildcard that takes as many frames as it needs; punctuation takes none.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from pipeline.align import WordTime
from pipeline.align._words import spoken_units, written_together
from pipeline.alignment_core import EDGE, WILDCARD, Alignment, PlacedWord, align, ctc_graph
from pipeline.spoken import UNKNOWN, Form, spoken_forms
from schemas.errors import FailedToAlign
from schemas.transcript import Char

_Span = tuple[float, float, float | None]
_SAME = {"’": "'", "‘": "'", "ʼ": "'", "`": "'"}
_LAST_TAIL_S = 0.04  # a word's last sound goes on after its symbol; elsewhere up to the separator
_KNOWN = 0.5  # share of the letters that must be in the vocabulary
_WILDCARD_COST = 0.05  # per frame, so that pauses around a numeral are left to the blank


@dataclass(frozen=True)
class Vocabulary:
    """Symbols of a CTC model: ``ids`` of single characters in lower case, the blank, the mark between words."""

    ids: Mapping[str, int]
    blank: int
    separator: int | None

    @classmethod
    def of(cls, labels: Mapping[str, int], blank: int) -> Vocabulary:
        """From a model's labels; special tokens and a character that means the blank are left out."""
        ids = {label.lower(): code for label, code in labels.items() if len(label) == 1 and code != blank}
        return cls({c: code for c, code in ids.items() if c not in "| "}, blank, ids.get("|", ids.get(" ")))

    def spell(self, character: str, language: str) -> list[int]:
        """The symbols for one written character; none where it has none."""
        if language in ("tr", "az"):
            character = {"I": "ı", "İ": "i"}.get(character, character)
        symbols = _SAME.get(character, character).lower()  # the lower case of İ is two characters
        if not any(symbol in self.ids for symbol in symbols):
            symbols = unicodedata.normalize("NFKD", symbols)  # é as e, where the model has no é
        return [self.ids[symbol] for symbol in symbols if symbol in self.ids]


@dataclass(frozen=True)
class Spelling:
    """One way to say a word in a model's symbols, and the written character that each stands for (−1: none)."""

    symbols: tuple[int, ...]
    characters: tuple[int, ...]


@dataclass(frozen=True)
class Frames:
    """A model's frames: ``hop_s`` seconds apart, the first one beginning at ``offset_s``."""

    hop_s: float
    offset_s: float = 0.0

    def start(self, frame: int) -> float:
        """Seconds at which a frame begins, and the one before it ends."""
        return self.offset_s + frame * self.hop_s


def place(
    log_probs: np.ndarray, words: Sequence[str], language: str, vocabulary: Vocabulary, frames: Frames
) -> list[WordTime | None]:
    """One time per word, none for punctuation and where no word has a symbol. ``log_probs`` (frames, vocabulary).

    Words of wildcards alone have no score.

    Raises :class:`FailedToAlign` for text in another script, or that is longer than the frames can hold.
    """
    spellings = spell(words, language, vocabulary)
    graph = ctc_graph(
        [[spelling.symbols for spelling in ways] for ways in spellings],
        blank=vocabulary.blank,
        separator=vocabulary.separator,
        separated=_separated(words, spellings),
    )
    found = align(log_probs, graph, wildcard_cost=_WILDCARD_COST)
    ends = _ends(graph.label[found.path], found, vocabulary.blank, frames)
    return [
        word and _time(text, ways[word.alternative], word, ends, log_probs, frames)
        for text, ways, word in zip(words, spellings, found.words, strict=True)
    ]


def spell(words: Sequence[str], language: str, vocabulary: Vocabulary) -> list[list[Spelling]]:
    """The ways to spell each word as it may be said; none for punctuation.

    None for any word where the model knows no letter of the text. Raises :class:`FailedToAlign` if it knows some,
    but not most.
    """
    forms = spoken_forms(words, language)
    letters = "".join(word for ways in forms if ways for word in ways[0].words if word != UNKNOWN)
    known = sum(bool(vocabulary.spell(letter, language)) for letter in letters)
    if known < _KNOWN * len(letters):
        raise FailedToAlign("the model does not know their letters")
    return [
        _spellings(word, ways, language, vocabulary) if known else []
        for word, ways in zip(words, forms, strict=True)
    ]


def _spellings(word: str, forms: Sequence[Form], language: str, vocabulary: Vocabulary) -> list[Spelling]:
    """A model that has symbols for digits is given them as they are written, too."""
    said = [character for character in word if spoken_units(character)]
    if any(map(str.isdigit, said)) and all(vocabulary.spell(character, language) for character in said):
        forms = [Form((word,), tuple(range(len(word)))), *forms]
    found = [_spelling(form, language, vocabulary) for form in forms]
    return list(dict.fromkeys(spelling for spelling in found if spelling.symbols))


def _spelling(form: Form, language: str, vocabulary: Vocabulary) -> Spelling:
    """A form in symbols, marks between its words; a run of letters that have no symbols is one wildcard."""
    symbols: list[tuple[int, int]] = []
    places = iter(form.places)
    for word in form.words:
        mark = [] if vocabulary.separator is None or not symbols else [(vocabulary.separator, -1)]
        own: list[tuple[int, int]] = []
        for letter in word:
            place = next(places)
            codes = vocabulary.spell(letter, language)
            said = letter == UNKNOWN or spoken_units(letter)
            if not codes and said and (not own or own[-1][0] != WILDCARD):
                codes = [WILDCARD]
            own += [(code, place) for code in codes]
        symbols += [*mark, *own] if own else []
    return Spelling(*map(tuple, zip(*symbols, strict=True))) if symbols else Spelling((), ())


def _separated(words: Sequence[str], spellings: Sequence[list[Spelling]]) -> list[bool]:
    """Whether the mark between words stands before each of them."""
    separated, before = [], None  # the last word that is said
    for word, ways in zip(words, spellings, strict=True):
        separated.append(before is not None and not written_together(before, word))
        before = word if ways else before
    return separated


def _ends(labels: np.ndarray, found: Alignment, blank: int, frames: Frames) -> dict[int, float]:
    """When each symbol ends, by its first frame: it sounds on until the next one begins, the last a little while.

    ``labels`` (frames,) are the symbols of the path, marks between words among them.
    """
    changes = np.flatnonzero(np.diff(found.path, prepend=-1))
    begins = [frame for frame in changes.tolist() if labels[frame] not in (blank, EDGE)]
    ends = {first: frames.start(following) for first, following in pairwise(begins)}
    last = [word.stop for word in found.words if word is not None][-1:]
    return ends | {
        first: frames.start(stop) + _LAST_TAIL_S for first, stop in zip(begins[-1:], last, strict=True)
    }


def _time(
    word: str,
    spelling: Spelling,
    found: PlacedWord,
    ends: Mapping[int, float],
    log_probs: np.ndarray,
    frames: Frames,
) -> WordTime:
    scores = [
        None if symbol == WILDCARD else float(np.exp(log_probs[unit.first : unit.stop, symbol]).mean())
        for unit, symbol in zip(found.units, spelling.symbols, strict=True)
    ]
    starts = [frames.start(unit.first) for unit in found.units]
    stops = [ends[unit.first] for unit in found.units]
    spans: dict[int, list[_Span]] = {}
    for place, *span in zip(spelling.characters, starts, stops, scores, strict=True):
        spans.setdefault(place, []).append(tuple(span))
    spans.pop(-1, None)  # marks between spoken words
    return WordTime(
        start=starts[0],
        end=stops[-1],
        score=_mean([score for place in spans.values() for _, _, score in place]),
        timing="ctc",
        chars=tuple(_char(character, spans.get(i, ())) for i, character in enumerate(word)),
    )


def _mean(scores: Sequence[float | None]) -> float | None:
    known = [score for score in scores if score is not None]
    return float(np.mean(known)) if known else None


def _char(character: str, spans: Sequence[_Span]) -> Char:
    """A character with the time of all the letters that it is said with."""
    if not spans:
        return Char(char=character)
    score = _mean([score for _, _, score in spans])
    return Char(
        char=character, start=spans[0][0], end=spans[-1][1], score=None if score is None else round(score, 3)
    )
