"""What the command line's AUDIO arguments stand for: files, folders of recordings, standard input."""

from __future__ import annotations

import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from schemas.errors import FileNotReadable, InvalidArgument

STDIN = "-"
# Endings of files that are taken out of a folder; a file that is named is taken whatever its ending.
_AUDIO = "aac ac3 aif aiff amr au caf flac m4a m4b mka mp2 mp3 oga ogg opus ra wav wma"
_VIDEO = "3gp asf avi flv m4v mkv mov mp4 mpeg mpg mts ogv ts webm wmv"
ENDINGS = frozenset(f".{ending}" for ending in f"{_AUDIO} {_VIDEO}".split())


@contextmanager
def spooled(named: Sequence[str]) -> Iterator[tuple[str, ...]]:
    """The arguments with a private copy of standard input in the place of ``-``; it is removed at the end.

    Raises :class:`InvalidArgument` where ``-`` is named twice or nothing is piped in.
    """
    if STDIN not in named:
        yield tuple(named)
        return
    if named.count(STDIN) > 1:
        raise InvalidArgument("standard input can be read once", hint="name `-` once")
    if sys.stdin is None or sys.stdin.isatty():
        raise InvalidArgument(
            "`-` reads a recording from standard input, and nothing is piped in",
            hint="whisperx-mlx - < meeting.m4a",
        )
    with tempfile.TemporaryDirectory(prefix="whisperx-mlx-") as folder:
        copy = Path(folder) / "stdin"
        with copy.open("xb") as file:
            shutil.copyfileobj(sys.stdin.buffer, file, 1 << 20)
        yield tuple(str(copy) if name == STDIN else name for name in named)


def recordings(named: Sequence[str]) -> tuple[str, ...]:
    """Each argument, and for a folder the recordings right in it by name; hidden ones are left out.

    Raises :class:`FileNotReadable` for a folder without recordings and for one that may not be read.
    """
    return tuple(path for name in named for path in _in_folder(name))


def _in_folder(name: str) -> Sequence[str]:
    folder = Path(name).expanduser()
    if not folder.is_dir():
        return (name,)
    found = recordings_in(folder)
    if not found:
        raise FileNotReadable(
            f"there is no recording in the folder {name}",
            code="file_not_found",
            hint="name the files themselves; with --watch it waits for some",
        )
    return found


def recordings_in(folder: Path) -> list[str]:
    """Paths of the recordings right in ``folder``. Raises :class:`FileNotReadable`."""
    try:
        entries = sorted(folder.iterdir())
    except OSError as error:
        raise FileNotReadable(f"{folder}: {error.strerror}", code="file_unreadable") from None
    return [
        str(path)
        for path in entries
        if path.suffix.lower() in ENDINGS and not path.name.startswith(".") and path.is_file()
    ]


def arriving(
    folders: Sequence[Path], every_s: float, sleep: Callable[[float], None] = time.sleep
) -> Iterator[str]:
    """Recordings of the folders as they come, for ever: each once, when it has stopped growing.

    A file that changes after it was given is given again.
    """
    given: dict[str, tuple[int, int]] = {}
    seen: dict[str, tuple[int, int]] = {}
    while True:
        now = {path: size for folder in folders for path in recordings_in(folder) if (size := _size(path))}
        for path, size in now.items():
            if seen.get(path) == size != given.get(path):
                given[path] = size
                yield path
        seen = now
        sleep(every_s)


def _size(path: str) -> tuple[int, int] | None:
    """Bytes and time of the last change; none for a file that has gone or is empty."""
    try:
        status = Path(path).stat()
    except OSError:
        return None
    return (status.st_size, status.st_mtime_ns) if status.st_size else None
