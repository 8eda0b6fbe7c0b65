"""Voice activity detection: where somebody speaks, and how that is packed into chunks for Whisper.

A backend finds speech regions; :func:`pack` makes chunks of them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from pipeline.recording import Recording
from pipeline.vad._coverage import with_doubtful
from pipeline.vad._pack import WINDOW_S, pack, windows
from pipeline.vad._regions import Chunk, SpeechRegion

__all__ = ["WINDOW_S", "Chunk", "SpeechRegion", "Vad", "pack", "windows", "with_doubtful"]


class Vad(Protocol):
    """``cache_key`` names everything that changes the answer, weights included."""

    cache_key: str
    model: str | None
    revision: str | None
    device: str

    def speech_regions(self, recording: Recording, progress: Callable[[float], None]) -> list[SpeechRegion]:
        """Regions in order, without overlap. ``progress`` takes a fraction and may raise to cancel."""
        ...

    def speech_and_near(
        self, recording: Recording, progress: Callable[[float], None]
    ) -> tuple[list[SpeechRegion], list[SpeechRegion]]:
        """:meth:`speech_regions`, and regions of all that is speech or near it."""
        ...
