"""Silero: the same probabilities as faster-whisper's, in blocks of bounded size."""

from __future__ import annotations

import numpy as np
import pytest
from recordings import SHIPPED

from pipeline import audio, backends
from pipeline.plan import Choice
from pipeline.recording import Recording
from pipeline.vad import silero
from schemas.errors import ModelNotFound
from schemas.options import Options

pytest.importorskip("onnx")


def quiet(_fraction: float) -> None:
    pass


@pytest.fixture(scope="module")
def vad() -> silero.Silero:
    return backends.load("vad", Choice("silero"), Options())


@pytest.fixture(scope="module")
def waveform() -> np.ndarray:
    return audio.load_waveform(SHIPPED / "syn_en_flite_words.flac")[: 20 * 16000 + 77]


def test_probabilities_are_those_of_faster_whisper(vad, waveform):
    """``faster_whisper.vad`` runs the whole recording at once, and fills up the last frame likewise."""
    reference = pytest.importorskip("faster_whisper.vad").get_vad_model()
    padded = np.pad(waveform, (0, -len(waveform) % silero.FRAME_SAMPLES))
    wanted = reference(padded).reshape(-1)
    found = vad.probabilities(Recording.from_array(waveform), quiet)
    assert found.shape == wanted.shape
    assert np.abs(found - wanted).max() < 1e-5
    assert found.max() > 0.9 > 0.1 > found.min()


@pytest.mark.parametrize("frames", [1, 7, 100])
def test_the_size_of_the_blocks_changes_nothing(vad, waveform, frames, monkeypatch):
    recording = Recording.from_array(waveform[: 5 * 16000])
    whole = vad.probabilities(recording, quiet)
    monkeypatch.setattr(silero, "_BLOCK_FRAMES", frames)
    assert np.abs(vad.probabilities(recording, quiet) - whole).max() < 1e-5


@pytest.mark.parametrize("content", [b"", b"no network", b"\x08\x01"])
def test_another_file_is_told_from_the_network(content, tmp_path):
    from pipeline.vad._silero_network import SileroNetwork

    (tmp_path / "silero.onnx").write_bytes(content)
    with pytest.raises(ModelNotFound) as error:
        SileroNetwork.read(tmp_path / "silero.onnx")
    assert error.value.code == "model_damaged"


def test_without_its_weights_it_says_how_to_get_them(monkeypatch, tmp_path):
    from pipeline import model_places

    monkeypatch.setattr(model_places.importlib.util, "find_spec", lambda _name: None)
    with pytest.raises(ModelNotFound) as error:
        silero.load(Choice("silero"), Options())
    assert error.value.hint
