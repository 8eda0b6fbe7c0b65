"""Parts of a transcript as a client reads them: clean, windowed, a page at a time.

A page holds the same in both channels: as models (structured content) and as lines (text).
"""

from __future__ import annotations

import base64
import binascii
import json
import re
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Literal, TypeVar

from pydantic import ValidationError

from schemas._frozen import Frozen
from schemas.diarization import SpeakerTurn
from schemas.errors import InvalidArgument, NotFound
from schemas.jobs import Page
from schemas.report import QualitySpan, Warning_
from schemas.transcript import Segment, Speaker, Transcript, Word

MOST_SPANS = 10

Format = Literal["segments", "text", "md", "srt", "vtt", "json", "rttm"]

# Kept between letters of the scripts that are written with joiners (Arabic to Myanmar).
_JOINERS = "(?<![\u0600-\u109f])[\u200c\u200d]|[\u200c\u200d](?![\u0600-\u109f])"
_BREAKS = re.compile("[\t\n\v\f\r\x85\u2028\u2029]+")
_HIDDEN = re.compile(
    "[\x00-\x1f\x7f-\x9f\xad\u061c\u180e\u200b\u200e\u200f\u202a-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\ud800-\udfff"
    f"\U000e0000-\U000e0fff]|{_JOINERS}"
)


class View(Frozen):
    """What of a transcript is wanted, and how. Travels inside a cursor."""

    start_s: float | None = None
    end_s: float | None = None
    speaker: str | None = None
    include_words: bool = False
    format: Format = "segments"

    @property
    def is_everything(self) -> bool:
        """Whether nothing is left out."""
        return self.start_s is None and self.end_s is None and self.speaker is None

    @property
    def needs_words(self) -> bool:
        """Whether more than the segments' texts is looked at."""
        return self.include_words or self.format in ("json", "srt", "vtt")


class Cursor(Frozen):
    """Where a view goes on: the number of a segment, or of a character in the other formats."""

    transcript_id: str
    view: View
    offset: int

    def encoded(self) -> str:
        """Opaque to clients."""
        data = json.dumps([self.transcript_id, self.offset, self.view.compact()], separators=(",", ":"))
        return base64.urlsafe_b64encode(data.encode()).decode().rstrip("=")

    @classmethod
    def decoded(cls, text: str, transcript_id: str) -> Cursor:
        """Raises :class:`NotFound` (``invalid_cursor``) for anything that this transcript's page did not give."""
        try:
            data = base64.urlsafe_b64decode(text.encode() + b"=" * (-len(text) % 4))
            owner, offset, view = json.loads(data)
            cursor = cls(transcript_id=owner, offset=offset, view=view)
        except (binascii.Error, UnicodeError, ValueError, TypeError, ValidationError):
            raise invalid_cursor() from None
        if cursor.transcript_id != transcript_id or cursor.offset < 1:
            raise invalid_cursor()
        return cursor


def invalid_cursor() -> NotFound:
    """The error for a cursor that leads nowhere."""
    return NotFound(
        "The cursor does not belong to this transcript and view.",
        code="invalid_cursor",
        hint="Pass next_cursor exactly as the last page gave it, or leave cursor out to begin at the start.",
    )


@dataclass(frozen=True)
class Shown:
    """A page: ``segments``, ``turns`` or ``text`` (another format), and ``lines`` for the text channel."""

    page: Page
    lines: str
    segments: tuple[Segment, ...] | None = None
    turns: tuple[SpeakerTurn, ...] | None = None
    text: str | None = None
    warnings: tuple[Warning_, ...] = ()
    quality: tuple[QualitySpan, ...] = ()
    complete: bool = False  # the last page of the whole transcript


def show(transcript: Transcript, cursor: Cursor, max_chars: int) -> Shown:
    """The page that begins at the cursor; either channel takes about ``max_chars`` characters at most.

    Raises :class:`NotFound` (``invalid_cursor``) behind the end, :class:`InvalidArgument` for an unknown speaker
    or an empty window.
    """
    part = windowed(cleaned(transcript), cursor.view)
    if cursor.view.format != "segments":
        return _document_page(part, cursor, max_chars)
    if part.segments or not part.turns:
        return _segments_page(part, cursor, max_chars)
    return _turns_page(part, cursor, max_chars)


