"""What `whisperx-mlx bench FILE --diarize` compares, and how far apart it says two answers are."""

import pytest

from pipeline import bench_diarize
from pipeline.bench_diarize import Row, Way
from pipeline.plan import Machine
from schemas.diarization import SpeakerTurn
from schemas.options import Options

BACKENDS = frozenset(f"diarize/{name}" for name in ("mlx", "torch", "pyannote"))


def turn(start, end, speaker="SPEAKER_00"):
    return SpeakerTurn(start=start, end=end, speaker=speaker)


def names(machine) -> list[str]:
    return [way.name for way in bench_diarize.ways(machine)]


def test_a_mac_compares_metal_with_pyannote_on_both_devices():
    mac = Machine("darwin", "arm64", 10, 32.0, "metal", 32.0, mlx_on_gpu=True, backends=BACKENDS)
    assert names(mac) == [
        "mlx on metal, exact",
        "mlx on metal, fast",
        "torch on cpu, fast",
        "pyannote on mps",
        "pyannote on cpu",
    ]


def test_what_is_not_installed_is_left_out():
    bare = Machine("linux", "x86_64", backends=frozenset({"diarize/mlx"}))
    assert names(bare) == ["mlx on cpu, exact", "mlx on cpu, fast"]


def test_the_table_says_how_far_answers_are_from_the_last():
    rows = [
        Row(Way("mlx", "cpu", "fast"), 2.0, 3.0, 512.4, (turn(0, 8),)),
        Row(Way("torch", "cpu"), failed="no weights"),
        Row(Way("pyannote", "cpu"), 4.0, 4.0, turns=(turn(0, 10, "A"),)),
    ]
    lines = bench_diarize.table(rows, 20.0).splitlines()[2:]
    assert lines[0] == "| mlx on cpu, fast | 2.00 | 10.0 | 3.00 | 512 | 1 | 20.0% |"
    assert "no weights" in lines[1]
    assert lines[2].endswith("| 1 | 0.0% |")


def test_labels_do_not_matter_and_nobody_is_no_division_by_zero():
    one, other = (turn(0, 5, "A"), turn(5, 9, "B")), (turn(0, 5, "B"), turn(5, 9, "A"))
    assert bench_diarize.der(one, other) == 0
    assert "–" in bench_diarize.table([Row(Way("mlx", "cpu"), 1.0, 1.0)], 3.0)


def test_with_the_truth_every_answer_is_measured_by_it():
    rows = [
        Row(Way("mlx", "cpu"), 2.0, 3.0, turns=(turn(0, 8),)),
        Row(Way("torch", "cpu"), failed="no weights"),
    ]
    lines = bench_diarize.table(rows, 20.0, truth=(turn(0, 10, "Ana"),)).splitlines()
    assert lines[0].endswith("| DER |")
    assert lines[2].endswith("| 0.0% | 20.0% |")
    assert {line.count("|") for line in lines} == {9}
    speed, wrong = bench_diarize.panels(rows, 20.0, (turn(0, 10, "Ana"),))
    assert speed.bars == (("mlx on cpu", 10.0),)
    assert wrong.bars == (("mlx on cpu", pytest.approx(20.0)),)


@pytest.mark.slow
def test_a_recording_is_compared(shipped, tmp_path):
    import wave

    from pipeline.audio import load_waveform

    clip = load_waveform(shipped / "syn_en_meeting_a.opus")[39 * 16_000 : 45 * 16_000]
    with wave.open(str(tmp_path / "clip.wav"), "wb") as file:
        file.setparams((1, 2, 16_000, 0, "NONE", ""))
        file.writeframes((clip * 32767).astype("<i2").tobytes())
    machine = Machine("linux", "x86_64", backends=frozenset({"diarize/torch", "diarize/pyannote"}))
    rows = list(bench_diarize.compare(str(tmp_path / "clip.wav"), machine, Options()))
    if any(row.failed for row in rows):
        pytest.skip(f"starter weights are missing: {rows[0].failed}")
    assert [row.way.backend for row in rows] == ["torch", "pyannote"]
    assert all(row.turns and row.cpu_s > 0 and row.peak_mb > 100 for row in rows)
    truth = (turn(0, 2.232, "Priya"), turn(2.532, 6, "Daniel"))
    assert bench_diarize.der(truth, rows[0].turns) < 0.15
    assert bench_diarize.der(truth, rows[1].turns) < 0.5  # takes them for one
