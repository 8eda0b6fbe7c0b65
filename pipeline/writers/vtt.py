"""WebVTT subtitles."""

from __future__ import annotations

from pipeline.writers._subtitles import cues, timestamp
from schemas.options import SubtitleOptions
from schemas.transcript import Transcript

EXTENSION = "vtt"


def write(transcript: Transcript, options: SubtitleOptions | None = None) -> str:
    """The header, then cues with times as ``mm:ss.mmm``, with hours where there are any."""
    return "WEBVTT\n\n" + "".join(
        f"{_time(cue.start)} --> {_time(cue.end)}\n{cue.text}\n\n"
        for cue in cues(transcript, options or SubtitleOptions())
    )


def _time(seconds: float) -> str:
    return timestamp(seconds, hours=False, marker=".")
