"""What outlives the server: jobs, recordings and transcripts, shared by all servers of a user.

Rows are in SQLite (WAL mode); a transcript itself is a JSON file. Everything is readable by the owner only.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import sqlite3
import time
from datetime import datetime
from pathlib import Path
from typing import Any

from pydantic_core import from_json

from mcp_server import index
from mcp_server.database import Database, coded
from mcp_server.settings import Settings
from pipeline.cache import write_atomically
from schemas._frozen import Frozen
from schemas.errors import JobError, NotFound
from schemas.jobs import UNFINISHED, JobStatus
from schemas.options import Operation
from schemas.transcript import Transcript

_TRANSCRIPT_ID = re.compile(r"tr_[0-9a-f]{24}")
_VOICES = ("embedding_model", "speaker_embeddings")


class JobRecord(Frozen):
    """A job as it is written down. ``arguments`` are the tool's, to name the call that starts it again.

    ``done_at``: when it should be done, as far as its server can tell.
    """

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
    done_at: float | None = None

    @property
    def unfinished(self) -> bool:
        """Queued or running."""
        return self.status in UNFINISHED

    def left(self) -> float | None:
        """Estimated seconds to the end of an unfinished job, by what its server wrote down."""
        known = self.unfinished and self.done_at is not None
        return max(0.0, self.done_at - time.time()) if known else None


class Store:
    """All methods block shortly and may be called from any thread. Every failure is ``store_failed``."""

    def __init__(self, settings: Settings, database: Database | None = None) -> None:
        self._settings = settings
        self.database = database or Database(settings)

    @property
    def owner(self) -> str:
        """The name of this server among those that share the database."""
        return self.database.owner

    def open(self) -> None:
        """Makes folders and database where they are missing. Raises :class:`JobError` (``store_failed``)."""
        self.database.open()

    def close(self) -> None:
        """Lets the database go."""
        self.database.close()

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
        with self.database.writing() as db:
            db.execute(sql, row)
            asked = db.execute("SELECT cancel_asked FROM jobs WHERE id = ?", (job.id,)).fetchone()
        return bool(asked[0])

    def job(self, job_id: str) -> JobRecord:
        """Raises :class:`NotFound` (``job_not_found``). A job whose server is gone comes as ``interrupted``."""
        with self.database.reading() as db:
            row = db.execute("SELECT * FROM jobs WHERE id = ?", (job_id,)).fetchone()
        if row is None:
            raise NotFound(
                "No job has that id.",
                code="job_not_found",
                hint="Call the tool again with the same arguments; finished work is not done twice.",
            )
        job = _job(row)
        if job.unfinished and not self.database.is_alive(job.owner):
            self.mark_interrupted()
            job = job.model_copy(update={"status": "interrupted", "finished_at": time.time()})
        return job

    def completed_job(self, request_key: str) -> JobRecord | None:
        """The latest job that did just this request, if its transcript is still here."""
        with self.database.reading() as db:
            row = db.execute(
                "SELECT * FROM jobs WHERE request_key = ? AND status = 'completed'"
                " ORDER BY finished_at DESC LIMIT 1",
                (request_key,),
            ).fetchone()
        if row is None or not self._file(row["transcript_id"]).is_file():
            return None
        return _job(row)

    def job_elsewhere(self, request_key: str) -> JobRecord | None:
        """The job that another living server has for just this request, if it is not to be cancelled."""
        with self.database.reading() as db:
            rows = db.execute(
                "SELECT * FROM jobs WHERE request_key = ? AND status IN ('queued', 'running')"
                " AND owner <> ? AND cancel_asked = 0",
                (request_key, self.owner),
            ).fetchall()
        return next((_job(row) for row in rows if self.database.is_alive(row["owner"])), None)

    def running_elsewhere(self) -> list[JobRecord]:
        """Jobs that the models of other living servers are at."""
        with self.database.reading() as db:
            rows = db.execute(
                "SELECT * FROM jobs WHERE status = 'running' AND owner <> ?", (self.owner,)
            ).fetchall()
        return [_job(row) for row in rows if self.database.is_alive(row["owner"])]

    def recent_jobs(self, count: int) -> list[JobRecord]:
        """Unfinished jobs, oldest first, then as many others as there is room for, newest first."""
        self.mark_interrupted()
        with self.database.reading() as db:
            rows = db.execute(
                "SELECT * FROM jobs ORDER BY status IN ('queued', 'running') DESC,"
                " CASE WHEN status IN ('queued', 'running') THEN created_at ELSE -created_at END LIMIT ?",
                (count,),
            ).fetchall()
        return [_job(row) for row in rows]

    def ask_to_cancel(self, job_id: str) -> None:
        """Leaves word for the server that runs the job."""
        with self.database.writing() as db:
            db.execute("UPDATE jobs SET cancel_asked = 1 WHERE id = ?", (job_id,))

    def mark_interrupted(self) -> int:
        """Jobs whose server is gone become ``interrupted``; returns how many."""
        with self.database.reading() as db:
            rows = db.execute(
                "SELECT DISTINCT owner FROM jobs WHERE status IN ('queued', 'running')"
            ).fetchall()
        gone = [row["owner"] for row in rows if not self.database.is_alive(row["owner"])]
        return sum(self._interrupt(owner) for owner in gone)

    def interrupt_own(self) -> None:
        """Before the server ends: its unfinished jobs become ``interrupted``."""
        self._interrupt(self.owner)

    def _interrupt(self, owner: str) -> int:
        with self.database.writing() as db:
            changed = db.execute(
                "UPDATE jobs SET status = 'interrupted', finished_at = ?"
                " WHERE owner = ? AND status IN ('queued', 'running')",
                (time.time(), owner),
            ).rowcount
        self.database.forget_owner(owner)
        return changed

    # transcripts

    def keep(self, result: Path, operation: str, based_on: str | None = None) -> tuple[str, Transcript]:
        """Takes a worker's result in: checks it, moves it to its place, writes it down.

        Voices as numbers get a file of their own. ``based_on``: the transcript whose words were aligned anew; its
        speakers are this one's, too. Raises :class:`JobError`: ``store_failed``, or ``internal_error`` when it is
        no transcript.
        """
        with coded(self._settings):
            data = result.read_bytes()
            try:
                transcript = Transcript.model_validate_json(data)
            except ValueError:
                raise JobError(
                    "The worker's result is not a transcript.", hint="This is a defect; try once more."
                ) from None
            if operation == "align" and based_on is not None:
                transcript = transcript.model_copy(update=self._voices(based_on))
            transcript_id = id_of(transcript, operation)
            if transcript.speaker_embeddings is not None:
                bare = transcript.model_copy(update=dict.fromkeys(_VOICES))
                write_atomically(result, bare.model_dump_json(exclude_none=True))
            result.replace(self._file(transcript_id))
            self._put_voices(transcript_id, transcript)
        self.describe(transcript_id, transcript, operation)
        return transcript_id, transcript

    def describe(self, transcript_id: str, transcript: Transcript, operation: str | None = None) -> None:
        """Writes down what a transcript is, and its words for search."""
        now, media = time.time(), transcript.media
        sha256 = media.sha256 or ""
        operation = operation or ("transcribe_diarized" if transcript.speakers else "transcribe")
        with self.database.writing() as db:
            db.execute(
                "INSERT INTO recordings VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (sha256) DO UPDATE SET"
                " path = excluded.path, last_seen = excluded.last_seen, recorded_at = excluded.recorded_at",
                (sha256, media.path, media.duration_s, now, now, media.recorded_at),
            )
            counts = (len(transcript.segments), len(transcript.speakers))
            day = (media.recorded_at or datetime.fromtimestamp(now).isoformat())[:10]
            db.execute(
                "INSERT INTO transcripts VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO NOTHING",
                (transcript_id, sha256, operation, transcript.language, *counts, now, day),
            )
            index.add(db, transcript_id, transcript)

    def transcript(self, transcript_id: str, *, words: bool = True, voices: bool = False) -> Transcript:
        """``words=False`` leaves them out, which saves most of the memory and time that a long one takes.

        ``voices``: with the embeddings of its speakers, where they were kept.
        Raises :class:`NotFound` (``transcript_not_found``); an id is never used as a path unchecked.
        """
        path = self.transcript_path(transcript_id)
        with coded(self._settings):
            data = path.read_bytes()
            heard = self._voices(transcript_id) if voices else dict.fromkeys(_VOICES)
        try:
            found = Transcript.model_validate_json(data) if words else _without_words(data)
            return found.model_copy(update=heard)
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

    def remove(self, transcript_id: str) -> int:
        """Removes the transcript's file and its voices'; returns how many went."""
        with coded(self._settings):
            paths = (self._voices_file(transcript_id), self._file(transcript_id))
            there = [path for path in paths if path.exists()]
            for path in there:
                path.unlink(missing_ok=True)
        return len(there)

    def prune_voices(self) -> int:
        """Removes voices whose transcript is gone; returns how many files went."""
        with coded(self._settings):
            kept = self._settings.voices.glob("tr_*.json")
            left = [path for path in kept if not self._file(path.stem).is_file()]
            for path in left:
                path.unlink(missing_ok=True)
        return len(left)

    def _put_voices(self, transcript_id: str, transcript: Transcript) -> None:
        path = self._voices_file(transcript_id)
        if transcript.speaker_embeddings is None:
            path.unlink(missing_ok=True)
        else:
            write_atomically(path, transcript.model_dump_json(include=set(_VOICES)))

    def _voices(self, transcript_id: str) -> dict[str, Any]:
        """The fields that a transcript's own file does not hold; none of them where no voices were kept."""
        try:
            kept = json.loads(self._voices_file(transcript_id).read_bytes())
            vectors = {label: tuple(vector) for label, vector in kept["speaker_embeddings"].items()}
            return {"embedding_model": kept["embedding_model"], "speaker_embeddings": vectors}
        except (FileNotFoundError, ValueError, KeyError, TypeError, AttributeError):
            return dict.fromkeys(_VOICES)

    def put_inbox(self, transcript: Transcript) -> Path:
        """A transcript handed in by a client, as a file for the worker, named by its content."""
        data = transcript.model_dump_json(exclude_none=True).encode()
        path = self._settings.inbox / f"given_{hashlib.sha256(data).hexdigest()[:24]}.json"
        with coded(self._settings):
            self.database.make_folders()
            with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
                file.write(data)
        return path

    def _file(self, transcript_id: str) -> Path:
        return self._settings.transcripts / f"{transcript_id}.json"

    def _voices_file(self, transcript_id: str) -> Path:
        return self._settings.voices / f"{transcript_id}.json"


def _without_words(data: bytes) -> Transcript:
    """Raises ValueError for what is no transcript."""
    fields = from_json(data)
    for segment in fields["segments"] if isinstance(fields, dict) and "segments" in fields else ():
        segment.pop("words", None)
        segment.pop("chars", None)
    return Transcript.model_validate(fields)


_NOT_SAID = {"warnings", "quality", "voices", *_VOICES}


def id_of(transcript: Transcript, operation: str) -> str:
    """The same result has the same id: what was said and which models heard it.

    Times of work, the file's place and warnings (which may name folders) do not count.
    """
    content = transcript.model_dump(mode="json", exclude_none=True, exclude=_NOT_SAID)
    for place in ("path", "recorded_at"):
        content["media"].pop(place, None)
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
