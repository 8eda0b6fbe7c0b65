"""Voices that the user asked to remember, and names that follow a voice from one transcript to another.

A voice is remembered only where ``remember`` was said, and a name that comes from a remembered voice is a
suggestion until a call confirms it. Within one recording a name is carried over to a new diarization where the
voice is surely the same; elsewhere it waits for review.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from anyio import to_thread

from mcp_server.names import APPLIED, Names, key_of
from mcp_server.results import local_time
from mcp_server.store import Store
from pipeline.voices import enrol, thresholds_of
from schemas.errors import InvalidArgument, NotFound, TranscriptionError
from schemas.jobs import NameSuggestion
from schemas.library import RememberedVoice
from schemas.transcript import Transcript
from schemas.voices import EnrolledVoice, Voice, VoiceMatch, VoiceProfile

Ask = Callable[[dict[str, Any]], Awaitable[dict[str, Any] | None]]
_LEAST_SHARE = 0.5


class Voices:
    """Methods block shortly and may be called from any thread, but for :meth:`recognise`."""

    def __init__(self, store: Store, names: Names) -> None:
        self._store, self._db, self._names = store, store.database, names

    def remember(self, transcript: Transcript, labels: Mapping[str, str]) -> tuple[str, ...]:
        """Adds the voices of these labels to those remembered under their names; returns the names.

        Raises :class:`InvalidArgument` where the transcript holds no voices, and
        :class:`schemas.errors.VoiceNotUsable` for one that is too short or mixed; then none is remembered.
        """
        heard, model = voices_of(transcript), transcript.embedding_model
        if model is None:
            raise InvalidArgument(
                "The transcript holds no voices to remember, and no name was given.",
                hint="Leave remember out, or call diarize with the transcript_id first.",
            )
        source = transcript.media.sha256
        profiles = []
        for label, name in labels.items():
            voice = heard.get(label, Voice(speaker=label))
            profiles.append(enrol(self._profile(name, model), name, voice, model, source=source))
        with self._db.writing() as db:
            for profile in profiles:
                db.execute(
                    "INSERT INTO voices VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (folded, model) DO UPDATE SET"
                    " name = excluded.name, profile = excluded.profile, at = excluded.at",
                    (
                        f"voice_{secrets.token_hex(6)}",
                        profile.person,
                        key_of(profile.person),
                        model,
                        profile.model_dump_json(),
                        time.time(),
                    ),
                )
        return tuple(profile.person for profile in profiles)

    def list(self) -> tuple[RememberedVoice, ...]:
        """By name."""
        with self._db.reading() as db:
            rows = db.execute("SELECT * FROM voices ORDER BY folded, model").fetchall()
        return tuple(
            RememberedVoice(
                voice_id=row["id"],
                name=row["name"],
                speech_s=round(profile.clean_s, 1),
                recordings=len(profile.voices),
                updated_at=local_time(row["at"]),
                model=row["model"],
            )
            for row in rows
            for profile in [VoiceProfile.model_validate_json(row["profile"])]
        )

    def forget(self, voice: str) -> int:
        """Removes a voice by its id, or all of a name; returns how many.

        Raises :class:`NotFound` (``voice_not_found``).
        """
        with self._db.writing() as db:
            gone = db.execute(
                "DELETE FROM voices WHERE id = ? OR folded = ?", (voice.strip(), key_of(voice))
            ).rowcount
        if not gone:
            raise NotFound(
                "No voice of that id or name is remembered.",
                code="voice_not_found",
                hint="list_voices shows them.",
            )
        with self._db.reading() as db:
            db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        return gone

    async def recognise(self, transcript_id: str, transcript: Transcript, ask: Ask) -> None:
        """Carries names over from an earlier transcript of the recording, and suggests names of known voices.

        ``ask`` puts questions to :mod:`mcp_server.aside`, where voices are compared.
        """
        if not transcript.speakers or await to_thread.run_sync(self._names.of, transcript_id):
            return
        waiting = {speaker.id for speaker in transcript.speakers}
        earlier = await to_thread.run_sync(self._earlier, transcript_id, transcript)
        if earlier is not None:
            matches = await _matches(transcript, _profiles_of(*earlier), ask)
            waiting -= await to_thread.run_sync(self._carry, transcript_id, transcript, *earlier, matches)
        remembered = await to_thread.run_sync(self._remembered, transcript.embedding_model)
        matches = await _matches(transcript, remembered, ask)
        for label in sorted(waiting & matches.keys()):
            match = matches[label]
            if match.person is not None:
                suggestion = _suggested(
                    match, match.person, _REASONS[match.verdict], label, transcript.embedding_model
                )
                await to_thread.run_sync(self._put, transcript_id, suggestion)

    def _earlier(
        self, transcript_id: str, transcript: Transcript
    ) -> tuple[Transcript, dict[str, str]] | None:
        """The transcript of the same recording that was named last, with its names."""
        with self._db.reading() as db:
            row = db.execute(
                "SELECT transcript FROM names JOIN transcripts ON transcripts.id = transcript WHERE recording = ?"
                " AND transcript <> ? AND status IN (?, ?) ORDER BY names.at DESC LIMIT 1",
                (transcript.media.sha256 or "", transcript_id, *APPLIED),
            ).fetchone()
        if row is None:
            return None
        try:
            earlier = self._store.transcript(row["transcript"], words=False, voices=True)
            return earlier, self._names.of(row["transcript"])
        except TranscriptionError:  # its file is gone or damaged
            return None

    def _carry(
        self,
        transcript_id: str,
        new: Transcript,
        old: Transcript,
        named: Mapping[str, str],
        matches: Mapping[str, VoiceMatch],
    ) -> set[str]:
        """Labels that are settled: named because the voice is the same, or waiting for review."""
        settled = set()
        for speaker in new.speakers:
            match = matches.get(speaker.id)
            if match is not None and match.verdict == "named" and match.person is not None:
                self._names.put(transcript_id, speaker.id, match.person, "carried")
                settled.add(speaker.id)
                continue
            name, share = _overlap(new, old, speaker.id, named)
            if share >= _LEAST_SHARE:
                reason = (
                    f"whoever was called so spoke during {share:.0%} of this in an earlier transcript of the "
                    "recording; the voices do not prove it"
                )
                self._put(transcript_id, _suggested(match, name, reason, speaker.id, new.embedding_model))
                settled.add(speaker.id)
        return settled

    def _put(self, transcript_id: str, suggestion: NameSuggestion) -> None:
        self._names.put(
            transcript_id, suggestion.speaker, suggestion.name, "suggested", suggestion=suggestion
        )

    def _profile(self, name: str, model: str) -> VoiceProfile | None:
        with self._db.reading() as db:
            row = db.execute(
                "SELECT profile FROM voices WHERE folded = ? AND model = ?", (key_of(name), model)
            ).fetchone()
        return VoiceProfile.model_validate_json(row["profile"]) if row else None

    def _remembered(self, model: str | None) -> list[VoiceProfile]:
        with self._db.reading() as db:
            rows = db.execute("SELECT profile FROM voices WHERE model = ?", (model,)).fetchall()
        return [VoiceProfile.model_validate_json(row["profile"]) for row in rows]


_REASONS = {
    "named": "the voice is that of somebody who is remembered",
    "suggested": "the voice is like that of somebody who is remembered, but not surely the same",
    "too_short": "the voice is like that of somebody who is remembered, but there is little to compare",
}


def voices_of(transcript: Transcript) -> dict[str, Voice]:
    """The voices of a transcript with their embeddings, by label."""
    vectors = transcript.speaker_embeddings or {}
    return {
        voice.speaker: voice.model_copy(update={"embedding": tuple(vectors[voice.speaker])})
        for voice in transcript.voices
        if voice.speaker in vectors
    }


def _profiles_of(transcript: Transcript, named: Mapping[str, str]) -> list[VoiceProfile]:
    """The named speakers of a transcript as people; two labels of one name are one."""
    heard, model = voices_of(transcript), transcript.embedding_model
    by_name: dict[str, list[EnrolledVoice]] = {}
    for label, name in named.items():
        if label in heard and model is not None:
            voice = heard[label]
            by_name.setdefault(name, []).append(
                EnrolledVoice(embedding=voice.embedding, clean_s=voice.clean_s)
            )
    return [
        VoiceProfile(person=name, embedding_model=model or "", voices=tuple(voices))
        for name, voices in by_name.items()
    ]


async def _matches(
    transcript: Transcript, profiles: Sequence[VoiceProfile], ask: Ask
) -> dict[str, VoiceMatch]:
    """By label; none where there is nothing to compare, or comparing failed."""
    heard, model = voices_of(transcript), transcript.embedding_model
    if not heard or model is None or not profiles:
        return {}
    question = {
        "voices": [voice.model_dump(mode="json") for voice in heard.values()],
        "embedding_model": model,
        "profiles": [profile.model_dump(mode="json") for profile in profiles],
    }
    answer = await ask({"match": question}) or {}
    found = [VoiceMatch.model_validate(match) for match in answer.get("matches", ())]
    return {match.speaker: match for match in found}


def _suggested(
    match: VoiceMatch | None, name: str, reason: str, label: str, model: str | None
) -> NameSuggestion:
    """With the figures of the match, where it is of this name."""
    if match is None or match.candidates[:1] == () or match.candidates[0].person != name:
        return NameSuggestion(speaker=label, name=name, reason=reason)
    limits = thresholds_of(model or "")
    second = match.candidates[1] if len(match.candidates) > 1 else None
    return NameSuggestion(
        speaker=match.speaker,
        name=name,
        reason=reason,
        score=match.candidates[0].score,
        runner_up=second.person if second else None,
        runner_up_score=second.score if second else None,
        threshold=limits.suggest if limits else None,
        evidence_s=round(match.clean_s, 1),
    )


def _overlap(new: Transcript, old: Transcript, label: str, named: Mapping[str, str]) -> tuple[str, float]:
    """The name whose earlier speech covers most of a label's, and the share of it."""
    own = [(turn.start, turn.end) for turn in new.turns or new.segments if turn.speaker == label]
    total = sum(end - start for start, end in own)
    shared: dict[str, float] = {}
    for turn in old.turns or old.segments:
        if turn.speaker in named:
            both = sum(max(0.0, min(end, turn.end) - max(start, turn.start)) for start, end in own)
            shared[named[turn.speaker]] = shared.get(named[turn.speaker], 0.0) + both
    if not shared or total <= 0:
        return "", 0.0
    name = max(shared, key=shared.__getitem__)
    return name, min(1.0, shared[name] / total)
