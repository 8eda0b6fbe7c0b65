"""What Whisper is told before a window, and which tokens it may not write; the same for every backend."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

from pipeline.asr import ChunkText
from pipeline.asr._languages import LANGUAGES, normalise
from schemas.errors import InvalidArgument
from schemas.options import AsrOptions
from schemas.report import Warning_

PROMPT_TOKENS = 223  # half of the decoder's 448, less the token that opens the prompt
_NUMERALS = frozenset("0123456789%$£")


@dataclass(frozen=True)
class Prompt:
    """Text tokens to stand before a window, and what had to be left out of them."""

    tokens: tuple[int, ...] = ()
    warnings: tuple[Warning_, ...] = ()


def prompt(encode: Callable[[str], Sequence[int]], options: AsrOptions) -> Prompt:
    """The vocabulary as a list, then the initial prompt, which works best next to the text.

    Whisper has room for 223 tokens; as in ``whisper/decoding.py`` the last ones are kept.
    """
    parts = (", ".join(term.strip() for term in options.vocabulary), options.initial_prompt or "")
    tokens = [token for part in parts if part.strip() for token in encode(" " + part.strip())]
    if len(tokens) <= PROMPT_TOKENS:
        return Prompt(tuple(tokens))
    message = (
        f"The vocabulary and the initial prompt are {len(tokens)} tokens long; Whisper reads the last "
        f"{PROMPT_TOKENS}. Shorten them."
    )
    return Prompt(tuple(tokens[-PROMPT_TOKENS:]), (Warning_(code="flag_ignored", message=message),))


def numerals(decode: Callable[[list[int]], str], eot: int) -> list[int]:
    """Tokens with a digit or a sign that is said as a word (WhisperX's ``suppress_numerals``)."""
    return [token for token in range(eot) if _NUMERALS & set(decode([token]))]


def checked_language(language: str, known: Iterable[str], options: AsrOptions) -> str:
    """The language's code, if a model that knows ``known`` can do what is asked.

    Raises :class:`schemas.errors.InvalidArgument` otherwise.
    """
    code, known = normalise(language), frozenset(known)
    if known == {"en"} and (code != "en" or options.task == "translate"):
        wanted = "translates" if options.task == "translate" else f"transcribes {LANGUAGES[code].title()}"
        raise InvalidArgument(
            f"no English-only model {wanted}",
            hint="choose a multilingual model: its name has no .en at the end",
        )
    if code not in known:
        raise InvalidArgument(
            f"this Whisper model does not know {LANGUAGES[code].title()}", hint="choose large-v3 or later"
        )
    return code


def ignored(options: AsrOptions, names: Sequence[str], why: str) -> list[Warning_]:
    """A warning for those of the named options that were changed, in a backend that does not have them."""
    defaults = AsrOptions()
    asked = {name: getattr(options, name) for name in names}
    changed = [
        n for n, value in asked.items() if value != getattr(defaults, n) and (value is True or value != 1)
    ]
    if not changed:
        return []
    return [Warning_(code="flag_ignored", message=f"{why}: {', '.join(changed)} had no effect.")]


def with_warnings(texts: Iterable[ChunkText], warnings: Sequence[Warning_]) -> Iterator[ChunkText]:
    """The texts, the first one with these warnings of the whole run added."""
    for text in texts:
        yield replace(text, warnings=(*warnings, *text.warnings)) if warnings else text
        warnings = ()
