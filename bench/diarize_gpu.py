"""What do the diarizer's networks do on a GPU, in MLX and in torch, and how far behind is pyannote's way?

    python bench/diarize_gpu.py --audio FILE.wav [--minutes 10] [--cpu] [--profile]

The whole diarization of a recording (segmentation, speaker embeddings, clustering) in modes exact and fast, with
MLX and with torch on the same device, medians of three, and how often torch in float32 says the same of a frame.
Then pyannote.audio itself on torch where it is installed: with the same weights, and with its own ResNet34's shape
(random weights, for the time only). The weights are the starter ones. The recording, WAV at 16 kHz, is repeated to
fill the minutes.
"""

from __future__ import annotations

import argparse
import cProfile
import pstats
import statistics
import sys
import time
import wave
from collections.abc import Callable
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "bench")]

from pipeline.diarization_core import core  # noqa: E402
from pipeline.diarization_core.clustering import Bounds  # noqa: E402
from pipeline.recording import SAMPLE_RATE, Recording  # noqa: E402


def recording(path: Path, minutes: float) -> Recording:
    with wave.open(str(path), "rb") as file:
        samples = np.frombuffer(file.readframes(file.getnframes()), "<i2").astype(np.float32) / 32768
    return Recording.from_array(np.resize(samples, round(minutes * 60 * SAMPLE_RATE)))


def pipeline_of(backend: str, device: str) -> core.Pipeline:
    """As the backend makes it of the starter weights."""
    from importlib import import_module

    from pipeline.diarize._core import assemble
    from pipeline.diarize._recipe import weights
    from pipeline.plan import Choice
    from schemas.options import Options

    made = import_module(f"pipeline.diarize.{backend}").networks
    return assemble(weights(Choice(backend), Options()), lambda *parts: made(*parts, device))


def measured(run: Callable[[], list]) -> tuple[float, int]:
    """Median seconds of three runs after one, and the number of turns."""
    seconds = []
    for _ in range(4):
        began = time.perf_counter()
        turns = run()
        seconds.append(time.perf_counter() - began)
    return statistics.median(seconds[1:]), len(turns)


def ours(pipeline: core.Pipeline, sound: Recording, mode: core.Mode) -> Callable[[], list]:
    """The whole of :func:`pipeline.diarization_core.core.diarize`, as the backends call it."""
    pipeline = pipeline if mode == "exact" else core.constrained(pipeline)
    return lambda: list(
        core.diarize(sound, pipeline, Bounds(1, None), mode=mode, progress=lambda _: None).turns
    )


def pyannotes(embedding: str, sound: Recording, device: str) -> Callable[[], list]:
    """pyannote.audio's own pipeline. Raises ``ImportError`` where it is not installed."""
    from diarize_systems import pyannote_itself

    diarize = pyannote_itself({"embedding": embedding, "device": device})
    samples = sound.read(0, sound.samples)
    return lambda: diarize(Path(), samples)


def agreement(one: core.Networks, other: core.Networks, sound: Recording) -> str:
    """The share of frames with the same classes, and the lowest cosine of two embeddings of a window."""
    samples = sound.read(0, 60 * SAMPLE_RATE)
    classes = [networks.segmentation(samples, SAMPLE_RATE).argmax(-1) for networks in (one, other)]
    found = []
    for network in (one.embedding, other.embedding):
        frames = network.trunk(network.log_mels(samples), list(range(0, 5000, 100)), 998)
        voices = network.pool(frames, np.ones((len(frames), 1, frames.shape[1]), np.float32))[:, 0]
        found.append(voices / np.linalg.norm(voices, axis=-1, keepdims=True))
    cosine = (found[0] * found[1]).sum(axis=-1).min()
    return f"{100 * (classes[0] == classes[1]).mean():.3f} % of the frames alike, cosines of at least {cosine:.7f}"


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--audio", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--cpu", action="store_true", help="all on the CPU")
    parser.add_argument("--profile", action="store_true", help="of MLX's modes, in place of the table")
    args = parser.parse_args()
    from pipeline import mlx_runtime

    device = "cpu" if args.cpu else "cuda"
    mlx_runtime.use_device(device)
    from pipeline.diarize.torch import check_device

    check_device(device)
    sound = recording(args.audio, args.minutes)
    on_mlx, on_torch = (pipeline_of(backend, device) for backend in ("mlx", "torch"))
    rows = [
        ("MLX, exact", lambda: ours(on_mlx, sound, "exact")),
        ("MLX, fast", lambda: ours(on_mlx, sound, "fast")),
        ("torch, exact", lambda: ours(on_torch, sound, "exact")),
        ("torch, fast", lambda: ours(on_torch, sound, "fast")),
        ("pyannote.audio itself", lambda: pyannotes("campplus", sound, device)),
        ("pyannote.audio itself, ResNet34 of random weights", lambda: pyannotes("resnet34", sound, device)),
    ]
    if args.profile:
        profile(rows[:2])
        return
    print("MLX and torch:", agreement(on_mlx.networks, on_torch.networks, sound))
    print("| system | seconds | RTFx | turns |\n|---|---|---|---|", flush=True)
    for name, make in rows:
        try:
            seconds, turns = measured(make())
        except ImportError as error:
            print(f"| {name} | cannot be imported: {error} | | |", flush=True)
            continue
        print(f"| {name} | {seconds:.2f} | {60 * args.minutes / seconds:.0f} | {turns} |", flush=True)


def profile(rows: list[tuple[str, Callable]]) -> None:
    """Where the time goes, by function."""
    for name, make in rows:
        run = make()
        run()
        profiler = cProfile.Profile()
        profiler.runcall(run)
        print(name)
        pstats.Stats(profiler).strip_dirs().sort_stats("tottime").print_stats(18)


if __name__ == "__main__":
    main()
