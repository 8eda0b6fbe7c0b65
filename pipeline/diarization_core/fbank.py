"""Kaldi's log-mel filter bank in numpy, as the speaker embedding networks were trained with it.

25 ms windows every 10 ms, 80 mels from 20 to 8000 Hz, no dither, pre-emphasis 0.97, snipped edges; reference:
``torchaudio.compliance.kaldi.fbank`` (BSD-2) and Kaldi's ``feature-fbank`` (Apache-2.0).
"""

from __future__ import annotations

from functools import cache
from typing import Literal

import numpy as np
import scipy.fft

N_MELS = 80
HOP_SAMPLES = 160
WINDOW_SAMPLES = 400
FFT_SIZE = 512
PRE_EMPHASIS = 0.97
FLOOR = 1.1920928955078125e-07  # of a mel's energy
_BLOCK_FRAMES = 4096

WindowShape = Literal["povey", "hamming"]


def frames_of(samples: int) -> int:
    """Frames that ``samples`` samples give."""
    return max(0, (samples - WINDOW_SAMPLES) // HOP_SAMPLES + 1)


def fbank(waveform: np.ndarray, shape: WindowShape = "povey", scale: float = 1.0) -> np.ndarray:
    """Waveform (samples,) float32 to log-mel energies (frames, 80) float32.

    ``scale`` multiplies the samples first (WeSpeaker's networks want 32768). The mean is not taken out.
    """
    count = frames_of(len(waveform))
    mels = np.empty((count, N_MELS), np.float32)
    waveform = np.ascontiguousarray(waveform, dtype=np.float32)
    tapered, banks = taper(shape), mel_banks()
    for first in range(0, count, _BLOCK_FRAMES):
        stop = min(count, first + _BLOCK_FRAMES)
        samples = waveform[first * HOP_SAMPLES : (stop - 1) * HOP_SAMPLES + WINDOW_SAMPLES] * np.float32(
            scale
        )
        frames = np.lib.stride_tricks.sliding_window_view(samples, WINDOW_SAMPLES)[::HOP_SAMPLES]
        frames = frames - frames.mean(axis=1, keepdims=True)
        previous = np.concatenate([frames[:, :1], frames[:, :-1]], axis=1)
        spectrum = scipy.fft.rfft((frames - np.float32(PRE_EMPHASIS) * previous) * tapered, FFT_SIZE, axis=1)
        power = spectrum.real**2 + spectrum.imag**2
        mels[first:stop] = np.log(np.maximum(power.astype(np.float32) @ banks, np.float32(FLOOR)))
    return mels


@cache
def taper(shape: WindowShape) -> np.ndarray:
    """What a frame is multiplied with, (400,)."""
    angle = 2 * np.pi * np.arange(WINDOW_SAMPLES) / (WINDOW_SAMPLES - 1)
    if shape == "hamming":
        return (0.54 - 0.46 * np.cos(angle)).astype(np.float32)
    return ((0.5 - 0.5 * np.cos(angle)) ** 0.85).astype(np.float32)


@cache
def mel_banks(low_hz: float = 20.0, high_hz: float = 8000.0, sample_rate: int = 16_000) -> np.ndarray:
    """Triangular filters, (257, 80)."""

    def mel(hz: np.ndarray | float) -> np.ndarray:
        return 1127.0 * np.log(1.0 + np.asarray(hz) / 700.0)

    width = (mel(high_hz) - mel(low_hz)) / (N_MELS + 1)
    left = mel(low_hz) + np.arange(N_MELS)[:, None] * width
    bins = mel(np.arange(FFT_SIZE // 2) * sample_rate / FFT_SIZE)[None]
    rising = (bins - left) / width
    falling = (left + 2 * width - bins) / width
    banks = np.maximum(0.0, np.minimum(rising, falling))
    return np.pad(banks, ((0, 0), (0, 1))).T.astype(np.float32).copy()  # Kaldi leaves the highest bin out
