"""A real Ray cluster on this machine, of several processes; one of them is killed on the way."""

from __future__ import annotations

import json
import os
import threading
import time

import psutil
import pytest

from pipeline import cli

pytest.importorskip("ray")

FREE = "--vad_method energy --backend echo --align_backend even --diarize --diarize_backend one_speaker"


@pytest.fixture
def folder(tmp_path, shipped, monkeypatch):
    """Twelve recordings, two of them broken, and a cache of its own for the cluster's processes."""
    monkeypatch.setenv("WHISPERX_MLX_CACHE", str(tmp_path / "cache"))
    (tmp_path / "in").mkdir()
    for number in range(10):
        os.link(shipped / "syn_es_meeting.flac", tmp_path / "in" / f"meeting{number}.flac")
    for number in range(2):
        (tmp_path / "in" / f"broken{number}.mp3").write_text("<html>no recording</html>" * 100)
    return tmp_path


def test_a_process_is_killed_and_no_recording_is_lost_or_done_twice(folder, capsys):
    killed: list[int] = []
    hunter = threading.Thread(target=lambda: killed.append(kill_one_at_work()), daemon=True)
    hunter.start()
    argv = [str(folder / "in"), "--ray", "--workers", "2", "--json", "-o", str(folder / "out"), "-f", "json"]
    status = cli.main([*argv, *FREE.split(), "--force", "--language", "es", "--verbose", "False"])
    hunter.join(10)
    reports = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert status == cli.INPUT  # of the broken ones
    assert killed, "no process was found at work"
    assert [report["file"] for report in reports] == sorted(map(str, (folder / "in").iterdir()))
    assert [r["error"]["code"] for r in reports if r["status"] == "failed"] == ["not_media"] * 2
    assert sorted(path.name for path in (folder / "out").iterdir()) == [f"meeting{n}.json" for n in range(10)]
    workers = {report["worker"].rpartition(":")[2] for report in reports}  # of broken ones, too: they count
    assert len(workers - {str(killed[0])}) == 2  # the one that was left, and the one in the dead one's place
    left = {path.name.partition("-")[0] for path in (folder / "cache" / "work").iterdir()}
    assert left <= {str(killed[0])}, (left, killed, workers)


def kill_one_at_work() -> int:
    """The process number of a worker that was killed while it transcribed."""
    mine = psutil.Process()
    for _ in range(6000):
        for process in mine.children(recursive=True):
            try:
                if "Worker.transcribe" in " ".join(process.cmdline()):
                    process.kill()
                    return process.pid
            except psutil.Error:
                continue
        time.sleep(0.01)
    raise AssertionError("nothing to kill")


@pytest.mark.parametrize("address", ["127.0.0.1:1", "ray://127.0.0.1:1"])
def test_a_cluster_that_is_not_there_is_an_error(folder, capsys, address):
    argv = [str(folder / "in"), "--ray", address, "-o", str(folder / "out"), *FREE.split()]
    assert cli.main(argv) == cli.SETUP
    assert "backend_unavailable" in capsys.readouterr().err


@pytest.mark.parametrize("typed", ["--ray --watch", "--workers 2"])
def test_what_does_not_go_together_is_refused(typed, folder):
    with pytest.raises(SystemExit) as caught:
        cli.main([str(folder / "in"), *typed.split()])
    assert caught.value.code == cli.USAGE
