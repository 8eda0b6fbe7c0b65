"""What goes into an engine and what comes out: windows, how they are to be decoded, their texts."""

from __future__ import annotations

import threading
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

import numpy as np


def compression_ratio(text: str) -> float:
    """Bytes of the text over its zlib-compressed bytes; 0 for no text."""
    data = text.encode("utf-8")
    return len(data) / len(zlib.compress(data)) if data else 0.0


@dataclass(frozen=True)
class Window:
    """A stretch of at most 30 s; ``log_mel`` computes its (frames, n_mels). ``key`` is its own in a run.

    ``before``: text tokens that it is read after, behind those of the task.
    """

    key: int
    log_mel: Callable[[], np.ndarray]
    before: tuple[int, ...] = ()


@dataclass(frozen=True)
class WindowText:
    """What a window says: text and timestamp tokens; log probability per token."""

    key: int
    language: str
    tokens: tuple[int, ...]
    text: str
    avg_logprob: float
    no_speech_prob: float
    temperature: float

    @cached_property
    def compression_ratio(self) -> float:
        """Bytes over compressed bytes: high where words repeat."""
        return compression_ratio(self.text)


class WindowSource(Protocol):
    """Where windows come from. It may be asked again after it had none."""

    def take(self, count: int) -> list[Window]:
        """At most ``count`` windows."""
        ...

    def heard(self, key: int, tokens: Sequence[int]) -> None:
        """A window's tokens as soon as they are there, on the lane's thread; none where they failed."""
        ...

    def encoded(self, key: int, features: np.ndarray) -> None:
        """The encoder's output for a window, float16 (ctx, state), if the task says that it is to be kept."""
        ...


class Fallback(Protocol):
    """When a window is decoded again; see :class:`pipeline.asr._decoding.Fallback`."""

    temperatures: tuple[float, ...]

    def fails(self, decoded: Any) -> bool:
        """Whether a :class:`WindowText` is not to be trusted."""
        ...

    def best(self, tried: Sequence[Any]) -> Any:
        """The answer, out of one or more attempts."""
        ...


@dataclass(frozen=True)
class Task:
    """How windows are decoded. ``before``: text tokens of a prompt.

    With ``sure_of_language`` a window is decoded in its own language where that is at least so probable.
    ``in_order``: which windows there are next hangs on what the last ones say. With ``keep_features`` the
    source is given the encoder's output.
    """

    language: str
    fallback: Fallback
    sure_of_language: float | None = None
    in_order: bool = False
    keep_features: bool = False
    task: str = "transcribe"
    timestamps: bool = True
    beam_size: int = 1
    patience: float = 1.0
    length_penalty: float = 1.0
    best_of: int = 5
    suppressed: tuple[int, ...] = ()
    before: tuple[int, ...] = ()


class SharedSource:
    """A source that several lanes draw from, and that takes back what they did not finish."""

    def __init__(self, source: WindowSource) -> None:
        self.stopped = False
        self._source = source
        self._lock = threading.Lock()
        self._out: dict[int, Window] = {}
        self._returned: list[Window] = []

    def take(self, count: int) -> list[Window]:
        """At most ``count`` windows; none once the run was stopped."""
        with self._lock:
            if self.stopped:
                return []
            taken, self._returned = self._returned[:count], self._returned[count:]
            taken += self._source.take(count - len(taken))
            self._out.update((window.key, window) for window in taken)
            return taken

    def heard(self, key: int, tokens: Sequence[int]) -> None:
        """See :class:`WindowSource`."""
        with self._lock:
            self._source.heard(key, tokens)

    def encoded(self, key: int, features: np.ndarray) -> None:
        """See :class:`WindowSource`."""
        self._source.encoded(key, features)

    def done(self, key: int) -> None:
        """A window's text was handed out."""
        with self._lock:
            self._out.pop(key, None)

    def give_back(self) -> None:
        """Start again with all windows that are not done."""
        with self._lock:
            self._returned = list(self._out.values())
            self._out.clear()
            self.stopped = False
