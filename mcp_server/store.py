"""What outlives the server: jobs, recordings and transcripts, shared by all servers of a user.

Rows are in SQLite (WAL mode); a transcript itself is a JSON file. Everything is readable by the owner only.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import re
import secrets
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from pydantic_core import from_json

from mcp_server.migrations import TooNew, migrate
from mcp_server.settings import Settings
from schemas._frozen import Frozen
from schemas.errors import JobError, NotFound
from schemas.jobs import UNFINISHED, JobStatus
from schemas.options import Operation
from schemas.transcript import Transcript

_TRANSCRIPT_ID = re.compile(r"tr_[0-9a-f]{24}")
_BUSY_TIMEOUT_S = 5.0
_INBOX_MAX_AGE_S = 7 * 24 * 3600.0


class JobRecord(Frozen):
    """A job as it is written down. ``arguments`` are the tool's, to name the call that starts it again."""

    id: str
    request_key: str
    operation: Operation
    arguments: dict[str, Any]
    status: JobStatus = "queued"
    owner: str
    stage: str = "queued"
    fraction: float = 0.0
    detail: str | None = None
    created_at: float
    started_at: float | None = None
    finished_at: float | None = None
    transcript_id: str | None = None
    error: dict[str, Any] | None = None

    @property
    def unfinished(self) -> bool:
        """Queued or running."""
        return self.status in UNFINISHED


