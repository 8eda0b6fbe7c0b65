"""The words of a language for what is written in signs, from its file in ``languages/``."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

_FOLDER = Path(__file__).parent / "languages"

Words = tuple[str, ...]
Table = Mapping[str, tuple[Words, ...]]


@dataclass(frozen=True)
class Language:
    """Tables from what is written to how it may be said, each way a tuple of words.

    ``point`` stands between a number's whole part and its decimals; ``thousands`` is the mark between its groups;
    ``variants`` are other forms of a number's last word (gender, case); ``link`` is the word that a number
    may leave out ("two thousand *and* one"); ``ordinals`` are the endings after digits that make a number ordinal;
    ``prefixed`` are units that are said before their number;
    ``numbers`` Hindi's from 0 to 99, which num2words lacks.
    """

    code: str
    point: tuple[Words, ...] = ()
    decimal: str = "."
    thousands: str = ","
    link: str = ""
    zero: tuple[str, ...] = ()
    ordinals: tuple[str, ...] = ()
    dotted_ordinals: bool = False
    clock: tuple[Words, ...] = ()
    on_the_hour: tuple[Words, ...] = ()
    range: tuple[Words, ...] = ()
    prefixed: tuple[str, ...] = ()
    numbers: tuple[str, ...] = ()
    months: tuple[Words, ...] = ()
    scales: frozenset[str] = frozenset()
    before_roman: tuple[str, ...] = ()
    pairs: bool = False
    plural_s: bool = False
    symbols: Table = field(default_factory=dict)
    between: Table = field(default_factory=dict)
    units: Table = field(default_factory=dict)
    currencies: Table = field(default_factory=dict)
    abbreviations: Table = field(default_factory=dict)
    variants: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @cached_property
    def abbreviated(self) -> frozenset[str]:
        """The abbreviations in lower case, without the punctuation behind them."""
        return frozenset(key.lower().rstrip(".,?!;:") for key in self.abbreviations)


@lru_cache(maxsize=64)
def language(code: str) -> Language:
    """The language's tables, empty ones where it has no file."""
    path = _FOLDER / f"{code}.toml"
    if not code.isascii() or not code.isalpha() or not path.is_file():
        return Language(code)
    raw = tomllib.loads(path.read_text("utf-8"))
    return Language(code, **{name: _READ.get(name, _same)(value) for name, value in raw.items()})


def languages() -> tuple[str, ...]:
    """Codes of the languages that have a file."""
    return tuple(sorted(path.stem for path in _FOLDER.glob("*.toml")))


def _ways(raw: Sequence[str]) -> tuple[Words, ...]:
    return tuple(tuple(way.split()) for way in raw)


def _table(raw: Mapping[str, Sequence[str]]) -> Table:
    return {written: _ways(ways) for written, ways in raw.items()}


def _same(value: Any) -> Any:
    return value


_READ: dict[str, Any] = {
    **dict.fromkeys(("point", "clock", "on_the_hour", "range", "months"), _ways),
    **dict.fromkeys(("symbols", "between", "units", "currencies", "abbreviations"), _table),
    **dict.fromkeys(("zero", "ordinals", "prefixed", "numbers", "before_roman"), tuple),
    "scales": frozenset,
    "variants": lambda raw: {word: tuple(others) for word, others in raw.items()},
}
