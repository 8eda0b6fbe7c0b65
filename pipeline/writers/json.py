"""WhisperX's JSON with our fields beside its own: a transcript of ``transcript.v1.json`` and ``word_segments``."""

from __future__ import annotations

import json

from schemas.errors import TranscriptionError
from schemas.transcript import Transcript
from schemas.whisperx import from_whisperx, to_whisperx

EXTENSION = "json"


def write(transcript: Transcript) -> str:
    """One line, as WhisperX writes it; as there, ``words`` are absent where nothing has words.

    Raises :class:`TranscriptionError` for a transcript that does not fit its schema.
    """
    theirs = to_whisperx(transcript)
    data = transcript.compact()
    if "word_segments" in theirs:
        data["word_segments"] = theirs["word_segments"]
    else:
        data["segments"] = [
            {k: v for k, v in segment.items() if k != "words"} for segment in data["segments"]
        ]
    _check(data)
    return json.dumps(data, ensure_ascii=False, allow_nan=False)


def _check(data: dict) -> None:
    try:
        from_whisperx(data)
    except TranscriptionError as error:
        raise TranscriptionError(
            f"the transcript does not fit its schema: {error.message}", hint="please report it"
        ) from None
