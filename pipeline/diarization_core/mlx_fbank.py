"""Kaldi's log-mel filter bank in MLX, where the networks run; see :mod:`pipeline.diarization_core.fbank`."""

from __future__ import annotations

import mlx.core as mx
import numpy as np

from pipeline.diarization_core import fbank as by_numpy
from pipeline.diarization_core.fbank import (
    FFT_SIZE,
    FLOOR,
    HOP_SAMPLES,
    WINDOW_SAMPLES,
    WindowShape,
    frames_of,
)


def fbank(waveform: np.ndarray, shape: WindowShape = "povey", scale: float = 1.0) -> mx.array:
    """As :func:`pipeline.diarization_core.fbank.fbank`; on a CPU, that function itself, which is faster there."""
    if mx.default_device() == mx.cpu:
        return mx.array(by_numpy.fbank(waveform, shape, scale))
    samples = mx.array(np.ascontiguousarray(waveform, dtype=np.float32)) * scale
    frames = mx.as_strided(samples, (frames_of(len(waveform)), WINDOW_SAMPLES), (HOP_SAMPLES, 1))
    frames = frames - frames.mean(axis=1, keepdims=True)
    previous = mx.concatenate([frames[:, :1], frames[:, :-1]], axis=1)
    emphasised = (frames - by_numpy.PRE_EMPHASIS * previous) * mx.array(by_numpy.taper(shape))
    spectrum = mx.fft.rfft(emphasised, FFT_SIZE, axis=1)
    power = mx.square(mx.real(spectrum)) + mx.square(mx.imag(spectrum))
    return mx.log(mx.maximum(power @ mx.array(by_numpy.mel_banks()), FLOOR))
