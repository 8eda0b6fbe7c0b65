"""How does throughput grow with the processes of a cluster?

    python bench/scaling.py [--workers 1 2] [--recordings 12] [--ray ADDRESS]

The shipped Spanish meeting, as many times as asked, through `pipeline.cluster` with Whisper base and one CPU
thread a process. Every process does one recording before the clock starts, so that its models are loaded.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]
os.environ["PYTHONPATH"] = str(ROOT)

from recordings import SHIPPED  # noqa: E402

from pipeline.batch import Task  # noqa: E402
from pipeline.cluster import spread  # noqa: E402
from schemas.options import Options  # noqa: E402


def seconds(workers: int, recordings: int, address: str | None, folder: Path) -> float:
    """Wall time of ``recordings``, from the first report behind the warm-up to the last."""
    options = Options.from_flat(
        model="base", language="es", no_align=True, threads=1, force=True, device="cpu"
    )
    tasks = []
    for number in range(workers + recordings):
        path = folder / f"{workers}-{number}.flac"
        os.link(SHIPPED / "syn_es_meeting.flac", path)
        tasks.append(Task(str(path), path.stem, "transcribe", options, folder / "out", ("txt",)))
    began = 0.0
    for number, report in enumerate(spread(tasks, address, workers), 1):
        if report.error:
            sys.exit(f"{report.file}: {report.error}")
        if number == workers:
            began = time.perf_counter()
    return time.perf_counter() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--recordings", type=int, default=12)
    parser.add_argument("--ray", help="an existing cluster's address")
    args = parser.parse_args()
    print("| processes | seconds | times the first |\n|---|---|---|")
    first = None
    with tempfile.TemporaryDirectory(dir=ROOT) as folder:
        for workers in args.workers:
            took = seconds(workers, args.recordings, args.ray, Path(folder))
            first = first or took
            print(f"| {workers} | {took:.1f} | {first / took:.2f} |", flush=True)


if __name__ == "__main__":
    main()
