"""SincNet's filters, made once from their learnt frequencies."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from pipeline.diarization_core.frames import WINDOW_SAMPLES

SINC_STRIDE = 10
POOL = 3  # frames that become one
POOLED_FRAMES = ((WINDOW_SAMPLES - 251) // SINC_STRIDE + 1) // POOL  # of a window
EPSILON = 1e-5  # of the norms


def sinc_filters(state: Mapping[str, np.ndarray], sample_rate: int = 16_000) -> np.ndarray:
    """SincNet's band-pass filters, (80, 251): forty cosine and forty sine ones.

    Ravanelli and Bengio, "Speaker recognition from raw waveform with SincNet", 2018; as asteroid-filterbanks'
    ``ParamSincFB`` (MIT) draws them from learnt low and band frequencies.
    """
    prefix = "sincnet.conv1d.0.filterbank."
    low = 50.0 + np.abs(state[prefix + "low_hz_"].astype(np.float64))
    high = np.clip(low + 50.0 + np.abs(state[prefix + "band_hz_"].astype(np.float64)), 50.0, sample_rate / 2)
    band = (high - low)[:, 0]
    half = state[prefix + "n_"].astype(np.float64)  # (1, 125): 2πn / rate, negative n
    window = state[prefix + "window_"].astype(np.float64)

    def filters(kind: str) -> np.ndarray:
        f_low, f_high = low @ half, high @ half
        if kind == "cos":
            left = (np.sin(f_high) - np.sin(f_low)) / (half / 2) * window
            right = left[:, ::-1]
            middle = 2 * band[:, None]
        else:
            left = (np.cos(f_low) - np.cos(f_high)) / (half / 2) * window
            right = -left[:, ::-1]
            middle = np.zeros((len(low), 1))
        return np.concatenate([left, middle, right], axis=1) / (2 * band[:, None])

    return np.concatenate([filters("cos"), filters("sin")])
