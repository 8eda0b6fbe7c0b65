import sys
import wave
from pathlib import Path

import pytest
from rawclient import RawServer

SERVE_FAKE = Path(__file__).with_name("serve_fake.py")


@pytest.fixture
def recording(tmp_path):
    folder = tmp_path / "recordings"
    folder.mkdir()

    def make(name="steps-3"):
        path = folder / f"{name}.wav"
        with wave.open(str(path), "wb") as file:
            file.setparams((1, 2, 16000, 0, "NONE", ""))
            file.writeframes(b"\0\0" * 16000)
        return str(path)

    return make


@pytest.fixture
def start(tmp_path, recording):
    """Starts servers that share their state; each is ended with the test."""
    servers = []

    def make(initialize=True):
        command = (sys.executable, str(SERVE_FAKE), str(tmp_path / "recordings"))
        servers.append(RawServer(tmp_path / "state", command=command))
        if initialize:
            servers[-1].initialize()
        return servers[-1]

    yield make
    for server in servers:
        server.__exit__()
