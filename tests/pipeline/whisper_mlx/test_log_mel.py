"""Spectrograms are those that Whisper was trained on."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.recording import Recording
from pipeline.whisper_mlx.config import WINDOW_FRAMES
from pipeline.whisper_mlx.log_mel import window_log_mel

RATE = 16_000


def noise(seconds: float, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return (0.1 * rng.standard_normal(round(seconds * RATE))).astype(np.float32)


@pytest.mark.parametrize("n_mels", [80, 128])
@pytest.mark.parametrize("seconds", [0.3, 7.0, 30.0])
def test_a_window_equals_mlx_whispers_over_audio_padded_to_thirty_seconds(
    n_mels: int, seconds: float
) -> None:
    from mlx_whisper.audio import log_mel_spectrogram

    samples = noise(seconds)
    expected = np.array(log_mel_spectrogram(samples, n_mels, padding=30 * RATE))[:WINDOW_FRAMES]
    found = window_log_mel(Recording.from_array(samples), 0, len(samples), n_mels)
    assert found.shape == (WINDOW_FRAMES, n_mels)
    within = len(samples) // 160 - 2  # the reflected end of exactly 30 s is another matter
    assert np.abs(found - expected)[:within].max() < 1e-4
    if seconds < 30:
        assert np.abs(found - expected).max() < 1e-4


def test_a_click_elsewhere_in_the_recording_changes_nothing() -> None:
    samples = noise(40)
    clicked = samples.copy()
    clicked[35 * RATE] = 1.0
    windows = [window_log_mel(Recording.from_array(s), RATE, 20 * RATE, 80) for s in (samples, clicked)]
    assert np.array_equal(*windows)


def test_frames_at_the_border_see_the_recordings_own_samples() -> None:
    recording = Recording.from_array(noise(20))
    whole = window_log_mel(recording, 0, 20 * RATE, 80)
    middle = window_log_mel(recording, 5 * RATE, 15 * RATE, 80)
    assert np.abs(whole[500:1500] - middle[:1000]).max() < 1e-4


def test_silence_is_the_floor_and_not_zero() -> None:
    window = window_log_mel(Recording.from_array(np.zeros(RATE, np.float32)), 0, RATE, 80)
    assert np.allclose(window, -1.5)
