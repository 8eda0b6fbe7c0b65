"""What a command over many recordings says of each of them."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from schemas._frozen import Frozen
from schemas.report import StageReport, Warning_


class FileReport(Frozen):
    """One recording of a batch. Nothing that was said is in it."""

    file: str = Field(description="The recording, as it was named.")
    status: Literal["done", "skipped", "failed"]
    duration_s: float | None = None
    seconds: float | None = Field(None, description="Wall time.")
    rtfx: float | None = Field(None, description="Seconds of audio per second of work.")
    language: str | None = None
    language_probability: float | None = None
    speakers: int | None = None
    segments: int | None = None
    stages: dict[str, StageReport] = Field(default_factory=dict)
    warnings: tuple[Warning_, ...] = ()
    files: tuple[str, ...] = Field((), description="Paths of the results.")
    worker: str | None = Field(None, description="Which process of a cluster did it: host:process.")
    error: dict[str, Any] | None = Field(None, description="Code, message and hint of what failed.")
