"""The stages, each as: take the result from the cache, or let the best backend that works make it."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence, Set
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from pipeline import backends, quality
from pipeline.asr import Keep, likely_languages
from pipeline.cache import Cache, Partial
from pipeline.encoder_output import EncoderOutput
from pipeline.plan import Choice, Plan
from pipeline.pool import ModelPool
from pipeline.source import Source
from pipeline.vad import Chunk, SpeechRegion
from schemas.diarization import Diarization
from schemas.errors import InputError, JobError, StageFailed, TranscriptionError
from schemas.options import Options
from schemas.report import QualitySpan, StageReport, Warning_
from schemas.transcript import Segment

LANGUAGE_UNCERTAIN = 0.5

Report = Callable[[float, str | None], None]


@dataclass
class Job:
    """What the stages of one request share, and what they leave for its result."""

    source: Source
    options: Options
    plan: Plan
    pool: ModelPool
    cache: Cache
    report: Callable[[str, float, str | None], None]
    encoder_output: EncoderOutput | None = None
    stages: dict[str, StageReport] = field(default_factory=dict)
    warnings: list[Warning_] = field(default_factory=list)

    def warn(self, code: str, message: str) -> None:
        """Adds a warning to the result."""
        self.warnings.append(Warning_(code=code, message=message))

    def progress(self, stage: str) -> Callable[[float], None]:
        """A callable that takes the stage's fraction; it raises when the job was cancelled."""
        return lambda fraction: self.report(stage, fraction, None)


@dataclass(frozen=True)
class Speech:
    """The text of a recording before its words are on the clock."""

    segments: tuple[Segment, ...] = ()
    language: str | None = None
    probability: float | None = None
    quality: tuple[QualitySpan, ...] = ()


def find_speech(job: Job) -> list[Chunk]:
    """Voice activity detection: chunks of speech, none where nobody speaks."""
    from pipeline.vad import pack, with_doubtful

    def work(vad: Any, _key: str) -> dict:
        recording, size = job.source.recording(), job.options.vad.chunk_size
        regions, near = vad.speech_and_near(recording, job.progress("vad"))
        chunks = with_doubtful(pack(regions, size, recording), near, size, recording)
        return {"chunks": [asdict(chunk) for chunk in chunks]}

    payload = _stage(job, "vad", job.plan.vad, work)
    return [_chunk(chunk) for chunk in payload["chunks"]]


def transcribe(job: Job, chunks: Sequence[Chunk]) -> Speech:
    """Speech to text. Finished chunks are kept, and an interrupted job goes on behind them."""

    def work(asr: Any, key: str) -> dict:
        return _decode(job, asr, chunks, job.cache.partial("asr", key))

    if not chunks:
        job.warn("no_speech", "No speech was found in the recording.")
        return Speech(language=job.options.asr.language)
    payload = _stage(job, "asr", job.plan.asr, work, chunks=[asdict(chunk) for chunk in chunks])
    doubtful = tuple(QualitySpan(**span) for span in payload.get("quality", ()))
    speech = Speech(_segments(payload), payload["language"], payload["probability"], doubtful)
    if not speech.segments and all(chunk.doubtful for chunk in chunks):
        job.warn("no_speech", "No speech was found in the recording.")
    if job.options.asr.language is None and (speech.probability or 0.0) < LANGUAGE_UNCERTAIN:
        job.warn(
            "language_uncertain",
            f"The language was taken for {speech.language!r} with a probability of "
            f"{speech.probability or 0:.2f}; name it with `language` if that is wrong.",
        )
    return speech


def align(job: Job, segments: Sequence[Segment], language: str) -> tuple[Segment, ...]:
    """The words of ``segments`` (times within the source's window) placed on the clock."""
    from pipeline.align import align_segments

    def work(aligner: Any, _key: str) -> dict:
        aligned, warnings = align_segments(
            aligner,
            job.source.recording(),
            segments,
            language,
            options=job.options.align,
            progress=job.progress("align"),
            heard=job.encoder_output,
        )
        return {"segments": [s.compact() for s in aligned], "warnings": [w.compact() for w in warnings]}

    if not segments:
        return ()
    said = [(s.start, s.end, s.text) for s in segments]
    languages = {segment.language or language for segment in segments}
    candidates = [_for_language(choice, language) for choice in _aligners(job, languages)]
    return _segments(_stage(job, "align", candidates, work, said=said, language=language))


def _aligners(job: Job, languages: Set[str]) -> list[Choice]:
    return [choice for choice in job.plan.align if choice.required or _knows(choice, languages)]


def _knows(choice: Choice, languages: Set[str]) -> bool:
    """Whether the backend is one for these languages: another one is no fallback for it."""
    known = getattr(backends.module("align", choice.backend), "LANGUAGES", None)
    return known is None or languages <= known


