"""Whisper through faster-whisper and CTranslate2 (both MIT), on CPU or CUDA.

Batches are our own, through CTranslate2's ``encode`` and ``generate``: faster-whisper's batched pipeline splices
speech without pauses, uses the first temperature only, and never goes back for speech that it skipped. A window's
audio is padded with zeros before the spectrogram, as in Whisper's training; faster-whisper pads the spectrogram.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline import backends
from pipeline.asr import ChunkText, Keep
from pipeline.asr._decoding import (
    MOST_TOKENS,
    SURE_OF_LANGUAGE,
    WINDOW_SAMPLES,
    Decoded,
    transcribe_chunks,
    utterances,
)
from pipeline.asr._language import averaged, spread
from pipeline.asr._prompts import checked_language, ignored, numerals, prompt, with_warnings
from pipeline.machine import usable_cores
from pipeline.recording import Recording
from pipeline.vad import Chunk
from schemas.errors import InvalidArgument
from schemas.options import AsrOptions, Options

if TYPE_CHECKING:
    from pipeline.plan import Choice

REQUIRES = ("faster_whisper", "ctranslate2", "tokenizers")
DEVICES = ("cpu", "cuda")
VERSION = 1
MODEL_KIND = "whisper"
MODEL_FORMATS = ("ctranslate2",)

_BATCH = 8
_MOST_THREADS = 8
_WITHOUT_EFFECT = ("condition_on_previous_text",)
_CONTEXT = 448


def load(choice: Choice, options: Options) -> FasterWhisper:
    """The model that ``choice`` names, on its device and in its precision.

    Raises :class:`schemas.errors.ModelNotFound`, and :class:`schemas.errors.InvalidArgument` for a precision
    that the device does not have.
    """
    files = backends.weights("asr", choice, options)[0]
    import ctranslate2
    from faster_whisper import WhisperModel

    supported = ctranslate2.get_supported_compute_types(choice.device)
    if choice.compute_type != "auto" and choice.compute_type not in supported:
        raise InvalidArgument(
            f"faster_whisper does not compute in {choice.compute_type} on this {choice.device}",
            hint=f"use compute_type {', '.join(sorted(supported & {'float32', 'float16', 'bfloat16', 'int8'}))}",
        )
    whisper = WhisperModel(
        str(files.path),
        device=choice.device,
        compute_type="default" if choice.compute_type == "auto" else choice.compute_type,
        cpu_threads=options.asr.threads or min(_MOST_THREADS, usable_cores()),
        local_files_only=True,
    )
    key = f"faster_whisper:{VERSION}:{files.name}@{files.revision}:{choice.compute_type}"
    return FasterWhisper(key, files.name, files.revision, choice.device, whisper, options.asr)


@dataclass(frozen=True)
class FasterWhisper:
    """A loaded model; see :class:`pipeline.asr.Asr`."""

    cache_key: str
    model: str
    revision: str | None
    device: str
    whisper: Any = field(repr=False)
    options: AsrOptions

    def detect_language(self, recording: Recording, chunks: Sequence[Chunk]) -> dict[str, float]:
        """Averaged over up to four chunks, weighted by their length."""
        if not self.whisper.model.is_multilingual:
            return {"en": 1.0}
        heard = [recording.seconds(c.start, c.end)[:WINDOW_SAMPLES] for c in spread(chunks)]
        encoded = self.whisper.encode(log_mels(self.whisper, heard))
        rows = [
            {token[2:-2]: probability for token, probability in row}
            for row in self.whisper.model.detect_language(encoded)
        ]
        return averaged(rows, [len(waveform) for waveform in heard])

    def transcribe(
        self,
        recording: Recording,
        chunks: Sequence[tuple[int, Chunk]],
        language: str,
        keep: Keep | None = None,
    ) -> Iterator[ChunkText]:
        """Each chunk's text; see :class:`pipeline.asr.Asr`."""
        decoder = _Decoder(self.whisper, self.options, language)
        texts = transcribe_chunks(decoder, recording, chunks, self.options, keep)
        lacking = ignored(self.options, _WITHOUT_EFFECT, "faster_whisper reads every chunk by itself")
        return with_warnings(texts, (*decoder.prompt.warnings, *lacking))


