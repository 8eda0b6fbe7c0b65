"""Other programs' transcripts, one file per format, ``read(text) -> Transcript``: the mirror of the writers.

A transcript without times (a plain text) has segments that begin and end at 0: :func:`is_untimed`. Aligning it
means to find it in the recording first.

Nothing of what is said gets into an error; a line number does.
"""

from __future__ import annotations

import codecs
from pathlib import Path
from types import MappingProxyType

from pipeline.readers import aud, ctm, json, srt, tsv, txt, vtt
from schemas.errors import InvalidArgument, InvalidTranscript
from schemas.transcript import Transcript
from schemas.whisperx import read_bytes

__all__ = ["FORMATS", "format_of", "is_untimed", "read", "read_file"]

MAX_CHARACTERS = 16 * 1024 * 1024
"""Of any format but JSON: far more than is said in a day, with a time at every word."""

_MODULES = {"json": json, "srt": srt, "vtt": vtt, "ctm": ctm, "tsv": tsv, "aud": aud, "txt": txt}
FORMATS = MappingProxyType({name: module.read for name, module in _MODULES.items()})
_BOMS = ((codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))
_HEAD = 4096  # characters that tell a format


def read_file(path: str | Path, format: str | None = None) -> Transcript:
    """The transcript in a file. The format shows in the file itself, and in its name.

    Raises :class:`schemas.errors.FileNotReadable`, :class:`InvalidTranscript` with the line that is wrong, and
    :class:`InvalidArgument` for an unknown ``format``.
    """
    return read(decoded(read_bytes(Path(path))), format, name=Path(path).name)


def read(text: str, format: str | None = None, *, name: str = "") -> Transcript:
    """The transcript in a text; ``format`` is one of :data:`FORMATS`, none finds out.

    Raises as :func:`read_file` does.
    """
    if format is not None and format not in FORMATS:
        raise InvalidArgument(
            f"there is no transcript format {format!r}", hint=f"choose one of {', '.join(FORMATS)}"
        )
    text = text.removeprefix("\ufeff")
    chosen = format or format_of(text, name)
    if chosen != "json":
        _check(text)
    return FORMATS[chosen](text)


def is_untimed(transcript: Transcript) -> bool:
    """Whether there is text whose place in the recording nobody says."""
    said = [segment for segment in transcript.segments if segment.text.strip()]
    return bool(said) and not any(segment.end > 0 for segment in said)


def format_of(text: str, name: str = "") -> str:
    """The format that the beginning of a text shows, or else its file's name; plain text if neither does."""
    head = text[:_HEAD]
    suffix = Path(name).suffix.lower().lstrip(".")
    named = suffix if suffix in FORMATS and suffix != "txt" else None
    for chosen in (named, "vtt", "json", "tsv", "srt", "aud", "ctm"):
        if chosen is not None and _MODULES[chosen].is_like(head):
            return chosen
    return named or "txt"


def decoded(raw: bytes) -> str:
    """Bytes of a text file: UTF-8, or what its byte order mark says. Raises :class:`InvalidTranscript`."""
    encoding = next((name for mark, name in _BOMS if raw.startswith(mark)), "utf-8")
    try:
        return raw.decode(encoding)
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise InvalidTranscript(
            f"line {line}: byte {error.start} is not {encoding.upper().removesuffix('-SIG')}",
            hint="save the transcript as UTF-8",
        ) from None


def _check(text: str) -> None:
    if len(text) > MAX_CHARACTERS:
        raise InvalidTranscript(
            f"the transcript has more than {MAX_CHARACTERS} characters", hint="cut it in parts"
        )
    at = text.find("\0")
    if at >= 0:
        line = text.count("\n", 0, at) + 1
        raise InvalidTranscript(f"line {line}: it holds a null character", hint="is it a text file?")
