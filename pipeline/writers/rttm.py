"""Speaker turns as RTTM, overlapping ones included (see :mod:`pipeline.rttm`)."""

from __future__ import annotations

from pathlib import PurePath

from pipeline import rttm
from schemas.transcript import Transcript

EXTENSION = "rttm"


def write(transcript: Transcript) -> str:
    """A line per turn; the recording is named as its file is, without the ending."""
    path = transcript.media.path
    return rttm.write(transcript.turns, PurePath(path).stem if path else "")
