"""Which backends a room has, and how one is loaded. A file in a room is a backend, named as users name it.

A backend file has, at the top level and without importing anything heavy:

``REQUIRES``
    Names of the packages that it imports in ``load`` (checked with ``find_spec``, never by importing).
``DEVICES``
    The devices that it can run on, out of ``cpu``, ``cuda``, ``mps``, ``metal``.
``MODEL_KIND``
    The kind of weights that it needs, a key of :data:`pipeline.models.KINDS`, or ``None``.
``load(choice, options)``
    Imports, loads the weights and returns an object of the room's protocol.

Files that start with an underscore are helpers.
"""

from __future__ import annotations

import importlib
import importlib.util
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

from schemas.errors import BackendUnavailable

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


def load(room: str, choice: Any, options: Any) -> Any:
    """The backend that ``choice`` (a :class:`pipeline.plan.Choice`) names, ready to work.

    Raises :class:`BackendUnavailable` when a package is missing, and what the backend's own ``load`` raises.
    """
    missing = missing_packages(room, choice.backend)
    if missing:
        raise BackendUnavailable(
            f"{room} backend {choice.backend!r} needs {', '.join(missing)}",
            hint=f"pip install {' '.join(missing)}",
        )
    return module(room, choice.backend).load(choice, options)
