"""Continuous batching: windows enter the slots of a running batch as others finish.

Step k + 1 is launched before the tokens of step k are read. What it computes for a window that turns out to be
finished is dropped unread.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields
from typing import Protocol

import mlx.core as mx

from pipeline.whisper_mlx.decoding import Choice, Strategy, Track
from pipeline.whisper_mlx.kernels import KeysValues
from pipeline.whisper_mlx.kv_cache import CrossLayers, SelfCache, TracedCache, WindowCross, inherited
from pipeline.whisper_mlx.model import Model
from pipeline.whisper_mlx.timestamp_rules import History, Rules
from pipeline.whisper_mlx.tokens import Prompt


@dataclass
class Job:
    """A window to decode: which one, what it starts from, its cross-attention keys and values.

    ``features`` (ctx, state): the encoder's output, where the window's source wants it.
    """

    key: int
    prompt: Prompt
    cross: WindowCross
    features: mx.array | None = None


@dataclass
class Row:
    """A job in a slot."""

    job: Job
    track: Track
    no_speech_prob: float = 0.0
    steps: int = 0
    done: bool = False


class Source(Protocol):
    """Where a batch takes its jobs from. Once it is ``stopped`` the batch ends at the next step."""

    stopped: bool

    def take(self, count: int) -> list[Job]:
        """At most ``count`` jobs, fewer only at the end."""
        ...


@dataclass(frozen=True)
class State:
    """What the device knows of a batch: (slots, width), ``positions`` (slots, 1)."""

    tokens: mx.array
    positions: mx.array
    scores: mx.array
    last: mx.array
    previous: mx.array
    stamp: mx.array

    def arrays(self) -> list[mx.array]:
        """All fields in order."""
        return [getattr(self, f.name) for f in fields(self)]

    def keep(self, slots: list[int]) -> State:
        """Those slots only."""
        index = mx.array(slots)
        return State(*(a[index] for a in self.arrays()))

    def replaced(self, slots: list[int], rows: State) -> State:
        """With new rows in some slots."""
        count = self.tokens.shape[0]
        order = list(range(count))
        for row, slot in enumerate(slots):
            order[slot] = count + row
        index = mx.array(order)
        pairs = zip(self.arrays(), rows.arrays(), strict=True)
        return State(*(mx.concatenate([mine, new])[index] for mine, new in pairs))

    @classmethod
    def empty(cls, slots: int, width: int) -> State:
        """A state for slots that nothing has entered yet."""
        number, flag = mx.zeros((slots, width), mx.int32), mx.zeros((slots, width), mx.bool_)
        return cls(number, mx.zeros((slots, 1), mx.int32), mx.zeros((slots, width)), flag, flag, number)


@dataclass(frozen=True)
class Launched:
    """A step that is under way: the rows that were in the slots, and what it will report."""

    rows: list[Row]
    report: tuple[mx.array, ...]
    no_speech: mx.array | None = None


class Batch:
    """At most ``slots`` windows at once, by one strategy."""

    def __init__(self, model: Model, rules: Rules, strategy: Strategy, slots: int, no_speech: int) -> None:
        self.model = model
        self.rules = rules
        self.strategy = strategy
        self.slots = slots
        self.no_speech = no_speech
        self.rows: list[Row] = []
        self.launched: deque[Launched] = deque()
        self._first = model.kernels.compile(self._choose_first)
        whole = model.kernels.whole_steps
        self._next = model.kernels.compile(self._decoded_step if whole else self._choose_next)
        self._launch = self._launch_whole if whole else self._launch_parts

    def run(self, source: Source) -> Iterator[Row]:
        """Every job of the source as a finished row, in the order in which they finish."""
        self._start(source.take(self.slots))
        while self.rows and not source.stopped:
            self._step()
            finished = self._read()
            yield from finished
            if finished:
                self._refill([i for i, row in enumerate(self.rows) if row.done], source)

    def _start(self, jobs: list[Job]) -> None:
        if not jobs:
            return
        longest = max(len(job.prompt.tokens) for job in jobs)
        room = longest + 128 * self.strategy.width
        self.cache = SelfCache.empty(self.model.dims, len(jobs), self.strategy.width, room, self.model.dtype)
        self.cross = self.model.cross_cache([job.cross for job in jobs])
        self.rows = [self._row(job) for job in jobs]
        self.cache.column = longest
        self.state = State.empty(len(jobs), self.strategy.width)
        self._admit(list(range(len(jobs))))

    def _row(self, job: Job) -> Row:
        dims = self.model.dims
        limit = min(dims.max_new_tokens, dims.n_text_ctx - len(job.prompt.tokens))
        return Row(job, self.strategy.track(self.rules.eot, limit))

    def _admit(self, slots: list[int]) -> None:
        """Prefill the prompts of new rows and let them into the batch, prompts of one length together."""
        by_length: dict[int, list[int]] = {}
        for slot in slots:
            by_length.setdefault(len(self.rows[slot].job.prompt.tokens), []).append(slot)
        for group in by_length.values():
            self.state = self.state.replaced(group, self._prefill(group))

    def _prefill(self, slots: list[int]) -> State:
        rows = [self.rows[slot] for slot in slots]
        prompt = mx.array([row.job.prompt.tokens for row in rows])
        cross = self.model.cross_cache([row.job.cross for row in rows])
        hidden, cache = self.model.decoder.prefill(prompt, cross)
        at_sot = mx.stack([hidden[i, row.job.prompt.sot] for i, row in enumerate(rows)])
        silence = mx.softmax(self.model.decoder.logits(at_sot), axis=-1)[:, self.no_speech]
        report, tokens, *rest = self._first(self.model.decoder.logits(hidden[:, -1:]), *self._noise(rows))
        self.cache.admit(slots, cache)
        state = State(tokens, mx.full((len(rows), 1), prompt.shape[1], mx.int32), *rest)
        mx.async_eval(*report, silence, *state.arrays())
        self.launched.append(Launched(rows, tuple(report), silence))
        return state

    def _choose_first(self, logits: mx.array, *noise: mx.array) -> tuple:
        scores = mx.zeros((logits.shape[0], 1))
        choice = self.strategy.choose(self.rules.first(logits), scores, *noise)
        history = self.rules.begun(choice.tokens)
        return (choice.report, *_state(choice, history))

    def _choose_next(self, logits: mx.array, scores: mx.array, history: tuple, *noise: mx.array) -> tuple:
        before = History(*history)
        choice = self.strategy.choose(self.rules.next(logits, before), scores, *noise)
        if choice.parents is None:
            return (choice.report, *_state(choice, self.rules.extended(before, choice.tokens)))
        history = self.rules.extended(before.of(choice.parents), choice.tokens)
        return (choice.report, *_state(choice, history), choice.parents)

    def _step(self) -> None:
        report, self.state = self._launch(*self._noise(self.rows))
        mx.async_eval(*report, *self.state.arrays(), *self.cache.arrays())
        self.launched.append(Launched(list(self.rows), tuple(report)))

    def _launch_parts(self, *noise: mx.array) -> tuple[tuple[mx.array, ...], State]:
        """A step whose shapes follow what each hypothesis has said so far."""
        report, state, *parents = self._stepped(self.state, self.cache, self.cross, self._next, *noise)
        self.cache.advance(*parents)
        return report, state

    def _launch_whole(self, *noise: mx.array) -> tuple[tuple[mx.array, ...], State]:
        """A step as one compiled function, which costs the host a fraction of building it anew."""
        cache = self.cache
        cache.make_room(self.strategy.width)
        report, state, cache.mask, cache.keys, cache.values = self._next(
            self.state.arrays(),
            mx.array(cache.column),
            (cache.mask, cache.keys, cache.values),
            self.cross.layers,
            *noise,
        )
        cache.advance()
        return report, State(*state)

    def _decoded_step(
        self, arrays: list[mx.array], column: mx.array, kept: tuple, cross: list[KeysValues], *noise: mx.array
    ) -> tuple:
        mask, keys, values = kept
        cache = TracedCache(keys, values, mask, column)
        report, state, *parents = self._stepped(State(*arrays), cache, cross, self._choose_next, *noise)
        mask = inherited(cache.mask, *parents) if parents else cache.mask
        return report, state.arrays(), mask, cache.keys, cache.values

    def _stepped(
        self,
        state: State,
        cache: SelfCache | TracedCache,
        cross: CrossLayers,
        choose: Callable[..., tuple],
        *noise: mx.array,
    ) -> tuple:
        """The report, the state after the step, and the parents where hypotheses have some."""
        hidden = self.model.decoder(state.tokens, state.positions, cache, cache.open_columns(), cross)
        history = (state.last, state.previous, state.stamp)
        report, tokens, scores, last, previous, stamp, *parents = choose(
            self.model.decoder.logits(hidden), state.scores, history, *noise
        )
        # a finished row that is still in its slot runs on, and must not leave the table of positions
        positions = mx.minimum(state.positions + 1, self.model.dims.n_text_ctx - 1)
        return report, State(tokens, positions, scores, last, previous, stamp), *parents

    def _noise(self, rows: list[Row]) -> list[mx.array]:
        """Gumbel noise of each row's own seed, so that a sample does not depend on the rows beside it."""
        if not self.strategy.samples:
            return []
        noise = []
        for row in rows:
            row.steps += 1
            key = mx.random.key((row.job.key * 1_000_003 + row.steps) % 2**32)
            noise.append(mx.random.gumbel((self.strategy.width, self.model.dims.n_vocab), key=key))
        return [mx.stack(noise)]

    def _read(self) -> list[Row]:
        """Read all steps but the one just launched; the rows that finished in them."""
        finished = []
        while len(self.launched) > 1:
            launched = self.launched.popleft()
            silence = None if launched.no_speech is None else launched.no_speech.tolist()
            report = [a.tolist() for a in launched.report]
            for i, row in enumerate(launched.rows):
                if row.done:
                    continue
                if silence is not None:
                    row.no_speech_prob = silence[i]
                row.done = row.track.add(*(column[i] for column in report))
                if row.done:
                    finished.append(row)
        return finished

    def _refill(self, free: list[int], source: Source) -> None:
        jobs = source.take(len(free))
        for slot, job in zip(free, jobs, strict=False):
            self.rows[slot] = self._row(job)
            self.cross.put(slot, job.cross)
        if jobs:
            self._admit(free[: len(jobs)])
        alive = [i for i, row in enumerate(self.rows) if not row.done]
        if len(alive) <= len(self.rows) * self.model.kernels.shrink_at:
            self._keep(alive)

    def _keep(self, slots: list[int]) -> None:
        self.rows = [self.rows[slot] for slot in slots]
        if not slots:
            self.launched.clear()
            return
        self.state = self.state.keep(slots)
        self.cache.keep(slots)
        self.cross.keep(slots)


def _state(choice: Choice, history: History) -> tuple[mx.array, ...]:
    return choice.tokens, choice.scores, history.last, history.previous, history.stamp
