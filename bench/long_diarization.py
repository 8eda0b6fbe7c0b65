"""How much memory does diarizing hours take, the networks left out?

    python bench/long_diarization.py [--hours 4] [--speakers 6] [--clustering agglomerative|vbx] [--mode exact]

Everything runs as it does in the backends, reading, filter banks, batches, clustering, turns and evidence, but the
networks give made-up outputs of the true shapes: people take turns, one in five turns begins before the last one
ended, and voices are as far apart as CAM++ hears them. The sound is silence on disk. Peaks are what Python and
numpy asked for beyond those outputs; the last line is the whole process.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
import tracemalloc
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT)]

from pipeline import voice_evidence  # noqa: E402
from pipeline._bench_process import peak_mb  # noqa: E402
from pipeline.diarization_core import core, frames  # noqa: E402
from pipeline.diarization_core.clustering import Agglomerative, Bounds, Clustering, Vbx  # noqa: E402
from pipeline.diarization_core.fbank import WindowShape, fbank  # noqa: E402
from pipeline.diarization_core.plda import Plda  # noqa: E402
from pipeline.recording import Recording  # noqa: E402
from schemas.diarization import Diarization  # noqa: E402

DIMENSIONS = {"agglomerative": 192, "vbx": 256}
LOCAL_SPEAKERS = 3
CHANNELS = 512  # of CAM++'s frames


def talk(speakers: int, seconds: float, rng: np.random.Generator) -> list[tuple[int, float, float]]:
    """Who talks from when to when."""
    turns, now, last = [], 0.0, -1
    while now < seconds:
        person = int(rng.choice([p for p in range(speakers) if p != last]))
        end = now + float(rng.uniform(0.8, 12.0))
        turns.append((person, now, min(end, seconds)))
        now, last = (
            end + float(rng.uniform(-1.5, 0.0) if rng.random() < 0.2 else rng.exponential(0.5)),
            person,
        )
    return turns


def outputs(hours: float, speakers: int, dimension: int) -> tuple[np.ndarray, np.ndarray]:
    """Activity (windows, frames, 3) and embeddings (windows, 3, dimension) as the networks give them."""
    rng = np.random.default_rng(4)
    windows = frames.window_count(round(hours * 3600) * frames.SAMPLE_RATE, frames.SAMPLE_RATE)
    centres = rng.standard_normal((speakers, dimension))
    common = rng.standard_normal(dimension)
    total = frames.frame_count(windows, 1.0)
    grid = np.zeros((total, speakers), np.uint8)
    for person, start, end in talk(speakers, hours * 3600, rng):
        grid[round(start / frames.FRAME_STEP_S) : round(end / frames.FRAME_STEP_S), person] = 1
    activity = np.zeros((windows, frames.WINDOW_FRAMES, LOCAL_SPEAKERS), np.uint8)
    embeddings = np.full((windows, LOCAL_SPEAKERS, dimension), np.nan, np.float32)
    for window, first in enumerate(frames.first_frames(windows, 1.0)):
        here = grid[first : first + frames.WINDOW_FRAMES]
        people = np.argsort(-here.sum(axis=0, dtype=int), kind="stable")[:LOCAL_SPEAKERS]
        for local, person in enumerate(people[here[:, people].any(axis=0)]):
            activity[window, : len(here), local] = here[:, person]
            noise = rng.standard_normal(dimension)
            embeddings[window, local] = centres[person] + 0.5 * common + 0.5 * noise
    return activity, embeddings


class Activity:
    """A segmentation network that gives these windows (windows, frames, 3), in order."""

    def __init__(self, activity: np.ndarray) -> None:
        self._activity, self._done = activity, 0

    def __call__(self, samples: np.ndarray, step_samples: int) -> np.ndarray:
        windows = (len(samples) - frames.WINDOW_SAMPLES) // step_samples + 1
        now = self._activity[self._done : self._done + windows].astype(np.float32)
        self._done += windows
        return 2 * now @ frames.POWERSET.T - frames.POWERSET.sum(axis=1)  # highest for the very class


class Voices:
    """An embedding network that gives these voices (windows, 3, dimension), window by window with speech."""

    min_samples = 4000
    window_shape: WindowShape = "povey"
    scale = 1.0
    mels_per_frame = 2

    def __init__(self, activity: np.ndarray, voices: np.ndarray) -> None:
        self._voices, self._done = voices[activity.any(axis=(1, 2))], 0
        self.dimension = voices.shape[2]

    def log_mels(self, samples: np.ndarray) -> np.ndarray:
        return fbank(samples, self.window_shape, self.scale)

    def trunk(self, mels: np.ndarray, firsts: Sequence[int], length: int) -> np.ndarray:
        return np.ones((len(firsts), -(-length // self.mels_per_frame), CHANNELS), np.float32)

    def pool(self, frames: np.ndarray, masks: np.ndarray) -> np.ndarray:
        self._done += len(masks)
        return self._voices[self._done - len(masks) : self._done].copy()

    def pool_shared(self, frames: np.ndarray, masks: np.ndarray) -> np.ndarray:
        return self.pool(frames, masks.reshape(-1, LOCAL_SPEAKERS, masks.shape[1])).reshape(len(masks), -1)

    def join(self, pieces: Sequence[np.ndarray]) -> np.ndarray:
        return np.concatenate(pieces)


def silence(hours: float, file: Path) -> Recording:
    """A recording without sound."""
    samples = round(hours * 3600) * frames.SAMPLE_RATE
    with file.open("wb") as pcm:
        pcm.truncate(samples * 4)
    return Recording(samples, "silence", pcm=file)


def made_up_plda(dimension: int, features: int = 128) -> Plda:
    """Of the shapes of community-1's."""
    directions = np.linalg.qr(np.random.default_rng(0).standard_normal((dimension, features)))[0]
    return Plda(
        np.zeros(dimension),
        np.zeros(features),
        directions,
        np.zeros(features),
        np.eye(features),
        np.geomspace(10.0, 0.1, features),
    )


