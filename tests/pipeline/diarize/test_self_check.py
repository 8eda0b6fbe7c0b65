"""A device that is not trusted is compared with the CPU before its results are used."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.diarize import _assembly, _self_check, pyannote
from pipeline.recording import Recording
from schemas.options import DiarizeOptions

RNG = np.random.default_rng(0)
SPEAKING = (RNG.random((4, 50, 3)) > 0.5).astype(np.float32)
VOICES = RNG.normal(size=(4, 3, 8))


def check(theirs: np.ndarray, voices: np.ndarray) -> str | None:
    """The difference found."""

    def run(device, segmentation):
        if device == "cpu":
            return SPEAKING, VOICES
        assert segmentation is SPEAKING  # the same voices are asked for
        return theirs, voices

    found = _self_check.compare(run, "mps")
    assert found.conclusive
    return found.difference


def test_equal_results_pass_and_so_do_rounding_errors():
    assert check(SPEAKING, VOICES) is None
    assert check(SPEAKING, VOICES + RNG.normal(size=VOICES.shape) * 1e-4) is None


def test_other_speakers_fail():
    theirs = SPEAKING.copy()
    theirs[0, :5] = 1 - theirs[0, :5]
    assert "of the frames have other speakers" in check(theirs, VOICES)


@pytest.mark.parametrize("value", [0.0, np.nan, np.inf, -1.0])
def test_one_wrong_voice_fails(value):
    voices = VOICES.copy()
    voices[2, 1] *= value
    assert "similarity" in check(SPEAKING, voices)


def test_a_clip_without_speech_proves_nothing():
    def run(device, _):
        silent = np.zeros_like(SPEAKING)
        return silent, np.full_like(VOICES, 1.0 if device == "cpu" else -1.0)

    assert _self_check.compare(run, "mps") == _self_check.Check(None, conclusive=False)


def test_an_operation_that_the_device_lacks_fails():
    def run(device, _):
        if device != "cpu":
            raise NotImplementedError("aten::_fft is not implemented")
        return SPEAKING, VOICES

    assert "NotImplementedError" in _self_check.compare(run, "mps").difference


def test_the_clip_is_the_loudest_stretch():
    quiet = np.full(20 * 16_000, 0.01, np.float32)
    loud = np.full(10 * 16_000, 0.5, np.float32)
    clip = _self_check.loudest_clip(Recording.from_array(np.concatenate([quiet, loud, quiet])))
    assert len(clip) == 15 * 16_000
    assert (clip == 0.5).sum() == len(loud)
    assert len(_self_check.loudest_clip(Recording.from_array(loud[:100]))) == 100


@pytest.fixture
def on_mps(diarizer, monkeypatch):
    """The diarizer as it would be on Metal, and the list of devices that it was moved to.

    Moving to Metal multiplies the first convolution of the segmentation network by ``fault``.
    """
    network = diarizer.pipeline._segmentation.model.sincnet.norm1d[0]
    moves = []

    def prepare(fault: float) -> tuple[pyannote.Pyannote, list[str]]:
        def move(_pipeline, device: str) -> None:
            if (device == "mps") != (moves[-1:] == ["mps"]):
                network.weight.data *= fault if device == "mps" else 1 / fault
            moves.append(device)

        monkeypatch.setattr(_assembly, "move", move)
        return pyannote.Pyannote(diarizer.pipeline, (_files(),), "mps"), moves

    yield prepare
    _assembly.move(diarizer.pipeline, "cpu")


def _files():
    from pathlib import Path

    from pipeline.model_files import ModelFiles

    return ModelFiles("diarization", "test", "pyannote", Path(), "r", "local", None)


@pytest.fixture(scope="module")
def short(clip) -> Recording:
    return Recording.from_array(clip.mapped()[: 11 * 16_000])


def test_a_device_with_wrong_results_is_left_for_the_cpu_with_a_warning(on_mps, diarizer, short):
    checked, moves = on_mps(-3.0)
    found = checked.diarize(short, DiarizeOptions(), lambda _: None)
    assert [warning.code for warning in found.warnings] == ["self_check_failed"]
    assert "mps" in found.warnings[0].message
    assert checked.device == "cpu"
    assert moves == ["cpu", "mps", "cpu"]
    again = checked.diarize(short, DiarizeOptions(), lambda _: None)
    assert again.turns == found.turns == diarizer.diarize(short, DiarizeOptions(), lambda _: None).turns
    assert again.warnings == ()


def test_a_device_with_the_cpus_results_is_kept_and_checked_once_with_speech(on_mps, short):
    checked, moves = on_mps(1.0)
    silence = Recording.from_array(np.zeros(16_000, np.float32))
    checked.diarize(silence, DiarizeOptions(), lambda _: None)
    assert moves == ["cpu", "mps"]
    moves.clear()
    for _ in range(2):
        assert checked.diarize(short, DiarizeOptions(), lambda _: None).warnings == ()
    assert checked.device == "mps"
    assert moves == ["cpu", "mps"]
