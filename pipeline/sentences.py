"""Segments as people read them: whole sentences, cut at pauses and before they grow too long.

Speech recognition hands over stretches of up to half a minute, cut where its windows end. Once words have times,
the text can be cut again: after sentences, at long pauses and, inside long sentences, at the best comma or pause.
A sentence torn apart by a window is put together, and a fragment ("Okay.") goes with what it leads to. Words and
their order stay as they are; the texts of the result, joined, are the text that came in.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from pipeline.align._words import is_unspaced, written_together
from pipeline.spoken import spoken_language
from schemas.transcript import Char, Segment, Word

LONGEST_S = 20.0
LONGEST_CHARACTERS = 240
PAUSE_S = 1.0  # ends a segment, whatever the text says
_JOIN_S = 0.6  # no longer a pause between two parts of one sentence, or of one utterance
_DOUBT_S = 0.35  # ends a sentence after "U.S." or "3.", which may stand inside one
_FRAGMENT_WORDS = 2
_FRAGMENT_S = 1.0
_JOINED_S = 8.0
_JOINED_CHARACTERS = 100

_ENDS = tuple(".!?…。！？｡．।॥؟۔։።။៕")
_CLOSERS = "\"'”’»›)]}」』）】》〉"
_COMMAS = tuple(",;:–—،、，；：")


def _set(words: str) -> frozenset[str]:
    return frozenset(words.split())


_TITLES = _set(
    "mr mrs ms dr prof st rev gen sen rep hon mt vs messrs hr fr sr sra srta dra mme mlle sig dott dhr mevr"
    " e.g i.e z.b d.h p.ex"
)
_WORDS_TOO = _set("no sat sun mar min max gen rep hon col art mon wed fig co est me")  # and abbreviations
_QUOTATIVES = ("と", "って")  # Japanese: the sentence goes on behind what was quoted
_BEFORE_NUMBERS = _set("no nos nr núm n fig vol p pp ch sec art ca approx op")
_DOTTED_ORDINALS = _set(
    "de da no nn fi et cs sk sl hr sr bs hu tr lv is pl"
)  # "3." is how "third" is written


@dataclass(frozen=True)
class _Piece:
    """A word, the stretch of its segment's text that ends with it, its characters, and its segment."""

    word: Word
    text: str
    chars: tuple[Char, ...]
    segment: Segment


_Sentence = list[_Piece]


def split(segments: Sequence[Segment], language: str = "en") -> tuple[Segment, ...]:
    """The segments cut and joined into sentences, numbered from 0.

    A segment without word times, or whose words do not spell its text, stays as it is. Segments of different
    speakers or languages are never joined.
    """
    result: list[Segment] = []
    for run in _runs(segments):
        if isinstance(run, Segment):
            result.append(run)
            continue
        sentences = [part for sentence in _sentences(run, language) for part in _shortened(sentence)]
        result += [_segment(sentence) for sentence in _without_fragments(sentences)]
    return tuple(segment.model_copy(update={"id": number}) for number, segment in enumerate(result))


def _runs(segments: Sequence[Segment]) -> Iterator[Segment | list[_Piece]]:
    """Stretches of pieces that may be cut and joined freely, and the segments that are left alone."""
    run: list[_Piece] = []
    for segment in segments:
        pieces = _pieces(segment)
        if run and (not pieces or not _may_join(run[-1].segment, segment)):
            yield run
            run = []
        if pieces:
            run += pieces
        else:
            yield segment
    if run:
        yield run


def _may_join(before: Segment, after: Segment) -> bool:
    same = before.speaker == after.speaker and before.language == after.language
    return same and -1e-6 <= after.start - before.end < PAUSE_S


def _pieces(segment: Segment) -> list[_Piece]:
    """The segment word by word; nothing where that cannot be done without losing text or times."""
    words = segment.words
    if not words or words[0].start is None or words[-1].end is None:
        return []
    texts, at = [], 0
    for word in words:
        found = segment.text.find(word.word.strip(), at)
        if not word.word.strip() or found < 0 or segment.text[at:found].strip():
            return []
        end = found + len(word.word.strip())
        texts.append(segment.text[at:end])
        at = end
    if segment.text[at:].strip():
        return []
    chars = _chars_of_words(segment)
    return [_Piece(word, text, own, segment) for word, text, own in zip(words, texts, chars, strict=True)]


def _chars_of_words(segment: Segment) -> list[tuple[Char, ...]]:
    chars = [char for char in segment.chars or () if char.char.strip()]
    lengths = [len("".join(word.word.split())) for word in segment.words]
    if sum(lengths) != len(chars):
        return [()] * len(lengths)
    parts, at = [], 0
    for length in lengths:
        parts.append(tuple(chars[at : at + length]))
        at += length
    return parts


def _sentences(run: Sequence[_Piece], language: str) -> Iterator[_Sentence]:
    sentence = [run[0]]
    for before, after in pairwise(run):
        if _may_cut(before, after) and _is_boundary(before, after, language):
            yield sentence
            sentence = []
        sentence.append(after)
    yield sentence


