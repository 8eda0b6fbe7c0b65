"""The text alone, a line per segment."""

from __future__ import annotations

from schemas.transcript import Transcript

EXTENSION = "txt"


def write(transcript: Transcript) -> str:
    """``[SPEAKER_00]: text`` where speakers are known."""
    lines = []
    for segment in transcript.segments:
        speaker = segment.speaker_name or segment.speaker
        lines.append(f"[{speaker}]: {segment.text.strip()}\n" if speaker else f"{segment.text.strip()}\n")
    return "".join(lines)
