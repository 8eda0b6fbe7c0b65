"""Forced alignment with wav2vec 2.0 or HuBERT CTC models on MLX (:mod:`pipeline.wav2vec2`): Apple GPUs, CUDA, CPUs.

Reads what ``whisperx`` reads and places words the same way: Hugging Face's ``Wav2Vec2ForCTC`` and ``HubertForCTC``
(base, large, XLSR, MMS with its adapters) and torchaudio's bundles by WhisperX's names. Waveforms are normalised as
the checkpoint asks. Cuts go through in padded batches that give what each cut gives alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pickle import UnpicklingError
from typing import TYPE_CHECKING

import numpy as np

from pipeline import mlx_runtime
from pipeline.align._ctc import Vocabulary
from pipeline.align._ctc_aligner import HOP_SAMPLES, MODEL_FORMATS, MODEL_KIND, CtcAligner, damaged, weights
from schemas.errors import InvalidArgument

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
_PRECISIONS = ("float32", "float16")


def load(choice: Choice, options: Options) -> CtcAligner:
    """The language's model on the device. The thread that loads it is the one that runs it.

    Raises what :func:`pipeline.models.find` raises, :class:`schemas.errors.ModelNotFound` (``model_damaged``) for
    files that are no wav2vec2 CTC model, :class:`schemas.errors.BackendUnavailable` for a device that MLX does not
    have, and :class:`InvalidArgument` for a precision other than float32 and float16.
    """
    if choice.compute_type not in _PRECISIONS:
        raise InvalidArgument(
            f"wav2vec2_mlx does not compute in {choice.compute_type}",
            hint=f"use one of {', '.join(_PRECISIONS)}; bfloat16 is too coarse for these models",
        )
    (files,) = weights(choice, options)
    mlx_runtime.use_device(choice.device)
    try:
        checkpoint = _read(files)
        network = _network(checkpoint, choice)
    except (OSError, ValueError, KeyError, TypeError, RuntimeError, UnpicklingError) as error:
        raise damaged(files, error) from error
    floor = _VARIANCE_FLOOR[files.format] if checkpoint.normalise else None
    return CtcAligner(
        _Emitter(network, floor),
        Vocabulary.of(checkpoint.labels, checkpoint.blank),
        files,
        choice.device,
        key=f"wav2vec2_mlx:{VERSION}:{choice.compute_type}",
        batch_s=_BATCH_S[choice.device],
    )


def _read(files: ModelFiles) -> Checkpoint:
    from pipeline.wav2vec2.checkpoint import read_hub, read_torchaudio

    return read_torchaudio(files.path) if files.format == "torchaudio" else read_hub(files.path)


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
