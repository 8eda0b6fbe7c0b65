"""The process that holds the models, spoken to as the server does it."""

import fcntl
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from schemas.jobs import JobRequest
from schemas.transcript import Transcript

FAKE_WORKER = Path(__file__).parents[1] / "mcp_server" / "fake_worker.py"
ROOT = Path(__file__).parents[2]


class WorkerUnderTest:
    def __init__(self, tmp_path, command=(sys.executable, str(FAKE_WORKER))):
        self.folder = tmp_path
        self.stderr = tmp_path / "stderr"
        env = {**os.environ, "PYTHONPATH": str(ROOT), "WHISPERX_MLX_CACHE": str(tmp_path / "cache")}
        with self.stderr.open("wb") as err:
            self.process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=err,
                env=env,
                start_new_session=True,
            )

    def send(self, command):
        self.process.stdin.write(json.dumps(command).encode() + b"\n")
        self.process.stdin.flush()

    def start(self, name, job_id="j", operation="transcribe"):
        """Begins a job; returns where its result will be."""
        output = self.folder / f"{job_id}.json"
        request = JobRequest(operation=operation, path=str(self.folder / f"{name}.wav"))
        command = {
            "job_id": job_id,
            "request": request.model_dump(mode="json"),
            "output": str(output),
            "lock": str(self.folder / "lock"),
        }
        self.send({"run": command})
        return output

    def event(self):
        line = self.process.stdout.readline()
        return json.loads(line) if line else None

    def until(self, *kinds):
        """Events up to the first of one of the kinds (the last one in the list)."""
        seen = []
        while not seen or seen[-1]["event"] not in kinds:
            seen.append(self.event())
            assert seen[-1] is not None, self.stderr.read_text()
        return seen


@pytest.fixture
def worker(tmp_path):
    made = WorkerUnderTest(tmp_path)
    yield made
    made.process.kill()
    made.process.stdin.close()
    made.process.stdout.close()
    made.process.wait()


def test_a_job_reports_progress_and_leaves_its_transcript_for_the_owner_alone(worker):
    output = worker.start("steps-4")
    events = worker.until("completed")
    assert events[0] == {"event": "ready"}
    fractions = [event["fraction"] for event in events if event["event"] == "progress"]
    assert fractions == sorted(fractions)
    assert any("text" in event for event in events)
    assert len(Transcript.model_validate_json(output.read_bytes()).segments) == 4
    assert output.stat().st_mode & 0o077 == 0


def test_prints_of_libraries_and_native_code_go_to_stderr(worker):
    worker.start("steps-1")
    worker.until("completed")  # every line of stdout was JSON
    assert "a library prints this" in worker.stderr.read_text()
    assert "and native code this" in worker.stderr.read_text()


def test_the_models_stay_loaded_for_the_next_job_in_the_same_process(worker):
    worker.start("steps-1", "one")
    worker.start("steps-1", "two")
    assert worker.until("completed")[-1]["job_id"] == "one"
    assert worker.until("completed")[-1]["job_id"] == "two"


def test_a_running_job_stops_when_it_is_cancelled_and_leaves_nothing(worker):
    output = worker.start("forever")
    worker.until("progress")
    worker.send({"cancel": "j"})
    assert worker.until("failed")[-1]["error"]["code"] == "job_cancelled"
    assert not output.exists()
    worker.start("steps-1", "next")
    worker.until("completed")


def test_a_job_that_is_cancelled_before_its_turn_never_runs(worker):
    worker.send({"cancel": "j"})
    worker.start("steps-2")
    events = worker.until("failed")
    assert events[-1]["error"]["code"] == "job_cancelled"
    assert not any(event.get("stage") == "asr" for event in events)


@pytest.mark.parametrize(
    ("name", "code"),
    [("memory", "out_of_memory"), ("broken", "internal_error"), ("refused", "backend_unavailable")],
)
def test_a_failure_has_a_code_and_a_next_step_and_the_worker_goes_on(worker, name, code):
    worker.start(name)
    error = worker.until("failed")[-1]["error"]
    assert error["code"] == code
    assert error["hint"]
    worker.start("steps-1", "next")
    worker.until("completed")


