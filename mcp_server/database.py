"""The database of a user: one file in the server's folder, shared by all servers of that user.

SQLite in WAL mode. Everything is readable by the owner only.
"""

from __future__ import annotations

import fcntl
import os
import secrets
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from mcp_server.migrations import TooNew, migrate
from mcp_server.settings import Settings
from schemas.errors import JobError

_BUSY_TIMEOUT_S = 5.0
_INBOX_MAX_AGE_S = 7 * 24 * 3600.0


class Database:
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

    def open(self) -> None:
        """Makes folders and database where they are missing. Raises :class:`JobError` (``store_failed``)."""
        with self.reading():
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
    def reading(self) -> Iterator[sqlite3.Connection]:
        """The connection, for this thread alone while the context lasts."""
        with self._lock, coded(self._settings, self._forget):
            yield self._connected()

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """One transaction: all of it or nothing."""
        with self.reading() as db:
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
            self.make_folders()
            self._claim_owner()
            path = self._settings.state_dir / "library.sqlite"
            path.touch(0o600)
            db = sqlite3.connect(path, timeout=_BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False)
            db.row_factory = sqlite3.Row
            try:
                db.execute("PRAGMA journal_mode = WAL")
                db.execute("PRAGMA synchronous = NORMAL")
                db.execute("PRAGMA secure_delete = ON")  # what is deleted is overwritten
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

    def make_folders(self) -> None:
        """Those that are missing, for the owner alone."""
        own = self._settings
        for folder in (own.state_dir, own.transcripts, own.voices, own.inbox):
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

    def is_alive(self, owner: str) -> bool:
        """Whether the server of that name still runs."""
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

    def forget_owner(self, owner: str) -> None:
        """Removes the lock file of a server that is gone."""
        if owner != self.owner:
            self._owner_path(owner).unlink(missing_ok=True)


@contextmanager
def coded(settings: Settings, after: Any = None) -> Iterator[None]:
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
