"""The backend without a model."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline import backends
from pipeline.plan import Choice
from pipeline.recording import Recording
from schemas.options import DiarizeOptions, Options


@pytest.fixture(scope="module")
def one_speaker():
    return backends.load("diarize", Choice("one_speaker"), Options())


def test_all_speech_is_one_persons(one_speaker, meeting, said):
    found = one_speaker.diarize(meeting, DiarizeOptions(), lambda _: None)
    assert found.speakers == ("SPEAKER_00",)
    assert found.turns == found.exclusive_turns
    covered = np.zeros(round(meeting.duration_s * 100), bool)
    for turn in found.turns:
        covered[round(turn.start * 100) : round(turn.end * 100)] = True
    spoken = np.zeros_like(covered)
    for _, start, end in said:
        spoken[round(start * 100) : round(end * 100)] = True
    assert (covered & spoken).sum() > 0.9 * spoken.sum()


def test_it_loads_nothing_heavy():
    import subprocess
    import sys

    code = (
        "import sys, numpy; from pipeline import backends; from pipeline.plan import Choice;"
        "from pipeline.recording import Recording; from schemas.options import *;"
        "d = backends.load('diarize', Choice('one_speaker'), Options());"
        "d.diarize(Recording.from_array(numpy.ones(16000)), DiarizeOptions(), print);"
        "print({'torch', 'pyannote', 'mlx'} & set(sys.modules))"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.splitlines()[-1] == "set()"


@pytest.mark.parametrize("samples", [0, 1, 160, 160_000])
def test_silence_of_any_length_has_nobody(one_speaker, samples):
    silence = Recording.from_array(np.zeros(samples, np.float32))
    found = one_speaker.diarize(silence, DiarizeOptions(), lambda _: None)
    assert found.turns == ()
    assert [warning.code for warning in found.warnings] == ["no_speech"]


@pytest.mark.parametrize(
    ("counts", "codes"),
    [
        ({}, []),
        ({"num_speakers": 1}, []),
        ({"max_speakers": 4}, []),
        ({"num_speakers": 2}, ["speaker_limit"]),
    ],
)
def test_more_speakers_than_one_cannot_be_met(one_speaker, meeting, counts, codes):
    found = one_speaker.diarize(meeting, DiarizeOptions(**counts), lambda _: None)
    assert [warning.code for warning in found.warnings] == codes