class _Decoder:
    """The model with language, task and prompt set; see :class:`pipeline.asr._decoding.WindowDecoder`."""

    def __init__(self, whisper: Any, options: AsrOptions, language: str) -> None:
        from faster_whisper.tokenizer import Tokenizer

        known = (
            whisper.supported_languages[: whisper.model.num_languages]
            if whisper.model.is_multilingual
            else ["en"]
        )
        code = checked_language(language, known, options)
        self.whisper = whisper
        self.options = options
        self.batch_size = options.batch_size or _BATCH
        self.tokenizer = Tokenizer(
            whisper.hf_tokenizer, whisper.model.is_multilingual, task=options.task, language=code
        )
        self.prompt = prompt(self.tokenizer.encode, options)
        self.language = code
        self.start = whisper.get_prompt(
            self.tokenizer, list(self.prompt.tokens), without_timestamps=options.without_timestamps
        )
        self.suppressed = self._suppressed()

    def _suppressed(self) -> list[int]:
        from faster_whisper.transcribe import get_suppressed_tokens

        suppressed = set(get_suppressed_tokens(self.tokenizer, list(self.options.suppress_tokens)))
        if self.options.suppress_numerals:
            suppressed.update(numerals(self.tokenizer.decode, self.tokenizer.eot))
        return sorted(suppressed)

    def encode(self, waveforms: Sequence[np.ndarray]) -> _Encoded:
        """Spectrograms and the encoder's output for the whole batch."""
        mels = log_mels(self.whisper, waveforms)
        durations = tuple(
            len(waveform) / self.whisper.feature_extractor.sampling_rate for waveform in waveforms
        )
        output = self.whisper.encode(mels)
        return _Encoded(mels, output, durations, self._languages(output, len(durations)))

    def features(self, encoded: _Encoded) -> np.ndarray:
        """See :class:`pipeline.asr._decoding.WindowDecoder`."""
        from ctranslate2 import Device

        return np.array(encoded.output.to_device(Device.cpu))

    def _languages(self, output: Any, rows: int) -> list[str]:
        """Each window's language."""
        if not self.options.multilingual or not self.whisper.model.is_multilingual:
            return [self.language] * rows
        likeliest = (row[0] for row in self.whisper.model.detect_language(output))
        return [token[2:-2] if p >= SURE_OF_LANGUAGE else self.language for token, p in likeliest]

    def _start(self, language: str) -> list[int]:
        """The prompt with a window's language in it."""
        if language == self.language:
            return self.start
        own, other = (self.tokenizer.tokenizer.token_to_id(f"<|{c}|>") for c in (self.language, language))
        return [other if token == own else token for token in self.start]

    def decode(self, encoded: _Encoded, rows: Sequence[int], temperature: float, seed: int) -> list[Decoded]:
        """Beam search at temperature 0, else the likeliest of ``best_of`` samples."""
        import ctranslate2

        ctranslate2.set_random_seed(seed)
        whole = len(rows) == len(encoded.durations)
        features = encoded.output if whole else self.whisper.encode(encoded.mels[list(rows)])
        results = self.whisper.model.generate(
            features,
            [self._start(encoded.languages[row]) for row in rows],
            length_penalty=self.options.length_penalty,
            max_length=_CONTEXT,
            return_scores=True,
            return_no_speech_prob=True,
            suppress_tokens=self.suppressed,
            **self._search(temperature),
        )
        return [
            self._decoded(result, encoded.durations[row], temperature, encoded.languages[row])
            for row, result in zip(rows, results, strict=True)
        ]

    def _search(self, temperature: float) -> dict[str, Any]:
        if temperature > 0:
            return {
                "beam_size": 1,
                "num_hypotheses": self.options.best_of,
                "sampling_topk": 0,
                "sampling_temperature": temperature,
            }
        return {"beam_size": self.options.beam_size, "patience": self.options.patience}

    def _decoded(self, result: Any, duration: float, temperature: float, language: str) -> Decoded:
        tokens = result.sequences_ids[0]
        total = result.scores[0] * len(tokens) ** self.options.length_penalty
        said = utterances(
            tokens,
            eot=self.tokenizer.eot,
            timestamp_begin=self.tokenizer.timestamp_begin,
            room=min(MOST_TOKENS, _CONTEXT - len(self.start)),
            duration=duration,
            decode=self.tokenizer.decode,
        )
        other = None if language == self.language or self.options.task == "translate" else language
        return Decoded(said, total / (len(tokens) + 1), result.no_speech_prob, temperature, other)


@dataclass(frozen=True)
class _Encoded:
    mels: np.ndarray  # (rows, n_mels, frames)
    output: Any
    durations: tuple[float, ...]
    languages: list[str]


def log_mels(whisper: Any, waveforms: Sequence[np.ndarray]) -> np.ndarray:
    """Log-mel spectrograms (rows, n_mels, 3000) of waveforms padded with silence to 30 s."""
    extractor = whisper.feature_extractor
    padded = (np.pad(waveform, (0, WINDOW_SAMPLES - len(waveform))) for waveform in waveforms)
    return np.stack([extractor(waveform, padding=0) for waveform in padded]).astype(np.float32)
