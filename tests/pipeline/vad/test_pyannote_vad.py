"""pyannote's network: the same probabilities as pyannote.audio's own sliding window, in bounded memory."""

from __future__ import annotations

import numpy as np
import pytest
from recordings import SHIPPED

from pipeline import audio, backends
from pipeline.plan import Choice
from pipeline.recording import SAMPLE_RATE, Recording
from pipeline.vad import pyannote
from schemas.options import Options


def quiet(_fraction: float) -> None:
    pass


@pytest.fixture(scope="module")
def vad() -> pyannote.Pyannote:
    missing = backends.missing_packages("vad", "pyannote")
    if missing:
        pytest.skip(f"needs {', '.join(missing)}")
    return backends.load("vad", Choice("pyannote"), Options())


@pytest.fixture(scope="module")
def waveform() -> np.ndarray:
    return audio.load_waveform(SHIPPED / "syn_en_flite_words.flac")[: 12 * SAMPLE_RATE + 77]


def test_probabilities_are_those_of_pyannotes_inference(vad, waveform):
    from pipeline.diarize._quiet import quiet as no_notices

    with no_notices():
        import torch
        from pyannote.audio import Inference

        reference = Inference(
            vad._network, step=0.5, pre_aggregation_hook=lambda scores: scores.max(axis=-1, keepdims=True)
        )
        wanted = reference({"waveform": torch.from_numpy(waveform)[None], "sample_rate": SAMPLE_RATE})
    found = vad.probabilities(Recording.from_array(waveform), quiet)
    count = min(len(found), len(wanted.data))
    assert abs(len(found) - len(wanted.data)) <= 2
    assert np.abs(found[:count] - wanted.data[:count, 0]).max() < 1e-4
    assert found.max() > 0.9 > 0.1 > found.min()


def test_the_size_of_the_batches_changes_nothing(vad, waveform, monkeypatch):
    recording = Recording.from_array(waveform[: 7 * SAMPLE_RATE])
    whole = vad.probabilities(recording, quiet)
    monkeypatch.setattr(pyannote, "_BATCH", 1)
    assert np.abs(vad.probabilities(recording, quiet) - whole).max() < 1e-5


@pytest.mark.parametrize("samples", [1, 270, 79_999, 80_000, 80_001, 88_000, 1_000_000])
def test_windows_cover_every_sample_and_none_is_needless(samples):
    starts = pyannote._window_starts(samples)
    assert starts[0] == 0 and set(np.diff(starts)) <= {pyannote.STEP_SAMPLES}
    assert starts[-1] + pyannote.WINDOW_SAMPLES >= samples
    assert len(starts) == 1 or starts[-2] + pyannote.WINDOW_SAMPLES < samples
