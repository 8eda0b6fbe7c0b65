"""Speech to text: chunks of a recording in, segments with times out.

A backend decodes batches of chunks; the driver in :mod:`pipeline.run` keeps what is finished, so that an
interrupted job goes on at the last finished batch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from pipeline.asr._language import likely_languages as likely_languages
from pipeline.recording import Recording
from pipeline.vad import Chunk
from schemas.report import Warning_
from schemas.transcript import Segment


@dataclass(frozen=True)
class ChunkText:
    """What was said in chunk number ``index``; times are seconds of the recording."""

    index: int
    segments: tuple[Segment, ...]
    warnings: tuple[Warning_, ...] = ()


Keep = Callable[[float, np.ndarray], None]
"""Takes the encoder's output (frames, state), every 20 ms, of speech from a second of the recording on."""


class Asr(Protocol):
    """``cache_key`` names weights, precision and whatever else changes the answer beside the options."""

    cache_key: str
    model: str | None
    revision: str | None
    device: str

    def detect_language(self, recording: Recording, chunks: Sequence[Chunk]) -> dict[str, float]:
        """Probability of each language, over the chunks handed in. An English-only model says {"en": 1.0}."""
        ...

    def transcribe(
        self,
        recording: Recording,
        chunks: Sequence[tuple[int, Chunk]],
        language: str,
        keep: Keep | None = None,
    ) -> Iterator[ChunkText]:
        """Each numbered chunk's text, as soon as its batch is done, in any order.

        ``keep`` is given what Whisper's encoder made of the windows that were read, by a backend that has it
        at hand; it is called on any thread.
        """
        ...
