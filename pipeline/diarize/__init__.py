"""Who spoke when: a recording in, speaker turns out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from pipeline.recording import Recording
from schemas.diarization import Diarization
from schemas.options import DiarizeOptions


class Diarizer(Protocol):
    """``cache_key`` names weights and whatever else changes the answer beside the options."""

    cache_key: str
    model: str | None
    revision: str | None
    device: str

    def diarize(
        self, recording: Recording, options: DiarizeOptions, progress: Callable[[float], None]
    ) -> Diarization:
        """Turns with overlap and without; ``progress`` takes a fraction and may raise to cancel."""
        ...
