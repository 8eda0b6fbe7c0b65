"""The server as a subprocess, spoken to line by line; the worker is the real process without models."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
from rawclient import ROOT, RawServer, is_gone


def test_every_line_of_stdout_is_json_whatever_libraries_print(start, recording):
    server = start()
    server.result("transcribe", file_path=recording())
    server.error("transcribe", file_path=recording("broken"))
    server.send({"method": "no/such/method", "id": 99})
    server.answer(99)
    server.process.stdin.write(b"this is no JSON\n")
    server.process.stdin.flush()
    server.result("health_check")
    server.close_stdin()
    messages = [json.loads(line) for line in server.lines]
    assert all(message["jsonrpc"] == "2.0" for message in messages)


def test_progress_is_notified_to_clients_that_ask(start, recording):
    server = start()
    server.result("transcribe", file_path=recording("steps-25"))
    values = [
        n["params"]["progress"] for n in server.notifications if n["method"] == "notifications/progress"
    ]
    assert len(values) >= 2
    assert values == sorted(set(values))


def test_when_stdin_closes_server_and_worker_are_gone(start, recording):
    server = start()
    job = server.result("transcribe", file_path=recording("stubborn"), wait_s=0)
    server.until_running(job["job_id"])
    worker = server.worker()
    waiting = server.begin("tools/call", {"name": "get_job", "arguments": {"job_id": job["job_id"]}})
    assert waiting
    assert server.close_stdin() == 0
    assert is_gone(worker)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_a_signal_leaves_no_worker_behind(start, recording, number):
    server = start()
    job = server.result("transcribe", file_path=recording("stubborn"), wait_s=0)
    server.until_running(job["job_id"])
    worker = server.worker()
    server.process.send_signal(number)
    assert server.process.wait(10) == (-signal.SIGKILL if number == signal.SIGKILL else 0)
    assert is_gone(worker)
    assert "Traceback" not in "".join(server.stderr)


def test_after_a_restart_the_job_is_interrupted_and_the_next_action_picks_it_up(start, recording):
    first = start()
    job = first.result("transcribe", file_path=recording("steps-40"), wait_s=0)
    while first.result("get_job", job_id=job["job_id"], wait_s=0.1)["progress"]["fraction"] < 0.1:
        pass
    first.process.kill()
    first.process.wait()
    second = start()
    left = second.result("get_job", job_id=job["job_id"])
    assert left["status"] == "interrupted"
    again = left["next_action"]
    done = second.result(again["tool"], **again["arguments"])
    assert done["status"] == "completed"
    assert int(done["warnings"][0]["message"].split()[0]) >= 4  # steps that were not done again
    third = start()
    read = third.result("get_transcript", transcript_id=done["transcript_id"])
    assert read["segments"] == done["segments"]


def test_two_servers_take_turns_and_share_their_transcripts(start, recording):
    first, second = start(), start()
    long = first.result("transcribe", file_path=recording("forever"), wait_s=0)
    first.until_running(long["job_id"])
    short = second.result("transcribe", file_path=recording("fast-2"), wait_s=1)
    while "detail" not in short["progress"]:
        short = second.result("get_job", job_id=short["job_id"], wait_s=0.5)
    assert short["status"] == "queued"
    assert "another program" in short["progress"]["detail"]
    first.result("cancel_job", job_id=long["job_id"])
    done = second.result("get_job", job_id=short["job_id"])
    assert done["status"] == "completed"
    assert first.result("get_transcript", transcript_id=done["transcript_id"])["segments"]


def test_a_cancelled_request_stops_the_waiting_and_not_the_job(start, recording):
    server = start()
    path = recording("steps-100")  # ten seconds: a busy machine takes some to see that it has begun
    waiting = server.begin("tools/call", {"name": "transcribe", "arguments": {"file_path": path}})
    seen = (server.result("health_check")["server"]["unfinished_jobs"] for _ in range(20))
    assert next((jobs for jobs in seen if jobs), 0) == 1
    server.send({"method": "notifications/cancelled", "params": {"requestId": waiting, "reason": "time-out"}})
    done = server.result("transcribe", file_path=path)
    assert done["warnings"][0]["message"].startswith("0 steps")
    assert not any(json.loads(line).get("id") == waiting for line in server.lines)


def test_cancel_job_frees_the_worker_for_the_next_one(start, recording):
    server = start()
    job = server.result("transcribe", file_path=recording("stubborn"), wait_s=0)
    server.until_running(job["job_id"])
    assert server.result("cancel_job", job_id=job["job_id"])["status"] == "cancelled"
    assert server.result("transcribe", file_path=recording("fast-1"))["status"] == "completed"


def test_a_worker_that_is_killed_fails_its_job_and_the_next_one_runs(start, recording):
    server = start()
    job = server.result("transcribe", file_path=recording("forever"), wait_s=0)
    server.until_running(job["job_id"])
    server.worker().kill()
    assert server.error("get_job", job_id=job["job_id"])["code"] == "worker_died"
    assert server.result("transcribe", file_path=recording("fast-1"))["status"] == "completed"


@pytest.mark.parametrize("version", ["2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25"])
def test_every_version_with_a_handshake_is_spoken(tmp_path, version):
    with RawServer(tmp_path / "state") as server:
        answer = server.initialize(version)
        assert answer["protocolVersion"] == version
        assert answer["instructions"]
        assert len(server.request("tools/list", {})["tools"]) == 15


def test_the_server_starts_without_numpy_torch_or_mlx_and_stays_small(tmp_path):
    """Everything heavy is the worker's: a client's start-up limit is ten seconds, an agent's patience is less."""
    heavy = ("numpy", "torch", "mlx", "whisperx", "pyannote", "faster_whisper", "transformers", "av", "scipy")
    code = (
        "import sys, pathlib\n"
        "from mcp_server.__main__ import main\n"
        "from mcp_server.server import build\n"
        "from mcp_server.settings import Settings\n"
        "build(Settings(state_dir=pathlib.Path(sys.argv[1])))\n"
        f"print([name for name in {heavy!r} if name in sys.modules])"
    )
    command = [sys.executable, "-c", code, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=True)
    assert done.stdout.strip() == "[]"
    with RawServer(tmp_path / "state") as server:
        server.initialize()
        assert psutil.Process(server.process.pid).memory_info().rss < 120e6


def test_help_and_version_answer_at_once_and_a_wrong_option_is_refused(tmp_path):
    def run(*arguments):
        command = [sys.executable, "-m", "mcp_server", *arguments]
        return subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)

    assert "--allow-dir" in run("--help").stdout
    assert run("--version").stdout.strip()
    refused = run("--option", "modle=tiny")
    assert refused.returncode == 2
    assert "did you mean 'model'?" in refused.stderr
    assert refused.stdout == ""


def test_defaults_and_folders_come_from_the_command_line(tmp_path, recording):
    path = recording()
    with RawServer(
        tmp_path / "state", "--allow-dir", Path(path).parent, "/other", "--option", "device=cuda"
    ) as s:
        s.initialize()
        health = s.result("health_check")
        assert health["allowed_folders"] == [str(Path(path).parent), "/other"]
        refused = s.error("transcribe", file_path=path)
        assert refused["code"] in ("backend_unavailable", "model_not_downloaded")  # cuda was the default


def test_folders_come_from_the_environment_too(tmp_path, recording):
    env = {"WHISPERX_MLX_ALLOW_DIRS": f"{Path(recording()).parent}:/other"}
    with RawServer(tmp_path / "state", env=env) as server:
        server.initialize()
        assert server.result("health_check")["allowed_folders"][1] == "/other"
