"""Diarization on a GPU: MLX in both modes against torch, on a recording looped to ten minutes.

    python bench/diarize_gpu.py AUDIO.wav --segmentation pytorch_model.bin --embedding campplus.pt [--cpu]

AUDIO is 16 kHz, mono, 16 bits; the weights are the starter ones. Needs neither network nor pyannote.audio, which
is emulated by its own order of work with the same networks in torch: a run of the embedding on the whole window
for every window and local speaker (the filter bank is made once, by numpy, which favours it). Where pyannote.audio
can be imported, ``bench/diarize.py --device cuda`` runs it itself. Every way runs twice; the second time counts.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "bench")]

from diarize_systems import read_wav  # noqa: E402

from pipeline.diarization_core import core, voices  # noqa: E402
from pipeline.diarization_core.clustering import Agglomerative, Bounds  # noqa: E402
from pipeline.diarize._converted import read_checkpoint  # noqa: E402
from pipeline.recording import Recording  # noqa: E402


class PerSpeaker:
    """An embedding whose trunk runs once for each local speaker of a window, spoken or not, as pyannote's does."""

    def __init__(self, embedding: voices.Embedding) -> None:
        self._inner = embedding

    def __getattr__(self, name: str):
        return getattr(self._inner, name)

    def trunk(self, mels: np.ndarray):
        return self._inner.trunk(np.repeat(mels, 3, axis=0))

    def pool(self, frames, masks: np.ndarray) -> np.ndarray:
        rows = masks.reshape(-1, 1, masks.shape[-1])
        return self._inner.pool(frames, rows).reshape(*masks.shape[:2], -1)


def main() -> None:
    """Print the table."""
    asked = arguments()
    once = read_wav(asked.audio)
    recording = Recording.from_array(np.resize(once, round(asked.minutes * 60 * 16_000)))
    segmentation, embedding = read_checkpoint(asked.segmentation), read_checkpoint(asked.embedding)
    device = "cpu" if asked.cpu else ("metal" if sys.platform == "darwin" else "cuda")
    print(
        f"{recording.duration_s:.0f} s on {device}\n\n| way | s | times real time | speakers |\n|---|---|---|---|"
    )
    for name, mode, per_speaker in (
        ("mlx", "fast", False),
        ("mlx", "exact", False),
        ("torch", "fast", False),
        ("torch", "exact", False),
        ("torch", "exact", True),
    ):
        try:
            networks = build(name, segmentation, embedding, device)
        except (ImportError, RuntimeError, AssertionError) as error:
            print(f"| {name}, {mode} | {error} | | |", flush=True)
            continue
        if per_speaker:
            networks = core.Networks(networks.segmentation, PerSpeaker(networks.embedding), 32, 11)
        pipeline = core.Pipeline(networks, Agglomerative())
        seconds, found = [], core.Found()
        for _ in range(2):
            started = time.perf_counter()
            found = core.diarize(recording, pipeline, Bounds(), mode=mode, progress=lambda _: None)
            seconds.append(time.perf_counter() - started)
        label = f"{name}, {mode}" + (", as pyannote calls it" if per_speaker else "")
        people = len({turn.speaker for turn in found.turns})
        speed = recording.duration_s / seconds[-1]
        print(f"| {label} | {seconds[-1]:.2f} | {speed:.0f} | {people} |", flush=True)


def build(name: str, segmentation, embedding, device: str) -> core.Networks:
    """The networks in a framework."""
    if name == "mlx":
        from pipeline import mlx_runtime
        from pipeline.diarize.mlx import networks

        mlx_runtime.use_device(device)
        return networks(segmentation, embedding, device)
    from pipeline.diarize.torch import networks

    return networks(segmentation, embedding, "cuda" if device == "cuda" else "cpu")


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("audio", type=Path)
    parser.add_argument("--segmentation", type=Path, required=True)
    parser.add_argument("--embedding", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--cpu", action="store_true", help="to try this script out")
    return parser.parse_args()


if __name__ == "__main__":
    main()
