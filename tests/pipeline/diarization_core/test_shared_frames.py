"""The trunk's frames of a whole recording: made once, and where they are kept, in one place."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.diarization_core.shared_frames import SharedFrames
from pipeline.recording import SAMPLE_RATE, Recording

SECONDS = 47


class Energies:
    """An embedding whose frames are means of two log-mels, which are means of samples; counts its blocks."""

    mels_per_frame = 2
    blocks = 0

    def log_mels(self, samples: np.ndarray) -> np.ndarray:
        hops = (len(samples) - 400) // 160 + 1
        return np.stack([samples[160 * i : 160 * i + 400].mean(keepdims=True) for i in range(hops)])

    def trunk(self, mels: np.ndarray, firsts: list[int], length: int) -> np.ndarray:
        self.blocks += len(firsts)
        cut = np.stack([mels[first : first + length] for first in firsts])
        return np.stack([cut[:, 2 * i : 2 * i + 2].mean(axis=1) for i in range(-(-length // 2))], axis=1)

    def halved(self, frames: np.ndarray) -> np.ndarray:
        return frames.astype(np.float16)

    def join(self, pieces: list[np.ndarray]) -> np.ndarray:
        return np.concatenate(pieces)


@pytest.fixture(scope="module")
def recording():
    rng = np.random.default_rng(0)
    return Recording.from_array(rng.uniform(-1, 1, SECONDS * SAMPLE_RATE).astype(np.float32))


@pytest.mark.parametrize("together", [1, 3])
def test_kept_frames_are_those_that_are_let_go(recording, together):
    passing = SharedFrames(recording, Energies(), together)
    kept = SharedFrames(recording, Energies(), together, keep=True)
    assert passing.total == kept.total == -(-(SECONDS * 100 - 2) // 2)
    for begin in range(0, kept.total, 700):
        end = min(begin + 900, kept.total)
        expected = np.array(passing.read(begin, end))
        np.testing.assert_array_equal(kept.read(begin, end), expected.astype(np.float16))


def test_kept_frames_are_made_once_and_lie_in_one_array(recording):
    embedding = Energies()
    kept = SharedFrames(recording, embedding, 1, keep=True)
    first = kept.read(0, 600)
    kept.read(600, kept.total)
    assert embedding.blocks == 5
    assert np.shares_memory(kept.read(100, 700), first)
    assert embedding.blocks == 5
