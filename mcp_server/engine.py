"""The server's end of the worker process: start it, write commands, read events, end it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import anyio
from anyio.abc import Process
from anyio.streams.buffered import BufferedByteReceiveStream

from mcp_server.settings import Settings, child_environment
from schemas.errors import from_dict

_LONGEST_LINE = 1 << 20
_LOG_LIMIT_BYTES = 2_000_000
_SILENT_S = 2.0


class WorkerProcess:
    """One worker, in a session of its own so that it can be ended with all that it started."""

    def __init__(self, process: Process) -> None:
        self._process = process
        self._lines = BufferedByteReceiveStream(process.stdout)

    @classmethod
    async def start(cls, settings: Settings) -> WorkerProcess:
        """Raises OSError when the program cannot be started."""
        with _opened_log(settings.log) as log:
            process = await anyio.open_process(
                (*settings.worker_command, str(os.getpid())),
                stderr=log,
                start_new_session=True,
                env=child_environment(),
                cwd=settings.state_dir,
            )
        return cls(process)

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def alive(self) -> bool:
        return self._process.returncode is None

    async def send(self, command: dict[str, Any]) -> None:
        """Writes a command; to a worker that is gone it does nothing, its events end anyway."""
        with suppress(anyio.BrokenResourceError, anyio.ClosedResourceError):
            await self._process.stdin.send(json.dumps(command).encode() + b"\n")

    async def events(self) -> AsyncIterator[dict[str, Any]]:
        """Until the worker closes its end."""
        while True:
            try:
                line = await self._lines.receive_until(b"\n", _LONGEST_LINE)
            except (anyio.IncompleteRead, anyio.ClosedResourceError, anyio.BrokenResourceError):
                return
            yield json.loads(line)

    async def ended(self) -> str:
        """The end of the process in words. One that only went silent is killed."""
        with anyio.move_on_after(_SILENT_S):
            await self._process.wait()
        self.kill()
        code = await self._process.wait()
        if code >= 0:
            return f"it ended with code {code}"
        with suppress(ValueError):
            return f"it was killed by {signal.Signals(-code).name}"
        return f"it was killed by signal {-code}"

    def kill(self) -> None:
        """At once, with everything it started."""
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)

    async def stop(self, grace_s: float) -> None:
        """Asks it to end, and kills it when it does not in ``grace_s`` seconds."""
        with anyio.move_on_after(grace_s):
            await self.send({"shutdown": True})
            await self._process.wait()
        await self.destroy()

    async def destroy(self) -> None:
        """Kills what is left of it and frees its pipes. Safe under cancellation."""
        with anyio.CancelScope(shield=True):
            self.kill()
            await self._process.aclose()


def _opened_log(path: Path) -> Any:
    """For appending, readable by the owner only; an old one is kept once when it grew large."""
    with suppress(OSError):
        if path.stat().st_size > _LOG_LIMIT_BYTES:
            path.replace(path.with_suffix(".1.log"))
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600), "ab")


async def ask_aside(settings: Settings, question: dict[str, Any]) -> dict[str, Any] | None:
    """An answer of :mod:`mcp_server.aside`; none when it took too long or crashed.

    Raises the error that was the answer.
    """
    output = b""
    with anyio.move_on_after(settings.aside_timeout_s):
        try:
            done = await anyio.run_process(
                settings.aside_command,
                input=json.dumps(question).encode(),
                stderr=subprocess.DEVNULL,
                check=False,
                env=child_environment(),
            )
            output = done.stdout
        except* (OSError, anyio.BrokenResourceError, anyio.ClosedResourceError):
            pass  # it could not be started, or ended before it had read the question
    try:
        reply = json.loads(output)
    except ValueError:
        return None
    if "error" in reply:
        raise from_dict(reply["error"])
    return reply["answer"]
