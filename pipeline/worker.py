"""The process that holds the models, started by the server as its own session::

    python -m pipeline.worker PARENT

``PARENT`` is the server's process id: a server that was killed before the worker could look is noticed too.

Commands come as JSON lines on stdin::

    {"run": {"job_id": …, "request": JobRequest, "output": path, "lock": path}}
    {"cancel": job_id}
    {"shutdown": true}

Events go as JSON lines to what was stdout when the process began; stdout itself is turned to stderr, so that a
library's print cannot damage them::

    {"event": "ready"}
    {"event": "progress", "job_id": …, "stage": …, "fraction": …, "text": …, "detail": …}
    {"event": "completed", "job_id": …}
    {"event": "failed", "job_id": …, "error": {code, message, retryable, hint}}

The main thread loads and runs the models, because MLX's streams belong to the thread that made them. A second
thread reads commands, so that a cancel is seen in the middle of a job, and ends the process when its parent is
gone.
"""

from __future__ import annotations

import fcntl
import json
import os
import queue
import select
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from schemas.errors import JobError, StageFailed, TranscriptionError
from schemas.jobs import JobRequest
from schemas.transcript import Transcript

EVENT_INTERVAL_S = 0.2
PARENT_CHECK_S = 0.5
LOCK_POLL_S = 0.2

Run = Callable[..., Transcript]


class Events:
    """The way back to the server. Writing to a server that is gone ends the process."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._lock = threading.Lock()

    def send(self, event: str, **fields: Any) -> None:
        """One event as one line."""
        line = json.dumps({"event": event, **fields}, ensure_ascii=False) + "\n"
        data = line.encode("utf-8", "replace")
        with self._lock:
            try:
                while data:
                    data = data[os.write(self._fd, data) :]
            except BrokenPipeError:
                end_now()


class Commands(threading.Thread):
    """Reads stdin: queues what is to be run, remembers what is to be cancelled, watches the parent."""

    def __init__(self, fd: int, parent: int) -> None:
        super().__init__(daemon=True, name="commands")
        self._fd, self._parent = fd, parent
        self._cancelled: set[str] = set()
        self._runs: queue.Queue[dict | None] = queue.Queue()
        self._stopping = threading.Event()

    def next(self) -> dict | None:
        """The next job to run, or none when the process shall end. Waits."""
        return self._runs.get()

    def is_cancelled(self, job_id: str) -> bool:
        """Whether the job was cancelled, or everything is to stop."""
        return self._stopping.is_set() or job_id in self._cancelled

    def run(self) -> None:
        """Until the server is gone; then the process and all that it started end at once."""
        buffer = b""
        while os.getppid() == self._parent:
            readable, _, _ = select.select([self._fd], [], [], PARENT_CHECK_S)
            if not readable:
                continue
            data = os.read(self._fd, 1 << 16)
            if not data:
                break
            *lines, buffer = (buffer + data).split(b"\n")
            for line in filter(None, lines):
                self._take(json.loads(line))
        end_now()

    def _take(self, command: dict) -> None:
        match command:
            case {"run": dict(job)}:
                self._runs.put(job)
            case {"cancel": str(job_id)}:
                self._cancelled.add(job_id)
            case {"shutdown": _}:
                self._stopping.set()
                self._runs.put(None)
            case _:
                print(f"worker: unknown command {sorted(command)}", file=sys.stderr)


class Reporter:
    """What a run reports to: passes progress on, at most five times a second, and stops a cancelled run."""

    def __init__(self, job_id: str, events: Events, is_cancelled: Callable[[], bool]) -> None:
        self._job_id, self._events, self._is_cancelled = job_id, events, is_cancelled
        self._sent_at = 0.0
        self._stage = ""
        self._text: str | None = None

    def __call__(self, stage: str, fraction: float, text: str | None, detail: str | None = None) -> None:
        """Raises :class:`JobError` (``job_cancelled``) once the job was cancelled."""
        self.check()
        new_text = text is not None and text != self._text
        due = time.monotonic() - self._sent_at >= EVENT_INTERVAL_S
        if not due and stage == self._stage:
            return
        self._stage, self._sent_at = stage, time.monotonic()
        if new_text:
            self._text = text
        self._events.send(
            "progress",
            job_id=self._job_id,
            stage=stage,
            fraction=round(min(1.0, max(0.0, fraction)), 4),
            detail=detail,
            **({"text": text} if new_text else {}),
        )

    def check(self) -> None:
        """Raises :class:`JobError` (``job_cancelled``) once the job was cancelled."""
        if self._is_cancelled():
            raise JobError("The job was cancelled.", code="job_cancelled", hint="The same request goes on.")


@contextmanager
def turn(lock: Path, report: Callable[[str, float, str | None, str | None], None]):
    """Holds the accelerator: one job at a time on a machine, whichever server asked for it.

    Who comes next holds a second lock while it waits: a server with many jobs lets the others' have their turns.
    Locks belong to open files, so the kernel frees them when this process ends in whatever way. While another
    process is before this one, ``report`` hears the stage ``queued`` with the reason; it may raise to give up.
    """
    with _opened(lock) as held:

        def wait() -> None:
            holder = held.read(32).strip()
            held.seek(0)
            report("queued", 0.0, None, f"another program is using the models (process {holder or '?'})")

        with _opened(lock.with_name(f"{lock.name}.next")) as next_one:
            _take(next_one, wait)
            _take(held, wait)
        held.truncate(0)
        held.write(f"{os.getpid()}\n")
        held.flush()
        yield


def _opened(lock: Path) -> Any:
    return os.fdopen(os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600), "r+")


def _take(file: Any, wait: Callable[[], None]) -> None:
    """Locks the file, which closing it frees."""
    while not _try_lock(file.fileno()):
        wait()
        time.sleep(LOCK_POLL_S)


def _try_lock(fd: int) -> bool:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


class Worker:
    """Runs one job after the other with models that stay loaded in between."""

    def __init__(self, run: Run, pool: Any, cache: Any, commands: Commands, events: Events) -> None:
        self._run, self._pool, self._cache = run, pool, cache
        self._commands, self._events = commands, events

    def serve(self) -> None:
        """Until the server says ``shutdown`` (or is gone)."""
        self._events.send("ready")
        while (job := self._commands.next()) is not None:
            self._do(job)
        self._pool.unload()
        clear_mlx_streams()

    def _do(self, job: dict) -> None:
        job_id = job["job_id"]
        try:
            self._finish(job)
        except Exception as error:  # a defect in one job must not take the next one down
            failure = coded(error)
            if failure.code in ("internal_error", "out_of_memory"):
                self._pool.unload()
            self._events.send("failed", job_id=job_id, error=failure.to_dict())
        else:
            self._events.send("completed", job_id=job_id)

    def _finish(self, job: dict) -> None:
        report = Reporter(job["job_id"], self._events, lambda: self._commands.is_cancelled(job["job_id"]))
        request = JobRequest.model_validate(job["request"])
        with turn(Path(job["lock"]), report):
            report("loading", 0.0, None)
            transcript = self._run(request, pool=self._pool, cache=self._cache, report=report)
            report.check()
            write_result(Path(job["output"]), transcript)


def coded(error: Exception) -> TranscriptionError:
    """The error as the server may pass it on: never a library's own words, which may quote the recording."""
    if isinstance(error, TranscriptionError):
        return error
    log_defect(error)
    if isinstance(error, MemoryError) or "OutOfMemory" in type(error).__name__:
        return StageFailed(
            "The machine ran out of memory.",
            code="out_of_memory",
            hint="Use a smaller model or a smaller batch_size, or close other programs.",
            retryable=True,
        )
    return JobError(
        f"The job failed because of a defect of this program ({type(error).__name__}).",
        hint="Try once more; health_check names the log file, which tells where it happened.",
    )


