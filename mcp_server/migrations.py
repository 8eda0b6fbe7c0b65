"""The database's history. Numbered from 1 by position; only ever appended to."""

from __future__ import annotations

import sqlite3

MIGRATIONS: tuple[str, ...] = (
    """
    CREATE TABLE jobs (
        id TEXT PRIMARY KEY,
        request_key TEXT NOT NULL,
        operation TEXT NOT NULL,
        arguments TEXT NOT NULL,
        status TEXT NOT NULL,
        owner TEXT NOT NULL,
        stage TEXT NOT NULL,
        fraction REAL NOT NULL,
        detail TEXT,
        created_at REAL NOT NULL,
        started_at REAL,
        finished_at REAL,
        transcript_id TEXT,
        error TEXT,
        cancel_asked INTEGER NOT NULL DEFAULT 0
    );
    CREATE INDEX jobs_by_key ON jobs (request_key, status);
    CREATE INDEX jobs_by_status ON jobs (status);

    CREATE TABLE recordings (
        sha256 TEXT PRIMARY KEY,
        path TEXT,
        duration_s REAL NOT NULL,
        first_seen REAL NOT NULL,
        last_seen REAL NOT NULL
    );

    CREATE TABLE transcripts (
        id TEXT PRIMARY KEY,
        recording TEXT REFERENCES recordings (sha256),
        operation TEXT NOT NULL,
        language TEXT,
        segments INTEGER NOT NULL,
        speakers INTEGER NOT NULL,
        created_at REAL NOT NULL
    );
    CREATE INDEX transcripts_by_recording ON transcripts (recording);
    """,
    """
    CREATE TABLE measurements (
        plan TEXT NOT NULL,
        stage TEXT NOT NULL,
        audio_s REAL NOT NULL,
        seconds REAL NOT NULL,
        at REAL NOT NULL
    );
    CREATE INDEX measurements_by_stage ON measurements (stage, plan, at);
    CREATE INDEX jobs_by_time ON jobs (created_at);
    """,
    """
    ALTER TABLE recordings ADD COLUMN recorded_at TEXT;
    ALTER TABLE transcripts ADD COLUMN day TEXT;

    CREATE TABLE passages (
        id INTEGER PRIMARY KEY,
        transcript TEXT NOT NULL,
        segment INTEGER NOT NULL,
        start_s REAL NOT NULL,
        end_s REAL NOT NULL,
        speaker TEXT,
        text TEXT NOT NULL
    );
    CREATE INDEX passages_by_transcript ON passages (transcript, segment);
    CREATE VIRTUAL TABLE passage_words USING fts5 (
        body, tokenize = "unicode61 remove_diacritics 0 categories 'L* N* Co M*'"
    );

    CREATE TABLE names (
        transcript TEXT NOT NULL,
        label TEXT NOT NULL,
        name TEXT NOT NULL,
        folded TEXT NOT NULL,
        status TEXT NOT NULL,
        evidence TEXT,
        suggestion TEXT,
        at REAL NOT NULL,
        PRIMARY KEY (transcript, label)
    );
    CREATE INDEX names_by_name ON names (folded);
    """,
    """
    CREATE TABLE voices (
        id TEXT PRIMARY KEY,
        name TEXT NOT NULL,
        folded TEXT NOT NULL,
        model TEXT NOT NULL,
        profile TEXT NOT NULL,
        at REAL NOT NULL,
        UNIQUE (folded, model)
    );
    """,
    """
    ALTER TABLE jobs ADD COLUMN done_at REAL;
    """,
)


class TooNew(Exception):
    """The database was written by a later version of this program."""


def migrate(connection: sqlite3.Connection) -> None:
    """Brings the database to the newest form. Safe when several servers start at once.

    Raises :class:`TooNew`, and sqlite3's errors.
    """
    if _version(connection) == len(MIGRATIONS):
        return
    connection.execute("BEGIN IMMEDIATE")
    try:
        done = _version(connection)  # again, now that nobody else can write
        if done > len(MIGRATIONS):
            raise TooNew(f"version {done}, and this program knows {len(MIGRATIONS)}")
        for script in MIGRATIONS[done:]:
            for statement in filter(str.strip, script.split(";")):
                connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {len(MIGRATIONS)}")
        connection.execute("COMMIT")
    except BaseException:
        connection.execute("ROLLBACK")
        raise


def _version(connection: sqlite3.Connection) -> int:
    return connection.execute("PRAGMA user_version").fetchone()[0]