def windowed(transcript: Transcript, view: View) -> Transcript:
    """Only what overlaps the window and belongs to the speaker (label or name)."""
    if view.start_s is not None and view.end_s is not None and view.end_s <= view.start_s:
        raise InvalidArgument(
            "end_s must be greater than start_s.", hint="Both are seconds of the recording."
        )
    speaker = None if view.speaker is None else _label_of(transcript, view.speaker)
    start, end = view.start_s or 0.0, float("inf") if view.end_s is None else view.end_s

    def wanted(item: Segment | SpeakerTurn) -> bool:
        inside = item.start < end and (item.end > start or item.start >= start)
        return inside and (speaker is None or item.speaker == speaker)

    return transcript.model_copy(
        update={
            "segments": tuple(filter(wanted, transcript.segments)),
            "turns": tuple(filter(wanted, transcript.turns)),
            "exclusive_turns": tuple(filter(wanted, transcript.exclusive_turns)),
        }
    )


def _label_of(transcript: Transcript, asked: str) -> str:
    folded = asked.strip().casefold()
    for speaker in transcript.speakers:
        if folded in (speaker.id.casefold(), (speaker.name or speaker.id).casefold()):
            return speaker.id
    known = ", ".join(f"{s.id} ({s.name})" if s.name else s.id for s in transcript.speakers)
    raise InvalidArgument(
        "The transcript has no such speaker.",
        hint=f"Speakers are: {known}." if known else "No speakers are known; run diarize on it first.",
    )


def _segments_page(part: Transcript, cursor: Cursor, max_chars: int) -> Shown:
    def prepared(segment: Segment) -> tuple[Segment, str]:
        shown = slim(segment, words=cursor.view.include_words)
        return shown, segment_lines(shown)

    filled = _filled(part.segments, cursor, prepared, max_chars)
    warnings = ()
    if len(filled) == 1 and _size(*filled[0]) > max_chars:
        alone = filled[0][0].model_copy(update={"words": ()})
        filled, warnings = [(alone, segment_lines(alone))], (_too_long(alone),)
    page = _page(part.segments, cursor, len(filled))
    first = filled[0][0].id if filled else None
    return Shown(
        page.model_copy(update={"first_id": first}),
        "\n".join(line for _, line in filled),
        segments=tuple(segment for segment, _ in filled),
        warnings=warnings,
        quality=_doubtful(part, cursor, [segment for segment, _ in filled]),
        complete=page.next_cursor is None and cursor.view.is_everything,
    )


def _doubtful(part: Transcript, cursor: Cursor, shown: Sequence[Segment]) -> tuple[QualitySpan, ...]:
    """The spans that lie between this page's beginning and the next one's."""
    if not shown:
        return part.quality[:MOST_SPANS] if cursor.view.is_everything else ()
    begin = shown[0].start if cursor.offset else (cursor.view.start_s or 0.0)
    following = part.segments[cursor.offset + len(shown) :]
    end = following[0].start if following else (cursor.view.end_s or float("inf"))
    return tuple(span for span in part.quality if span.start < end and span.end > begin)[:MOST_SPANS]


def _too_long(segment: Segment) -> Warning_:
    return Warning_(
        code="segment_too_long",
        message=f"Segment {segment.id} is longer than a page; it is returned alone, and without its words.",
    )


def _turns_page(part: Transcript, cursor: Cursor, max_chars: int) -> Shown:
    def prepared(turn: SpeakerTurn) -> tuple[SpeakerTurn, str]:
        return turn, f"[{clock(turn.start)} - {clock(turn.end)}] {turn.speaker}"

    filled = _filled(part.turns, cursor, prepared, max_chars)
    page = _page(part.turns, cursor, len(filled))
    return Shown(page, "\n".join(line for _, line in filled), turns=tuple(turn for turn, _ in filled))


def _document_page(part: Transcript, cursor: Cursor, max_chars: int) -> Shown:
    """A piece of the whole document: the pieces put together are the file. Cut between lines where possible."""
    from pipeline.writers import render

    document = render(part, cursor.view.format)
    if cursor.offset and cursor.offset >= len(document):
        raise invalid_cursor()
    end = _document_end(document, cursor.offset, max_chars)
    more = cursor.model_copy(update={"offset": end}).encoded() if end < len(document) else None
    piece = document[cursor.offset : end]
    page = Page(total_segments=len(part.segments), next_cursor=more)
    return Shown(page, piece, text=piece)


def _document_end(document: str, start: int, max_chars: int) -> int:
    """Where a piece ends: as late as ``max_chars`` characters inside JSON allow, then back to a line's end."""

    def size(end: int) -> int:
        return len(json.dumps(document[start:end], ensure_ascii=False)) - 2

    ends = range(start + 1, min(len(document), start + max_chars) + 1)
    if not ends:
        return start
    end = ends[max(0, bisect_right(ends, max_chars, key=size) - 1)]
    if end == len(document):
        return end
    return document.rfind("\n", start, end) + 1 or end


Item = TypeVar("Item", Segment, SpeakerTurn)


