"""The JSON is WhisperX's and ours in one: both readers get what they know."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from pipeline import writers
from schemas.errors import TranscriptionError
from schemas.generate import FOLDER
from schemas.report import StageReport, Warning_
from schemas.transcript import Media, Phone, Segment, Speaker, Transcript, Word
from schemas.whisperx import from_whisperx, to_whisperx

PHONES = tuple(Phone(phone=p, start=0.5 + n / 10, end=0.6 + n / 10) for n, p in enumerate(["g", "uh", "d"]))
WORDS = (
    Word(word="Good", start=0.5, end=0.8, score=0.9, speaker="SPEAKER_00", timing="head", phones=PHONES),
    Word(word="morning.", speaker="SPEAKER_00", overlap=("SPEAKER_01",)),
)
ALIGNED = Transcript(
    media=Media(path="/a/b.wav", duration_s=3.0),
    language="en",
    segments=(
        Segment(id=0, start=0.5, end=1.5, text=" Good morning.", speaker="SPEAKER_00", words=WORDS),
        Segment(id=1, start=2.0, end=2.5, text=" Hi."),
    ),
    speakers=(Speaker(id="SPEAKER_00"),),
    stages={"asr": StageReport(backend="echo")},
    warnings=(Warning_(code="low_confidence", message="unclear"),),
)
UNALIGNED = ALIGNED.model_copy(
    update={"segments": tuple(segment.model_copy(update={"words": ()}) for segment in ALIGNED.segments)}
)


def contains(whole: object, part: object) -> bool:
    """Whether every field of ``part`` stands in ``whole``."""
    if isinstance(part, dict):
        return all(key in whole and contains(whole[key], value) for key, value in part.items())
    if isinstance(part, list):
        return len(whole) == len(part) and all(map(contains, whole, part))
    return whole == part


@pytest.mark.parametrize("transcript", [ALIGNED, UNALIGNED], ids=["aligned", "unaligned"])
def test_it_holds_every_field_that_whisperx_would_write(transcript: Transcript) -> None:
    data = json.loads(writers.render(transcript, "json"))
    assert contains(data, to_whisperx(transcript))
    assert all(("words" in segment) is bool(transcript.words) for segment in data["segments"])
    assert ("word_segments" in data) is bool(transcript.words)


@pytest.mark.parametrize("transcript", [ALIGNED, UNALIGNED], ids=["aligned", "unaligned"])
def test_it_reads_back_as_the_same_transcript(transcript: Transcript) -> None:
    assert from_whisperx(json.loads(writers.render(transcript, "json"))) == transcript


def test_without_whisperx_s_word_list_it_fits_the_committed_schema() -> None:
    data = json.loads(writers.render(ALIGNED, "json"))
    del data["word_segments"]
    schema = json.loads((FOLDER / "transcript.v1.json").read_text("utf-8"))
    assert list(Draft202012Validator(schema).iter_errors(data)) == []


def test_a_transcript_that_does_not_fit_is_refused_and_nothing_is_written(tmp_path: Path) -> None:
    broken = ALIGNED.model_copy(
        update={"segments": (ALIGNED.segments[0].model_copy(update={"start": -1.0}),)}
    )
    with pytest.raises(TranscriptionError) as caught:
        writers.write_files(broken, tmp_path, "call", ["txt", "json"])
    assert "segments[0].start" in caught.value.message
    assert "morning" not in caught.value.message
    assert list(tmp_path.iterdir()) == []
