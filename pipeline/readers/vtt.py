"""WebVTT: cue settings, voices, NOTE, STYLE and REGION blocks, times inside cues, hours or none."""

from __future__ import annotations

from pipeline.readers._build import lines_of, transcript
from pipeline.readers._cues import cues, segments_of
from schemas.transcript import Transcript

_BLOCKS = ("NOTE", "STYLE", "REGION")


def is_like(head: str) -> bool:
    """Whether a text begins as this format does."""
    return head.startswith("WEBVTT") and not head[6:7].isalnum()


def read(text: str) -> Transcript:
    """Raises :class:`schemas.errors.InvalidTranscript`, which names the line."""
    lines = _without_blocks(lines_of(text))
    return transcript(segments_of(list(cues(lines, through_blanks=False)), entities=True))


def _without_blocks(lines: list[str]) -> list[str]:
    """Comments, styles and regions blanked, so that lines keep their numbers."""
    kept: list[str] = []
    inside, blank = False, True
    for line in lines:
        begins = blank and any(line == word or line.startswith((f"{word} ", f"{word}\t")) for word in _BLOCKS)
        inside = (inside or begins) and bool(line.strip())
        kept.append("" if inside else line)
        blank = not line.strip()
    return kept
