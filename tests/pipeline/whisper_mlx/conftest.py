"""MLX as these tests want it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest


@pytest.fixture(autouse=True, scope="package")
def _plain_mlx() -> Iterator[None]:
    """Without fused CPU kernels, which need a C++ compiler, and with one thread: the arrays are small."""
    from threadpoolctl import threadpool_limits

    from pipeline import mlx_runtime

    mx = mlx_runtime.import_mlx()
    mx.disable_compile()
    with threadpool_limits(1, user_api="blas"):
        yield
    mx.enable_compile()
