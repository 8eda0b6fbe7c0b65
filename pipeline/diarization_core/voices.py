"""Speaker embeddings for the local speakers of windows, with the network's trunk run as rarely as possible.

pyannote.audio runs the trunk once per window and local speaker, though the speaker's mask enters only when the
trunk's frames are pooled. ``exact`` runs it once per window, with the same result. ``fast`` runs it once over the
recording, in blocks with context, and lets the windows share its frames: about a tenth of the work of ``exact``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np

from pipeline.diarization_core.fbank import HOP_SAMPLES, N_MELS, WindowShape, fbank, frames_of
from pipeline.diarization_core.frames import SAMPLE_RATE, WINDOW_FRAMES, WINDOW_SAMPLES
from pipeline.recording import Recording

WINDOW_MELS = frames_of(WINDOW_SAMPLES)
BLOCK_MELS = 3000  # 30 s
CONTEXT_MELS = 500  # 5 s on each side of a block


class Embedding(Protocol):
    """A speaker embedding network in two steps, on any framework."""

    dimension: int
    min_samples: int  # less speech than this says little about a voice
    window_shape: WindowShape
    scale: float
    mels_per_frame: int

    def trunk(self, mels: np.ndarray) -> Any:
        """Log-mels (batch, mels, 80), mean taken out, to frames (batch, ceil(mels / mels_per_frame), channels)."""
        ...

    def pool(self, frames: Any, masks: np.ndarray) -> np.ndarray:
        """Frames and masks (batch, speakers, frames) to voices (batch, speakers, dimension), float32."""
        ...

    def to_numpy(self, frames: Any) -> np.ndarray:
        """Frames on the host."""
        ...


def masks_of(activity: np.ndarray, min_samples: int) -> np.ndarray:
    """Activity (windows, frames, speakers) without the frames in which several talk, where enough is left."""
    alone = activity * (activity.sum(axis=2, keepdims=True) < 2)
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
) -> np.ndarray:
    """Voices (windows, speakers, dimension) from each window by itself; NaN where a speaker is silent."""

    def frames_of_windows(windows: Sequence[int]) -> Any:
        mels = [_window_mels(recording, window * step_samples, embedding) for window in windows]
        return embedding.trunk(np.stack(mels))

    return _pooled(activity, embedding, batch_size, frames_of_windows, progress)


def fast(
    recording: Recording,
    activity: np.ndarray,
    embedding: Embedding,
    step_samples: int,
    batch_size: int,
    progress: Callable[[float], None],
) -> np.ndarray:
    """Voices (windows, speakers, dimension) from frames that all windows share; NaN where one is silent."""
    shared = _SharedFrames(recording, embedding)
    count = -(-WINDOW_MELS // embedding.mels_per_frame)
    step_mels = step_samples / HOP_SAMPLES

    def frames_of_windows(windows: Sequence[int]) -> Any:
        firsts = [round(window * step_mels / embedding.mels_per_frame) for window in windows]
        return np.stack([shared.read(first, count) for first in firsts])

    return _pooled(activity, embedding, batch_size, frames_of_windows, progress)


def _pooled(
    activity: np.ndarray,
    embedding: Embedding,
    batch_size: int,
    frames_of_windows: Callable[[Sequence[int]], Any],
    progress: Callable[[float], None],
) -> np.ndarray:
    windows, _, speakers = activity.shape
    voices = np.full((windows, speakers, embedding.dimension), np.nan, np.float32)
    spoken = np.flatnonzero(activity.any(axis=(1, 2)))  # silent windows cost nothing
    for first in range(0, len(spoken), batch_size):
        batch = spoken[first : first + batch_size]
        masks = masks_of(activity[batch].astype(np.float32), embedding.min_samples).transpose(0, 2, 1)
        frames = frames_of_windows(batch.tolist())
        found = embedding.pool(frames, _nearest(masks, frames.shape[1]))
        found[masks.sum(axis=2) == 0] = np.nan
        voices[batch] = found
        progress(min(1.0, (first + len(batch)) / len(spoken)))
    return voices


def _nearest(masks: np.ndarray, frames: int) -> np.ndarray:
    """Masks (…, n) at another frame rate, as torch's ``interpolate(mode="nearest")`` does it."""
    count = masks.shape[-1]
    index = np.floor(np.arange(frames, dtype=np.float32) * np.float32(count / frames)).astype(int)
    return masks[..., np.minimum(index, count - 1)]


def _window_mels(recording: Recording, first_sample: int, embedding: Embedding) -> np.ndarray:
    """One window, filled up with silence behind the end, (mels, 80) with its own mean taken out."""
    samples = recording.read(first_sample, first_sample + WINDOW_SAMPLES)
    samples = np.pad(samples, (0, WINDOW_SAMPLES - len(samples)))
    mels = fbank(samples, embedding.window_shape, embedding.scale)
    return mels - mels.mean(axis=0)


class _SharedFrames:
    """The trunk's frames of the whole recording, made block by block and let go behind the reader."""

    def __init__(self, recording: Recording, embedding: Embedding) -> None:
        self._recording, self._embedding = recording, embedding
        self._blocks: dict[int, np.ndarray] = {}
        self._per_block = BLOCK_MELS // embedding.mels_per_frame
        self._total_mels = frames_of(recording.samples)

    def read(self, first: int, count: int) -> np.ndarray:
        """Frames ``first`` to ``first + count``, (count, channels); silence behind the end gives zeros."""
        wanted = range(first // self._per_block, (first + count - 1) // self._per_block + 1)
        for old in [number for number in self._blocks if number < wanted[0]]:
            del self._blocks[old]
        for number in wanted:
            if number not in self._blocks:
                self._blocks[number] = self._block(number)
        joined = np.concatenate([self._blocks[number] for number in wanted])
        offset = first - wanted[0] * self._per_block
        return joined[offset : offset + count]

    def _block(self, number: int) -> np.ndarray:
        """Frames of one block, (frames per block, channels), made with context on both sides."""
        begin = number * BLOCK_MELS
        first = max(0, begin - CONTEXT_MELS)
        last = min(self._total_mels, begin + BLOCK_MELS + CONTEXT_MELS)
        ratio = self._embedding.mels_per_frame
        samples = self._recording.read(first * HOP_SAMPLES, (last - 1) * HOP_SAMPLES + 400)
        mels = fbank(samples, self._embedding.window_shape, self._embedding.scale)
        if len(mels) == 0:
            mels = np.zeros((1, N_MELS), np.float32)
        mels = mels - mels.mean(axis=0)
        frames = self._embedding.to_numpy(self._embedding.trunk(mels[None]))[0]
        offset = (begin - first) // ratio
        own = frames[offset : offset + self._per_block]
        return np.pad(own, ((0, self._per_block - len(own)), (0, 0)))


assert BLOCK_MELS * HOP_SAMPLES == 30 * SAMPLE_RATE
