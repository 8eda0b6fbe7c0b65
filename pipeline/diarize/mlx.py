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
VERSION = 1
MODEL_KIND = "diarization"
MODEL_FORMATS = ("pyannote",)

# An LSTM over a batch takes as many steps whatever the batch; a CPU has no gain from more than its caches hold.
_BATCHES = {"cpu": (32, 4), "metal": (128, 16), "cuda": (256, 32)}
_LARGE_BATCHES = (1024, 128)
_LARGE_BYTES = 20 << 30  # of a GPU that holds these


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
    large = device == "cuda" and mlx_runtime.memory_bytes(device) >= _LARGE_BYTES
    batches = _LARGE_BATCHES if large else _BATCHES[device]
    return Networks(PyanNet(convert(segmentation.state)), network(embedding.state), *batches)
