"""Windows in, tokens out, on one accelerator or on all cores.

A lane encodes and decodes whole windows on an MLX stream of its own. A GPU has one lane; a CPU has one a core,
each a thread with one BLAS thread, because MLX runs the operations of a stream one after the other.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator, Sequence

import mlx.core as mx
import numpy as np

from pipeline.whisper_mlx.kv_cache import WindowCross
from pipeline.whisper_mlx.lane import Lane
from pipeline.whisper_mlx.language import language_probabilities
from pipeline.whisper_mlx.model import Model
from pipeline.whisper_mlx.tokens import Tokens
from pipeline.whisper_mlx.windows import SharedSource, Task, WindowSource, WindowText
from schemas.errors import StageFailed

_NO_MEMORY = ("out of memory", "malloc", "unable to allocate", "failed to allocate")


class Engine:
    """A model and how much of it runs at once: ``slots`` windows in a batch, over all ``lanes`` together."""

    def __init__(self, model: Model, slots: int, lanes: int = 1, encode_batch: int = 1) -> None:
        self.model = model
        self.tokens = Tokens.of(model.dims)
        self.slots = slots
        self.lanes = lanes
        self.encode_batch = encode_batch

    def languages(self, log_mels: Sequence[np.ndarray]) -> list[dict[str, float]]:
        """Probability of each language, for each window."""
        found: list[dict[str, float]] = []
        for start in range(0, len(log_mels), self.encode_batch):
            windows = self.encode(log_mels[start : start + self.encode_batch])
            found += language_probabilities(self.model, self.tokens, windows)
        return found

    def encode(self, log_mels: Sequence[np.ndarray]) -> list[WindowCross]:
        """Cross-attention keys and values of windows, launched and not waited for."""
        return self.encode_keeping(log_mels)[0]

    def encode_keeping(
        self, log_mels: Sequence[np.ndarray], keep: bool = False
    ) -> tuple[list[WindowCross], list[mx.array | None]]:
        """The same, and with ``keep`` the encoder's output of each window in float16 (ctx, state)."""
        features = self.model.features(mx.array(np.stack(log_mels)))
        cross = self.model.cross(features)
        kept = list(features.astype(mx.float16)) if keep else []
        mx.async_eval(cross, kept)
        return cross, kept or [None] * len(cross)

    def run(self, source: WindowSource, task: Task) -> Iterator[WindowText]:
        """Every window's text, as soon as it is there, in any order.

        When memory runs out, half as many windows are decoded at once from then on. Raises
        :class:`StageFailed` (``out_of_memory``) when not even one fits.
        """
        shared = SharedSource(source)
        worked = True
        while worked:  # what was decoded may have brought new windows
            worked = False
            try:
                for said in self._round(shared, task):
                    worked = True
                    shared.done(said.key)
                    yield said
            except (RuntimeError, MemoryError) as error:
                self._back_off(error)
                shared.give_back()
                worked = True

    def _round(self, shared: SharedSource, task: Task) -> Iterator[WindowText]:
        if self.lanes == 1:
            return Lane(self, task, shared, self.slots).run()
        slots = max(1, self.slots // self.lanes)
        return _in_threads([Lane(self, task, shared, slots) for _ in range(self.lanes)], shared)

    def _back_off(self, error: BaseException) -> None:
        if not any(sign in str(error).lower() for sign in _NO_MEMORY) and not isinstance(error, MemoryError):
            raise error
        mx.clear_cache()
        if self.slots == 1:
            raise StageFailed(
                "the Whisper model and one window do not fit into the memory of this device",
                code="out_of_memory",
                hint="choose a smaller or a quantized model, or close other programs",
            ) from error
        self.slots = self.slots // 2
        self.lanes = min(self.lanes, self.slots)
        self.encode_batch = min(self.encode_batch, self.slots)


def _in_threads(lanes: Sequence[Lane], shared: SharedSource) -> Iterator[WindowText]:
    """The lanes' texts as they come. An error in a lane stops the others and is raised here."""
    out: queue.Queue[WindowText | BaseException | None] = queue.Queue()
    threads = [threading.Thread(target=_work, args=(lane, out), daemon=True) for lane in lanes]
    for thread in threads:
        thread.start()
    running = len(threads)
    try:
        while running:
            item = out.get()
            if isinstance(item, BaseException):
                raise item
            if item is None:
                running -= 1
            else:
                yield item
    finally:
        shared.stopped = running > 0
        for thread in threads:
            thread.join()


def _work(lane: Lane, out: queue.Queue) -> None:
    try:
        with mx.stream(mx.new_stream(mx.cpu)):
            for said in lane.run():
                out.put(said)
        out.put(None)
    except BaseException as error:
        out.put(error)
    finally:
        mx.clear_streams()
