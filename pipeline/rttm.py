"""Speaker turns as RTTM (NIST's Rich Transcription Time Marked), read and written.

One line is one turn: ``SPEAKER file channel start duration <NA> <NA> speaker <NA> <NA>``, in seconds. The format
separates by spaces, so names are written with underscores instead.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

from schemas.diarization import SpeakerTurn
from schemas.errors import InvalidTranscript


def write(turns: Iterable[SpeakerTurn], name: str) -> str:
    """RTTM text of the turns of the recording ``name``, in order of their start; times to the millisecond."""
    lines = [
        f"SPEAKER {_token(name)} 1 {turn.start:.3f} {turn.end - turn.start:.3f}"
        f" <NA> <NA> {_token(turn.speaker)} <NA> <NA>\n"
        for turn in sorted(turns, key=lambda turn: (turn.start, turn.end, turn.speaker))
    ]
    return "".join(lines)


def read(text: str) -> dict[str, tuple[SpeakerTurn, ...]]:
    """The turns of each recording named in an RTTM text, in order of their start.

    Lines of other types (``SPKR-INFO``, ``NOSCORE`` …) and comments (``;;``) are passed over. Raises
    :class:`InvalidTranscript` with the number of the first line that is malformed.
    """
    turns: dict[str, list[SpeakerTurn]] = {}
    for number, line in enumerate(text.splitlines(), 1):
        fields = line.split()
        if fields and fields[0] == "SPEAKER":
            name, turn = _parse(fields, number)
            turns.setdefault(name, []).append(turn)
    return {name: tuple(sorted(found, key=lambda turn: turn.start)) for name, found in turns.items()}


def _parse(fields: list[str], number: int) -> tuple[str, SpeakerTurn]:
    try:
        name, start, duration, speaker = fields[1], float(fields[3]), float(fields[4]), fields[7]
        if not (math.isfinite(start + duration) and start >= 0 and duration >= 0):
            raise ValueError
    except (IndexError, ValueError):
        raise InvalidTranscript(
            f"line {number} of the RTTM is not a speaker turn",
            hint="a line reads: SPEAKER file channel start duration <NA> <NA> speaker <NA> <NA>",
        ) from None
    return name, SpeakerTurn(start=start, end=start + duration, speaker=speaker)


def _token(name: str) -> str:
    """``name`` as one field: no white space, never empty."""
    return "_".join(name.split()) or "recording"
