"""Jobs: one at a time, in order, on one worker that is kept warm.

A job belongs to the server, not to the call that started it: a client that stops waiting changes nothing, and the
same request again joins the job that is there. Only :meth:`JobManager.cancel` ends one.
"""

from __future__ import annotations

import secrets
import sys
import time
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any

import anyio
import anyio.abc
from anyio import to_thread

from mcp_server.defects import defect
from mcp_server.engine import WorkerProcess
from mcp_server.estimates import Estimates
from mcp_server.job import Job, JobView, NewJob
from mcp_server.settings import Settings
from mcp_server.store import JobRecord, Store
from schemas.errors import JobError, TranscriptionError, from_dict
from schemas.transcript import Transcript

Kept = Callable[[str, Transcript], Awaitable[None]]

TICK_S = 2.0
FOREIGN_POLL_S = 1.0
KEPT_FINISHED = 32


class JobManager:
    """Used inside :meth:`running`. All methods are for the event loop's thread."""

    def __init__(self, store: Store, settings: Settings, kept: Kept | None = None) -> None:
        """``kept`` is told of each new transcript before its job is finished."""
        self._kept = kept
        self._store, self._settings = store, settings
        self._estimates = Estimates(store.database)
        self._current: Job | None = None
        self._before_us: list[JobRecord] = []
        self._jobs: dict[str, Job] = {}
        self._waiting: deque[Job] = deque()
        self._worker: WorkerProcess | None = None
        self._wakeup: anyio.Event | None = None
        self._tasks: anyio.abc.TaskGroup | None = None

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Serves jobs; at the end the worker is gone and unfinished jobs are ``interrupted``."""
        self._wakeup = anyio.Event()
        async with anyio.create_task_group() as tasks:
            self._tasks = tasks
            tasks.start_soon(self._serve)
            tasks.start_soon(self._tick)
            try:
                yield
            finally:
                self.end()
                tasks.cancel_scope.cancel()

    def end(self) -> None:
        """Kills the worker and writes down what was interrupted. Does not wait, and may be called twice."""
        if self._worker is not None:
            self._worker.kill()
        if any(job.record.unfinished for job in self._jobs.values()):
            _quietly(self._store.interrupt_own)
        self._store.close()

    @property
    def worker_pid(self) -> int | None:
        """Of the worker that is up."""
        return self._worker.pid if self._worker is not None and self._worker.alive else None

    @property
    def unfinished(self) -> int:
        """How many jobs of this server are queued or running."""
        return sum(job.record.unfinished for job in self._jobs.values())

    async def submit(self, new: NewJob) -> JobRecord:
        """The job that does the request: the one that is under way, here or on another server, or a new one.

        Raises :class:`JobError`: ``queue_full``, ``store_failed``.
        """
        for job in self._jobs.values():
            if job.record.request_key == new.key and job.record.unfinished and not job.cancelling:
                return job.record
        elsewhere = await to_thread.run_sync(self._store.job_elsewhere, new.key)
        if elsewhere is not None:
            return elsewhere
        if len(self._waiting) >= self._settings.max_waiting:
            raise JobError(
                f"{len(self._waiting)} jobs are waiting already.",
                code="queue_full",
                hint="Wait for one of them with get_job, or end one with cancel_job.",
                retryable=True,
            )
        job = self._new(new)
        self._jobs[job.record.id] = job
        try:
            await self._save(job)
        except TranscriptionError:
            del self._jobs[job.record.id]
            raise
        self._waiting.append(job)
        self._wake()
        return job.record

    async def wait(
        self, job_id: str, wait_s: float, tell: Callable[[JobView], Awaitable[None]] | None = None
    ) -> JobView:
        """The job when it is finished, or after ``wait_s`` seconds. ``tell`` hears of changes on the way.

        Raises :class:`NotFound` (``job_not_found``).
        """
        deadline = anyio.current_time() + wait_s
        while True:
            view = await self.view(job_id)
            left = deadline - anyio.current_time()
            if not view.record.unfinished or left <= 0:
                return view
            if tell is not None:
                await tell(view)
            if job_id in self._jobs:
                await self._jobs[job_id].changed(min(left, FOREIGN_POLL_S))
            else:
                await anyio.sleep(min(left, FOREIGN_POLL_S))

    async def view(self, job_id: str) -> JobView:
        """The job as it is now, whichever server has it. Raises :class:`NotFound` (``job_not_found``)."""
        if job_id in self._jobs:
            return self._own_view(self._jobs[job_id])
        return _foreign_view(await to_thread.run_sync(self._store.job, job_id))

    async def recent(self, count: int) -> list[JobView]:
        """Unfinished jobs of all servers in their order, then the last finished ones, newest first."""
        records = await to_thread.run_sync(self._store.recent_jobs, count)
        views = [
            self._own_view(self._jobs[record.id]) if record.id in self._jobs else _foreign_view(record)
            for record in records
        ]
        return sorted(views, key=lambda view: not view.record.unfinished)

    def _own_view(self, job: Job) -> JobView:
        """With the jobs before it, if it waits: of this server, and of another one that has the models."""
        before: list[Job] = []
        if job in self._waiting:
            before = list(self._waiting)[: self._waiting.index(job)]
            if self._current is not None and self._current.record.unfinished:
                before.insert(0, self._current)
        seconds = [other.left() for other in before]
        elsewhere: list[JobRecord] = []
        if self._waits_for_others():
            elsewhere = self._before_us
            seconds += [record.left() for record in elsewhere] or [None]
        return job.view(len(before) + len(elsewhere), None if None in seconds else sum(seconds))

    def _waits_for_others(self) -> bool:
        """Whether the worker stands in line for the models."""
        job = self._current
        return job is not None and job.heard and job.record.status == "queued"

    async def cancel(self, job_id: str) -> JobView:
        """Ends a job: asks the worker, and kills it when it does not stop soon. A finished job stays as it is.

        Raises :class:`NotFound` (``job_not_found``).
        """
        view = await self.view(job_id)
        if not view.record.unfinished:
            return view
        if job_id in self._jobs:
            await self._cancel_own(self._jobs[job_id])
        else:
            await to_thread.run_sync(self._store.ask_to_cancel, job_id)
        return await self.wait(job_id, self._settings.cancel_grace_s + 2 * TICK_S)

    async def _cancel_own(self, job: Job) -> None:
        if job.cancelling:
            return
        job.cancelling = True
        if job in self._waiting:
            self._waiting.remove(job)
            await self._finish(job, status="cancelled")
        elif self._worker is not None:
            await self._worker.send({"cancel": job.record.id})
            self._tasks.start_soon(self._kill_unless_ended, job, self._worker)

    async def _kill_unless_ended(self, job: Job, worker: WorkerProcess) -> None:
        with anyio.move_on_after(self._settings.cancel_grace_s):
            await job.ended.wait()
        if not job.ended.is_set():
            worker.kill()

    def _new(self, new: NewJob) -> Job:
        job_id = f"job_{secrets.token_hex(8)}"
        record = JobRecord(
            id=job_id,
            request_key=new.key,
            operation=new.request.operation,
            arguments=new.arguments,
            owner=self._store.owner,
            created_at=time.time(),
        )
        return Job(new, record, self._settings.inbox / f"{job_id}.json")

    # the loop

    async def _serve(self) -> None:
        try:
            while True:
                self._current = await self._next()
                await self._do(self._current)
                self._current = None
                self._forget_old()
        finally:
            if self._worker is not None:
                await self._worker.destroy()

    async def _next(self) -> Job:
        while not self._waiting:
            idle = self._settings.idle_s if self._worker is not None else None
            with anyio.move_on_after(idle) as scope:
                await self._wakeup.wait()
            if scope.cancelled_caught and not self._waiting:
                await self._let_worker_go()
        return self._waiting.popleft()

    def _wake(self) -> None:
        self._wakeup.set()
        self._wakeup = anyio.Event()

    async def _let_worker_go(self) -> None:
        worker, self._worker = self._worker, None
        if worker is not None:
            await worker.stop(self._settings.cancel_grace_s)

    async def _do(self, job: Job) -> None:
        try:
            await self._run(job)
        except TranscriptionError as error:
            await self._fail(job, error)
        except Exception as error:  # a defect here must not take the jobs behind it along
            await self._fail(job, defect(error))
        finally:
            with suppress(OSError):
                job.output.unlink(missing_ok=True)

    async def _fail(self, job: Job, error: TranscriptionError) -> None:
        if error.code == "job_cancelled":
            await self._finish(job, status="cancelled")
        else:
            await self._finish(job, status="failed", error=error.to_dict())

    async def _run(self, job: Job) -> None:
        """Raises the job's error."""
        outcome = await self._outcome(job)
        if outcome["event"] == "failed":
            raise from_dict(outcome["error"])
        record = job.record
        transcript_id, made = await to_thread.run_sync(
            self._store.keep, job.output, record.operation, record.arguments.get("transcript_id")
        )
        await to_thread.run_sync(self._estimates.learn, job.plan, made, job.resumed)
        if self._kept is not None:
            await self._kept(transcript_id, made)
        await self._finish(job, status="completed", fraction=1.0, transcript_id=transcript_id)

    async def _outcome(self, job: Job) -> dict[str, Any]:
        """The worker's last word on the job. A warm worker that is found dead is replaced without a word.

        Raises the error of a job whose worker died.
        """
        while True:
            warm = self._worker is not None
            outcome = await self._attempt(job)
            if outcome is not None:
                return outcome
            how = await self._bury_worker()
            if not warm or job.heard or job.cancelling:
                raise self._died(job, how)

    async def _attempt(self, job: Job) -> dict[str, Any] | None:
        """The worker's last word on the job; none when it died."""
        if self._worker is None:
            await self._start_worker()
        if job.cancelling:
            raise JobError("The job was cancelled.", code="job_cancelled")
        command = {
            "job_id": job.record.id,
            "request": job.request.model_dump(mode="json"),
            "output": str(job.output),
            "lock": str(self._settings.accelerator_lock),
        }
        await self._worker.send({"run": command})
        async for event in self._worker.events():
            if event.get("job_id") != job.record.id:
                continue
            if event["event"] == "progress":
                job.progress(event)
            else:
                return event
        return None

    async def _start_worker(self) -> None:
        try:
            self._worker = await WorkerProcess.start(self._settings)
        except OSError as error:
            raise JobError(
                f"The process that runs the models cannot be started: {error.strerror}.",
                code="worker_died",
                hint="Run health_check.",
            ) from None

    async def _bury_worker(self) -> str:
        """Frees what is left of a worker that died; returns how it died, in words."""
        worker, self._worker = self._worker, None
        how = await worker.ended()
        await worker.destroy()
        return how

    def _died(self, job: Job, how: str) -> TranscriptionError:
        if job.cancelling:
            return JobError("The job was cancelled.", code="job_cancelled")
        return JobError(
            f"The process that runs the models ended unexpectedly in stage {job.record.stage}: {how}.",
            code="worker_died",
            hint="Call again: finished stages are kept. If it dies again, memory may be short: use a smaller "
            f"model. Its log is {self._settings.log}.",
            retryable=True,
        )

    async def _finish(self, job: Job, **fields: Any) -> None:
        """Writes the end down, then announces it. A store that fails turns success into ``store_failed``."""
        final = {"finished_at": time.time(), "detail": None, **fields}
        async with job.saving:
            try:
                await self._write(job.record.model_copy(update=final))
            except TranscriptionError as error:
                if final["status"] == "completed":
                    final |= {"status": "failed", "error": error.to_dict()}
            job.update(**final)

    # writing down: one save of a job at a time, so that an older state never replaces a newer one

    async def _save(self, job: Job, done_at: float | None = None) -> bool:
        """Whether another server asked to cancel the job."""
        async with job.saving:
            record = job.record.model_copy(update={"done_at": done_at})
            return record.unfinished and await self._write(record)

    async def _write(self, record: JobRecord) -> bool:
        return await to_thread.run_sync(self._store.save_job, record)

    async def _tick(self) -> None:
        """Tells other servers how far the jobs are, and hears which they want cancelled."""
        while True:
            await anyio.sleep(TICK_S)
            for job in [job for job in self._jobs.values() if job.record.unfinished]:
                eta_s = self._own_view(job).eta_s
                try:
                    asked = await self._save(job, None if eta_s is None else time.time() + eta_s)
                except TranscriptionError:
                    continue  # the job goes on; its end will say that the store failed
                if asked:
                    await self._cancel_own(job)
            with suppress(TranscriptionError):
                await self._look_elsewhere()

    async def _look_elsewhere(self) -> None:
        waits = self._waits_for_others()
        self._before_us = await to_thread.run_sync(self._store.running_elsewhere) if waits else []

    def _forget_old(self) -> None:
        ended = [job_id for job_id, job in self._jobs.items() if not job.record.unfinished]
        for job_id in ended[:-KEPT_FINISHED]:
            del self._jobs[job_id]


def _foreign_view(record: JobRecord) -> JobView:
    """The job of another server, or one that this one has forgotten."""
    return JobView(record, eta_s=record.left())


def _quietly(work: Callable[[], None]) -> None:
    try:
        work()
    except TranscriptionError as error:
        print(f"{error.code}: {error.message}", file=sys.stderr)
