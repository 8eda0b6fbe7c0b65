"""NIST's time-marked conversations: a line per word, ``file channel start duration word [confidence]``.

After NIST's SCTK (``doc/infmts.htm``): ``;;`` begins a comment; of alternatives between ``<ALT_BEGIN>``, ``<ALT>``
and ``<ALT_END>`` the first is taken; ``@`` and words in angle brackets are no words.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from pipeline.readers._build import MAX_WORDS, by_pauses, lines_of, number, span, transcript, wrong
from schemas.transcript import Transcript

_LINE = re.compile(r"\S+[ \t]+\S{1,8}[ \t]+\d*\.?\d+[ \t]+\d*\.?\d+[ \t]+\S+(?:[ \t]+\S+){0,3}[ \t]*")
_MOST_CHANNELS = 64
_ALTERNATIVES = {"<ALT_BEGIN>": 1, "<ALT>": 2, "<ALT_END>": 0}


def is_like(head: str) -> bool:
    """Whether a text begins as this format does."""
    lines = [line for line in lines_of(head) if line.strip() and not line.startswith(";;")]
    whole = lines[:-1] or lines  # the last one may be cut
    return bool(whole) and all(_LINE.fullmatch(line) or "<ALT" in line for line in whole[:20])


def read(text: str) -> Transcript:
    """Words as segments cut at pauses; each channel is a speaker where there are several.

    Raises :class:`schemas.errors.InvalidTranscript`, which names the line; also where it holds several recordings.
    """
    channels: dict[str, list[dict[str, Any]]] = {}
    first = ""
    for count, (line, (recording, channel, *word)) in enumerate(_rows(text)):
        first = first or recording
        if recording != first:
            raise wrong(line, "it belongs to another recording than the lines before")
        if said := _word(word, line):
            channels.setdefault(channel, []).append(said)
        if count > MAX_WORDS or len(channels) > _MOST_CHANNELS:
            raise wrong(line, f"more than {MAX_WORDS} words, or {_MOST_CHANNELS} channels")
    segments = []
    for channel, words in channels.items():
        speaker = f"CHANNEL_{channel}" if len(channels) > 1 else None
        ordered = sorted(words, key=lambda word: word["start"])
        segments += by_pauses([{**word, "speaker": speaker} for word in ordered])
    return transcript(sorted(segments, key=lambda segment: segment["start"]))


def _rows(text: str) -> Iterator[tuple[int, list[str]]]:
    """Lines with a word, each with its columns; of alternatives those of the first."""
    branch = 0
    for count, line in enumerate(lines_of(text), start=1):
        columns = line.split()
        if not columns or line.startswith(";;"):
            continue
        if "<ALT" in line:
            branch = next((_ALTERNATIVES[name] for name in columns if name in _ALTERNATIVES), branch)
            continue
        if branch == 2:
            continue
        if len(columns) < 5:
            raise wrong(count, "it has fewer than five columns: file, channel, start, duration, word")
        yield count, columns


def _word(columns: list[str], line: int) -> dict[str, Any] | None:
    start = number(columns[0], line, "the start")
    start, end = span(start, start + number(columns[1], line, "the duration"), line)
    word = columns[2]
    if word == "@" or (word.startswith("<") and word.endswith(">")):
        return None
    found = {"word": word, "start": round(start, 6), "end": round(end, 6)}
    score = columns[3] if len(columns) > 3 else "NA"
    if score.upper() != "NA":
        found["score"] = min(1.0, number(score, line, "the confidence"))
    return found
