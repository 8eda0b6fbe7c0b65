"""How a server was set up: folders, defaults, limits. Frozen; made once by the command line."""

from __future__ import annotations

import os
import sys
import sysconfig
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import platformdirs

APP = "whisperx-mlx-mcp"


def default_state_dir() -> Path:
    """``WHISPERX_MLX_STATE``, else the platform's folder for state; jobs and transcripts lie in it."""
    named = os.environ.get("WHISPERX_MLX_STATE")
    return (
        Path(named).expanduser().absolute() if named else platformdirs.user_state_path(APP, appauthor=False)
    )


def folders_from_environment() -> tuple[str, ...]:
    """``WHISPERX_MLX_ALLOW_DIRS``, separated as in ``PATH``."""
    return tuple(filter(None, os.environ.get("WHISPERX_MLX_ALLOW_DIRS", "").split(os.pathsep)))


@dataclass(frozen=True)
class Settings:
    """``allow_dirs`` empty: the home folder without its hidden folders. ``defaults``: options of every request,
    flat as in :meth:`schemas.options.Options.from_flat`, unless the request says otherwise. ``keep_days``: how
    long transcripts are kept; none: until they are deleted."""

    state_dir: Path = field(default_factory=default_state_dir)
    allow_dirs: tuple[str, ...] = field(default_factory=folders_from_environment)
    defaults: Mapping[str, object] = field(default_factory=dict)
    worker_command: tuple[str, ...] = (sys.executable, "-P", "-m", "pipeline.worker")
    aside_command: tuple[str, ...] = (sys.executable, "-P", "-m", "mcp_server.aside")
    idle_s: float = 600.0
    keep_days: float | None = None
    cancel_grace_s: float = 1.5
    max_waiting: int = 16
    aside_timeout_s: float = 15.0

    @property
    def transcripts(self) -> Path:
        """One JSON file per transcript."""
        return self.state_dir / "transcripts"

    @property
    def voices(self) -> Path:
        """Speakers' voices as numbers, a JSON file per transcript, kept as long as that. No result leads here.

        By them names follow a voice within a recording, and ``remember`` enrols one.
        """
        return self.state_dir / "voices"

    @property
    def inbox(self) -> Path:
        """What travels between server and worker: segments handed in, results before they are kept."""
        return self.state_dir / "inbox"

    @property
    def accelerator_lock(self) -> Path:
        """Held by the worker that uses the models."""
        return self.state_dir / "accelerator.lock"

    @property
    def log(self) -> Path:
        """What the worker's libraries print. Never what was said."""
        return self.state_dir / "worker.log"


def child_environment() -> dict[str, str]:
    """For the server's own child processes: this package is found wherever the server was started.

    An installed package is found anyway, and site-packages on PYTHONPATH would come before the standard library.
    """
    environment = {**os.environ, "PYANNOTE_METRICS_ENABLED": "0"}
    root = Path(__file__).resolve().parent.parent
    if root not in {Path(sysconfig.get_path(name)) for name in ("purelib", "platlib")}:
        paths = [str(root), *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]
        environment["PYTHONPATH"] = os.pathsep.join(dict.fromkeys(paths))
    return environment