def _for_language(choice: Choice, language: str) -> Choice:
    """A wav2vec2 aligner belongs to one language: the table's model, unless one was asked for."""
    from pipeline import models

    if backends.module("align", choice.backend).MODEL_KIND != "align" or choice.model is not None:
        return choice
    name = models.align_model(language)
    if name is None:
        return choice
    return replace(choice, model=name, model_required=True)


def _one_speaker_a_channel(job: Job) -> bool:
    """Whether turns are taken from the channels without being told to."""
    asked, found = job.options.diarize, job.source.channels
    if asked.channels != "auto" or asked.diarize_backend != "auto" or asked.diarize_model is not None:
        return False
    most = asked.num_speakers or asked.max_speakers or len(found.speakers)
    return found.separate and (asked.num_speakers or asked.min_speakers or 1) <= len(found.speakers) <= most


_FOUND = (
    "turns",
    "exclusive_turns",
    "voices",
    "embedding_model",
    "similar_voices",
    "speaker_count",
)


_BARE = "without_embeddings"


def diarize(job: Job) -> Diarization:
    """Who spoke when. Voices' embeddings are kept in the stage cache only where they were asked for."""
    wanted = job.options.diarize.speaker_embeddings

    def work(diarizer: Any, _key: str) -> dict:
        found = diarizer.diarize(job.source.recording(), job.options.diarize, job.progress("diarize"))
        heard = any(voice.embedding is not None for voice in found.voices)
        return {**_bare(found).compact(), _BARE: True} if heard and not wanted else found.compact()

    def serves(payload: dict) -> bool:
        return not (wanted and payload.get(_BARE))

    candidates, layout = job.plan.diarize, {}
    if _one_speaker_a_channel(job):
        candidates = (Choice("channels"), *candidates)
    if candidates[:1] and candidates[0].backend == "channels":
        layout = {"channels": asdict(job.source.channels)}  # files that differ in this can have the same mix
    payload = _stage(job, "diarize", candidates, work, serves, **layout)
    return Diarization.model_validate({name: payload[name] for name in _FOUND if name in payload})


def _bare(found: Diarization) -> Diarization:
    """Without embeddings, by which people can be recognised."""
    voices = tuple(voice.model_copy(update={"embedding": None}) for voice in found.voices)
    return found.model_copy(update={"voices": voices})


def _decode(job: Job, asr: Any, chunks: Sequence[Chunk], partial: Partial) -> dict:
    pieces = [] if job.options.force else list(partial)
    if not pieces:
        partial.clear()
        pieces = [_language(job, asr, chunks)]
        partial.append(pieces[0])
    head, done = pieces[0], {piece["index"]: piece for piece in pieces[1:]}
    todo = [(index, chunk) for index, chunk in enumerate(chunks) if index not in done]
    job.report("asr", len(done) / len(chunks), _tail(done))
    keeping = _keeping(job, asr, head["language"])
    for text in asr.transcribe(job.source.recording(), todo, head["language"], **keeping):
        piece = {
            "index": text.index,
            "segments": [segment.compact() for segment in text.segments],
            "warnings": [warning.compact() for warning in text.warnings],
        }
        partial.append(piece)
        done[text.index] = piece
        job.report("asr", len(done) / len(chunks), _tail(done))
    in_order = [done[index] for index in sorted(done)]
    said = [segment for piece in in_order for segment in piece["segments"]]
    doubtful = quality.find(chunks, done, _segments({"segments": said}))
    return {
        **head,
        "segments": said,
        "quality": [span.compact() for span in doubtful],
        "warnings": [warning for piece in in_order for warning in piece["warnings"]],
        "clear": True,
    }


def _keeping(job: Job, asr: Any, language: str) -> dict[str, Keep]:
    """What has the encoder's output kept, where the first aligner for the language reads the same encoder."""
    spoken = "en" if job.options.asr.task == "translate" else language
    choice = next(iter(_aligners(job, {spoken})), None)
    if job.encoder_output is None or choice is None or job.options.align.no_align:
        return {}
    encoder = getattr(backends.module("align", choice.backend), "encoder", None)
    try:
        if encoder is None or encoder(choice, job.options) != asr.model:
            return {}
    except TranscriptionError:  # the aligner's own stage tells of it
        return {}
    job.encoder_output.begin(asr.model)
    return {"keep": job.encoder_output.keep}


def _language(job: Job, asr: Any, chunks: Sequence[Chunk]) -> dict:
    asked = job.options.asr.language
    if asked is not None:
        return {"language": asked, "probability": None}
    spoken = [chunk for chunk in chunks if not chunk.doubtful] or chunks
    probabilities = likely_languages(asr, job.source.recording(), spoken)
    best = max(probabilities, key=probabilities.__getitem__)
    return {"language": best, "probability": round(min(1.0, probabilities[best]), 4)}


