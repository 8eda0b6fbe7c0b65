"""``whisperx-mlx bench FILE``: speed, memory and, beside a reference, errors, on this machine and recording."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline import bench_diarize, bench_transcribe
from pipeline._bench_plot import Panel, check, draw
from pipeline.bench_transcribe import SYSTEMS, USUAL
from schemas.errors import InvalidArgument
from schemas.options import Options

if TYPE_CHECKING:
    from schemas.diarization import SpeakerTurn

Say = Callable[[str], None]


def parser() -> argparse.ArgumentParser:
    """The flags of ``bench``."""
    made = argparse.ArgumentParser(
        "whisperx-mlx bench",
        description="Measure this machine on a recording: this engine beside others, as a table and a plot.",
    )
    made.add_argument("file", metavar="FILE", help="the recording")
    made.add_argument("--reference", metavar="TEXT", help="a file with what is said, for word error rates")
    made.add_argument(
        "--rttm", metavar="RTTM", help="a file with who spoke when: diarizers, too, and their DER"
    )
    made.add_argument("--diarize", action="store_true", help="diarizers alone, without speech to text")
    made.add_argument("--model", help="Whisper model; without it, what suits the machine")
    made.add_argument("--language", help="code or English name; without it, each system detects it")
    made.add_argument(
        "--systems",
        type=_systems,
        default=USUAL,
        metavar="NAMES",
        help=f"out of {', '.join(SYSTEMS)}, with commas (default: {','.join(USUAL)})",
    )
    made.add_argument("--beam_size", type=int, default=5, metavar="N", help="beams (default: 5)")
    made.add_argument(
        "--batch_size", type=int, metavar="N", help="chunks at a time; without it, each its own"
    )
    made.add_argument(
        "--threads", type=int, default=0, metavar="N", help="CPU threads (default: each its own)"
    )
    made.add_argument(
        "--runs", type=_runs, default=1, metavar="N", help="the median of N counts (default: 1)"
    )
    made.add_argument(
        "--plot", metavar="PICTURE", help="png, svg or pdf (default: FILE's name with -bench.svg); none: none"
    )
    return made


def run(asked: argparse.Namespace, say: Say) -> str:
    """The tables for a recording; the plot is written on the way. ``say`` hears of each row as it comes.

    Raises :class:`InvalidArgument`, :class:`schemas.errors.BackendUnavailable` where a package for word errors is
    missing, and what reading the recording and the references raises, all before anything is measured.
    """
    plot, options = _plot(asked), _options(asked)
    text, turns, audio_s = _reference(asked.reference), _turns(asked.rttm, asked.file), _length(asked.file)
    head = (
        f"{_machine()}. {Path(asked.file).name}, {audio_s / 60:.1f} minutes. {bench_transcribe.versions()}."
    )
    tables, panels = [head], []
    if not asked.diarize:
        rows = _told(bench_transcribe.compare(asked.file, asked.systems, options, asked.runs), say)
        tables.append(bench_transcribe.table(rows, text))
        panels += _panels(rows, text)
    if asked.diarize or turns is not None:
        table, more = bench_diarize.run(asked.file, audio_s, Options(), say, turns)
        tables.append(table)
        panels += more
    if plot is not None and panels:
        draw(panels, head, plot)
        say(f"wrote {plot}")
    return "\n\n".join(part.strip() for part in tables) + "\n"


def _told(rows: Iterable[bench_transcribe.Row], say: Say) -> list[bench_transcribe.Row]:
    kept = []
    for row in rows:
        kept.append(row)
        say(f"{row.system}: {row.failed or f'{row.seconds:.2f} s'}")
    return kept


def _panels(rows: list[bench_transcribe.Row], text: str | None) -> list[Panel]:
    ran = [row for row in rows if row.failed is None]
    if not ran:
        return []
    found = [
        Panel("speech to text: times real time (more is better)", tuple((r.system, r.rtfx) for r in ran)),
        Panel(
            "peak memory in MB (less is better)",
            tuple((r.system, max(r.peak_mb, r.gpu_mb or 0.0)) for r in ran),
            "{:.0f}",
        ),
    ]
    if text:
        rates = tuple((r.system, 100 * bench_transcribe.errors(r, text).rate) for r in ran)
        found.append(Panel("word error rate in % (less is better)", rates))
    return found


def _options(asked: argparse.Namespace) -> Options:
    return Options.from_flat(
        model=asked.model,
        language=asked.language,
        beam_size=asked.beam_size,
        batch_size=asked.batch_size,
        threads=asked.threads,
        no_align=True,
        allow_download=asked.model is not None,
    )


def _plot(asked: argparse.Namespace) -> Path | None:
    if asked.plot == "none":
        return None
    plot = Path(asked.plot).expanduser() if asked.plot else Path(f"{Path(asked.file).stem}-bench.svg")
    check(plot)
    return plot


def _length(path: str) -> float:
    """Seconds of the recording, read as it will be. Raises what opening it raises."""
    import tempfile

    from pipeline.audio import open_recording

    with tempfile.TemporaryDirectory() as folder:
        return open_recording(path, workdir=Path(folder)).duration_s


def _reference(path: str | None) -> str | None:
    """The words of a text, or of a transcript in any format that can be read."""
    if path is None:
        return None
    from pipeline import readers, word_errors

    word_errors.check_installed()
    text = " ".join(segment.text.strip() for segment in readers.read_file(Path(path).expanduser()).segments)
    if not text.strip():
        raise InvalidArgument(f"{path} holds no words", hint="name a file with what is said")
    return text


def _turns(path: str | None, recording: str) -> tuple[SpeakerTurn, ...] | None:
    """The turns of the recording in an RTTM file; a file that holds one recording needs not name it."""
    if path is None:
        return None
    from pipeline import readers, rttm
    from schemas.whisperx import read_bytes

    found = rttm.read(readers.decoded(read_bytes(Path(path).expanduser())))
    name = Path(recording).stem
    if name not in found and len(found) != 1:
        raise InvalidArgument(f"{path} has no turns of {name}", hint="its second column names the recording")
    return found.get(name) or next(iter(found.values()))


def _machine() -> str:
    from pipeline.machine import probe, processor_name

    machine = probe()
    gpu = f", {machine.accelerator} with {machine.accelerator_gb:.0f} GB" if machine.accelerator else ""
    return f"{processor_name()}, {machine.cores} cores, {machine.memory_gb:.0f} GB{gpu}"


def _systems(text: str) -> tuple[str, ...]:
    names = tuple(dict.fromkeys(name.strip().replace("_", "-") for name in text.split(",")))
    for name in names:
        if name not in SYSTEMS:
            raise argparse.ArgumentTypeError(f"{name!r} is none of {', '.join(SYSTEMS)}")
    return names


def _runs(text: str) -> int:
    value = int(text)
    if not 1 <= value <= 99:
        raise argparse.ArgumentTypeError(f"{text!r} is not between 1 and 99")
    return value
