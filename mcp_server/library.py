"""The transcripts on this computer: listed, searched, deleted."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import date, datetime, timedelta
from typing import Any

from mcp_server import evidence, index
from mcp_server.folding import tokens
from mcp_server.index import Hit, Scope
from mcp_server.names import Names
from mcp_server.results import local_time
from mcp_server.settings import Settings
from mcp_server.store import Store
from mcp_server.views import clean
from schemas.errors import InvalidArgument, NotFound, TranscriptionError
from schemas.library import Deleted, Found, Quote, Speakers, SpeakerSheet, TranscriptSummary
from schemas.transcript import Speaker, Transcript, Word

_LONGEST_QUOTE = 600
_LONGEST_EVIDENCE = 200
_MOST_EVIDENCE = 48  # quotes of all speakers together
_MOST_REASONS = 3200  # characters, likewise
_CANDIDATES = 40
_CLOSEST = 3


class Library:
    """All methods block shortly and may be called from any thread."""

    def __init__(self, settings: Settings, store: Store, names: Names) -> None:
        self._settings, self._store, self._db, self._names = settings, store, store.database, names

    def scope(
        self, transcript_id: str | None, speaker: str | None, from_date: str | None, to_date: str | None
    ) -> Scope:
        """Raises :class:`InvalidArgument` for a date that is none and for a speaker whom nobody was called."""
        if transcript_id is not None:
            self._store.transcript_path(transcript_id)
        wanted = None
        if speaker is not None:
            wanted = self._names.called(speaker)
            if not wanted:
                raise InvalidArgument(
                    "No transcript has such a speaker.",
                    hint="Give a name that label_speakers gave, or a label such as SPEAKER_00.",
                )
        return Scope(transcript_id, wanted, _day(from_date, "from_date"), _day(to_date, "to_date"))

    def list(self, scope: Scope, offset: int, count: int) -> tuple[list[TranscriptSummary], int]:
        """Newest first, with how many there are."""
        conditions, values = ["1"], []
        for condition, value in (
            ("transcripts.id = ?", scope.transcript_id),
            ("day >= ?", scope.from_day),
            ("day <= ?", scope.to_day),
        ):
            if value is not None:
                conditions.append(condition)
                values.append(value)
        with self._db.reading() as db:
            rows = db.execute(
                "SELECT transcripts.*, path, duration_s, recorded_at FROM transcripts LEFT JOIN recordings ON"
                f" sha256 = recording WHERE {' AND '.join(conditions)} ORDER BY created_at DESC, transcripts.id",
                values,
            ).fetchall()
        if scope.speakers is not None:
            having = {transcript for transcript, _ in scope.speakers}
            rows = [row for row in rows if row["id"] in having]
        return [self._summary(row) for row in rows[offset : offset + count]], len(rows)

    def search(self, query: str, scope: Scope, count: int) -> Found:
        """Quotes with all words of the query near each other; where there is none, with some of them.

        Raises :class:`InvalidArgument` for a query without words.
        """
        parts = index.phrases(query)
        _refuse_empty(parts)
        with self._db.reading() as db:
            looked = index.searched(db, scope)
            match, hits = "all", index.search(db, parts, scope, count + 1)
            if not hits and len(parts) > 1:
                match, hits = "some", index.search(db, parts, scope, count + 1, every=False)
        quotes = tuple(self._quote(hit) for hit in hits[:count])
        return Found(
            query=query,
            match=match if hits else "none",
            quotes=quotes,
            more=len(hits) > count,
            searched=looked,
        )

    def check(self, quote: str, scope: Scope, count: int) -> Found:
        """Where exactly these words were said, in this order, with their times; else the closest passages.

        Case, accents and punctuation don't count. Raises :class:`InvalidArgument` for a quote without words.
        """
        asked = tokens(quote)
        _refuse_empty(asked)
        with self._db.reading() as db:
            looked = index.searched(db, scope)
            hits = index.search(db, [asked[: index.OVERHANG]], scope, _CANDIDATES)
        transcripts: dict[str, Transcript] = {}
        quotes = [said for hit in hits for said in self._said(hit, asked, transcripts)]
        if quotes:
            return Found(
                query=quote,
                match="exact",
                quotes=tuple(quotes[:count]),
                more=len(quotes) > count,
                searched=looked,
            )
        with self._db.reading() as db:
            single = [[word] for word in dict.fromkeys(asked)]
            near = index.search(db, single, scope, _CLOSEST, every=False)
        return Found(
            query=quote, match="none", quotes=tuple(self._quote(hit) for hit in near), searched=looked
        )

    def speakers(self, transcript_id: str) -> Speakers:
        """Everyone in a transcript with name and evidence. Raises :class:`NotFound`, :class:`InvalidArgument`."""
        transcript = self._store.transcript(transcript_id, words=False)
        if not transcript.speakers:
            raise InvalidArgument(
                "The transcript has no speakers.", hint="Call diarize with its transcript_id first."
            )
        return Speakers(
            transcript_id=transcript_id,
            speakers=tuple(self._sheet(transcript_id, transcript, item) for item in transcript.speakers),
            suggestions=self._names.suggested(transcript_id) or None,
        )

    def _sheet(self, transcript_id: str, transcript: Transcript, speaker: Speaker) -> SpeakerSheet:
        people = len(transcript.speakers)
        most = max(1, _MOST_EVIDENCE // people)
        lines = evidence.lines_of(transcript, speaker.id)[:most]
        hits = (
            Hit(transcript_id, line.id, line.id, line.start, line.end, line.speaker, clean(line.text).strip())
            for line in lines
        )
        name, status, why = self._names.entry(transcript_id, speaker.id)
        return SpeakerSheet(
            id=speaker.id,
            name=name,
            status=status,
            evidence=why and _shortened(why, min(_LONGEST_EVIDENCE, _MOST_REASONS // people)),
            speech_s=speaker.speech_s,
            segments=speaker.segments,
            quotes=tuple(
                self._quote(hit, longest=_LONGEST_EVIDENCE, recording=None, said_at=None) for hit in hits
            ),
        )

    def delete(self, transcript_id: str, forget_stages: Callable[[str], int]) -> Deleted:
        """Removes a transcript, its words and names; the stage results, too, when it was the recording's last.

        Raises :class:`NotFound` (``transcript_not_found``).
        """
        self._store.transcript_path(transcript_id)
        with self._db.writing() as db:
            row = db.execute(
                "SELECT recording, path FROM transcripts LEFT JOIN recordings ON sha256 = recording WHERE id = ?",
                (transcript_id,),
            ).fetchone()
            index.remove(db, transcript_id)
            db.execute("DELETE FROM names WHERE transcript = ?", (transcript_id,))
            db.execute("UPDATE jobs SET transcript_id = NULL WHERE transcript_id = ?", (transcript_id,))
            db.execute("DELETE FROM transcripts WHERE id = ?", (transcript_id,))
            sha256, recording = (row["recording"], row["path"]) if row else ("", None)
            left = db.execute("SELECT count(*) FROM transcripts WHERE recording = ?", (sha256,)).fetchone()[0]
            if not left:
                db.execute("DELETE FROM recordings WHERE sha256 = ?", (sha256,))
        removed = self._store.remove(transcript_id)
        with self._db.reading() as db:
            index.scrub(db)
        files = removed + (0 if left else forget_stages(sha256))
        kept = f"{left} other transcripts of this recording, with its stage results" if left else None
        return Deleted(transcript_id=transcript_id, recording=recording, files=files, kept=kept)

    def expire(self, keep_days: float, forget_stages: Callable[[str], int]) -> int:
        """Deletes transcripts that were made more than so many days ago, and what is known of such jobs.

        Returns how many transcripts went.
        """
        limit = time.time() - keep_days * 24 * 3600
        with self._db.writing() as db:
            db.execute("DELETE FROM jobs WHERE finished_at < ?", (limit,))
        with self._db.reading() as db:
            rows = db.execute("SELECT id FROM transcripts WHERE created_at < ?", (limit,)).fetchall()
        gone = 0
        for row in rows:
            with suppress(NotFound):
                self.delete(row["id"], forget_stages)
                gone += 1
        return gone

    def index_missing(self) -> int:
        """Takes in transcripts that lie in the folder and are not in the database; returns how many."""
        with self._db.reading() as db:
            known = {row["transcript"] for row in db.execute("SELECT DISTINCT transcript FROM passages")}
            known |= {row["id"] for row in db.execute("SELECT id FROM transcripts WHERE segments = 0")}
        missing = [path for path in self._settings.transcripts.glob("tr_*.json") if path.stem not in known]
        done = 0
        for path in missing:
            with suppress(TranscriptionError):
                self._store.describe(path.stem, self._store.transcript(path.stem, words=False))
                done += 1
        return done

    def _summary(self, row: Any) -> TranscriptSummary:
        names = self._names.of(row["id"])
        with self._db.reading() as db:
            labels = db.execute(
                "SELECT DISTINCT speaker FROM passages WHERE transcript = ? AND speaker IS NOT NULL"
                " ORDER BY speaker",
                (row["id"],),
            ).fetchall()
        speakers = [label["speaker"] for label in labels]
        return TranscriptSummary(
            transcript_id=row["id"],
            operation=row["operation"],
            recording=row["path"] and clean(row["path"]),
            recorded_at=row["recorded_at"],
            created_at=local_time(row["created_at"]),
            duration_s=row["duration_s"] or 0.0,
            language=row["language"],
            segments=row["segments"],
            speakers=tuple(f"{names[label]} ({label})" if label in names else label for label in speakers),
        )

    def _quote(
        self,
        hit: Hit,
        words: tuple[Word, ...] | None = None,
        longest: int = _LONGEST_QUOTE,
        **changes: Any,
    ) -> Quote:
        with self._db.reading() as db:
            row = db.execute(
                "SELECT path, recorded_at FROM transcripts LEFT JOIN recordings ON sha256 = recording"
                " WHERE id = ?",
                (hit.transcript,),
            ).fetchone()
        text = _shortened(hit.text, longest)
        start = changes.get("start", hit.start_s)
        return Quote(
            **{
                "transcript_id": hit.transcript,
                "recording": row["path"] and clean(row["path"]),
                "segment_id": hit.first,
                "start": round(hit.start_s, 3),
                "end": round(hit.end_s, 3),
                "said_at": said_at(row["recorded_at"], start),
                "speaker": hit.speaker,
                "speaker_name": self._names.of(hit.transcript).get(hit.speaker or ""),
                "text": text,
                "words": words,
                **changes,
            }
        )

    def _said(self, hit: Hit, asked: list[str], loaded: dict[str, Transcript]) -> Iterator[Quote]:
        """The places in the hit's first segment where the words begin, by the transcript's own words."""
        if hit.transcript not in loaded:
            loaded[hit.transcript] = self._store.transcript(hit.transcript)
        segments = loaded[hit.transcript].segments
        for owners in _places(segments, hit.first, asked):
            last = segments[owners[-1][0]]
            words = tuple(
                last.words[k] if n == owners[-1][0] else segments[n].words[k] for n, k in owners if k >= 0
            )
            timed = [word for word in words if word.start is not None and word.end is not None]
            changes: dict[str, Any] = {"text": clean(_text(segments, owners))}
            if timed:
                changes |= {"start": round(timed[0].start, 3), "end": round(timed[-1].end, 3)}
            yield self._quote(hit, tuple(map(_clean_word, words)) or None, **changes)


def _shortened(text: str, longest: int) -> str:
    return text if len(text) <= longest else text[:longest].rstrip() + " …"


def _places(segments: Any, first: int, asked: list[str]) -> Iterator[list[tuple[int, int]]]:
    """Each run of words that is what was asked for and begins in segment ``first``: (segment, word) pairs.

    Where a segment has no words, the segment itself stands for them, as word -1.
    """
    stream: list[tuple[str, int, int]] = []
    own = 0
    for number in range(first, len(segments)):
        stream += _stream(segments[number], number)
        own = own or len(stream)
        if len(stream) >= own + len(asked):
            break
    spoken = [word for word, _, _ in stream]
    for begin in range(own):
        if spoken[begin : begin + len(asked)] == asked:
            yield list(dict.fromkeys((n, k) for _, n, k in stream[begin : begin + len(asked)]))


def _stream(segment: Any, number: int) -> Iterator[tuple[str, int, int]]:
    if not segment.words:
        yield from ((word, number, -1) for word in tokens(segment.text))
    for place, word in enumerate(segment.words):
        yield from ((token, number, place) for token in tokens(word.word))


def _text(segments: Any, owners: list[tuple[int, int]]) -> str:
    parts = [segments[n].text if k < 0 else segments[n].words[k].word for n, k in owners]
    return " ".join(part.strip() for part in parts)


def _clean_word(word: Word) -> Word:
    return word.model_copy(update={"word": clean(word.word), "phones": None})


def said_at(recorded_at: str | None, start_s: float) -> str | None:
    """The wall clock at a time of the recording."""
    if recorded_at is None:
        return None
    return (datetime.fromisoformat(recorded_at) + timedelta(seconds=start_s)).isoformat(timespec="seconds")


def _day(text: str | None, name: str) -> str | None:
    if text is None:
        return None
    try:
        return date.fromisoformat(text.strip()[:10]).isoformat()
    except ValueError:
        raise InvalidArgument(f"{name} is no date.", hint="Write it as 2026-11-20.") from None


def _refuse_empty(words: list) -> None:
    if not words:
        raise InvalidArgument("There is no word to search for.", hint="Give words, or a phrase in quotes.")
