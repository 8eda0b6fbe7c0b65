"""Speakers as data: what is known of each voice of a recording, and of people's voices across recordings.

A voice is a speaker embedding: numbers by which a person can be recognised. Results hold it only when it was asked
for, and whoever keeps one must be able to delete it.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from schemas._frozen import Frozen

Embedding = tuple[float, ...]


class Span(Frozen):
    """A stretch of the recording."""

    start: float = Field(ge=0, description="Seconds from the beginning of the recording.")
    end: float = Field(ge=0, description="Seconds.")


class Voice(Frozen):
    """One speaker's voice, for a person to listen to and for matching with other recordings."""

    speaker: str = Field(description="SPEAKER_00 …")
    speech_s: float = Field(0.0, ge=0, description="Seconds of the speaker's turns.")
    clean_s: float = Field(0.0, ge=0, description="Seconds of them in which nobody else talks.")
    purity: float | None = Field(
        None,
        ge=0,
        le=1,
        description="Estimate of the share of the clean speech that is one person's; none where it is too short.",
    )
    samples: tuple[Span, ...] = Field((), description="Up to three stretches, the most typical first.")
    embedding: Embedding | None = Field(None, description="Mean of the clean windows, of length 1.")


class SimilarVoices(Frozen):
    """Two speakers of a recording who may be one person."""

    speakers: tuple[str, str]
    similarity: float = Field(ge=-1, le=1, description="Cosine of the two embeddings.")


class SpeakerCount(Frozen):
    """What speaks for the number of speakers found."""

    found: int = Field(ge=0)
    clear: int = Field(ge=0, description="Speakers with at least 10 s of clean speech of one voice.")
    most_at_once: int = Field(ge=0, description="How many talk at the same time at most.")
    may_be_one: int = Field(0, ge=0, description="Pairs of speakers who may be one person.")
    may_be_more: int = Field(0, ge=0, description="Speakers whose speech does not sound like one voice.")


class EnrolledVoice(Frozen):
    """A voice that a person's profile is made of."""

    embedding: Embedding
    clean_s: float = Field(ge=0)
    source: str | None = Field(None, description="Where it comes from, such as a transcript's id.")


class VoiceProfile(Frozen):
    """One person's voice by one embedding model. Profiles of different models are never compared."""

    person: str
    embedding_model: str = Field(description="Name and revision, campplus@3388cf5f.")
    voices: tuple[EnrolledVoice, ...] = Field(min_length=1)

    @property
    def clean_s(self) -> float:
        """Seconds of clean speech that the profile rests on."""
        return sum(voice.clean_s for voice in self.voices)


Verdict = Literal["named", "suggested", "unknown", "too_short", "unmeasured"]


class Candidate(Frozen):
    """A person whom a voice was compared with."""

    person: str
    score: float = Field(ge=-1, le=1, description="Cosine of voice and profile.")


class VoiceMatch(Frozen):
    """Who a speaker may be.

    ``named``: sure enough to write the name; ``suggested``: ask somebody; ``too_short``: would be named with more
    speech; ``unmeasured``: the embedding model has no thresholds, the scores are all there is.
    """

    speaker: str
    verdict: Verdict
    person: str | None = Field(None, description="None where the verdict is unknown or unmeasured.")
    score: float | None = None
    runner_up: float | None = Field(None, description="Score of the next best person for this voice.")
    clean_s: float = Field(0.0, ge=0, description="Seconds of clean speech on this side.")
    profile_s: float | None = Field(None, ge=0, description="Seconds of clean speech in the profile.")
    candidates: tuple[Candidate, ...] = Field((), description="Up to three, the nearest first.")
