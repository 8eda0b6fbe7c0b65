"""What nobody expected, as an error that a client can be told."""

from __future__ import annotations

from pipeline.worker import log_defect
from schemas.errors import JobError, TranscriptionError


def defect(error: Exception) -> TranscriptionError:
    """An unexpected exception as a coded error; where it happened goes to stderr, its message nowhere."""
    log_defect(error)
    return JobError(
        f"The server has a defect ({type(error).__name__}).",
        hint="Try once more; the server's error output tells where it happened.",
    )
