"""pyannote's method with its networks in MLX, without torch: on Apple and NVIDIA GPUs, and on CPUs.

Plaquet and Bredin, "Powerset multi-class cross entropy loss for neural speaker diarization", Interspeech 2023;
Bredin, "pyannote.audio 2.1 speaker diarization pipeline", Interspeech 2023. Mode ``exact`` gives the turns of
pyannote.audio 4 with the same weights; ``fast`` runs the speaker embedding's trunk once over the recording.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.diarize._recipe import weights
from schemas.options import Options

if TYPE_CHECKING:
    from pipeline.diarization_core.core import Networks
    from pipeline.diarize._converted import NetworkWeights
    from pipeline.diarize._core import CoreDiarizer
    from pipeline.plan import Choice

__all__ = ["load", "weights"]

REQUIRES = ("mlx", "scipy", "safetensors")
DEVICES = ("cpu", "cuda", "metal")
VERSION = 3
MODEL_KIND = "diarization"
MODEL_FORMATS = ("pyannote",)

_SEGMENTATION_PER_EMBEDDING = 8  # windows at once; an LSTM takes as many steps whatever the batch
_WINDOW_BYTES = 240 << 20  # of the embedding's trunk, whose layers' outputs CUDA frees late
_MOST_WINDOWS = 128  # more bring nothing


def load(choice: Choice, options: Options) -> CoreDiarizer:
    """The pipeline on ``choice.device``. It belongs to the thread that loads it.

    Raises :class:`BackendUnavailable` for a device that MLX does not have, :class:`ModelNotFound` for weights that
    are missing or cannot be used.
    """
    from pipeline import mlx_runtime
    from pipeline.diarize._core import CoreDiarizer, assemble

    mlx_runtime.use_device(choice.device)
    files = weights(choice, options)
    pipeline = assemble(files, lambda *parts: networks(*parts, choice.device))
    return CoreDiarizer(pipeline, files, choice.device, mlx_runtime.OwnThread().check)


def networks(segmentation: NetworkWeights, embedding: NetworkWeights, device: str) -> Networks:
    """Both networks on MLX's default device, with batches that suit ``device``."""
    from pipeline import mlx_runtime
    from pipeline.diarization_core.core import Networks
    from pipeline.diarization_core.mlx_embedding import MlxCamPlusPlus, MlxResNet34
    from pipeline.diarization_core.mlx_pyannet import PyanNet, convert

    network = MlxCamPlusPlus if embedding.architecture == "CamPlusPlus" else MlxResNet34
    windows = _windows_at_once(device, mlx_runtime.memory_bytes(device))
    batches = windows * _SEGMENTATION_PER_EMBEDDING, windows
    return Networks(PyanNet(convert(segmentation.state)), network(embedding.state), *batches)


def _windows_at_once(device: str, memory_bytes: int) -> int:
    """Windows that the embedding's trunk takes together: a third of a GPU's memory, or what suits the device."""
    if device != "cuda":
        return {"cpu": 4, "metal": 16}[device]
    fit = max(1, memory_bytes // 3 // _WINDOW_BYTES)
    return min(_MOST_WINDOWS, 1 << (fit.bit_length() - 1))
