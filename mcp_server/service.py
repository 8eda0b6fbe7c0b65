"""What the tools have in common: from arguments to a job, from a job to an answer."""

from __future__ import annotations

import hashlib
import json
import sys
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

import anyio
from anyio import to_thread
from mcp.server.mcpserver import Context
from mcp_types import CallToolResult

from mcp_server import foreign, results
from mcp_server.access import Access, CheckedFile
from mcp_server.defects import defect
from mcp_server.engine import ask_aside
from mcp_server.estimates import Estimates
from mcp_server.job import JobView, NewJob
from mcp_server.jobs import JobManager
from mcp_server.library import Library
from mcp_server.names import Names
from mcp_server.settings import Settings
from mcp_server.store import JobRecord, Store
from mcp_server.views import Cursor, View, show
from mcp_server.voices import Voices
from pipeline.progress import stages_of
from schemas.errors import InvalidArgument, TranscriptionError, from_dict
from schemas.jobs import JobRequest
from schemas.options import Operation, Options
from schemas.transcript import Transcript

PAGE_CHARS = 20_000
# Voices are kept beside the transcript, so that names can follow them; no result shows them or leads to them.
_DEFAULTS = {"speaker_embeddings": True}
_DAY_S = 24 * 3600.0
_PAGE_S = 1.0  # for reading the result and writing the answer


class Service:
    """One per server. Used inside :meth:`running`."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.access = Access(settings.allow_dirs)
        self.store = Store(settings)
        self.names = Names(self.store.database)
        self.library = Library(settings, self.store, self.names)
        self.voices = Voices(self.store, self.names)
        self.jobs = JobManager(self.store, settings, self._recognise)
        self.estimates = Estimates(self.store.database)

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Jobs that a dead server left behind become ``interrupted``; then jobs are served."""
        async with self.jobs.running():
            # a broken store is every tool's error and health_check's subject, not the server's end
            with suppress(TranscriptionError):
                await to_thread.run_sync(self.store.mark_interrupted)
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(self._tidy)
                yield
                tasks.cancel_scope.cancel()

    async def _tidy(self) -> None:
        """Takes transcripts in that the database does not know; once a day, removes those that are too old."""
        for work in (self.library.index_missing, self.store.prune_voices):
            with suppress(TranscriptionError):
                await to_thread.run_sync(work, abandon_on_cancel=True)
        while self.settings.keep_days is not None:
            with suppress(TranscriptionError):
                await to_thread.run_sync(self._expire, self.settings.keep_days)
            await anyio.sleep(_DAY_S)

    def _expire(self, keep_days: float) -> None:
        from pipeline.cache import Cache

        self.library.expire(keep_days, self.forget_stages)
        Cache().prune(keep_days * _DAY_S)

    def forget_stages(self, sha256: str) -> int:
        """Removes the finished stages of a recording's samples; returns how many files went."""
        from pipeline.cache import Cache

        return Cache().forget(sha256)

    def options(self, **given: Any) -> Options:
        """The server's defaults with what the request gives (anything but none) over them.

        Raises :class:`InvalidArgument`.
        """
        said = {name: value for name, value in given.items() if value is not None}
        return Options.from_flat(**{**_DEFAULTS, **self.settings.defaults, **said})

    async def _recognise(self, transcript_id: str, transcript: Transcript) -> None:
        """Names for a new transcript. A failure costs the names, never the transcript."""
        try:
            await self.voices.recognise(transcript_id, transcript, partial(ask_aside, self.settings))
        except TranscriptionError as error:
            print(f"{error.code}: {error.message}", file=sys.stderr)
        except Exception as error:
            defect(error)

    async def do(
        self,
        operation: Operation,
        arguments: Mapping[str, Any],
        options: Options,
        *,
        wait_s: float,
        ctx: Context,
        file_path: str | None = None,
        transcript_id: str | None = None,
        **handed_in: Any,
    ) -> CallToolResult:
        """Starts or joins the job, waits for it, answers with what is there then.

        ``handed_in``: a transcript from elsewhere, in one of :data:`mcp_server.foreign.ARGUMENTS`.
        """
        began = anyio.current_time()
        given, path = await self._given({"transcript_id": transcript_id, **handed_in}, options)
        file = await to_thread.run_sync(self.access.check, self._recording_of(file_path, path, transcript_id))
        checked = await self._check(file, options)
        plan = checked.get("plan", "")
        key = _key(operation, file.version, given.name if given else None, options, plan)
        job = None if options.force else await to_thread.run_sync(self.store.completed_job, key)
        if job is None:
            request = JobRequest(
                operation=operation,
                path=str(file.path),
                identity=file.identity,
                transcript_path=str(given) if given else None,
                options=options,
            )
            length = _window_s(options, checked.get("duration_s"))
            names = stages_of(operation, words=not options.align.no_align)
            expected = await to_thread.run_sync(self.estimates.expected, plan, names, length)
            job = await self.jobs.submit(NewJob(key, request, _again(arguments), plan, expected))
        return await self.answer(job.id, wait_s, ctx, took_s=anyio.current_time() - began)

    async def answer(
        self, job_id: str, wait_s: float, ctx: Context, *, took_s: float = 0.0
    ) -> CallToolResult:
        """The job's result, or how far it is, within ``wait_s`` seconds, of which ``took_s`` are gone.

        Raises the error of a failed job, :class:`NotFound` (``job_not_found``).
        """
        waits_s = max(0.0, wait_s - took_s - min(_PAGE_S, wait_s / 10))
        return await self.present(await self.jobs.wait(job_id, waits_s, ProgressNotes(ctx)))

    async def present(self, view: JobView) -> CallToolResult:
        """A job as a client sees it; a failed one as its error."""
        job = view.record
        match job.status:
            case "completed":
                words = job.operation == "align"
                return await self.page(job.transcript_id, View(include_words=words), job=job)
            case "failed":
                return results.failure(from_dict(job.error), job.id)
            case "cancelled" | "interrupted":
                return results.stopped(job)
        return results.unfinished(view, time.time())

    async def page(
        self,
        transcript_id: str,
        view: View,
        *,
        cursor: str | None = None,
        max_chars: int = PAGE_CHARS,
        job: JobRecord | None = None,
    ) -> CallToolResult:
        """A page of a transcript. Raises :class:`NotFound`, :class:`InvalidArgument`."""
        path = await to_thread.run_sync(self.store.transcript_path, transcript_id)
        place = Cursor(transcript_id=transcript_id, view=view, offset=0)
        if cursor is not None:
            place = Cursor.decoded(cursor, transcript_id)

        def read() -> CallToolResult:
            transcript = self.store.transcript(transcript_id, words=place.view.needs_words)
            transcript = self.names.on(transcript_id, transcript)
            shown = show(transcript, place, max_chars)
            names = self.names.suggested(transcript_id)
            return results.finished(transcript_id, transcript, shown, path=path, job=job, suggestions=names)

        return await to_thread.run_sync(read)

    async def _given(self, arguments: dict[str, Any], options: Options) -> tuple[Path | None, str | None]:
        """The transcript that a request builds on, as a file for the worker, and the recording's path in it."""
        name = foreign.check(arguments)
        if name is None:
            return None, None
        if name == "transcript_id":
            path = await to_thread.run_sync(self.store.transcript_path, arguments[name])
            read = partial(self.store.transcript, arguments[name], words=False)
            return path, (await to_thread.run_sync(read)).media.path
        handed_in = partial(foreign.transcript, self.access, name, arguments[name], options.asr.language)
        return await to_thread.run_sync(self.store.put_inbox, await to_thread.run_sync(handed_in)), None

    def _recording_of(self, file_path: str | None, known: str | None, transcript_id: str | None) -> str:
        if file_path or known:
            return file_path or known
        if transcript_id:
            raise InvalidArgument(
                "The transcript does not say where its recording lies.", hint="Give file_path too."
            )
        raise InvalidArgument("Give file_path or transcript_id.", hint="file_path is an absolute path.")

    async def _check(self, file: CheckedFile, options: Options) -> dict[str, Any]:
        """Refuses what is no recording before a job exists; its length, and what the plan's choice depends on.

        A check that takes too long (a network disk) or crashes leaves the judgement to the job.
        """
        found = await ask_aside(
            self.settings,
            {
                "check": {
                    "path": str(file.path),
                    "identity": file.identity.model_dump(),
                    "options": options.model_dump(mode="json"),
                }
            },
        )
        return found or {}


