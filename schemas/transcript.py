"""What was said: words, segments, the transcript. Times are float seconds from the recording's beginning."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from schemas._frozen import Frozen
from schemas.diarization import SpeakerTurn
from schemas.report import QualitySpan, StageReport, Warning_
from schemas.voices import SimilarVoices, SpeakerCount, Voice

SCHEMA_VERSION = "1.0"

Timing = Literal["asr", "attention", "ctc", "head", "interpolated", "given"]


class Phone(Frozen):
    """A phone of a word with its time, as ``return_phone_alignments`` gives it."""

    phone: str = Field(description="English: CMUdict's ARPAbet in lower case; other languages: IPA.")
    start: float = Field(ge=0)
    end: float = Field(ge=0)
    score: float | None = Field(None, ge=0, le=1, description="Its mean probability.")

    def shifted(self, by: float) -> Phone:
        """The same phone ``by`` seconds later."""
        return self.model_copy(update=_later(self, by))


class Word(Frozen):
    """A word as written, punctuation included. Times are none where nothing could place it."""

    word: str
    start: float | None = Field(None, ge=0)
    end: float | None = Field(None, ge=0)
    score: float | None = Field(
        None, ge=0, le=1, description="Confidence of the time, 0 to 1; 0 for an estimated one."
    )
    speaker: str | None = None
    speaker_score: float | None = Field(None, ge=0, le=1, description="Confidence of the speaker, 0 to 1.")
    timing: Timing | None = Field(None, description="Where the times come from.")
    overlap: tuple[str, ...] | None = Field(None, description="Other speakers talking at the same time.")
    phones: tuple[Phone, ...] | None = Field(
        None, description="In order, where they were asked for and the aligner knows them."
    )

    def shifted(self, by: float) -> Word:
        """The same word ``by`` seconds later."""
        phones = None if self.phones is None else tuple(phone.shifted(by) for phone in self.phones)
        return self.model_copy(update={**_later(self, by), "phones": phones})


class Char(Frozen):
    """A character with its time, as WhisperX's ``return_char_alignments`` gives it."""

    char: str
    start: float | None = Field(None, ge=0)
    end: float | None = Field(None, ge=0)
    score: float | None = None

    def shifted(self, by: float) -> Char:
        """The same character ``by`` seconds later."""
        return self.model_copy(update=_later(self, by))


class Segment(Frozen):
    """Text with a start and an end; one speaker where speakers are known."""

    id: int = Field(0, ge=0)
    start: float = Field(ge=0)
    end: float = Field(ge=0)
    text: str
    speaker: str | None = Field(None, description="Raw label, SPEAKER_00.")
    speaker_name: str | None = Field(None, description="The name given to the label, where one was.")
    language: str | None = Field(None, description="Where it differs from the transcript's.")
    words: tuple[Word, ...] = ()
    chars: tuple[Char, ...] | None = None
    avg_logprob: float | None = None
    compression_ratio: float | None = None
    no_speech_prob: float | None = Field(None, ge=0, le=1)
    temperature: float | None = None

    def shifted(self, by: float) -> Segment:
        """The same segment ``by`` seconds later."""
        return self.model_copy(
            update={
                "start": self.start + by,
                "end": self.end + by,
                "words": tuple(word.shifted(by) for word in self.words),
                "chars": None if self.chars is None else tuple(char.shifted(by) for char in self.chars),
            }
        )


class Media(Frozen):
    """The recording that a transcript belongs to."""

    path: str | None = Field(None, description="None for samples handed in from memory.")
    duration_s: float = Field(ge=0)
    sha256: str | None = Field(
        None, description="Of the decoded 16 kHz mono samples (float32, little endian)."
    )
    recorded_at: str | None = Field(
        None, description="When the file's time 0 was, ISO 8601, where the container says so."
    )


class Speaker(Frozen):
    """One voice of the recording."""

    id: str = Field(description="SPEAKER_00 …")
    name: str | None = None
    speech_s: float = Field(0.0, ge=0)
    segments: int = Field(0, ge=0)


class Transcript(Frozen):
    """Everything known about what was said in a recording."""

    schema_version: Literal["1.0"] = SCHEMA_VERSION
    media: Media
    language: str | None = Field(None, description="ISO 639-1 as Whisper names it; none without speech.")
    language_probability: float | None = Field(None, ge=0, le=1)
    task: Literal["transcribe", "translate"] = "transcribe"
    segments: tuple[Segment, ...] = ()
    speakers: tuple[Speaker, ...] = ()
    voices: tuple[Voice, ...] = Field(
        (), description="Each speaker's voice without its embedding, in the labels' order."
    )
    speaker_embeddings: dict[str, tuple[float, ...]] | None = Field(
        None, description="A vector per speaker label, as WhisperX's --speaker_embeddings gives them."
    )
    embedding_model: str | None = Field(None, description="What the vectors are of: name@revision.")
    similar_voices: tuple[SimilarVoices, ...] = Field((), description="Speakers who may be one person.")
    speaker_count: SpeakerCount | None = None
    turns: tuple[SpeakerTurn, ...] = Field((), description="Diarization; turns may overlap.")
    exclusive_turns: tuple[SpeakerTurn, ...] = Field((), description="Diarization without overlap.")
    stages: dict[str, StageReport] = Field(default_factory=dict)
    quality: tuple[QualitySpan, ...] = Field((), description="Where the text deserves doubt.")
    warnings: tuple[Warning_, ...] = ()

    @property
    def words(self) -> tuple[Word, ...]:
        """All words in order (WhisperX's ``word_segments``)."""
        return tuple(word for segment in self.segments for word in segment.words)

    @property
    def text(self) -> str:
        """The segments' texts joined by spaces."""
        return " ".join(segment.text.strip() for segment in self.segments)


def _later(timed: Phone | Word | Char, by: float) -> dict[str, float | None]:
    """Its times ``by`` seconds later."""
    return {
        "start": None if timed.start is None else timed.start + by,
        "end": None if timed.end is None else timed.end + by,
    }
