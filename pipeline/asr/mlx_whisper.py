"""Whisper through mlx-whisper (MIT, Apple), one window after the other: the sequential baseline on MLX.

Only its model, its tokenizer and its decoding task are used. What they do wrong is done here: the rules for
timestamps (its own let times fall, and read the logits before masking, which ends in NaN and "!!!!"), the
spectrogram (each window's own maximum, silence at its end), the precision of the weights, the fallback on NaN.
Beam search is not in mlx-whisper.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline import backends, mlx_runtime
from pipeline.asr import ChunkText, Keep
from pipeline.asr._decoding import (
    MOST_TOKENS,
    WINDOW_SAMPLES,
    Decoded,
    transcribe_chunks,
    utterances,
)
from pipeline.asr._language import averaged, spread
from pipeline.asr._languages import LANGUAGES
from pipeline.asr._prompts import checked_language, ignored, numerals, prompt, with_warnings
from pipeline.recording import SAMPLE_RATE, Recording
from pipeline.vad import Chunk
from schemas.errors import InvalidArgument
from schemas.options import AsrOptions, Options

if TYPE_CHECKING:
    from pipeline.plan import Choice

REQUIRES = ("mlx", "mlx_whisper")
DEVICES = ("metal", "cuda", "cpu")
VERSION = 1
MODEL_KIND = "whisper"
MODEL_FORMATS = ("mlx",)

_MAX_INITIAL_TIMESTAMP = 50  # steps of 20 ms
_WITHOUT_EFFECT = (
    *("beam_size", "patience", "length_penalty", "threads"),
    *("batch_size", "multilingual", "condition_on_previous_text"),
)


def load(choice: Choice, options: Options) -> MlxWhisper:
    """The model that ``choice`` names. The thread that loads it is the one that runs it.

    Raises :class:`schemas.errors.ModelNotFound`, :class:`schemas.errors.BackendUnavailable` for a device that
    MLX does not have, :class:`schemas.errors.InvalidArgument` for a precision that mlx-whisper does not have.
    """
    precision = _precision(choice)
    files = backends.weights("asr", choice, options)[0]
    mx = mlx_runtime.import_mlx()
    mlx_runtime.use_device(choice.device)
    from mlx.utils import tree_map
    from mlx_whisper.load_models import load_model

    dtype = getattr(mx, precision)
    whisper = load_model(str(files.path), dtype)
    whisper.update(tree_map(lambda a: _cast(a, dtype), whisper.parameters()))
    mx.eval(whisper.parameters())
    key = f"mlx_whisper:{VERSION}:{files.name}@{files.revision}:{precision}"
    return MlxWhisper(key, files.name, files.revision, choice.device, whisper, dtype, options.asr)


def _precision(choice: Choice) -> str:
    precision = choice.compute_type
    if precision == "auto":
        precision = "float32" if choice.device == "cpu" else "float16"
    if precision not in ("float16", "float32"):
        raise InvalidArgument(
            f"mlx_whisper does not compute in {precision}",
            hint="use compute_type float16 or float32, or a model with quantized weights",
        )
    return precision


def _cast(array: Any, dtype: Any) -> Any:
    import mlx.core as mx

    return array.astype(dtype) if mx.issubdtype(array.dtype, mx.floating) else array


@dataclass(frozen=True)
class MlxWhisper:
    """A loaded model; see :class:`pipeline.asr.Asr`. Bound to its thread."""

    cache_key: str
    model: str
    revision: str | None
    device: str
    whisper: Any = field(repr=False)
    dtype: Any = field(repr=False)
    options: AsrOptions
    thread: mlx_runtime.OwnThread = field(default_factory=mlx_runtime.OwnThread, repr=False)

    def detect_language(self, recording: Recording, chunks: Sequence[Chunk]) -> dict[str, float]:
        """Averaged over up to four chunks, weighted by their length."""
        self.thread.check()
        if not self.whisper.is_multilingual:
            return {"en": 1.0}
        heard = [recording.seconds(c.start, c.end)[:WINDOW_SAMPLES] for c in spread(chunks)]
        rows = [self.whisper.detect_language(self.features(waveform))[1][0] for waveform in heard]
        return averaged(rows, [len(waveform) for waveform in heard])

    def transcribe(
        self,
        recording: Recording,
        chunks: Sequence[tuple[int, Chunk]],
        language: str,
        keep: Keep | None = None,
    ) -> Iterator[ChunkText]:
        """Each chunk's text; see :class:`pipeline.asr.Asr`."""
        self.thread.check()
        decoder = _Decoder(self, language)
        texts = transcribe_chunks(decoder, recording, chunks, self.options, keep)
        lacking = ignored(self.options, _WITHOUT_EFFECT, "mlx_whisper decodes greedily, one window at a time")
        return with_warnings(texts, (*decoder.prompt.warnings, *lacking))

    def features(self, waveform: np.ndarray) -> Any:
        """The encoder's output (1, 1500, d) for a waveform of at most 30 s, padded with silence."""
        import mlx.core as mx
        from mlx_whisper.audio import log_mel_spectrogram

        self.thread.check()
        padded = np.pad(waveform, (0, WINDOW_SAMPLES - len(waveform)))
        log_mel = log_mel_spectrogram(padded, n_mels=self.whisper.dims.n_mels)  # (3000, n_mels)
        features = self.whisper.encoder(log_mel[None].astype(self.dtype))
        mx.eval(features)
        return features


