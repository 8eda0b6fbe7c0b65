"""Voice activity detection: where somebody speaks, and how that is packed into chunks for Whisper.

A backend finds speech regions; the driver here packs them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from pipeline.recording import Recording


@dataclass(frozen=True)
class SpeechRegion:
    """From onset to offset, in seconds."""

    start: float
    end: float


@dataclass(frozen=True)
class Chunk:
    """Regions packed together: the stretch ``start`` to ``end`` in seconds, silence inside included."""

    start: float
    end: float
    regions: tuple[SpeechRegion, ...] = ()


class Vad(Protocol):
    """``cache_key`` names everything that changes the answer, weights included."""

    cache_key: str
    model: str | None
    device: str

    def speech_regions(self, recording: Recording, progress: Callable[[float], None]) -> list[SpeechRegion]:
        """Regions in order, without overlap. ``progress`` takes a fraction and may raise to cancel."""
        ...
