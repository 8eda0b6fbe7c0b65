"""The weights of the diarization networks as plain arrays, made from their checkpoints once and kept.

Torch is not needed for it, and nothing in a checkpoint is run (see :mod:`pipeline.diarize._torch_file`).
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from schemas.errors import ModelNotFound

if TYPE_CHECKING:
    from pipeline.model_files import ModelFiles

Architecture = Literal["PyanNet", "WeSpeakerResNet34", "CamPlusPlus"]

WEIGHTS_FILE = "pytorch_model.bin"  # as pyannote's repositories name it
_CONVERSION = 1  # goes up when the conversion's result changes, so that older ones are not used again
_ARRAYS_FILE = "weights.safetensors"

# Shapes that make a network the one that our code computes; others of the same class exist.
_SHAPES: dict[str, dict[str, tuple[int, ...]]] = {
    "PyanNet": {
        "sincnet.conv1d.0.filterbank.low_hz_": (40, 1),
        "lstm.weight_hh_l3_reverse": (512, 128),
        "linear.1.weight": (128, 128),
        "classifier.weight": (7, 128),
    },
    "WeSpeakerResNet34": {"conv1.weight": (32, 1, 3, 3), "layer3.5.conv2.weight": (128, 128, 3, 3)}
    | {"seg_1.weight": (256, 5120)},
    "CamPlusPlus": {"head.conv1.weight": (32, 1, 3, 3), "xvector.dense.linear.weight": (192, 1024, 1)},
}


@dataclass(frozen=True)
class NetworkWeights:
    """Arrays by the names of the checkpoint, float32 but for counters."""

    architecture: str
    state: Mapping[str, np.ndarray]


def network_weights(files: ModelFiles) -> NetworkWeights:
    """The network in a checkpoint of pyannote.audio's or (CAM++) of 3D-Speaker's.

    Raises :class:`ModelNotFound` (``model_damaged``) for a file that cannot be read, and for networks of other
    kinds or sizes, which only the backend ``pyannote`` can run.
    """
    from pipeline.model_files import locked, slug
    from pipeline.model_places import cache_root

    name = f"{slug(files.name)}~{slug(str(files.revision))}~{_CONVERSION}"
    folder = cache_root() / "converted" / name
    with locked(cache_root(), f"converted-{name}"):
        if not _whole(folder):
            _make(files, folder)
    return _loaded(folder / _ARRAYS_FILE)


def _whole(folder: Path) -> bool:
    from pipeline.model_files import read_manifest

    try:
        return read_manifest(folder) is not None
    except ModelNotFound:  # damaged: it can be made again
        return False


def _make(files: ModelFiles, folder: Path) -> None:
    from safetensors.numpy import save_file

    from pipeline.model_files import private_folder, sha256_of, write_manifest

    file = files.path / WEIGHTS_FILE if files.path.is_dir() else files.path
    found = read_checkpoint(file)
    staging = folder.with_name(f"{folder.name}.partial")
    shutil.rmtree(staging, ignore_errors=True)
    private_folder(staging)
    arrays = {name: np.ascontiguousarray(array) for name, array in found.state.items()}
    save_file(arrays, staging / _ARRAYS_FILE, {"architecture": found.architecture})
    checksums = {_ARRAYS_FILE: sha256_of(staging / _ARRAYS_FILE)}
    write_manifest(staging, checksums, format="arrays", revision=files.revision, name=files.name)
    shutil.rmtree(folder, ignore_errors=True)
    staging.rename(folder)


def _loaded(file: Path) -> NetworkWeights:
    from safetensors import safe_open

    with safe_open(file, framework="numpy") as arrays:
        state = {name: arrays.get_tensor(name) for name in arrays.keys()}  # noqa: SIM118 - it has no __iter__
        return NetworkWeights(arrays.metadata()["architecture"], state)


def read_checkpoint(file: Path) -> NetworkWeights:
    """As :func:`network_weights`, without the cache."""
    from pipeline.diarize import _torch_file

    try:
        checkpoint = _torch_file.read(file)
        architecture, state = _named(checkpoint)
    except (OSError, ValueError) as error:
        raise _damaged(file, str(error)) from error
    for name, shape in _SHAPES[architecture].items():
        if name not in state or state[name].shape != shape:
            raise _other(file, f"{architecture} of another size: {name}")
    return NetworkWeights(architecture, state)


def _named(checkpoint: Mapping[str, Any]) -> tuple[str, dict[str, np.ndarray]]:
    if "pyannote.audio" not in checkpoint:
        return "CamPlusPlus", _arrays(checkpoint)
    try:
        architecture = checkpoint["pyannote.audio"]["architecture"]["class"]
        state = _arrays(checkpoint["state_dict"])
    except (KeyError, TypeError) as error:
        raise ValueError("it is not one of pyannote.audio's checkpoints") from error
    if architecture not in _SHAPES:
        raise ValueError(f"its network is a {architecture}, which only diarize_backend=pyannote can run")
    inside = {re.sub(r"^resnet\.", "", name): array for name, array in state.items()}
    return architecture, inside


def _arrays(state: Mapping[str, Any]) -> dict[str, np.ndarray]:
    found = {name: array for name, array in state.items() if isinstance(array, np.ndarray)}
    if not found:
        raise ValueError("it holds no weights")
    if not all(np.isfinite(array).all() for array in found.values()):
        raise ValueError("some of its weights are not finite")
    return {
        name: array.astype(np.float32) if array.dtype.kind == "f" else array for name, array in found.items()
    }


def _damaged(file: Path, why: str) -> ModelNotFound:
    return ModelNotFound(
        f"the weights in {file} cannot be used: {why}",
        code="model_damaged",
        hint="remove the file and fetch the model again: whisperx-mlx models pull",
    )


def _other(file: Path, why: str) -> ModelNotFound:
    return ModelNotFound(
        f"the network in {file} is a {why}", code="model_damaged", hint="use diarize_backend=pyannote"
    )
