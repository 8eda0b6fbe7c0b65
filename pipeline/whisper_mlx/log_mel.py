"""Log-mel spectrograms as Whisper was trained on them. Frames first: (frames, n_mels).

Computed with numpy, so that every device gets the same numbers. The method is OpenAI's ``whisper/audio.py``
(25 ms Hann frames every 10 ms, Slaney mel filters, log10, floor 8 below the maximum), with the maximum taken over
the window itself, as in training. mlx-whisper takes it over the file, and one click there changes every window.
"""

from __future__ import annotations

from functools import cache
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from pipeline.recording import Recording
from pipeline.whisper_mlx.config import HOP_SAMPLES, WINDOW_FRAMES
from schemas.errors import BackendUnavailable

FRAME_SAMPLES = 400
_HALF = FRAME_SAMPLES // 2


def window_log_mel(recording: Recording, start: int, stop: int, n_mels: int) -> np.ndarray:
    """Samples ``start`` to ``stop`` of a recording as a 30 s window, (WINDOW_FRAMES, n_mels) float32.

    Frames at the borders see the recording's own samples beyond them; what the window lacks is silence.
    """
    frames = min(WINDOW_FRAMES, (stop - start + _HALF - 1) // HOP_SAMPLES + 1)  # all that see a sample
    left, right = start - _HALF, start + (frames - 1) * HOP_SAMPLES + _HALF
    samples = recording.read(left, min(right, stop + _HALF))
    before = max(0, -left)
    samples = np.pad(samples, (before, right - left - len(samples) - before))
    if before:  # as OpenAI's reflection at the beginning of a file
        samples[:before] = samples[before + 1 : 2 * before + 1][::-1]
    return normalised(log_power(samples, n_mels))


def log_power(samples: np.ndarray, n_mels: int) -> np.ndarray:
    """log10 of the mel power of frames that begin every 160 samples, (frames, n_mels)."""
    from scipy.fft import rfft

    frames = np.lib.stride_tricks.sliding_window_view(samples, FRAME_SAMPLES)[::HOP_SAMPLES]
    spectrum = rfft(frames * hann())
    power = spectrum.real**2 + spectrum.imag**2
    return np.log10(np.maximum(power @ mel_filters(n_mels).T, 1e-10))


def normalised(log_mel: np.ndarray) -> np.ndarray:
    """Floor at 8 below the window's maximum, scale, and fill up to WINDOW_FRAMES with that floor."""
    floor = max(float(log_mel.max()) - 8.0, -10.0)
    window = np.full((WINDOW_FRAMES, log_mel.shape[1]), floor, np.float32)
    window[: len(log_mel)] = np.maximum(log_mel, floor)
    return (window + 4.0) / 4.0


@cache
def hann() -> np.ndarray:
    """The periodic Hann window, float32 (400,)."""
    return np.hanning(FRAME_SAMPLES + 1)[:-1].astype(np.float32)


@cache
def mel_filters(n_mels: int) -> np.ndarray:
    """librosa's Slaney filters for 16 kHz and 400-point transforms, (n_mels, 201), from mlx-whisper's file."""
    package = find_spec("mlx_whisper")
    if package is None or not package.submodule_search_locations:
        raise BackendUnavailable("the mel filters come with mlx-whisper", hint="pip install mlx-whisper")
    file = Path(package.submodule_search_locations[0]) / "assets" / "mel_filters.npz"
    with np.load(file) as filters:
        return filters[f"mel_{n_mels}"].astype(np.float32)
