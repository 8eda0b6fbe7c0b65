"""Torch checkpoints read without torch: names and numpy arrays, and no code of the file's is ever run.

A checkpoint is a ZIP archive of one pickle and a file for each storage (torch's ``serialization.py``, BSD-3). Of
what the pickle names, only the functions that put tensors together are known here; anything else becomes an object
without behaviour.
"""

from __future__ import annotations

import pickle
import struct
import zipfile
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

_TYPES = {
    "FloatStorage": "<f4",
    "DoubleStorage": "<f8",
    "HalfStorage": "<f2",
    "LongStorage": "<i8",
    "IntStorage": "<i4",
    "ShortStorage": "<i2",
    "CharStorage": "<i1",
    "ByteStorage": "<u1",
    "BoolStorage": "?",
}


class Unknown:
    """Stands for whatever else the pickle names."""

    def __init__(self, *_args: Any, **_kwargs: Any) -> None:
        pass

    def __setstate__(self, _state: Any) -> None:
        pass

    def __setitem__(self, _key: Any, _value: Any) -> None:
        pass

    def append(self, _value: Any) -> None:
        """As a list's."""

    def extend(self, _values: Any) -> None:
        """As a list's."""


def read(file: Path) -> Mapping[str, Any]:
    """The checkpoint's dictionary, tensors as arrays.

    Raises ``OSError`` for a file that cannot be opened and ``ValueError`` for one that is not such a checkpoint.
    """
    try:
        with zipfile.ZipFile(file) as archive:
            name = next(n for n in archive.namelist() if n.endswith("/data.pkl") or n == "data.pkl")
            with archive.open(name) as pickled:
                content = _Unpickler(pickled, archive, name.removesuffix("data.pkl")).load()
    except (
        zipfile.BadZipFile,
        pickle.UnpicklingError,
        StopIteration,
        EOFError,
        KeyError,
        IndexError,
        TypeError,
        AttributeError,
        UnicodeDecodeError,
        struct.error,
    ) as error:
        raise ValueError(f"not a torch checkpoint, or it breaks off ({type(error).__name__})") from error
    if not isinstance(content, Mapping):
        raise ValueError("it does not hold a dictionary")
    return content


class _Unpickler(pickle.Unpickler):
    def __init__(self, pickled: Any, archive: zipfile.ZipFile, prefix: str) -> None:
        super().__init__(pickled, encoding="utf-8")
        self._archive, self._prefix = archive, prefix
        self._storages: dict[str, np.ndarray] = {}

    def find_class(self, module: str, name: str) -> Any:
        """Never imports anything."""
        known = {
            ("collections", "OrderedDict"): OrderedDict,
            ("torch._utils", "_rebuild_tensor_v2"): _tensor,
            ("torch._utils", "_rebuild_parameter"): _parameter,
        }
        if module == "torch" and name in _TYPES:
            return _TYPES[name]
        return known.get((module, name), Unknown)

    def persistent_load(self, pid: Any) -> np.ndarray:
        """A storage, (elements,)."""
        kind, dtype, key, _device, elements = pid
        if kind != "storage" or dtype not in _TYPES.values():
            raise ValueError(f"it holds a {kind} of a type that is not known")
        if key not in self._storages:
            data = self._archive.read(f"{self._prefix}data/{key}")
            self._storages[key] = np.frombuffer(data, dtype, elements)
        return self._storages[key]


def _tensor(
    storage: np.ndarray, offset: int, shape: tuple[int, ...], stride: tuple[int, ...], *_more: Any
) -> np.ndarray:
    reach = offset + sum((size - 1) * step for size, step in zip(shape, stride, strict=True)) + 1
    if offset < 0 or any(step < 0 for step in stride) or (0 not in shape and reach > len(storage)):
        raise ValueError("a tensor reaches beyond its storage")
    strides = [step * storage.itemsize for step in stride]
    return np.lib.stride_tricks.as_strided(storage[offset:], shape, strides, writeable=False)


def _parameter(data: np.ndarray, *_more: Any) -> np.ndarray:
    return data
