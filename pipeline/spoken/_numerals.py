"""What is written with digits: amounts, ranks, clock times, dates."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain, islice, product

from pipeline.spoken import _numbers
from pipeline.spoken._language import Language, Words

_SEPARATOR = re.compile("[.,']")
_ENDING = re.compile(r"[.:-]?([^\W\d_]{1,3})(?![^\W\d_])")
_DECADE = re.compile(r"('?s)(?![^\W\d_])")


@dataclass(frozen=True)
class Amount:
    """A numeral as written, ``1,234.50``, with the words around it.

    ``dotted``: a full stop follows. ``phone``: it is part of a telephone number.
    """

    written: str
    tongue: Language
    before: str = ""
    after: str = ""
    dotted: bool = False
    phone: bool = False

    def ways(self) -> Iterator[Words]:
        """The number alone."""
        tongue = self.tongue
        if self._is_day():
            yield from _numbers.ordinals(int(self.written), tongue.code)
        for whole, fraction in readings(self.written, tongue):
            if fraction is not None:
                yield from _numbers.decimals(whole, fraction, tongue.code)
                yield from self._before_its_sign(whole, fraction)
            else:
                if whole != self.written:
                    yield from _cardinals(whole, tongue)
                yield from _numbers.ways(whole, tongue.code, one_by_one=self.phone)
        if self.dotted and tongue.dotted_ordinals and self.written.isdigit() and len(self.written) < 5:
            yield from _numbers.ordinals(int(self.written), tongue.code)
        groups = _SEPARATOR.split(self.written)
        if len(groups) > 1:
            yield from _in_groups(groups, tongue, tongue.between.get(".", tongue.point)[:1])

    def with_currency(self, names: tuple[Words, ...]) -> Iterator[Words]:
        """As an amount of money: "five dollars twenty", "five twenty", "fünf Euro zwanzig"."""
        for whole, fraction in readings(self.written, self.tongue):
            if fraction is None:
                numbers = [*_cardinals(whole, self.tongue)[:2], *_numbers.ways(whole, self.tongue.code)]
                yield from ((*number, *name) for number in numbers[:3] for name in names)
                yield from numbers
            else:
                yield from self._price(whole, fraction, names)

    def _price(self, whole: str, fraction: str, names: tuple[Words, ...]) -> Iterator[Words]:
        tongue = self.tongue
        units = _cardinals(whole, tongue)[:1]
        cents = _cardinals(fraction, tongue)[:1] if len(fraction) == 2 else ()
        links = ((), (tongue.link,)) if tongue.link else ((),)
        small = tongue.units.get("¢", ())
        for unit, cent, name in product(units, cents, names):
            yield (*unit, *name, *cent)
            yield from ((*unit, *name, *link, *cent, *word) for link in links for word in small)
        yield from ((*unit, *cent) for unit, cent in product(units, cents))
        point = list(_numbers.decimals(whole, fraction, tongue.code))
        yield from ((*number, *name) for number in point[:2] for name in names[:1])
        yield from point

    def _before_its_sign(self, whole: str, fraction: str) -> Iterator[Words]:
        """ "5,20 €" and "14.30 Uhr" are said with the sign in the middle: the decimals go with the sign."""
        if len(fraction) == 2 and self.after and self.after.lower() in _middle_words(self.tongue):
            yield from _cardinals(whole, self.tongue)[:2]

    def _is_day(self) -> bool:
        if not (self.written.isdigit() and len(self.written) <= 2 and 1 <= int(self.written) <= 31):
            return False
        months = {month[0] for month in self.tongue.months}
        return any(word.lower().rstrip(".") in months for word in (self.before, self.after) if word)


def after_decimals(sign: str, before: str, tongue: Language) -> Iterator[Words]:
    """How ``sign`` (a currency, "Uhr") is said behind a numeral with two decimals: followed by them."""
    names = _middle_words(tongue).get(sign.lower())
    for whole, fraction in readings(before, tongue) if names else ():
        if whole and fraction is not None and len(fraction) == 2:
            cents = _cardinals(fraction, tongue)[:1]
            yield from ((*name, *cent) for name in names for cent in cents)


def readings(written: str, tongue: Language) -> list[tuple[str, str | None]]:
    """(whole part, decimals or none) of a numeral; several where the separator may mean either."""
    groups, marks = _SEPARATOR.split(written), _SEPARATOR.findall(written)
    if not marks:
        return [(written, None)]
    found: list[tuple[str, str | None]] = []
    thirds = all(len(group) == 3 for group in groups[1:])
    if thirds and len(set(marks)) == 1 and len(groups[0]) <= 3 and groups[0][0] != "0":
        found.append(("".join(groups), None))
    if tongue.numbers and set(marks) == {","} and len(groups[-1]) == 3:  # 12,50,000
        found.append(("".join(groups), None))
    inner = all(len(group) == 3 for group in groups[1:-1])
    if inner and marks[-1] != "'" and (len(marks) == 1 or marks[-1] not in marks[:-1]):
        decimal = ("".join(groups[:-1]), groups[-1])
        found.insert(0 if marks[-1] == tongue.decimal else len(found), decimal)
    return found


def ordinal_ending(behind: str, tongue: Language) -> str:
    """What makes the numeral before it a rank ("th", "-й") or a decade ("s"); nothing if nothing does."""
    if tongue.plural_s and (decade := _DECADE.match(behind)):
        return decade[0]
    ending = _ENDING.match(behind)
    return ending[0] if ending and ending[1].lower() in tongue.ordinals else ""


def ranks(written: str, ending: str, tongue: Language) -> Iterator[Words]:
    """The numeral as a rank, "twenty first", or as a decade, "nineteen nineties"."""
    if not written.isdigit():
        return
    if tongue.plural_s and ending.endswith("s") and ending.strip("'") == "s":
        yield from (_plural(way) for way in islice(_numbers.ways(written, tongue.code), 2))
    elif len(written) <= 9:
        yield from _numbers.ordinals(int(written), tongue.code)
        yield from _numbers.cardinals(int(written), tongue.code)


def clock_times(written: str, tongue: Language) -> Iterator[Words]:
    """ "three forty five", "drei Uhr fünfundvierzig", "three o'clock"."""
    hour, *rest = written.split(":")
    if int(hour) > 24 or any(int(part) > 59 for part in rest):
        yield from _in_groups([hour, *rest], tongue)
        return
    minutes = [part for part in rest if part != "00"]
    hours = _cardinals(hour.lstrip("0") or "0", tongue)
    if not minutes:
        yield from ((*way, *sign) for way in hours for sign in (*tongue.on_the_hour, *tongue.clock))
        yield from hours
    for way in hours[:2] if minutes else ():
        for first in _minutes(minutes[0], tongue):
            for sign in (*tongue.clock, ()):
                yield (*way, *sign, *first, *chain(*(_minutes(part, tongue)[0] for part in minutes[1:])))
    yield from _in_groups([hour, *rest], tongue)


def dates(written: str, tongue: Language) -> Iterator[Words]:
    """With the month by its name, and as the numbers that stand there."""
    parts = re.split("[./-]", written)
    orders = [(2, 1, 0)] if len(parts[0]) == 4 else [(1, 0, 2), (0, 1, 2)]
    if tongue.code != "en":
        orders.reverse()
    for day, month, year in orders:
        yield from _named_date(parts[day], parts[month], parts[year], tongue)
    if tongue.dotted_ordinals and len(parts[0]) <= 2:
        yield from _ranked_date(parts, tongue)
    yield from _in_groups([part.lstrip("0") or "0" for part in parts], tongue)


def _named_date(day: str, month: str, year: str, tongue: Language) -> Iterator[Words]:
    if not (1 <= int(month) <= len(tongue.months) and 1 <= int(day) <= 31):
        return
    name = tongue.months[int(month) - 1]
    years = list(_numbers.ways(year, tongue.code))[:1]
    days = [*_numbers.ordinals(int(day), tongue.code)[:2], *_cardinals(str(int(day)), tongue)[:1]]
    for a_day, a_year in product(days, years):
        yield (*a_day, *name, *a_year)
        if tongue.code == "en":
            yield (*name, *a_day, *a_year)


def _ranked_date(parts: list[str], tongue: Language) -> Iterator[Words]:
    """German "26.11.2026": both numbers are ranks."""
    years = list(_numbers.ways(parts[2], tongue.code))[:1]
    for day, month in zip(
        _numbers.ordinals(int(parts[0]), tongue.code),
        _numbers.ordinals(int(parts[1]), tongue.code),
        strict=False,
    ):
        yield from ((*day, *month, *year) for year in years)


def _in_groups(groups: list[str], tongue: Language, points: tuple[Words, ...] = ()) -> Iterator[Words]:
    """Each group of digits on its own, one of ``points`` between them or nothing: 192.168.0.1, 2.0.1, 3:1."""
    if sum(map(len, groups)) > _numbers.MOST_DIGITS:
        return
    said = [next(_numbers.ways(group, tongue.code), None) for group in groups]
    if None in said:
        return
    yield tuple(word for way in said for word in way)
    for point in points:
        yield tuple(word for n, way in enumerate(said) for word in ((*point, *way) if n else way))


def _minutes(part: str, tongue: Language) -> list[Words]:
    if part[0] == "0":
        return [(zero, *rest) for zero in tongue.zero[::-1] for rest in _cardinals(part[1], tongue)[:1]] + [
            *_cardinals(part[1], tongue)[:1]
        ]
    return list(_cardinals(part, tongue)[:1]) or [()]


def _cardinals(digits: str, tongue: Language) -> tuple[Words, ...]:
    if not digits or len(digits) > 15:
        return ()
    return _numbers.cardinals(int(digits), tongue.code)


def _middle_words(tongue: Language) -> dict[str, tuple[Words, ...]]:
    """What stands behind its number in writing and in the middle of it in speech."""
    return {**tongue.currencies, **{way[0]: (way,) for way in tongue.clock}}


def _plural(way: Words) -> Words:
    last = way[-1]
    return (*way[:-1], last[:-1] + "ies" if last.endswith("y") else last + "s")
