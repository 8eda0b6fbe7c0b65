"""Special tokens, prompts and suppressed tokens, all derived from the size of the vocabulary.

The tables are OpenAI's, read through mlx-whisper's tokenizer (MIT).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from pipeline.whisper_mlx.config import SECONDS_PER_TIMESTAMP, Dims
from schemas.errors import InvalidArgument

_NUMERALS = frozenset("0123456789%$£")


@dataclass(frozen=True)
class Prompt:
    """What a window's decoding starts from. ``sot`` is the place of the start token in ``tokens``."""

    tokens: tuple[int, ...]
    sot: int


@dataclass(frozen=True)
class Tokens:
    """The vocabulary of a model, without a language or a task."""

    dims: Dims
    tokenizer: Any = field(repr=False)

    @classmethod
    def of(cls, dims: Dims) -> Tokens:
        """The vocabulary that belongs to a model's sizes."""
        from mlx_whisper.tokenizer import get_tokenizer

        tokenizer = get_tokenizer(dims.is_multilingual, num_languages=max(dims.num_languages, 99))
        return cls(dims, tokenizer)

    @property
    def eot(self) -> int:
        """End of text; every smaller id is text."""
        return self.tokenizer.eot

    @property
    def sot(self) -> int:
        """Start of transcript."""
        return self.tokenizer.sot

    @property
    def no_speech(self) -> int:
        """Its probability at the start token's place says how likely there is no speech."""
        return self.tokenizer.no_speech

    @property
    def timestamp_begin(self) -> int:
        """``<|0.00|>``; the ids from here on are times in steps of 20 ms."""
        return self.tokenizer.timestamp_begin

    @cached_property
    def languages(self) -> dict[str, int]:
        """Codes and the ids of their tokens; only English for an English-only model."""
        if not self.dims.is_multilingual:
            return {"en": self.sot}
        from mlx_whisper.tokenizer import LANGUAGES

        codes = list(LANGUAGES)[: self.dims.num_languages]
        return {code: self.sot + 1 + i for i, code in enumerate(codes)}

    def language_token(self, language: str) -> int:
        """The id of a language's token. Raises :class:`InvalidArgument` for one that the model does not know."""
        if language not in self.languages:
            raise InvalidArgument(
                f"this Whisper model does not know the language {language!r}",
                hint="name another language, or another model"
                if self.dims.is_multilingual
                else "this is an English-only model: choose a multilingual one",
            )
        return self.languages[language]

    def prompt(self, language: str, task: str, timestamps: bool, before: Sequence[int] = ()) -> Prompt:
        """Start tokens for a window, after as much of ``before`` (text tokens) as half of the context holds."""
        start = [self.sot]
        if self.dims.is_multilingual:
            start.append(self.language_token(language))
            start.append(self.tokenizer.translate if task == "translate" else self.tokenizer.transcribe)
        if not timestamps:
            start.append(self.tokenizer.no_timestamps)
        if not before:
            return Prompt(tuple(start), 0)
        context = [self.tokenizer.sot_prev, *before[-(self.dims.n_text_ctx // 2 - 1) :]]
        return Prompt((*context, *start), len(context))

    def encode(self, text: str) -> list[int]:
        """Text tokens of a prompt: one leading space, as OpenAI encodes prompts."""
        return self.tokenizer.encode(" " + text.strip())

    def decode(self, tokens: Iterable[int]) -> str:
        """The text of tokens, special ones left out."""
        return self.tokenizer.decode([t for t in tokens if t < self.eot])

    def seconds(self, token: int) -> float:
        """The time that a timestamp token stands for, from the window's beginning."""
        return (token - self.timestamp_begin) * SECONDS_PER_TIMESTAMP

    def suppressed(self, asked: Iterable[int], numerals: bool) -> list[int]:
        """Text ids that may not be sampled: ``-1`` stands for OpenAI's list of symbols that nobody says."""
        ids: set[int] = {t for t in asked if t >= 0}
        if -1 in asked:
            ids.update(self.tokenizer.non_speech_tokens)
        if numerals:
            ids.update(self.numerals)
        return sorted(t for t in ids if t < self.eot)

    @cached_property
    def numerals(self) -> tuple[int, ...]:
        """Tokens with a digit or a sign that is written instead of said (WhisperX's ``suppress_numerals``)."""
        return tuple(t for t in range(self.eot) if _NUMERALS & set(self.tokenizer.encoding.decode([t])))

    @cached_property
    def blank(self) -> tuple[int, ...]:
        """What the first text token may not be."""
        return tuple(self.tokenizer.encode(" "))
