"""Who spoke when: how right, how fast, how much memory, beside pyannote itself and peers on the same recordings.

    python bench/diarize.py [--sets public simulated long] [--only fast senko] [--threads 1] [--out TABLE.md]

``sample`` is a dialogue of 26 s, ``public`` are the recordings with several real speakers, both out of the folder
that ``WHISPERX_MLX_AUDIO`` names (else ``../shared/audio`` beside the checkout); ``simulated`` is the reporting
set of ``bench/simulate_meetings.py``; ``long`` the public ones looped to so many minutes. Every system runs in a
process of its own, peers in throw-away environments. DER counts overlap, without a collar and with
pyannote.metrics' of 0.25 s (0.125 s to each side); the starter weights (CAM++) serve everybody, so that the
pipelines are compared and not the networks.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests"), str(ROOT / "tests" / "accuracy"), str(ROOT / "bench")]

from asr import write_wav  # noqa: E402
from recordings import WHY_ABSENT, shared_folder  # noqa: E402
from speaker_scores import Der, der  # noqa: E402

from pipeline import rttm  # noqa: E402
from pipeline._bench_process import last_line  # noqa: E402
from pipeline.audio import load_waveform  # noqa: E402
from schemas.diarization import SpeakerTurn  # noqa: E402

PUBLIC = ("multi/ami_*.flac", "multi/en_falcon_3spk.flac", "multi/real_mix_4spk.flac")


@dataclass(frozen=True)
class System:
    """A row: its name, the function of ``diarize_systems.py`` with its job, the package of a peer."""

    name: str
    run: str
    package: str | None = None
    job: dict = field(default_factory=dict)


def systems(device: str) -> list[System]:
    """All of them; ``device`` is the one of MLX and torch."""
    torch_device = {"metal": "mps"}.get(device, device)

    def backend(name: str, mode: str, where: str) -> System:
        return System(f"{name}, {mode}", "ours", None, {"backend": name, "mode": mode, "device": where})

    def itself(embedding: str, note: str) -> System:
        job = {"embedding": embedding, "device": torch_device}
        return System(f"pyannote.audio itself{note}", "pyannote_itself", None, job)

    return [
        *(backend("torch", mode, "cpu" if device == "metal" else device) for mode in ("fast", "exact")),
        *(backend("mlx", mode, device) for mode in ("fast", "exact")),
        backend("pyannote", "auto", torch_device),
        itself("campplus", ""),
        itself("resnet34", ", ResNet34 of random weights (time only)"),
        System("senko 0.2.2", "senko", "senko==0.2.2"),
    ]


@dataclass(frozen=True)
class Labelled:
    """A recording as a WAV file with its true turns."""

    path: Path
    seconds: float
    turns: tuple[SpeakerTurn, ...]


def main() -> None:
    """Run the systems asked for on the sets asked for and print the tables."""
    asked = arguments()
    with tempfile.TemporaryDirectory() as scratch:
        text = ""
        for name in asked.sets:
            recordings = SETS[name](asked, Path(scratch) / name)
            total = sum(recording.seconds for recording in recordings)
            text += f"\n### {name}: {len(recordings)} recordings, {total:.0f} s\n\n{HEAD}\n"
            print(text[text.rindex("\n###") :], end="", flush=True)
            for system in systems(asked.device):
                if asked.only and not any(part in system.name for part in asked.only):
                    continue
                line = row(system, recordings, asked, Path(scratch))
                print(line, flush=True)
                text += line + "\n"
    if asked.out:
        asked.out.write_text(text.lstrip(), encoding="utf-8")


HEAD = (
    "| system | DER | confusion | missed | false alarm | DER, collar 0.25 | right count | "
    "CPU-s | wall s | RTFx | peak MB |\n|---|---|---|---|---|---|---|---|---|---|---|"
)


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--audio", type=Path, default=shared_folder(), help="folder with multi/ and voices/")
    parser.add_argument("--sets", nargs="*", choices=tuple(SETS), default=["public", "simulated"])
    parser.add_argument("--only", nargs="*", default=[], help="parts of systems' names")
    parser.add_argument("--device", default="cpu", help="cpu, cuda or metal")
    parser.add_argument("--threads", type=int, default=1, help="of torch; 0 leaves them to it")
    parser.add_argument("--minutes", type=float, default=60.0, help="of the long recording")
    parser.add_argument("--timeout", type=float, default=3600.0, help="seconds for a system on a set")
    parser.add_argument("--peer-python", type=Path, help="of an environment that has the peers already")
    parser.add_argument("--out", type=Path)
    asked = parser.parse_args()
    if asked.audio is None:
        parser.error(WHY_ABSENT)
    return asked


def public(asked: argparse.Namespace, scratch: Path) -> list[Labelled]:
    """Real voices with references made by people."""
    scratch.mkdir(parents=True, exist_ok=True)
    found = []
    for path in sorted(path for pattern in PUBLIC for path in asked.audio.glob(pattern)):
        waveform = load_waveform(path)
        (turns,) = rttm.read(path.with_suffix(".rttm").read_text("utf-8")).values()
        write_wav(scratch / f"{path.stem}.wav", waveform)
        found.append(Labelled(scratch / f"{path.stem}.wav", len(waveform) / 16_000, turns))
    return found


def simulated(asked: argparse.Namespace, scratch: Path) -> list[Labelled]:
    """Eight meetings of two minutes, made anew from the same seeds."""
    from simulate_meetings import write_sets

    made = write_sets(scratch, asked.audio / "voices", ("reporting",))
    return [
        Labelled(scratch / "reporting" / f"{one.name}.wav", len(one.waveform) / 16_000, one.turns)
        for one in made
    ]


def long(asked: argparse.Namespace, scratch: Path) -> list[Labelled]:
    """The public recordings end to end, over and over; no truth, since a voice comes back in another room."""
    pieces = [load_waveform(recording.path) for recording in public(asked, scratch)]
    once = np.concatenate(pieces)
    path = scratch / "long.wav"
    write_wav(path, np.resize(once, round(asked.minutes * 60 * 16_000)))
    return [Labelled(path, asked.minutes * 60, ())]


def sample(asked: argparse.Namespace, scratch: Path) -> list[Labelled]:
    """One dialogue of 26 s; its reference are the turns of pyannote's community-1."""
    scratch.mkdir(parents=True, exist_ok=True)
    folder = asked.audio / "golden_community1"
    waveform = load_waveform(folder / "test.wav")
    (turns,) = rttm.read((folder / "pipeline_expected.rttm").read_text("utf-8")).values()
    write_wav(scratch / "test.wav", waveform)
    return [Labelled(scratch / "test.wav", len(waveform) / 16_000, turns)]


