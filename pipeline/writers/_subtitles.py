"""Cues for SRT and VTT, laid out as WhisperX's ``SubtitlesWriter`` does it (after OpenAI Whisper's).

Differences, all of them where WhisperX's file would be wrong: a segment whose words are unknown keeps its text
(WhisperX drops it), a subtitle never mixes two speakers, words are joined as the segment's text joins them (also
in languages without spaces, also highlighted), and ``-->`` inside a text is always softened.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from schemas.options import SubtitleOptions
from schemas.transcript import Segment, Transcript, Word

_LONG_PAUSE_S = 3.0
_UNBROKEN = 1000  # characters; WhisperX's stand-in for no width


@dataclass(frozen=True)
class Cue:
    """A subtitle on the screen. Times in seconds."""

    start: float
    end: float
    text: str


@dataclass(frozen=True)
class _Placed:
    """A word with what stands between it and the word before: a space, a line break, nothing."""

    word: Word
    before: str


@dataclass
class _Page:
    """The words of one subtitle, and the segment that it began with."""

    segment: Segment
    words: list[_Placed] = field(default_factory=list)


def timestamp(seconds: float, *, hours: bool, marker: str) -> str:
    """``hh:mm:ss`` and milliseconds after ``marker``; hours only where there are any, unless ``hours``."""
    milliseconds = round(seconds * 1000.0)
    whole_hours, rest = divmod(milliseconds, 3_600_000)
    minutes, rest = divmod(rest, 60_000)
    head = f"{whole_hours:02d}:" if hours or whole_hours else ""
    return f"{head}{minutes:02d}:{rest // 1000:02d}{marker}{rest % 1000:03d}"


def cues(transcript: Transcript, options: SubtitleOptions) -> Iterator[Cue]:
    """Every cue in order."""
    for page in _pages(transcript.segments, options):
        if not page.words:
            yield Cue(
                page.segment.start, page.segment.end, _labelled(page.segment, page.segment.text.strip())
            )
        elif options.highlight_words and any(placed.word.start is not None for placed in page.words):
            yield from _highlighted(page)
        else:
            yield Cue(*_times(page), _labelled(page.segment, _text(page)))


def _pages(segments: tuple[Segment, ...], options: SubtitleOptions) -> Iterator[_Page]:
    """One page per segment; with both a width and a line count the words flow from segment to segment."""
    flowing = options.max_line_width is not None and options.max_line_count is not None
    layout = _Layout(options.max_line_width or _UNBROKEN, options.max_line_count, flowing)
    for segment in segments:
        if not segment.words or layout.must_break_before(segment):
            yield from layout.finished()
        if not segment.words:
            yield _Page(segment)
        for word, before in zip(segment.words, _separators(segment), strict=True):
            yield from layout.place(segment, word, before)
    yield from layout.finished()


class _Layout:
    """Words into lines, lines into pages. Widths do not count the spaces between words, as in WhisperX."""

    def __init__(self, width: int, max_lines: int | None, flowing: bool) -> None:
        self.width, self.max_lines, self.flowing = width, max_lines, flowing
        self.page: _Page | None = None
        self.line_length, self.lines = 0, 1
        self.last_start: float | None = None

    def must_break_before(self, segment: Segment) -> bool:
        return not self.flowing or (self.page is not None and self.page.segment.speaker != segment.speaker)

    def finished(self) -> Iterator[_Page]:
        if self.page is not None:
            yield self.page
        self.page, self.line_length, self.lines = None, 0, 1

    def place(self, segment: Segment, word: Word, before: str) -> Iterator[_Page]:
        """Adds a word; yields the page that it closes, if it does."""
        length = len(word.word)
        pause = self._follows_pause(word)
        if not self.line_length or (self.line_length + length <= self.width and not pause):
            self.line_length += length
        elif self.max_lines is not None and (pause or self.lines >= self.max_lines):
            yield from self.finished()
            self.line_length = length
        else:
            before += "\n"
            self.lines += 1
            self.line_length = length
        self.page = self.page or _Page(segment)
        self.page.words.append(_Placed(word, before if self.page.words else ""))
        self.last_start = self.last_start if word.start is None else word.start

    def _follows_pause(self, word: Word) -> bool:
        if not self.flowing or word.start is None or self.last_start is None:
            return False
        return word.start - self.last_start > _LONG_PAUSE_S


def _separators(segment: Segment) -> list[str]:
    """What the segment's text has before each word: a space, or nothing in scripts without spaces."""
    text, at = segment.text, 0
    between = []
    for word in segment.words:
        found = text.find(word.word.strip(), at)
        between.append("" if found == at and at > 0 else " ")
        at = at if found < 0 else found + len(word.word.strip())
    return between


def _times(page: _Page) -> tuple[float, float]:
    starts = [placed.word.start for placed in page.words if placed.word.start is not None]
    ends = [placed.word.end for placed in page.words if placed.word.end is not None]
    if starts and ends:
        return min(starts), max(ends)
    return page.segment.start, page.segment.end


def _highlighted(page: _Page) -> Iterator[Cue]:
    """A cue per word that is spoken, which is underlined, and a plain one for each gap between words."""
    last = _times(page)[0]
    plain = _labelled(page.segment, _text(page))
    for i, placed in enumerate(page.words):
        start, end = placed.word.start, placed.word.end
        if start is None or end is None:
            continue
        if round(start * 1000) != round(last * 1000):
            yield Cue(last, start, plain)
        yield Cue(start, end, _labelled(page.segment, _text(page, underlined=i)))
        last = end


def _text(page: _Page, underlined: int | None = None) -> str:
    return "".join(
        placed.before
        + (f"<u>{placed.word.word.strip()}</u>" if i == underlined else placed.word.word.strip())
        for i, placed in enumerate(page.words)
    )


def _labelled(segment: Segment, text: str) -> str:
    """With the speaker in front. A blank line or an arrow would end the cue for a reader of the file."""
    speaker = segment.speaker_name or segment.speaker
    text = re.sub(r"\n\s*\n", "\n", text).replace("-->", "->")
    return text if speaker is None else f"[{speaker}]: {text}"
