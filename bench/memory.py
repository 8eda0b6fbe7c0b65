"""Does memory grow with the length of a recording?

    python bench/memory.py [--minutes 10 60] [--operation transcribe_diarized] [--option backend=mlx ...]

Each length runs in a process of its own, without earlier results: the highest resident memory of the process, and
the seconds of each stage. The recording is the shipped meeting, repeated.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from long_recording import repeated  # noqa: E402
from recordings import SHIPPED  # noqa: E402


def work(path: str, operation: str, options: dict[str, str]) -> None:
    """Runs one job and prints its figures as JSON."""
    from pipeline._bench_process import peak_mb
    from pipeline.cache import Cache
    from pipeline.pool import ModelPool
    from pipeline.run import run
    from schemas.jobs import JobRequest
    from schemas.options import Options

    pool = ModelPool()
    with tempfile.TemporaryDirectory() as folder:
        asked = Options.from_flat(language="en", **options)
        request = JobRequest(operation=operation, path=path, options=asked)
        done = run(request, pool=pool, cache=Cache(Path(folder)))
        pool.unload()
    stages = {name: f"{stage.backend} {stage.seconds:.0f} s" for name, stage in done.stages.items()}
    print(json.dumps({"peak_mb": peak_mb(), "words": len(done.words), "stages": stages}))


def measured(minutes: float, args: argparse.Namespace, folder: Path) -> dict:
    path = repeated(SHIPPED / "syn_en_meeting_a.opus", minutes, folder / f"{minutes:g}.wav")
    asked = json.dumps([str(path), args.operation, dict(option.split("=", 1) for option in args.option)])
    done = subprocess.run(
        [sys.executable, __file__, "--job", asked], stdout=subprocess.PIPE, text=True, check=True
    )
    return json.loads(done.stdout.splitlines()[-1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, nargs="+", default=[10, 60])
    parser.add_argument("--operation", default="transcribe_diarized")
    parser.add_argument("--option", nargs="*", default=[], help="NAME=VALUE, as in schemas/options.py")
    parser.add_argument("--job", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.job:
        work(*json.loads(args.job))
        return
    print("| minutes | peak MB | ratio | words | stages |\n|---|---|---|---|---|")
    first = None
    with tempfile.TemporaryDirectory() as folder:
        for minutes in args.minutes:
            found = measured(minutes, args, Path(folder))
            first = first or found["peak_mb"]
            stages = ", ".join(f"{name} {how}" for name, how in found["stages"].items())
            print(
                f"| {minutes:g} | {found['peak_mb']:.0f} | {found['peak_mb'] / first:.2f} | {found['words']} | "
                f"{stages} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
