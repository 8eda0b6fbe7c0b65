"""Whisper on MLX in batches, our own engine (:mod:`pipeline.whisper_mlx`), on Apple GPUs, CUDA and CPUs.

A chunk is one window of a batch or several. Windows enter the batch as others finish; text is decoded with
timestamps, and speech that was left out goes back into the batch as a window of its own.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline import backends, mlx_runtime
from pipeline.asr import ChunkText, Keep
from pipeline.asr._context import Stretches
from pipeline.asr._decoding import (
    SURE_OF_LANGUAGE,
    Decoded,
    Schedule,
    frames_of,
    utterances,
)
from pipeline.asr._decoding import Window as Span
from pipeline.asr._language import averaged, spread
from pipeline.asr._prompts import PROMPT_TOKENS, checked_language, prompt, with_warnings
from pipeline.machine import usable_cores
from pipeline.recording import SAMPLE_RATE, Recording
from pipeline.vad import Chunk
from schemas.errors import InvalidArgument
from schemas.options import AsrOptions, Options

if TYPE_CHECKING:
    import numpy as np

    from pipeline.models import ModelFiles
    from pipeline.plan import Choice
    from pipeline.whisper_mlx.engine import Engine
    from pipeline.whisper_mlx.model import Model
    from pipeline.whisper_mlx.windows import Task, Window, WindowText

REQUIRES = ("mlx", "mlx_whisper", "threadpoolctl")
DEVICES = ("metal", "cuda", "cpu")
VERSION = 1
MODEL_KIND = "whisper"
MODEL_FORMATS = ("mlx", "transformers")

_QUANTIZED_BITS = {"int8": 8, "int4": 4}
_MOST_LANES = 8
_ENCODED_AT_ONCE = 8  # windows, on a GPU
_BATCH = {"cpu": 16, "metal": 32, "cuda": 32}  # where memory allows; beyond that a step costs what it brings


def load(choice: Choice, options: Options) -> MlxWhisperBatched:
    """The model that ``choice`` names. The thread that loads it is the one that runs it.

    Raises :class:`schemas.errors.ModelNotFound`, :class:`schemas.errors.BackendUnavailable` for a device that
    MLX does not have, :class:`InvalidArgument` for an unknown precision.
    """
    precision = _precision(choice)
    files = backends.weights("asr", choice, options)[0]
    mlx_runtime.use_device(choice.device)
    from pipeline.whisper_mlx.memory import bound_cache
    from pipeline.whisper_mlx.model import Model

    bound_cache(choice.device)

    folder = _folder(files, choice.compute_type)
    model = Model.load(folder, choice.device, precision)
    key = f"mlx:{VERSION}:{files.name}@{files.revision}:{choice.compute_type}:{precision}"
    return MlxWhisperBatched(key, files.name, files.revision, choice.device, model, options.asr)


def _precision(choice: Choice) -> str:
    """Of activations: weights of int8 and int4 are unpacked as they are used."""
    if choice.compute_type in ("float32", "float16", "bfloat16"):
        return choice.compute_type
    if choice.compute_type in ("auto", *_QUANTIZED_BITS):
        return "float32" if choice.device == "cpu" else "float16"
    raise InvalidArgument(
        f"the mlx backend does not compute in {choice.compute_type}",
        hint="use compute_type float32, float16, bfloat16, int8 or auto",
    )


def _folder(files: ModelFiles, compute_type: str) -> Path:
    """The model's folder; of a quantized copy, made on first use, where that was asked for."""
    bits = _QUANTIZED_BITS.get(compute_type)
    if bits is None:
        return files.path
    from pipeline import models
    from pipeline.whisper_mlx.config import Quantization, read_config
    from pipeline.whisper_mlx.weights import save_quantized

    config = read_config(files.path)
    if config.quantization is not None:
        return files.path
    name = f"{files.name.replace('/', '--')}-{files.revision or 'local'}-q{bits}"
    target = models.cache_root() / "quantized" / name
    if not target.is_dir():
        save_quantized(files.path, target, config, Quantization(bits))
    return target


