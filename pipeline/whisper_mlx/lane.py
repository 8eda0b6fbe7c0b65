"""One lane of an engine: draws windows, encodes them ahead of need, decodes them, and again where they fail."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING

import numpy as np

from pipeline.whisper_mlx.batch import Batch, Job, Row
from pipeline.whisper_mlx.decoding import Beam, Greedy, Hypothesis, Sample, Strategy
from pipeline.whisper_mlx.kv_cache import WindowCross
from pipeline.whisper_mlx.language import language_probabilities
from pipeline.whisper_mlx.timestamp_rules import Rules
from pipeline.whisper_mlx.windows import SharedSource, Task, Window, WindowText

if TYPE_CHECKING:
    from pipeline.whisper_mlx.engine import Engine

_SAMPLES_AT_ONCE = 5
_SPECTRA_AT_ONCE = 4

Loaded = tuple[list[Window], list[np.ndarray]]


class Lane:
    """At most ``slots`` windows at once."""

    def __init__(self, engine: Engine, task: Task, shared: SharedSource, slots: int) -> None:
        self.engine = engine
        self.task = task
        self.shared = shared
        self.slots = slots
        self.staged: list[Job] = []
        self.languages: dict[int, str] = {}
        self.rules = Rules(engine.tokens, engine.model.kernels, task.suppressed, timestamps=task.timestamps)
        self.ahead: Future[Loaded] | None = None
        # a GPU must not wait for spectrograms; on a CPU all cores are busy as it is
        ahead = engine.encode_batch > 1 and not task.in_order
        self.loader = ThreadPoolExecutor(1) if ahead else None
        self.spectra = ThreadPoolExecutor(_SPECTRA_AT_ONCE) if ahead else None

    def run(self) -> Iterator[WindowText]:
        """Every window that is to be had; those that fail go through the hotter temperatures last."""
        try:
            first, *hotter = self.task.fallback.temperatures
            failed: list[tuple[Job, list[WindowText]]] = []
            strategy = self._search() if first == 0 else self._sampling([first])
            for row in self._batch(strategy).run(self):
                said = self._text(row, first, row.track.best())
                self._hand_over(row.job)
                fails = self.task.fallback.fails(said)
                self.shared.heard(said.key, () if fails else said.tokens)
                if hotter and fails:
                    failed.append((row.job, [said]))
                else:
                    yield said
                if len(failed) >= self.slots:
                    yield from self._again(failed, hotter)
                    failed = []
            yield from self._again(failed, hotter)
        finally:
            for pool in filter(None, (self.loader, self.spectra)):
                pool.shutdown(wait=False, cancel_futures=True)

    @property
    def stopped(self) -> bool:
        """Whether the run was given up."""
        return self.shared.stopped

    def take(self, count: int) -> list[Job]:
        """Jobs for the batch, encoded; see :class:`pipeline.whisper_mlx.batch.Source`."""
        while len(self.staged) < count:
            windows, log_mels = self._loaded()
            if not windows:
                break
            self.staged += self._jobs(windows, log_mels)
        taken, self.staged = self.staged[:count], self.staged[count:]
        return taken

    def _loaded(self) -> Loaded:
        """The next windows with their spectrograms; where there is a loader, it goes on to those after them."""
        loaded = self.ahead.result() if self.ahead else self._load()
        self.ahead = self.loader.submit(self._load) if self.loader and loaded[0] else None
        return loaded

    def _load(self) -> Loaded:
        windows = self.shared.take(self.engine.encode_batch)
        each = self.spectra.map if self.spectra else map
        return windows, list(each(lambda window: window.log_mel(), windows))

    def _jobs(self, windows: list[Window], log_mels: list[np.ndarray]) -> list[Job]:
        task, tokens = self.task, self.engine.tokens
        crosses, kept = self.engine.encode_keeping(log_mels, task.keep_features)
        jobs = []
        for window, cross, features, language in zip(
            windows, crosses, kept, self._languages(crosses), strict=True
        ):
            self.languages[window.key] = language
            prompt = tokens.prompt(language, task.task, task.timestamps, (*task.before, *window.before))
            jobs.append(Job(window.key, prompt, cross, features))
        return jobs

    def _hand_over(self, job: Job) -> None:
        """The encoder's output of a window, long after it was computed: nothing waits for it."""
        if job.features is not None:
            self.shared.encoded(job.key, np.array(job.features))
            job.features = None

    def _languages(self, crosses: list[WindowCross]) -> list[str]:
        """Each window's language."""
        sure, languages = self.task.sure_of_language, [self.task.language] * len(crosses)
        if sure is None:
            return languages
        for i, found in enumerate(language_probabilities(self.engine.model, self.engine.tokens, crosses)):
            likeliest = max(found, key=found.__getitem__)
            if found[likeliest] >= sure:
                languages[i] = likeliest
        return languages

    def _batch(self, strategy: Strategy) -> Batch:
        return Batch(self.engine.model, self.rules, strategy, self.slots, self.engine.tokens.no_speech)

    def _search(self) -> Strategy:
        kernels, task = self.engine.model.kernels, self.task
        if task.beam_size == 1:
            return Greedy(kernels)
        return Beam(kernels, self.engine.tokens.eot, task.beam_size, task.patience, task.length_penalty)

    def _sampling(self, temperatures: list[float]) -> Sample:
        spread = tuple(t for t in temperatures for _ in range(self.task.best_of))
        return Sample(self.engine.model.kernels, spread, self.task.length_penalty)

    def _again(self, failed: list[tuple[Job, list[WindowText]]], hotter: list[float]) -> Iterator[WindowText]:
        """Failed windows over their kept keys and values, hotter and hotter, a few temperatures at a time."""
        fallback, at_once = self.task.fallback, max(1, _SAMPLES_AT_ONCE // self.task.best_of)
        while failed:
            group, hotter = hotter[:at_once], hotter[at_once:]
            tried = {job.key: answers for job, answers in failed}
            batch = self._batch(self._sampling(group))
            jobs, failed = [job for job, _ in failed], []
            for row in batch.run(_Ready(jobs, self.shared)):
                answers = tried[row.job.key] + self._coolest_first(row, group)
                if hotter and fallback.fails(answers[-1]):
                    failed.append((row.job, answers))
                else:
                    yield fallback.best(answers)

    def _coolest_first(self, row: Row, group: list[float]) -> list[WindowText]:
        """The best sample of each temperature, up to the first that will do."""
        said: list[WindowText] = []
        for i, temperature in enumerate(group):
            samples = slice(i * self.task.best_of, (i + 1) * self.task.best_of)
            said.append(self._text(row, temperature, row.track.best(samples)))
            if not self.task.fallback.fails(said[-1]):
                break
        return said

    def _text(self, row: Row, temperature: float, hypothesis: Hypothesis) -> WindowText:
        return WindowText(
            row.job.key,
            self.languages[row.job.key],
            tuple(hypothesis.tokens),
            self.engine.tokens.decode(hypothesis.tokens).strip(),
            hypothesis.avg_logprob,
            row.no_speech_prob,
            temperature,
        )


class _Ready:
    """Jobs that are there already; see :class:`pipeline.whisper_mlx.batch.Source`."""

    def __init__(self, jobs: list[Job], shared: SharedSource) -> None:
        self.jobs = jobs
        self.shared = shared

    @property
    def stopped(self) -> bool:
        """Whether the run was given up."""
        return self.shared.stopped

    def take(self, count: int) -> list[Job]:
        """At most ``count`` of them."""
        taken, self.jobs = self.jobs[:count], self.jobs[count:]
        return taken
