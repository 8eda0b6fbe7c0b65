"""A client of raw JSON-RPC lines: what it does not expect, it does not repair."""

import json
import os
import queue
import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil

ROOT = Path(__file__).parents[2]
TIMEOUT_S = 120


class RawServer:
    """A server as a subprocess, started in ``/`` as desktop clients do it."""

    def __init__(self, state, *arguments, command=None, env=None):
        command = command or (sys.executable, "-m", "mcp_server")
        self.lines, self.notifications, self.stderr = [], [], []
        self._answers: queue.Queue = queue.Queue()
        self._id = 0
        self.process = subprocess.Popen(
            [*command, *map(str, arguments)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd="/",
            env={
                **os.environ,
                "PYTHONPATH": str(ROOT),
                "WHISPERX_MLX_STATE": str(state),
                "WHISPERX_MLX_CACHE": str(Path(state).parent / "cache"),
                **(env or {}),
            },
        )
        self._threads = [
            threading.Thread(target=target, daemon=True) for target in (self._read_out, self._read_err)
        ]
        for thread in self._threads:
            thread.start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.stdin.close()
        self.process.wait()
        for thread in self._threads:
            thread.join(5)
        self.process.stdout.close()
        self.process.stderr.close()

    def initialize(self, version="2025-06-18"):
        client = {"name": "raw", "version": "1"}
        asked = {"protocolVersion": version, "capabilities": {}, "clientInfo": client}
        answer = self.request("initialize", asked)
        self.send({"method": "notifications/initialized"})
        return answer

    def send(self, message):
        self.process.stdin.write(json.dumps({"jsonrpc": "2.0", **message}).encode() + b"\n")
        self.process.stdin.flush()

    def begin(self, method, params):
        """Sends a request; returns its id."""
        self._id += 1
        self.send({"id": self._id, "method": method, "params": params})
        return self._id

    def answer(self, number, within_s=TIMEOUT_S):
        """The answer to a request; answers to others are passed over."""
        deadline = time.monotonic() + within_s
        while True:
            message = self._answers.get(timeout=max(0.1, deadline - time.monotonic()))
            if message.get("id") == number:
                return message.get("result") or message

    def request(self, method, params):
        return self.answer(self.begin(method, params))

    def call(self, tool, **arguments):
        params = {"name": tool, "arguments": arguments, "_meta": {"progressToken": self._id}}
        return self.request("tools/call", params)

    def result(self, tool, **arguments):
        """The structured content of a call that must succeed."""
        answer = self.call(tool, **arguments)
        assert not answer.get("isError"), answer
        return answer["structuredContent"]

    def error(self, tool, **arguments):
        """The error of a call that must fail."""
        answer = self.call(tool, **arguments)
        assert answer.get("isError"), answer
        return json.loads(answer["content"][0]["text"].split("\n")[1])["error"]

    def until_running(self, job_id):
        """Polls until the job is on the worker."""
        while True:
            state = self.result("get_job", job_id=job_id, wait_s=0.2)
            if state["status"] == "running" and state["progress"]["stage"] not in ("queued", "loading"):
                return state
            assert state["status"] in ("queued", "running"), "it was over before it was seen at work"

    def worker(self):
        """The worker's process."""
        pid = self.result("health_check")["server"]["worker_pid"]
        return psutil.Process(pid)

    def close_stdin(self):
        """As a client that goes away; returns the exit code."""
        self.process.stdin.close()
        return self.process.wait(20)

    def _read_out(self):
        for line in self.process.stdout:
            self.lines.append(line)
            try:
                message = json.loads(line)
            except ValueError:
                continue
            if "id" in message:
                self._answers.put(message)
            else:
                self.notifications.append(message)

    def _read_err(self):
        for line in self.process.stderr:
            self.stderr.append(line.decode())


def is_gone(process, within_s=10.0):
    """Whether a process ends, even where nobody collects the orphans of a container."""
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        try:
            if process.status() == psutil.STATUS_ZOMBIE:
                return True
        except psutil.NoSuchProcess:
            return True
        time.sleep(0.02)
    return False
