"""Which backends a room has, and how one is loaded. A file in a room is a backend, named as users name it.

A backend file has, at the top level and without importing anything heavy:

``REQUIRES``
    Names of the packages that it imports in ``load`` (checked with ``find_spec``, never by importing).
``DEVICES``
    The devices that it can run on, out of ``cpu``, ``cuda``, ``mps``, ``metal``.
``VERSION``
    A number that goes up when the backend's answers change, so that older stage results are not used again.
``MODEL_KIND``, ``MODEL_FORMATS``
    The kind of weights that it needs (:data:`pipeline.models.KINDS`) or ``None``, and the formats it can read.
    A backend that needs several has ``weights(choice, options)`` instead: a tuple of ``ModelFiles``.
``load(choice, options)``
    Imports, loads the weights and returns an object of the room's protocol.

Files that start with an underscore are helpers.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

from schemas.errors import BackendUnavailable
from schemas.options import Options
from schemas.report import Warning_

if TYPE_CHECKING:
    from pipeline.models import ModelFiles
    from pipeline.plan import Choice

ROOMS = ("vad", "asr", "align", "diarize")


@cache
def available(room: str) -> tuple[str, ...]:
    """Names of the room's backends, in alphabetical order, without importing them."""
    folder = Path(__file__).parent / room
    return tuple(sorted(f.stem for f in folder.glob("*.py") if not f.stem.startswith("_")))


def module(room: str, name: str) -> ModuleType:
    """The backend's file as a module: cheap, for its constants.

    Raises :class:`BackendUnavailable` for a name that the room does not have.
    """
    if name not in available(room):
        raise BackendUnavailable(
            f"there is no {room} backend {name!r}", hint=f"choose one of {', '.join(available(room))}"
        )
    return importlib.import_module(f"pipeline.{room}.{name}")


def missing_packages(room: str, name: str) -> tuple[str, ...]:
    """Packages that the backend needs and that are not installed."""
    return tuple(p for p in module(room, name).REQUIRES if importlib.util.find_spec(p) is None)


def weights(room: str, choice: Choice, options: Options) -> tuple[ModelFiles, ...]:
    """The files that the backend would load, found without loading or fetching more than was allowed.

    Raises :class:`schemas.errors.ModelNotFound` when they are not on this machine.
    """
    from pipeline import models

    backend = module(room, choice.backend)
    if hasattr(backend, "weights"):
        return backend.weights(choice, options)
    if backend.MODEL_KIND is None:
        return ()
    files = models.find(
        backend.MODEL_KIND,
        choice.model,
        formats=backend.MODEL_FORMATS,
        required=choice.model_required,
        model_dir=options.model_dir,
        allow_download=options.allow_download,
    )
    return (files,)


def identity(room: str, choice: Choice, files: tuple[ModelFiles, ...]) -> str:
    """Everything about the backend that changes its answer: name, version, weights, precision."""
    version = module(room, choice.backend).VERSION
    used = ",".join(f"{f.kind}:{f.name}@{f.revision}:{f.format}" for f in files)
    return f"{choice.backend}:{version}:{choice.compute_type}:{used}"


def substitutions(files: tuple[ModelFiles, ...]) -> list[Warning_]:
    """A warning for each set of starter weights that stands in for others."""
    from pipeline import models

    warnings = (models.substitute_warning(f) for f in files)
    return [warning for warning in warnings if warning is not None]


def load(room: str, choice: Choice, options: Options) -> Any:
    """The backend that ``choice`` names, ready to work.

    Raises :class:`BackendUnavailable` when a package is missing, and what the backend's own ``load`` raises.
    """
    missing = missing_packages(room, choice.backend)
    if missing:
        raise BackendUnavailable(
            f"{room} backend {choice.backend!r} needs {', '.join(missing)}",
            hint=f"pip install {' '.join(missing)}",
        )
    # Torch's threads spin at each barrier unless told otherwise before the first of them starts: beside other work
    # on the same cores a segmentation network then takes 37 s instead of one.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    return module(room, choice.backend).load(choice, options)
