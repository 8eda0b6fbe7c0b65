"""Which files may be read: absolute paths of regular files inside the allowed folders."""

from __future__ import annotations

import os
import stat
import sys
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from difflib import get_close_matches
from itertools import islice
from pathlib import Path
from urllib.parse import unquote, urlsplit

from schemas.errors import FileNotReadable, InvalidArgument
from schemas.jobs import FileIdentity

_CHAT = (
    "A file dropped into a chat stays in the chat, out of reach of programs on this computer: "
    "ask the user for the path of the recording on their disk."
)
_NAMES_LOOKED_AT = 2000


@dataclass(frozen=True)
class CheckedFile:
    """A file that may be read. ``version`` changes when it is written to or replaced."""

    path: Path
    identity: FileIdentity
    version: str


class Access:
    """Decides over paths. ``folders`` empty: the home folder, without its hidden folders."""

    def __init__(self, folders: tuple[str, ...] = ()) -> None:
        self._named = tuple(Path(folder).expanduser().absolute() for folder in folders)

    @property
    def folders(self) -> tuple[Path, ...]:
        """The allowed folders, as they are now (a disk may be plugged in later)."""
        return tuple(folder.resolve() for folder in self._named or (Path.home(),))

    @property
    def missing(self) -> tuple[Path, ...]:
        """Allowed folders that are not there."""
        return tuple(folder for folder in self.folders if not folder.is_dir())

    def described(self) -> str:
        """The allowed folders in words."""
        names = ", ".join(str(folder) for folder in self.folders)
        return names if self._named else f"{names} (without hidden folders)"

    def check(self, named: str) -> CheckedFile:
        """The file that ``named`` (absolute path, ``~/…`` or ``file://…``) leads to.

        Raises :class:`InvalidArgument` for anything that is no absolute path, and :class:`FileNotReadable`:
        ``file_not_found`` (the same answer for what is missing and for what lies outside), ``not_a_file``,
        ``access_denied``, ``file_changed``.
        """
        asked = self._absolute(named)
        try:
            path = asked.resolve(strict=True)
        except (OSError, RuntimeError, ValueError):
            raise self._not_found(asked) from None
        if not self._is_inside(path):
            raise self._not_found(asked)
        return _opened(path)

    def _absolute(self, named: str) -> Path:
        text = named.strip().strip("\"'")
        if text.startswith("file://"):
            text = _from_uri(text)
        elif text.startswith("~/"):
            text = str(Path.home() / text[2:])
        if "\0" in text or not text.startswith("/"):
            raise InvalidArgument(
                "file_path must be an absolute path, such as /Users/ana/Recordings/meeting.m4a.",
                hint=f"{_CHAT} Allowed folders: {self.described()}.",
            )
        return Path(text)

    def _is_inside(self, path: Path) -> bool:
        if self._named:
            return any(path.is_relative_to(folder) for folder in self.folders)
        home = self.folders[0]
        return path.is_relative_to(home) and not _is_hidden(path.relative_to(home))

    def _not_found(self, asked: Path) -> FileNotReadable:
        near = self._near(asked)
        hint = f"Did you mean {near}? " if near else f"{_CHAT} "
        return FileNotReadable(
            "There is no such file inside the allowed folders.",
            hint=f"{hint}Allowed folders: {self.described()}. Others are added with --allow-dir.",
        )

    def _near(self, asked: Path) -> Path | None:
        """A file beside the one asked for whose name looks like it; never opened, only named."""
        try:
            folder = asked.parent.resolve(strict=True)
            if not self._is_inside(folder):
                return None
            names = {_folded(name): name for name in islice(_files(folder), _NAMES_LOOKED_AT)}
        except (OSError, RuntimeError, ValueError):
            return None
        close = get_close_matches(_folded(asked.name), names, n=1, cutoff=0.8)
        return folder / names[close[0]] if close and names[close[0]] != asked.name else None


def _from_uri(uri: str) -> str:
    parts = urlsplit(uri)
    return unquote(parts.path) if parts.netloc in ("", "localhost") else ""


def _is_hidden(inside_home: Path) -> bool:
    """Hidden as the desktop hides it: dot folders, and ``~/Library`` on macOS."""
    parts = inside_home.parts
    return any(p.startswith(".") for p in parts) or (sys.platform == "darwin" and parts[:1] == ("Library",))


def _files(folder: Path) -> Iterator[str]:
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_file(follow_symlinks=False) and not entry.name.startswith("."):
                yield entry.name


def _folded(name: str) -> str:
    """Names that look alike become equal: composed or not, narrow spaces (macOS writes them before PM)."""
    return " ".join(unicodedata.normalize("NFKC", name).casefold().split())


def _opened(path: Path) -> CheckedFile:
    """Opens the file once, not following a link that was swapped in and not waiting for a pipe's other end."""
    try:
        kind = path.lstat().st_mode
        if not stat.S_ISREG(kind):
            raise FileNotReadable(
                f"The path names {_KINDS.get(stat.S_IFMT(kind), 'something')} instead of a recording.",
                code="not_a_file",
                hint="Give the path of one audio or video file.",
            )
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except PermissionError:
        raise FileNotReadable(
            "The operating system refuses to open the file.",
            code="access_denied",
            hint="Change the file's permissions; on macOS, allow the client app in System Settings > "
            "Privacy & Security > Files and Folders.",
        ) from None
    except OSError:
        raise FileNotReadable(
            "The file was replaced while it was checked.", code="file_changed", hint="Ask again."
        ) from None
    try:
        found = os.fstat(fd)
    finally:
        os.close(fd)
    version = f"{found.st_dev}:{found.st_ino}:{found.st_size}:{found.st_mtime_ns}:{found.st_ctime_ns}"
    return CheckedFile(path, FileIdentity(device=found.st_dev, inode=found.st_ino), version)


_KINDS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}
