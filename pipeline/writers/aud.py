"""Audacity labels: start and end in seconds, text, tab-separated."""

from __future__ import annotations

from schemas.transcript import Transcript

EXTENSION = "aud"


def write(transcript: Transcript) -> str:
    """A label per segment, with ``[[SPEAKER_00]]`` in front of the text where speakers are known."""
    lines = []
    for segment in transcript.segments:
        speaker = segment.speaker_name or segment.speaker
        label = f"[[{speaker}]]" if speaker else ""
        lines.append(f"{segment.start}\t{segment.end}\t{label}{' '.join(segment.text.split())}\n")
    return "".join(lines)
