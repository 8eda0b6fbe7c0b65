"""What a result says about how it was made: stages and warnings."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from schemas._frozen import Frozen

STAGES = ("audio", "vad", "asr", "align", "diarize", "assign")


class StageReport(Frozen):
    """Which backend, weights and device did a stage, and how long it took."""

    backend: str
    model: str | None = Field(None, description="Weights, as name or repository; none where there are none.")
    revision: str | None = Field(None, description="Commit, or checksum, of the weights.")
    device: str | None = Field(None, description="cpu, cuda, mps or metal.")
    mode: str | None = Field(None, description="How, where the backend has several ways (diarize_mode).")
    seconds: float = Field(0.0, ge=0, description="Wall time of the stage.")
    rtfx: float | None = Field(None, ge=0, description="Seconds of audio per second of work.")
    cached: bool = Field(False, description="Taken from the stage cache; `seconds` is then the original's.")


class QualitySpan(Frozen):
    """A stretch of the recording whose text deserves doubt."""

    kind: Literal["low_confidence", "removed", "no_words"] = Field(
        description="Hard to make out; text taken for invented was removed; speech without any word."
    )
    start: float = Field(ge=0)
    end: float = Field(ge=0)
    detail: str = Field(description="Why. Never what was said.")


class Warning_(Frozen):  # noqa: N801 - `Warning` is a builtin
    """Something that was not done as asked, or that a reader should know. Never what was said."""

    code: str = Field(description="One of schemas.report.WARNINGS.")
    message: str = Field(description="What was asked for, what was used, why, and what changes it.")
    count: int = Field(1, ge=1, description="How often it happened.")


WARNINGS: dict[str, str] = {
    "backend_fallback": "A backend failed or is missing, and another one did the stage.",
    "model_substituted": "The default weights are not on this machine; starter weights were used.",
    "stage_skipped": "A stage could not be done; the rest of the result stands.",
    "downmix_cancelled": "The channels cancel each other; the loudest one was used.",
    "track_chosen": "The file has several sound tracks, and one was used.",
    "channels_split": "Each channel holds one speaker, and turns were taken from the channels.",
    "media_damaged": "Parts of the file could not be decoded.",
    "non_finite_samples": "NaN or infinite samples were replaced by silence.",
    "no_speech": "No speech was found.",
    "language_uncertain": "The language was detected with a low probability.",
    "hallucination_removed": "Text that the guards took for invented (loops, text over silence) was left out.",
    "speech_missed": "Sounds that may be speech have no text.",
    "low_confidence": "Parts of the text were decoded with low confidence.",
    "words_interpolated": "Some words have estimated times.",
    "text_not_heard": "Words of the transcript were not heard in the recording.",
    "outside_recording": "Parts of the transcript lie beyond the end of the recording.",
    "speaker_limit": "The number of speakers asked for could not be met.",
    "speakers_forced": "The number of speakers asked for was forced by a much worse clustering.",
    "segment_too_long": "A segment is longer than a page and was returned alone.",
    "flag_ignored": "A flag has no effect in this version.",
    "self_check_failed": "A device gave results that differ from the CPU's, and the CPU was used.",
}
