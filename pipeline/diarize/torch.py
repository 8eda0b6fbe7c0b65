"""pyannote's method with its networks in plain torch: the fastest on a CPU, and without pyannote.audio.

Sources as in :mod:`pipeline.diarize.mlx`, with whose turns these agree. Of pyannote's work mode ``exact`` does a
third, and ``fast`` about a tenth.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.diarize._recipe import weights
from schemas.errors import BackendUnavailable
from schemas.options import Options

if TYPE_CHECKING:
    from pipeline.diarization_core.core import Networks
    from pipeline.diarize._converted import NetworkWeights
    from pipeline.diarize._core import CoreDiarizer
    from pipeline.plan import Choice

__all__ = ["load", "weights"]

REQUIRES = ("torch", "scipy", "safetensors")
DEVICES = ("cpu", "cuda")
VERSION = 3
MODEL_KIND = "diarization"
MODEL_FORMATS = ("pyannote",)

_BATCHES = {"cpu": (32, 4), "cuda": (256, 32)}


def load(choice: Choice, options: Options) -> CoreDiarizer:
    """The pipeline on the CPU or on CUDA.

    Raises :class:`BackendUnavailable` for a device that torch does not see, :class:`ModelNotFound` for weights
    that are missing or cannot be used.
    """
    from pipeline.diarize._core import CoreDiarizer, assemble

    use_device(choice.device)
    files = weights(choice, options)
    pipeline = assemble(files, lambda *parts: networks(*parts, choice.device))
    return CoreDiarizer(pipeline, files, choice.device, lambda: None)


def use_device(device: str) -> None:
    """Readies torch for ``device``, in float32.

    Raises :class:`BackendUnavailable` for a device that torch does not see.
    """
    import torch

    seen = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if not seen.get(device, False):
        raise BackendUnavailable(
            f"torch does not see the device {device!r}",
            hint="use device=cpu, or install torch's build for it",
        )
    if device == "cuda":  # TF32's factors of ten bits change turns; pyannote switches them off, too
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False


def networks(segmentation: NetworkWeights, embedding: NetworkWeights, device: str) -> Networks:
    """Both networks, with batches that suit ``device``."""
    from pipeline.diarization_core.core import Networks
    from pipeline.diarization_core.torch_networks import TorchCamPlusPlus, TorchPyanNet, TorchResNet34

    network = TorchCamPlusPlus if embedding.architecture == "CamPlusPlus" else TorchResNet34
    return Networks(
        TorchPyanNet(segmentation.state, device), network(embedding.state, device), *_BATCHES[device]
    )
