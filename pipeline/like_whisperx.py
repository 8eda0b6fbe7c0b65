"""WhisperX's Python API over this pipeline: a program written for WhisperX runs with its imports changed.

    import pipeline.like_whisperx as whisperx
    from pipeline.like_whisperx import DiarizationPipeline

    model = whisperx.load_model("large-v2", "cpu", compute_type="int8")
    audio = whisperx.load_audio("audio.mp3")
    result = model.transcribe(audio, batch_size=16)
    model_a, metadata = whisperx.load_align_model(language_code=result["language"], device="cpu")
    result = whisperx.align(result["segments"], model_a, metadata, audio, "cpu")
    result = whisperx.assign_word_speakers(DiarizationPipeline(device="cpu")(audio), result)

Signatures and dictionaries are those of WhisperX 3.8.6 (``asr.py``, ``alignment.py``, ``diarize.py``). Models are
named as everywhere here (:mod:`pipeline.models`), MLX and CTranslate2 weights alike, and a named model may be
downloaded unless ``local_files_only`` says otherwise. Differences: the segments of ``transcribe`` are phrases with
Whisper's own times, not whole chunks; ``align`` clips to the recording; words get their speakers as everywhere
here (largest overlap, none left without), and segments are split where the speaker changes. Errors are those of
:mod:`schemas.errors`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from os import PathLike
from typing import TYPE_CHECKING, Any

import numpy as np

from schemas.diarization import Diarization, SpeakerTurn
from schemas.jobs import Operation
from schemas.options import Options
from schemas.transcript import Transcript
from schemas.whisperx import from_whisperx, to_whisperx

if TYPE_CHECKING:
    import pandas

    from pipeline.pool import ModelPool

__all__ = [
    "DiarizationPipeline",
    "align",
    "assign_word_speakers",
    "load_align_model",
    "load_audio",
    "load_model",
]

Percent = Callable[[float], None]

# Options of faster-whisper that WhisperX takes in `asr_options`, by the names they have here.
_ASR_OPTIONS = {
    "beam_size": "beam_size",
    "best_of": "best_of",
    "compression_ratio_threshold": "compression_ratio_threshold",
    "condition_on_previous_text": "condition_on_previous_text",
    "hotwords": "vocabulary",
    "initial_prompt": "initial_prompt",
    "length_penalty": "length_penalty",
    "log_prob_threshold": "logprob_threshold",
    "no_speech_threshold": "no_speech_threshold",
    "patience": "patience",
    "suppress_numerals": "suppress_numerals",
    "suppress_tokens": "suppress_tokens",
}


def load_audio(file: str | PathLike[str], sr: int = 16_000) -> np.ndarray:
    """The recording's samples (samples,), float32, mono at 16 kHz. No ffmpeg is needed.

    Raises :class:`schemas.errors.MediaError` and :class:`schemas.errors.InvalidArgument` for another ``sr``.
    """
    from pipeline.audio import load_waveform
    from schemas.errors import InvalidArgument

    if sr != 16_000:
        raise InvalidArgument(f"sr={sr}: Whisper hears 16,000 samples a second", hint="leave `sr` out")
    return load_waveform(file)


def load_model(
    whisper_arch: str,
    device: str = "auto",
    device_index: int = 0,
    compute_type: str = "default",
    asr_options: Mapping[str, Any] | None = None,
    language: str | None = None,
    vad_model: None = None,
    vad_method: str | None = None,
    vad_options: Mapping[str, Any] | None = None,
    model: None = None,
    task: str = "transcribe",
    download_root: str | None = None,
    local_files_only: bool = False,
    threads: int = 0,
    use_auth_token: str | None = None,
    *,
    backend: str = "auto",
) -> Model:
    """A Whisper with WhisperX's ``transcribe``; its weights are loaded here and kept.

    ``backend`` is one of the speech-to-text backends, ``mlx`` for this project's own. ``asr_options`` and
    ``vad_options`` take WhisperX's names. Raises :class:`schemas.errors.InvalidArgument` for an option that
    nobody here knows and for ``vad_model`` and ``model`` (objects of WhisperX's own), and what loading raises.
    ``device_index`` is not used, which is a Python warning where it is not 0.
    """
    import os
    from warnings import warn

    from schemas.errors import InvalidArgument

    for name, given in (("vad_model", vad_model), ("model", model)):
        if given is not None:
            raise InvalidArgument(
                f"{name}: objects of another library cannot be used here",
                hint="name a backend or a model: `vad_method`, `backend`, `whisper_arch`",
            )

    if device_index != 0:
        warn("device_index is not used: set CUDA_VISIBLE_DEVICES", stacklevel=2)
    if use_auth_token:
        os.environ["HF_TOKEN"] = str(use_auth_token)
    options: dict[str, Any] = {
        "model": whisper_arch,
        "backend": backend.replace("-", "_"),
        "device": device,
        "compute_type": "auto" if compute_type == "default" else compute_type,
        "language": language,
        "task": task,
        "threads": threads,
        "model_dir": download_root,
        "allow_download": not local_files_only,
        **_asr_options(asr_options or {}),
        **(vad_options or {}),
    }
    if vad_method is not None:
        options["vad_method"] = vad_method
    return Model(options)


class Model:
    """What :func:`load_model` returns. One thread at a time; models belong to the thread that made it."""

    def __init__(self, options: dict[str, Any]) -> None:
        self._options, self._pool = options, _pool()
        _load_first("asr", self._pool, Options.from_flat(**options))

    def transcribe(
        self,
        audio: str | PathLike[str] | np.ndarray,
        batch_size: int | None = None,
        num_workers: int = 0,
        language: str | None = None,
        task: str | None = None,
        chunk_size: float = 30,
        print_progress: bool = False,
        combined_progress: bool = False,
        verbose: bool = False,
        progress_callback: Percent | None = None,
    ) -> dict[str, Any]:
        """``{"segments": [{"start", "end", "text", "avg_logprob"}], "language"}``; words have no times yet.

        ``progress_callback`` takes a percentage. ``num_workers`` is accepted and not used.
        """
        asked = {
            "batch_size": batch_size,
            "language": language,
            "task": task,
            "chunk_size": float(chunk_size),
        }
        options = self._options | {name: value for name, value in asked.items() if value is not None}
        tell = _percent(progress_callback, print_progress, 0.5 if combined_progress else 1.0)
        found = _run("transcribe", audio, {**options, "no_align": True}, self._pool, tell)
        result = to_whisperx(found)
        if verbose:
            for segment in result["segments"]:
                print(f"Transcript: [{segment['start']} --> {segment['end']}] {segment['text']}")
        return result


def load_align_model(
    language_code: str,
    device: str = "auto",
    model_name: str | None = None,
    model_dir: str | None = None,
    model_cache_only: bool = False,
    *,
    backend: str = "auto",
) -> tuple[AlignModel, dict[str, Any]]:
    """An aligner and its metadata, for :func:`align`. ``model_name`` asks for a wav2vec2 model."""
    options = {
        "language": language_code,
        "device": device,
        "align_model": model_name,
        "align_backend": backend.replace("-", "_"),
        "model_dir": model_dir,
        "allow_download": bool(model_name) and not model_cache_only,
    }
    return AlignModel(options), {"language": language_code, "type": backend}


class AlignModel:
    """Options and a pool of loaded models; the first use loads what the language needs."""

    def __init__(self, options: dict[str, Any]) -> None:
        Options.from_flat(**options)
        self.options, self.pool = options, _pool()


def align(
    transcript: Sequence[Mapping[str, Any]] | Mapping[str, Any],
    model: AlignModel,
    align_model_metadata: Mapping[str, Any],
    audio: str | PathLike[str] | np.ndarray,
    device: str = "auto",
    interpolate_method: str = "nearest",
    return_char_alignments: bool = False,
    print_progress: bool = False,
    combined_progress: bool = False,
    progress_callback: Percent | None = None,
    *,
    return_phone_alignments: bool = False,
) -> dict[str, Any]:
    """``{"segments": [… "words"], "word_segments"}``: the segments as sentences with words on the clock.

    ``return_phone_alignments`` gives the segments' words ``phones``, which WhisperX does not have.
    Raises :class:`schemas.errors.InvalidTranscript` for segments that cannot be read.
    """
    options = model.options | {
        "language": align_model_metadata["language"],
        "interpolate_method": interpolate_method,
        "return_char_alignments": return_char_alignments,
        "return_phone_alignments": return_phone_alignments,
    }
    tell = _percent(progress_callback, print_progress, 0.5 if combined_progress else 1.0)
    found = _run("align", audio, options, model.pool, tell, from_whisperx(transcript))
    return {"word_segments": [], **to_whisperx(found)}


class DiarizationPipeline:
    """WhisperX's class of that name; a call returns its table of turns."""

    def __init__(
        self,
        model_name: str | None = None,
        token: str | None = None,
        device: str = "auto",
        cache_dir: str | None = None,
        *,
        backend: str = "auto",
    ) -> None:
        import os

        if token:
            os.environ["HF_TOKEN"] = token
        self._options = {
            "diarize_model": model_name,
            "diarize_backend": backend.replace("-", "_"),
            "device": str(device),
            "model_dir": cache_dir,
            "allow_download": bool(model_name),
        }
        Options.from_flat(**self._options)
        self._pool = _pool()

    def __call__(
        self,
        audio: str | PathLike[str] | np.ndarray,
        num_speakers: int | None = None,
        min_speakers: int | None = None,
        max_speakers: int | None = None,
        return_embeddings: bool = False,
        progress_callback: Percent | None = None,
    ) -> pandas.DataFrame | tuple[pandas.DataFrame, dict[str, list[float]] | None]:
        """The turns as a table with ``segment``, ``label``, ``speaker``, ``start``, ``end``; with
        ``return_embeddings`` also a vector per speaker, where the backend gives one."""
        counts = {
            "num_speakers": num_speakers,
            "min_speakers": min_speakers,
            "max_speakers": max_speakers,
        }
        tell = _percent(progress_callback, False, 1.0)
        found = _run("diarize", audio, self._options | counts, self._pool, tell)
        table = _table(found)
        if not return_embeddings:
            return table
        vectors = found.speaker_embeddings
        return table, None if vectors is None else {name: list(vector) for name, vector in vectors.items()}


def assign_word_speakers(
    diarize_df: pandas.DataFrame,
    transcript_result: Mapping[str, Any],
    speaker_embeddings: Mapping[str, Sequence[float]] | None = None,
    fill_nearest: bool = False,
) -> dict[str, Any]:
    """The result with a ``speaker`` at words and segments. ``fill_nearest`` is accepted: it is always done."""
    from pipeline import speakers

    turns = tuple(
        SpeakerTurn(start=float(row.start), end=float(row.end), speaker=str(row.speaker))
        for row in diarize_df.itertuples()
    )
    given = from_whisperx(transcript_result)
    assigned = speakers.assign(given.segments, Diarization(turns=turns))
    result = {"word_segments": [], **to_whisperx(given.model_copy(update={"segments": assigned}))}
    if speaker_embeddings is not None:
        result["speaker_embeddings"] = {name: list(vector) for name, vector in speaker_embeddings.items()}
    return result


def _asr_options(given: Mapping[str, Any]) -> dict[str, Any]:
    from schemas.errors import InvalidArgument

    options: dict[str, Any] = {}
    for name, value in given.items():
        if name == "temperatures":
            options["temperature"] = float(value[0])
        elif name not in _ASR_OPTIONS:
            raise InvalidArgument(
                f"asr_options: there is no option {name!r}", hint=f"known: {', '.join(_ASR_OPTIONS)}"
            )
        elif name == "hotwords":
            options["vocabulary"] = tuple(term.strip() for term in (value or "").split(",") if term.strip())
        else:
            options[_ASR_OPTIONS[name]] = tuple(value) if isinstance(value, list) else value
    return options


def _pool() -> ModelPool:
    from pipeline.pool import ModelPool

    return ModelPool()


def _load_first(room: str, pool: ModelPool, options: Options) -> None:
    """Loads the best candidate that can be loaded; raises what the last one raised."""
    from pipeline.machine import probe
    from pipeline.plan import plan
    from schemas.errors import TranscriptionError

    candidates = getattr(plan(probe(), options), room)
    for number, choice in enumerate(candidates):
        try:
            pool.get(room, choice, options)
            return
        except TranscriptionError:
            if number == len(candidates) - 1:
                raise


def _run(
    operation: Operation,
    audio: str | PathLike[str] | np.ndarray,
    options: dict[str, Any],
    pool: ModelPool,
    tell: Percent,
    transcript: Transcript | None = None,
) -> Transcript:
    from pipeline.run import run_on

    def report(_stage: str, fraction: float, _text: str | None) -> None:
        tell(fraction)

    return run_on(audio, operation, options, pool=pool, report=report, transcript=transcript)


def _percent(callback: Percent | None, print_progress: bool, share: float) -> Percent:
    """A callable that takes a fraction, tells the percentage, and prints it where that was asked for."""

    def tell(fraction: float) -> None:
        if print_progress:
            print(f"Progress: {100 * share * fraction:.2f}%...")
        if callback is not None:
            callback(100 * fraction)

    return tell


def _table(found: Transcript) -> pandas.DataFrame:
    import pandas
    from pyannote.core import Segment

    rows = [
        (Segment(turn.start, turn.end), _letters(number), turn.speaker, turn.start, turn.end)
        for number, turn in enumerate(found.turns)
    ]
    return pandas.DataFrame(rows, columns=["segment", "label", "speaker", "start", "end"])


def _letters(number: int) -> str:
    """``A`` to ``Z``, then ``AA``: the names that pyannote gives to tracks."""
    name = ""
    number += 1
    while number:
        number, rest = divmod(number - 1, 26)
        name = chr(ord("A") + rest) + name
    return name
