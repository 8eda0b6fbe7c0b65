import json
from pathlib import Path

import numpy as np
import pytest

from pipeline import backends
from pipeline.plan import Choice
from pipeline.recording import Recording
from schemas.errors import ModelNotFound
from schemas.options import Options

DATA = Path(__file__).parents[2] / "data"
START_S, END_S = (
    33,
    57,
)  # of the meeting: Daniel, Priya falling into his last words, Daniel, Maya, Daniel, Maya


@pytest.fixture(scope="session")
def diarizer():
    """pyannote with the starter weights; one for all tests."""
    try:
        return backends.load("diarize", Choice("pyannote"), Options())
    except ModelNotFound as error:
        pytest.skip(f"{error.message}: {error.hint}")


@pytest.fixture(scope="session")
def waveform() -> np.ndarray:
    """The shipped meeting (samples,)."""
    from pipeline.audio import load_waveform

    return load_waveform(DATA / "syn_en_meeting_a.opus")


@pytest.fixture(scope="session")
def script() -> list[dict]:
    """The meeting's script: speaker, start, end, text."""
    return json.loads((DATA / "syn_en_meeting_a.segments.json").read_text("utf-8"))


@pytest.fixture(scope="session")
def meeting(waveform) -> Recording:
    """24 seconds of it, with three people."""
    return Recording.from_array(waveform[START_S * 16_000 : END_S * 16_000])


@pytest.fixture(scope="session")
def said(script) -> list[tuple[str, float, float]]:
    """Who speaks from when to when in those seconds."""
    inside = (
        (line["speaker"], max(0.0, line["start"] - START_S), min(END_S, line["end"]) - START_S)
        for line in script
    )
    return [(speaker, start, end) for speaker, start, end in inside if start < end]


@pytest.fixture(scope="session")
def clip(waveform) -> Recording:
    """16 seconds of it, for what need not be longer: all three, two changes."""
    return Recording.from_array(waveform[39 * 16_000 : 55 * 16_000])


@pytest.fixture(scope="session")
def diarization(diarizer, meeting):
    """Who spoke in it."""
    from schemas.options import DiarizeOptions

    return diarizer.diarize(meeting, DiarizeOptions(), lambda _: None)
