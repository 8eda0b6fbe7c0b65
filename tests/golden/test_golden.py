"""Seconds of the shipped meeting through real models give the files that are kept here.

`pytest tests/golden --update-golden` writes them anew; then read the diff.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from pipeline import transcribe_diarized, writers
from schemas.errors import ModelNotFound
from schemas.transcript import Transcript

HERE = Path(__file__).parent
FORMATS = ("json", "srt", "rttm")
TIME_S = (
    0.1  # other processors round differently: a frame of the encoder is 0.02 s, of the diarization 0.017 s
)

CASES: dict[str, dict[str, Any]] = {
    "models": {
        "model": "base",
        "backend": "faster_whisper",
        "compute_type": "float32",
        "language": "en",
        "align_backend": "cross_attention",
        "diarize_backend": "pyannote",
        "num_speakers": 3,
        "end_s": 24.0,
    },
    "model_free": {
        "vad_method": "energy",
        "backend": "echo",
        "align_backend": "even",
        "diarize_backend": "one_speaker",
        "language": "en",
        "end_s": 20.0,
    },
}


@pytest.fixture(scope="module", params=CASES)
def made(request: pytest.FixtureRequest, shipped: Path, tmp_path_factory) -> tuple[str, Transcript]:
    """A case's name and its transcript, made without any stage cache."""
    recording = shipped / "syn_en_meeting_a.opus"
    try:
        return request.param, transcribe_diarized(recording, force=True, **CASES[request.param])
    except ModelNotFound as error:
        pytest.skip(f"starter weights are missing (`make weights`): {error.message}")


@pytest.mark.parametrize("name", FORMATS)
def test_the_files_are_those_that_are_kept(name: str, made: tuple[str, Transcript], request) -> None:
    case, transcript = made
    kept = HERE / f"{case}.{name}"
    text = writers.render(anywhere(transcript), name)
    if name == "json":
        text = json.dumps(json.loads(text), indent=1, ensure_ascii=False) + "\n"
    if request.config.getoption("--update-golden"):
        kept.write_text(text, "utf-8")
    assert differences(parts(text), parts(kept.read_text("utf-8"))) == []


def anywhere(transcript: Transcript) -> Transcript:
    """Without what differs from machine to machine: where the file lies, how long the stages took, scores.

    Words' scores come from 8-bit weights, whose products depend on the processor's instructions. A word is marked
    as overlapped from half of it on, so a frame's difference, as between one thread and two, can make a mark.
    """
    stages = {
        name: report.model_copy(update={"seconds": 0.0, "rtfx": None, "cached": False})
        for name, report in transcript.stages.items()
    }
    media = transcript.media.model_copy(update={"path": Path(transcript.media.path).name, "sha256": None})
    segments = tuple(
        segment.model_copy(
            update={
                "words": tuple(
                    word.model_copy(update={"score": None, "overlap": None}) for word in segment.words
                )
            }
        )
        for segment in transcript.segments
    )
    return transcript.model_copy(
        update={"stages": stages, "media": media, "segments": segments, "warnings": ()}
    )


def parts(text: str) -> list[str | float]:
    """Text cut at its numbers, subtitles' times as seconds."""
    seconds = re.sub(
        r"(\d\d):(\d\d):(\d\d),(\d{3})",
        lambda m: f"{int(m[1]) * 3600 + int(m[2]) * 60 + int(m[3]) + int(m[4]) / 1000:.3f}",
        text,
    )
    pieces = re.split(r"(\d+\.\d+(?:e-?\d+)?)", seconds)
    return [float(piece) if i % 2 else piece for i, piece in enumerate(pieces)]


def differences(found: list[str | float], kept: list[str | float]) -> list[tuple]:
    """Pairs that differ by more than rounding; texts and counts must be equal."""
    if len(found) != len(kept):
        return [("numbers", len(found), len(kept))]
    return [pair for pair in zip(found, kept, strict=True) if not _near(*pair)]


def _near(one: str | float, other: str | float) -> bool:
    if isinstance(one, float) and isinstance(other, float):
        return abs(one - other) <= TIME_S
    return one == other


def test_the_comparison_sees_a_moved_word_and_a_changed_one() -> None:
    kept = "1\n00:00:01,000 --> 00:00:02,500\n[SPEAKER_00]: Good morning.\n"
    assert differences(parts(kept.replace("02,500", "02,550")), parts(kept)) == []
    assert differences(parts(kept.replace("02,500", "02,700")), parts(kept))
    assert differences(parts(kept.replace("morning", "evening")), parts(kept))
    assert differences(parts(kept.replace("SPEAKER_00", "SPEAKER_01")), parts(kept))
    assert differences(parts(kept + "0.5"), parts(kept))
