"""Speech to text side by side: this engine and its peers, on the same audio and weights.

    python bench/asr.py [--audio FOLDER] [--minutes 10] [--only NAME ...] [--runs 1] [--out FILE.md]
    python bench/asr.py --prepare        make everything that is needed, and measure nothing
    python bench/asr.py --table          the table of what was measured so far

Every system runs in a process of its own, loads its model outside the clock and transcribes once before it counts.
Peers are installed without their dependencies into throw-away environments that also see this one's packages. All
systems on MLX get the same BLAS. A system that cannot be installed or run is named in the table, with the reason.
The audio is every English recording of the folder that has a reference text, one after the other with a second of
silence between them, again and again until the minutes are full. Environments, recordings and measurements stay in
the folder ``--work``, so that systems can be measured one by one.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import re
import statistics
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from pipeline._bench_process import last_line  # noqa: E402
from pipeline.machine import processor_name  # noqa: E402

RATE = 16_000
UNFIT = {"en_uberi", "en_stereo_2ch_2spk"}  # the normaliser writes "one two three" as 123; two people at once
BASELINE = "mlx-whisper"


@dataclass(frozen=True)
class System:
    """``run`` names a function of ``asr_systems``; ``packages`` are what its throw-away environment gets."""

    name: str
    run: str
    packages: tuple[str, ...] = ()
    options: tuple[tuple[str, object], ...] = ()

    @property
    def slug(self) -> str:
        """The name as part of a file's."""
        return re.sub(r"[^a-z0-9]+", "-", self.name.lower())


def systems() -> list[System]:
    """All of the table's rows."""
    ours = [
        System(f"this engine, batch {n}, beam {beam_size}", "ours", (), options)
        for n, beam_size in ((1, 1), (4, 1), (8, 1), (16, 1), (32, 1), (8, 5), (16, 5))
        for options in [(("batch_size", n), ("beam_size", beam_size))]
    ]
    faster = [
        System(f"faster-whisper {how}, {precision}, beam {beam_size}", "faster_whisper", (), options)
        for how, batch in (("sequential", 0), ("batched", 8))
        for precision in ("int8", "float32")
        for beam_size in (1, 5)
        for options in [(("batch_size", batch), ("compute_type", precision), ("beam_size", beam_size))]
    ]
    behind = [
        System(f"faster-whisper behind this product's guards, int8, beam {n}", "ours", (), options)
        for n in (1, 5)
        for options in [(("backend", "faster_whisper"), ("compute_type", "int8"), ("beam_size", n))]
    ]
    return [
        *ours,
        *behind,
        System(BASELINE, "mlx_whisper"),
        System("vayu-whisper, batch 8", "vayu_whisper", ("vayu-whisper==1.1.0",)),
        System("lightning-whisper-mlx, batch 8", "lightning_whisper", ("lightning-whisper-mlx==0.0.10",)),
        System("mlx-whisperx, batch 8", "mlx_whisperx", ("mlx-whisperx==0.1.14", "silero-vad==6.2.0")),
        System("whispermlx", "whispermlx", ("whispermlx==3.14.0",)),
        *faster,
        *(System(f"whisperx, batch 8, beam {n}", "whisperx", (), (("beam_size", n),)) for n in (1, 5)),
        System("pywhispercpp", "pywhispercpp", ("pywhispercpp==1.5.1",)),
    ]


