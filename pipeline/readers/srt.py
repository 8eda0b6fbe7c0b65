"""SubRip subtitles, with what is found in the wild: tags, missing numbers, points for commas, blank lines."""

from __future__ import annotations

import re

from pipeline.readers._build import lines_of, transcript
from pipeline.readers._cues import cues, segments_of
from schemas.transcript import Transcript

_TIMES = re.compile(r"\s*(?:\d{1,4}:)?\d{1,3}:\d{1,2}[.,]\d+\s*-->")


def is_like(head: str) -> bool:
    """Whether a text begins as this format does."""
    return any(map(_TIMES.match, lines_of(head)))


def read(text: str) -> Transcript:
    """Raises :class:`schemas.errors.InvalidTranscript`, which names the line."""
    return transcript(segments_of(list(cues(lines_of(text), through_blanks=True)), entities=False))
