"""Log-mels and the trunk's frames of a whole recording, each made once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.diarization_core.fbank import HOP_SAMPLES, frames_of
from pipeline.diarization_core.fbank import WINDOW_SAMPLES as FRAME_SAMPLES
from pipeline.diarization_core.frames import filled_up
from pipeline.recording import Recording

if TYPE_CHECKING:
    from pipeline.diarization_core.voices import Embedding

BLOCK_MELS = 1000  # 10 s; of 30 s, the context that CAM++ pools over makes voices too much alike
CONTEXT_MELS = 504  # 5 s on each side of a block; a multiple of every network's mels_per_frame
_READ_MELS = 4000  # made together: 13 MB of spectra


class Mels:
    """Log-mels of the whole recording, each made once: a step of 1 s is exactly 100 of them."""

    def __init__(self, recording: Recording, embedding: Embedding) -> None:
        self._recording, self._embedding = recording, embedding
        self._blocks: dict[int, Any] = {}

    def read(self, first: int, count: int) -> Any:
        """(count, 80); silence behind the end. Reading goes forwards: what lies behind is let go."""
        wanted = range(first // _READ_MELS, (first + count - 1) // _READ_MELS + 1)
        for old in [number for number in self._blocks if number < wanted[0]]:
            del self._blocks[old]
        for number in wanted:
            if number not in self._blocks:
                self._blocks[number] = self._block(number)
        joined = self._embedding.join([self._blocks[number] for number in wanted])
        offset = first - wanted[0] * _READ_MELS
        return joined[offset : offset + count]

    def _block(self, number: int) -> Any:
        begin, length = number * _READ_MELS * HOP_SAMPLES, (_READ_MELS - 1) * HOP_SAMPLES + FRAME_SAMPLES
        samples = self._recording.read(begin, begin + length)
        return self._embedding.log_mels(filled_up(samples, length))


class SharedFrames:
    """The trunk's frames of the whole recording, made block by block, ``together`` so many of them.

    They are let go behind the reader, or with ``keep`` stay in half precision (51 KB a second of CAM++'s), in one
    array: pieces of their own between what the trunk takes and gives back kept four times their size from use.
    """

    def __init__(self, recording: Recording, embedding: Embedding, together: int, keep: bool = False) -> None:
        self._embedding, self._together, self._keep = embedding, together, keep
        self._mels = Mels(recording, embedding)
        self._blocks: dict[int, Any] = {}
        self._kept: np.ndarray | None = None
        self._per_block = BLOCK_MELS // embedding.mels_per_frame
        self._total_mels = max(1, frames_of(recording.samples))
        first, last, offset = self._reach((self._total_mels - 1) // BLOCK_MELS)
        before = (self._total_mels - 1) // BLOCK_MELS * self._per_block
        self.total = before + -(-(last - first) // embedding.mels_per_frame) - offset

    def read(self, begin: int, end: int) -> Any:
        """Frames ``begin`` to ``end`` of ``total``, (frames, channels)."""
        wanted = range(begin // self._per_block, (end - 1) // self._per_block + 1)
        if not self._keep:
            for old in [number for number in self._blocks if number < wanted[0]]:
                del self._blocks[old]
        for number in wanted:
            if number not in self._blocks:
                self._make(number)
        if self._kept is not None:
            return self._kept[begin:end]
        joined = self._embedding.join([self._blocks[number] for number in wanted])
        offset = begin - wanted[0] * self._per_block
        return joined[offset : offset + end - begin]

    def _make(self, number: int) -> None:
        """This block, and those behind it that have its shape, as many as run together."""
        reach = [self._reach(number)]
        while len(reach) < self._together and self._is_full(number) and self._is_full(number + len(reach)):
            reach.append(self._reach(number + len(reach)))
        begin, length = reach[0][0], reach[0][1] - reach[0][0]
        mels = self._mels.read(begin, reach[-1][1] - begin)
        found = self._embedding.trunk(mels, [first - begin for first, _, _ in reach], length)
        for i, (_, _, offset) in enumerate(reach):
            block = found[i][offset : offset + self._per_block]
            self._blocks[number + i] = self._put(number + i, block) if self._keep else block

    def _put(self, number: int, block: Any) -> np.ndarray:
        """The block as it lies in the array of all."""
        half = self._embedding.halved(block)
        if self._kept is None:
            self._kept = np.empty((self.total, half.shape[1]), half.dtype)
        begin = number * self._per_block
        own = self._kept[begin : begin + len(half)]
        own[:] = half
        return own

    def _reach(self, number: int) -> tuple[int, int, int]:
        """First and last mel of a block with its context, and its first frame among theirs."""
        begin = number * BLOCK_MELS
        first = max(0, begin - CONTEXT_MELS)
        last = min(self._total_mels, begin + BLOCK_MELS + CONTEXT_MELS)
        return first, last, (begin - first) // self._embedding.mels_per_frame

    def _is_full(self, number: int) -> bool:
        return number > 0 and (number + 1) * BLOCK_MELS + CONTEXT_MELS <= self._total_mels