def main() -> None:
    """Prepare, measure the systems asked for and print the table."""
    asked = arguments()
    asked.results.mkdir(parents=True, exist_ok=True)
    job = {**weights(asked), **long_recording(asked), "threads": asked.threads, "device": asked.device}
    for system in chosen(asked.only):
        if asked.prepare:
            print(system.name, environment(system, asked.work)[1] or "is ready", flush=True)
        elif not asked.table:
            row = measured(system, job, asked.work, asked.runs)
            (asked.results / f"{system.slug}.json").write_text(json.dumps(row), encoding="utf-8")
            print(f"{system.name}: {row.get('failed') or round(row['seconds'], 2)}", flush=True)
    if not asked.prepare:
        text = table(chosen(asked.only), asked.results, Path(job["audio"]))
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
    parser.add_argument("--mlx-weights", type=Path, help="folder of MLX weights, instead of a model's name")
    parser.add_argument("--only", nargs="*", default=[], help="parts of systems' names")
    parser.add_argument("--runs", type=int, default=1, help="the median counts")
    parser.add_argument("--threads", type=int, default=min(8, os.cpu_count() or 1))
    parser.add_argument("--device", choices=("cpu", "metal", "cuda"), default="cpu", help="of systems on MLX")
    parser.add_argument("--work", type=Path, default=ROOT / ".cache" / "bench-asr")
    parser.add_argument("--results", type=Path, help="folder of measurements; by default in --work")
    parser.add_argument("--prepare", action="store_true")
    parser.add_argument("--table", action="store_true")
    parser.add_argument("--out", type=Path)
    asked = parser.parse_args()
    asked.work = asked.work.resolve()
    name = f"{asked.device}-{asked.model}-{asked.minutes:g}min"
    asked.results = (asked.results or asked.work / "results" / name).resolve()
    return asked


def chosen(parts: list[str]) -> list[System]:
    """The systems whose names hold one of the parts; all of them without parts."""
    return [s for s in systems() if not parts or any(part in s.name for part in parts)]


def long_recording(asked: argparse.Namespace) -> dict[str, str]:
    """A WAV file of about so many minutes, with its reference text beside it; made where it is not there."""
    path = asked.work / f"english-{asked.minutes:g}min.wav"
    if not path.is_file():
        if asked.audio is None:
            raise SystemExit("no folder of recordings: name one with --audio")
        pieces, text = joined(asked.audio, asked.minutes)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.with_suffix(".txt").write_text(text, encoding="utf-8")
        write_wav(path, np.concatenate(pieces))
    return {"audio": str(path)}


def joined(folder: Path, minutes: float) -> tuple[list[np.ndarray], str]:
    """Recordings one after the other, and what they say."""
    from recordings import entries

    from pipeline.audio import load_waveform

    said = [
        e
        for e in entries(folder, "single", "multi")
        if e["lang"] == "en" and e["text"] and e["id"] not in UNFIT
    ]
    pieces, text, samples = [], [], 0
    while True:
        for entry in said:
            if samples >= minutes * 60 * RATE:
                return pieces, " ".join(text)
            waveform = load_waveform(folder / entry["file"])
            pieces += [waveform, np.zeros(RATE, np.float32)]
            text.append(entry["text"])
            samples += len(waveform) + RATE


def write_wav(path: Path, waveform: np.ndarray) -> None:
    """16-bit mono at 16 kHz."""
    import wave

    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes((waveform.clip(-1, 1) * 32767).astype("<i2").tobytes())


def weights(asked: argparse.Namespace) -> dict[str, str]:
    """The same weights in all formats."""
    if asked.mlx_weights or asked.table:
        return {"mlx": str(asked.mlx_weights)}
    from asr_ggml import write_ggml

    from pipeline import models

    found = {}
    for format_ in ("mlx", "ctranslate2"):
        files = models.find("whisper", asked.model, formats=(format_,), required=True, compute_type="float32")
        found[format_] = str(files.path)
    ggml = asked.work / f"{asked.model}.ggml"
    if not ggml.is_file():
        ggml.parent.mkdir(parents=True, exist_ok=True)
        write_ggml(Path(found["mlx"]), ggml)
    return {**found, "mlx": str(mlx_folder(Path(found["mlx"]), asked.work)), "ggml": str(ggml)}


def mlx_folder(original: Path, work: Path) -> Path:
    """A copy of a folder of MLX weights that also holds ``weights.npz``, which some peers insist on."""
    import mlx.core as mx

    folder = work / "weights" / original.name
    if not (folder / "weights.npz").is_file():
        folder.mkdir(parents=True, exist_ok=True)
        for file in original.iterdir():
            (folder / file.name).write_bytes(file.read_bytes())
        mx.savez(str(folder / "weights.npz"), **mx.load(str(original / "weights.safetensors")))
    return folder


