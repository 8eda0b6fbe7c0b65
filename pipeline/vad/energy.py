"""Voice activity by loudness alone: no network, no weights. The baseline, and the tests' stand-in.

The band of speech (200 to 3,800 Hz) is loud or not against what is quiet and what is loud within half a minute
around. Steady sound (silence, hum, noise, a tone) has no range and counts as silence; music does not, and counts
as speech.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from pipeline.recording import SAMPLE_RATE, Recording
from pipeline.vad._regions import SpeechRegion, active_frames, to_regions
from schemas.options import Options, VadOptions

if TYPE_CHECKING:
    from pipeline.plan import Choice

REQUIRES = ()
DEVICES = ("cpu",)
VERSION = 1
MODEL_KIND = None

HOP_SAMPLES = 320  # 20 ms
_FRAME_SAMPLES = 512
_BAND_HZ = (200.0, 3800.0)
_BLOCK_FRAMES = 3000
_SMOOTH_FRAMES = 9  # 180 ms: syllables, not clicks
_AROUND_FRAMES = 750  # 15 s to each side
_LEAST_RANGE_DB = 12.0  # below it nobody speaks
_MOST_RANGE_DB = 50.0  # below the loud level lies nothing that matters
_FLOOR_DB = -100.0
_PAD_S = 0.1
_SHORTEST_S = 0.2


class Energy:
    """Implements :class:`pipeline.vad.Vad`."""

    device = "cpu"
    model = None
    revision = None

    def __init__(self, options: VadOptions) -> None:
        self._options = options
        self.cache_key = f"energy:{VERSION}:{options.vad_onset}:{options.vad_offset}"

    def speech_regions(self, recording: Recording, progress: Callable[[float], None]) -> list[SpeechRegion]:
        """Regions in order, without overlap. ``progress`` takes a fraction and may raise to cancel."""
        height = self.heights(recording, progress)
        active = active_frames(height, self._options.vad_onset, self._options.vad_offset)
        return to_regions(
            active,
            HOP_SAMPLES / SAMPLE_RATE,
            recording.duration_s,
            pad_s=_PAD_S,
            shortest_s=_SHORTEST_S,
        )

    def speech_and_near(
        self, recording: Recording, progress: Callable[[float], None]
    ) -> tuple[list[SpeechRegion], list[SpeechRegion]]:
        """Speech regions, and no others: a level says nothing about what is near to speech."""
        return self.speech_regions(recording, progress), []

    def heights(self, recording: Recording, progress: Callable[[float], None]) -> np.ndarray:
        """How loud (frames,) each 20 ms is, from 0, as the quiet around, to 1, as the loud."""
        from scipy.ndimage import maximum_filter1d, percentile_filter, uniform_filter1d

        level = uniform_filter1d(_levels(recording, progress), _SMOOTH_FRAMES, mode="nearest")
        coarse = level[::10]
        size = 2 * _AROUND_FRAMES // 10 + 1
        quiet = np.repeat(percentile_filter(coarse, 10, size, mode="nearest"), 10)[: len(level)]
        loud = maximum_filter1d(level, 2 * _AROUND_FRAMES + 1, mode="nearest")
        quiet = np.maximum(quiet, loud - _MOST_RANGE_DB)
        span = loud - quiet
        return np.where(span < _LEAST_RANGE_DB, 0.0, (level - quiet) / np.maximum(span, 1e-9))


def _levels(recording: Recording, progress: Callable[[float], None]) -> np.ndarray:
    """Level of the band (frames,) in dB of full scale."""
    bins = np.fft.rfftfreq(_FRAME_SAMPLES, 1 / SAMPLE_RATE)
    band = (bins >= _BAND_HZ[0]) & (bins <= _BAND_HZ[1])
    shape = np.hanning(_FRAME_SAMPLES).astype(np.float32)
    found = []
    step = _BLOCK_FRAMES * HOP_SAMPLES
    for start in range(0, recording.samples, step):
        count = min(_BLOCK_FRAMES, -(-(recording.samples - start) // HOP_SAMPLES))
        needed = (count - 1) * HOP_SAMPLES + _FRAME_SAMPLES
        samples = recording.read(start, start + needed)
        samples = np.pad(samples, (0, needed - len(samples)))
        frames = np.lib.stride_tricks.sliding_window_view(samples, _FRAME_SAMPLES)[::HOP_SAMPLES]
        power = np.abs(np.fft.rfft(frames * shape)[:, band]) ** 2
        found.append(10 * np.log10(power.sum(axis=1) / _FRAME_SAMPLES**2 * 16 + 1e-12))
        progress(min(1.0, (start + step) / recording.samples))
    return np.maximum(np.concatenate(found), _FLOOR_DB) if found else np.zeros(0)


def load(_choice: Choice, options: Options) -> Energy:
    """Nothing to load."""
    return Energy(options.vad)
