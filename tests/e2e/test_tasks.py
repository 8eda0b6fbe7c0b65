"""The Tasks extension over stdio, as a client of 2026-07-28 uses it: every request says who asks."""

import time

import pytest

TASKS = "io.modelcontextprotocol/tasks"
ENVELOPE = "io.modelcontextprotocol"


class Stateless:
    """Requests without a handshake."""

    def __init__(self, server, extensions):
        self._server, self._extensions = server, extensions

    def ask(self, method, **params):
        meta = {
            f"{ENVELOPE}/protocolVersion": "2026-07-28",
            f"{ENVELOPE}/clientInfo": {"name": "raw", "version": "1"},
            f"{ENVELOPE}/clientCapabilities": {"extensions": self._extensions},
        }
        return self._server.request(method, {**params, "_meta": meta})

    def call(self, tool, **arguments):
        return self.ask("tools/call", name=tool, arguments=arguments)

    def until_ended(self, task_id):
        """Polls as the task says; returns its states."""
        deadline, seen = time.monotonic() + 60, []
        while time.monotonic() < deadline:
            seen.append(self.ask("tasks/get", taskId=task_id))
            if seen[-1]["status"] != "working":
                return seen
            time.sleep(0.2)
        raise AssertionError("the task did not end")


@pytest.fixture
def client(start):
    return Stateless(start(initialize=False), {TASKS: {}})


def test_long_work_becomes_a_task_whose_result_is_the_tool_s(client, recording):
    path = recording("steps-12")
    task = client.call("transcribe", file_path=path)
    assert task["resultType"] == "task"
    assert task["status"] == "working"
    assert task["pollIntervalMs"] > 0
    seen = client.until_ended(task["taskId"])
    assert seen[0]["taskId"] == task["taskId"]
    assert seen[-1]["status"] == "completed"
    content = seen[-1]["result"]["structuredContent"]
    assert content["job_id"] == task["taskId"]
    assert len(content["segments"]) == 12
    again = client.call("transcribe", file_path=path)
    assert again["structuredContent"]["transcript_id"] == content["transcript_id"]


def test_a_failed_tool_is_a_completed_task_whose_result_is_the_error(client, recording):
    client.call("transcribe", file_path=recording("steps-3"))  # the worker is up from here on
    task = client.call("transcribe", file_path=recording("broken"))
    ended = client.until_ended(task["taskId"])[-1]
    assert ended["status"] == "completed"
    assert ended["result"]["isError"] is True
    assert ended["result"]["content"][0]["text"].startswith("internal_error: ")


def test_a_task_is_cancelled_and_the_job_tools_know_it(client, recording):
    task = client.call("transcribe", file_path=recording("forever"))
    jobs = client.call("list_jobs")["structuredContent"]["jobs"]
    assert [job["job_id"] for job in jobs] == [task["taskId"]]
    client.ask("tasks/cancel", taskId=task["taskId"])
    assert client.until_ended(task["taskId"])[-1]["status"] == "cancelled"
    known = client.call("get_job", job_id=task["taskId"])["structuredContent"]
    assert known["status"] == "cancelled"


def test_what_is_refused_at_once_is_no_task(client, recording):
    refused = client.call("transcribe", file_path="/nowhere/a.wav")
    assert refused["isError"] is True
    assert client.ask("tasks/get", taskId="job_unknown")["error"]["code"] == -32602


def test_a_client_that_does_not_declare_tasks_gets_none(client, start, recording):
    plain = Stateless(start(initialize=False), {})
    answer = plain.call("transcribe", file_path=recording("steps-20"), wait_s=0)
    assert answer["structuredContent"]["next_action"]["tool"] == "get_job"
    refused = plain.ask("tasks/get", taskId=answer["structuredContent"]["job_id"])
    assert refused["error"]["code"] == -32021


def test_a_task_goes_on_after_the_server_was_killed(client, start, recording):
    first = start(initialize=False)
    task = Stateless(first, {TASKS: {}}).call("transcribe", file_path=recording("steps-40"))
    first.process.kill()
    first.process.wait()
    ended = client.until_ended(task["taskId"])[-1]
    assert ended["status"] == "failed"
    assert "again" in ended["error"]["message"]
    assert client.call("transcribe", file_path=recording("steps-40"))["resultType"] == "task"
