"""Jobs: what is asked of the worker, how far it is, and what a tool returns."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from schemas._frozen import Frozen
from schemas.diarization import SpeakerTurn
from schemas.options import Operation, Options
from schemas.report import QualitySpan, StageReport, Warning_
from schemas.transcript import Media, Segment, Speaker

JobStatus = Literal["queued", "running", "completed", "failed", "cancelled", "interrupted"]
UNFINISHED: frozenset[str] = frozenset({"queued", "running"})


class FileIdentity(Frozen):
    """The file that was checked, so that another one swapped in under its name is noticed."""

    device: int
    inode: int


class JobRequest(Frozen):
    """One unit of work for the worker process."""

    operation: Operation
    path: str | None = Field(None, description="Absolute path of the recording.")
    identity: FileIdentity | None = None
    transcript_path: str | None = Field(None, description="A transcript to align or to diarize.")
    options: Options = Options()


class Progress(Frozen):
    """How far a job is. ``fraction`` never falls."""

    stage: str = Field(description="queued, loading, or a name from schemas.report.STAGES.")
    fraction: float = Field(0.0, ge=0, le=1)
    elapsed_s: float = Field(0.0, ge=0)
    eta_s: float | None = Field(None, ge=0, description="Estimated seconds left.")
    ahead: int | None = Field(None, description="Jobs that are done before this one.")
    detail: str | None = Field(None, description="Why it waits, or which part it is at.")


class JobSummary(Frozen):
    """A job in a list."""

    job_id: str
    operation: Operation
    status: JobStatus
    recording: str | None = Field(None, description="Path, or the transcript that was built on.")
    created_at: str = Field(description="ISO 8601, local time.")
    progress: Progress | None = Field(None, description="While it is not finished.")
    transcript_id: str | None = None
    error: str | None = Field(None, description="The code of the error that ended it.")


class JobList(Frozen):
    """Jobs of this computer: unfinished ones in their order, then finished ones, newest first."""

    jobs: tuple[JobSummary, ...] = ()
    next_action: NextAction | None = None


class NextAction(Frozen):
    """The call that an agent should make next."""

    tool: str
    arguments: dict[str, str | int | float | bool | tuple[str, ...]]


class NameSuggestion(Frozen):
    """A name that waits for review: nothing uses it until label_speakers confirms it."""

    speaker: str = Field(description="Raw label.")
    name: str
    reason: str
    score: float | None = Field(None, description="Likeness of the voices, 1 for the same.")
    threshold: float | None = None
    runner_up: str | None = Field(None, description="The next likely name.")
    runner_up_score: float | None = None
    evidence_s: float | None = Field(None, description="Seconds of speech that were compared.")


class Page(Frozen):
    """Which part of the transcript a result holds; turns count where there are no segments."""

    first_id: int | None = None
    returned: int = 0
    total_segments: int = Field(0, description="Of the whole, after windows and filters.")
    next_cursor: str | None = None


class OutputFile(Frozen):
    """A file or resource that holds the whole result."""

    format: str
    path: str | None = None
    uri: str | None = None
    bytes: int | None = None


class Result(Frozen):
    """What every tool that works on a recording returns. Flat, without unions; absent fields are unknown."""

    schema_version: Literal["1.0"] = "1.0"
    job_id: str | None = None
    transcript_id: str | None = None
    operation: Operation | None = None
    status: JobStatus = "completed"
    progress: Progress | None = None
    next_action: NextAction | None = None
    media: Media | None = None
    language: str | None = None
    language_probability: float | None = None
    stages: dict[str, StageReport] | None = None
    speakers: tuple[Speaker, ...] | None = None
    suggestions: tuple[NameSuggestion, ...] | None = None
    notice: str | None = Field(None, description="What kind of content the segments and the text are.")
    segments: tuple[Segment, ...] | None = None
    turns: tuple[SpeakerTurn, ...] | None = Field(None, description="Where there are speakers without text.")
    text: str | None = Field(None, description="The page in the format asked for, or text so far.")
    page: Page | None = None
    files: tuple[OutputFile, ...] | None = None
    quality: tuple[QualitySpan, ...] | None = Field(None, description="Doubtful stretches of this page.")
    warnings: tuple[Warning_, ...] | None = None
