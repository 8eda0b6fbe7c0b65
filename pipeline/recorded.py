"""When a recording was made, by what its container says."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime

from schemas.errors import TranscriptionError
from schemas.jobs import FileIdentity

_EARLIEST = datetime(1980, 1, 1, tzinfo=UTC)  # clocks that were never set say 1904 or 1970


def recorded_at(path: str, identity: FileIdentity | None = None) -> str | None:
    """The time at which the recording begins, ISO 8601 to the second; none where the container has none.

    With the recorder's own offset where it is written down, else as this computer's local time: containers
    store UTC, or a wall clock without saying whose. A file that cannot be opened has none; that is the decoder's
    error.
    """
    from pipeline.media import open_media

    try:
        with open_media(path, identity) as media:
            return from_tags({**media.stream.metadata, **media.container.metadata})
    except TranscriptionError:
        return None


def from_tags(tags: Mapping[str, str]) -> str | None:
    """As :func:`recorded_at`, from FFmpeg's tags: QuickTime's, MP4's and Matroska's, WAV's ``bext``."""
    named = {name.lower(): value.strip() for name, value in tags.items()}
    for text in _candidates(named):
        try:
            moment = datetime.fromisoformat(text)
        except ValueError:
            continue
        local = moment.astimezone()
        if _EARLIEST <= local <= datetime.now().astimezone():
            return (local if moment.tzinfo in (None, UTC) else moment).isoformat(timespec="seconds")
    return None


def _candidates(tags: Mapping[str, str]) -> Iterator[str]:
    """Best first; a day without a time of day says too little."""
    yield tags.get("com.apple.quicktime.creationdate", "")
    yield tags.get("creation_time", "")
    yield f"{tags.get('date', '')}T{tags.get('creation_time', '')}"  # bext: the day and the time apart
    if "T" in tags.get("date", "") or " " in tags.get("date", ""):
        yield tags["date"]
