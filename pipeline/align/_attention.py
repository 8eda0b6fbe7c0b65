"""Whisper's cross-attention as times of tokens, by CTranslate2 or by mlx-whisper.

Both compute what OpenAI's ``timing.py`` does (dynamic time warping over the attention of the heads that follow
the speech): the text is read aloud to the decoder, so to say, and where it listens is where the word is.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from pipeline import mlx_runtime
from pipeline.encoder_output import FRAME_S
from schemas.errors import BackendUnavailable

if TYPE_CHECKING:
    from pipeline.models import ModelFiles

WINDOW_SAMPLES = 480_000
LONGEST_TEXT = 440  # tokens; the decoder's context is 448, with the special ones
_FLOATS = ("float32", "float16", "bfloat16")
_SILENCE = slice(200, 400)  # frames
MEDIAN_WIDTH = 3  # frames; OpenAI's 7 smooths over single characters


class Attention(Protocol):
    """A Whisper model that says where it listens."""

    device: str

    def encode(self, waveform: np.ndarray) -> Any:
        """The encoder's output for a window of 480,000 samples."""
        ...

    def encoded(self, features: np.ndarray) -> Any:
        """What :meth:`encode` gives, out of the encoder's output (frames, state) that is there already.

        Some seconds of silence go behind it: between words Whisper looks there, and where there is none, words are
        20 ms further off in the mean.
        """
        ...

    def tokens(self, text: str) -> list[int]:
        """Whisper's tokens of a text, never special ones."""
        ...

    def check_language(self, language: str) -> None:
        """Raises :class:`BackendUnavailable` for a language that the model does not know."""
        ...

    def token_times(
        self, encoded: Any, frames: int, tokens: Sequence[int], language: str
    ) -> tuple[np.ndarray, np.ndarray]:
        """Where each token begins and the last one ends, in frames (tokens + 1,), and probabilities (tokens,).

        ``frames`` of the window hold audio.
        """
        ...


def load(files: ModelFiles, device: str, compute_type: str, threads: int) -> Attention:
    """The model that ``files`` hold, by their format."""
    if files.format == "ctranslate2":
        return _CTranslate2(files.path, device, compute_type, threads)
    return _Mlx(files.path, device, compute_type)


