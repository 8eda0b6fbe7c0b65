"""A recording whose samples tell the time, and a CTC model that hears what was said when.

So that what an aligner makes of known emissions can be checked to the frame, wherever its audio was cut.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from pipeline.align._ctc import Vocabulary
from pipeline.align._ctc_aligner import CtcAligner
from pipeline.recording import Recording

LABELS = ("-", "|", *"etaonihsrdlumwcfgypbvk'xjqz")  # torchaudio's English ones: "-" is the blank
Said = tuple[str, float, float]
FRAME_S = 0.02
TALK: tuple[Said, ...] = (
    ("okay", 1.0, 1.3),
    ("so", 1.4, 1.6),
    ("the", 1.7, 1.85),
    ("budget", 1.95, 2.4),
    ("is", 2.5, 2.7),
    ("final", 8.0, 8.5),
    ("now", 9.0, 9.4),
)
TALK_TEXT = " ".join(word for word, *_ in TALK)


def recording(seconds: float) -> Recording:
    """Samples of ±(0.5 + t / 1000): the same level everywhere, and the time t in each."""
    count = round(seconds * 16_000)
    clock = 0.5 + np.arange(count) / 16_000 / 1000
    return Recording.from_array((clock * np.where(np.arange(count) % 2, -1, 1)).astype(np.float32))


def time_of(waveform: np.ndarray) -> float:
    """When a cut begins, in seconds of the recording."""
    return (abs(float(waveform[0])) - 0.5) * 1000


class Heard:
    """Emissions (frames, labels): each word's letters spread over its time, a separator after it."""

    def __init__(self, said: Sequence[Said], separators: bool = True) -> None:
        self.events = [event for word in said for event in _events(*word, separators)]

    def __call__(self, waveform: np.ndarray) -> np.ndarray:
        frames = (len(waveform) - 400) // 320 + 1
        begin = time_of(waveform)
        log_probs = np.full((frames, len(LABELS)), -8.0)
        log_probs[:, 0] = 0.0
        for time, label in self.events:
            frame = round((time - begin - 0.0125) / 0.02)
            if 0 <= frame < frames:
                log_probs[frame, 0] = -6.0
                log_probs[frame, LABELS.index(label)] = 0.0
        return log_probs


def ctc_aligner(heard: Heard, labels: Mapping[str, int] | None = None) -> CtcAligner:
    """The aligner that ``whisperx`` and ``wav2vec2_mlx`` share, over these emissions."""
    labels = labels or {label: number for number, label in enumerate(LABELS)}
    vocabulary = Vocabulary.of(labels, blank=0)
    return CtcAligner(lambda waveforms: [heard(waveform) for waveform in waveforms], vocabulary)


def whisperx_model(heard: Heard) -> Any:
    """The same as WhisperX wants it."""
    import torch

    class Model(torch.nn.Module):
        def forward(self, waveform, lengths=None):
            return torch.from_numpy(heard(waveform[0].numpy()))[None].float(), None

    return Model()


def _events(word: str, start: float, end: float, separators: bool) -> list[tuple[float, str]]:
    letters = [letter for letter in word if letter in LABELS[2:]]
    times = np.linspace(start + 0.02, end - 0.04, len(letters))
    spoken = list(zip(times.tolist(), letters, strict=True))
    return [*spoken, (end + 0.01, "|")] if separators else spoken
