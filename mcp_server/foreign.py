"""Transcripts that a client hands in: as segments, as text, or as a file inside the allowed folders."""

from __future__ import annotations

import json
import os
from typing import Any

from mcp_server.access import Access, CheckedFile
from schemas.errors import FileNotReadable, InvalidArgument
from schemas.transcript import Transcript
from schemas.whisperx import from_whisperx

ARGUMENTS = ("segments", "text", "transcript_path")
TOO_LARGE = ("segments", "text")
"""Arguments that are not kept with a job."""

_MOST_SEGMENTS = 2_000
_MOST_CHARACTERS = 200_000
_MOST_BYTES = 16 * 1024 * 1024


def check(given: dict[str, Any]) -> str | None:
    """The one argument that a transcript comes with, if any. Raises :class:`InvalidArgument` for several."""
    names = [name for name in ("transcript_id", *ARGUMENTS) if given.get(name) is not None]
    if len(names) > 1:
        raise InvalidArgument(
            f"Give {' or '.join(names)}, not both.", hint="One of them says which transcript is meant."
        )
    return names[0] if names else None


def transcript(access: Access, name: str, value: Any, language: str | None) -> Transcript:
    """The transcript in the argument ``name``.

    Raises :class:`InvalidArgument`, :class:`InvalidTranscript`, and for a path what :meth:`Access.check` raises.
    """
    from pipeline import readers

    match name:
        case "segments":
            return _of_segments(value, language)
        case "text":
            if len(value) > _MOST_CHARACTERS:
                raise _too_many(f"{len(value)} characters are")
            found = readers.read(value)
        case _:
            file = access.check(value)
            found = readers.read(readers.decoded(_content(file)), name=file.path.name)
    return found.model_copy(update={"language": language}) if language else found


def _of_segments(segments: Any, language: str | None) -> Transcript:
    said = segments if isinstance(segments, dict) else {"segments": segments}
    count = len(said.get("segments") or ())
    if count > _MOST_SEGMENTS or len(json.dumps(said)) > _MOST_CHARACTERS:
        raise _too_many(f"{count} segments are")
    return from_whisperx({"language": language, **said} if language else said)


def _too_many(what: str) -> InvalidArgument:
    return InvalidArgument(
        f"{what} too many to hand in.",
        hint=f"At most {_MOST_SEGMENTS} segments and {_MOST_CHARACTERS} characters; save the transcript as a file "
        "in an allowed folder and give transcript_path instead.",
    )


def _content(file: CheckedFile) -> bytes:
    """The bytes of the file that was checked, and of no other one that took its name since."""
    try:
        fd = os.open(file.path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(fd, "rb") as opened:
            found = os.fstat(fd)
            if (found.st_dev, found.st_ino) != (file.identity.device, file.identity.inode):
                raise FileNotReadable(
                    "The transcript was replaced while it was checked.",
                    code="file_changed",
                    hint="Ask again.",
                )
            raw = opened.read(_MOST_BYTES + 1)
    except OSError:
        raise FileNotReadable(
            "Reading the transcript failed.", code="file_unreadable", hint="Check the disk that it lies on."
        ) from None
    if len(raw) > _MOST_BYTES:
        raise InvalidArgument(
            f"The transcript is larger than {_MOST_BYTES // 2**20} MiB.",
            hint="Leave out the times of its characters, or use the command line: whisperx-mlx align.",
        )
    return raw
