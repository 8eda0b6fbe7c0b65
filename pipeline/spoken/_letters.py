"""Letters that are not simply read: initialisms, Roman numerals, drawled words."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from pipeline.spoken import _numbers
from pipeline.spoken._language import Words
from pipeline.spoken._written import is_mark, lowered

if TYPE_CHECKING:
    from pipeline.spoken._pieces import Context

VOWELS = frozenset("aeiouyàáâãäåæèéêëìíîïòóôõöøœùúûüýаеёиоуыэюяіїєαεηιουωάέήίόύώ")
_CASED = re.compile(r"[A-ZÀ-ÖØ-ÞĀ-ɏА-ЯЁІЇЄΑ-Ω]")
_INTERJECTIONS = frozenset(
    ["hm", "hmm", "hmmm", "mm", "mmm", "mhm", "mmhm", "sh", "shh", "psst", "pst", "tsk", "brr", "grr", "nth"]
)
_LONGEST_INITIALISM = 6
DRAWLED = re.compile(r"(.)\1{2,}")
_HUMP = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")
_HIGHEST_ROMAN = 50
_FIRST_ROMAN_YEAR = 1800


def ways(text: str, context: Context, *, beside_digit: bool) -> tuple[Words, ...]:
    """Ways to say a run of letters (with apostrophes), the likelier first; never none."""
    code = context.tongue.code
    plain = "".join(lowered(character, code) for character in text)
    found: list[Words] = [(plain,)]
    if not context.shouted and _is_initialism(text, beside_digit) and (spelled := _spelled(text, code)):
        found.insert(0 if beside_digit or _unreadable(plain) or len(text) < 4 else 1, spelled)
    elif 1 < len(text) <= 5 and _unreadable(plain) and _CASED.match(text.upper()):
        spelled = _spelled(text, code)
        if spelled:
            found.insert(0 if code == "en" and plain not in _INTERJECTIONS else 1, spelled)
    found += _camel(text, code)
    found += _drawl(plain)
    if not context.shouted:
        found = [*_roman(text, context), *found]
    return tuple(dict.fromkeys(found))


def _spelled(text: str, code: str) -> Words:
    """Letter by letter; the s of a plural belongs to the last letter: ``PDFs`` is p, d, f's."""
    letters, plural = text, ""
    if len(text) > 2 and text[-1] == "s" and text[:-1].rstrip("'").isupper():
        letters, plural = text[:-1].rstrip("'"), "'s"
    if len(letters) > _LONGEST_INITIALISM or "'" in letters or any(map(is_mark, letters)):
        return ()
    names = [lowered(letter, code) for letter in letters]
    return (*names[:-1], names[-1] + plural)


def _is_initialism(text: str, beside_digit: bool) -> bool:
    letters = text[:-1].rstrip("'") if text[-1] == "s" and len(text) > 2 else text
    if not 1 < len(letters) <= _LONGEST_INITIALISM:
        return False
    return letters.isupper() or (beside_digit and len(letters) <= 3)


def _unreadable(plain: str) -> bool:
    return not any(letter in VOWELS for letter in plain)


def _camel(text: str, code: str) -> list[Words]:
    """``OpenAI`` as "open a i"."""
    if not text.isascii() or not re.search("[a-z][A-Z]", text) or len(text) > 30:
        return []
    words: list[str] = []
    for hump in _HUMP.findall(text):
        words += list(_spelled(hump, code)) if hump.isupper() and len(hump) <= 3 else [hump.lower()]
    return [tuple(words)]


def _drawl(plain: str) -> list[Words]:
    """``sooo`` as "so", ``hmmm`` as "hmm" and "hm"."""
    if not DRAWLED.search(plain):
        return []
    return [(DRAWLED.sub(r"\1", plain),), (DRAWLED.sub(r"\1\1", plain),)]


def _roman(text: str, context: Context) -> list[Words]:
    number = _numbers.roman(text)
    if number is None or not (number <= _HIGHEST_ROMAN or number >= _FIRST_ROMAN_YEAR):
        return []
    tongue = context.tongue
    named = context.before[:1].isupper() or context.before.lower() in tongue.before_roman
    if len(text) == 1 and (not named or (text == "I" and context.before.lower() not in tongue.before_roman)):
        return []
    ranks = _numbers.ordinals(number, tongue.code)
    with_the = [("the", *rank) for rank in ranks[:1]] if tongue.code == "en" else []
    return [*_numbers.cardinals(number, tongue.code)[:2], *with_the, *ranks[:2]]
