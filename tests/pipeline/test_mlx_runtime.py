"""MLX in the process: its BLAS, its devices, its thread."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from pipeline import mlx_runtime
from schemas.errors import BackendUnavailable, StageFailed

pytest.importorskip("mlx.core")
LINUX = pytest.mark.skipif(
    sys.platform != "linux", reason="only MLX's Linux wheel carries the reference BLAS"
)


def run(code: str) -> str:
    """Standard output of a process of its own, which has to end well."""
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout.strip()


def test_products_are_right_whatever_the_layout():
    import numpy as np

    mx = mlx_runtime.import_mlx()
    rng = np.random.default_rng(1)
    for left, right in [
        ((5, 7), (7, 3)),
        ((2, 64, 33), (2, 33, 65)),
        ((1, 300), (300, 1)),
        ((4, 1, 8), (4, 8, 9)),
    ]:
        a, b = rng.standard_normal(left, np.float32), rng.standard_normal(right, np.float32)
        assert np.allclose(np.array(mx.array(a) @ mx.array(b)), a @ b, atol=1e-3)
        turned = mx.array(np.swapaxes(b, -1, -2)).swapaxes(-1, -2)
        assert np.allclose(np.array(mx.array(a) @ turned), a @ b, atol=1e-3)


@LINUX
@pytest.mark.skipif(mlx_runtime.accelerator() is not None, reason="MLX's GPU build has a BLAS of its own")
def test_mlx_calls_the_fast_blas():
    """The slot that MLX's library calls ``sgemm_`` through holds OpenBLAS's; a fresh process says so too."""
    from pipeline import _mlx_blas

    assert mlx_runtime.blas_in_use() == mlx_runtime.blas_expected() == _mlx_blas.OPENBLAS
    code = "from pipeline import mlx_runtime as m; print(m.blas_in_use())"
    assert run(code) == _mlx_blas.OPENBLAS


@LINUX
@pytest.mark.skipif(mlx_runtime.accelerator() is not None, reason="MLX's GPU build has a BLAS of its own")
@pytest.mark.parametrize(
    ("missing", "used"),
    [(["scipy_openblas32"], "SCIPY"), (["scipy_openblas32", "scipy.linalg"], "REFERENCE")],
)
def test_without_its_library_mlx_takes_the_next_best(missing: list[str], used: str):
    from pipeline import _mlx_blas

    code = f"""
        import sys
        for name in {missing}:
            sys.modules[name] = None
        from pipeline import mlx_runtime
        print(mlx_runtime.blas_in_use())
    """
    assert run(code) == getattr(_mlx_blas, used)


@LINUX
def test_wrong_products_put_the_old_blas_back(monkeypatch):
    from pipeline import _mlx_blas

    swapped = []
    monkeypatch.setattr(_mlx_blas, "_swap", lambda slot, address: swapped.append(address) or 1234)
    monkeypatch.setattr(_mlx_blas, "_products_are_right", lambda: False)
    name = _mlx_blas.accelerate()
    if swapped:
        assert name == _mlx_blas.REFERENCE
        assert swapped[-1] == 1234


@LINUX
def test_a_library_that_is_built_otherwise_is_left_alone(monkeypatch, tmp_path):
    from pipeline import _mlx_blas

    other = tmp_path / "libblas.so"
    other.write_bytes(b"not an ELF file")
    with pytest.raises(ValueError, match="ELF"):
        _mlx_blas._slot(other)
    with pytest.raises(ValueError, match="slot"):
        _mlx_blas._slot(Path(sys.executable).resolve())

    def unknown(_path):
        raise ValueError

    monkeypatch.setattr(_mlx_blas, "_slot", unknown)
    monkeypatch.setattr(_mlx_blas, "_swap", None)
    assert _mlx_blas.accelerate() in (_mlx_blas.REFERENCE, "MLX's own")


@LINUX
def test_other_libraries_keep_their_own_blas():
    """A BLAS made visible to the whole process makes CTranslate2 write nonsense and PyTorch crash."""
    out = run(
        """
        from pipeline import mlx_runtime
        mx = mlx_runtime.import_mlx()
        mx.eval(mx.ones((64, 64)) @ mx.ones((64, 64)))
        import ctranslate2, numpy as np, torch
        a = torch.ones(128, 128)
        assert float((a @ a).sum()) == 128**3
        print(torch.linalg.svdvals(a)[0].item() > 127)
        mlx_runtime.end_thread()
        """
    )
    assert out == "True"


def test_a_process_that_used_mlx_on_a_thread_ends_well():
    out = run(
        """
        import threading
        from pipeline import mlx_runtime
        def work():
            mx = mlx_runtime.import_mlx()
            mx.eval(mx.ones((8, 8)) @ mx.ones((8, 8)))
            mlx_runtime.release()
            mlx_runtime.end_thread()
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
        print("done")
        """
    )
    assert out == "done"


def test_release_gives_buffers_back():
    mx = mlx_runtime.import_mlx()
    mx.eval(mx.ones((512, 512)) * 2)
    mlx_runtime.release()
    assert mx.get_cache_memory() == 0


def test_a_device_that_is_not_there_is_an_error():
    missing = "cuda" if sys.platform == "darwin" else "metal"
    with pytest.raises(BackendUnavailable) as caught:
        mlx_runtime.use_device(missing)
    assert "cpu" in caught.value.hint


def test_another_thread_is_refused():
    import threading

    own, refused = mlx_runtime.OwnThread(), []
    own.check()

    def elsewhere():
        with pytest.raises(StageFailed):
            own.check()
        refused.append(True)

    thread = threading.Thread(target=elsewhere)
    thread.start()
    thread.join()
    assert refused
