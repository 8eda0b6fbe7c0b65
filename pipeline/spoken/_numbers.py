"""Numerals as words, in as many ways as people say them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from itertools import pairwise

from pipeline.spoken._language import Language, Words, language

MOST_DIGITS = 40  # more are not said digit by digit either
_MOST_CARDINAL = 15  # digits
_PHONE = 7  # from so many digits on a number is likelier read out digit by digit
_YEARS = range(1000, 2100)
_CHINESE_DIGITS = "零一二三四五六七八九"
_INDIAN_SCALES = ((10**7, "करोड़"), (10**5, "लाख"), (1000, "हज़ार"), (100, "सौ"))
_ROMAN = {"I": 1, "V": 5, "X": 10, "L": 50, "C": 100, "D": 500, "M": 1000}
_IS_ROMAN = re.compile(r"M{0,3}(CM|CD|D?C{0,3})(XC|XL|L?X{0,3})(IX|IV|V?I{0,3})")


def ways(digits: str, code: str, *, one_by_one: bool = False) -> Iterator[Words]:
    """Ways to say ASCII digits that stand alone, the likelier first: digit by digit first where that is so.

    Nothing for too many of them, or for a language whose numerals are not known.
    """
    if len(digits) > MOST_DIGITS:
        return
    tongue = language(code)
    apart = list(_one_by_one(digits, tongue))
    if one_by_one or digits[0] == "0" or len(digits) >= _PHONE:
        yield from apart
    if len(digits) <= _MOST_CARDINAL:
        yield from _years(digits, code)
        yield from cardinals(int(digits), code)
        yield from _pairs(digits, tongue)
    yield from apart


def cardinals(number: int, code: str) -> tuple[Words, ...]:
    """The number as a quantity, and with its last word in other genders or cases."""
    words = _spelt(number, "cardinal", code)
    if not words:
        return ()
    tongue = language(code)
    plain = tuple(word for word in words if word != tongue.link)
    found = [plain, words] if tongue.link and plain else [words]
    for form in tuple(found):
        found += [(*form[:-1], other) for other in tongue.variants.get(form[-1], ())]
    if tongue.code == "en" and plain[0] == "one" and len(plain) > 1:
        found.append(("a", *plain[1:]))
    return tuple(dict.fromkeys(found))


def ordinals(number: int, code: str) -> tuple[Words, ...]:
    """The number as a rank."""
    words = _spelt(number, "ordinal", code)
    if not words or words == _spelt(number, "cardinal", code):
        return ()
    tongue = language(code)
    found = [words, tuple(word for word in words if word != tongue.link)]
    for form in tuple(found):
        found += [(*form[:-1], other) for other in _other_endings(form[-1], code)]
    return tuple(dict.fromkeys(form for form in found if form))


def decimals(whole: str, fraction: str, code: str) -> Iterator[Words]:
    """A number with decimals; nothing where the language has no word for the point."""
    tongue = language(code)
    if len(whole) + len(fraction) > MOST_DIGITS:
        return
    starts = cardinals(int(whole), code) if whole and len(whole) <= _MOST_CARDINAL else ()
    for start in starts[:2] or ((),):
        for point in tongue.point:
            for digits in _one_by_one(fraction, tongue):
                yield (*start, *point, *digits)
            if len(fraction) <= 3 and fraction[0] != "0":
                for number in cardinals(int(fraction), code)[:1]:
                    yield (*start, *point, *number)


def roman(letters: str) -> int | None:
    """The number that Roman numerals stand for; none where they are written as nobody writes them."""
    if not letters or not _IS_ROMAN.fullmatch(letters):
        return None
    values = [_ROMAN[letter] for letter in letters]
    return sum(-a if a < b else a for a, b in pairwise([*values, 0]))


def _one_by_one(digits: str, tongue: Language) -> Iterator[Words]:
    names = {digit: _spelt(int(digit), "cardinal", tongue.code) for digit in set(digits)}
    if not all(names.values()):
        return
    zeros = (tongue.zero or names.get("0", ("",))) if "0" in digits else ("",)
    for zero in zeros:
        yield tuple(word for digit in digits for word in ((zero,) if digit == "0" else names[digit]))


def _years(digits: str, code: str) -> Iterator[Words]:
    if len(digits) == 4 and int(digits) in _YEARS:
        words = _spelt(int(digits), "year", code)
        if words:
            yield tuple(word for word in words if word != language(code).link)
    if code in ("zh", "yue", "ja") and len(digits) == 4:
        yield tuple(_CHINESE_DIGITS[int(digit)] for digit in digits)


def _pairs(digits: str, tongue: Language) -> Iterator[Words]:
    """Two digits at a time: "seven forty-seven", "twelve oh five", "quarante-deux dix-huit"."""
    if not tongue.pairs or not 3 <= len(digits) <= 10 or digits[0] == "0":
        return
    if tongue.code == "en" and len(digits) == 4 and digits[1] != "0":
        rest = _spelt(int(digits[2:]), "cardinal", "en") if digits[2:] != "00" else ()
        yield (*_spelt(int(digits[:2]), "cardinal", "en"), "hundred", *rest)
    first = len(digits) % 2 or 2
    groups = [digits[:first], *(digits[at : at + 2] for at in range(first, len(digits), 2))]
    for zero in tongue.zero[::-1][:1]:
        words: list[str] = []
        for group in groups:
            if group == "00":
                words.append("hundred" if tongue.code == "en" and len(groups) == 2 else zero)
            elif group[0] == "0":
                words += [zero, *_spelt(int(group), "cardinal", tongue.code)]
            else:
                words += _spelt(int(group), "cardinal", tongue.code)
        yield tuple(words)


def _other_endings(word: str, code: str) -> tuple[str, ...]:
    """Forms of an ordinal that the sentence may ask for. German: zweite, zweiten, zweiter; Romance: gender."""
    if code == "de" and word.endswith("te"):
        return (word + "n", word + "r", word + "s")
    if code in ("es", "it", "pt") and word.endswith("o"):
        return (word[:-1] + "a", *((word[:-1],) if code == "es" and word.endswith("ero") else ()))
    if code == "fr" and word.endswith("ier"):
        return (word[:-3] + "ière",)
    if code == "ru" and word[-2:] in ("ый", "ий", "ой"):
        return (word[:-2] + "ое", word[:-2] + "ая", word[:-2] + "ого", word[:-2] + "ом")
    if code == "pl" and word[-1] in "yi":
        return (word + "ego", word[:-1] + "a", word[:-1] + "e")
    return ()


@lru_cache(maxsize=4096)
def _spelt(number: int, kind: str, code: str) -> Words:
    """What num2words says, as words without hyphens; nothing for a language or a kind that it lacks."""
    if code in ("zh", "yue"):
        return (_chinese(number),) if kind == "cardinal" else ()
    if language(code).numbers:
        return _indian(number, language(code).numbers) if kind == "cardinal" else ()
    if kind == "year" and code == "ja":
        return ()  # num2words counts by emperors
    from num2words import CONVERTER_CLASSES, num2words

    name = {"nb": "no", "nn": "no"}.get(code, code)
    if name not in CONVERTER_CLASSES:
        return ()
    try:
        text = num2words(number, lang=name, to=kind)
    except Exception:  # a kind or a size that a language lacks shows as almost anything
        return ()
    return tuple(re.sub(r"[-,\u00ad\u200c]", " ", text.lower()).split())


def _indian(number: int, names: tuple[str, ...]) -> Words:
    """Numerals counted in hundreds, thousands, lakhs and crores; ``names`` are those of 0 to 99."""
    words: list[str] = []
    for scale, name in _INDIAN_SCALES:
        count, number = divmod(number, scale)
        words += [*_indian(count, names), name] if count else []
    return (*words, names[number]) if number or not words else tuple(words)


def _chinese(number: int) -> str:
    """Chinese numerals, up to 10^16: 一万零五十."""
    if number == 0:
        return "零"
    groups: list[str] = []
    for scale in ("", "万", "亿", "兆"):
        number, group = divmod(number, 10_000)
        words = _chinese_group(group)
        gap = "零" if group and group < 1000 and number else ""
        groups.append(gap + words + scale if group else "零" if groups and groups[-1] else "")
        if not number:
            break
    text = re.sub("零+", "零", "".join(reversed(groups))).strip("零")
    return text[1:] if text.startswith("一十") else text


def _chinese_group(group: int) -> str:
    text = ""
    for scale, name in ((1000, "千"), (100, "百"), (10, "十"), (1, "")):
        digit, group = divmod(group, scale)
        text += _CHINESE_DIGITS[digit] + name if digit else "零" if text and group else ""
    return re.sub("零+", "零", text)
