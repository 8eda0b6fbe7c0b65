"""Silero VAD: a small recurrent network, with the weights that ship inside faster-whisper.

Silero Team, https://github.com/snakers4/silero-vad, MIT licence; version 6, one frame is 32 ms. The probabilities
are those of ``faster_whisper.vad``; the thresholds are this product's ``vad_onset`` and ``vad_offset``.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING

import numpy as np

from pipeline.machine import usable_cores
from pipeline.recording import SAMPLE_RATE, Recording
from pipeline.vad._coverage import doubtful_regions
from pipeline.vad._level import gain_for
from pipeline.vad._regions import SpeechRegion, active_frames, to_regions
from schemas.options import Options, VadOptions

if TYPE_CHECKING:
    from pipeline.model_files import ModelFiles
    from pipeline.plan import Choice

REQUIRES = ("faster_whisper", "numba", "onnx", "threadpoolctl")
DEVICES = ("cpu",)
VERSION = 3
MODEL_KIND = "vad"
MODEL_FORMATS = ("onnx",)

FRAME_SAMPLES = 512
_CONTEXT_SAMPLES = 64  # of the frame before, in front of each frame
_BLOCK_FRAMES = 512
_MOST_THREADS = 8
_PAD_S = 0.03  # as silero-vad's speech_pad_ms


class Silero:
    """Implements :class:`pipeline.vad.Vad`."""

    device = "cpu"

    def __init__(self, files: ModelFiles, options: VadOptions) -> None:
        from pipeline.vad._silero_network import SileroNetwork

        self._network = SileroNetwork.read(files.path)
        self._options = options
        self.model, self.revision = files.name, files.revision
        self.cache_key = f"silero:{VERSION}:{self.revision}:{options.vad_onset}:{options.vad_offset}"

    def speech_regions(self, recording: Recording, progress: Callable[[float], None]) -> list[SpeechRegion]:
        """Regions in order, without overlap. ``progress`` takes a fraction and may raise to cancel."""
        return self.speech_and_near(recording, progress)[0]

    def speech_and_near(
        self, recording: Recording, progress: Callable[[float], None]
    ) -> tuple[list[SpeechRegion], list[SpeechRegion]]:
        """Speech regions, and regions of all that is speech or near it."""
        probability = self.probabilities(recording, progress)
        thresholds = self._options.vad_onset, self._options.vad_offset
        active = active_frames(probability, *thresholds)
        times = FRAME_SAMPLES / SAMPLE_RATE, recording.duration_s
        return to_regions(active, *times, pad_s=_PAD_S), doubtful_regions(probability, *thresholds, *times)

    def probabilities(self, recording: Recording, progress: Callable[[float], None]) -> np.ndarray:
        """Speech probability (frames,) of each 32 ms; the last frame is filled up with zeros."""
        from threadpoolctl import threadpool_limits

        state = np.zeros((2, self._network.recurrent.shape[0]), np.float32)
        found, done = [np.zeros(0, np.float32)], 0
        threads = min(_MOST_THREADS, usable_cores())
        with threadpool_limits(1, user_api="blas"), ThreadPoolExecutor(threads) as pool:
            for samples, gates in self._gates(recording, pool, 2 * threads):
                found.append(self._network.probabilities(gates, *state))
                done += samples
                progress(done / recording.samples)
        return np.concatenate(found)

    def _gates(
        self, recording: Recording, pool: ThreadPoolExecutor, most: int
    ) -> Iterator[tuple[int, np.ndarray]]:
        """Blocks' samples and gates in order; at most so many blocks are computed ahead."""
        gain = gain_for(recording)
        context = np.zeros(_CONTEXT_SAMPLES, np.float32)
        ahead: deque[tuple[int, Future[np.ndarray]]] = deque()
        for block in recording.blocks(_BLOCK_FRAMES * FRAME_SAMPLES):
            frames = _framed(gain(block), context)  # (frames, 64 + 512)
            context = frames[-1, -_CONTEXT_SAMPLES:]
            ahead.append((len(block), pool.submit(self._network.gates, frames)))
            if len(ahead) > most:
                samples, gates = ahead.popleft()
                yield samples, gates.result()
        for samples, gates in ahead:
            yield samples, gates.result()


def _framed(block: np.ndarray, context: np.ndarray) -> np.ndarray:
    """Each frame with the end of the one before it in front (frames, 64 + 512)."""
    padded = np.pad(block, (0, -len(block) % FRAME_SAMPLES))
    frames = padded.reshape(-1, FRAME_SAMPLES)
    before = np.concatenate((context[None], frames[:-1, -_CONTEXT_SAMPLES:]))
    return np.concatenate((before, frames), axis=1)


def weights(_choice: Choice, options: Options) -> tuple[ModelFiles, ...]:
    """The network's file inside faster-whisper.

    Raises :class:`schemas.errors.ModelNotFound` where it is not there.
    """
    from pipeline import models

    return (models.find("vad", "silero", formats=("onnx",), required=True, model_dir=options.model_dir),)


def load(choice: Choice, options: Options) -> Silero:
    """Raises :class:`schemas.errors.ModelNotFound` where faster-whisper lacks the file, or has another network."""
    return Silero(*weights(choice, options), options.vad)
