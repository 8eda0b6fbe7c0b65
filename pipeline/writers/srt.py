"""SubRip subtitles."""

from __future__ import annotations

from pipeline.writers._subtitles import cues, timestamp
from schemas.options import SubtitleOptions
from schemas.transcript import Transcript

EXTENSION = "srt"


def write(transcript: Transcript, options: SubtitleOptions | None = None) -> str:
    """Numbered cues with times as ``hh:mm:ss,mmm``."""
    return "".join(
        f"{number}\n{_time(cue.start)} --> {_time(cue.end)}\n{cue.text}\n\n"
        for number, cue in enumerate(cues(transcript, options or SubtitleOptions()), start=1)
    )


def _time(seconds: float) -> str:
    return timestamp(seconds, hours=True, marker=",")
