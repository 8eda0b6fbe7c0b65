"""How loud a recording is, and the gain that networks need where it is very quiet."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pipeline.recording import SAMPLE_RATE, Recording

_QUIET = 0.01  # -40 dBFS
_TARGET = 0.05  # -26 dBFS, about the level of a headset
_MOST = 300.0  # 50 dB; noise of an empty room stays far below speech


@dataclass(frozen=True)
class Gain:
    """``(waveform - mean) * factor``, clipped to full scale. The waveform itself where the factor is 1."""

    mean: float = 0.0
    factor: float = 1.0

    def __call__(self, waveform: np.ndarray) -> np.ndarray:
        if self.factor == 1.0:
            return waveform
        return np.clip((waveform - np.float32(self.mean)) * np.float32(self.factor), -1.0, 1.0)


def gain_for(recording: Recording) -> Gain:
    """Unity, unless the loudest seconds lie below -40 dBFS.

    Networks for voice activity were trained at usual levels and lose half of the speech 50 dB below. The level
    is the 99th percentile of the root mean squares of the recording's seconds, without the constant part.
    """
    seconds, total = [], 0.0
    for block in recording.blocks(60 * SAMPLE_RATE):
        total += float(block.sum(dtype=np.float64))
        pieces = np.array_split(block, max(1, len(block) // SAMPLE_RATE))
        seconds += [float(piece.std()) for piece in pieces]
    level = float(np.quantile(seconds, 0.99)) if seconds else 0.0
    if not 0.0 < level < _QUIET:
        return Gain()
    return Gain(total / recording.samples, min(_MOST, _TARGET / level))
