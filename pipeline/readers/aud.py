"""Audacity labels: start and end in seconds, text, tab-separated; WhisperX puts ``[[SPEAKER_00]]`` in front."""

from __future__ import annotations

import re

from pipeline.readers._build import lines_of, number, segment, span, transcript, wrong
from schemas.transcript import Transcript

_LINE = re.compile(r"\d+(?:\.\d+)?\t\d+(?:\.\d+)?\t.*")
_SPEAKER = re.compile(r"\[\[([^\[\]]{1,80})\]\]\s*")


def is_like(head: str) -> bool:
    """Whether a text begins as this format does."""
    return _LINE.fullmatch(lines_of(head)[0]) is not None


def read(text: str) -> Transcript:
    """Raises :class:`schemas.errors.InvalidTranscript`, which names the line."""
    segments = []
    for line, row in enumerate(lines_of(text), start=1):
        columns = row.split("\t", 2)
        if not row.strip() or row.startswith("\\"):  # frequencies of the label above
            continue
        if len(columns) < 2:
            raise wrong(line, "it has fewer than two columns: start, end, text")
        start, end = (number(column.strip(), line, "the time") for column in columns[:2])
        said = columns[2].strip() if len(columns) > 2 else ""
        label = _SPEAKER.match(said)
        speaker = label[1] if label else None
        segments.append(segment(*span(start, end, line), said[label.end() if label else 0 :], line, speaker))
    return transcript(segments)
