"""MLX in this process: its import, its device, its thread, and giving back what it holds.

MLX's streams belong to threads. What one thread loaded, another one cannot run ("There is no Stream in current
thread"), so one thread imports, loads, runs and drops, and hands out numpy arrays and plain values.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from types import ModuleType

from schemas.errors import BackendUnavailable, StageFailed

ACCELERATORS = ("metal", "cuda")


def import_mlx() -> ModuleType:
    """``mlx.core``; on Linux CPUs its products go to a fast BLAS, on NVIDIA GPUs float32 is float32.

    MLX would round the factors of float32 products to TF32's ten bits there, which changes who is heard in one
    frame of three hundred. Raises :class:`BackendUnavailable` where MLX is missing or cannot be loaded.
    """
    os.environ.setdefault("MLX_ENABLE_TF32", "0")
    try:
        import mlx.core as mx
    except ImportError as error:
        raise BackendUnavailable(
            f"MLX cannot be loaded: {error}",
            hint="pip install mlx (on Linux: mlx[cpu], mlx[cuda12] or mlx[cuda13])",
        ) from error
    blas_in_use()
    return mx


@cache
def blas_in_use() -> str:
    """Which library does MLX's matrix products on the CPU. Imports MLX."""
    import mlx.core  # noqa: F401 - the library has to be loaded before it can be looked at

    if sys.platform != "linux":
        return "Accelerate" if sys.platform == "darwin" else "MLX's own"
    from pipeline import _mlx_blas

    return _mlx_blas.accelerate()


def blas_expected() -> str:
    """What :func:`blas_in_use` would answer, by what is installed. Imports nothing heavy."""
    if sys.platform != "linux":
        return "Accelerate" if sys.platform == "darwin" else "MLX's own"
    from pipeline import _mlx_blas

    return _mlx_blas.expected()


def accelerator() -> str | None:
    """``metal`` or ``cuda`` where MLX can use such a GPU, else none."""
    mx = import_mlx()
    if not mx.is_available(mx.gpu):
        return None
    return "metal" if sys.platform == "darwin" else "cuda"


def use_device(device: str) -> None:
    """Makes ``cpu``, ``metal`` or ``cuda`` MLX's default device.

    Raises :class:`BackendUnavailable` where MLX's build or the machine does not have it.
    """
    mx = import_mlx()
    if device in ACCELERATORS and accelerator() != device:
        raise BackendUnavailable(
            f"MLX cannot use {device} on this machine",
            hint="install MLX's build for it (mlx[cuda12], mlx[cuda13]), or use --device cpu",
        )
    mx.set_default_device(mx.gpu if device in ACCELERATORS else mx.cpu)


def memory_bytes(device: str) -> int:
    """Memory of the accelerator, or of the machine."""
    if device != "cpu":
        info = import_mlx().device_info()
        names = ("max_recommended_working_set_size", "memory_size", "total_memory")
        return int(next((info[name] for name in names if info.get(name)), 8 << 30))
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


@contextmanager
def small_products() -> Iterator[None]:
    """For thousands of small matrix products in a row on a Linux CPU: BLAS does each on one thread.

    On several they wait for one another longer than they work, many times longer where others use the cores too.
    """
    if sys.platform != "linux" or import_mlx().default_device().type != import_mlx().cpu:
        yield
        return
    from threadpoolctl import threadpool_limits

    with threadpool_limits(limits=1, user_api="blas"):
        yield


def release() -> None:
    """Gives back the buffers that MLX keeps for reuse. Models that are still referenced stay."""
    mx = sys.modules.get("mlx.core")
    if mx is not None:
        mx.clear_cache()


def end_thread() -> None:
    """The last thing that the MLX thread does: drops its streams, without which the process can abort at exit.

    Nothing of MLX can run on this thread afterwards.
    """
    mx = sys.modules.get("mlx.core")
    if mx is None:
        return
    mx.clear_cache()
    if hasattr(mx, "clear_streams"):  # MLX 0.31.2 and later
        mx.synchronize()
        mx.clear_streams()


class OwnThread:
    """Remembers the thread that made it, and refuses the others."""

    def __init__(self) -> None:
        self._thread = threading.get_ident()

    def check(self) -> None:
        """Raises :class:`StageFailed` on any other thread."""
        if threading.get_ident() != self._thread:
            raise StageFailed(
                "an MLX model was used on another thread than the one that loaded it",
                code="internal_error",
                hint="load, run and drop MLX models on one thread",
            )
