"""Speech to text side by side: this engine and its peers, on the same audio and weights, in one run.

    python bench/asr.py [--audio FOLDER] [--minutes 10] [--only NAME ...] [--runs 1] [--out FILE.md]

Every system runs in a process of its own, loads its model outside the clock and transcribes once before it counts.
Peers are installed without their dependencies into throw-away environments that also see this one's packages. All
systems on MLX get the same BLAS. A system that cannot be installed or run is named in the table, with the reason.
The audio is every English recording of the folder that has a reference text, one after the other with a second of
silence between them, again and again until the minutes are full.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

RATE = 16_000
UNFIT = {"en_uberi", "en_stereo_2ch_2spk"}  # the normaliser writes "one two three" as 123; two people at once
BASELINE = "mlx-whisper"


@dataclass(frozen=True)
class System:
    """``run`` names a function of ``asr_systems``; ``package`` is what its throw-away environment gets."""

    name: str
    run: str
    package: str | None = None
    options: tuple[tuple[str, object], ...] = ()


def systems() -> list[System]:
    """All of the table's rows."""
    ours = [
        System(f"this engine, batch {n}, greedy", "ours", None, (("batch_size", n), ("beam_size", 1)))
        for n in (1, 4, 8, 16)
    ]
    beam = System("this engine, batch 8, beam 5", "ours", None, (("batch_size", 8), ("beam_size", 5)))
    faster = [
        System(f"faster-whisper {how}, {precision}, beam {beam_size}", "faster_whisper", None, options)
        for how, batch in (("sequential", 0), ("batched", 8))
        for precision in ("int8", "float32")
        for beam_size in (1, 5)
        for options in [(("batch_size", batch), ("compute_type", precision), ("beam_size", beam_size))]
    ]
    return [
        *ours,
        beam,
        System(BASELINE, "mlx_whisper"),
        System("vayu-whisper, batch 8", "vayu_whisper", "vayu-whisper==1.1.0"),
        System("lightning-whisper-mlx, batch 8", "lightning_whisper", "lightning-whisper-mlx==0.0.10"),
        System("mlx-whisperx, batch 8", "mlx_whisperx", "mlx-whisperx==0.1.14"),
        System("whispermlx", "whispermlx", "whispermlx==3.14.0"),
        *faster,
        *(System(f"whisperx, batch 8, beam {n}", "whisperx", None, (("beam_size", n),)) for n in (1, 5)),
        System("pywhispercpp", "pywhispercpp", "pywhispercpp==1.5.1"),
    ]


def main() -> None:
    """Run the systems asked for and print the table."""
    asked = arguments()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        wav, reference, seconds = long_recording(asked.audio, asked.minutes, folder)
        job = {"audio": str(wav), "threads": asked.threads, **weights(asked.model)}
        rows = []
        for system in chosen(asked.only):
            row = measured(system, job, folder, asked.runs)
            rows.append((system, row))
            print(line(system, row, reference, seconds, None), flush=True)
        text = table(rows, reference, seconds, asked)
    print("\n" + text)
    if asked.out:
        asked.out.write_text(text, encoding="utf-8")


def arguments() -> argparse.Namespace:
    """The command line."""
    from recordings import shared_folder

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--audio", type=Path, default=shared_folder(), help="folder with a manifest.jsonl")
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--model", default="base")
    parser.add_argument("--only", nargs="*", default=[], help="parts of systems' names")
    parser.add_argument("--runs", type=int, default=1, help="the median counts")
    parser.add_argument("--threads", type=int, default=min(8, os.cpu_count() or 1))
    parser.add_argument("--out", type=Path)
    asked = parser.parse_args()
    if asked.audio is None:
        parser.error("no folder of recordings: name one with --audio")
    return asked


def chosen(parts: list[str]) -> list[System]:
    """The systems whose names hold one of the parts; all of them without parts."""
    return [s for s in systems() if not parts or any(part in s.name for part in parts)]


