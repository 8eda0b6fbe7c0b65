"""WhisperX's JSON with our fields added."""

from __future__ import annotations

import json

from schemas.whisperx import to_whisperx

from schemas.transcript import Transcript

EXTENSION = "json"


def write(transcript: Transcript) -> str:
    """One line, as WhisperX writes it."""
    return json.dumps(to_whisperx(transcript), ensure_ascii=False, allow_nan=False)