class ProgressNotes:
    """Progress notifications: at most one a second, at least one every ten, always rising."""

    MOST_OFTEN_S = 1.0
    LEAST_OFTEN_S = 9.0
    _STEP = 0.001

    def __init__(self, ctx: Context) -> None:
        self._ctx = ctx
        self._sent_at = float("-inf")
        self._value = 0.0

    async def __call__(self, view: JobView) -> None:
        """Sends one if it is time."""
        since = anyio.current_time() - self._sent_at
        value = view.record.fraction * 99.0
        if since < self.MOST_OFTEN_S or (value <= self._value and since < self.LEAST_OFTEN_S):
            return
        self._sent_at = anyio.current_time()
        self._value = max(value, self._value + self._STEP)
        left = "" if view.eta_s is None else f", about {view.eta_s:.0f} s left"
        detail = f" ({view.record.detail})" if view.record.detail else ""
        await self._ctx.report_progress(self._value, 100.0, f"{view.record.stage}{left}{detail}")


def _window_s(options: Options, duration_s: float | None) -> float | None:
    """Seconds of the part that is asked for; none where the header does not tell."""
    end = min(filter(None, (options.audio.end_s, duration_s)), default=None)
    return None if end is None else max(0.0, end - options.audio.start_s)


def _key(operation: str, version: str, given: str | None, options: Options, plan: str) -> str:
    """The same for the same request on an unchanged file, as long as the same models would do it."""
    asked = options.model_dump(mode="json", exclude={"force"})
    canonical = json.dumps([operation, version, given, asked, plan], sort_keys=True)
    return hashlib.sha256(canonical.encode()).hexdigest()[:32]


def _again(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """A tool's arguments for the call that starts the same again. A transcript is too large to keep."""
    kept = {name: value for name, value in arguments.items() if name != "force"}
    return {name: "…" if name in foreign.TOO_LARGE else value for name, value in kept.items()}
