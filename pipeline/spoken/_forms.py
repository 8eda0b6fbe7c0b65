"""From the words of a text to the spoken forms of each."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from heapq import nsmallest
from itertools import product

from pipeline.spoken import _numbers, _numerals
from pipeline.spoken._language import Language, Words, language
from pipeline.spoken._letters import DRAWLED as _DRAWLED
from pipeline.spoken._letters import VOWELS as _VOWELS
from pipeline.spoken._pieces import JOINED, UNKNOWN, Context, Piece, pieces
from pipeline.spoken._written import Written, lowered, written

MOST_FORMS = 12
"""Forms of one word."""
MOST_CHARACTERS = 120  # of a word that is looked at closely; a longer one is noise, or an address
_MOST_WAYS = 12  # of a piece
_LOUD = 0.7  # share of words in capitals from which capitals mean nothing
_OPENERS = "\"'([{<«‹“„‘¿¡*_~`「『（《〈【"
_CLOSERS = "\"')]}>»›”’*_~`」』）》〉】,;:!?…、。，！？；：؟،।"
_KEPT = 4096  # words that were looked at last
_DIGIT = re.compile("[0-9]")
_ROMAN = re.compile(r"(?<![^\W\d_])[IVXLCDM]+(?![^\W\d_])")
_PLAIN = re.compile("([A-Za-z]?[a-z]+)([.,?!;:]*)")
_GROUPED = re.compile(r"\d{3}")


@dataclass(frozen=True)
class Form:
    """One way to say a written word: ``words`` in lower case, apostrophes kept; at least one.

    ``places`` has one entry for each character of the words put together: the index of the written character that
    it stands for. They never fall. A word :data:`UNKNOWN` stands for speech that nobody can spell.
    """

    words: tuple[str, ...]
    places: tuple[int, ...]

    def __hash__(self) -> int:
        return hash(self.words)  # a quarter of the work, and nearly as telling


def spoken_forms(words: Sequence[str], language_code: str) -> tuple[tuple[Form, ...], ...]:
    """For each of the ``words`` of a text, up to :data:`MOST_FORMS` spoken forms, the likelier ones first.

    A word that is nothing but punctuation or pictures has none; every other word has one at least. Words are read
    in their context (``["$5", "million"]``); each keeps its own forms.
    """
    tongue = language(language_code)
    read = [_read(word[:MOST_CHARACTERS]) for word in words]
    cores = [word.core for word in read]
    shouted = _is_shouted(read)
    found = []
    for number, word in enumerate(read):
        before = cores[number - 1] if number else ""
        if not (word.digits or word.roman or before[-1:].isdigit() or before[:1] in tongue.currencies):
            before = ""
        after = cores[number + 1] if word.digits and number + 1 < len(cores) else ""
        groups = tuple(_grouped(cores, number, tongue)) if tongue.thousands == " " else ()
        found.append(_forms(word, groups, language_code, before, after, shouted))
    return tuple(found)


@dataclass(frozen=True, eq=False)
class _Read:
    """``core`` has no punctuation around it; has it ``digits``, or a part that looks like a ``roman`` number?

    A ``cased`` word has capitals and small letters to choose from; a ``loud`` one has chosen capitals only.
    """

    text: Written
    core: str
    digits: bool
    roman: bool
    cased: bool
    loud: bool


@lru_cache(maxsize=_KEPT)
def _read(word: str) -> _Read:
    text = written(word)
    digits = _DIGIT.search(text.text) is not None
    roman = _ROMAN.search(text.text) is not None
    cased = len(word) > 1 and word.lower() != word.upper()
    return _Read(text, _core(text.text), digits, roman, cased, cased and word == word.upper())


@lru_cache(maxsize=_KEPT)
def _forms(
    word: _Read, groups: tuple[Words, ...], language_code: str, before: str, after: str, shouted: bool
) -> tuple[Form, ...]:
    """Of a word; ``before`` and ``after`` where they matter to it, the same words come again and again."""
    text = word.text
    tongue = language(language_code)
    plain = "" if groups or before else _plain(text.text, tongue)
    if plain:
        return (Form((plain,), text.places[: len(plain)]),)
    context = Context(tongue, before, after, shouted)
    ways = [*_of_core(word.core, text.text, context), *groups]
    forms = [*_whole(ways, text), *_combined(pieces(text.text, context), text)]
    once = {form.words: form for form in reversed(forms)}
    return tuple(once[words] for words in dict.fromkeys(f.words for f in forms))[:MOST_FORMS]


def _plain(text: str, tongue: Language) -> str:
    """A word as most are, in lower case: letters to be read as they stand. What else is done comes to the same."""
    found = _PLAIN.fullmatch(text)
    if found is None or _DRAWLED.search(text) or not tongue.symbols.keys().isdisjoint(found[2]):
        return ""
    letters = found[1]
    plain = lowered(letters[0], tongue.code) + letters[1:]
    return "" if _VOWELS.isdisjoint(plain) or letters.lower() in tongue.abbreviated else plain


def _core(text: str) -> str:
    """The word without the punctuation around it; a full stop stays."""
    return text.lstrip(_OPENERS).rstrip(_CLOSERS)


def _is_shouted(words: Sequence[_Read]) -> bool:
    cased = sum([word.cased for word in words])
    return cased > 2 and sum([word.loud for word in words]) > _LOUD * cased


def _of_core(core: str, text: str, context: Context) -> Iterator[Words]:
    """Ways to say the whole word that its pieces do not show: abbreviations, a unit behind its number."""
    tongue = context.tongue
    if context.before[-1:].isdigit():
        bare = core.rstrip(".") if core not in tongue.units else core
        yield from _numerals.after_decimals(bare, context.before, tongue)
        yield from tongue.units.get(bare, tongue.currencies.get(bare, ()))
    for key in (core, core.lower(), core.rstrip(".").lower() + "."):
        yield from tongue.abbreviations.get(key, ())
    sign = context.before[:1]
    if sign in tongue.currencies and core.lower() in tongue.scales:
        yield from ((core.lower(), *name) for name in tongue.currencies[sign])


def _grouped(cores: Sequence[str], number: int, tongue: Language) -> Iterator[Words]:
    """A numeral whose groups stand apart, "12 000": each group with its share of the words."""
    if not cores[number].isdigit():
        return
    first = number
    while first and _GROUPED.fullmatch(cores[first]) and cores[first - 1].isdigit():
        first -= 1
    stop = first + 1
    while stop < len(cores) and _GROUPED.fullmatch(cores[stop]):
        stop += 1
    if stop - first < 2 or stop - first > 5 or not 1 <= len(cores[first]) <= 3:
        return
    yield from _share(cores[first:stop], number - first, tongue)


def _share(groups: Sequence[str], number: int, tongue: Language) -> Iterator[Words]:
    """The words of a numeral that fall to its group ``number``, one at least."""
    said = next(iter(_numbers.cardinals(int("".join(groups)), tongue.code)), ())
    ends = [len(said)]
    for after in range(1, len(groups)):
        upto = int("".join(groups[:-after]) + "000" * after)
        words = next(iter(_numbers.cardinals(upto, tongue.code)), ())
        ends.append(min(len(words), ends[-1] - 1))
    ends = [*ends[::-1], 0]
    if min(ends[:-1]) > 0:
        yield said[ends[number - 1] if number else 0 : ends[number]]


def _whole(ways: Sequence[Words], text: Written) -> list[Form]:
    """Forms that are said for the word as a whole, but for the punctuation at its ends."""
    if not ways:
        return []
    core = _core(text.text)
    start = text.text.index(core)
    return [_form([(way, start, start + len(core))], text) for way in ways[:MOST_FORMS] if way]


def _combined(found: Sequence[Piece], text: Written) -> list[Form]:
    """The pieces' ways put together, those of the likeliest ways first."""
    rows: list[tuple[int, tuple[Words, ...]]] = [(0, ())]
    for piece in found:
        ways = list(enumerate(piece.ways[:_MOST_WAYS]))
        longer = [(cost + rank, (*row, way)) for (cost, row), (rank, way) in product(rows, ways)]
        rows = nsmallest(MOST_FORMS, longer, key=lambda entry: entry[0])
    forms = [
        _form([(way, p.start, p.end) for way, p in zip(row, found, strict=True)], text) for _cost, row in rows
    ]
    return [form for form in forms if form.words]


def _form(parts: Sequence[tuple[Words, int, int]], text: Written) -> Form:
    """Words with the written characters that their letters stand for, spread evenly over their piece."""
    words: list[str] = []
    places: list[int] = []
    joined = False
    for way, start, end in parts:
        if way == JOINED:
            joined = bool(words)
            continue
        letters = sum(map(len, way))
        for number, word in enumerate(way):
            if joined and not number and words[-1] != UNKNOWN:
                words[-1] += word
            elif word != UNKNOWN or not words or words[-1] != UNKNOWN:
                words.append(word)
            else:
                letters -= 1
                continue
        places += [text.places[start + k * (end - start) // letters] for k in range(letters)]
        joined = joined and not way
    return Form(tuple(words), tuple(places))