def test_neither_the_error_nor_the_log_tells_what_an_unexpected_exception_says(worker):
    """A library's message may quote the recording or its name; the log has the place of the defect."""
    worker.start("broken")
    error = worker.until("failed")[-1]["error"]
    log = worker.stderr.read_text()
    assert "RuntimeError" in error["message"]
    assert "in run" in log
    for told in (json.dumps(error), log.replace(str(FAKE_WORKER), "")):
        assert "quick brown" not in told.replace('raise RuntimeError(f"{SAID} in {request.path}")', "")
        assert str(worker.folder / "broken.wav") not in told


def test_a_folder_that_cannot_be_written_is_a_coded_error(worker):
    output = worker.folder / "missing"
    request = JobRequest(operation="transcribe", path="/steps-1.wav").model_dump(mode="json")
    lock = str(worker.folder / "lock")
    worker.send({"run": {"job_id": "j", "request": request, "output": str(output / "x"), "lock": lock}})
    assert worker.until("failed")[-1]["error"]["code"] == "store_failed"


def test_it_waits_for_its_turn_says_why_and_can_be_cancelled_meanwhile(worker):
    with (worker.folder / "lock").open("w") as held:
        held.write("4711\n")
        held.flush()
        fcntl.flock(held, fcntl.LOCK_EX)
        worker.start("steps-1", "first")
        waiting = worker.until("progress")[-1]
        assert waiting["stage"] == "queued"
        assert "4711" in waiting["detail"]
        worker.send({"cancel": "first"})
        assert worker.until("failed")[-1]["error"]["code"] == "job_cancelled"
        worker.start("steps-1", "second")
        worker.until("progress")
    worker.until("completed")


def test_whoever_waits_already_comes_first(worker):
    """The models are free, and another program has been waiting for them."""
    with (worker.folder / "lock.next").open("w") as waiting:
        fcntl.flock(waiting, fcntl.LOCK_EX)
        worker.start("steps-1")
        assert worker.until("progress")[-1]["stage"] == "queued"
    worker.until("completed")


def test_shutdown_ends_it_in_an_orderly_way(worker):
    worker.until("ready")
    worker.send({"shutdown": True})
    assert worker.process.wait(10) == 0


def test_it_ends_when_stdin_closes_in_the_middle_of_a_job(worker):
    worker.start("stubborn")
    worker.until("progress")
    worker.process.stdin.close()
    worker.process.wait(10)


def test_it_ends_with_all_that_it_started_when_its_parent_is_killed(tmp_path):
    """The pipe's other end is kept open elsewhere, so that only the watch over the parent can tell."""
    reading, writing = os.pipe()
    parent = (
        "import os, subprocess, sys, time\n"
        f"p = subprocess.Popen([{sys.executable!r}, '-m', 'pipeline.worker', str(os.getpid())], stdin={reading},"
        f" pass_fds=({reading},), stdout=subprocess.DEVNULL, start_new_session=True)\n"
        "print(p.pid, flush=True)\n"
        "time.sleep(600)\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", parent], stdout=subprocess.PIPE, pass_fds=(reading,), cwd=ROOT
    )
    worker = psutil.Process(int(process.stdout.readline()))
    os.close(reading)
    process.kill()
    process.wait()
    process.stdout.close()
    deadline = time.monotonic() + 10
    while not is_gone(worker) and time.monotonic() < deadline:
        time.sleep(0.05)
    os.close(writing)
    assert is_gone(worker)


def is_gone(process):
    """Ended, even where nobody collects the orphans of a container."""
    try:
        return process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def test_the_worker_begins_without_heavy_imports(tmp_path):
    """They come with the first job, so that a server's first answers do not wait for them."""
    code = (
        "import sys, pipeline.worker, pipeline.run\n"
        "print([m for m in ('torch', 'mlx', 'whisperx', 'av', 'faster_whisper') if m in sys.modules])"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert out.stdout.strip() == "[]"


def test_events_come_at_most_some_five_times_a_second(worker):
    worker.start("forever")
    worker.until("progress")
    begun, count = time.monotonic(), 0
    while time.monotonic() - begun < 1.0:
        count += worker.event()["event"] == "progress"
    assert count <= 8  # the run reports fifty times
