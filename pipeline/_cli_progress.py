"""What the command line shows on stderr: a bar while it works, a summary when a file is done."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn

from pipeline.run import Report
from pipeline.writers.text import clock
from schemas.batch import FileReport
from schemas.errors import TranscriptionError, from_dict
from schemas.report import StageReport, Warning_

_STEP = 0.1  # of the whole: how often a plain line says how far it is


class Screen:
    """Everything that the command line says. Never what was said in a recording."""

    def __init__(self, *, verbose: bool = True, print_progress: bool = False) -> None:
        self._console = Console(stderr=True, highlight=False, soft_wrap=True)
        self._verbose, self._print_progress = verbose, print_progress

    @contextmanager
    def progress(self, name: str) -> Iterator[Report]:
        """A callable for :func:`pipeline.run.run`: a bar on a terminal; lines where they were asked for."""
        if self._verbose and self._console.is_terminal:
            with _bar(self._console) as bar:
                task = bar.add_task(escape(name), total=1.0, stage="")
                yield lambda stage, fraction, _text: bar.update(task, completed=fraction, stage=stage)
        elif self._print_progress:
            yield _Lines(self._console, name).report
        else:
            yield lambda _stage, _fraction, _text: None

    def done(self, report: FileReport) -> None:
        """One block per file: length, speed, language, speakers, stages, warnings, files; or its error."""
        name = Path(report.file).name
        if report.error is not None:
            self.error(report.file, from_dict(report.error))
        elif self._verbose and report.status == "skipped":
            self._console.print(f"[bold]{escape(name)}[/]  skipped: its results are there")
        elif self._verbose:
            self._console.print(f"[bold]{escape(name)}[/]  {escape(_facts(report))}")
            for stage, done in report.stages.items():
                self._console.print(f"  {stage:<8} {escape(_stage(done))}", style="dim")
        for warning in report.warnings:
            self.warning(warning)
        if self._verbose and report.files:
            self._console.print(f"  wrote    {escape(', '.join(report.files))}")

    def warning(self, warning: Warning_) -> None:
        """A warning is shown however quiet the command line is."""
        times = f" ({warning.count} times)" if warning.count > 1 else ""
        self._console.print(f"  [yellow]warning[/]  {warning.code}: {escape(warning.message)}{times}")

    def error(self, name: str | None, error: TranscriptionError) -> None:
        """Code and cause, then the next step."""
        where = f"{escape(name)}: " if name else ""
        self._console.print(f"[red]error[/] {where}{error.code}: {escape(error.message)}")
        if error.hint:
            self._console.print(f"  {escape(error.hint)}")

    def say(self, text: str) -> None:
        """A line of the command line's own."""
        self._console.print(escape(text))


class _Lines:
    """A line at each new stage and each tenth of the way."""

    def __init__(self, console: Console, name: str) -> None:
        self._console, self._name = console, name
        self._stage, self._next = "", 0.0

    def report(self, stage: str, fraction: float, _text: str | None) -> None:
        if stage == self._stage and fraction < self._next:
            return
        self._stage, self._next = stage, fraction + _STEP
        self._console.print(f"{escape(self._name)}: {stage} {fraction:.0%}")


def _bar(console: Console) -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.fields[stage]}", style="dim"),
        console=console,
        transient=True,
    )


def _facts(report: FileReport) -> str:
    facts = [f"{clock(report.duration_s or 0.0)} in {report.seconds:.1f} s"]
    if report.rtfx:
        facts.append(f"{report.rtfx:.1f}x")
    if report.language:
        probability = report.language_probability
        facts.append(report.language + (f" ({probability:.2f})" if probability is not None else ""))
    if report.speakers:
        facts.append(_counted(report.speakers, "speaker"))
    facts.append(_counted(report.segments or 0, "segment"))
    if report.warnings:
        facts.append(_counted(len(report.warnings), "warning"))
    if report.worker:
        facts.append(report.worker)
    return " · ".join(facts)


def _stage(report: StageReport) -> str:
    what = " ".join(part for part in dict.fromkeys((report.backend, report.model, report.device)) if part)
    speed = f" ({report.rtfx:.1f}x)" if report.rtfx else ""
    return f"{what}  {report.seconds:.1f} s{speed}" + (", from the cache" if report.cached else "")


def _counted(number: int, what: str) -> str:
    return f"{number} {what}" + ("" if number == 1 else "s")