class _CTranslate2:
    def __init__(self, path: Path, device: str, compute_type: str, threads: int) -> None:
        from faster_whisper import WhisperModel

        self._whisper = WhisperModel(
            str(path), device=device, compute_type=compute_type, cpu_threads=threads, local_files_only=True
        )
        self._model = self._whisper.model
        self.device = device

    def encode(self, waveform: np.ndarray) -> np.ndarray:
        from ctranslate2 import StorageView

        features = self._whisper.feature_extractor(waveform)[None, :, : WINDOW_SAMPLES // 160]
        storage = StorageView.from_array(np.ascontiguousarray(features, dtype=np.float32))
        return np.array(self._model.encode(storage, to_cpu=True))  # (1, frames, features)

    def encoded(self, features: np.ndarray) -> np.ndarray:
        return np.concatenate([features.astype(np.float32), self._silence])[None]

    @cached_property
    def _silence(self) -> np.ndarray:
        return self.encode(np.zeros(WINDOW_SAMPLES, np.float32))[0, _SILENCE].astype(np.float32)

    def tokens(self, text: str) -> list[int]:
        return self._whisper.hf_tokenizer.encode(_plain(text), add_special_tokens=False).ids

    def check_language(self, language: str) -> None:
        known = self._whisper.hf_tokenizer.token_to_id(f"<|{language}|>") is not None
        if not (known if self._model.is_multilingual else language == "en"):
            raise _unknown(language)

    def token_times(
        self, encoded: np.ndarray, frames: int, tokens: Sequence[int], language: str
    ) -> tuple[np.ndarray, np.ndarray]:
        from ctranslate2 import StorageView

        (result,) = self._model.align(
            StorageView.from_array(encoded),
            self._start(language),
            [list(tokens)],
            [2 * frames],  # of the spectrogram
            median_filter_width=MEDIAN_WIDTH,
        )
        index, frame = np.array(result.alignments).T
        begins = np.concatenate([[True], np.diff(index) > 0])
        return frame[begins].astype(np.float64), np.array(result.text_token_probs)

    def _start(self, language: str) -> list[int]:
        names = ["<|startoftranscript|>"]
        if self._model.is_multilingual:
            names += [f"<|{language}|>", "<|transcribe|>"]
        return [self._whisper.hf_tokenizer.token_to_id(name) for name in names]


class _Mlx:
    """Belongs to the thread that loads it, as all of MLX does."""

    def __init__(self, path: Path, device: str, compute_type: str) -> None:
        mx = mlx_runtime.import_mlx()
        mlx_runtime.use_device(device)
        from mlx_whisper.load_models import load_model

        self._dtype = getattr(mx, compute_type) if compute_type in _FLOATS and device != "cpu" else mx.float32
        self._model = load_model(str(path), dtype=self._dtype)
        self._thread = mlx_runtime.OwnThread()
        self.device = device

    def encode(self, waveform: np.ndarray) -> Any:
        from mlx_whisper.audio import log_mel_spectrogram

        self._thread.check()
        mel = log_mel_spectrogram(waveform, n_mels=self._model.dims.n_mels)[: WINDOW_SAMPLES // 160]
        encoded = self._model.encoder(mel[None].astype(self._dtype))  # (1, frames, features)
        mlx_runtime.import_mlx().eval(encoded)
        return encoded

    def encoded(self, features: np.ndarray) -> Any:
        mx = mlx_runtime.import_mlx()
        return mx.concatenate([mx.array(features).astype(self._dtype), self._silence])[None]

    @cached_property
    def _silence(self) -> Any:
        return self.encode(np.zeros(WINDOW_SAMPLES, np.float32))[0, _SILENCE]

    def tokens(self, text: str) -> list[int]:
        return self._tokenizer("en").encode(_plain(text))

    def check_language(self, language: str) -> None:
        from mlx_whisper.tokenizer import LANGUAGES

        known = list(LANGUAGES)[: self._model.num_languages] if self._model.is_multilingual else ["en"]
        if language not in known:
            raise _unknown(language)

    def token_times(
        self, encoded: Any, frames: int, tokens: Sequence[int], language: str
    ) -> tuple[np.ndarray, np.ndarray]:
        from mlx_whisper.timing import find_alignment

        found = find_alignment(
            _Encoded(self._model),
            _TokenWise(self._tokenizer(language)),
            list(tokens),
            encoded[0],
            2 * frames,
            medfilt_width=MEDIAN_WIDTH,
        )
        begins = [timing.start for timing in found] + [found[-1].end]
        return np.array(begins) / FRAME_S, np.array([timing.probability for timing in found])

    def _tokenizer(self, language: str) -> Any:
        from mlx_whisper.tokenizer import get_tokenizer

        return get_tokenizer(
            self._model.is_multilingual,
            num_languages=self._model.num_languages,
            language=language,
            task="transcribe",
        )


class _Encoded:
    """A model whose encoder has been run: ``find_alignment`` hands over what it takes for a spectrogram."""

    def __init__(self, model: Any) -> None:
        self._model = model
        self.alignment_heads = model.alignment_heads

    def forward_with_cross_qk(self, encoded: Any, tokens: Any) -> tuple[Any, Any]:
        logits, _, cross_qk = self._model.decoder(tokens, encoded)
        return logits, cross_qk


class _TokenWise:
    """A tokenizer for which every token is a word, so that ``find_alignment`` times tokens."""

    def __init__(self, tokenizer: Any) -> None:
        self.sot_sequence = tokenizer.sot_sequence
        self.no_timestamps = tokenizer.no_timestamps
        self.eot = tokenizer.eot

    def split_to_word_tokens(self, tokens: Sequence[int]) -> tuple[list[str], list[list[int]]]:
        return [""] * len(tokens), [[token] for token in tokens]


def _plain(text: str) -> str:
    """The text, with nothing in it that a tokenizer would take for a special token."""
    return text.replace("<|", "< ")


def _unknown(language: str) -> BackendUnavailable:
    return BackendUnavailable(
        f"this Whisper model does not know the language {language!r}",
        hint="name a multilingual model with `model`, or use align_backend=whisperx",
    )
