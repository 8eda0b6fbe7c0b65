"""A fast matrix product for MLX's Linux CPU wheel, which carries the reference BLAS.

The wheel's BLAS calls its own ``sgemm_`` through a slot of its procedure linkage table, like every shared library
on Linux. The slot is pointed at the ``sgemm`` of the OpenBLAS in the package scipy-openblas32, or of the one that
SciPy publishes for use from C (``scipy.linalg.cython_blas``). A 2048 x 2048 product takes 0.09 s instead of 3.5 s
on two cores. The two differ where few rows meet a large matrix, as in a decoder: 8 rows of logits take 17 ms with
OpenBLAS 0.3.34 and 42 ms with SciPy's 0.3.30, on one core.

Making a fast BLAS visible to the whole process before MLX loads (``RTLD_GLOBAL``) is shorter and wrong: PyTorch
and CTranslate2 each carry a part of MKL under the same names, get mixed, and CTranslate2 then writes nonsense.
Here nothing but MLX changes.
"""

from __future__ import annotations

import ctypes
import mmap
import struct
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

SYMBOL = "sgemm_"
OPENBLAS = "OpenBLAS of scipy-openblas32"
SCIPY = "OpenBLAS of SciPy"
REFERENCE = "reference BLAS (slow)"

_SHT_RELA = 4
_READ, _WRITE = 1, 2
_RELA = struct.Struct("<QQq")  # offset, symbol and type, addend
_SECTION = struct.Struct("<IIQQQQIIQQ")


def accelerate() -> str:
    """Speeds up the BLAS that MLX has loaded, once ``mlx.core`` is imported; returns the name of the one in use.

    Where there is no such library, or it is not built as expected, or the products come out wrong, all stays as
    it was.
    """
    mapped = next(
        (m for m in _mappings() if "mlx" in m.path and Path(m.path).name.startswith("libblas")), None
    )
    if mapped is None:
        return "MLX's own"
    try:
        slot = mapped.start + _slot(Path(mapped.path))
    except (OSError, ValueError, struct.error):
        return REFERENCE
    return next((name for name, find in _LIBRARIES.items() if _used(slot, find)), REFERENCE)


def expected() -> str:
    """The name of the library that :func:`accelerate` would find, by what is installed. Imports nothing."""
    if find_spec("scipy_openblas32"):
        return OPENBLAS
    return SCIPY if find_spec("scipy") else REFERENCE


def _used(slot: int, find: Callable[[], int]) -> bool:
    """Whether products go to a library now, and come out right."""
    try:
        fast = find()
    except (OSError, ImportError, AttributeError, KeyError, StopIteration, ValueError):
        return False
    slow = _swap(slot, fast)
    if slow != fast and not _products_are_right():
        _swap(slot, slow)
        return False
    return True


class _Mapping(NamedTuple):
    """A stretch of the process's memory; the first one of a library begins at its base address."""

    start: int
    end: int
    writable: bool
    path: str


def _mappings() -> Iterator[_Mapping]:
    for line in Path("/proc/self/maps").read_text().splitlines():
        fields = line.split(maxsplit=5)
        start, end = (int(address, 16) for address in fields[0].split("-"))
        yield _Mapping(start, end, "w" in fields[1], fields[5] if len(fields) == 6 else "")


def _slot(library: Path) -> int:
    """Offset of the slot through which ``library`` calls ``sgemm_`` (64-bit little-endian ELF).

    Raises ValueError where there is none.
    """
    data = library.read_bytes()
    if data[:6] != b"\x7fELF\x02\x01":
        raise ValueError("not a 64-bit little-endian ELF file")
    for offset, name in _relocations(data):
        if name == SYMBOL.encode():
            return offset
    raise ValueError(f"{SYMBOL} is not called through a slot")


def _relocations(data: bytes) -> Iterator[tuple[int, bytes]]:
    """(offset, symbol) of each relocation of an ELF file's sections of type RELA."""
    (first,) = struct.unpack_from("<Q", data, 0x28)
    size, count = struct.unpack_from("<HH", data, 0x3A)
    # type: 1, offset: 4, bytes: 5, link: 6
    sections = [_SECTION.unpack_from(data, first + number * size) for number in range(count)]
    for section in sections:
        if section[1] != _SHT_RELA:
            continue
        symbols = sections[section[6]]
        names = sections[symbols[6]][4]
        for at in range(section[4], section[4] + section[5], _RELA.size):
            offset, info, _ = _RELA.unpack_from(data, at)
            (name,) = struct.unpack_from("<I", data, symbols[4] + (info >> 32) * 24)
            yield offset, data[names + name : data.index(b"\0", names + name)]


def _openblas_sgemm() -> int:
    """Address of ``sgemm`` in scipy-openblas32's library, with the arguments of the Fortran one."""
    import scipy_openblas32

    library = next(Path(scipy_openblas32.get_lib_dir()).glob("libscipy_openblas*.so"))
    return ctypes.cast(ctypes.CDLL(str(library)).scipy_sgemm_, ctypes.c_void_p).value or 0


def _scipy_sgemm() -> int:
    """Address of SciPy's ``sgemm``, with the arguments of the Fortran one."""
    from scipy.linalg import cython_blas

    capsule = cython_blas.__pyx_capi__["sgemm"]
    name = ctypes.PYFUNCTYPE(ctypes.c_char_p, ctypes.py_object)(("PyCapsule_GetName", ctypes.pythonapi))
    pointer = ctypes.PYFUNCTYPE(ctypes.c_void_p, ctypes.py_object, ctypes.c_char_p)(
        ("PyCapsule_GetPointer", ctypes.pythonapi)
    )
    return pointer(capsule, name(capsule))


_LIBRARIES: dict[str, Callable[[], int]] = {OPENBLAS: _openblas_sgemm, SCIPY: _scipy_sgemm}


def _swap(slot: int, address: int) -> int:
    """Writes ``address`` into the slot and returns what was there. The page stays as writable as it was."""
    page = slot // mmap.PAGESIZE * mmap.PAGESIZE
    guarded = not any(m.writable for m in _mappings() if m.start <= slot < m.end)
    held = ctypes.c_void_p.from_address(slot)
    before = held.value
    if guarded:
        _protect(page, _READ | _WRITE)
    held.value = address
    if guarded:
        _protect(page, _READ)
    return before


def _protect(page: int, access: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mprotect(ctypes.c_void_p(page), ctypes.c_size_t(mmap.PAGESIZE), ctypes.c_int(access)):
        raise OSError(ctypes.get_errno(), "mprotect failed")


def _products_are_right() -> bool:
    """Plain, transposed and batched products against numpy's."""
    import mlx.core as mx
    import numpy as np

    rng = np.random.default_rng(0)
    left = rng.standard_normal((3, 17, 33), dtype=np.float32)
    right = rng.standard_normal((3, 33, 21), dtype=np.float32)
    pairs = [
        (mx.array(left) @ mx.array(right), left @ right),
        (mx.array(right).swapaxes(1, 2) @ mx.array(left).swapaxes(1, 2), (left @ right).swapaxes(1, 2)),
        (mx.array(left[0]) @ mx.array(right[0]), left[0] @ right[0]),
    ]
    return all(np.allclose(np.array(got), expected, atol=1e-4) for got, expected in pairs)
