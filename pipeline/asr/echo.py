"""No model: each chunk says its own times. The baseline of the room, and what wiring is tested with."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pipeline.asr import ChunkText, Keep
from pipeline.asr._languages import normalise
from pipeline.recording import Recording
from pipeline.vad import Chunk
from schemas.options import AsrOptions, Options
from schemas.transcript import Segment

if TYPE_CHECKING:
    from pipeline.plan import Choice

REQUIRES = ()
DEVICES = ("cpu",)
VERSION = 1
MODEL_KIND = None
MODEL_FORMATS = ()


def load(_choice: Choice, options: Options) -> Echo:
    """Nothing to load."""
    return Echo(options.asr)


@dataclass(frozen=True)
class Echo:
    """See :class:`pipeline.asr.Asr`."""

    options: AsrOptions
    cache_key: str = f"echo:{VERSION}"
    model: str | None = None
    revision: str | None = None
    device: str = "cpu"

    def detect_language(self, _recording: Recording, _chunks: Sequence[Chunk]) -> dict[str, float]:
        """English, for what it says is English."""
        return {"en": 1.0}

    def transcribe(
        self,
        _recording: Recording,
        chunks: Sequence[tuple[int, Chunk]],
        language: str,
        keep: Keep | None = None,
    ) -> Iterator[ChunkText]:
        """One segment per chunk: ``from 1.20 to 5.40``."""
        normalise(language)
        for index, chunk in chunks:
            text = f"from {chunk.start:.2f} to {chunk.end:.2f}"
            yield ChunkText(index, (Segment(start=chunk.start, end=chunk.end, text=text),))