@dataclass(frozen=True)
class MlxWhisperBatched:
    """A loaded model; see :class:`pipeline.asr.Asr`. Bound to its thread."""

    cache_key: str
    model: str
    revision: str | None
    device: str
    whisper: Model = field(repr=False)
    options: AsrOptions
    thread: mlx_runtime.OwnThread = field(default_factory=mlx_runtime.OwnThread, repr=False)

    def detect_language(self, recording: Recording, chunks: Sequence[Chunk]) -> dict[str, float]:
        """Averaged over up to four chunks, weighted by their length."""
        self.thread.check()
        if not self.whisper.dims.is_multilingual:
            return {"en": 1.0}
        heard = spread(chunks)
        with _blas_threads(self._threads() if self.device == "cpu" else None):
            found = self._engine(1).languages([self._log_mel(recording, chunk) for chunk in heard])
        return averaged(found, [min(chunk.end - chunk.start, 30.0) for chunk in heard])

    def transcribe(
        self,
        recording: Recording,
        chunks: Sequence[tuple[int, Chunk]],
        language: str,
        keep: Keep | None = None,
    ) -> Iterator[ChunkText]:
        """Each chunk's text; see :class:`pipeline.asr.Asr`."""
        self.thread.check()
        lanes = min(self._threads(), max(1, len(chunks))) if self.device == "cpu" else 1
        engine = self._engine(lanes)
        said_before = prompt(engine.tokens.tokenizer.encode, self.options)
        task = replace(self._task(engine, language, said_before.tokens), keep_features=keep is not None)
        texts = self._texts(engine, task, _Windows(self, recording, chunks, engine, task, keep))
        return with_warnings(texts, said_before.warnings)

    def _texts(self, engine: Engine, task: Task, windows: _Windows) -> Iterator[ChunkText]:
        blas = None if self.device != "cpu" else 1 if engine.lanes > 1 else self._threads()
        try:
            with _blas_threads(blas):
                for said in engine.run(windows, task):
                    yield from windows.put(said)
        finally:
            mlx_runtime.release()

    def _task(self, engine: Engine, language: str, before: tuple[int, ...]) -> Task:
        from pipeline.asr._decoding import Fallback
        from pipeline.whisper_mlx.windows import Task

        asked = self.options
        code = checked_language(language, engine.tokens.languages, asked)
        return Task(
            language=code,
            fallback=Fallback.of(asked),
            sure_of_language=SURE_OF_LANGUAGE if asked.multilingual else None,
            in_order=asked.condition_on_previous_text,
            task=asked.task,
            timestamps=not asked.without_timestamps,
            beam_size=asked.beam_size,
            best_of=asked.best_of,
            patience=asked.patience,
            length_penalty=asked.length_penalty,
            suppressed=tuple(engine.tokens.suppressed(asked.suppress_tokens, asked.suppress_numerals)),
            before=before,
        )

    def _engine(self, lanes: int) -> Engine:
        from pipeline.whisper_mlx.engine import Engine
        from pipeline.whisper_mlx.memory import slots_that_fit

        width = max(self.options.beam_size, self.options.best_of)
        fitting = slots_that_fit(self.whisper, self.device, width)
        slots = min(self.options.batch_size or _BATCH[self.device], fitting)
        at_once = 1 if self.device == "cpu" else min(slots, _ENCODED_AT_ONCE)
        return Engine(self.whisper, slots, min(lanes, slots), at_once)

    def _threads(self) -> int:
        return self.options.threads or min(_MOST_LANES, usable_cores())

    def _log_mel(self, recording: Recording, span: Chunk) -> Any:
        from pipeline.whisper_mlx.log_mel import window_log_mel

        start, end = round(span.start * SAMPLE_RATE), round(span.end * SAMPLE_RATE)
        return window_log_mel(recording, start, end, self.whisper.dims.n_mels)


class _Windows:
    """The schedule's windows for the engine, which several threads may take at a time."""

    def __init__(
        self,
        asr: MlxWhisperBatched,
        recording: Recording,
        chunks: Sequence[tuple[int, Chunk]],
        engine: Engine,
        task: Task,
        keep: Keep | None = None,
    ) -> None:
        self.asr = asr
        self.keep = keep
        self.recording = recording
        self.tokens = engine.tokens
        self.task = task
        self.room = PROMPT_TOKENS - len(task.before)
        self.schedule = (
            Stretches(recording, chunks, asr.options, engine.slots)
            if task.in_order
            else Schedule(recording, chunks, asr.options)
        )
        self.lock = threading.Lock()
        self.keys = count()
        self.spans: dict[int, Span] = {}

    def take(self, count: int) -> list[Window]:
        """See :class:`pipeline.whisper_mlx.windows.WindowSource`."""
        with self.lock:
            return [self._window(span) for span in self.schedule.take(count)]

    def put(self, said: WindowText) -> list[ChunkText]:
        """The chunk that a window completes, if it does."""
        with self.lock:
            span = self.spans.pop(said.key)
            return self.schedule.put(span, self._decoded(said, span.span.end - span.span.start))

    def heard(self, key: int, tokens: Sequence[int]) -> None:
        """See :class:`pipeline.whisper_mlx.windows.WindowSource`."""
        with self.lock:
            self.schedule.heard(self.spans[key], [t for t in tokens if t < self.tokens.eot])

    def encoded(self, key: int, features: np.ndarray) -> None:
        """See :class:`pipeline.whisper_mlx.windows.WindowSource`."""
        with self.lock:
            span = self.spans[key].span
        if self.keep is not None:
            self.keep(span.start, features[: frames_of(span)])

    def _window(self, span: Span) -> Window:
        from pipeline.whisper_mlx.windows import Window

        key = next(self.keys)
        self.spans[key] = span
        before = self.tokens.encode(span.after) if span.after else self.schedule.before(span)
        before = tuple(before)[-self.room :] if self.room > 0 else ()
        return Window(key, lambda: self.asr._log_mel(self.recording, span.span), before)

    def _decoded(self, said: WindowText, duration: float) -> Decoded:
        parts = utterances(
            said.tokens,
            eot=self.tokens.eot,
            timestamp_begin=self.tokens.timestamp_begin,
            duration=duration,
            decode=self.tokens.decode,
        )
        other = (
            None if said.language == self.task.language or self.task.task == "translate" else said.language
        )
        return Decoded(parts, said.avg_logprob, said.no_speech_prob, said.temperature, other)


@contextmanager
def _blas_threads(limit: int | None) -> Iterator[None]:
    """MLX's products on the CPU use so many threads in here; none leaves them as they are."""
    if limit is None:
        yield
        return
    from threadpoolctl import threadpool_limits

    with threadpool_limits(limit, user_api="blas"):
        yield