def long_recording(folder: Path, minutes: float, scratch: Path) -> tuple[Path, str, float]:
    """A WAV file of about so many minutes, its reference text, its length in seconds."""
    from recordings import entries

    from pipeline.audio import load_waveform

    said = [
        e
        for e in entries(folder, "single", "multi")
        if e["lang"] == "en" and e["text"] and e["id"] not in UNFIT
    ]
    pieces, text, samples = [], [], 0
    while samples < minutes * 60 * RATE:
        for entry in said:
            waveform = load_waveform(folder / entry["file"])
            pieces += [waveform, np.zeros(RATE, np.float32)]
            text.append(entry["text"])
            samples += len(waveform) + RATE
            if samples >= minutes * 60 * RATE:
                break
    path = scratch / "recording.wav"
    write_wav(path, np.concatenate(pieces))
    return path, " ".join(text), samples / RATE


def write_wav(path: Path, waveform: np.ndarray) -> None:
    """16-bit mono at 16 kHz."""
    import wave

    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes((waveform.clip(-1, 1) * 32767).astype("<i2").tobytes())


def weights(model: str) -> dict[str, str]:
    """The same weights in both formats."""
    from pipeline import models

    found = {}
    for format_ in ("mlx", "ctranslate2"):
        files = models.find("whisper", model, formats=(format_,), required=True, compute_type="float32")
        found[format_] = str(files.path)
    return found


def measured(system: System, job: dict, scratch: Path, runs: int) -> dict:
    """The median run of a system, or why there is none."""
    try:
        python = environment(system, scratch)
    except subprocess.CalledProcessError as error:
        return {"failed": f"cannot be installed: {last_line(error.stderr)}"}
    given = json.dumps({**job, **dict(system.options), "system": system.run})
    found = []
    for _ in range(runs):
        done = subprocess.run(
            [python, str(Path(__file__).with_name("asr_systems.py")), given],
            capture_output=True,
            text=True,
            cwd=scratch,
        )
        if done.returncode:
            return {"failed": f"cannot be run: {last_line(done.stderr)}"}
        found.append(json.loads(done.stdout.splitlines()[-1]))
    middle = statistics.median_low(row["seconds"] for row in found)
    return next(row for row in found if row["seconds"] == middle)


def environment(system: System, scratch: Path) -> str:
    """The Python of an environment with the system's package, beside all that is installed here."""
    if system.package is None:
        return sys.executable
    folder = scratch / system.run
    subprocess.run(
        [sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True, capture_output=True
    )
    site = next(folder.glob("lib/python*/site-packages"))
    here = next(p for p in sys.path if p.endswith("site-packages"))
    (site / "beside.pth").write_text(f"import site; site.addsitedir({here!r})\n", encoding="utf-8")
    subprocess.run(
        [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--target", str(site), system.package],
        check=True,
        capture_output=True,
        text=True,
    )
    return str(folder / "bin" / "python")


def last_line(text: str | None) -> str:
    """What a process said last, short enough for a table."""
    lines = [line.strip() for line in (text or "").splitlines() if line.strip()]
    return (lines[-1] if lines else "no message")[:120]


def line(system: System, row: dict, reference: str, seconds: float, base: float | None) -> str:
    """A row of the table."""
    if "failed" in row:
        return f"| {system.name} | {row['failed']} |" + " |" * 7
    from accuracy import score

    errors = score(reference, row["text"])
    ratio = f"{base / row['seconds']:.1f}" if base else ""
    first = f"{row['first']:.1f}" if row["first"] is not None else ""
    return (
        f"| {system.name} | {row['seconds']:.1f} | {seconds / row['seconds']:.1f} | {ratio} | "
        f"{100 * errors.rate:.1f} | {errors.deletions} | {errors.insertions} | {row['peak_mb']:.0f} | {first} |"
    )


def table(rows: list[tuple[System, dict]], reference: str, seconds: float, asked: argparse.Namespace) -> str:
    """All rows, with what they were measured on."""
    import datetime
    import platform

    base = next((row["seconds"] for s, row in rows if s.name == BASELINE and "failed" not in row), None)
    head = (
        f"{datetime.date.today()}, {platform.machine()}, {asked.threads} threads, Whisper {asked.model}, "
        f"{seconds / 60:.1f} minutes, {len(reference.split())} words, median of {asked.runs}.\n\n"
        f"| system | seconds | RTFx | ratio to {BASELINE} | WER % | D | I | peak MB | first text, s |\n"
        "|---|---|---|---|---|---|---|---|---|\n"
    )
    return head + "\n".join(line(s, row, reference, seconds, base) for s, row in rows) + "\n"


if __name__ == "__main__":
    main()
