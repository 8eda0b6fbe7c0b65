"""A request from beginning to end: audio → speech → text → words → speakers → transcript."""

from __future__ import annotations

import time
from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from pipeline import readers, stages
from pipeline.cache import Cache
from pipeline.encoder_output import EncoderOutput
from pipeline.machine import probe
from pipeline.plan import plan
from pipeline.pool import ModelPool
from pipeline.progress import Report, Steps, stages_of
from pipeline.source import Source
from schemas.diarization import Diarization
from schemas.errors import InvalidTranscript, JobError, TranscriptionError
from schemas.jobs import JobRequest, Operation
from schemas.options import Options
from schemas.report import StageReport, Warning_
from schemas.transcript import Media, Transcript
from schemas.voices import Voice


def run(
    request: JobRequest,
    *,
    pool: ModelPool,
    cache: Cache,
    report: Report | None = None,
    audio: np.ndarray | None = None,
    transcript: Transcript | None = None,
) -> Transcript:
    """Does the request and returns the transcript; diarization alone gives one without segments.

    ``report(stage, fraction, text)`` is called often with the fraction of the whole and the end of the text so
    far; it may raise :class:`schemas.errors.JobError` to stop. ``audio`` (samples,) float32 at 16 kHz and
    ``transcript`` stand in for the request's paths.

    Raises the errors of :mod:`schemas.errors`. What was finished before stays in the cache.
    """
    options = _with_language_code(request.options)
    cache.prune()
    given = _given(request, transcript)
    searched = request.operation == "align" and given is not None and readers.is_untimed(given)
    names = stages_of(
        "transcribe" if searched else request.operation, words=not request.options.align.no_align
    )
    steps = Steps(names, report or _silent)
    steps.report("audio", 0.0, None)
    started = time.perf_counter()
    samples = audio if audio is not None else request.path
    with (
        Source(
            samples, options.audio, cache, lambda f: steps.report("audio", f, None), request.identity
        ) as source,
        EncoderOutput(cache.root) as encoder_output,
    ):
        job = stages.Job(source, options, plan(probe(), options), pool, cache, steps.report, encoder_output)
        job.warnings += source.warnings
        seconds = time.perf_counter() - started
        job.stages["audio"] = StageReport(
            backend="pyav" if request.path else "samples",
            device="cpu",
            seconds=round(seconds, 3),
            cached=not source.decoded,
        )
        result = _do(request, job, given)
    steps.report("assign", 1.0, None)
    return result


def run_on(
    audio: str | PathLike[str] | np.ndarray,
    operation: Operation,
    options: Mapping[str, Any],
    *,
    pool: ModelPool,
    report: Report | None = None,
    transcript: Transcript | None = None,
) -> Transcript:
    """:func:`run` for a path or samples (samples,) and flat options, with the cache of the user: for programs."""
    is_path = isinstance(audio, str | PathLike)
    path = str(Path(audio).expanduser().absolute()) if is_path else None
    return run(
        JobRequest(operation=operation, path=path, options=Options.from_flat(**options)),
        pool=pool,
        cache=Cache(),
        report=report,
        audio=None if is_path else audio,
        transcript=transcript,
    )


def _do(request: JobRequest, job: stages.Job, given: Transcript | None) -> Transcript:
    from pipeline import sentences, speakers, text_placement

    offset = job.options.audio.start_s
    base = _base(request, job, given)
    if request.operation in ("transcribe", "transcribe_diarized"):
        speech = stages.transcribe(job, stages.find_speech(job))
        base = base.model_copy(
            update={
                "segments": speech.segments,
                "language": speech.language,
                "language_probability": speech.probability,
                "quality": speech.quality,
            }
        )
    if request.operation != "diarize" and not job.options.align.no_align and base.segments:
        # English words stand in a translation, whatever was spoken.
        language = "en" if base.task == "translate" else base.language or "en"
        if request.operation == "align" and readers.is_untimed(base):
            segments, language = text_placement.align_untimed(job, base)
            base = base.model_copy(update={"language": language, "segments": segments})
        else:
            aligned = stages.align(job, base.segments, language)
            base = base.model_copy(update={"segments": sentences.split(aligned, language)})
    if request.operation in ("diarize", "transcribe_diarized"):
        found = _diarize(request, job)
        if given is not None:  # its times are the whole recording's, and stay as they are
            found, offset = _found_later(found, offset), 0.0
        assigned = speakers.assign(base.segments, found)
        base = base.model_copy(
            update={
                "segments": assigned,
                "turns": found.turns,
                "exclusive_turns": found.exclusive_turns,
                "speakers": speakers.speakers_of(assigned, found.turns),
                **_voices(found, job.options),
            }
        )
    return _finished(base, job, offset)