def measured(system: System, job: dict, work: Path, runs: int) -> dict:
    """The median run of a system, or why there is none."""
    python, failure = environment(system, work)
    if failure:
        return {"failed": failure}
    given = json.dumps({**job, **dict(system.options), "system": system.run})
    facts = {"date": str(datetime.date.today()), "threads": job["threads"], "runs": runs, "on": machine(job)}
    found = []
    for _ in range(runs):
        done = subprocess.run(
            [python, str(Path(__file__).with_name("asr_systems.py")), given],
            capture_output=True,
            text=True,
            cwd=work,
        )
        if done.returncode:
            return {"failed": f"cannot be run: {last_line(done.stderr)}"}
        found.append({**facts, **json.loads(done.stdout.splitlines()[-1])})
    middle = statistics.median_low(row["seconds"] for row in found)
    return next(row for row in found if row["seconds"] == middle)


def machine(job: dict) -> str:
    """What the measurement ran on."""
    if job["device"] == "cpu":
        return f"{processor_name()}, {job['threads']} threads"
    import mlx.core as mx

    return str(mx.device_info().get("device_name", job["device"]))


def environment(system: System, work: Path) -> tuple[str, str | None]:
    """The Python of an environment with the system's packages, beside all that is installed here.

    And why it cannot be had, if so.
    """
    if not system.packages:
        return sys.executable, None
    folder = work / "environments" / "-".join(system.packages)
    python = folder / "bin" / "python"
    if (folder / "ready").is_file():
        return str(python), None
    try:
        install(system, folder)
    except subprocess.CalledProcessError as error:
        return str(python), f"cannot be installed: {last_line(error.stderr)}"
    (folder / "ready").touch()
    return str(python), None


def install(system: System, folder: Path) -> None:
    """A virtual environment with the system's packages."""

    def quietly(*command: str) -> None:
        subprocess.run(command, check=True, capture_output=True, text=True)

    quietly(sys.executable, "-m", "venv", "--without-pip", "--clear", str(folder))
    site = next(folder.glob("lib/python*/site-packages"))
    here = next(p for p in sys.path if p.endswith("site-packages"))
    (site / "beside.pth").write_text(f"import site; site.addsitedir({here!r})\n", encoding="utf-8")
    pip = (sys.executable, "-m", "pip", "install", "-q", "--disable-pip-version-check", "--no-deps")
    quietly(*pip, "--target", str(site), *system.packages)


def table(shown: list[System], results: Path, audio: Path) -> str:
    """The systems that were measured, with what they were measured on."""
    reference = audio.with_suffix(".txt").read_text(encoding="utf-8")
    rows = {}
    for system in [*shown, *chosen([BASELINE])]:
        file = results / f"{system.slug}.json"
        if file.is_file():
            rows[system.name] = json.loads(file.read_text(encoding="utf-8"))
    base = rows.get(BASELINE, {}).get("seconds")
    facts = next((row for row in rows.values() if "failed" not in row), {})
    head = (
        f"{facts.get('date')}, {facts.get('on')}, {results.name}, {facts.get('audio_s', 0) / 60:.1f} minutes, "
        f"{len(reference.split())} words, median of {facts.get('runs')}.\n\n"
        f"| system | seconds | RTFx | ratio to {BASELINE} | WER % | D | I | peak MB | first text, s | CPU s |\n"
        "|---|---|---|---|---|---|---|---|---|---|\n"
    )
    return head + "\n".join(line(name, row, reference, base) for name, row in rows.items()) + "\n"


def line(name: str, row: dict, reference: str, base: float | None) -> str:
    """A row of the table."""
    if "failed" in row:
        return f"| {name} | {row['failed']} |" + " |" * 8
    from pipeline.word_errors import score

    errors = score(reference, row["text"])
    ratio = f"{base / row['seconds']:.1f}" if base else ""
    return (
        f"| {name} | {row['seconds']:.1f} | {row['audio_s'] / row['seconds']:.1f} | {ratio} | "
        f"{100 * errors.rate:.1f} | {errors.deletions} | {errors.insertions} | {row['peak_mb']:.0f} | "
        f"{row['first']:.1f} | {row['cpu_seconds']:.1f} |"
    )


if __name__ == "__main__":
    main()