class Store:
    """All methods block shortly and may be called from any thread. Every failure is ``store_failed``.

    The database is opened when it is first needed, and again after a failure, so that a server that could not
    read it goes on once the cause is mended.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._lock = threading.RLock()
        self._connection: sqlite3.Connection | None = None
        self._owner_file: Any = None
        self.owner = f"{os.getpid()}-{secrets.token_hex(4)}"

    # jobs

    def save_job(self, job: JobRecord) -> bool:
        """Writes a job down; returns whether another server asked to cancel it."""
        row = job.model_dump()
        row["arguments"] = json.dumps(job.arguments)
        row["error"] = None if job.error is None else json.dumps(job.error)
        columns = ", ".join(row)
        places = ", ".join(f":{name}" for name in row)
        changes = ", ".join(f"{name} = excluded.{name}" for name in row if name != "id")
        sql = f"INSERT INTO jobs ({columns}) VALUES ({places}) ON CONFLICT (id) DO UPDATE SET {changes}"
        with self._writing() as db:
            db.execute(sql, row)
            asked = db.execute("SELECT cancel_asked FROM jobs WHERE id = ?", (job.id,)).fetchone()
        return bool(asked[0])

    def job(self, job_id: str) -> JobRecord:
        """Raises :class:`NotFound` (``job_not_found``). A job whose server is gone comes as ``interrupted``."""
        with self._reading() as db:
            row = db.execute("SELECT * FROM jobs WHERE id = ?", (job_id,)).fetchone()
        if row is None:
            raise NotFound(
                "No job has that id.",
                code="job_not_found",
                hint="Call the tool again with the same arguments; finished work is not done twice.",
            )
        job = _job(row)
        if job.unfinished and not self._is_alive(job.owner):
            self.mark_interrupted()
            job = job.model_copy(update={"status": "interrupted", "finished_at": time.time()})
        return job

    def completed_job(self, request_key: str) -> JobRecord | None:
        """The latest job that did just this request, if its transcript is still here."""
        with self._reading() as db:
            row = db.execute(
                "SELECT * FROM jobs WHERE request_key = ? AND status = 'completed'"
                " ORDER BY finished_at DESC LIMIT 1",
                (request_key,),
            ).fetchone()
        if row is None or not self._file(row["transcript_id"]).is_file():
            return None
        return _job(row)

    def ask_to_cancel(self, job_id: str) -> None:
        """Leaves word for the server that runs the job."""
        with self._writing() as db:
            db.execute("UPDATE jobs SET cancel_asked = 1 WHERE id = ?", (job_id,))

    def mark_interrupted(self) -> int:
        """Jobs whose server is gone become ``interrupted``; returns how many."""
        with self._reading() as db:
            rows = db.execute(
                "SELECT DISTINCT owner FROM jobs WHERE status IN ('queued', 'running')"
            ).fetchall()
        gone = [row["owner"] for row in rows if not self._is_alive(row["owner"])]
        return sum(self._interrupt(owner) for owner in gone)

    def interrupt_own(self) -> None:
        """Before the server ends: its unfinished jobs become ``interrupted``."""
        self._interrupt(self.owner)

    def _interrupt(self, owner: str) -> int:
        with self._writing() as db:
            changed = db.execute(
                "UPDATE jobs SET status = 'interrupted', finished_at = ?"
                " WHERE owner = ? AND status IN ('queued', 'running')",
                (time.time(), owner),
            ).rowcount
        if owner != self.owner:
            self._owner_path(owner).unlink(missing_ok=True)
        return changed

    # transcripts

    def keep(self, result: Path, operation: str) -> tuple[str, Transcript]:
        """Takes a worker's result in: checks it, moves it to its place, writes it down.

        Raises :class:`JobError`: ``store_failed``, or ``internal_error`` when it is no transcript.
        """
        with _coded(self._settings):
            data = result.read_bytes()
            try:
                transcript = Transcript.model_validate_json(data)
            except ValueError:
                raise JobError(
                    "The worker's result is not a transcript.", hint="This is a defect; try once more."
                ) from None
            transcript_id = id_of(transcript, operation)
            result.replace(self._file(transcript_id))
        self._describe(transcript_id, transcript, operation)
        return transcript_id, transcript

    def _describe(self, transcript_id: str, transcript: Transcript, operation: str) -> None:
        now, media = time.time(), transcript.media
        sha256 = media.sha256 or ""
        with self._writing() as db:
            db.execute(
                "INSERT INTO recordings VALUES (?, ?, ?, ?, ?)"
                " ON CONFLICT (sha256) DO UPDATE SET path = excluded.path, last_seen = excluded.last_seen",
                (sha256, media.path, media.duration_s, now, now),
            )
            counts = (len(transcript.segments), len(transcript.speakers))
            db.execute(
                "INSERT INTO transcripts VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO NOTHING",
                (transcript_id, sha256, operation, transcript.language, *counts, now),
            )

    def transcript(self, transcript_id: str, *, words: bool = True) -> Transcript:
        """``words=False`` leaves them out, which saves most of the memory and time that a long one takes.

        Raises :class:`NotFound` (``transcript_not_found``); an id is never used as a path unchecked.
        """
        path = self.transcript_path(transcript_id)
        with _coded(self._settings):
            data = path.read_bytes()
        try:
            return Transcript.model_validate_json(data) if words else _without_words(data)
        except ValueError:
            raise JobError(
                f"The transcript's file {path.name} is damaged.",
                code="store_failed",
                hint="Make the transcript again with force=true.",
            ) from None

    def transcript_path(self, transcript_id: str) -> Path:
        """Where the transcript lies. Raises :class:`NotFound` (``transcript_not_found``)."""
        if _TRANSCRIPT_ID.fullmatch(transcript_id):
            path = self._file(transcript_id)
            if path.is_file():
                return path
        raise NotFound(
            "No transcript has that id.",
            code="transcript_not_found",
            hint="Use a transcript_id from a result of transcribe, align, diarize or transcribe_diarized.",
        )

    def put_inbox(self, transcript: Transcript) -> Path:
        """A transcript handed in by a client, as a file for the worker, named by its content."""
        data = transcript.model_dump_json(exclude_none=True).encode()
        path = self._settings.inbox / f"given_{hashlib.sha256(data).hexdigest()[:24]}.json"
        with _coded(self._settings):
            self._make_folders()
            with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
                file.write(data)
        return path

    def _file(self, transcript_id: str) -> Path:
        return self._settings.transcripts / f"{transcript_id}.json"

    # the database

    def open(self) -> None:
        """Makes folders and database where they are missing. Raises :class:`JobError` (``store_failed``)."""
        with self._reading():
            pass

    def close(self) -> None:
        """Lets the database go."""
        with self._lock, suppress(sqlite3.Error):
            if self._connection is not None:
                self._connection.close()
            self._connection = None
            if self._owner_file is not None:
                self._owner_path(self.owner).unlink(missing_ok=True)
                self._owner_file.close()
                self._owner_file = None

    @contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        with self._lock, _coded(self._settings, self._forget):
            yield self._connected()

    @contextmanager
    def _writing(self) -> Iterator[sqlite3.Connection]:
        with self._reading() as db:
            db.execute("BEGIN IMMEDIATE")
            try:
                yield db
                db.execute("COMMIT")
            except BaseException:
                with suppress(sqlite3.Error):
                    db.execute("ROLLBACK")
                raise

    def _connected(self) -> sqlite3.Connection:
        if self._connection is None:
            self._make_folders()
            self._claim_owner()
            path = self._settings.state_dir / "library.sqlite"
            path.touch(0o600)
            db = sqlite3.connect(path, timeout=_BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False)
            db.row_factory = sqlite3.Row
            try:
                db.execute("PRAGMA journal_mode = WAL")
                db.execute("PRAGMA synchronous = NORMAL")
                migrate(db)
            except BaseException:
                db.close()
                raise
            self._connection = db
            self._prune_inbox()
        return self._connection

    def _prune_inbox(self) -> None:
        """What crashed servers left behind."""
        limit = time.time() - _INBOX_MAX_AGE_S
        for path in self._settings.inbox.iterdir():
            with suppress(OSError):
                if path.stat().st_mtime < limit:
                    path.unlink()

    def _make_folders(self) -> None:
        for folder in (self._settings.state_dir, self._settings.transcripts, self._settings.inbox):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)

    def _forget(self) -> None:
        if self._connection is not None:
            with suppress(sqlite3.Error):
                self._connection.close()
            self._connection = None

    # who is alive: each server holds a lock on a file of its own, which the kernel frees with the process

    def _owner_path(self, owner: str) -> Path:
        return self._settings.state_dir / f"server-{owner}.lock"

    def _claim_owner(self) -> None:
        if self._owner_file is None:
            fd = os.open(self._owner_path(self.owner), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            self._owner_file = os.fdopen(fd, "r+")
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)

    def _is_alive(self, owner: str) -> bool:
        if owner == self.owner:
            return True
        try:
            fd = os.open(self._owner_path(owner), os.O_RDWR | os.O_CLOEXEC)
        except OSError:
            return False
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(fd)
        return False


def _without_words(data: bytes) -> Transcript:
    """Raises ValueError for what is no transcript."""
    fields = from_json(data)
    for segment in fields["segments"] if isinstance(fields, dict) and "segments" in fields else ():
        segment.pop("words", None)
        segment.pop("chars", None)
    return Transcript.model_validate(fields)


def id_of(transcript: Transcript, operation: str) -> str:
    """The same result has the same id: what was said and which models heard it.

    Times of work, the file's place and warnings (which may name folders) do not count.
    """
    content = transcript.model_dump(mode="json", exclude_none=True, exclude={"warnings"})
    content["media"].pop("path", None)
    for stage in content["stages"].values():
        for changing in ("seconds", "rtfx", "cached"):
            stage.pop(changing, None)
    canonical = json.dumps([operation, content], sort_keys=True, separators=(",", ":"))
    return f"tr_{hashlib.sha256(canonical.encode()).hexdigest()[:24]}"


def _job(row: sqlite3.Row) -> JobRecord:
    fields = {name: row[name] for name in JobRecord.model_fields}
    fields["arguments"] = json.loads(fields["arguments"])
    fields["error"] = None if fields["error"] is None else json.loads(fields["error"])
    return JobRecord(**fields)


@contextmanager
def _coded(settings: Settings, after: Any = None) -> Iterator[None]:
    """The failures of disk and database as ``store_failed``."""
    try:
        yield
    except (sqlite3.Error, OSError, TooNew) as error:
        if after is not None:
            after()
        raise JobError(
            f"The server's own folder {settings.state_dir} cannot be used: {error}.",
            code="store_failed",
            hint=_hint(error, settings),
        ) from None


def _hint(error: Exception, settings: Settings) -> str:
    if isinstance(error, TooNew):
        return "Update whisperx-mlx-mcp, or name another folder with WHISPERX_MLX_STATE."
    if isinstance(error, sqlite3.DatabaseError) and not isinstance(error, sqlite3.OperationalError):
        return (
            f"Move {settings.state_dir / 'library.sqlite'} away; a new one is made, and transcripts are kept "
            "as files beside it."
        )
    return "Check the folder's rights and the disk's free space, or name another with WHISPERX_MLX_STATE."