def _voices(found: Diarization, options: Options) -> dict[str, object]:
    """Speakers as data; the embeddings, by which people can be recognised, only where they were asked for."""
    vectors = {voice.speaker: voice.embedding for voice in found.voices if voice.embedding is not None}
    wanted = options.diarize.speaker_embeddings
    return {
        "voices": tuple(voice.model_copy(update={"embedding": None}) for voice in found.voices),
        "speaker_embeddings": vectors if wanted else None,
        "embedding_model": found.embedding_model if wanted else None,
        "similar_voices": found.similar_voices,
        "speaker_count": found.speaker_count,
    }


def _diarize(request: JobRequest, job: stages.Job) -> Diarization:
    """Turns; a failure never loses the text, unless the backend or model was asked for by name."""
    try:
        return stages.diarize(job)
    except JobError:
        raise
    except TranscriptionError as error:
        asked = job.options.diarize
        named = asked.diarize_backend != "auto" or asked.diarize_model is not None
        if request.operation == "diarize" or named:
            raise
        hint = f" ({error.hint})" if error.hint else ""
        job.warn("stage_skipped", f"Speakers are not named: {error.message}{hint}")
        return Diarization()


def _base(request: JobRequest, job: stages.Job, given: Transcript | None) -> Transcript:
    media = Media(
        path=request.path,
        duration_s=job.source.duration_s,
        sha256=job.source.sha256,
        recorded_at=job.source.recorded_at,
    )
    if given is not None:
        start, segments = job.options.audio.start_s, given.segments
        if request.operation == "align" and not readers.is_untimed(given):
            segments = tuple(segment.shifted(-start) for segment in segments if segment.end > start)
        return given.model_copy(
            update={
                "media": media,
                "segments": segments,
                "language": job.options.asr.language or given.language,
            }
        )
    return Transcript(media=media, task=job.options.asr.task)


def _finished(base: Transcript, job: stages.Job, offset: float) -> Transcript:
    """Times as seconds of the whole recording, ids from 0, warnings counted, stages reported."""
    segments = tuple(
        segment.shifted(offset).model_copy(update={"id": number})
        for number, segment in enumerate(base.segments)
    )
    return base.model_copy(
        update={
            "segments": segments,
            "turns": _later(base.turns, offset),
            "exclusive_turns": _later(base.exclusive_turns, offset),
            "voices": tuple(_heard_later(voice, offset) for voice in base.voices),
            "quality": _later(base.quality, offset),
            "stages": {**base.stages, **job.stages},
            "warnings": counted([*base.warnings, *job.warnings]),
        }
    )


def _later(turns, offset: float):
    return tuple(
        turn.model_copy(update={"start": turn.start + offset, "end": turn.end + offset}) for turn in turns
    )


def _found_later(found: Diarization, offset: float) -> Diarization:
    return found.model_copy(
        update={
            "turns": _later(found.turns, offset),
            "exclusive_turns": _later(found.exclusive_turns, offset),
            "voices": tuple(_heard_later(voice, offset) for voice in found.voices),
        }
    )


def _heard_later(voice: Voice, offset: float) -> Voice:
    return voice.model_copy(update={"samples": _later(voice.samples, offset)})


def counted(warnings: list[Warning_]) -> tuple[Warning_, ...]:
    """Equal warnings as one, with their number."""
    counts: dict[tuple[str, str], int] = {}
    for warning in warnings:
        counts[warning.code, warning.message] = counts.get((warning.code, warning.message), 0) + warning.count
    return tuple(Warning_(code=code, message=text, count=n) for (code, text), n in counts.items())


def _given(request: JobRequest, transcript: Transcript | None) -> Transcript | None:
    if transcript is None and request.transcript_path is not None:
        transcript = readers.read_file(request.transcript_path)
    if transcript is None and request.operation == "align":
        raise InvalidTranscript("there is no transcript to align", hint="give segments or a transcript")
    return transcript


def _with_language_code(options: Options) -> Options:
    """``German`` as ``de``, once for all stages. Raises :class:`InvalidArgument` for an unknown language."""
    from pipeline.asr._languages import normalise

    if options.asr.language is None:
        return options
    asr = options.asr.model_copy(update={"language": normalise(options.asr.language)})
    return options.model_copy(update={"asr": asr})


def _silent(_stage: str, _fraction: float, _text: str | None) -> None:
    """Nobody listens."""
