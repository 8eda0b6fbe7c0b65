"""Word errors against a reference: normalisation and counts (needs the extra ``bench``).

English is normalised as in Whisper's paper (appendix C, through whisper-normalizer, MIT), other languages with its
basic normaliser; Chinese is simplified first (OpenCC); languages written without spaces are scored by character.
Edits are counted by jiwer (Apache-2.0).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec

from schemas.errors import BackendUnavailable

SCORED_BY_CHARACTER = frozenset({"zh", "yue", "ja", "th", "lo", "km", "my"})


@dataclass(frozen=True)
class Score:
    """Counts of words (or characters); scores add up to a pooled one."""

    substitutions: int = 0
    deletions: int = 0
    insertions: int = 0
    words: int = 0

    @property
    def errors(self) -> int:
        return self.substitutions + self.deletions + self.insertions

    @property
    def rate(self) -> float:
        """Word (or character) error rate; 0 where there is nothing to say and nothing was said."""
        return self.errors / self.words if self.words else float(self.errors > 0)

    def __add__(self, other: Score) -> Score:
        return Score(
            self.substitutions + other.substitutions,
            self.deletions + other.deletions,
            self.insertions + other.insertions,
            self.words + other.words,
        )


def check_installed() -> None:
    """Raises :class:`BackendUnavailable` where a package that counts word errors is missing."""
    missing = [name for name in ("jiwer", "whisper_normalizer", "opencc") if find_spec(name) is None]
    if missing:
        raise BackendUnavailable(
            f"word errors are counted with {', '.join(missing)}, which is not installed",
            hint='pip install "whisperx-mlx-mcp[bench]"',
        )


def pooled(scores: Iterable[Score]) -> Score:
    """All errors over all words."""
    return sum(scores, Score())


def score(reference: str, hypothesis: str, language: str = "en") -> Score:
    """Word errors, by character in languages without spaces; both texts are normalised here."""
    import jiwer

    said, heard = normalised(reference, language), normalised(hypothesis, language)
    if not said:
        return Score(insertions=len(heard.split()))
    found = jiwer.process_words(said, heard)
    return Score(found.substitutions, found.deletions, found.insertions, len(said.split()))


def normalised(text: str, language: str = "en") -> str:
    """Text as it is compared: lower case, no punctuation, tokens separated by one space."""
    if language == "en":
        return _english()(text)
    if language in ("zh", "yue"):
        text = _to_simplified().convert(text)
    text = _basic()(text)
    return " ".join(text.replace(" ", "")) if language in SCORED_BY_CHARACTER else text


@cache
def _english():
    from whisper_normalizer.english import EnglishTextNormalizer

    return EnglishTextNormalizer()


@cache
def _basic():
    from whisper_normalizer.basic import BasicTextNormalizer

    return BasicTextNormalizer()


@cache
def _to_simplified():
    from opencc import OpenCC

    return OpenCC("t2s")
