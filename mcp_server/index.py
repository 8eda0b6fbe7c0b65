"""The words of all transcripts, so that they can be found: SQLite FTS5.

A row holds a segment and the beginning of what follows it, so that a phrase that runs over a segment's end is
found, too. Which segments a hit really touches is told afterwards, from the words.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain

from mcp_server.folding import tokens
from mcp_server.views import clean
from schemas.transcript import Transcript

OVERHANG = 24  # words of the following segments that a row holds
_LOOKED_AHEAD = 12  # segments


def add(db: sqlite3.Connection, transcript_id: str, transcript: Transcript) -> None:
    """Indexes a transcript; one that is there already is replaced."""
    remove(db, transcript_id)
    words = [tokens(segment.text) for segment in transcript.segments]
    for number, segment in enumerate(transcript.segments):
        row = db.execute(
            "INSERT INTO passages (transcript, segment, start_s, end_s, speaker, text) VALUES (?, ?, ?, ?, ?, ?)",
            (
                transcript_id,
                number,
                segment.start,
                segment.end,
                segment.speaker,
                clean(segment.text).strip(),
            ),
        ).lastrowid
        body = " ".join([*words[number], *_following(words, number)])
        db.execute("INSERT INTO passage_words (rowid, body) VALUES (?, ?)", (row, body))


def remove(db: sqlite3.Connection, transcript_id: str) -> None:
    """Forgets a transcript's words."""
    db.execute(
        "DELETE FROM passage_words WHERE rowid IN (SELECT id FROM passages WHERE transcript = ?)",
        (transcript_id,),
    )
    db.execute("DELETE FROM passages WHERE transcript = ?", (transcript_id,))


def scrub(db: sqlite3.Connection) -> None:
    """Rewrites the index, which keeps deleted words until then, and the log of changes. Not in a transaction."""
    db.execute("INSERT INTO passage_words (passage_words) VALUES ('optimize')")
    db.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def _following(words: Sequence[list[str]], number: int) -> list[str]:
    """The first words behind a segment."""
    found: list[str] = []
    for later in words[number + 1 :]:
        if len(found) >= OVERHANG:
            break
        found += later
    return found[:OVERHANG]


@dataclass(frozen=True)
class Scope:
    """Where to look. ``speakers``: pairs of transcript and label; days as ``2026-11-20``."""

    transcript_id: str | None = None
    speakers: frozenset[tuple[str, str]] | None = None
    from_day: str | None = None
    to_day: str | None = None


@dataclass(frozen=True)
class Hit:
    """Segments ``first`` to ``last`` of a transcript, which hold the words asked for."""

    transcript: str
    first: int
    last: int
    start_s: float
    end_s: float
    speaker: str | None
    text: str


def phrases(query: str) -> list[list[str]]:
    """The parts of a query, each a run of words that must stand together: what is quoted, and single words."""
    parts = query.replace("“", '"').replace("”", '"').replace("„", '"').split('"')
    plain = chain.from_iterable(part.split() for part in parts[::2])
    return [found for part in [*plain, *parts[1::2]] if (found := tokens(part))]


def matching(parts: Sequence[Sequence[str]], *, every: bool) -> str:
    """FTS5's expression for all of the phrases, or for any of them."""
    return (" AND " if every else " OR ").join(f'"{" ".join(part)}"' for part in parts)


def search(
    db: sqlite3.Connection, parts: Sequence[Sequence[str]], scope: Scope, count: int, *, every: bool = True
) -> list[Hit]:
    """Up to ``count`` hits, best first (BM25), each place once."""
    where, values = _conditions(scope)
    rows = db.execute(
        "SELECT passages.* FROM passage_words JOIN passages ON passages.id = passage_words.rowid"
        " JOIN transcripts ON transcripts.id = passages.transcript"
        f" WHERE passage_words MATCH ? AND {where} ORDER BY bm25(passage_words), transcripts.created_at DESC",
        (matching(parts, every=every), *values),
    )
    hits: list[Hit] = []
    for row in rows:
        if scope.speakers is not None and (row["transcript"], row["speaker"]) not in scope.speakers:
            continue
        hit = _hit(db, row, parts, every=every)
        if hit is not None:
            hits.append(hit)
        if len(hits) >= 4 * count + 20:
            break
    return [hit for hit in hits if not any(_inside(other, hit) for other in hits)][:count]


def _inside(inner: Hit, outer: Hit) -> bool:
    """Whether a hit lies within another one that is longer: the shorter one says it better."""
    return (
        inner.transcript == outer.transcript
        and outer.first <= inner.first
        and inner.last <= outer.last
        and inner.last - inner.first < outer.last - outer.first
    )


def searched(db: sqlite3.Connection, scope: Scope) -> int:
    """How many transcripts the scope holds."""
    where, values = _conditions(scope)
    sql = f"SELECT count(*) FROM transcripts WHERE {where}"
    return db.execute(sql, values).fetchone()[0]


_NEWEST = (
    "transcripts.id IN (SELECT id FROM (SELECT id, row_number() OVER (PARTITION BY recording ORDER BY"
    " speakers > 0 DESC, created_at DESC) AS place FROM transcripts WHERE segments > 0) WHERE place = 1)"
)


def _conditions(scope: Scope) -> tuple[str, list[str]]:
    """Of each recording the newest transcript, with speakers where there is one; or the one that was named."""
    conditions = [_NEWEST if scope.transcript_id is None else "transcripts.id = ?"]
    values = [] if scope.transcript_id is None else [scope.transcript_id]
    for sign, day in ((">=", scope.from_day), ("<=", scope.to_day)):
        if day is not None:
            conditions.append(f"transcripts.day {sign} ?")
            values.append(day)
    return " AND ".join(conditions), values


def _hit(
    db: sqlite3.Connection, row: sqlite3.Row, parts: Sequence[Sequence[str]], *, every: bool
) -> Hit | None:
    """The segments that the match touches; none if it lies wholly behind the row's own segment."""
    rows = db.execute(
        "SELECT * FROM passages WHERE transcript = ? AND segment BETWEEN ? AND ? ORDER BY segment",
        (row["transcript"], row["segment"], row["segment"] + _LOOKED_AHEAD),
    ).fetchall()
    owners = [(word, number) for number, later in enumerate(rows) for word in tokens(later["text"])]
    words = [word for word, _ in owners]
    found = [
        (place, place + len(part) - 1) for part in parts if (place := first_place(words, part)) is not None
    ]
    if not found or owners[min(found)[0]][1] > 0:
        return None
    last = owners[max(end for _, end in found)][1] if every else 0
    touched = rows[: last + 1]
    return Hit(
        row["transcript"],
        row["segment"],
        touched[-1]["segment"],
        row["start_s"],
        touched[-1]["end_s"],
        row["speaker"],
        " ".join(part["text"] for part in touched),
    )


def first_place(words: Sequence[str], part: Sequence[str]) -> int | None:
    """Where a phrase begins in a run of words."""
    size = len(part)
    for begin in range(len(words) - size + 1):
        if list(words[begin : begin + size]) == list(part):
            return begin
    return None
