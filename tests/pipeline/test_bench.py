"""`whisperx-mlx bench`: what its table and its plot say, what it refuses before it measures, and a real run."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from pipeline import bench, bench_transcribe, cli, word_errors
from pipeline._bench_plot import Panel, draw
from pipeline.bench_transcribe import Row

MEETING = Path(__file__).parents[1] / "data" / "syn_en_meeting_a.opus"
SPOKEN = "Good morning everyone, thanks for joining. It's Tuesday."


def row(system: str, seconds: float, text: str = SPOKEN, **fields) -> Row:
    how = {"model": "base", "device": "cpu", "precision": "int8", "language": "en", "peak_mb": 512.4}
    return Row(system, text=text, seconds=seconds, audio_s=60.0, **how | fields)


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_the_table_has_speed_memory_and_word_errors():
    rows = [
        row("mlx", 4.0, device="metal", precision="float16", gpu_mb=800.2),
        row("faster-whisper", 12.0, "Good morning, thanks four joining. It's a Tuesday."),
        Row("mlx-whisper", failed="no weights"),
    ]
    lines = bench_transcribe.table(rows, SPOKEN).splitlines()
    assert {line.count("|") for line in lines} == {8}
    assert cells(lines[2]) == [
        *("mlx", "base", "metal, float16", "4.00", "15.0", "512, GPU 800"),
        "0.0% (0 wrong, 0 left out, 0 too many of 9)",
    ]
    assert cells(lines[3])[-1] == "33.3% (1 wrong, 1 left out, 1 too many of 9)"
    assert "no weights" in lines[4]
    assert "word error" not in bench_transcribe.table(rows, None)


def test_different_models_are_called_different():
    alike = bench_transcribe.table([row("mlx", 1.0), row("faster-whisper", 1.0)], None)
    other = bench_transcribe.table([row("mlx", 1.0), row("faster-whisper", 1.0, model="small")], None)
    assert "models differ" in other
    assert "models differ" not in alike


@pytest.mark.parametrize(("ending", "head"), [("svg", b"<?xml"), ("png", b"\x89PNG")])
def test_the_plot_is_a_picture_of_every_panel(tmp_path, ending, head):
    panels = [Panel("speed", (("mlx", 15.0), ("faster-whisper", 5.0))), Panel("errors", (("mlx", 3.21),))]
    draw(panels, "a machine", tmp_path / "new" / f"plot.{ending}")
    written = (tmp_path / "new" / f"plot.{ending}").read_bytes()
    assert written.startswith(head)
    if ending == "svg":
        text = written.decode()
        assert all(said in text for said in ("faster-whisper", "15.0", "3.2", "speed", "errors"))


@pytest.mark.parametrize(
    ("typed", "status", "says"),
    [
        ("nowhere.wav", cli.INPUT, "file_not_found"),
        (f"{MEETING} --reference nowhere.txt", cli.INPUT, "file_not_found"),
        (f"{MEETING} --reference empty.json", cli.USAGE, "holds no words"),
        (f"{MEETING} --rttm two.rttm", cli.USAGE, "has no turns of syn_en_meeting_a"),
        (f"{MEETING} --plot plot.docx", cli.USAGE, "invalid_argument"),
        (f"{MEETING} --beam-size 99", cli.USAGE, "beam_size"),
    ],
)
def test_what_cannot_be_measured_is_said_before_anything_is(
    typed, status, says, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty.json").write_text('{"segments": []}')
    line = "SPEAKER {} 1 0.0 1.0 <NA> <NA> A <NA> <NA>\n"
    (tmp_path / "two.rttm").write_text(line.format("one") + line.format("two"))
    monkeypatch.setattr(subprocess, "run", None)
    assert cli.main(["bench", *typed.split()]) == status
    assert says in capsys.readouterr().err


@pytest.mark.parametrize("typed", ["", "a.wav --systems fast", "a.wav --runs 0"])
def test_wrong_usage_is_status_2(typed):
    with pytest.raises(SystemExit) as left:
        cli.main(["bench", *typed.split()])
    assert left.value.code == cli.USAGE


def test_without_the_extra_the_next_step_is_named(monkeypatch):
    monkeypatch.setattr(word_errors, "find_spec", lambda name: None)
    with pytest.raises(Exception, match="jiwer") as caught:
        bench._reference(str(MEETING))
    assert caught.value.code == "backend_unavailable"
    assert "[bench]" in caught.value.hint


def test_a_system_that_fails_is_a_line_of_the_table(tmp_path, monkeypatch):
    from schemas.options import Options

    monkeypatch.setenv("WHISPERX_MLX_CACHE", str(tmp_path))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    asked = Options.from_flat(model="somebody/whisper-of-nowhere")
    (failed,) = bench_transcribe.compare(str(MEETING), ("faster-whisper",), asked, 1)
    assert "somebody/whisper-of-nowhere" in failed.failed


@pytest.mark.slow
def test_a_minute_of_a_meeting_is_measured(starter_weights, tmp_path, monkeypatch, capsys):
    """A short piece of one, each system in a process of its own; text and times are checked, not how fast."""
    starter_weights("whisper", "base", "ctranslate2")
    clip = cut(tmp_path / "clip.wav", 49.0, 53.5)
    (tmp_path / "clip.txt").write_text("I would say Thursday afternoon. Tomás is working on it right now.")
    monkeypatch.chdir(tmp_path)
    argv = [
        "bench",
        clip,
        "--reference",
        "clip.txt",
        "--model",
        "base",
        "--language",
        "en",
        "--beam_size",
        "1",
    ]
    assert cli.main(argv) == cli.OK
    out = capsys.readouterr().out
    lines = [cells(line) for line in out.splitlines() if line.startswith("|")]
    assert [line[0] for line in lines[2:]] == ["mlx", "faster-whisper"]
    for line in lines[2:]:
        assert line[1] == "base"
        assert float(line[3]) > 0
        assert 100 < float(line[5].partition(",")[0]) < 4000
        assert float(re.match(r"[\d.]+", line[6])[0]) < 25
    assert "0.1 minutes" in out
    assert (tmp_path / "clip-bench.svg").stat().st_size > 1000


def cut(target: Path, start: float, end: float) -> str:
    import wave

    from pipeline.audio import load_waveform

    samples = load_waveform(MEETING)[round(start * 16_000) : round(end * 16_000)]
    with wave.open(str(target), "wb") as file:
        file.setparams((1, 2, 16_000, 0, "NONE", ""))
        file.writeframes((samples * 32767).astype("<i2").tobytes())
    return str(target)


@pytest.mark.parametrize("why", ["raise RuntimeError('no such thing')", "import os; os.abort()"])
def test_a_process_that_dies_says_how(why, tmp_path, monkeypatch):
    from pipeline._bench_process import measured

    (tmp_path / "dying.py").write_text(why)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    failed = measured("dying")["failed"]
    assert "no such thing" in failed or "-6" in failed


def test_peak_memory_is_this_process_s_own():
    """Not that of a parent that had more."""
    code = "from pipeline._bench_process import peak_mb; print(peak_mb())"
    held = bytearray(b"x") * 400_000_000
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert len(held) / 1e6 > json.loads(done.stdout) > 5
