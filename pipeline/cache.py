"""The stage cache: every stage's result as a small JSON file, named by what it was made from.

A key covers the decoded audio, the stage and its version, the key of the stage before it, the backend with its
weights and precision, and the options that change the answer. Files appear whole or not at all. The command line
and the server share one cache.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import platformdirs

_MAX_AGE_S = 60 * 24 * 3600.0


def default_root() -> Path:
    """``WHISPERX_MLX_CACHE``, else the platform's cache folder; models and stage results lie in it."""
    named = os.environ.get("WHISPERX_MLX_CACHE")
    return Path(named).expanduser() if named else platformdirs.user_cache_path("whisperx-mlx-mcp")


def key_of(**parts: Any) -> str:
    """A name for a result made from ``parts`` (plain JSON types)."""
    canonical = json.dumps(parts, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(canonical.encode()).hexdigest()[:40]


class Cache:
    """Stage results under ``root/stages``, readable by the owner only."""

    def __init__(self, root: Path | None = None) -> None:
        self.root = (root or default_root()) / "stages"
        self.root.mkdir(parents=True, exist_ok=True, mode=0o700)

    @staticmethod
    def key(audio_sha256: str, **parts: Any) -> str:
        """A name for a stage's result on that audio; it begins with the audio's, so that all can be found."""
        return f"{audio_sha256[:16]}-{key_of(audio=audio_sha256, **parts)}"

    def forget(self, audio_sha256: str) -> int:
        """Removes everything that was made from that audio; returns how many files went."""
        made = list(self.root.glob(f"*-{audio_sha256[:16]}-*")) if len(audio_sha256) >= 16 else []
        for path in made:
            path.unlink(missing_ok=True)
        return len(made)

    def get(self, stage: str, key: str) -> dict[str, Any] | None:
        """The result, or none. A damaged file counts as none and is removed."""
        path = self._path(stage, key)
        try:
            payload = json.loads(path.read_bytes())
            os.utime(path)
        except FileNotFoundError:
            return None
        except (OSError, ValueError):
            path.unlink(missing_ok=True)
            return None
        return payload if isinstance(payload, dict) else None

    def put(self, stage: str, key: str, payload: dict[str, Any]) -> None:
        """Keeps a result: written beside its place, then moved there."""
        write_atomically(self._path(stage, key), json.dumps(payload, ensure_ascii=False, allow_nan=False))

    def partial(self, stage: str, key: str) -> Partial:
        """The finished pieces of a stage that is under way, to go on from after an interruption."""
        return Partial(self.root / f"{stage}-{key}.partial.jsonl")

    def prune(self, max_age_s: float = _MAX_AGE_S) -> int:
        """Removes what nobody asked for in ``max_age_s`` seconds; returns how many files went."""
        limit = time.time() - max_age_s
        old = [path for path in self.root.glob("*.json*") if _mtime(path) < limit]
        for path in old:
            path.unlink(missing_ok=True)
        return len(old)

    def _path(self, stage: str, key: str) -> Path:
        return self.root / f"{stage}-{key}.json"


class NoCache(Cache):
    """Knows nothing and keeps nothing: every stage is done, and leaves no trace."""

    def get(self, stage: str, key: str) -> None:
        """None."""

    def put(self, stage: str, key: str, payload: dict[str, Any]) -> None:
        """Keeps nothing."""

    def partial(self, stage: str, key: str) -> Partial:
        """Pieces that nobody keeps."""
        return _Unkept(self.root)

    def prune(self, max_age_s: float = _MAX_AGE_S) -> int:
        """Removes nothing: what other runs keep is theirs."""
        return 0


class Partial:
    """Finished pieces, one JSON line each, appended as they come. A torn last line is ignored."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __iter__(self) -> Iterator[dict[str, Any]]:
        try:
            lines = self.path.read_bytes().split(b"\n")[:-1]
        except FileNotFoundError:
            return
        for line in lines:
            try:
                yield json.loads(line)
            except ValueError:
                continue

    def append(self, piece: dict[str, Any]) -> None:
        """Adds a piece; it is on disk when this returns."""
        line = json.dumps(piece, ensure_ascii=False, allow_nan=False).encode() + b"\n"
        with os.fdopen(os.open(self.path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o600), "a+b") as file:
            if file.tell() and os.pread(file.fileno(), 1, file.tell() - 1) != b"\n":
                line = b"\n" + line  # an earlier write was cut off
            file.write(line)

    def clear(self) -> None:
        """Forgets all pieces."""
        self.path.unlink(missing_ok=True)


class _Unkept(Partial):
    def __iter__(self) -> Iterator[dict[str, Any]]:
        return iter(())

    def append(self, piece: dict[str, Any]) -> None:
        pass

    def clear(self) -> None:
        pass


def write_atomically(path: Path, text: str) -> None:
    """Writes ``text`` (UTF-8, mode 0600) so that a reader sees the old file or the new one, never a part."""
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name[:40]}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def _mtime(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except FileNotFoundError:
        return float("inf")
