"""Cues of SRT and WebVTT, as they are found in the wild: what the two have in common.

WebVTT is https://www.w3.org/TR/webvtt1; SubRip has no standard. Both are read by their time lines alone.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from pipeline.readers._build import CLOCK, labelled, seconds, segment, span, wrong

_TIME_LINE = re.compile(rf"\s*{CLOCK}\s*-->\s*{CLOCK}(?:\s.*)?")
_IS_TIME_LINE = re.compile(r"\s*-?\d[\d:.,]*\s*-->")
_TAG = re.compile(
    r"</?(?:[bcisuv]|font|ruby|rt|lang)(?:[.\s][^<>]*)?>|<\d[\d:.]*>|\{\\[^{}]*\}", re.IGNORECASE
)
_VOICE = re.compile(r"<v(?:\.[^\s<>]*)?\s+([^<>]+)>", re.IGNORECASE)
_STAMP = re.compile(rf"<{CLOCK}>")
_UNDERLINED = re.compile(r"<u>([^<>]*)</u>", re.IGNORECASE)
_TOUCHING_S = 0.02


@dataclass(frozen=True)
class Cue:
    """The lines of text on the screen from ``start`` to ``end``, in seconds; ``line`` is that of its times."""

    line: int
    start: float
    end: float
    text: tuple[str, ...]


def cues(lines: Sequence[str], *, through_blanks: bool) -> Iterator[Cue]:
    """The cues in order; an empty line ends one unless ``through_blanks``: then the next times do.

    Raises :class:`schemas.errors.InvalidTranscript` for times that cannot be read.
    """
    opened: tuple[int, float, float] | None = None
    text: list[str] = []
    for count, line in enumerate(lines, start=1):
        if _IS_TIME_LINE.match(line):
            if opened:
                yield Cue(*opened, _without_index(text))
            opened, text = (count, *_times(line, count)), []
        elif opened and not line and not through_blanks:
            yield Cue(*opened, _without_blanks(text))
            opened = None
        elif opened:
            text.append(line.strip())
    if opened:
        yield Cue(*opened, _without_blanks(text))


def segments_of(found: Sequence[Cue], *, entities: bool) -> Iterator[dict[str, Any]]:
    """Segments in WhisperX's form; tags are taken off, voices and labels become speakers.

    Cues that show one text again and again, another word underlined each time, become one segment; so do captions
    that roll up. ``entities``: ``&amp;`` means ``&``.
    """
    stamped = any(_STAMP.search(line) for cue in found for line in cue.text)
    found = _rolled(found) if stamped else found
    if any(_UNDERLINED.search(line) for cue in found for line in cue.text):
        yield from _highlighted(found, entities)
        return
    for cue in found:
        yield from _segments(cue, entities)


def _times(line: str, count: int) -> tuple[float, float]:
    match = _TIME_LINE.fullmatch(line)
    if match is None:
        raise wrong(count, "its times are not hh:mm:ss.mmm --> hh:mm:ss.mmm")
    groups = match.groups()
    return span(seconds(groups[:4], count), seconds(groups[4:], count), count)


def _without_index(text: Sequence[str]) -> tuple[str, ...]:
    """The text before the next times without the number that belongs to those."""
    return _without_blanks(text[:-1] if text and text[-1].isdigit() else text)


def _without_blanks(text: Sequence[str]) -> tuple[str, ...]:
    return tuple(line for line in text if line)


def _plain(text: str, entities: bool) -> str:
    text = _TAG.sub("", text)
    return " ".join((html.unescape(text) if entities else text).split())


def _segments(cue: Cue, entities: bool) -> Iterator[dict[str, Any]]:
    """One segment for each voice of a cue; several share its time by the length of their texts."""
    parts = _voices("\n".join(cue.text), entities)
    total = sum(len(text) for _, text in parts)
    at = cue.start
    for number, (speaker, text) in enumerate(parts, start=1):
        last = number == len(parts)
        end = cue.end if last else round(at + (cue.end - cue.start) * len(text) / total, 3)
        one = segment(at, end, text, cue.line, speaker)
        yield {**one, "words": _stamped_words(cue, entities)} if len(parts) == 1 else one
        at = end


def _voices(text: str, entities: bool) -> list[tuple[str | None, str]]:
    pieces = _VOICE.split(text)
    said = [(None, pieces[0]), *zip(pieces[1::2], pieces[2::2], strict=True)]
    parts: list[tuple[str | None, str]] = []
    for voice, raw in said:
        label, plain = labelled(_plain(raw, entities))
        if plain:
            parts.append((" ".join(voice.split()) if voice else label, plain))
    return parts


def _stamped_words(cue: Cue, entities: bool) -> list[dict[str, Any]] | None:
    """Words with times inside the cue, ``<00:00:01.200>word``; none where they do not stand at every word."""
    text = " ".join(cue.text)
    pieces = _STAMP.split(text)
    if len(pieces) < 6:
        return None
    starts = [cue.start, *(seconds(pieces[i : i + 4], cue.line) for i in range(1, len(pieces), 5))]
    words = [_plain(piece, entities) for piece in pieces[::5]]
    placed = [(word, start) for word, start in zip(words, starts, strict=True) if word]
    ends = [*(start for _, start in placed[1:]), cue.end]
    good = all(" " not in word for word, _ in placed) and sorted(ends) == ends and placed[0][1] >= cue.start
    if not good:
        return None
    return [
        {"word": word, "start": start, "end": end} for (word, start), end in zip(placed, ends, strict=True)
    ]


def _rolled(found: Sequence[Cue]) -> list[Cue]:
    """Captions that roll up show every line twice; the second time is left out."""
    kept: list[Cue] = []
    last = ""
    for cue in found:
        fresh = []
        for line in cue.text:
            plain = _plain(line, entities=False)
            if plain and plain != last:
                fresh.append(line)
                last = plain
        if fresh:
            kept.append(Cue(cue.line, cue.start, cue.end, tuple(fresh)))
    return kept


def _highlighted(found: Sequence[Cue], entities: bool) -> Iterator[dict[str, Any]]:
    """One segment for a run of cues with the same text, with the times at which its words are underlined."""
    open_: dict[str, Any] | None = None
    place = -1
    for cue in found:
        text = "\n".join(cue.text)
        mark = _UNDERLINED.search(text)
        speaker, plain = labelled(_plain(text, entities))
        same = open_ is not None and (open_["speaker"], open_["text"]) == (speaker, plain)
        touches = same and cue.start - open_["end"] <= _TOUCHING_S
        if not touches or (mark and mark.start() <= place):
            if open_ is not None:
                yield open_
            open_, place = {**segment(cue.start, cue.end, plain, cue.line, speaker), "words": []}, -1
        open_["end"] = max(open_["end"], cue.end)
        if mark:
            place = mark.start()
            open_["words"].append({"word": mark[1].strip(), "start": cue.start, "end": cue.end})
    if open_ is not None:
        yield open_
