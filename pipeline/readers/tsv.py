"""Tab-separated values as Whisper and WhisperX write them: start and end in milliseconds, text."""

from __future__ import annotations

from pipeline.readers._build import labelled, lines_of, number, segment, span, transcript, wrong
from schemas.transcript import Transcript

_HEADER = ["start", "end", "text"]


def is_like(head: str) -> bool:
    """Whether a text begins as this format does."""
    return lines_of(head)[0].lower().split("\t") == _HEADER


def read(text: str) -> Transcript:
    """Raises :class:`schemas.errors.InvalidTranscript`, which names the line."""
    segments = []
    for line, row in enumerate(lines_of(text), start=1):
        columns = row.split("\t", 2)
        if not row.strip() or [column.lower() for column in columns] == _HEADER:
            continue
        if len(columns) < 3:
            raise wrong(line, "it has fewer than three columns: start, end, text")
        start, end = (number(column.strip(), line, "the time") / 1000 for column in columns[:2])
        speaker, said = labelled(columns[2].strip())
        segments.append(segment(*span(start, end, line), said, line, speaker))
    return transcript(segments)
