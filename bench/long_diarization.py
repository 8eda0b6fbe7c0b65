"""How much memory does diarizing hours take behind the networks?

    python bench/long_diarization.py [--hours 4] [--speakers 6] [--clustering agglomerative|vbx]

Clustering, reconstruction and the evidence on speakers run on made-up outputs of the networks, of the true shapes:
people take turns, one in five turns begins before the last one ended, and voices are as far apart as CAM++ hears
them. The networks themselves take windows in batches, whatever the length. Peaks are what Python and numpy asked
for beyond the networks' outputs; the last line is the whole process.
"""

from __future__ import annotations

import argparse
import resource
import sys
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT)]

from pipeline import voice_evidence  # noqa: E402
from pipeline.diarization_core import core, frames  # noqa: E402
from pipeline.diarization_core.clustering import Agglomerative, Bounds, Clustering, Vbx  # noqa: E402
from pipeline.diarization_core.plda import Plda  # noqa: E402
from schemas.diarization import Diarization  # noqa: E402

DIMENSIONS = {"agglomerative": 192, "vbx": 256}
LOCAL_SPEAKERS = 3


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
    args = parser.parse_args()
    dimension = DIMENSIONS[args.clustering]
    tracemalloc.start()
    activity, embeddings = outputs(args.hours, args.speakers, dimension)
    print(
        f"{len(activity)} windows; activity and embeddings {(activity.nbytes + embeddings.nbytes) / 1e6:.0f} MB"
    )
    print("| stage | seconds | peak MB beyond what was there |\n|---|---|---|")
    clustering: Clustering = Agglomerative() if dimension == 192 else Vbx(made_up_plda(dimension))
    pipeline = core.Pipeline(core.Networks(None, None), clustering)
    seconds = args.hours * 3600
    clusters = measured("clustering alone", lambda: clustering(embeddings, activity, Bounds()))
    del clusters
    found = measured(
        "clustering and reconstruction",
        lambda: core.answer(activity, embeddings, pipeline, Bounds(), seconds),
    )
    turns = Diarization(turns=found.turns, exclusive_turns=found.exclusive_turns)
    windows = voice_evidence.Windows(embeddings, activity, pipeline.step_s)
    made = measured("evidence", lambda: voice_evidence.with_evidence(turns, windows, "campplus@made-up"))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    print(
        f"{len(made.voices)} speakers, {len(made.turns)} turns; the process at its highest {peak / 1e6:.0f} MB"
    )


if __name__ == "__main__":
    main()
