"""What diarization takes on this machine, and how far its ways are apart: ``whisperx-mlx bench FILE --diarize``.

MLX in both modes, torch in ``fast``, and pyannote.audio on the GPU (where torch sees one) and on the CPU, each
with the weights that are here. pyannote runs as released: its embedding once per window and local speaker. What
differs between two answers is given as the diarization error rate of one against the other, and of each against
the truth where that is known.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline._bench_process import answer, measured, peak_mb
from schemas.diarization import SpeakerTurn
from schemas.options import DiarizeOptions, Options

if TYPE_CHECKING:
    from pipeline._bench_plot import Panel
    from pipeline.plan import Machine

WARM_UP_S = 12.0


@dataclass(frozen=True)
class Way:
    """A backend on a device, in a mode (none: it has one)."""

    backend: str
    device: str
    mode: str | None = None

    @property
    def name(self) -> str:
        """For the table."""
        return f"{self.backend} on {self.device}" + (f", {self.mode}" if self.mode else "")


@dataclass(frozen=True)
class Row:
    """What a way took for the recording, and its turns; or why it could not."""

    way: Way
    wall_s: float = 0.0
    cpu_s: float = 0.0
    peak_mb: float = 0.0
    turns: tuple[SpeakerTurn, ...] = ()
    failed: str | None = None


def ways(machine: Machine) -> tuple[Way, ...]:
    """What can be compared on a machine; pyannote on the CPU, which the others are measured by, is the last."""
    gpu = machine.accelerator
    mlx = gpu if gpu and machine.mlx_on_gpu else "cpu"
    torch_gpu = {"metal": "mps", "cuda": "cuda"}.get(gpu or "")
    every = [Way("mlx", mlx, "exact"), Way("mlx", mlx, "fast"), Way("torch", "cpu", "fast")]
    every += [Way("pyannote", torch_gpu)] if torch_gpu else []
    every.append(Way("pyannote", "cpu"))
    return tuple(way for way in every if machine.has("diarize", way.backend))


def compare(path: str, machine: Machine, options: Options) -> Iterator[Row]:
    """Row after row, each from a process of its own. Loading, decoding and a warm-up are not in the times."""
    for way in ways(machine):
        job = (str(Path(path).absolute()), asdict(way), options.model_dump(mode="json"))
        found = measured("pipeline.bench_diarize", *job)
        turns = tuple(SpeakerTurn(**turn) for turn in found.pop("turns", ()))
        device = found.pop("device", way.device)
        yield Row(replace(way, device=device), turns=turns, **found)


def _work(path: str, asked: dict[str, Any], options: dict[str, Any]) -> dict[str, Any]:
    """A row's fields. Raises what opening and loading raise."""
    from pipeline import backends
    from pipeline.audio import open_recording
    from pipeline.plan import Choice
    from pipeline.recording import Recording

    way, wanted = Way(**asked), Options.model_validate(options)
    with tempfile.TemporaryDirectory() as folder:
        recording = open_recording(path, wanted.audio, workdir=Path(folder))
        diarizer = backends.load(
            "diarize", Choice(way.backend, way.device, wanted.diarize.diarize_model), wanted
        )
        if way.backend == "pyannote":
            diarizer.as_released()
        how = DiarizeOptions(diarize_mode=way.mode or "auto")
        first = Recording.from_array(recording.seconds(0.0, WARM_UP_S))
        diarizer.diarize(first, how, lambda _: None)
        wall, cpu = time.perf_counter(), time.process_time()
        found = diarizer.diarize(recording, how, lambda _: None)
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    return {
        "wall_s": wall,
        "cpu_s": cpu,
        "peak_mb": peak_mb(),
        "turns": [turn.model_dump(include={"start", "end", "speaker"}) for turn in found.turns],
        "device": "cpu, as its own check failed" if diarizer.device != way.device else way.device,
    }


def der(reference: tuple[SpeakerTurn, ...], found: tuple[SpeakerTurn, ...]) -> float:
    """Diarization error rate without a collar, overlap counted, speakers matched as well as can be."""
    from pyannote.core import Annotation, Segment
    from pyannote.metrics.diarization import DiarizationErrorRate

    def annotation(turns: tuple[SpeakerTurn, ...]) -> Annotation:
        made = Annotation()
        for number, turn in enumerate(turns):
            made[Segment(turn.start, turn.end), number] = turn.speaker
        return made

    everything = annotation((*reference, *found)).get_timeline().extent()
    return float(DiarizationErrorRate()(annotation(reference), annotation(found), uem=everything))


def table(rows: list[Row], duration_s: float, truth: tuple[SpeakerTurn, ...] | None = None) -> str:
    """Markdown. The last row that ran is what the others are compared with."""
    ran = [row for row in rows if row.failed is None]
    head = [
        "diarizer",
        "wall s",
        "times real time",
        "CPU s",
        "peak memory, MB",
        "speakers",
        "DER to the last",
    ]
    head += ["DER"] * (truth is not None)
    lines = [f"| {' | '.join(head)} |", "|" + "---|" * len(head)]
    for row in rows:
        if row.failed is not None:
            cells = [row.way.name, row.failed, *[""] * (len(head) - 2)]
        else:
            cells = [row.way.name, f"{row.wall_s:.2f}", f"{rtfx(row, duration_s):.1f}", f"{row.cpu_s:.2f}"]
            cells.append(f"{row.peak_mb:.0f}")
            cells.append(str(len({turn.speaker for turn in row.turns})))
            cells.append(f"{der(ran[-1].turns, row.turns):.1%}" if ran[-1].turns else "–")
            cells += [f"{der(truth, row.turns):.1%}"] if truth is not None else []
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def rtfx(row: Row, duration_s: float) -> float:
    """Seconds of audio per second of work."""
    return duration_s / max(row.wall_s, 1e-9)


def panels(rows: list[Row], duration_s: float, truth: tuple[SpeakerTurn, ...] | None) -> list[Panel]:
    """What the plot shows of the rows that ran."""
    from pipeline._bench_plot import Panel

    ran = [row for row in rows if row.failed is None]
    if not ran:
        return []
    speed = tuple((row.way.name, rtfx(row, duration_s)) for row in ran)
    found = [Panel("who spoke: times real time (more is better)", speed)]
    if truth is not None:
        wrong = tuple((row.way.name, 100 * der(truth, row.turns)) for row in ran)
        found.append(Panel("diarization error rate in % (less is better)", wrong))
    return found


def run(
    path: str,
    duration_s: float,
    options: Options,
    say: Callable[[str], None],
    truth: tuple[SpeakerTurn, ...] | None = None,
) -> tuple[str, list[Panel]]:
    """The table for a recording, and the panels of its plot; ``say`` is told of each row as it comes."""
    from pipeline.machine import probe

    rows = []
    for row in compare(path, probe(), options):
        rows.append(row)
        say(f"{row.way.name}: {row.failed or f'{row.wall_s:.2f} s'}")
    return table(rows, duration_s, truth), panels(rows, duration_s, truth)


if __name__ == "__main__":
    answer(_work)
