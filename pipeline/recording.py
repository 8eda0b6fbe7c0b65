"""A decoded recording: 16 kHz mono float32, on disk or in memory, read piece by piece."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from pipeline.channels import Channels
from schemas.report import Warning_

SAMPLE_RATE = 16_000
BLOCK_SAMPLES = 30 * SAMPLE_RATE


@dataclass(frozen=True)
class Recording:
    """``samples`` float32 values in [-1, 1], either in ``array`` or in the raw little-endian file ``pcm``.

    A file keeps the memory of a long recording bounded: :meth:`read` copies only what is asked for.
    ``channels`` tells what the file's channels are to each other, and ``one_channel(number)`` decodes one of them,
    from 0, which is gone at the end of the ``with``; none where there is no file.
    """

    samples: int
    sha256: str
    pcm: Path | None = None
    array: np.ndarray | None = field(default=None, repr=False)
    path: str | None = None
    warnings: tuple[Warning_, ...] = ()
    channels: Channels = field(default_factory=Channels)
    one_channel: Callable[[int], AbstractContextManager[Recording]] | None = field(default=None, repr=False)

    @classmethod
    def from_array(cls, waveform: np.ndarray, path: str | None = None) -> Recording:
        """A recording from float32 samples at 16 kHz, shape (samples,)."""
        array = np.ascontiguousarray(waveform, dtype="<f4")
        if array.ndim != 1:
            raise ValueError(f"a waveform has the shape (samples,), not {array.shape}")
        return cls(len(array), hashlib.sha256(array.data).hexdigest(), array=array, path=path)

    @property
    def duration_s(self) -> float:
        """Length in seconds."""
        return self.samples / SAMPLE_RATE

    def read(self, start: int, stop: int) -> np.ndarray:
        """Samples ``start`` to ``stop`` (exclusive, cut to the recording) as a new float32 array."""
        start, stop = max(0, start), min(self.samples, stop)
        count = max(0, stop - start)
        if self.array is not None:
            return self.array[start : start + count].copy()
        if self.pcm is None:
            raise ValueError("a recording has either an array or a file")
        return np.fromfile(self.pcm, dtype="<f4", count=count, offset=start * 4)

    def seconds(self, start: float, end: float) -> np.ndarray:
        """Samples between two times in seconds, cut to the recording."""
        return self.read(round(start * SAMPLE_RATE), round(end * SAMPLE_RATE))

    def view(self, start: float, end: float) -> np.ndarray:
        """The same samples as they lie in memory or in the file, mapped: to be read only, and read when used."""
        first, stop = (max(0, round(at * SAMPLE_RATE)) for at in (start, end))
        return self.mapped()[first:stop]

    def blocks(self, size: int = BLOCK_SAMPLES) -> Iterator[np.ndarray]:
        """The whole recording in consecutive blocks of ``size`` samples; the last one is shorter."""
        for start in range(0, self.samples, size):
            yield self.read(start, start + size)

    def mapped(self) -> np.ndarray:
        """The whole recording as one array (samples,): a memory map for a file, so pages can be given back."""
        if self.array is not None:
            return self.array
        if self.samples == 0:
            return np.zeros(0, np.float32)
        return np.memmap(self.pcm, dtype="<f4", mode="c", shape=(self.samples,))
