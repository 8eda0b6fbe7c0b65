"""Audio in, transcript out. Knows nothing of MCP.

    from pipeline import transcribe, align, diarize, transcribe_diarized

    transcript = transcribe_diarized("meeting.m4a", num_speakers=3)
    for segment in transcript.segments:
        print(segment.speaker, segment.text)

Each takes a path, or float32 samples (samples,) at 16 kHz, and the names of :mod:`schemas.options` as keywords.
:func:`load_model` keeps a model between calls; all of WhisperX's API is in :mod:`pipeline.like_whisperx`.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from os import PathLike
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from schemas.diarization import Diarization
from schemas.transcript import Transcript

if TYPE_CHECKING:
    from pipeline.like_whisperx import Model

Report = Callable[[str, float, str | None], None]

__all__ = ["align", "diarize", "load_model", "transcribe", "transcribe_diarized"]


def load_model(whisper_arch: str, device: str = "auto", **how: Any) -> Model:
    """A Whisper with WhisperX's ``transcribe``: see :func:`pipeline.like_whisperx.load_model`."""
    from pipeline import like_whisperx

    return like_whisperx.load_model(whisper_arch, device, **how)


def transcribe(audio: Any, *, report: Report | None = None, **options: Any) -> Transcript:
    """What was said. Words have times unless ``no_align=True``.

    ``report(stage, fraction, text)`` is told how far the work is. Raises the errors of :mod:`schemas.errors`.
    """
    return _run("transcribe", audio, None, report, options)


def align(
    audio: Any,
    transcript: Transcript | Mapping[str, Any] | Sequence[Mapping[str, Any]] | str | PathLike[str],
    *,
    format: str | None = None,
    report: Report | None = None,
    **options: Any,
) -> Transcript:
    """The words of a transcript placed on the clock of a recording.

    ``transcript`` is one of ours, WhisperX's dictionary, a list of ``{start, end, text}``, the path of a file in
    one of the formats of :mod:`pipeline.readers`, or, with ``format``, such a text itself: ``format="srt"``,
    ``format="txt"`` for a plain one. A text without times is looked for in the recording.
    Raises :class:`schemas.errors.InvalidTranscript` and the other errors of :mod:`schemas.errors`.
    """
    return _run("align", audio, _read(transcript, format), report, options)


def diarize(audio: Any, *, report: Report | None = None, **options: Any) -> Diarization:
    """Who spoke when, without the text. Raises the errors of :mod:`schemas.errors`."""
    from pipeline.voices import voices_of

    found = _run("diarize", audio, None, report, options)
    return Diarization(
        turns=found.turns,
        exclusive_turns=found.exclusive_turns,
        voices=voices_of(found),
        embedding_model=found.embedding_model,
        similar_voices=found.similar_voices,
        speaker_count=found.speaker_count,
        stages=found.stages,
        warnings=found.warnings,
    )


def transcribe_diarized(audio: Any, *, report: Report | None = None, **options: Any) -> Transcript:
    """Who said what, when, word by word. Raises the errors of :mod:`schemas.errors`."""
    return _run("transcribe_diarized", audio, None, report, options)


def _run(
    operation: str, audio: Any, transcript: Transcript | None, report: Report | None, options: dict[str, Any]
) -> Transcript:
    from pipeline.pool import ModelPool
    from pipeline.run import run_on

    pool = ModelPool()
    try:
        return run_on(audio, operation, options, pool=pool, report=report, transcript=transcript)
    finally:
        pool.unload()


def _read(transcript: Any, format: str | None) -> Transcript:
    from pipeline import readers
    from schemas.whisperx import from_whisperx

    if isinstance(transcript, str) and format is not None:
        return readers.read(transcript, format)
    if isinstance(transcript, str | PathLike):
        return readers.read_file(Path(transcript).expanduser(), format)
    return transcript if isinstance(transcript, Transcript) else from_whisperx(transcript)


class _Package(ModuleType):
    """Keeps ``align`` and ``diarize`` functions here: importing a room would bind the room to its name."""

    def __setattr__(self, name: str, value: object) -> None:
        if not (name in __all__ and isinstance(value, ModuleType)):
            super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Package
