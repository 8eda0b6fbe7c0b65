"""A transcript from elsewhere, in any of its forms, by the library and by the command line."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from pipeline import align, cli, stages, transcribe
from schemas.errors import FileNotReadable, InvalidTranscript, StageFailed

CLIP = Path(__file__).parents[1] / "data" / "syn_es_meeting.flac"
SRT = "1\n00:00:00,500 --> 00:00:03,000\nBuenos días, Javier.\n"
HEARD = {"backend": "echo", "vad_method": "energy", "align_backend": "even"}


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("WHISPERX_MLX_CACHE", str(tmp_path / "cache"))


def words(transcript) -> list[str]:
    return [word.word for word in transcript.words]


def test_a_file_and_its_text_are_aligned_alike(tmp_path: Path) -> None:
    path = tmp_path / "x.srt"
    path.write_text(SRT)
    by_file = align(CLIP, path, align_backend="even")
    assert words(by_file) == ["Buenos", "días,", "Javier."]
    assert all(0.5 <= word.start < word.end <= 3.0 for word in by_file.words)
    assert align(CLIP, str(path), align_backend="even").segments == by_file.segments
    assert align(CLIP, SRT, format="srt", align_backend="even").segments == by_file.segments


def test_what_cannot_be_read_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FileNotReadable):
        align(CLIP, tmp_path / "nothing.srt")
    with pytest.raises(InvalidTranscript, match="line 2"):
        align(CLIP, SRT.replace("-->", "--> x"), format="srt")


def test_a_text_without_times_is_looked_for() -> None:
    """The backend `echo` says of each stretch of speech from where to where it goes."""
    lines = [s.text for s in transcribe(CLIP, no_align=True, **HEARD).segments]
    assert len(lines) == 2
    nobody = "a thing that nobody says here at all"
    found = align(CLIP, "\n".join([lines[0], nobody, lines[1]]), format="txt", **HEARD)
    assert words(found) == [*lines[0].split(), *nobody.split(), *lines[1].split()]
    again = transcribe(CLIP, **HEARD).words
    for word, heard in zip((*found.words[:4], *found.words[-4:]), again, strict=True):
        assert (word.word, word.start) == (heard.word, pytest.approx(heard.start, abs=5.0))
    assert all(word.start is not None and word.end <= 37.1 for word in found.words)
    assert {"vad", "asr", "align"} <= found.stages.keys()
    assert [(w.code, w.count) for w in found.warnings if w.code == "text_not_heard"] == [
        ("text_not_heard", 8)
    ]


def test_a_text_that_shares_nothing_is_laid_over_the_whole_recording() -> None:
    found = align(CLIP, "[A]: uno dos tres.\n[B]: cuatro cinco.", format="txt", language="es", **HEARD)
    assert words(found) == ["uno", "dos", "tres.", "cuatro", "cinco."]
    assert [word.word for s in found.segments if s.speaker == "B" for word in s.words] == ["cuatro", "cinco."]
    assert found.words[-1].end > 30
    assert found.language == "es"


def test_a_text_without_times_needs_no_recognition(monkeypatch) -> None:
    def broken(*_args) -> None:
        raise StageFailed("no backend of the stage 'asr' is installed", code="backend_unavailable")

    monkeypatch.setattr(stages, "transcribe", broken)
    found = align(CLIP, "uno dos tres", format="txt", **HEARD)
    assert words(found) == ["uno", "dos", "tres"]
    assert found.warnings[0].code == "stage_skipped"


def test_the_command_line_aligns_a_transcript(tmp_path: Path, capsys) -> None:
    clip = tmp_path / "clip.flac"
    shutil.copy(CLIP, clip)
    (tmp_path / "clip.srt").write_text(SRT)
    given = [str(clip), str(tmp_path / "clip.srt")]
    flags = ["--align_backend", "even", "-f", "json,srt", "--output_dir"]
    assert cli.main(["align", *given, *flags, str(tmp_path / "out")]) == cli.OK
    result = json.loads((tmp_path / "out" / "clip.json").read_text())
    assert [word["word"] for word in result["segments"][0]["words"]] == ["Buenos", "días,", "Javier."]
    assert cli.main(["align", *given, *flags, str(tmp_path)]) == cli.USAGE
    assert (tmp_path / "clip.srt").read_text() == SRT
    assert "would replace" in capsys.readouterr().err


def test_a_transcript_belongs_to_one_recording(tmp_path: Path, capsys) -> None:
    for name in ("a.flac", "b.flac"):
        shutil.copy(CLIP, tmp_path / name)
    assert cli.main(["align", str(tmp_path), str(tmp_path / "a.srt")]) == cli.USAGE
    assert "one recording" in capsys.readouterr().err


@pytest.mark.parametrize("argv", [["a.wav"], ["a.wav", "b.srt", "c.srt"], ["a.wav", "b.srt", "--diarize"]])
def test_the_command_line_wants_one_recording_and_one_transcript(argv: list[str], capsys) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main(["align", *argv])
    assert ended.value.code == cli.USAGE
    assert "one AUDIO and one TRANSCRIPT" in capsys.readouterr().err
