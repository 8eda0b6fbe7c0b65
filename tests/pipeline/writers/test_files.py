"""Result files appear whole or not at all; the readable formats show speech as plain text."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pipeline import writers
from schemas.errors import InvalidArgument, OutputFailed
from schemas.transcript import Media, Segment, Speaker, Transcript

TRANSCRIPT = Transcript(
    media=Media(path="/recordings/weekly *call*.opus", duration_s=3725.4),
    language="en",
    segments=(
        Segment(id=0, start=0.0, end=2.5, text=" Good morning.", speaker="SPEAKER_00", speaker_name="Maya"),
        Segment(id=1, start=2.6, end=4.0, text=" Let's start.", speaker="SPEAKER_00", speaker_name="Maya"),
        Segment(id=2, start=9.0, end=9.5, text=" Right.", speaker="SPEAKER_00", speaker_name="Maya"),
        Segment(id=3, start=3601.9, end=3604.0, text=" # <b>Hi</b> [x](y)\n1. ok", speaker="SPEAKER_01"),
    ),
    speakers=(
        Speaker(id="SPEAKER_00", name="Maya", speech_s=4.4, segments=3),
        Speaker(id="SPEAKER_01", speech_s=2.1, segments=1),
    ),
)
FORMATS = ("srt", "txt", "md")


def written(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_every_format_has_its_own_file_name() -> None:
    assert len(set(writers.EXTENSIONS.values())) == len(writers.FORMATS)


def test_files_are_written_and_described(tmp_path: Path) -> None:
    files = writers.write_files(TRANSCRIPT, tmp_path / "new" / "folder", "call", FORMATS)
    assert [file.format for file in files] == list(FORMATS)
    for file in files:
        path = Path(file.path)
        assert path.read_text("utf-8") == writers.render(TRANSCRIPT, file.format)
        assert path.stat().st_size == file.bytes
    assert written(tmp_path / "new" / "folder") == {"call.srt", "call.txt", "call.md"}


def test_a_file_that_is_there_is_kept_unless_overwriting(tmp_path: Path) -> None:
    (tmp_path / "call.txt").write_text("mine")
    with pytest.raises(InvalidArgument, match="exists already"):
        writers.write_files(TRANSCRIPT, tmp_path, "call", ["txt"])
    assert (tmp_path / "call.txt").read_text() == "mine"
    assert written(tmp_path) == {"call.txt"}
    writers.write_files(TRANSCRIPT, tmp_path, "call", ["txt"], overwrite=True)
    assert (tmp_path / "call.txt").read_text() != "mine"


def test_without_hard_links_a_file_that_is_there_is_kept_too(tmp_path: Path, monkeypatch) -> None:
    def refused(*_: object) -> None:
        raise PermissionError("no links here")

    monkeypatch.setattr(os, "link", refused)
    writers.write_files(TRANSCRIPT, tmp_path, "call", ["txt"])
    with pytest.raises(InvalidArgument, match="exists already"):
        writers.write_files(TRANSCRIPT, tmp_path, "call", ["txt"])
    assert written(tmp_path) == {"call.txt"}


def test_a_failure_half_way_leaves_no_part_of_a_file(tmp_path: Path, monkeypatch) -> None:
    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OutputFailed, match="No space left"):
        writers.write_files(TRANSCRIPT, tmp_path, "call", FORMATS)
    assert written(tmp_path) == set()


def test_an_unknown_format_writes_nothing(tmp_path: Path) -> None:
    with pytest.raises(InvalidArgument, match="docx"):
        writers.write_files(TRANSCRIPT, tmp_path, "call", ["txt", "docx"])
    assert written(tmp_path) == set()


def test_a_folder_that_is_a_file_is_a_coded_error(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("")
    with pytest.raises(OutputFailed) as caught:
        writers.write_files(TRANSCRIPT, tmp_path / "out", "call", ["txt"])
    assert caught.value.code == "output_failed"


def test_text_is_a_line_per_segment_with_time_and_speaker() -> None:
    assert writers.render(TRANSCRIPT, "text").splitlines() == [
        "[00:00:00] Maya: Good morning.",
        "[00:00:02] Maya: Let's start.",
        "[00:00:09] Maya: Right.",
        "[01:00:01] SPEAKER_01: # <b>Hi</b> [x](y) 1. ok",
    ]


def test_minutes_have_a_heading_per_turn_and_a_paragraph_per_stretch() -> None:
    assert writers.render(TRANSCRIPT, "md") == (
        "# weekly \\*call\\*\n\n"
        "01:02:05 · language en\n\n"
        "| Speaker | Speaks for |\n|---|---|\n| Maya | 00:00:04 |\n| SPEAKER\\_01 | 00:00:02 |\n\n"
        "### Maya · 00:00:00\n\nGood morning. Let's start.\n\nRight.\n\n"
        "### SPEAKER\\_01 · 01:00:01\n\n\\# \\<b\\>Hi\\</b\\> \\[x\\](y) 1. ok\n"
    )


@pytest.mark.parametrize(
    "said", ["1. first", "2) second", "- item", "+ item", "# title", "> quote", "`code`"]
)
def test_speech_is_never_markup(said: str) -> None:
    segment = Segment(start=0, end=1, text=said)
    made = Transcript(media=Media(duration_s=1), segments=(segment,))
    assert f"\n{said}\n" not in writers.render(made, "md")


@pytest.mark.parametrize("name", writers.FORMATS)
def test_a_recording_without_speech_has_a_file_in_every_format(name: str) -> None:
    writers.render(Transcript(media=Media(duration_s=1)), name)


def test_a_file_has_the_rights_of_other_files(tmp_path: Path) -> None:
    (tmp_path / "other").write_text("")
    writers.write_files(TRANSCRIPT, tmp_path, "call", ["txt"])
    assert (tmp_path / "call.txt").stat().st_mode == (tmp_path / "other").stat().st_mode
