"""Forced alignment with wav2vec 2.0 or HuBERT CTC models on MLX, for Apple GPUs, CUDA and CPUs.

Reads what ``whisperx`` reads and places words the same way: Hugging Face's ``Wav2Vec2ForCTC`` and
``HubertForCTC`` (base, large, XLSR, MMS with its adapters) and torchaudio's bundles by WhisperX's names. The
network is :mod:`pipeline.wav2vec2`. Waveforms are normalised as the checkpoint asks; cuts go through in padded
batches that give what each cut gives alone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pickle import UnpicklingError
from typing import TYPE_CHECKING

import numpy as np

from pipeline import mlx_runtime
from pipeline.align import Cut, WordTime
from pipeline.align._ctc import Vocabulary
from pipeline.align._ctc_aligner import HOP_SAMPLES, MODEL_FORMATS, MODEL_KIND, CtcAligner, damaged, weights
from schemas.errors import BackendUnavailable, FailedToAlign, InvalidArgument

if TYPE_CHECKING:
    from pipeline.models import ModelFiles
    from pipeline.plan import Choice
    from pipeline.wav2vec2.checkpoint import Checkpoint
    from pipeline.wav2vec2.network import Network
    from schemas.options import Options

REQUIRES = ("mlx", "mlx_whisper", "torch", "torchaudio")
DEVICES = ("metal", "cuda", "cpu")
VERSION = 1
__all__ = ["MODEL_FORMATS", "MODEL_KIND", "load", "weights"]

_BATCH_S = {"cpu": 0.0, "metal": 120.0, "cuda": 240.0}  # of padded audio; a CPU gains nothing from batches
_VARIANCE_FLOOR = {"transformers": 1e-7, "torchaudio": 1e-5}
_PRECISIONS = {"cpu": ("float32",), "metal": ("float16", "float32"), "cuda": ("float16", "float32")}


def load(choice: Choice, options: Options) -> CtcAligner | OneAdapterALanguage:
    """The language's model on the device. The thread that loads it is the one that runs it.

    Raises what :func:`pipeline.models.find` raises, :class:`schemas.errors.ModelNotFound` (``model_damaged``) for
    files that are no wav2vec2 CTC model, :class:`schemas.errors.BackendUnavailable` for a device that MLX does not
    have, and :class:`InvalidArgument` for a precision other than float32 and, on a GPU, float16.
    """
    if choice.compute_type not in _PRECISIONS[choice.device]:
        raise InvalidArgument(
            f"wav2vec2_mlx does not compute in {choice.compute_type} on {choice.device}",
            hint=f"use {' or '.join(_PRECISIONS[choice.device])}; bfloat16 is too coarse for these models",
        )
    (files,) = weights(choice, options)
    mlx_runtime.use_device(choice.device)
    aligner, checkpoint = _aligner(files, choice)
    if checkpoint.config.adapter_attn_dim is None:
        return aligner
    return OneAdapterALanguage(aligner, lambda language: _aligner(files, choice, language)[0])


class OneAdapterALanguage:
    """An :class:`pipeline.align.Aligner` over an MMS checkpoint, with the adapter of each cut's language."""

    def __init__(self, english: CtcAligner, load: Callable[[str], CtcAligner]) -> None:
        self._held, self._load = ("en", english), load
        self.model, self.revision, self.device = english.model, english.revision, english.device
        self.cache_key, self.margin_s = english.cache_key, english.margin_s

    def align(self, cuts: Sequence[Cut]) -> list[list[WordTime | None] | FailedToAlign]:
        """Raises :class:`BackendUnavailable` for a language that the checkpoint has no adapter for."""
        results: dict[int, list[WordTime | None] | FailedToAlign] = {}
        for language in sorted({cut.language for cut in cuts}):
            if self._held[0] != language:
                self._held = (language, self._load(language))
            own = [index for index, cut in enumerate(cuts) if cut.language == language]
            results |= zip(own, self._held[1].align([cuts[index] for index in own]), strict=True)
        return [results[index] for index in range(len(cuts))]


def _aligner(files: ModelFiles, choice: Choice, language: str | None = None) -> tuple[CtcAligner, Checkpoint]:
    from pipeline.wav2vec2.checkpoint import NoAdapter

    try:
        checkpoint = _read(files, language)
        network = _network(checkpoint, choice)
    except NoAdapter as error:
        raise BackendUnavailable(
            f"alignment model {files.name!r} does not know the language {language!r}: {error}",
            hint="put the language's adapter file into the model's folder, or name another align_model",
        ) from error
    except (OSError, ValueError, KeyError, TypeError, RuntimeError, UnpicklingError) as error:
        raise damaged(files, error) from error
    floor = _VARIANCE_FLOOR[files.format] if checkpoint.normalise else None
    aligner = CtcAligner(
        _Emitter(network, floor),
        Vocabulary.of(checkpoint.labels, checkpoint.blank),
        files,
        choice.device,
        key=f"wav2vec2_mlx:{VERSION}:{choice.compute_type}",
        batch_s=_BATCH_S[choice.device],
    )
    return aligner, checkpoint


def _read(files: ModelFiles, language: str | None) -> Checkpoint:
    from pipeline.wav2vec2.checkpoint import read_hub, read_torchaudio
    from pipeline.wav2vec2.languages import adapter_code

    if files.format == "torchaudio":
        return read_torchaudio(files.path)
    return read_hub(files.path, adapter_code(language) if language else None)


def _network(checkpoint: Checkpoint, choice: Choice) -> Network:
    from pipeline.wav2vec2.network import Network

    if checkpoint.config.hop_samples != HOP_SAMPLES:
        raise ValueError("its frames are not 20 ms apart")
    mx = mlx_runtime.import_mlx()
    return Network(checkpoint.config, checkpoint.tensors, choice.device, getattr(mx, choice.compute_type))


@dataclass(frozen=True)
class _Emitter:
    """``floor`` is added to the variance of a waveform before it is normalised; none: left as it is."""

    network: Network
    floor: float | None
    thread: mlx_runtime.OwnThread = field(default_factory=mlx_runtime.OwnThread)

    def __call__(self, waveforms: Sequence[np.ndarray]) -> list[np.ndarray]:
        self.thread.check()
        logits = self.network([self._normalised(waveform) for waveform in waveforms])
        mlx_runtime.release()
        return [_log_softmax(row) for row in logits]

    def _normalised(self, waveform: np.ndarray) -> np.ndarray:
        if self.floor is None:
            return waveform
        scale = np.sqrt(waveform.var(dtype=np.float64) + self.floor)
        return ((waveform - waveform.mean(dtype=np.float64)) / scale).astype(np.float32)


def _log_softmax(logits: np.ndarray) -> np.ndarray:
    logits = logits.astype(np.float64)
    logits -= logits.max(axis=-1, keepdims=True)
    return logits - np.log(np.exp(logits).sum(axis=-1, keepdims=True))
