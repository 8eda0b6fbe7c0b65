"""Loaded backends, kept warm between jobs. They belong to the thread that loads them (MLX streams do)."""

from __future__ import annotations

import dataclasses
import gc
import sys
from typing import Any

from pipeline import backends
from pipeline.plan import Choice
from schemas.options import Options


class ModelPool:
    """At most one loaded backend per room; asking for another one lets the first go."""

    def __init__(self) -> None:
        self._loaded: dict[str, tuple[object, Any]] = {}

    def get(self, room: str, choice: Choice, options: Options) -> Any:
        """The backend for ``choice``, loaded if it is not there yet.

        Raises what :func:`pipeline.backends.load` raises.
        """
        asked = getattr(options, room)
        key = (choice, options.model_dir, options.asr.threads)
        held = self._loaded.get(room)
        if held and held[0] == key:
            return _with_options(held[1], asked)
        if held:
            del self._loaded[room], held
            _release()
        backend = backends.load(room, choice, options)
        self._loaded[room] = (key, backend)
        return backend

    def drop(self, room: str) -> None:
        """Lets the room's backend go, after it failed."""
        if self._loaded.pop(room, None):
            _release()

    def unload(self) -> None:
        """Lets all backends go and gives their memory back."""
        self._loaded.clear()
        _release()


def _with_options(backend: Any, asked: object) -> Any:
    """The same weights with the request's options, where the backend keeps options."""
    keeps = dataclasses.is_dataclass(backend) and any(
        f.name == "options" for f in dataclasses.fields(backend)
    )
    return dataclasses.replace(backend, options=asked) if keeps else backend


def _release() -> None:
    gc.collect()
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        torch.cuda.empty_cache()
    mx = sys.modules.get("mlx.core")
    if mx is not None:
        mx.clear_cache()
