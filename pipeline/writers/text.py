"""A transcript as it is read aloud: a line per segment with its time and its speaker."""

from __future__ import annotations

from schemas.transcript import Segment, Transcript

EXTENSION = "text.txt"


def write(transcript: Transcript) -> str:
    """``[00:12:31] Ana: text``, a line per segment."""
    return "".join(f"{line(segment)}\n" for segment in transcript.segments)


def line(segment: Segment) -> str:
    """One segment, on one line whatever its text holds."""
    speaker = segment.speaker_name or segment.speaker
    said = " ".join(segment.text.split())
    return f"[{clock(segment.start)}] {speaker}: {said}" if speaker else f"[{clock(segment.start)}] {said}"


def clock(seconds: float) -> str:
    """Whole seconds as ``hh:mm:ss``, rounded down."""
    minutes, second = divmod(int(seconds), 60)
    return f"{minutes // 60:02d}:{minutes % 60:02d}:{second:02d}"