def log_defect(error: BaseException) -> None:
    """Where an unexpected exception happened, to stderr; not its message, which may quote the recording."""
    frames = "".join(traceback.format_tb(error.__traceback__))
    print(f"{type(error).__name__} in\n{frames}", file=sys.stderr, flush=True)


def write_result(path: Path, transcript: Transcript) -> None:
    """Writes the transcript so that a reader finds all of it or nothing, for the owner only.

    Raises :class:`JobError` (``store_failed``) when the folder cannot be written.
    """
    from pipeline.cache import write_atomically

    try:
        write_atomically(path, transcript.model_dump_json(exclude_none=True))
    except OSError as error:
        raise JobError(
            f"The transcript could not be written: {error.strerror}.",
            code="store_failed",
            hint="Check the free space of the disk and the rights of the server's folder (see health_check).",
        ) from None


def clear_mlx_streams() -> None:
    """MLX can abort the process at exit when a thread's streams are still open."""
    mx = sys.modules.get("mlx.core")
    if mx is not None and hasattr(mx, "clear_streams"):
        mx.clear_streams()


def end_now() -> None:
    """Ends this process and whatever it started, at once. Locks are freed by the kernel."""
    if os.getpgrp() == os.getpid():
        os.killpg(0, signal.SIGKILL)
    os._exit(1)


def claim_stdout() -> int:
    """Takes stdout away from everybody else: returns a private copy; prints go to stderr from here on."""
    sys.stdout.flush()
    private = fcntl.fcntl(1, fcntl.F_DUPFD_CLOEXEC, 3)
    os.dup2(2, 1)
    return private


def main(run: Run | None = None) -> None:
    """Serves until the server is done. ``run`` stands in for :func:`pipeline.run.run`."""
    os.environ["PYANNOTE_METRICS_ENABLED"] = "0"
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    os.umask(0o077)
    with suppress(ValueError, OSError):
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the server's to handle
    events = Events(claim_stdout())
    parent = int(sys.argv[1]) if len(sys.argv) > 1 else os.getppid()
    commands = Commands(0, parent)
    commands.start()
    from pipeline.cache import Cache
    from pipeline.pool import ModelPool

    if run is None:
        from pipeline.run import run
    Worker(run, ModelPool(), Cache(), commands, events).serve()
    sys.stderr.flush()
    os._exit(0)  # skips the teardown of native libraries, some of which abort in it


if __name__ == "__main__":
    main()
