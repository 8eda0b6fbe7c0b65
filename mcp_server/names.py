"""Names of speakers: given by a call, kept beside the raw labels, laid over a transcript when it is read.

The transcript's file never changes; it holds labels only.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from typing import Any

from mcp_server.database import Database
from mcp_server.folding import folded
from mcp_server.views import clean
from schemas.errors import InvalidArgument
from schemas.jobs import NameSuggestion
from schemas.transcript import Segment, Speaker, Transcript

_LONGEST_NAME = 80
APPLIED = ("given", "carried")


class Names:
    """All methods block shortly and may be called from any thread."""

    def __init__(self, database: Database) -> None:
        self._db = database

    def of(self, transcript_id: str) -> dict[str, str]:
        """Names by label; not those that wait for review."""
        with self._db.reading() as db:
            rows = db.execute(
                "SELECT label, name FROM names WHERE transcript = ? AND status IN (?, ?)",
                (transcript_id, *APPLIED),
            ).fetchall()
        return {row["label"]: row["name"] for row in rows}

    def entry(self, transcript_id: str, label: str) -> tuple[str | None, Any, str | None]:
        """A label's name, where it comes from, and the evidence that was given; none for a label without one."""
        with self._db.reading() as db:
            row = db.execute(
                "SELECT name, status, evidence FROM names WHERE transcript = ? AND label = ? AND status IN (?, ?)",
                (transcript_id, label, *APPLIED),
            ).fetchone()
        return tuple(row) if row else (None, None, None)

    def suggested(self, transcript_id: str) -> tuple[NameSuggestion, ...]:
        """Names that wait for review."""
        with self._db.reading() as db:
            rows = db.execute(
                "SELECT suggestion FROM names WHERE transcript = ? AND status = 'suggested' ORDER BY label",
                (transcript_id,),
            ).fetchall()
        return tuple(NameSuggestion(**json.loads(row["suggestion"])) for row in rows)

    def called(self, speaker: str) -> frozenset[tuple[str, str]]:
        """Transcripts and labels of a name, or of a label."""
        with self._db.reading() as db:
            rows = db.execute(
                "SELECT transcript, label FROM names WHERE folded = ? AND status IN (?, ?)"
                " UNION SELECT DISTINCT transcript, speaker FROM passages WHERE speaker = ?",
                (key_of(speaker), *APPLIED, speaker.strip().upper()),
            ).fetchall()
        return frozenset((row[0], row[1]) for row in rows)

    def give(
        self, transcript_id: str, transcript: Transcript, labels: Mapping[str, str], evidence: str | None
    ) -> None:
        """Names labels; an empty name takes a label's name away. Raises as :meth:`checked`."""
        for label, name in self.checked(transcript, labels).items():
            self.put(transcript_id, label, name, "given", evidence)

    def checked(self, transcript: Transcript, labels: Mapping[str, str]) -> dict[str, str]:
        """The names as they are kept.

        Raises :class:`InvalidArgument` for a label that the transcript does not have, or a name that is too long.
        """
        known = {speaker.id for speaker in transcript.speakers}
        unknown = sorted(set(labels) - known)
        if unknown:
            raise InvalidArgument(
                f"The transcript has no speaker {unknown[0]!r}.",
                hint=f"Its labels are: {', '.join(sorted(known))}."
                if known
                else "It has no speakers; run diarize on it first.",
            )
        return {label: name_of(name) for label, name in labels.items()}

    def put(
        self,
        transcript_id: str,
        label: str,
        name: str,
        status: str,
        evidence: str | None = None,
        suggestion: NameSuggestion | None = None,
    ) -> None:
        """Writes one name down; an empty one is taken away."""
        row: tuple[Any, ...] = (
            transcript_id,
            label,
            name,
            key_of(name),
            status,
            evidence and clean(evidence)[:1000],
            suggestion and suggestion.model_dump_json(exclude_none=True),
            time.time(),
        )
        with self._db.writing() as db:
            db.execute("DELETE FROM names WHERE transcript = ? AND label = ?", (transcript_id, label))
            if name:
                db.execute("INSERT INTO names VALUES (?, ?, ?, ?, ?, ?, ?, ?)", row)

    def on(self, transcript_id: str, transcript: Transcript) -> Transcript:
        """The transcript with its names."""
        return named(transcript, self.of(transcript_id))


def named(transcript: Transcript, names: Mapping[str, str]) -> Transcript:
    """The transcript with names beside its labels."""
    if not names:
        return transcript

    def segment(item: Segment) -> Segment:
        name = names.get(item.speaker or "")
        return item.model_copy(update={"speaker_name": name}) if name else item

    def speaker(item: Speaker) -> Speaker:
        name = names.get(item.id)
        return item.model_copy(update={"name": name}) if name else item

    return transcript.model_copy(
        update={
            "segments": tuple(map(segment, transcript.segments)),
            "speakers": tuple(map(speaker, transcript.speakers)),
        }
    )


def name_of(text: str) -> str:
    """A name as it is kept: one line, not too long. Raises :class:`InvalidArgument`."""
    name = " ".join(clean(text).split())
    if len(name) > _LONGEST_NAME:
        raise InvalidArgument(f"A name has at most {_LONGEST_NAME} characters.", hint="Give the name alone.")
    return name


def key_of(name: str) -> str:
    """What names are compared by."""
    return " ".join(folded(name).split())