class _Decoder:
    """The model with language, task and prompt set; see :class:`pipeline.asr._decoding.WindowDecoder`."""

    batch_size = 1

    def __init__(self, asr: MlxWhisper, language: str) -> None:
        import mlx.core as mx
        from mlx_whisper.decoding import DecodingOptions
        from mlx_whisper.tokenizer import get_tokenizer

        whisper, options = asr.whisper, asr.options
        known = list(LANGUAGES)[: whisper.num_languages] if whisper.is_multilingual else ["en"]
        code = checked_language(language, known, options)
        self.asr = asr
        self.best_of = options.best_of
        self.tokenizer = get_tokenizer(
            whisper.is_multilingual, num_languages=whisper.num_languages, language=code, task=options.task
        )
        self.prompt = prompt(self.tokenizer.encode, options)
        suppressed = list(options.suppress_tokens)
        if options.suppress_numerals:
            suppressed += numerals(self.tokenizer.decode, self.tokenizer.eot)
        self.options = DecodingOptions(
            task=options.task,
            language=code,
            prompt=list(self.prompt.tokens),
            sample_len=MOST_TOKENS,
            without_timestamps=options.without_timestamps,
            suppress_tokens=suppressed
            or [self.tokenizer.sot],  # an empty list would allow all special tokens
            fp16=asr.dtype == mx.float16,
        )

    def encode(self, waveforms: Sequence[np.ndarray]) -> _Encoded:
        """The encoder's output for each waveform."""
        durations = tuple(len(waveform) / SAMPLE_RATE for waveform in waveforms)
        return _Encoded([self.asr.features(waveform) for waveform in waveforms], durations)

    def decode(self, encoded: _Encoded, rows: Sequence[int], temperature: float, seed: int) -> list[Decoded]:
        """Greedy at temperature 0, else the likeliest of ``best_of`` samples."""
        import mlx.core as mx

        mx.random.seed(seed)
        best_of = self.best_of if temperature > 0 else None
        options = replace(self.options, temperature=temperature, best_of=best_of)
        return [self._row(encoded.features[row], options, encoded.durations[row]) for row in rows]

    def features(self, encoded: _Encoded) -> np.ndarray:
        """See :class:`pipeline.asr._decoding.WindowDecoder`."""
        import mlx.core as mx

        return np.concatenate([np.array(features.astype(mx.float16)) for features in encoded.features])

    def _row(self, features: Any, options: Any, duration: float) -> Decoded:
        from mlx_whisper.decoding import ApplyTimestampRules, DecodingTask

        task = DecodingTask(self.asr.whisper, options)
        rules = TimestampRules.of(self.tokenizer, task.sample_begin)
        task.logit_filters = [
            rules if isinstance(filter_, ApplyTimestampRules) else filter_ for filter_ in task.logit_filters
        ]
        result = task.run(features)[0]
        said = utterances(
            result.tokens,
            eot=self.tokenizer.eot,
            timestamp_begin=self.tokenizer.timestamp_begin,
            room=min(MOST_TOKENS, task.n_ctx - task.sample_begin),
            duration=duration,
            decode=self.tokenizer.decode,
        )
        return Decoded(said, result.avg_logprob, result.no_speech_prob, options.temperature)


@dataclass(frozen=True)
class _Encoded:
    features: list[Any]
    durations: tuple[float, ...]


@dataclass(frozen=True)
class TimestampRules:
    """Which token may follow, as OpenAI's ``ApplyTimestampRules`` (``whisper/decoding.py``, MIT) has it.

    Timestamps come in pairs and never fall, and one is sampled when all of them together are likelier than any
    text; that test reads the logits after masking.
    """

    begin: int  # of the timestamps, <|0.00|>
    eot: int
    no_timestamps: int
    sample_begin: int  # tokens before this one were given

    @classmethod
    def of(cls, tokenizer: Any, sample_begin: int) -> TimestampRules:
        """The rules in a tokenizer's ids."""
        return cls(tokenizer.timestamp_begin, tokenizer.eot, tokenizer.no_timestamps, sample_begin)

    def apply(self, logits: Any, tokens: Any) -> Any:
        """Masked logits (rows, vocabulary), after tokens (rows, length)."""
        import mlx.core as mx

        mask = np.zeros(logits.shape, np.float32)
        mask[:, self.no_timestamps] = -np.inf
        for row, given in zip(mask, tokens.tolist(), strict=True):
            self._forbid(row, given[self.sample_begin :])
        logits = logits + mx.array(mask)
        text, times = logits[:, : self.begin], logits[:, self.begin :]
        timed = mx.logsumexp(times, axis=-1, keepdims=True) > mx.max(text, axis=-1, keepdims=True)
        return mx.concatenate([mx.where(timed, -mx.inf, text), times], axis=-1)

    def _forbid(self, mask: np.ndarray, sampled: list[int]) -> None:
        if not sampled:
            mask[: self.begin] = -np.inf
            mask[self.begin + _MAX_INITIAL_TIMESTAMP + 1 :] = -np.inf
            return
        last = sampled[-1] >= self.begin
        before = len(sampled) < 2 or sampled[-2] >= self.begin
        if last and before:  # a segment was opened: text has to follow
            mask[self.begin :] = -np.inf
        elif last:  # a segment was closed: the next one's start, or the end
            mask[: self.eot] = -np.inf
        times = [token for token in sampled if token >= self.begin]
        if times:  # never back, and no segment of no length
            mask[self.begin : times[-1] + (0 if last and not before else 1)] = -np.inf
