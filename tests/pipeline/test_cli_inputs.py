"""Folders, standard input and folders that are watched."""

from __future__ import annotations

import io
import itertools
import json
import os
import sys
from pathlib import Path

import pytest

from pipeline import _cli_inputs as inputs
from pipeline import cli
from schemas.errors import FileNotReadable, InvalidArgument


def put(folder: Path, *names: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / name).write_bytes(b"RIFF")


def test_a_folder_stands_for_its_recordings_and_a_named_file_for_itself(tmp_path):
    put(tmp_path / "in", "b.MP3", "a.wav", "notes.txt", ".hidden.wav")
    put(tmp_path / "in" / "deeper", "c.wav")
    put(tmp_path, "odd.xyz")
    found = inputs.recordings([str(tmp_path / "in"), str(tmp_path / "odd.xyz")])
    assert [Path(path).name for path in found] == ["a.wav", "b.MP3", "odd.xyz"]


def test_a_folder_without_recordings_is_an_error(tmp_path):
    put(tmp_path / "in", "notes.txt")
    with pytest.raises(FileNotReadable) as caught:
        inputs.recordings([str(tmp_path / "in")])
    assert caught.value.code == "file_not_found"


class Pipe(io.TextIOWrapper):
    """Standard input with bytes in it."""

    def __init__(self, content: bytes) -> None:
        super().__init__(io.BytesIO(content))


def test_standard_input_is_copied_and_the_copy_removed(monkeypatch):
    monkeypatch.setattr(sys, "stdin", Pipe(b"RIFF" * 1000))
    with inputs.spooled(["a.wav", "-"]) as named:
        first, copy = named
        assert first == "a.wav"
        assert Path(copy).read_bytes() == b"RIFF" * 1000
        assert Path(copy).stem == "stdin"
        assert Path(copy).parent.stat().st_mode & 0o077 == 0
    assert not Path(copy).exists()


def test_standard_input_is_read_once_and_not_from_a_terminal(monkeypatch):
    with pytest.raises(InvalidArgument, match="once"), inputs.spooled(["-", "-"]):
        pass
    pipe = Pipe(b"")
    monkeypatch.setattr(pipe, "isatty", lambda: True)
    monkeypatch.setattr(sys, "stdin", pipe)
    with pytest.raises(InvalidArgument, match="piped"), inputs.spooled(["-"]):
        pass


def test_a_watched_folder_gives_a_recording_when_it_has_stopped_growing(tmp_path):
    put(tmp_path, "ready.wav")
    growing = tmp_path / "growing.wav"
    looks = itertools.count()

    def sleep(_seconds: float) -> None:
        look = next(looks)
        if look < 3:
            growing.write_bytes(b"RIFF" * (look + 1))
        elif look == 6:
            (tmp_path / "ready.wav").write_bytes(b"RIFF again")
        elif look > 8:
            raise KeyboardInterrupt

    given = []
    with pytest.raises(KeyboardInterrupt):
        for path in inputs.arriving([tmp_path], 1.0, sleep):
            given.append((Path(path).name, Path(path).stat().st_size))
    assert given == [("ready.wav", 4), ("growing.wav", 12), ("ready.wav", 10)]


@pytest.fixture
def lines(tmp_path, monkeypatch, capsys):
    """``lines(*arguments)``: the exit status and what ``--json`` said, with a model-free pipeline."""
    monkeypatch.setenv("WHISPERX_MLX_CACHE", str(tmp_path / "cache"))
    free = "--vad_method energy --backend echo --no_align --language en --verbose False -f txt"

    def run(*arguments: str):
        status = cli.main([*arguments, "--json", "-o", str(tmp_path / "out"), *free.split()])
        return status, [json.loads(line) for line in capsys.readouterr().out.splitlines()]

    return run


def test_a_folder_is_done_file_by_file_and_what_is_done_is_skipped_next_time(lines, shipped, tmp_path):
    put(tmp_path / "in", "broken.mp3")
    (tmp_path / "in" / "broken.mp3").write_text("<html>no recording</html>" * 100)
    os.link(shipped / "syn_es_meeting.flac", tmp_path / "in" / "good.flac")
    status, said = lines(str(tmp_path / "in"))
    assert status == cli.INPUT
    assert [line["status"] for line in said] == ["failed", "done"]
    assert said[0]["error"]["code"] == "not_media"
    assert said[1]["language"] == "en"
    assert said[1]["duration_s"] == pytest.approx(37.08, abs=0.1)
    assert said[1]["files"] == [str(tmp_path / "out" / "good.txt")]
    assert "text" not in json.dumps(said[1]["stages"])

    status, said = lines(str(tmp_path / "in"), "--skip_existing")
    assert [line["status"] for line in said] == ["failed", "skipped"]
    later = (tmp_path / "out" / "good.txt").stat().st_mtime + 10
    os.utime(tmp_path / "in" / "good.flac", (later, later))
    _status, said = lines(str(tmp_path / "in"), "--skip_existing")
    assert [line["status"] for line in said] == ["failed", "done"]


def test_a_recording_is_read_from_standard_input(lines, shipped, tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "stdin", Pipe((shipped / "syn_es_meeting.flac").read_bytes()))
    status, said = lines("-")
    assert status == cli.OK, said
    assert said[0]["files"] == [str(tmp_path / "out" / "stdin.txt")]


def test_watching_needs_a_folder(lines, shipped):
    status, said = lines(str(shipped / "syn_es_meeting.flac"), "--watch")
    assert (status, said) == (cli.USAGE, [])
