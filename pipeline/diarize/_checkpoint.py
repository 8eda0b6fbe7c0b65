"""Weights from disk into networks, without running code that a pickle brings along.

pyannote's own ``Model.from_pretrained`` unpickles whatever the file names. Here the file may name only the
harmless classes that its checkpoints hold, and the network must be one of pyannote's.
"""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module
from inspect import signature
from pathlib import Path
from typing import Any

from schemas.errors import ModelNotFound

WEIGHTS_FILE = "pytorch_model.bin"  # as pyannote's repositories name it
NETWORKS = {
    "pyannote.audio.models.segmentation": ("PyanNet",),
    "pyannote.audio.models.embedding": (
        "WeSpeakerResNet34",
        "WeSpeakerResNet152",
        "WeSpeakerResNet221",
        "WeSpeakerResNet293",
    ),
}
HARMLESS = (
    "collections.defaultdict",
    "omegaconf.base.ContainerMetadata",
    "omegaconf.base.Metadata",
    "omegaconf.dictconfig.DictConfig",
    "omegaconf.listconfig.ListConfig",
    "omegaconf.nodes.AnyNode",
    "pyannote.audio.core.model.Introspection",
    "pyannote.audio.core.task.Problem",
    "pyannote.audio.core.task.Resolution",
    "pyannote.audio.core.task.Specifications",
    "pytorch_lightning.callbacks.early_stopping.EarlyStopping",
    "pytorch_lightning.callbacks.model_checkpoint.ModelCheckpoint",
    "torch.torch_version.TorchVersion",
)


def load_network(path: Path) -> Any:
    """A segmentation or embedding network in evaluation mode, on the CPU, from a checkpoint.

    ``path`` is the file or the folder that holds it: one of pyannote.audio's models, or CAM++ (a state
    dictionary of 3D-Speaker's). Raises :class:`ModelNotFound` (``model_damaged``) for anything else.
    """
    file = path / WEIGHTS_FILE if path.is_dir() else path
    checkpoint = _unpickle(file)
    try:
        network = _pyannote(checkpoint) if "pyannote.audio" in checkpoint else _campplus(checkpoint)
    except (KeyError, RuntimeError, TypeError, ValueError) as error:
        raise _damaged(file, f"{type(error).__name__} while building the network") from error
    return network.eval().requires_grad_(False)


def _unpickle(file: Path) -> dict[str, Any]:
    import pickle

    import torch

    if not file.is_file():
        raise _damaged(file, "the file is missing")
    try:
        with torch.serialization.safe_globals(list(_harmless())):
            checkpoint = torch.load(file, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise _damaged(file, "it holds more than weights, and loading that could run code") from error
    except (EOFError, OSError, RuntimeError) as error:
        raise _damaged(file, "it is not a torch checkpoint, or it breaks off") from error
    if not isinstance(checkpoint, dict):
        raise _damaged(file, "it does not hold a dictionary")
    return checkpoint


def _harmless() -> Iterator[Any]:
    """The classes of :data:`HARMLESS` that are installed, and the types that hold plain values."""
    from typing import Any as AnyType

    yield from (AnyType, dict, int, list)
    for name in HARMLESS:
        module, _, attribute = name.rpartition(".")
        try:
            yield getattr(import_module(module), attribute)
        except (ImportError, AttributeError):
            continue


def _pyannote(checkpoint: dict[str, Any]) -> Any:
    """As ``Model.from_pretrained`` builds it, less the version notices and the telemetry."""
    made_by = checkpoint["pyannote.audio"]["architecture"]
    module, name = _known(made_by["module"], made_by["class"])
    network_class = getattr(import_module(module), name)
    accepted = signature(network_class.__init__).parameters
    given = checkpoint.get("hyper_parameters", {})
    network = network_class(**{key: value for key, value in given.items() if key in accepted})
    network.on_load_checkpoint(checkpoint)
    missing, _unexpected = network.load_state_dict(checkpoint["state_dict"], strict=False)
    if missing:  # what is unexpected belongs to the training loss
        raise ValueError(f"{len(missing)} weights are missing")
    return network


def _known(module: str, name: str) -> tuple[str, str]:
    for package, names in NETWORKS.items():
        if name in names and (module == package or module.startswith(f"{package}.")):
            return package, name
    raise ValueError(f"{module}.{name} is not a network for diarization")


def _campplus(state: dict[str, Any]) -> Any:
    from pipeline.diarization_core.torch_campplus import CamPlusPlus

    network = CamPlusPlus()
    network.load_state_dict(state)
    return network


def _damaged(file: Path, why: str) -> ModelNotFound:
    return ModelNotFound(
        f"the weights in {file} cannot be used: {why}",
        code="model_damaged",
        hint="remove the file and fetch the model again: whisperx-mlx models pull",
    )
