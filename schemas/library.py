"""What is told of the transcripts on this computer: lists, quotes, deletions."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from schemas._frozen import Frozen
from schemas.jobs import NameSuggestion, NextAction
from schemas.options import Operation
from schemas.transcript import Word


class TranscriptSummary(Frozen):
    """A transcript in a list."""

    transcript_id: str
    operation: Operation
    recording: str | None = Field(None, description="Path when it was transcribed.")
    recorded_at: str | None = Field(None, description="ISO 8601, where the recording says so.")
    created_at: str = Field(description="ISO 8601, local time.")
    duration_s: float
    language: str | None = None
    segments: int = 0
    speakers: tuple[str, ...] = Field((), description="Name (label), or the label alone.")


class TranscriptList(Frozen):
    """Transcripts, newest first."""

    transcripts: tuple[TranscriptSummary, ...] = ()
    total: int = 0
    next_action: NextAction | None = None


class Quote(Frozen):
    """What somebody said, with its place."""

    transcript_id: str
    recording: str | None = None
    segment_id: int
    start: float
    end: float
    said_at: str | None = Field(None, description="Wall clock, where the recording's date is known.")
    speaker: str | None = Field(None, description="Raw label.")
    speaker_name: str | None = None
    text: str
    words: tuple[Word, ...] | None = Field(None, description="Of an exact match, with times.")


Match = Literal["exact", "all", "some", "none"]


class Found(Frozen):
    """What a search found, best first."""

    query: str
    match: Match = Field(
        description="exact: these very words in this order; all: all words near each other; some: not all; "
        "none: for an exact search, the quotes are only the closest."
    )
    quotes: tuple[Quote, ...] = ()
    more: bool = Field(False, description="There are more than are shown.")
    searched: int = Field(0, description="Transcripts that were looked through.")
    notice: str | None = Field(None, description="What kind of content the quotes are.")
    next_action: NextAction | None = None


class Deleted(Frozen):
    """What was removed. Recordings never are."""

    transcript_id: str
    recording: str | None = None
    files: int = Field(description="Files removed, stage results included.")
    kept: str | None = Field(None, description="What is left, and why.")


NameStatus = Literal["given", "carried"]


class SpeakerSheet(Frozen):
    """A speaker, and what helps to name them."""

    id: str = Field(description="Raw label.")
    name: str | None = None
    status: NameStatus | None = Field(
        None, description="given by a call, or carried over because the voice is the same."
    )
    evidence: str | None = Field(None, description="Why it was given, as the call said.")
    speech_s: float = 0.0
    segments: int = 0
    quotes: tuple[Quote, ...] = Field(
        (), description="Where names fall, and what the speaker says at length."
    )


class Speakers(Frozen):
    """Who speaks in a transcript."""

    transcript_id: str
    notice: str | None = None
    speakers: tuple[SpeakerSheet, ...] = ()
    suggestions: tuple[NameSuggestion, ...] | None = None
    remembered: tuple[str, ...] | None = Field(None, description="Names whose voices are kept from now on.")
    next_action: NextAction | None = None


class RememberedVoice(Frozen):
    """A voice that is remembered."""

    voice_id: str
    name: str
    speech_s: float = Field(description="Seconds of speech that it was made from.")
    recordings: int = 1
    updated_at: str = Field(description="ISO 8601, local time.")
    model: str = Field(description="What made it; voices of different models can't be compared.")


class VoiceList(Frozen):
    """Voices that are remembered on this computer."""

    voices: tuple[RememberedVoice, ...] = ()
    more: int | None = Field(None, description="How many are remembered beside those shown.")
    forgotten: int | None = Field(None, description="How many were just removed.")
