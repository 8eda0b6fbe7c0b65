"""A measurement in a process of its own: its peak memory is its own, and nothing is warm but what it warmed."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

from schemas.errors import TranscriptionError


def measured(module: str, *job: Any) -> dict[str, Any]:
    """What ``python -m module`` answers for a job of plain JSON types; ``failed`` says why there is no answer."""
    done = subprocess.run(
        [sys.executable, "-P", "-m", module, json.dumps(job)], capture_output=True, text=True
    )
    if done.returncode:
        why = last_line(done.stderr)
        return {"failed": f"its process ended with status {done.returncode}: {why}"}
    return json.loads(done.stdout.splitlines()[-1])


def last_line(text: str | None) -> str:
    """The last error that a process named, else what it said last, short enough for a table."""
    lines = [line.strip() for line in (text or "").splitlines() if line.strip()]
    errors = [line for line in lines if re.match(r"[\w.]*(Error|Exception)\b", line)]
    return ([*lines, *errors] or ["no message"])[-1][:120]


def answer(work: Callable[..., dict[str, Any]]) -> None:
    """The other side of :func:`measured`: prints what ``work`` makes of the job; libraries' words go to stderr."""
    with redirect_stdout(sys.stderr):
        try:
            found = work(*json.loads(sys.argv[1]))
        except TranscriptionError as error:
            found = {"failed": " ".join(filter(None, (error.message, error.hint and f"({error.hint})")))}
    print(json.dumps(found))


def peak_mb() -> float:
    """The most that this process had in memory, in 10^6 bytes.

    Linux's ``ru_maxrss`` would count what its parent had before ``exec``.
    """
    if sys.platform == "linux":
        status = Path("/proc/self/status").read_text("utf-8")
        return int(re.search(r"VmHWM:\s*(\d+)", status)[1]) * 1024 / 1e6
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
