"""What the readers share: lines, errors that name a line, clocks, and the way to a transcript."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from pipeline.align._words import written_together
from schemas.errors import InvalidTranscript
from schemas.transcript import Transcript
from schemas.whisperx import MAX_CHARACTERS, MAX_SECONDS, from_whisperx

MAX_SEGMENTS = 50_000  # a subtitle every two seconds for a day
MAX_WORDS = 250_000
_PAUSE_S = 1.0
_LONGEST_S = 20.0
_ENDS = tuple(".!?…。！？")
_LINE = re.compile(r"\r\n|\r|\n")
_LABEL = re.compile(r"\[([^\[\]\n]{1,80})\]:[ \t]*")

CLOCK = r"(?:(\d{1,4}):)?(\d{1,3}):(\d{1,2})(?:[.,](\d{1,6}))?"
"""A time of day in four groups: hours (may be missing), minutes, seconds, fraction (may be missing)."""


def lines_of(text: str) -> list[str]:
    """The lines, whatever ends them; unlike ``splitlines`` not at separators inside a text."""
    return _LINE.split(text)


def wrong(line: int, what: str) -> InvalidTranscript:
    """The error for what stands in a line (from 1)."""
    return InvalidTranscript(f"line {line}: {what}", hint="mend the line, or say which format it is")


def seconds(groups: Sequence[str | None], line: int) -> float:
    """The four groups of :data:`CLOCK` in seconds. Raises :class:`InvalidTranscript`."""
    hours, minutes, whole, fraction = groups
    if int(whole or 0) > 59 or (hours and int(minutes or 0) > 59):
        raise wrong(line, "minutes and seconds go up to 59")
    total = int(hours or 0) * 3600 + int(minutes or 0) * 60 + int(whole or 0)
    return round(total + float(f"0.{fraction or 0}"), 6)


def number(text: str, line: int, what: str) -> float:
    """A finite number that is not negative. Raises :class:`InvalidTranscript`."""
    try:
        value = float(text) if len(text) <= 32 else -1.0
    except ValueError:
        value = -1.0
    if not 0 <= value <= MAX_SECONDS * 1000:
        raise wrong(line, f"{what} is no number of seconds")
    return value


def span(start: float, end: float, line: int) -> tuple[float, float]:
    """The two times, in order and within bounds. Raises :class:`InvalidTranscript`."""
    if end < start:
        raise wrong(line, "it ends before it begins")
    if end > MAX_SECONDS:
        raise wrong(line, f"it lies behind {MAX_SECONDS / 3600:.0f} hours")
    return start, end


def labelled(text: str) -> tuple[str | None, str]:
    """The speaker in front of a text as our writers put it, ``[SPEAKER_00]: text``, and the rest."""
    found = _LABEL.match(text)
    return (found[1].strip() or None, text[found.end() :]) if found else (None, text)


def segment(start: float, end: float, text: str, line: int, speaker: str | None = None) -> dict[str, Any]:
    """A segment in WhisperX's form. Raises :class:`InvalidTranscript` for a text that is far too long."""
    if len(text) > MAX_CHARACTERS:
        raise wrong(line, f"more than {MAX_CHARACTERS} characters belong to one time")
    return {"start": start, "end": end, "text": text, "speaker": speaker}


def transcript(segments: Iterable[dict[str, Any]], language: str | None = None) -> Transcript:
    """The segments as a transcript. Raises :class:`InvalidTranscript` where there are none, or too many."""
    found = []
    for item in segments:
        found.append(item)
        if len(found) > MAX_SEGMENTS:
            raise InvalidTranscript(f"there are more than {MAX_SEGMENTS} segments", hint="cut it in parts")
    if not found:
        raise InvalidTranscript("there is no text in it", hint="is it a transcript?")
    return from_whisperx({"language": language, "segments": found})


def by_pauses(words: Sequence[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Timed words (in WhisperX's form, in order, of one speaker) as segments, cut at pauses and sentences."""
    run: list[dict[str, Any]] = []
    for word in words:
        if run and _is_cut(run, word):
            yield _of_words(run)
            run = []
        run.append(word)
    if run:
        yield _of_words(run)


def _is_cut(run: Sequence[dict[str, Any]], word: dict[str, Any]) -> bool:
    length = word["end"] - run[0]["start"]
    pause = word["start"] - run[-1]["end"]
    return pause >= _PAUSE_S or length > _LONGEST_S or (length > 2 and run[-1]["word"].endswith(_ENDS))


def _of_words(run: list[dict[str, Any]]) -> dict[str, Any]:
    text = ""
    for before, word in zip([None, *run], run, strict=False):
        gap = before is not None and not written_together(before["word"], word["word"])
        text += (" " if gap else "") + word["word"]
    return {
        "start": run[0]["start"],
        "end": max(word["end"] for word in run),
        "text": text,
        "speaker": run[0].get("speaker"),
        "words": run,
    }
