"""Windows in, tokens out: encoding ahead of need, batches, fallback, lanes.

A lane is a thread with an MLX stream of its own that encodes and decodes whole windows. A GPU has one; a CPU has
one a core, with one BLAS thread each, because MLX runs the operations of a stream one after the other.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from itertools import islice

import mlx.core as mx
import numpy as np

from pipeline.whisper_mlx.batch import Batch, Job, Row
from pipeline.whisper_mlx.decoding import Beam, Greedy, Sample, Strategy
from pipeline.whisper_mlx.fallback import Thresholds, compression_ratio
from pipeline.whisper_mlx.kv_cache import WindowCross
from pipeline.whisper_mlx.language import language_probabilities
from pipeline.whisper_mlx.model import Model
from pipeline.whisper_mlx.timestamp_rules import Rules
from pipeline.whisper_mlx.tokens import Tokens

SAMPLES_AT_ONCE = 5


@dataclass(frozen=True)
class Window:
    """A stretch of at most 30 s; ``log_mel`` computes its (frames, n_mels)."""

    index: int
    log_mel: Callable[[], np.ndarray]


@dataclass(frozen=True)
class Task:
    """How windows are decoded. ``language`` none: each window in its own. ``before``: text tokens of a prompt."""

    language: str | None
    task: str = "transcribe"
    timestamps: bool = False
    beam_size: int = 1
    patience: float = 1.0
    length_penalty: float = 1.0
    best_of: int = 1
    temperatures: tuple[float, ...] = (0.0,)
    thresholds: Thresholds = field(default_factory=Thresholds)
    suppressed: tuple[int, ...] = ()
    before: tuple[int, ...] = ()


@dataclass(frozen=True)
class WindowText:
    """What a window says. ``tokens``: text and timestamps. ``failed``: every temperature missed a threshold."""

    index: int
    language: str
    tokens: tuple[int, ...]
    text: str
    avg_logprob: float
    no_speech_prob: float
    compression_ratio: float
    temperature: float
    failed: bool
    silence: bool


class Engine:
    """A model and how much of it runs at once: ``slots`` windows in a batch, over all ``lanes`` together."""

    def __init__(self, model: Model, slots: int, lanes: int = 1, encode_batch: int = 1) -> None:
        self.model = model
        self.tokens = Tokens.of(model.dims)
        self.slots = slots
        self.lanes = lanes
        self.encode_batch = encode_batch

    def languages(self, windows: Iterable[Window]) -> list[dict[str, float]]:
        """Probability of each language, for each window."""
        found = []
        for group in _groups(windows, self.encode_batch):
            found += language_probabilities(self.model, self.tokens, self.encode(group))
        return found

    def encode(self, windows: list[Window]) -> list[WindowCross]:
        """Cross-attention keys and values of windows, launched and not waited for."""
        cross = self.model.encode(mx.array(np.stack([window.log_mel() for window in windows])))
        mx.async_eval(cross)
        return cross

    def run(self, windows: Iterable[Window], task: Task) -> Iterator[WindowText]:
        """Every window's text, as soon as it is there, in any order."""
        shared = _Shared(iter(windows))
        if self.lanes == 1:
            yield from _Lane(self, task, shared, self.slots).run()
            return
        yield from _in_threads(
            [_Lane(self, task, shared, -(-self.slots // self.lanes)) for _ in range(self.lanes)]
        )


class _Shared:
    """An iterator that several lanes draw from."""

    def __init__(self, windows: Iterator[Window]) -> None:
        self.windows = windows
        self.lock = threading.Lock()
        self.stopped = False

    def take(self, count: int) -> list[Window]:
        with self.lock:
            return [] if self.stopped else list(islice(self.windows, count))


class _Lane:
    """Encodes and decodes the windows that it draws."""

    def __init__(self, engine: Engine, task: Task, shared: _Shared, slots: int) -> None:
        self.engine = engine
        self.task = task
        self.shared = shared
        self.slots = slots
        self.staged: list[Job] = []
        self.language: dict[int, str] = {}
        tokens, kernels = engine.tokens, engine.model.kernels
        self.rules = Rules(tokens, kernels, task.suppressed, timestamps=task.timestamps)

    def run(self) -> Iterator[WindowText]:
        """Every window of this lane; those that fail go through the hotter temperatures at the end."""
        cold = [t for t in self.task.temperatures if t == 0.0]
        hot = [t for t in self.task.temperatures if t > 0.0]
        failed: list[tuple[Job, WindowText]] = []
        first = self._first_strategy() if cold else self._sampling(hot[:1])
        for row in self._batch(first).run(self):
            said = self._text(row, 0.0 if cold else hot[0])
            if said.failed and (hot if cold else hot[1:]):
                failed.append((self._again(row.job, len(failed)), said))
            else:
                yield said
        yield from self._hotter(failed, hot if cold else hot[1:])

    def take(self, count: int) -> list[Job]:
        """Jobs for the batch, encoded; see :class:`pipeline.whisper_mlx.batch.Source`."""
        while len(self.staged) < count:
            windows = self.shared.take(self.engine.encode_batch)
            if not windows:
                break
            self.staged += self._jobs(windows)
        taken, self.staged = self.staged[:count], self.staged[count:]
        return taken

    def _jobs(self, windows: list[Window]) -> list[Job]:
        task, tokens = self.task, self.engine.tokens
        crosses = self.engine.encode(windows)
        languages = [task.language] * len(windows)
        if task.language is None:
            found = language_probabilities(self.engine.model, tokens, crosses)
            languages = [max(p, key=p.__getitem__) for p in found]
        jobs = []
        for window, cross, language in zip(windows, crosses, languages, strict=True):
            self.language[window.index] = language
            prompt = tokens.prompt(language, task.task, task.timestamps, task.before)
            jobs.append(Job(window.index, prompt, cross, seed=window.index))
        return jobs

    def _batch(self, strategy: Strategy) -> Batch:
        return Batch(self.engine.model, self.rules, strategy, self.slots, self.engine.tokens.no_speech)

    def _first_strategy(self) -> Strategy:
        kernels, task = self.engine.model.kernels, self.task
        if task.beam_size == 1:
            return Greedy(kernels)
        return Beam(kernels, self.engine.tokens.eot, task.beam_size, task.patience, task.length_penalty)

    def _sampling(self, temperatures: list[float]) -> Sample:
        spread = tuple(t for t in temperatures for _ in range(self.task.best_of))
        return Sample(self.engine.model.kernels, spread, self.task.length_penalty)

    def _again(self, job: Job, kept: int) -> Job:
        return job if kept < self.slots else replace(job, cross=None)

    def _hotter(self, failed: list[tuple[Job, WindowText]], hot: list[float]) -> Iterator[WindowText]:
        """Failed windows over their kept keys and values, hotter and hotter."""
        at_once = max(1, SAMPLES_AT_ONCE // self.task.best_of)
        while failed and hot:
            group, hot = hot[:at_once], hot[at_once:]
            last = {job.index: said for job, said in failed}
            again: list[tuple[Job, WindowText]] = []
            for row in self._batch(self._sampling(group)).run(_Jobs([job for job, _ in failed])):
                said = self._coolest(row, group)
                if said.failed and hot:
                    again.append((row.job, said))
                else:
                    yield said if not said.failed else _least_bad(last[said.index], said)
            failed = again
        yield from (said for _, said in failed)

    def _coolest(self, row: Row, group: list[float]) -> WindowText:
        """The answer of the coolest temperature that passes, else of the hottest."""
        said = None
        for i, temperature in enumerate(group):
            part = slice(i * self.task.best_of, (i + 1) * self.task.best_of)
            said = self._text(row, temperature, row.track.best(part))
            if not said.failed:
                break
        assert said is not None
        return said

    def _text(self, row: Row, temperature: float, hypothesis=None) -> WindowText:
        hypothesis = hypothesis or row.track.best()
        text = self.engine.tokens.decode(hypothesis.tokens).strip()
        thresholds, logprob = self.task.thresholds, hypothesis.avg_logprob
        return WindowText(
            row.job.index,
            self.language[row.job.index],
            tuple(hypothesis.tokens),
            text,
            logprob,
            row.no_speech_prob,
            compression_ratio(text),
            temperature,
            thresholds.fails(text, logprob, row.no_speech_prob),
            thresholds.is_silence(logprob, row.no_speech_prob),
        )


class _Jobs:
    """Jobs that are there already."""

    def __init__(self, jobs: list[Job]) -> None:
        self.jobs = jobs

    def take(self, count: int) -> list[Job]:
        taken, self.jobs = self.jobs[:count], self.jobs[count:]
        return taken


def _least_bad(*said: WindowText) -> WindowText:
    """Of answers that all failed, the one that the model believes most."""
    return max(said, key=lambda text: text.avg_logprob)


def _groups(items: Iterable[Window], size: int) -> Iterator[list[Window]]:
    iterator = iter(items)
    while group := list(islice(iterator, size)):
        yield group


def _in_threads(lanes: list[_Lane]) -> Iterator[WindowText]:
    """The lanes' texts as they come. An error in a lane stops the others and is raised here."""
    out: queue.Queue[WindowText | BaseException | None] = queue.Queue()

    def work(lane: _Lane) -> None:
        try:
            with mx.stream(mx.new_stream(mx.cpu)):
                for said in lane.run():
                    out.put(said)
            out.put(None)
        except BaseException as error:
            out.put(error)
        finally:
            mx.clear_streams()

    threads = [threading.Thread(target=work, args=(lane,), daemon=True) for lane in lanes]
    for thread in threads:
        thread.start()
    try:
        running = len(threads)
        while running:
            item = out.get()
            if isinstance(item, BaseException):
                raise item
            if item is None:
                running -= 1
            else:
                yield item
    finally:
        lanes[0].shared.stopped = True
        for thread in threads:
            thread.join()
