"""A meeting through the MCP server, as a client sees it: `make demo`, or

    python examples/demo.py [RECORDING [FOLDER]]

Starts `python -m mcp_server`, talks to it over stdio with the MCP SDK's client, shows the transcript and how it
was made, and leaves it as files in FOLDER (out/demo).
"""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from itertools import groupby
from pathlib import Path
from typing import Any

from mcp import Client, StdioServerParameters
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from pipeline.writers.text import clock
from schemas.jobs import Result
from schemas.transcript import Segment

ROOT = Path(__file__).resolve().parent.parent
MEETING = ROOT / "tests" / "data" / "syn_en_meeting_a.opus"
OUT = ROOT / "out" / "demo"
FORMATS = {"json": "json", "srt": "srt", "vtt": "vtt", "text": "txt", "rttm": "rttm"}
COLOURS = ("cyan", "magenta", "green", "yellow", "blue", "red")

console = Console(highlight=False)


async def main(recording: Path = MEETING, out: Path = OUT) -> None:
    """The whole session: a job, its progress, its transcript, its files."""
    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as state:
        server = StdioServerParameters(
            command=sys.executable,
            args=["-m", "mcp_server", "--allow-dir", str(recording.parent)],
            env={**os.environ, "WHISPERX_MLX_STATE": state},
            cwd=ROOT,
        )
        async with Client(server) as client:
            console.print(f"[bold]{escape(recording.name)}[/] → MCP server, tool transcribe_diarized")
            result = await transcribed(client, recording)
            segments = await all_segments(client, result)
            seconds = time.perf_counter() - started
            show_transcript(segments)
            await show_words(client, result, segments)
            show_stages(result, seconds)
            show_warnings(result)
            await keep_files(client, result, out, recording.stem)


async def transcribed(client: Client, recording: Path) -> Result:
    """The finished job's first page; meanwhile a bar moves."""
    with bar() as show:
        result = await call(client, "transcribe_diarized", file_path=str(recording), wait_s=1)
        while result.status in ("queued", "running"):
            show(result)
            result = await call(client, "get_job", job_id=result.job_id, wait_s=1)
    if result.status != "completed":
        sys.exit(f"the job is {result.status}")
    return result


async def all_segments(client: Client, result: Result) -> list[Segment]:
    """The first page and those behind it."""
    segments = list(result.segments or ())
    async for page in pages_behind(client, result):
        segments += page.segments or ()
    return segments


async def pages_behind(client: Client, result: Result) -> AsyncIterator[Result]:
    """The pages after this one, as far as the server says that there are any."""
    while result.page is not None and result.page.next_cursor is not None:
        result = await call(client, result.next_action.tool, **result.next_action.arguments)
        yield result


async def show_words(client: Client, result: Result, segments: list[Segment]) -> None:
    """The words of the first sentences with their times."""
    end_s = segments[:3][-1].end if segments else 0.1
    page = await call(
        client, "get_transcript", transcript_id=result.transcript_id, end_s=end_s, include_words=True
    )
    heading("Word by word, the beginning")
    for segment in page.segments or ():
        words = (f"{word.word} [dim]{word.start:.2f}[/]" for word in segment.words if word.start is not None)
        console.print("  " + " ".join(words))


async def keep_files(client: Client, result: Result, out: Path, stem: str) -> None:
    """The transcript in every format, put together from the pieces that the server hands out."""
    heading("Files")
    out.mkdir(parents=True, exist_ok=True)
    for name, extension in FORMATS.items():
        piece = await call(client, "get_transcript", transcript_id=result.transcript_id, format=name)
        text = piece.text or ""
        async for page in pages_behind(client, piece):
            text += page.text or ""
        path = out / f"{stem}.{extension}"
        path.write_text(text, "utf-8")
        shown = path.relative_to(ROOT) if path.is_relative_to(ROOT) else path
        console.print(f"  {escape(str(shown))}  [dim]{path.stat().st_size:,} bytes[/]")


async def call(client: Client, tool: str, **arguments: Any) -> Result:
    """One tool call. An error's text says what to do, so it ends the demo as it is."""
    answer = await client.call_tool(tool, arguments)
    if answer.is_error:
        sys.exit("\n".join(block.text for block in answer.content))
    return Result.model_validate(answer.structured_content)


@contextmanager
def bar() -> Iterator[Callable[[Result], None]]:
    """A function that shows a running job: a bar on a terminal, a line per stage elsewhere."""
    if not console.is_terminal:
        seen: set[str] = set()

        def line(result: Result) -> None:
            if result.progress.stage not in seen:
                seen.add(result.progress.stage)
                console.print(f"  {result.progress.stage} ({result.progress.fraction:.0%})")

        yield line
        return
    columns = (
        TextColumn("  {task.description:<8}"),
        BarColumn(),
        TaskProgressColumn(),
        TimeElapsedColumn(),
        TextColumn("[dim italic]{task.fields[heard]}"),
    )
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("starting", total=1.0, heard="")

        def move(result: Result) -> None:
            heard = escape((result.text or "")[-60:])
            progress.update(
                task, completed=result.progress.fraction, description=result.progress.stage, heard=heard
            )

        yield move


def show_transcript(segments: list[Segment]) -> None:
    """As it would be read: who begins to speak when, and what they say until somebody else does."""
    colours: dict[str | None, str] = {}
    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim", no_wrap=True)
    table.add_column(no_wrap=True)
    table.add_column(ratio=1)
    for speaker, group in groupby(segments, key=lambda segment: segment.speaker):
        turn = list(group)
        colour = colours.setdefault(speaker, COLOURS[len(colours) % len(COLOURS)])
        label = escape(turn[0].speaker_name or speaker or "")
        said = " ".join(segment.text.strip() for segment in turn)
        table.add_row(clock(turn[0].start), f"[{colour}]{label}[/]", escape(said))
    console.print()
    console.print(table)


def show_stages(result: Result, seconds: float) -> None:
    """Which backend, weights and device did each stage, and how long it took."""
    heading("How it was made")
    table = Table()
    for column in ("stage", "backend", "model", "device"):
        table.add_column(column, overflow="fold")
    for column in ("seconds", "speed"):
        table.add_column(column, justify="right", no_wrap=True)
    for name, report in (result.stages or {}).items():
        speed = f"{report.rtfx:.1f}x" if report.rtfx else ""
        took = f"{report.seconds:.1f}" + (" (cached)" if report.cached else "")
        table.add_row(name, report.backend, report.model or "", report.device or "", took, speed)
    console.print(table)
    console.print(
        f"{clock(result.media.duration_s)} of sound, language {result.language or 'unknown'}, "
        f"{len(result.speakers or ())} speakers; {seconds:.1f} s in all, the server's start included. "
        "Speed is seconds of sound per second of work."
    )


def show_warnings(result: Result) -> None:
    """What was not done as it could be."""
    if result.warnings:
        heading("Warnings")
    for warning in result.warnings or ():
        console.print(f"  [yellow]{warning.code}[/]: {escape(warning.message)}")


def heading(text: str) -> None:
    """A line above a part."""
    console.print(f"\n[bold]{text}[/]")


if __name__ == "__main__":
    asyncio.run(main(*(Path(argument).resolve() for argument in sys.argv[1:3])))
