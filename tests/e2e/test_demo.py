"""`make demo` shows and leaves what it promises: a real session over stdio with the real worker."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import wave
from pathlib import Path

import pytest

from pipeline.audio import open_recording
from schemas.options import AudioOptions
from schemas.whisperx import from_whisperx

ROOT = Path(__file__).parent.parent.parent


@pytest.fixture
def clip(shipped: Path, tmp_path: Path) -> Path:
    """The first 30 seconds of the meeting, of three people."""
    recording = open_recording(
        str(shipped / "syn_en_meeting_a.opus"),
        AudioOptions(end_s=30.0),
        workdir=tmp_path,
        identity=None,
        progress=lambda _fraction: None,
    )
    path = tmp_path / "meeting.wav"
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16_000)
        file.writeframes((recording.mapped() * 32767).astype("<i2").tobytes())
    return path


@pytest.mark.slow
def test_the_demo_prints_the_meeting_and_leaves_its_files(clip: Path, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / "examples" / "demo.py"), str(clip), str(tmp_path / "out")],
        capture_output=True,
        text=True,
        env={**os.environ, "COLUMNS": "200"},
        cwd=tmp_path,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr
    for words in (
        "Thanks for joining",
        "SPEAKER_01",
        "Word by word",
        "How it was made",
        "asr",
        "diarize",
        "Files",
    ):
        assert words in done.stdout
    files = {path.suffix: path for path in (tmp_path / "out").iterdir()}
    assert files.keys() == {".json", ".srt", ".vtt", ".txt", ".rttm"}
    transcript = from_whisperx(json.loads(files[".json"].read_text("utf-8")))
    assert len(transcript.speakers) >= 2
    assert all(word.start is not None for word in transcript.words)
    assert files[".srt"].read_text("utf-8").startswith("1\n00:00:0")
    assert files[".vtt"].read_text("utf-8").startswith("WEBVTT")
    assert "SPEAKER meeting 1 " in files[".rttm"].read_text("utf-8")
