"""Recordings with references: those that ship with the tests, and a folder of more where there is one."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

SHIPPED = Path(__file__).parent / "data"
WHY_ABSENT = (
    "the folder of recordings (WHISPERX_MLX_AUDIO, else ../shared/audio beside the checkout) is absent"
)


def shared_folder() -> Path | None:
    """The folder that ``WHISPERX_MLX_AUDIO`` names, else ``../shared/audio`` beside the checkout; or none."""
    named = os.environ.get("WHISPERX_MLX_AUDIO")
    folder = Path(named) if named else Path(__file__).parents[2] / "shared" / "audio"
    return folder if (folder / "manifest.jsonl").is_file() else None


def entries(folder: Path | None, *categories: str) -> Iterator[dict]:
    """The lines of a folder's manifest, all or those of some categories; nothing without a folder."""
    if folder is None:
        return
    for line in (folder / "manifest.jsonl").read_text("utf-8").splitlines():
        entry = json.loads(line)
        if not categories or entry["category"] in categories:
            yield entry


def turns(rttm: Path) -> list[tuple[float, float]]:
    """Start and end of every turn in an RTTM file, in seconds."""
    fields = (line.split() for line in rttm.read_text("utf-8").splitlines())
    return [(float(f[3]), float(f[3]) + float(f[4])) for f in fields if f and f[0] == "SPEAKER"]
