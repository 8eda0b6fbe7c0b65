"""One job of this server, while it is not finished and for a while after."""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio

from mcp_server.store import JobRecord
from schemas.jobs import JobRequest

_RATE_WINDOW_S = 60.0
_RATE_LEAST_S = 2.0


@dataclass(frozen=True)
class NewJob:
    """What is asked. ``key`` is the same for the same request; ``arguments`` are the tool's."""

    key: str
    request: JobRequest
    arguments: dict[str, Any]


@dataclass(frozen=True)
class JobView:
    """A job as it is now. ``text``: the end of the text so far."""

    record: JobRecord
    text: str | None = None
    eta_s: float | None = None


class Job:
    """What changes about a job. ``heard``: the worker has begun; ``saving`` keeps saves one after the other."""

    def __init__(self, new: NewJob, record: JobRecord, output: Path) -> None:
        self.request, self.output, self.record = new.request, output, record
        self.text: str | None = None
        self.cancelling = False
        self.heard = False
        self.saving = anyio.Lock()
        self.ended = anyio.Event()
        self._changed = anyio.Event()
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
            self._rate.clear()  # a stage from the cache takes no time and says nothing about the next one
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

    def view(self) -> JobView:
        """As it is now."""
        return JobView(self.record, self.text, self._eta())

    def _measure(self, now: float, fraction: float) -> None:
        self._rate.append((now, fraction))
        while now - self._rate[0][0] > _RATE_WINDOW_S:
            self._rate.popleft()

    def _eta(self) -> float | None:
        """Seconds left at the speed of the last minute; none while that says nothing."""
        if not self._rate or self.record.status != "running":
            return None
        (begin, before), (_, fraction) = self._rate[0], self._rate[-1]
        took, done = time.time() - begin, fraction - before
        return (1.0 - fraction) * took / done if took >= _RATE_LEAST_S and done > 0 else None
