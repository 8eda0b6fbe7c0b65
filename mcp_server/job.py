"""One job of this server, while it is not finished and for a while after."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anyio

from mcp_server import estimates
from mcp_server.store import JobRecord
from pipeline.progress import spans, stages_of
from schemas.jobs import JobRequest

_RATE_WINDOW_S = 60.0
_RESUMED = 0.02


@dataclass(frozen=True)
class NewJob:
    """What is asked. ``key`` is the same for the same request; ``arguments`` are the tool's.

    ``plan`` names the backends and models that would do it, ``expected`` the seconds that each stage should take.
    """

    key: str
    request: JobRequest
    arguments: dict[str, Any]
    plan: str = ""
    expected: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class JobView:
    """A job as it is now. ``text``: the end of the text so far; ``ahead``: jobs that are done before it."""

    record: JobRecord
    text: str | None = None
    eta_s: float | None = None
    ahead: int = 0


class Job:
    """What changes about a job. ``heard``: the worker has begun; ``saving`` keeps saves one after the other."""

    def __init__(self, new: NewJob, record: JobRecord, output: Path) -> None:
        self.request, self.output, self.record, self.plan = new.request, output, record, new.plan
        self.text: str | None = None
        self.cancelling = False
        self.heard = False
        self.saving = anyio.Lock()
        self.ended = anyio.Event()
        self.resumed: frozenset[str] = frozenset()
        self._changed = anyio.Event()
        self._expected = new.expected
        words = not new.request.options.align.no_align
        self._spans = spans(stages_of(new.request.operation, words=words))
        self._rate: deque[tuple[float, float]] = deque()

    def update(self, **fields: Any) -> None:
        """Changes the record and wakes everyone who waits for a change."""
        self.record = self.record.model_copy(update=fields)
        if not self.record.unfinished:
            self.text = None
            self.ended.set()
        self._changed.set()
        self._changed = anyio.Event()

    def progress(self, event: dict[str, Any]) -> None:
        """Takes over what the worker tells; the fraction never falls."""
        self.heard = True
        now, stage = time.time(), event["stage"]
        waits = stage == "queued"
        fraction = max(self.record.fraction, event["fraction"])
        if stage != self.record.stage:
            self._rate.clear()
            if self._inside(stage, event["fraction"]) > _RESUMED:  # part of it was done before
                self.resumed |= {stage}
        self._measure(now, fraction)
        self.text = event.get("text", self.text)
        self.update(
            status="queued" if waits else "running",
            stage=stage,
            fraction=fraction,
            detail=event.get("detail"),
            started_at=self.record.started_at or (None if waits else now),
        )

    async def changed(self, at_most_s: float) -> None:
        """Waits for the next change."""
        with anyio.move_on_after(at_most_s):
            await self._changed.wait()

    def view(self, ahead: int = 0, ahead_s: float | None = 0.0) -> JobView:
        """As it is now, behind ``ahead`` jobs that take ``ahead_s`` seconds."""
        own = self.left()
        eta = None if own is None or ahead_s is None else own + ahead_s
        return JobView(self.record, self.text, eta, ahead)

    def left(self) -> float | None:
        """Seconds of work left, by what its stages took before and by its own speed; none if neither is known."""
        stage, names = self.record.stage, tuple(self._spans)
        if stage not in self._spans:  # not begun: queued, or loading
            known = [self._expected.get(name) for name in names if name != "assign"]
            return None if None in known or not self.record.unfinished else sum(known)
        (begin, before), (_, fraction) = self._rate[0], self._rate[-1]
        done = self._inside(stage, fraction)
        expected = {"assign": 0.0, **self._expected}
        took = time.time() - begin
        return estimates.left(expected, names, stage, done, took, done - self._inside(stage, before))

    def _inside(self, stage: str, fraction: float) -> float:
        """A fraction of the whole as one of the stage."""
        begin, share = self._spans.get(stage, (0.0, 0.0))
        return min(1.0, max(0.0, (fraction - begin) / share)) if share else 0.0

    def _measure(self, now: float, fraction: float) -> None:
        self._rate.append((now, fraction))
        while len(self._rate) > 2 and now - self._rate[0][0] > _RATE_WINDOW_S:
            self._rate.popleft()