def _filled(
    items: Sequence[Item], cursor: Cursor, prepared: Callable[[Item], tuple[Item, str]], max_chars: int
) -> list[tuple[Item, str]]:
    """What fits on the page: at least one item where there are any, so that paging always ends.

    Raises :class:`NotFound` (``invalid_cursor``) behind the end.
    """
    if cursor.offset and cursor.offset >= len(items):
        raise invalid_cursor()
    filled: list[tuple[Item, str]] = []
    room = max_chars
    for item in islice(items, cursor.offset, None):
        entry = prepared(item)
        room -= _size(*entry)
        if filled and room < 0:
            break
        filled.append(entry)
    return filled


def _page(items: Sequence[Item], cursor: Cursor, count: int) -> Page:
    end = cursor.offset + count
    more = cursor.model_copy(update={"offset": end}).encoded() if end < len(items) else None
    return Page(returned=count, total_segments=len(items), next_cursor=more)


def _size(item: Segment | SpeakerTurn, line: str) -> int:
    """Characters that an item takes in the larger of the two channels, separators included."""
    return max(len(json.dumps(item.compact(), ensure_ascii=False)), len(line)) + 2


def slim(segment: Segment, *, words: bool) -> Segment:
    """What a reader needs: no characters, phones or decoder's figures; words only where asked for, times in ms."""
    return Segment(
        id=segment.id,
        start=round(segment.start, 3),
        end=round(segment.end, 3),
        text=segment.text.strip(),
        speaker=segment.speaker,
        speaker_name=segment.speaker_name,
        language=segment.language,
        words=tuple(_slim_word(word, segment.speaker) for word in segment.words) if words else (),
    )


def _slim_word(word: Word, speaker: str | None) -> Word:
    return word.model_copy(
        update={
            "start": None if word.start is None else round(word.start, 3),
            "end": None if word.end is None else round(word.end, 3),
            "score": None if word.score is None else round(word.score, 3),
            "speaker": None if word.speaker == speaker else word.speaker,
            "phones": None,
        }
    )


def segment_lines(segment: Segment) -> str:
    """``[00:12:31] Ana: text``, and under it the words with their times where there are any."""
    from pipeline.writers.text import line

    words = " | ".join(map(word_text, segment.words))
    return f"{line(segment)}\n    {words}" if words else line(segment)


def word_text(word: Word) -> str:
    """A word with its times, where it has some."""
    if word.start is None or word.end is None:
        return word.word.strip()
    return f"{word.word.strip()} {word.start:.2f}-{word.end:.2f}"


def clock(seconds: float) -> str:
    """``hh:mm:ss``"""
    from pipeline.writers.text import clock

    return clock(seconds)


def cleaned(transcript: Transcript) -> Transcript:
    """Without characters that cannot be seen or that turn the text around: they can hide instructions.

    And without voices' embeddings, by which people could be recognised.
    """
    return transcript.model_copy(
        update={
            "speaker_embeddings": None,
            "embedding_model": None,
            "segments": tuple(map(_clean_segment, transcript.segments)),
            "speakers": tuple(map(_clean_speaker, transcript.speakers)),
        }
    )


def clean(text: str) -> str:
    """One line without control, bidirectional and zero-width characters."""
    return _HIDDEN.sub("", _BREAKS.sub(" ", text))


def _is_clean(texts: Iterable[str | None]) -> bool:
    return not any(text and _HIDDEN.search(text) for text in texts)


def _clean_segment(segment: Segment) -> Segment:
    texts = (segment.text, segment.speaker_name, segment.speaker, *_small_parts(segment))
    if _is_clean(texts):
        return segment
    chars = [char.model_copy(update={"char": clean(char.char)}) for char in segment.chars or ()]
    return segment.model_copy(
        update={
            "text": clean(segment.text),
            "words": tuple(map(_clean_word, segment.words)),
            "chars": None if segment.chars is None else tuple(chars),
            "speaker": segment.speaker and clean(segment.speaker),
            "speaker_name": segment.speaker_name and clean(segment.speaker_name),
        }
    )


def _small_parts(segment: Segment) -> Iterator[str]:
    for word in segment.words:
        yield word.word
        yield from (phone.phone for phone in word.phones or ())
    yield from (char.char for char in segment.chars or ())


def _clean_word(word: Word) -> Word:
    phones = [phone.model_copy(update={"phone": clean(phone.phone)}) for phone in word.phones or ()]
    return word.model_copy(update={"word": clean(word.word), "phones": tuple(phones) or None})


def _clean_speaker(speaker: Speaker) -> Speaker:
    if _is_clean((speaker.id, speaker.name)):
        return speaker
    name = speaker.name and clean(speaker.name)
    return speaker.model_copy(update={"id": clean(speaker.id), "name": name})
