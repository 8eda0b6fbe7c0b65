import sys
import wave
from pathlib import Path

import pytest
from mcp import Client

from mcp_server.server import build
from mcp_server.settings import Settings

FAKE_WORKER = Path(__file__).with_name("fake_worker.py")
CHECK = {"duration_s": 1.0, "plan": "p"}
DOCTOR = {
    "machine": {"system": "linux"},
    "packages": {"mcp": "2", "mlx": None},
    "plan": {"asr": {"backend": "echo", "device": "cpu", "model": None, "compute_type": "float32"}},
    "gaps": [],
}
ASIDE = f"""
import json, sys
question = json.load(sys.stdin)
print(json.dumps({{"answer": {DOCTOR!r} if "doctor" in question else {CHECK!r}}}))
"""


@pytest.fixture
def anyio_backend():
    return "asyncio"


@pytest.fixture
def folder(tmp_path):
    """The allowed folder."""
    made = tmp_path / "recordings"
    made.mkdir()
    return made


@pytest.fixture
def recording(folder):
    """Makes a recording with the name that tells the fake run what to do."""

    def make(name="steps-3"):
        path = folder / f"{name}.wav"
        with wave.open(str(path), "wb") as file:
            file.setparams((1, 2, 16000, 0, "NONE", ""))
            file.writeframes(b"\0\0" * 16000)
        return path

    return make


@pytest.fixture
def make_settings(tmp_path, folder, monkeypatch):
    """Settings with the fake run, and answers from aside that take no time and always say yes."""
    monkeypatch.setenv("WHISPERX_MLX_CACHE", str(tmp_path / "cache"))

    def make(**changes):
        chosen = {
            "state_dir": tmp_path / "state",
            "allow_dirs": (str(folder),),
            "worker_command": (sys.executable, str(FAKE_WORKER)),
            "aside_command": (sys.executable, "-SEc", ASIDE),
            "cancel_grace_s": 1.0,
            **changes,
        }
        return Settings(**chosen)

    return make


@pytest.fixture
def settings(make_settings):
    return make_settings()


@pytest.fixture(params=["legacy", "2026-07-28"])
async def either(request, settings):
    """A client of either era: the handshake of 2025, or the stateless requests of 2026."""
    async with Client(build(settings)[0], mode=request.param) as made:
        yield made


@pytest.fixture
async def client(settings):
    """For what the era cannot change."""
    async with Client(build(settings)[0], mode="legacy") as made:
        yield made
