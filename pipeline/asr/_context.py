"""Windows that are read after the text before them, without giving up the batch.

A recording is cut into stretches of chunks, as many as a batch holds rows. Each row of the batch goes through a
stretch of its own, one window after the other, and every window is told what was said in the one before. (The
idea of interleaved streams: mlx-whisperx, MIT.) Text that is not to be trusted is not handed on, as in OpenAI's
``transcribe.py``, where a loop would otherwise feed itself.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from pipeline.asr._decoding import Schedule, Window
from pipeline.recording import Recording
from pipeline.vad import Chunk
from schemas.options import AsrOptions


class Stretches(Schedule):
    """A schedule whose windows wait for the one before them in their stretch."""

    def __init__(
        self, recording: Recording, chunks: Sequence[tuple[int, Chunk]], options: AsrOptions, count: int
    ) -> None:
        super().__init__(recording, (), options)
        self._chunks = [deque(part) for part in stretches(chunks, count)]
        self._windows: list[deque[Window]] = [deque() for _ in self._chunks]
        self._said: list[tuple[int, ...]] = [() for _ in self._chunks]
        self._ready = deque(range(len(self._chunks)))
        self._of = {index: number for number, part in enumerate(self._chunks) for index, _ in part}

    def take(self, count: int) -> list[Window]:
        """At most ``count`` windows, one from each stretch whose last one was heard."""
        while len(self._waiting) < count and self._ready:
            number = self._ready.popleft()
            if not self._windows[number] and self._chunks[number]:
                self._windows[number] += self.open(*self._chunks[number].popleft())
            if self._windows[number]:
                self._waiting.append(self._windows[number].popleft())
        return super().take(count)

    def before(self, window: Window) -> tuple[int, ...]:
        """What was said in the window before; nothing for speech that is gone back for."""
        return self._said[self._of[window.index]] if window.back == 0 else ()

    def heard(self, window: Window, tokens: Sequence[int]) -> None:
        """Lets the next window of the stretch go."""
        if window.back == 0:
            number = self._of[window.index]
            self._said[number] = tuple(tokens)
            self._ready.append(number)


def stretches(chunks: Sequence[tuple[int, Chunk]], count: int) -> list[list[tuple[int, Chunk]]]:
    """At most ``count`` runs of neighbouring chunks, about equally long."""
    total = sum(chunk.end - chunk.start for _, chunk in chunks)
    parts: list[list[tuple[int, Chunk]]] = [[] for _ in range(count)]
    reached = 0.0
    for index, chunk in chunks:
        seconds = chunk.end - chunk.start
        parts[min(count - 1, int((reached + seconds / 2) / total * count))].append((index, chunk))
        reached += seconds
    return [part for part in parts if part]
