"""Which hardware and which packages this machine has, found without importing torch or MLX."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from functools import cache
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from pipeline import backends
from pipeline.plan import Machine
from schemas.errors import BackendUnavailable


@cache
def probe() -> Machine:
    """The machine that this process runs on. Takes milliseconds; asked once per process."""
    accelerator, accelerator_gb = _accelerator()
    return Machine(
        system=sys.platform,
        arch=platform.machine(),
        cores=os.cpu_count() or 1,
        memory_gb=_memory_gb(),
        accelerator=accelerator,
        accelerator_gb=accelerator_gb,
        mlx_on_gpu=_mlx_on(accelerator),
        backends=frozenset(
            f"{room}/{name}"
            for room in backends.ROOMS
            for name in backends.available(room)
            if not backends.missing_packages(room, name)
        ),
    )


def processor_name() -> str:
    """The processor's name as its system gives it."""
    if sys.platform == "darwin":
        asked = ["sysctl", "-n", "machdep.cpu.brand_string"]
        return subprocess.run(asked, capture_output=True, text=True, check=False).stdout.strip() or "Mac"
    info = Path("/proc/cpuinfo")
    lines = info.read_text("utf-8").splitlines() if info.is_file() else []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.machine())


def usable_cores() -> int:
    """Cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _memory_gb() -> float:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9


def use_gpu(number: int) -> bool:
    """Makes one NVIDIA GPU the only one that this process sees; false where there is none.

    To be called before CUDA is used: torch, CTranslate2 and MLX obey ``CUDA_VISIBLE_DEVICES``; where that is set,
    the number counts within it. Raises :class:`BackendUnavailable` for a number that no GPU has.
    """
    if probe().accelerator != "cuda":
        return False
    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    seen = named.split(",") if named else [str(i) for i in range(len(_cuda_gbs()))]
    if number >= len(seen):
        raise BackendUnavailable(
            f"there is no GPU number {number}", hint=f"this machine has {len(seen)}, counted from 0"
        )
    os.environ["CUDA_VISIBLE_DEVICES"] = seen[number]
    return True


def _accelerator() -> tuple[str | None, float]:
    """The accelerator and the memory that models can take of it, in GB."""
    if sys.platform == "darwin" and platform.machine() == "arm64":
        return "metal", _memory_gb()  # unified memory
    if Path("/proc/driver/nvidia/version").exists() or Path("/dev/nvidia0").exists():
        return "cuda", next(iter(_cuda_gbs()), 0.0)
    return None, 0.0


def _cuda_gbs() -> list[float]:
    """Of each GPU."""
    query = ["nvidia-smi", "--query-gpu=memory.total", "--format=csv,noheader,nounits"]
    try:
        out = subprocess.run(query, capture_output=True, text=True, timeout=10, check=True).stdout
        return [float(line) * 1.048576e-3 for line in out.split()]
    except (OSError, subprocess.SubprocessError, ValueError):
        return []


def _mlx_on(accelerator: str | None) -> bool:
    if accelerator == "metal":
        return _installed("mlx-metal")
    if accelerator == "cuda":
        return any(_installed(f"mlx-cuda{suffix}") for suffix in ("", "-12", "-13"))
    return False


def _installed(name: str) -> bool:
    try:
        distribution(name)
    except PackageNotFoundError:
        return False
    return True
