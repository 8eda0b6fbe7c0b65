"""The committed JSON Schema files are those of the models, and what leaves the models fits them."""

from __future__ import annotations

import json

import pytest
from jsonschema import Draft202012Validator

from schemas import generate
from schemas.diarization import SpeakerTurn
from schemas.jobs import Page, Progress, Result
from schemas.options import Options
from schemas.report import StageReport, Warning_
from schemas.transcript import Media, Segment, Speaker, Transcript, Word

TRANSCRIPT = Transcript(
    media=Media(path="/a/b.wav", duration_s=3.0, sha256="0" * 64),
    language="en",
    language_probability=0.98,
    segments=(
        Segment(
            start=0.5,
            end=1.5,
            text="Good morning",
            speaker="SPEAKER_00",
            words=(Word(word="Good", start=0.5, end=0.8, score=0.9, timing="ctc"), Word(word="morning")),
        ),
    ),
    speakers=(Speaker(id="SPEAKER_00", speech_s=1.0, segments=1),),
    turns=(SpeakerTurn(start=0.5, end=1.5, speaker="SPEAKER_00"),),
    stages={"asr": StageReport(backend="faster_whisper", model="base", device="cpu", seconds=0.4, rtfx=7.5)},
    warnings=(Warning_(code="no_speech", message="none"),),
)


def validator(name: str) -> Draft202012Validator:
    return Draft202012Validator(json.loads((generate.FOLDER / f"{name}.json").read_text("utf-8")))


def test_the_committed_files_are_those_of_the_models() -> None:
    assert generate.outdated() == []


def test_a_changed_a_missing_and_a_foreign_file_are_noticed(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(generate, "FOLDER", tmp_path)
    for path, text in generate.generated().items():
        path.write_text(text, "utf-8")
    assert generate.outdated() == []
    (tmp_path / "result.v1.json").write_text("{}", "utf-8")
    (tmp_path / "options.v1.json").unlink()
    (tmp_path / "stray.json").write_text("{}", "utf-8")
    assert {path.name for path in generate.outdated()} == {"result.v1.json", "options.v1.json", "stray.json"}


@pytest.mark.parametrize("name", generate.MODELS)
def test_each_file_is_a_valid_schema(name: str) -> None:
    Draft202012Validator.check_schema(validator(name).schema)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("transcript.v1", TRANSCRIPT.compact()),
        ("transcript.v1", TRANSCRIPT.model_dump(mode="json")),
        ("options.v1", Options.from_flat(language="en", num_speakers=3).compact()),
        (
            "result.v1",
            Result(
                job_id="j1",
                status="running",
                progress=Progress(stage="asr", fraction=0.5),
                segments=TRANSCRIPT.segments,
                page=Page(returned=1, total_segments=1),
            ).compact(),
        ),
    ],
)
def test_what_leaves_a_model_fits_its_schema(name: str, value: dict) -> None:
    assert list(validator(name).iter_errors(value)) == []


@pytest.mark.parametrize(
    "change",
    [
        {"unknown": 1},
        {"language_probability": 2},
        {"media": {}},
        {"segments": [{"start": -1, "end": 0, "text": ""}]},
    ],
)
def test_the_schema_refuses_what_the_model_refuses(change: dict) -> None:
    with pytest.raises(ValueError):
        Transcript.model_validate({**TRANSCRIPT.compact(), **change})
    assert list(validator("transcript.v1").iter_errors({**TRANSCRIPT.compact(), **change}))