def _tail(done: dict[int, dict], characters: int = 400) -> str:
    """The end of the text so far."""
    text = ""
    for index in sorted(done, reverse=True):
        text = " ".join(s["text"].strip() for s in done[index]["segments"]) + " " + text
        if len(text) > characters:
            break
    return text.strip()[-characters:]


def _anything(_payload: dict) -> bool:
    return True


def _stage(
    job: Job,
    room: str,
    candidates: Sequence[Choice],
    work: Callable[[Any, str], dict],
    serves: Callable[[dict], bool] = _anything,
    **key_parts: Any,
) -> dict:
    """The stage's payload from the first candidate that can give it. ``serves``: whether a cached one will do.

    Raises :class:`schemas.errors.StageFailed` (or the last candidate's own coded error) when none can.
    """
    failures: dict[str, list[str]] = {}
    for number, choice in enumerate(candidates):
        try:
            payload = _from_candidate(job, room, choice, work, serves, key_parts)
        except (InputError, JobError):
            raise
        except Exception as error:
            job.pool.drop(room)
            if number == len(candidates) - 1:
                raise _coded(room, choice, error) from error
            failures.setdefault(_reason(error), []).append(f"{choice.backend} on {choice.device}")
            continue
        if failures:
            job.warn(
                "backend_fallback",
                f"{room} was done by {choice.backend} on {choice.device}, because "
                + "; ".join(f"{', '.join(ways)}: {reason}" for reason, ways in failures.items()),
            )
        return payload
    raise StageFailed(
        f"no backend of the stage {room!r} is installed",
        code="backend_unavailable",
        hint="run `whisperx-mlx doctor` to see what is missing",
    )


def _from_candidate(
    job: Job,
    room: str,
    choice: Choice,
    work: Callable[[Any, str], dict],
    serves: Callable[[dict], bool],
    key_parts: dict[str, Any],
) -> dict:
    weights = backends.weights(room, choice, job.options)
    key = job.cache.key(
        job.source.sha256,
        stage=room,
        backend=backends.identity(room, choice, weights),
        options=_answer_options(room, job.options),
        **key_parts,
    )
    payload = None if job.options.force else job.cache.get(room, key)
    cached = payload is not None and serves(payload)
    if payload is None or not cached:
        started = time.perf_counter()
        backend = job.pool.get(room, choice, job.options)
        payload = work(backend, key)
        seconds = time.perf_counter() - started
        payload["report"] = _stage_report(choice, backend, seconds, job.source.duration_s).compact()
        job.cache.put(room, key, payload)
        if payload.get("clear"):
            job.cache.partial(room, key).clear()
    job.stages[room] = StageReport(**payload["report"]).model_copy(update={"cached": cached})
    job.warnings += [Warning_(**warning) for warning in payload.get("warnings", [])]
    job.warnings += backends.substitutions(weights)
    return payload


_LEAVES_THE_ANSWER = {"backend", "device", "batch_size", "threads", "model", "speaker_embeddings"}


def _answer_options(room: str, options: Options) -> dict:
    """The room's options that change its answer; backend, weights and precision are in its identity."""
    return getattr(options, room).model_dump(mode="json", exclude=_LEAVES_THE_ANSWER)


def _stage_report(choice: Choice, backend: Any, seconds: float, duration_s: float) -> StageReport:
    return StageReport(
        backend=choice.backend,
        model=backend.model,
        revision=getattr(backend, "revision", None),
        device=backend.device,
        mode=getattr(backend, "mode", None),
        seconds=round(seconds, 3),
        rtfx=round(duration_s / seconds, 2) if seconds > 0 else None,
    )


def _coded(room: str, choice: Choice, error: Exception) -> TranscriptionError:
    if isinstance(error, TranscriptionError):
        return error
    if isinstance(error, MemoryError) or "out of memory" in str(error).lower():
        return StageFailed(
            f"{room} with {choice.backend} on {choice.device} ran out of memory",
            code="out_of_memory",
            hint="use a smaller model or batch_size, or close other programs",
            retryable=True,
        )
    return StageFailed(
        f"{room} with {choice.backend} on {choice.device} failed: {_reason(error)}",
        hint="run `whisperx-mlx doctor`; another backend may work",
    )


def _reason(error: Exception) -> str:
    """The cause in one line; libraries' messages are cut, for they may quote anything."""
    if isinstance(error, TranscriptionError):
        return error.message
    return f"{type(error).__name__}: {str(error).splitlines()[0][:200] if str(error) else 'no message'}"


def _segments(payload: dict) -> tuple[Segment, ...]:
    return tuple(Segment.model_validate(segment) for segment in payload["segments"])


def _chunk(chunk: dict) -> Chunk:
    return Chunk(
        chunk["start"], chunk["end"], tuple(SpeechRegion(**r) for r in chunk["regions"]), chunk["doubtful"]
    )
