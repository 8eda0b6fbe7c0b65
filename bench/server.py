"""What does the server cost, and how soon does it answer?

    python bench/server.py [--runs 5] [--minutes 10]

Starts `python -m mcp_server` as a client does and measures: from process start to the answer to `initialize`, and
of that what Python needs to import the MCP SDK; memory of the server's process at rest; from `cancel_job` to the
next job at work; from stdin's end to the process's. Medians of the runs. The worker runs the real pipeline with
the starter weights on a recording of some minutes, made by repeating the shipped meeting.
"""

from __future__ import annotations

import argparse
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests"), str(ROOT / "tests" / "e2e")]

import psutil  # noqa: E402
from long_recording import repeated  # noqa: E402
from rawclient import RawServer, is_gone  # noqa: E402
from recordings import SHIPPED  # noqa: E402

from pipeline.cache import default_root  # noqa: E402

MEETING = SHIPPED / "syn_en_meeting_a.opus"


def started(state: Path, folder: Path) -> tuple[RawServer, float]:
    """A server that has answered `initialize`, and the seconds that took."""
    began = time.perf_counter()
    cache = state / "cache"
    cache.mkdir(parents=True)
    (cache / "models").symlink_to(default_root() / "models")
    server = RawServer(state, "--allow-dir", folder, env={"WHISPERX_MLX_CACHE": str(cache)})
    server.initialize()
    return server, time.perf_counter() - began


def importing(code: str) -> float:
    """Seconds that a fresh Python needs for ``code``."""
    began = time.perf_counter()
    subprocess.run([sys.executable, "-c", code], check=True)
    return time.perf_counter() - began


def start_up(runs: int, folder: Path) -> dict[str, float]:
    """Medians: answer to `initialize` and imports, in seconds; memory in MB."""
    first, memory, closing = [], [], []
    for number in range(runs):
        server, seconds = started(folder / f"state{number}", folder)
        first.append(seconds)
        server.request("tools/list", {})
        server.result("health_check")
        memory.append(psutil.Process(server.process.pid).memory_info().rss / 1e6)
        began = time.perf_counter()
        server.close_stdin()
        closing.append(time.perf_counter() - began)
    return {
        "process start to the answer to initialize, s": statistics.median(first),
        "of that: Python and `import mcp`, s": statistics.median(
            importing("import mcp.server") for _ in range(runs)
        ),
        "memory of the server process after tools/list and health_check, MB": statistics.median(memory),
        "stdin closed to process ended, s": statistics.median(closing),
    }


def cancelling(runs: int, folder: Path, meeting: Path, long: Path) -> dict[str, float]:
    """Medians of the seconds from `cancel_job` until the next job is at work, by the stage that was cancelled."""
    found = {}
    for stage in ("asr", "diarize"):
        seconds = []
        for number in range(runs):
            server, _ = started(folder / f"cancel-{stage}-{number}", folder)
            tool, asked = ("transcribe", {"language": "en"}) if stage == "asr" else ("diarize", {})
            job = server.result(tool, file_path=str(long), wait_s=0, **asked)["job_id"]
            at_work(server, job, stage)
            began = time.perf_counter()
            server.result("cancel_job", job_id=job)
            following = server.result("transcribe", file_path=str(meeting), language="en", wait_s=0)["job_id"]
            server.until_running(following)
            seconds.append(time.perf_counter() - began)
            worker = server.worker()
            began = time.perf_counter()
            server.close_stdin()
            if not is_gone(worker):
                print("a worker outlived its server", file=sys.stderr)
        found[f"cancel_job during {stage} to the next job at work, s"] = statistics.median(seconds)
    return found


def at_work(server: RawServer, job: str, stage: str) -> None:
    """Waits until the stage has given a part of its result."""
    seen = None
    while True:
        state = server.result("get_job", job_id=job, wait_s=0.2)
        progress = state["progress"]
        if state["status"] not in ("queued", "running"):
            sys.exit(f"the job was {state['status']} before it could be cancelled: use more --minutes")
        if progress["stage"] == stage:
            seen = progress["fraction"] if seen is None else seen
            if progress["fraction"] > seen:
                return


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--minutes", type=float, default=10.0)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        meeting = Path(shutil.copy(MEETING, folder))
        rows = start_up(args.runs, folder)
        long = repeated(meeting, args.minutes, folder / "long.wav")
        rows |= cancelling(max(1, args.runs // 2), folder, meeting, long)
    print("| what | median |\n|---|---|")
    for name, value in rows.items():
        print(f"| {name} | {value:.2f} |")


if __name__ == "__main__":
    main()
