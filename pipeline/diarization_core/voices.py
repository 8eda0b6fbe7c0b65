"""Speaker embeddings for the local speakers of windows, with the network's trunk run as rarely as possible.

pyannote.audio runs the trunk once per window and local speaker, though the speaker's mask enters only when the
trunk's frames are pooled. ``exact`` runs it once per window, with the same result. ``fast`` runs it once over the
recording, in blocks with context, and lets the windows share its frames: a fifth of the work of ``exact``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol

import numpy as np

from pipeline.diarization_core.fbank import HOP_SAMPLES, WindowShape, frames_of
from pipeline.diarization_core.frames import WINDOW_FRAMES, WINDOW_SAMPLES, talkers
from pipeline.diarization_core.shared_frames import Mels, SharedFrames
from pipeline.recording import Recording

WINDOW_MELS = frames_of(WINDOW_SAMPLES)
_POOLED_WINDOWS = (
    32  # fast: windows pooled together; no more of silence lies between two of them than of a window
)


class Embedding(Protocol):
    """A speaker embedding network in two steps, on any framework. Frames stay where the network runs."""

    dimension: int
    min_samples: int  # less speech than this says little about a voice
    window_shape: WindowShape
    scale: float
    mels_per_frame: int

    def log_mels(self, samples: np.ndarray) -> Any:
        """Waveform (samples,) to log-mels (mels, 80), where the network runs."""
        ...

    def trunk(self, mels: Any, firsts: Sequence[int], length: int) -> Any:
        """Stretches of log-mels (mels, 80), each without its mean, to frames (stretches, frames, channels).

        Each begins at one of ``firsts`` and has ``length`` log-mels, for ceil(length / mels_per_frame) frames.
        """
        ...

    def pool(self, frames: Any, masks: np.ndarray) -> np.ndarray:
        """Frames and masks (batch, speakers, frames) to voices (batch, speakers, dimension), float32."""
        ...

    def pool_shared(self, frames: Any, masks: np.ndarray) -> np.ndarray:
        """Frames (frames, channels), or what was ``halved``, and masks of zeros and ones (rows, frames) to voices.

        Those are (rows, dimension), float32.
        """
        ...

    def halved(self, frames: Any) -> np.ndarray:
        """Frames in half precision, in the host's memory."""
        ...

    def join(self, pieces: Sequence[Any]) -> Any:
        """Pieces (frames, channels), or (mels, 80), end to end."""
        ...


def masks_of(activity: np.ndarray, min_samples: int) -> np.ndarray:
    """Activity (windows, frames, speakers) without the frames in which several talk, where enough is left."""
    alone = activity * (talkers(activity) < 2)[..., None]
    fewest = math.ceil(WINDOW_FRAMES * min_samples / WINDOW_SAMPLES)
    enough = alone.sum(axis=1, keepdims=True) > fewest
    return np.where(enough, alone, activity)


def exact(
    recording: Recording,
    activity: np.ndarray,
    embedding: Embedding,
    step_samples: int,
    batch_size: int,
    progress: Callable[[float], None],
    *,
    exclude_overlap: bool = True,
) -> np.ndarray:
    """Voices (windows, speakers, dimension) from each window by itself; NaN where a speaker is silent."""
    step_mels = _whole_hops(step_samples)
    mels = Mels(recording, embedding)
    voices, spoken = _unheard(activity, embedding)
    done = 0
    for batch in _neighbours(spoken, batch_size):
        firsts = (batch - batch[0]) * step_mels
        stretch = mels.read(int(batch[0]) * step_mels, int(firsts[-1]) + WINDOW_MELS)
        frames = embedding.trunk(stretch, firsts.tolist(), WINDOW_MELS)
        masks = _masks(activity[batch], embedding, exclude_overlap)
        found = embedding.pool(frames, _nearest(masks, frames.shape[1]))
        found[masks.sum(axis=2) == 0] = np.nan
        voices[batch] = found
        done += len(batch)
        progress(done / len(spoken))
    return voices


def fast(
    recording: Recording,
    activity: np.ndarray,
    embedding: Embedding,
    step_samples: int,
    batch_size: int,
    progress: Callable[[float], None],
    *,
    exclude_overlap: bool = True,
    shared: SharedFrames | None = None,
) -> np.ndarray:
    """Voices (windows, speakers, dimension) from frames that all windows share; NaN where one is silent.

    ``shared`` are the frames where they were kept.
    """
    shared = shared or SharedFrames(recording, embedding, blocks_together(batch_size))
    count = -(-WINDOW_MELS // embedding.mels_per_frame)
    step_frames = step_samples / HOP_SAMPLES / embedding.mels_per_frame
    voices, spoken = _unheard(activity, embedding)
    done = 0
    for batch in _neighbours(spoken, _POOLED_WINDOWS):
        masks = _masks(activity[batch], embedding, exclude_overlap)
        firsts = np.rint(batch * step_frames).astype(int)
        begin, end = firsts[0], min(firsts[-1] + count, shared.total)
        rows = np.zeros((*masks.shape[:2], end - begin), np.float32)
        for row, first, mask in zip(rows, firsts - begin, _nearest(masks, count), strict=True):
            cut = row[:, first : first + count]
            cut[:] = mask[:, : cut.shape[1]]
        found = embedding.pool_shared(shared.read(begin, end), rows.reshape(-1, end - begin))
        found = found.reshape(*masks.shape[:2], -1)
        found[rows.sum(axis=2) == 0] = np.nan
        voices[batch] = found
        done += len(batch)
        progress(done / len(spoken))
    return voices


def blocks_together(batch_size: int) -> int:
    """Blocks of shared frames that are made at once, where ``batch_size`` windows go together."""
    return max(1, batch_size // 4)


def _unheard(activity: np.ndarray, embedding: Embedding) -> tuple[np.ndarray, np.ndarray]:
    """Room for the voices, and the windows in which somebody speaks: the others cost nothing."""
    windows, _, speakers = activity.shape
    voices = np.full((windows, speakers, embedding.dimension), np.nan, np.float32)
    return voices, np.flatnonzero(activity.any(axis=(1, 2)))


def _neighbours(windows: np.ndarray, most: int) -> Iterator[np.ndarray]:
    """Runs of at most ``most`` windows without a long silence in between."""
    gaps = np.flatnonzero(np.diff(windows) > _POOLED_WINDOWS // 3) + 1
    for run in np.split(windows, gaps):
        for first in range(0, len(run), most):
            yield run[first : first + most]


def _masks(activity: np.ndarray, embedding: Embedding, exclude_overlap: bool) -> np.ndarray:
    """Which frames say how a speaker sounds, (windows, speakers, frames)."""
    masks = activity.astype(np.float32)
    return (masks_of(masks, embedding.min_samples) if exclude_overlap else masks).transpose(0, 2, 1)


def _nearest(masks: np.ndarray, frames: int) -> np.ndarray:
    """Masks (…, n) at another frame rate, as torch's ``interpolate(mode="nearest")`` does it."""
    count = masks.shape[-1]
    index = np.floor(np.arange(frames, dtype=np.float32) * np.float32(count / frames)).astype(int)
    return masks[..., np.minimum(index, count - 1)]


def _whole_hops(step_samples: int) -> int:
    if step_samples % HOP_SAMPLES:
        raise ValueError(f"a step of {step_samples} samples is not a multiple of {HOP_SAMPLES}")
    return step_samples // HOP_SAMPLES
