"""Forced alignment with a CTC model: a text's characters placed on the model's frames.

The best path through the CTC states of the text (Graves et al. 2006; Kürzinger et al., "CTC-Segmentation", 2020),
exact, in numpy. Before and after the text the path pays for the best symbol whatever it is, so that neighbours'
speech inside the cut does not pull the first and last words. What is said and has no symbol (numerals, foreign
letters) is a wildcard that takes as many frames as it needs; punctuation takes none.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from pipeline.align import WordTime
from pipeline.align._words import spoken_units, written_together
from schemas.errors import FailedToAlign
from schemas.transcript import Char

_SAME = {"’": "'", "‘": "'", "ʼ": "'", "`": "'"}
_LAST_TAIL_S = 0.04  # a word's last sound goes on after its symbol; elsewhere up to the separator
_KNOWN = 0.5  # share of the letters that must be in the vocabulary
_WILDCARD = -1
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
    """A text as symbols (length,), and the word and the character in it that each stands for (−1: none).

    The symbol −1 is the wildcard.
    """

    symbols: np.ndarray
    word: np.ndarray
    character: np.ndarray


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
    spelling = spell(words, language, vocabulary)
    if not len(spelling.symbols):
        return [None] * len(words)
    path = best_path(log_probs, spelling.symbols, vocabulary.blank)
    return _words(path, log_probs, spelling, words, frames)


def spell(words: Sequence[str], language: str, vocabulary: Vocabulary) -> Spelling:
    """The words' symbols, with separators between words that are said.

    Raises :class:`FailedToAlign` if most letters are unknown to the model.
    """
    letters = [character for word in words for character in word if character.isalpha()]
    known = sum(bool(vocabulary.spell(letter, language)) for letter in letters)
    if known < _KNOWN * len(letters):
        raise FailedToAlign("the model does not know their letters")
    symbols: list[tuple[int, int, int]] = []
    before: str | None = None  # the last word that is said
    for number, word in enumerate(words):
        own = _word_symbols(word, language, vocabulary)
        if not own:
            continue
        if before is not None and vocabulary.separator is not None and not written_together(before, word):
            symbols.append((vocabulary.separator, -1, -1))
        before = word
        symbols += [(symbol, number, place_in_word) for symbol, place_in_word in own]
    if not known:
        symbols = []
    table = np.array(symbols, dtype=np.int64).reshape(-1, 3)
    return Spelling(table[:, 0], table[:, 1], table[:, 2])


def _word_symbols(word: str, language: str, vocabulary: Vocabulary) -> list[tuple[int, int]]:
    """Symbols with the number of their character; a run of characters that have none is one wildcard."""
    symbols: list[tuple[int, int]] = []
    for place_in_word, character in enumerate(word):
        codes = vocabulary.spell(character, language)
        if not codes and spoken_units(character) and (not symbols or symbols[-1][0] != _WILDCARD):
            codes = [_WILDCARD]
        symbols += [(code, place_in_word) for code in codes]
    return symbols


def best_path(log_probs: np.ndarray, symbols: np.ndarray, blank: int) -> np.ndarray:
    """The most probable state of each frame (frames,): 2k + 1 is symbol k, even states lie between symbols.

    Raises :class:`FailedToAlign` when there are fewer frames than the symbols need.
    """
    repeats = symbols[1:] == symbols[:-1]
    if len(log_probs) < len(symbols) + int(repeats.sum()):
        raise FailedToAlign("they hold more text than can be said in their time")
    labels = np.full(2 * len(symbols) + 1, blank)
    labels[1::2] = symbols
    cost = log_probs[:, labels]  # (frames, states)
    best = log_probs.max(axis=1)
    cost[:, 0] = cost[:, -1] = best
    cost[:, labels == _WILDCARD] = best[:, None] - _WILDCARD_COST
    skip = np.full(len(labels), -np.inf)
    skip[3::2] = np.where(repeats, -np.inf, 0.0)  # the blank between two different symbols may be left out
    return _viterbi(cost, skip)


def _viterbi(cost: np.ndarray, skip: np.ndarray) -> np.ndarray:
    """Left to right, each frame staying, moving one state on, or two where ``skip`` is 0."""
    frames, states = cost.shape
    steps = np.zeros((frames, states), np.uint8)
    score = np.full(states + 2, -np.inf)  # two states before the first, which nothing reaches
    score[2:4] = cost[0, :2]
    for frame in range(1, frames):
        stay, one, two = score[2:], score[1:-1], score[:-2] + skip
        best = np.maximum(stay, one)
        steps[frame] = np.where(two > best, 2, one > stay)
        score[2:] = np.maximum(best, two) + cost[frame]
    state = states - 1 if score[-1] >= score[-2] else states - 2
    path = np.empty(frames, np.int64)
    for frame in range(frames - 1, -1, -1):
        path[frame] = state
        state -= int(steps[frame, state])
    return path


def _words(
    path: np.ndarray, log_probs: np.ndarray, spelling: Spelling, words: Sequence[str], frames: Frames
) -> list[WordTime | None]:
    count = len(spelling.symbols)
    first = np.searchsorted(path, 2 * np.arange(count) + 1)  # states never fall
    stop = np.searchsorted(path, 2 * np.arange(count) + 2)
    # A symbol sounds on until the next one begins, the last one for a little while.
    until = [frames.start(frame) for frame in first[1:]] + [frames.start(stop[-1]) + _LAST_TAIL_S]
    scores = [
        None if symbol == _WILDCARD else float(np.exp(log_probs[a:b, symbol]).mean())
        for a, b, symbol in zip(first, stop, spelling.symbols, strict=True)
    ]
    times: list[WordTime | None] = [None] * len(words)
    for number, word in enumerate(words):
        own = np.flatnonzero(spelling.word == number)
        if len(own):
            spans = {int(spelling.character[k]): (frames.start(first[k]), until[k], scores[k]) for k in own}
            times[number] = WordTime(
                start=frames.start(first[own[0]]),
                end=until[own[-1]],
                score=_mean([scores[k] for k in own]),
                timing="ctc",
                chars=tuple(_char(character, spans.get(i)) for i, character in enumerate(word)),
            )
    return times


def _mean(scores: Sequence[float | None]) -> float | None:
    known = [score for score in scores if score is not None]
    return float(np.mean(known)) if known else None


def _char(character: str, span: tuple[float, float, float | None] | None) -> Char:
    if span is None:
        return Char(char=character)
    start, end, score = span
    return Char(char=character, start=start, end=end, score=None if score is None else round(score, 3))