SETS = {"sample": sample, "public": public, "simulated": simulated, "long": long}


def row(system: System, recordings: list[Labelled], asked: argparse.Namespace, scratch: Path) -> str:
    """A line of the table, or why there is none."""
    done = measured(system, recordings, asked, scratch)
    if "failed" in done:
        return f"| {system.name} | {done['failed']} |" + " |" * 9
    seconds = sum(recording.seconds for recording in recordings)
    cpu, wall = (sum(one[name] for one in done["rows"]) for name in ("cpu_s", "wall_s"))
    cost = f"{cpu:.1f} | {wall:.1f} | {seconds / wall:.1f} | {done['peak_bytes'] / 1e6:.0f} |"
    if "time only" in system.name or not all(recording.turns for recording in recordings):
        return f"| {system.name} | – | – | – | – | – | – | {cost}"
    return f"| {system.name} | {quality(recordings, done['rows'])} | {cost}"


def quality(recordings: list[Labelled], rows: list[dict]) -> str:
    """Pooled errors, and for how many recordings the number of speakers is right."""
    plain, collared, right = Der(), Der(), 0
    for recording, found in zip(recordings, rows, strict=True):
        turns = tuple(SpeakerTurn(start=max(0.0, s), end=e, speaker=who) for s, e, who in found["turns"])
        plain += der(recording.turns, turns, recording.seconds)
        collared += der(recording.turns, turns, recording.seconds, 0.25)
        right += len({t.speaker for t in turns}) == len({t.speaker for t in recording.turns})
    parts = (plain.confusion, plain.missed, plain.false_alarm)
    shares = " | ".join(f"{100 * part / plain.speech:.1f}" for part in parts)
    return f"{100 * plain.rate:.2f} | {shares} | {100 * collared.rate:.2f} | {right} of {len(recordings)}"


def environment(system: System, asked: argparse.Namespace, scratch: Path) -> str:
    """The Python that has the system: this one, or that of a throw-away environment with all that a peer needs."""
    if system.package is None:
        return sys.executable
    if asked.peer_python:
        return str(asked.peer_python)
    python = scratch / system.run / "bin" / "python"
    if not python.exists():
        venv = [sys.executable, "-m", "venv", "--without-pip", str(python.parent.parent)]
        pip = [sys.executable, "-m", "pip", "--python", str(python), "install", "-q", system.package]
        for command in (venv, pip):
            subprocess.run(command, check=True, capture_output=True, text=True)
    return str(python)


def measured(system: System, recordings: list[Labelled], asked: argparse.Namespace, scratch: Path) -> dict:
    """What ``diarize_systems.py`` says, in the system's environment."""
    job = {"run": system.run, "threads": asked.threads, "device": asked.device, **system.job}
    job["audio"] = [str(recording.path) for recording in recordings]
    threads = {
        name: str(asked.threads) for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
    }
    try:
        done = subprocess.run(
            [
                environment(system, asked, scratch),
                str(Path(__file__).with_name("diarize_systems.py")),
                json.dumps(job),
            ],
            capture_output=True,
            text=True,
            timeout=asked.timeout,
            env={**os.environ, **(threads if asked.threads else {})},
        )
    except subprocess.CalledProcessError as error:
        return {"failed": f"cannot be installed: {last_line(error.stderr)}"}
    except subprocess.TimeoutExpired:
        return {"failed": f"took more than {asked.timeout:.0f} s"}
    if done.returncode:
        return {"failed": last_line(done.stderr)}
    return json.loads(done.stdout.splitlines()[-1])


if __name__ == "__main__":
    main()