def measured(stage: str, work: Callable[[], Any]) -> Any:
    """Runs a stage and prints its line."""
    tracemalloc.reset_peak()
    base = tracemalloc.get_traced_memory()[0]
    began = time.perf_counter()
    done = work()
    seconds, peak = time.perf_counter() - began, tracemalloc.get_traced_memory()[1] - base
    print(f"| {stage} | {seconds:.1f} | {peak / 1e6:.0f} |", flush=True)
    return done


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--hours", type=float, default=4.0)
    parser.add_argument("--speakers", type=int, default=6)
    parser.add_argument("--clustering", choices=tuple(DIMENSIONS), default="agglomerative")
    parser.add_argument("--mode", choices=("exact", "fast"), default="exact")
    args = parser.parse_args()
    dimension = DIMENSIONS[args.clustering]
    tracemalloc.start()
    activity, embeddings = outputs(args.hours, args.speakers, dimension)
    print(
        f"{len(activity)} windows; activity and embeddings {(activity.nbytes + embeddings.nbytes) / 1e6:.0f} MB"
    )
    print("| stage | seconds | peak MB beyond what was there |\n|---|---|---|")
    clustering: Clustering = Agglomerative() if dimension == 192 else Vbx(made_up_plda(dimension))
    networks = core.Networks(Activity(activity), Voices(activity, embeddings))
    pipeline = core.Pipeline(networks, clustering)
    with tempfile.TemporaryDirectory() as folder:
        recording = silence(args.hours, Path(folder) / "silence.pcm")
        found = measured(
            "windows, clustering, turns",
            lambda: core.diarize(recording, pipeline, Bounds(), mode=args.mode, progress=lambda _: None),
        )
    turns = Diarization(turns=found.turns, exclusive_turns=found.exclusive_turns)
    windows = voice_evidence.Windows(found.embeddings, found.activity, pipeline.step_s)
    made = measured("evidence", lambda: voice_evidence.with_evidence(turns, windows, "campplus@made-up"))
    tracemalloc.stop()
    print(
        f"{len(made.voices)} speakers, {len(made.turns)} turns; the process at its highest {peak_mb():.0f} MB"
    )


if __name__ == "__main__":
    main()
