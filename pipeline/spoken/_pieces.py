"""A written word taken apart: numerals with their units, letters, signs; each piece with the ways to say it."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass

from pipeline.spoken import _letters, _numerals
from pipeline.spoken._language import Language, Words
from pipeline.spoken._written import is_letter

UNKNOWN = "*"
"""A spoken word that stands for speech which nobody can spell."""
JOINED = ("+",)
"""A way to say a hyphen: what stands on both sides is one word."""

_SHADOWED = re.compile(
    r"(?P<date>0000-00-00|00?([./-])00?\2(?:0000|00))(?![0a])"
    r"|(?P<clock>00?:00(?::00)?)(?![0a])"
    r"|(?P<money>\$ ?)?(?P<number>0+(?:[.,']0+)*)"
    r"|(?P<letters>a+(?:'a+)*)"
    r"|(?P<sign>.)",
    re.DOTALL,
)
_SAID = frozenset("%&@°§№+")  # signs that nobody passes over in silence
_LONGEST_UNIT = 8
_PHONE_DIGITS = 7


@dataclass(frozen=True)
class Piece:
    """The characters from ``start`` to ``end`` of a word, and the ways to say them, the likelier first."""

    start: int
    end: int
    ways: tuple[Words, ...]


@dataclass(frozen=True)
class Context:
    """The words around a word, without punctuation at their ends; ``shouted`` is text all in capitals."""

    tongue: Language
    before: str = ""
    after: str = ""
    shouted: bool = False


def pieces(text: str, context: Context) -> list[Piece]:
    """The pieces of a word in compatibility form. Nothing of it is left out; a silent piece says nothing."""
    shadow = _shadow(text)
    found: list[Piece] = []
    at = 0
    while at < len(text):
        match = _SHADOWED.match(shadow, at)
        new = list(_piece(match, text, context))
        found += new
        at = new[-1].end
    return found


def _shadow(text: str) -> str:
    """``0`` for digits, ``a`` for letters, ``$`` for signs of currencies, other characters as they are."""
    return text.translate(_SHADOWS) if text.isascii() else "".join(map(_shadow_of, text))


def _shadow_of(character: str) -> str:
    if "0" <= character <= "9":
        return "0"
    if unicodedata.category(character) == "Sc":
        return "$"
    if is_letter(character):
        return "a"
    return character if character in ".,:'/- " else "?"


_SHADOWS = {code: _shadow_of(chr(code)) for code in range(128)}


def _piece(match: re.Match[str], text: str, context: Context) -> Iterator[Piece]:
    start, end = match.span()
    said = text[start:end]
    match match.lastgroup:
        case "date":
            yield Piece(start, end, _or_unknown(_numerals.dates(said, context.tongue)))
        case "clock":
            yield Piece(start, end, _or_unknown(_numerals.clock_times(said, context.tongue)))
        case "number":
            yield from _number(match, text, context)
        case "letters":
            touching = text[start - 1 : start].isdigit() or text[end : end + 1].isdigit()
            yield Piece(start, end, _letters.ways(said, context, beside_digit=touching))
        case _:
            yield Piece(start, end, _sign(text, start, context.tongue))


def _number(match: re.Match[str], text: str, context: Context) -> Iterator[Piece]:
    """A numeral, with the currency before it and the ending or unit behind it."""
    start, end = match.span()
    tongue, number = context.tongue, match["number"]
    said = text[match.start("number") : end]
    currency = tongue.currencies.get(text[start : match.end("money")].strip()) if match["money"] else None
    assert number is not None
    behind = text[end : end + _LONGEST_UNIT]
    if currency is None and (ending := _numerals.ordinal_ending(behind, tongue)):
        yield Piece(start, end + len(ending), _or_unknown(_numerals.ranks(said, ending, tongue)))
        return
    unit, sign = _unit(behind, tongue)
    amount = _numerals.Amount(
        said, tongue, context.before, context.after, dotted=behind == ".", phone=_is_phone(text)
    )
    if currency is None and sign is not None:
        yield Piece(start, end + len(unit), _or_unknown(amount.with_currency(tongue.currencies[sign])))
        return
    scaled = unit in tongue.scales or (not unit and context.after.lower() in tongue.scales)
    ways = amount.with_currency(currency) if currency and not scaled else amount.ways()
    if match["money"] and currency is None:
        ways = (UNKNOWN,), *ways
    if unit in tongue.prefixed:
        ways = ((*name, *way) for way in ways for name in tongue.units[unit])
        yield Piece(start, end + len(unit), _or_unknown(ways))
        return
    yield Piece(start, end, _or_unknown(ways))
    if unit:
        plain = tongue.units.get(unit) or tongue.currencies[unit]
        more = tuple((*way, *name) for way in plain for name in currency) if currency else ()
        yield Piece(end, end + len(unit), (*more, *plain))


def _is_phone(text: str) -> bool:
    """Whether the word looks like a telephone number, which is read out digit by digit."""
    digits = sum("0" <= character <= "9" for character in text)
    return digits >= _PHONE_DIGITS and not any(is_letter(c) or c in ",.:" for c in text) and "-" in text[1:]


def _unit(behind: str, tongue: Language) -> tuple[str, str | None]:
    """The unit that ``behind`` begins with, and the currency's sign if that is what it is."""
    for length in range(len(behind), 0, -1):
        unit = behind[:length]
        goes_on = is_letter(behind[length : length + 1] or " ") and is_letter(unit[-1])
        if not goes_on and unit in tongue.currencies:
            return unit, unit
        if not goes_on and unit in tongue.units:
            return unit, None
    return "", None


def _sign(text: str, at: int, tongue: Language) -> tuple[Words, ...]:
    sign = text[at]
    before, after = text[at - 1 : at] if at else "", text[at + 1 : at + 2]
    if sign == "-":
        return _hyphen(before, after, tongue)
    if before.isalnum() and after.isalnum() and sign in tongue.between:
        if sign == "." and is_letter(before) and _initial(text, at):
            return ((),)
        return (*tongue.between[sign], ())
    ways = tongue.symbols.get(sign, ())
    if ways:
        return (*ways, ()) if sign not in _SAID else ways
    return ((UNKNOWN,),) if sign in _SAID or unicodedata.category(sign) == "Sc" else ((),)


def _initial(text: str, at: int) -> bool:
    """Whether the letter before the point at ``at`` stands alone: an initial, not a name of a host."""
    return at < 2 or not text[at - 2].isalnum()


def _hyphen(before: str, after: str, tongue: Language) -> tuple[Words, ...]:
    if before.isdigit() and after.isdigit():
        return ((), *tongue.range)
    if is_letter(before or " ") and is_letter(after or " "):
        return (), JOINED
    if not before and after.isdigit():
        return (*tongue.symbols.get("-", ()), ())
    return ((),)


def _or_unknown(ways: Iterator[Words] | tuple[Words, ...]) -> tuple[Words, ...]:
    return tuple(dict.fromkeys(ways)) or ((UNKNOWN,),)
