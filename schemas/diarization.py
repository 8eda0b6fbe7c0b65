"""Who spoke when, without what was said."""

from __future__ import annotations

from pydantic import Field

from schemas._frozen import Frozen
from schemas.report import StageReport, Warning_
from schemas.voices import SimilarVoices, SpeakerCount, Voice


class SpeakerTurn(Frozen):
    """One stretch of one speaker. RTTM stores the same as start and duration."""

    start: float = Field(ge=0, description="Seconds from the beginning of the recording.")
    end: float = Field(ge=0, description="Seconds.")
    speaker: str = Field(description="SPEAKER_00, SPEAKER_01, … in order of first appearance.")
    confidence: float | None = Field(
        None, ge=0, le=1, description="How much nearer the voice is to this speaker's than to any other's."
    )


class Diarization(Frozen):
    """The turns of a recording.

    ``turns`` may overlap where people talk at once, and give words their speakers; ``exclusive_turns`` never do,
    and have the confidence.
    """

    turns: tuple[SpeakerTurn, ...] = ()
    exclusive_turns: tuple[SpeakerTurn, ...] = ()
    voices: tuple[Voice, ...] = Field((), description="Each speaker's voice, in the labels' order.")
    embedding_model: str | None = Field(None, description="What the embeddings are of: name@revision.")
    similar_voices: tuple[SimilarVoices, ...] = Field((), description="Speakers who may be one person.")
    speaker_count: SpeakerCount | None = None
    stages: dict[str, StageReport] = Field(default_factory=dict)
    warnings: tuple[Warning_, ...] = ()

    @property
    def speakers(self) -> tuple[str, ...]:
        """Labels in order."""
        return tuple(sorted({turn.speaker for turn in self.turns}))
