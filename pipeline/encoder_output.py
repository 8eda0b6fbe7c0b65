"""What Whisper's encoder made of a recording while it was transcribed, for aligners that read the same encoder.

A window of 30 s is 1.5 MB at Whisper base's 512 states in float16, an hour 184 MB: all but the first ones lie in
a file without a name that is gone with the job. What is not there (the text came from the cache, the file is full)
the aligner encodes anew.
"""

from __future__ import annotations

import tempfile
import threading
from bisect import bisect_left, bisect_right, insort
from dataclasses import dataclass
from io import FileIO
from operator import attrgetter
from pathlib import Path
from types import TracebackType

import numpy as np

from pipeline.vad import WINDOW_S

FRAME_S = 0.02
_MOST_BYTES = 2 << 30  # some eleven hours of Whisper base
_IN_MEMORY_BYTES = 32 << 20
_START = attrgetter("start")


@dataclass(frozen=True)
class EncodedWindow:
    """Frames every 20 ms from ``start`` seconds on, (frames, state), ``offset`` bytes after the first window's."""

    start: float
    shape: tuple[int, int]
    offset: int

    @property
    def end(self) -> float:
        """Where the last frame is, in seconds."""
        return self.start + (self.shape[0] - 1) * FRAME_S


class EncoderOutput:
    """Of one Whisper ``model`` (by its name) at a time. :meth:`keep` may be called on any thread."""

    def __init__(self, folder: Path) -> None:
        self.model: str | None = None
        self._folder = folder
        self._file: FileIO | None = None
        self._windows: list[EncodedWindow] = []
        self._in_memory: dict[EncodedWindow, np.ndarray] = {}
        self._bytes = 0
        self._lock = threading.Lock()

    def __enter__(self) -> EncoderOutput:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.begin(None)

    def begin(self, model: str | None) -> None:
        """Forgets everything; what comes now is that model's."""
        with self._lock:
            if self._file is not None:
                self._file.close()
            self.model, self._windows, self._bytes = model, [], 0
            self._file, self._in_memory = None, {}

    def keep(self, start: float, features: np.ndarray) -> None:
        """Adds a window that begins at ``start`` seconds, (frames, state). Without room it does nothing."""
        data = np.array(features, np.float16)
        with self._lock:
            after = self._bytes + data.nbytes
            if self.model is None or after > _MOST_BYTES:
                return
            window = EncodedWindow(start, data.shape, self._bytes)
            if after <= _IN_MEMORY_BYTES:
                self._in_memory[window] = data
            elif not self._written(data):
                return
            insort(self._windows, window, key=_START)
            self._bytes = after

    def _written(self, data: np.ndarray) -> bool:
        """Whether the disk had room. The file begins with a hole, where the windows in memory would lie."""
        try:
            if self._file is None:  # closed by the next begin
                self._file = tempfile.TemporaryFile(dir=self._folder, buffering=0)  # noqa: SIM115
            self._file.seek(self._bytes)
            return self._file.write(data) == data.nbytes
        except OSError:
            return False

    def window_over(self, start: float, end: float) -> EncodedWindow | None:
        """The window that covers the time in seconds, with most room around it; none if none does."""
        first = bisect_left(self._windows, start - WINDOW_S - FRAME_S, key=_START)
        nearby = self._windows[first : bisect_right(self._windows, start, key=_START)]
        covering = [window for window in nearby if end <= window.end + FRAME_S]
        room = [min(start - window.start, window.end - end) for window in covering]
        return covering[int(np.argmax(room))] if covering else None

    def read(self, window: EncodedWindow) -> np.ndarray:
        """A window's features, float16 (frames, state), to be read only: those of the file when they are used."""
        data = self._in_memory.get(window)
        return np.memmap(self._file, np.float16, "c", window.offset, window.shape) if data is None else data
