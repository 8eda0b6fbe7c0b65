"""Tab-separated values: start and end in whole milliseconds, text."""

from __future__ import annotations

from schemas.transcript import Transcript

EXTENSION = "tsv"


def write(transcript: Transcript) -> str:
    """A header, then a line per segment. WhisperX's form has no column for speakers."""
    rows = (
        f"{round(1000 * segment.start)}\t{round(1000 * segment.end)}\t{' '.join(segment.text.split())}\n"
        for segment in transcript.segments
    )
    return "start\tend\ttext\n" + "".join(rows)
