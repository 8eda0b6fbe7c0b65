"""One recording of many: from a path to files of results, and what is said of it."""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from schemas.batch import FileReport
from schemas.errors import TranscriptionError
from schemas.jobs import JobRequest, Operation
from schemas.options import Options, SubtitleOptions

if TYPE_CHECKING:
    from pipeline.cache import Cache
    from pipeline.pool import ModelPool
    from pipeline.run import Report


@dataclass(frozen=True)
class Task:
    """What to do with a recording. Paths are those of the machine that does it."""

    path: str
    stem: str
    operation: Operation
    options: Options
    output_dir: Path
    formats: tuple[str, ...]
    subtitles: SubtitleOptions = field(default_factory=SubtitleOptions)
    transcript: str | None = None  # the file of one to align
    no_cache: bool = False

    @property
    def sources(self) -> tuple[Path, ...]:
        """The files that it reads."""
        return tuple(Path(path).expanduser() for path in (self.path, self.transcript) if path)

    @property
    def targets(self) -> tuple[Path, ...]:
        """The files of results."""
        from pipeline.writers import EXTENSIONS

        return tuple(self.output_dir / f"{self.stem}.{EXTENSIONS[name]}" for name in self.formats)

    @property
    def is_done(self) -> bool:
        """Whether every result is there and no older than what it is made from."""
        try:
            changed = max(path.stat().st_mtime for path in self.sources)
            return all(target.stat().st_mtime >= changed for target in self.targets)
        except OSError:
            return False


def do(task: Task, pool: ModelPool, cache: Cache, report: Report | None = None) -> FileReport:
    """Transcribes and writes the files of results, each whole or not at all.

    Raises the errors of :mod:`schemas.errors`.
    """
    from pipeline.cache import NoCache
    from pipeline.run import run
    from pipeline.writers import write_files

    started = time.perf_counter()
    path = str(Path(task.path).expanduser().absolute())
    request = JobRequest(
        operation=task.operation, path=path, transcript_path=task.transcript, options=task.options
    )
    transcript = run(request, pool=pool, cache=NoCache() if task.no_cache else cache, report=report)
    files = write_files(
        transcript, task.output_dir, task.stem, task.formats, overwrite=True, subtitles=task.subtitles
    )
    seconds = time.perf_counter() - started
    duration = transcript.media.duration_s
    return FileReport(
        file=task.path,
        status="done",
        duration_s=duration,
        seconds=round(seconds, 3),
        rtfx=round(duration / seconds, 2) if seconds > 0 else None,
        language=transcript.language,
        language_probability=transcript.language_probability,
        speakers=len(transcript.speakers),
        segments=len(transcript.segments),
        stages=transcript.stages,
        warnings=transcript.warnings,
        files=tuple(file.path or "" for file in files),
    )


def failed(path: str, error: Exception) -> FileReport:
    """The report of a recording that could not be done."""
    coded = error if isinstance(error, TranscriptionError) else _defect(error)
    return FileReport(file=path, status="failed", error=coded.to_dict())


def _defect(error: Exception) -> TranscriptionError:
    """An error that has no code is a defect; its message may quote anything, so only its place is shown."""
    last = error.__traceback__
    while last is not None and last.tb_next is not None:
        last = last.tb_next
    where = f"{Path(last.tb_frame.f_code.co_filename).name}:{last.tb_lineno}" if last else "unknown place"
    logging.getLogger(__name__).debug("defect", exc_info=error)
    return TranscriptionError(
        f"{type(error).__name__} in {where}", hint="--log_level debug shows more; please report it"
    )
