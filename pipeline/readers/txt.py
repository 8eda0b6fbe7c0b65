"""Plain text, with times in front of its lines or without any.

Times may stand as Whisper prints them (``[00:01.000 --> 00:04.000] text``), as this product's ``text`` has them
(``[00:12:31] Ana: text``) or bare (``12:31 text``, ``12:31 - 12:40``); lines without one go on with the line
before. Without times each line is a segment that begins and ends at 0. Names in front are speakers where most
lines have one.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from pipeline.readers._build import CLOCK, labelled, lines_of, seconds, segment, span, transcript
from schemas.transcript import Transcript

_TIMED = re.compile(
    rf"\s*(?P<open>[\[(])?{CLOCK}(?:\s*(?:-->|[-–—])\s*{CLOCK})?(?P<close>[\])])?(?=\s|$|:\s)[:\s]*"
)
_NAME = re.compile(r"([^\W\d_][\w.'’-]*(?: [\w.'’()-]+){0,3}):\s+(?=\S)")
_SECONDS_PER_CHARACTER = 0.08
_WHOLE_S = 1.0  # how much later a line may end when its times are whole seconds


@dataclass(frozen=True)
class _Line:
    """A line of text; ``start`` and ``end`` in seconds where it has them.

    ``sure``: they stand in brackets. ``whole``: they are whole seconds, rounded down.
    """

    number: int
    text: str
    start: float | None = None
    end: float | None = None
    sure: bool = False
    whole: bool = False


def is_like(head: str) -> bool:
    """Whether a text begins as this format does: every text does."""
    return True


def read(text: str) -> Transcript:
    """Raises :class:`schemas.errors.InvalidTranscript` for a text without a word or far too long a one."""
    rows = lines_of(text)
    timed = [_timed(row, number) for number, row in enumerate(rows, start=1) if row.strip()]
    if _is_timed(timed):
        lines = list(_merged(timed))
    else:
        lines = [_Line(number, row.strip()) for number, row in enumerate(rows, start=1) if row.strip()]
    return transcript(_segments(lines))


def _timed(row: str, number: int) -> _Line:
    match = _TIMED.match(row)
    if match is None or bool(match["open"]) != bool(match["close"]):
        return _Line(number, row.strip())
    groups = match.groups()[1:9]
    if any(int(part or 0) > 59 for part in (groups[2], groups[6])):
        return _Line(number, row.strip())
    start = seconds(groups[:4], number)
    end = seconds(groups[4:], number) if groups[5] else None
    if end is not None:
        span(start, end, number)
    return _Line(number, row[match.end() :].strip(), start, end, bool(match["open"]), groups[3] is None)


def _is_timed(lines: Sequence[_Line]) -> bool:
    starts = [line.start for line in lines if line.start is not None]
    sure = any(line.sure for line in lines)
    return starts == sorted(starts) and (len(starts) >= 2 or (sure and lines[0].start is not None))


def _merged(lines: Sequence[_Line]) -> Iterator[_Line]:
    """Lines that have a time, each with the lines behind it that have none."""
    open_ = _Line(lines[0].number, "", 0.0) if lines[0].start is None else None
    for line in lines:
        if line.start is None:
            open_ = replace(open_, text=f"{open_.text} {line.text}".strip())
            continue
        if open_ is not None and open_.text:
            yield open_
        open_ = line
    if open_ is not None and open_.text:
        yield open_


def _segments(lines: Sequence[_Line]) -> Iterator[dict[str, Any]]:
    named = sum(_NAME.match(line.text) is not None for line in lines)
    with_names = named >= 2 and named * 2 >= len(lines)
    speaker: str | None = None
    for number, line in enumerate(lines):
        following = lines[number + 1] if number + 1 < len(lines) else None
        label, text = labelled(line.text)
        if label is None and with_names and (name := _NAME.match(line.text)):
            label, text = name[1], line.text[name.end() :]
        speaker = label or (speaker if with_names else None)
        start = line.start or 0.0
        yield segment(start, _end(line, following), text, line.number, speaker)


def _end(line: _Line, following: _Line | None) -> float:
    if line.start is None:
        return 0.0
    if line.end is not None:
        return line.end
    if following is None or following.start is None:
        return line.start + 1.0 + _SECONDS_PER_CHARACTER * len(line.text)
    return following.start + (_WHOLE_S if following.whole else 0.0)