def _is_boundary(before: _Piece, after: _Piece, language: str) -> bool:
    gap = _gap(before, after)
    between_segments = before.segment is not after.segment
    ends = ends_sentence(before.word.word, after.word.word, gap, before.segment.language or language)
    return ends or gap >= PAUSE_S or (between_segments and gap >= _JOIN_S)


def _may_cut(before: _Piece, after: _Piece) -> bool:
    """A segment begins and ends with words whose times are known."""
    return before.word.end is not None and after.word.start is not None


def _gap(before: _Piece, after: _Piece) -> float:
    if not _may_cut(before, after):
        return 0.0
    return max(0.0, after.word.start - before.word.end)


def ends_sentence(word: str, following: str, gap: float, language: str) -> bool:
    """Whether a sentence ends with ``word``, ``gap`` seconds before the word ``following``."""
    if not following.strip(_CLOSERS) or (word.endswith(("」", "』")) and following.startswith(_QUOTATIVES)):
        return False
    bare = word.rstrip(_CLOSERS)
    if not bare.endswith(_ENDS) and not (language == "el" and bare.endswith((";", "\u037e"))):
        return False
    first = next((c for c in following if c.isalnum()), "")
    if first.islower():
        return False
    if not bare.endswith(".") or bare.endswith(".."):
        return True
    stem = bare.rstrip(".").lstrip("\"'“‘«([{¿¡").lower()
    if stem in _TITLES or (stem in _BEFORE_NUMBERS and first.isdigit()):
        return False
    in_doubt = (
        (len(stem) == 1 and stem.isalpha())
        or "." in stem
        or (stem not in _WORDS_TOO and f"{stem}." in spoken_language(language).abbreviations)
        or (stem.isdigit() and language in _DOTTED_ORDINALS)
    )
    return gap >= _DOUBT_S if in_doubt else True


def _shortened(sentence: _Sentence) -> list[_Sentence]:
    """The sentence in parts that are not too long."""
    if _duration(sentence) <= LONGEST_S and _characters(sentence) <= LONGEST_CHARACTERS:
        return [sentence]
    places = [i for i in range(1, len(sentence)) if _may_cut(sentence[i - 1], sentence[i])]
    if not places:
        return [sentence]
    best = max(places, key=lambda i: _merit(sentence, i))
    return _shortened(sentence[:best]) + _shortened(sentence[best:])


def _merit(sentence: _Sentence, place: int) -> float:
    """How good it is to cut before word number ``place``: pauses and commas draw, the ends push away."""
    before, after = sentence[place - 1], sentence[place]
    pause = min(_gap(before, after), PAUSE_S)
    comma = 0.5 if before.word.word.rstrip(_CLOSERS).endswith(_COMMAS) else 0.0
    share = place / len(sentence)
    return pause + comma + 4.0 * share * (1.0 - share)


def _without_fragments(sentences: Sequence[_Sentence]) -> list[_Sentence]:
    """Fragments joined to the next sentence, or to the one before."""
    joined: list[_Sentence] = []
    for sentence in sentences:
        if joined and _belong_together(joined[-1], sentence):
            joined[-1] = joined[-1] + sentence
        else:
            joined.append(sentence)
    return joined


def _belong_together(before: _Sentence, after: _Sentence) -> bool:
    both = before + after
    return (
        (_is_fragment(before) or _is_fragment(after))
        and _gap(before[-1], after[0]) < _JOIN_S
        and _duration(both) <= _JOINED_S
        and _characters(both) <= _JOINED_CHARACTERS
    )


def _is_fragment(sentence: _Sentence) -> bool:
    if is_unspaced(sentence[0].word.word[0]):
        return _duration(sentence) < _FRAGMENT_S
    return len(sentence) <= _FRAGMENT_WORDS or _duration(sentence) < _FRAGMENT_S


def _duration(sentence: _Sentence) -> float:
    return sentence[-1].word.end - sentence[0].word.start


def _characters(sentence: _Sentence) -> int:
    return sum(len(piece.text) for piece in sentence)


def _segment(sentence: _Sentence) -> Segment:
    """One segment; what belongs to the decoding (log probability, …) comes from the one with most of the words."""
    counts = Counter(id(piece.segment) for piece in sentence)
    main = max((piece.segment for piece in sentence), key=lambda segment: counts[id(segment)])
    return main.model_copy(
        update={
            "start": sentence[0].word.start,
            "end": max(piece.word.end for piece in sentence if piece.word.end is not None),
            "text": _text(sentence),
            "words": tuple(piece.word for piece in sentence),
            "chars": _chars(sentence) if main.chars is not None else None,
        }
    )


def _text(sentence: _Sentence) -> str:
    text = sentence[0].text.strip()
    for before, piece in pairwise(sentence):
        torn = before.segment is not piece.segment and not piece.text[0].isspace()
        if torn and not written_together(before.word.word, piece.word.word):
            text += " "
        text += piece.text
    return text.rstrip()


def _chars(sentence: _Sentence) -> tuple[Char, ...]:
    chars: list[Char] = []
    for number, piece in enumerate(sentence):
        if number and not written_together(sentence[number - 1].word.word, piece.word.word):
            chars.append(Char(char=" "))
        chars += piece.chars
    return tuple(chars)
