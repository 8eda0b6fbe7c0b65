"""The hub, as real huggingface_hub sees it: a small server that speaks the hub's protocol on this machine."""

from __future__ import annotations

import hashlib
import json
import os
import re
import socket
import subprocess
import sys
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

import pytest

REPOSITORY = Path(__file__).parents[2]
COMMIT = "c" * 40
FILES = {
    "model.bin": b"weights " * 3_000_000,  # more than the ten megabytes that are written at once
    "config.json": b"{}",
    "tokenizer.json": b"{}",
    "vocabulary.txt": b"a\nb",
    "README.md": b"not fetched",
}
MLX_ONLY = {"weights.safetensors": b"weights", "config.json": b"{}"}


class Hub(BaseHTTPRequestHandler):
    """Repositories: ``me/whisper``; ``me/mlx``; ``me/gated`` (files refused); all others do not exist."""

    repositories: ClassVar = {"me/whisper": FILES, "me/mlx": MLX_ONLY, "me/gated": FILES}
    seen: list[tuple[str, str, str | None, str | None]]
    break_once: set[str]

    def do_HEAD(self):
        self._answer(body=False)

    def do_GET(self):
        self._answer(body=True)

    def _answer(self, body: bool) -> None:
        path = self.path.split("?")[0]
        self.seen.append((self.command, path, self.headers["Authorization"], self.headers["Range"]))
        if match := re.fullmatch(r"/api/models/(me/\w+|\w+/\w+)(?:/revision/\w+)?", path):
            return self._info(match[1])
        repository, _, file = re.fullmatch(r"/(\w+/\w+)/resolve/(\w+)/(.+)", path).groups()
        if repository == "me/gated":
            return self._send(403, {"X-Error-Code": "GatedRepo", "X-Error-Message": "ask for access"})
        return self._file(self.repositories[repository][file], path, body)

    def _info(self, repository: str) -> None:
        if repository not in self.repositories:
            return self._send(404, {"X-Error-Code": "RepoNotFound"})
        files = self.repositories[repository]
        siblings = [
            {"rfilename": name, "size": len(data), "blobId": hashlib.sha1(data).hexdigest()}
            for name, data in files.items()
        ]
        answer = {"id": repository, "modelId": repository, "sha": COMMIT, "siblings": siblings}
        return self._send(200, {"Content-Type": "application/json"}, json.dumps(answer).encode())

    def _file(self, data: bytes, path: str, body: bool) -> None:
        headers = {"ETag": f'"{hashlib.sha1(data).hexdigest()}"', "X-Repo-Commit": COMMIT}
        start = int(re.search(r"\d+", self.headers["Range"])[0]) if self.headers["Range"] else 0
        if body and path in self.break_once:
            self.break_once.remove(path)
            self._send(200, headers, data, cut=len(data) // 2)
            self.connection.shutdown(socket.SHUT_RDWR)
            return
        self._send(206 if start else 200, headers, data[start:], send_body=body)

    def _send(self, status, headers, data=b"", *, send_body=True, cut=None) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(data))}.items():
            self.send_header(name, value)
        self.end_headers()
        if send_body and self.command == "GET":
            self.wfile.write(data[:cut])

    def log_message(self, *_):
        """Silent."""


class Served:
    """The running hub and what was asked of it."""

    def __init__(self, endpoint: str, seen: list, break_once: set, home: Path) -> None:
        self.endpoint, self.seen, self.break_once, self.home = endpoint, seen, break_once, home

    def run(self, *arguments: str, **variables: str) -> subprocess.CompletedProcess:
        """``models`` of the command line in a process of its own, with an empty home."""
        environment = {name: value for name, value in os.environ.items() if not name.startswith("HF_")}
        environment |= {
            "HF_ENDPOINT": self.endpoint,
            "HF_HOME": str(self.home / "hf"),
            "WHISPERX_MLX_CACHE": str(self.home / "own"),
            "HF_HUB_DISABLE_XET": "1",
            **variables,
        }
        return subprocess.run(
            [sys.executable, "-m", "pipeline.cli", "models", *arguments],
            cwd=REPOSITORY,
            env=environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )


@contextmanager
def _serving(handler: type[BaseHTTPRequestHandler]):
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.fixture
def hub(tmp_path):
    handler = type("Handler", (Hub,), {"seen": [], "break_once": set()})
    with _serving(handler) as endpoint:
        yield Served(endpoint, handler.seen, handler.break_once, tmp_path)


def test_what_the_format_needs_is_fetched_once_into_the_hubs_own_cache(hub):
    ran = hub.run("pull", "me/whisper", "--kind", "whisper", HF_TOKEN="secret")
    assert ran.returncode == 0, ran.stderr
    folder = hub.home / "hf/hub/models--me--whisper/snapshots" / COMMIT
    assert {path.name for path in folder.iterdir()} == FILES.keys() - {"README.md"}
    assert (folder / "model.bin").read_bytes() == FILES["model.bin"]
    assert "me/whisper: 24 MB" in ran.stderr.splitlines()[0]  # the size first
    assert {token for _, _, token, _ in hub.seen} == {"Bearer secret"}

    hub.seen.clear()
    assert hub.run("pull", "me/whisper", "--kind", "whisper").returncode == 0
    assert hub.seen == []
    found = hub.run("path", "me/whisper", "--kind", "whisper")
    assert found.stdout.strip() == str(folder)


def test_a_broken_connection_goes_on_where_it_stopped(hub):
    hub.break_once.add(f"/me/whisper/resolve/{COMMIT}/model.bin")
    ran = hub.run("pull", "me/whisper", "--kind", "whisper")
    assert ran.returncode == 0, ran.stderr
    folder = hub.home / "hf/hub/models--me--whisper/snapshots" / COMMIT
    assert (folder / "model.bin").read_bytes() == FILES["model.bin"]
    ranges = [wanted for _, _, _, wanted in hub.seen if wanted]
    assert len(ranges) == 1
    assert int(re.search(r"\d+", ranges[0])[0]) > 0


def test_a_gated_repository_names_its_page_and_the_token(hub):
    ran = hub.run("pull", "me/gated", "--kind", "whisper")
    assert ran.returncode == 4
    assert "download_failed: 'me/gated' is handed out only to those who accepted" in ran.stderr
    assert f"{hub.endpoint}/me/gated" in ran.stderr
    assert "HF_TOKEN" in ran.stderr


def test_a_repository_that_is_not_there(hub):
    ran = hub.run("pull", "me/nothing", "--kind", "whisper")
    assert ran.returncode == 4
    assert "model_not_found" in ran.stderr


def test_a_repository_of_another_format_is_refused_before_its_files_are_fetched(hub):
    ran = hub.run("pull", "me/mlx", "--kind", "whisper", "--format", "ctranslate2")
    assert ran.returncode == 4
    assert "holds no ctranslate2 weights" in ran.stderr
    assert not any("/resolve/" in path for _, path, _, _ in hub.seen)
    assert hub.run("pull", "me/mlx", "--kind", "whisper", "--format", "mlx").returncode == 0


def test_a_hub_that_does_not_answer_is_given_up_and_not_asked_twice(tmp_path):
    """``me/whisper`` might hold CTranslate2 or MLX weights; one attempt is enough to know that it is gone."""
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        endpoint = f"http://127.0.0.1:{deaf.getsockname()[1]}"
        ran = Served(endpoint, [], set(), tmp_path).run("pull", "me/whisper", "--kind", "whisper")
        deaf.setblocking(False)
        deaf.accept()[0].close()
        with pytest.raises(BlockingIOError):
            deaf.accept()
    assert ran.returncode == 4
    assert "no answer within 5 s" in ran.stderr
