"""pyannote's segmentation network (the first one, 2021), with the weights that ship inside WhisperX.

Bredin and Laurent, End-to-end speaker segmentation for overlap-aware resegmentation, Interspeech 2021; MIT
licence. A window's speech probability is the highest of its three speakers'; windows are averaged where they
overlap, with a Hamming window, as in ``pyannote.audio.Inference`` and so in WhisperX.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline.recording import SAMPLE_RATE, Recording
from pipeline.vad._coverage import doubtful_regions
from pipeline.vad._level import gain_for
from pipeline.vad._regions import SpeechRegion, active_frames, to_regions
from schemas.options import Options, VadOptions

if TYPE_CHECKING:
    from pipeline.model_files import ModelFiles
    from pipeline.plan import Choice

REQUIRES = ("pyannote.audio", "torch", "whisperx")
DEVICES = ("cpu", "cuda")
VERSION = 2
MODEL_KIND = "vad"
MODEL_FORMATS = ("torch",)

WINDOW_SAMPLES = 5 * SAMPLE_RATE
STEP_SAMPLES = SAMPLE_RATE // 2
_BATCH = 8
# SincNet's frames: one every 270 samples, each of them seeing 991.
_FRAME_SAMPLES = 270
_FRAME_S = _FRAME_SAMPLES / SAMPLE_RATE
_FIRST_S = (991 / 2 - _FRAME_SAMPLES / 2) / SAMPLE_RATE


class Pyannote:
    """Implements :class:`pipeline.vad.Vad`."""

    def __init__(self, network: Any, files: ModelFiles, device: str, options: VadOptions) -> None:
        self._network, self.device, self._options = network, device, options
        self.model, self.revision = files.name, files.revision
        self.cache_key = f"pyannote:{VERSION}:{self.revision}:{options.vad_onset}:{options.vad_offset}"

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
        times = _FRAME_S, recording.duration_s
        near = doubtful_regions(probability, *thresholds, *times, _FIRST_S)
        return to_regions(active, *times, first_s=_FIRST_S), near

    def probabilities(self, recording: Recording, progress: Callable[[float], None]) -> np.ndarray:
        """Speech probability (frames,), one every 16.875 ms."""
        starts = _window_starts(recording.samples)
        total = np.zeros(_frames_at(starts[-1]) + _frames_at(WINDOW_SAMPLES) + 1)
        weight = np.zeros_like(total)
        for number, (start, scores) in enumerate(self._windows(recording, starts)):
            first = _frames_at(start)
            hamming = np.hamming(len(scores))
            total[first : first + len(scores)] += hamming * scores
            weight[first : first + len(scores)] += hamming
            progress((number + 1) / len(starts))
        used = _frames_at(recording.samples)
        return total[:used] / np.maximum(weight[:used], 1e-12)

    def _windows(self, recording: Recording, starts: list[int]) -> Iterator[tuple[int, np.ndarray]]:
        """Each window's start and its probabilities (frames,)."""
        gain = gain_for(recording)
        for first in range(0, len(starts), _BATCH):
            some = starts[first : first + _BATCH]
            samples = gain(recording.read(some[0], some[-1] + WINDOW_SAMPLES))
            samples = np.pad(samples, (0, some[-1] - some[0] + WINDOW_SAMPLES - len(samples)))
            batch = np.stack([samples[s - some[0] :][:WINDOW_SAMPLES] for s in some])
            yield from zip(some, self._scores(batch), strict=True)

    def _scores(self, batch: np.ndarray) -> np.ndarray:
        """(windows, samples) to (windows, frames)."""
        import torch

        with torch.inference_mode():
            waveforms = torch.from_numpy(np.ascontiguousarray(batch))[:, None].to(self.device)
            return self._network(waveforms).max(dim=-1).values.cpu().numpy()


def _window_starts(samples: int) -> list[int]:
    """Enough windows to cover all samples; the last one is filled up with zeros."""
    count = 1 + max(0, -(-(samples - WINDOW_SAMPLES) // STEP_SAMPLES))
    return [index * STEP_SAMPLES for index in range(count)]


def _frames_at(samples: int) -> int:
    """Number of the frame that begins nearest to that sample."""
    return round(samples / _FRAME_SAMPLES)


def weights(_choice: Choice, options: Options) -> tuple[ModelFiles, ...]:
    """The network's file inside WhisperX.

    Raises :class:`schemas.errors.ModelNotFound` where it is not there.
    """
    from pipeline import models

    return (
        models.find("vad", "pyannote-vad", formats=("torch",), required=True, model_dir=options.model_dir),
    )


def load(choice: Choice, options: Options) -> Pyannote:
    """Raises :class:`schemas.errors.ModelNotFound` where the weights are missing or are no such network."""
    from pipeline.diarize._quiet import quiet

    (files,) = weights(choice, options)
    with quiet():
        from pipeline.diarize._checkpoint import load_network

        network = load_network(files.path).to(choice.device)
    return Pyannote(network, files, choice.device, options.vad)
