"""The filter bank equals Kaldi's, as torchaudio computes it."""

import numpy as np
import pytest

from pipeline.diarization_core.fbank import fbank, frames_of


def waveform(samples=48_000):
    rng = np.random.default_rng(0)
    time = np.arange(samples) / 16_000
    return (
        0.2 * np.sin(2 * np.pi * 300 * time * (1 + time / 4)) + 0.01 * rng.standard_normal(samples)
    ).astype(np.float32)


@pytest.mark.parametrize(("shape", "scale"), [("povey", 1.0), ("hamming", 32768.0)])
def test_equals_torchaudio(shape, scale):
    import torch
    from torchaudio.compliance import kaldi

    samples = waveform()
    theirs = kaldi.fbank(
        torch.from_numpy(samples * np.float32(scale))[None],
        num_mel_bins=80,
        dither=0.0,
        window_type=shape,
        sample_frequency=16_000,
    ).numpy()
    ours = fbank(samples, shape, scale)
    assert ours.shape == theirs.shape
    np.testing.assert_allclose(ours, theirs, atol=2e-3)


def test_blocks_do_not_show():
    """A recording longer than a block gives the frames of its parts."""
    long = np.tile(waveform(), 16)
    whole = fbank(long)
    part = fbank(long[4090 * 160 : 4090 * 160 + 16_000])
    np.testing.assert_allclose(whole[4090 : 4090 + len(part)], part, atol=1e-4)


def test_too_short_gives_no_frames():
    assert frames_of(399) == 0
    assert frames_of(400) == 1
    assert fbank(np.zeros(399, np.float32)).shape == (0, 80)
