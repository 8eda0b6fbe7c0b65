"""Windows over a recording and the frames that the segmentation network gives for them."""

from __future__ import annotations

import numpy as np

SAMPLE_RATE = 16_000
WINDOW_SAMPLES = 160_000  # 10 s
WINDOW_FRAMES = 589
FRAME_STEP_S = 270 / SAMPLE_RATE
FRAME_DURATION_S = 991 / SAMPLE_RATE  # receptive field of PyanNet's front end

# The seven powerset classes as activity of three local speakers: none, one alone, two together.
POWERSET = np.array(
    [[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 1, 0], [1, 0, 1], [0, 1, 1]], dtype=np.float32
)


def window_count(samples: int, step_samples: int) -> int:
    """How many windows cover ``samples``; the last one may reach beyond the end."""
    if samples <= 0:
        return 0
    whole = whole_windows(samples, step_samples) if samples >= WINDOW_SAMPLES else 0
    rest = samples < WINDOW_SAMPLES or (samples - WINDOW_SAMPLES) % step_samples > 0
    return whole + int(rest)


def whole_windows(samples: int, step_samples: int) -> int:
    """How many windows lie in ``samples``, at least one window long."""
    return (samples - WINDOW_SAMPLES) // step_samples + 1


def filled_up(samples: np.ndarray, length: int) -> np.ndarray:
    """(samples,) with silence behind them up to ``length``."""
    return samples if len(samples) == length else np.pad(samples, (0, length - len(samples)))


def binarize(classes: np.ndarray) -> np.ndarray:
    """Powerset scores (windows, frames, 7) to the activity of local speakers (windows, frames, 3)."""
    return POWERSET[classes.argmax(-1)]


def talkers(activity: np.ndarray) -> np.ndarray:
    """How many local speakers talk in each frame of (windows, frames, speakers), (windows, frames)."""
    first, *others = np.moveaxis(activity, 2, 0)  # a sum over so short an axis is several times as slow
    return sum(others, first)


def frame_count(windows: int, step_s: float) -> int:
    """Frames of the whole recording that ``windows`` windows cover."""
    return int(np.rint((WINDOW_SAMPLES / SAMPLE_RATE + (windows - 1) * step_s) / FRAME_STEP_S)) + 1


def first_frames(windows: int, step_s: float) -> np.ndarray:
    """Frame of the whole recording at which each window begins, (windows,)."""
    return np.rint(np.arange(windows) * step_s / FRAME_STEP_S).astype(int)


def speaker_count(activity: np.ndarray, step_s: float) -> np.ndarray:
    """How many people speak in each frame of the recording, (all frames,) uint8.

    ``activity`` (windows, frames, local speakers); the average over the windows that cover a frame, rounded.
    """
    windows, frames, _ = activity.shape
    total = frame_count(windows, step_s)
    summed, covered = np.zeros(total, np.float32), np.zeros(total, np.float32)
    talking = talkers(activity)
    for window, first in enumerate(first_frames(windows, step_s)):
        stop = min(total, first + frames)
        summed[first:stop] += talking[window, : stop - first]
        covered[first:stop] += 1.0
    return np.rint(summed / np.maximum(covered, 1e-12)).astype(np.uint8)


def frame_time(frame: int) -> float:
    """The middle of a frame in seconds."""
    return float(frame * FRAME_STEP_S + FRAME_DURATION_S / 2)
