"""What do the diarizer's networks do on a GPU, in MLX and in torch, and how far behind is pyannote's way?

    python bench/diarize_gpu.py --audio FILE.wav [--minutes 10] [--weights FOLDER] [--cpu]

The whole diarization of a recording (segmentation, speaker embeddings, clustering) in modes exact and fast, with
MLX and with torch on the same device, medians of three. "torch, as pyannote repeats it" runs the embedding's trunk
once per window and local speaker, which is what pyannote.audio 4.0.7 does: the package need not be installed. The
weights are the starter ones; ``FOLDER`` with ``segmentation.npz`` and ``embedding.npz`` (arrays by the
checkpoint's names) serves a machine without them. The recording, WAV at 16 kHz, is repeated to fill the minutes.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
import wave
from collections.abc import Mapping
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT)]

from pipeline.diarization_core import core  # noqa: E402
from pipeline.diarization_core.clustering import Agglomerative, Bounds  # noqa: E402
from pipeline.recording import SAMPLE_RATE, Recording  # noqa: E402

State = Mapping[str, np.ndarray]


def states(folder: Path | None) -> tuple[State, State]:
    """Arrays of the segmentation and of the embedding network, float32."""
    if folder is not None:
        return tuple(
            {name: np.asarray(array, np.float32) for name, array in np.load(folder / f"{kind}.npz").items()}
            for kind in ("segmentation", "embedding")
        )
    from pipeline.diarize._converted import network_weights
    from pipeline.diarize._recipe import parts_of, recipe_of, weights
    from pipeline.plan import Choice
    from schemas.options import Options

    files = weights(Choice("mlx"), Options())
    parts = parts_of(recipe_of(files), files)
    return network_weights(parts["segmentation"]).state, network_weights(parts["embedding"]).state


def recording(path: Path, minutes: float) -> Recording:
    with wave.open(str(path), "rb") as file:
        samples = np.frombuffer(file.readframes(file.getnframes()), "<i2").astype(np.float32) / 32768
    return Recording.from_array(np.resize(samples, round(minutes * 60 * SAMPLE_RATE)))


def mlx_networks(segmentation: State, embedding: State) -> core.Networks:
    from pipeline.diarization_core.mlx_embedding import MlxCamPlusPlus
    from pipeline.diarization_core.mlx_pyannet import PyanNet, convert

    return core.Networks(PyanNet(convert(segmentation)), MlxCamPlusPlus(embedding), 512, 32)


def torch_networks(segmentation: State, embedding: State, device: str) -> core.Networks:
    from pipeline.diarization_core.torch_networks import TorchCamPlusPlus, TorchPyanNet

    return core.Networks(TorchPyanNet(segmentation, device), TorchCamPlusPlus(embedding, device), 512, 32)


class Repeating:
    """An embedding network whose trunk runs three times, once for each local speaker."""

    def __init__(self, embedding) -> None:
        self._embedding = embedding

    def __getattr__(self, name: str):
        return getattr(self._embedding, name)

    def trunk(self, mels: np.ndarray):
        for _ in range(2):
            self._embedding.trunk(mels)
        return self._embedding.trunk(mels)


def measured(networks: core.Networks, sound: Recording, mode: str) -> tuple[float, tuple]:
    """Median seconds of three runs after one, and the turns."""
    pipeline = core.Pipeline(networks, Agglomerative(0.7045654963945799, 12))
    seconds = []
    for _ in range(4):
        began = time.perf_counter()
        found = core.diarize(sound, pipeline, Bounds(1, None), mode=mode, progress=lambda _: None)
        seconds.append(time.perf_counter() - began)
    return statistics.median(seconds[1:]), found.turns


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--audio", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--weights", type=Path)
    parser.add_argument("--cpu", action="store_true", help="torch on the CPU")
    args = parser.parse_args()
    from pipeline import mlx_runtime

    mlx_runtime.use_device("cpu" if args.cpu else "cuda")
    device = "cpu" if args.cpu else "cuda"
    parts, sound = states(args.weights), recording(args.audio, args.minutes)
    ours, theirs = mlx_networks(*parts), torch_networks(*parts, device)
    repeating = core.Networks(theirs.segmentation, Repeating(theirs.embedding), 512, 32)
    rows = [
        ("MLX, exact", ours, "exact"),
        ("MLX, fast", ours, "fast"),
        ("torch, exact", theirs, "exact"),
        ("torch, fast", theirs, "fast"),
        ("torch, as pyannote repeats it", repeating, "exact"),
    ]
    print("| networks, mode | seconds | RTFx | turns |\n|---|---|---|---|", flush=True)
    for name, networks, mode in rows:
        seconds, turns = measured(networks, sound, mode)
        print(f"| {name} | {seconds:.2f} | {60 * args.minutes / seconds:.0f} | {len(turns)} |", flush=True)


if __name__ == "__main__":
    main()
