"""A transcript as text, one file per format: ``write(transcript) -> str`` and ``EXTENSION``.

srt, vtt, txt, tsv, json and aud are laid out as WhisperX 3.8.6 does it (``whisperx/utils.py``, BSD-2-Clause, after
OpenAI Whisper's, MIT); where ours differ, the file says so.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path

from pipeline.writers import aud, ctm, json, md, rttm, srt, text, tsv, txt, vtt
from schemas.errors import InvalidArgument, OutputFailed
from schemas.jobs import OutputFile
from schemas.options import SubtitleOptions
from schemas.transcript import Transcript

_MODULES = {
    "json": json,
    "srt": srt,
    "vtt": vtt,
    "txt": txt,
    "tsv": tsv,
    "aud": aud,
    "md": md,
    "rttm": rttm,
    "ctm": ctm,
    "text": text,
}
FORMATS: dict[str, Callable[..., str]] = {name: module.write for name, module in _MODULES.items()}
EXTENSIONS: dict[str, str] = {name: module.EXTENSION for name, module in _MODULES.items()}
"""File name endings by format, without the dot."""

WHISPERX_ALL = ("txt", "vtt", "srt", "tsv", "json")
"""What WhisperX's ``--output_format all`` stands for."""


def write_files(
    transcript: Transcript,
    out_dir: Path,
    stem: str,
    formats: Iterable[str],
    overwrite: bool = False,
    subtitles: SubtitleOptions | None = None,
) -> list[OutputFile]:
    """Writes ``out_dir/stem.ext`` for each format; a file appears whole or not at all.

    Every text is made before the first file is touched. Raises :class:`InvalidArgument` for an unknown format
    and for a file that is there already unless ``overwrite``, :class:`OutputFailed` where the folder cannot be
    written to.
    """
    texts = {name: render(transcript, name, subtitles) for name in formats}
    targets = {name: out_dir / f"{stem}.{EXTENSIONS[name]}" for name in texts}
    try:
        out_dir.mkdir(parents=True, exist_ok=True)
        for name, target in targets.items():
            _put(target, texts[name].encode("utf-8"), overwrite)
    except OSError as error:
        raise OutputFailed(
            f"cannot write to {out_dir}: {error.strerror}", hint="name a folder that can be written to"
        ) from None
    return [
        OutputFile(format=name, path=str(targets[name]), bytes=len(texts[name].encode("utf-8")))
        for name in texts
    ]


def render(transcript: Transcript, name: str, subtitles: SubtitleOptions | None = None) -> str:
    """The transcript in the format ``name``. Raises :class:`InvalidArgument` for an unknown one."""
    if name not in FORMATS:
        raise InvalidArgument(f"there is no format {name!r}", hint=f"choose one of {', '.join(FORMATS)}")
    write = FORMATS[name]
    if name in ("srt", "vtt") and subtitles is not None:
        write = partial(write, options=subtitles)
    return write(transcript)


def _put(target: Path, content: bytes, overwrite: bool) -> None:
    """Written beside its place and moved there.

    Raises :class:`InvalidArgument` where a file is and ``overwrite`` is off.
    """
    part = target.parent / f".{secrets.token_hex(8)}.part"
    try:
        with part.open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        if overwrite:
            part.replace(target)
        else:
            _move_to_free(part, target)
    finally:
        part.unlink(missing_ok=True)


def _move_to_free(part: Path, target: Path) -> None:
    try:
        os.link(part, target)
    except OSError:  # a file is there, or the file system has no hard links
        if target.exists():
            raise InvalidArgument(
                f"{target} exists already", hint="name another folder, or allow overwriting"
            ) from None
        part.replace(target)
