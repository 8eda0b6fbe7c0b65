"""Recordings of any length, made from short ones."""

from __future__ import annotations

import wave
from pathlib import Path

import numpy as np

from pipeline.audio import load_waveform
from pipeline.recording import SAMPLE_RATE


def repeated(source: Path, minutes: float, path: Path) -> Path:
    """Writes ``source`` again and again, for ``minutes``, as 16-bit mono WAV at 16 kHz; returns ``path``."""
    samples = (load_waveform(source).clip(-1, 1) * 32767).astype("<i2")
    left = round(minutes * 60 * SAMPLE_RATE)
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, SAMPLE_RATE, 0, "NONE", ""))
        while left > 0:
            piece: np.ndarray = samples[:left]
            file.writeframes(piece.tobytes())
            left -= len(piece)
    return path
