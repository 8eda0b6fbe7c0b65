"""An aligner over any CTC model that turns waveforms into log-probabilities."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from pipeline.align import Cut, WordTime
from pipeline.align._ctc import Frames, Vocabulary, place
from pipeline.recording import SAMPLE_RATE
from schemas.errors import BackendUnavailable, FailedToAlign, ModelNotFound

if TYPE_CHECKING:
    from pipeline import models
    from pipeline.plan import Choice
    from schemas.options import Options

MODEL_KIND = "align"
MODEL_FORMATS = ("torchaudio", "transformers")

FIELD_SAMPLES = 400  # of wav2vec2's convolutions: what one frame sees
HOP_SAMPLES = 320

Emitter = Callable[[Sequence[np.ndarray]], Sequence[np.ndarray]]
"""Waveforms (samples,) in, none shorter than a frame; log-probabilities (frames, vocabulary) of each out."""


def weights(choice: Choice, options: Options) -> tuple[models.ModelFiles, ...]:
    """The language's model. Raises :class:`BackendUnavailable` for a language that has none."""
    from pipeline import models

    if choice.model is None:
        raise BackendUnavailable(
            "there is no wav2vec2 model for this language",
            hint="name one with align_model, or use align_backend=cross_attention",
        )
    files = models.find(
        MODEL_KIND,
        choice.model,
        formats=MODEL_FORMATS,
        required=choice.model_required,
        model_dir=options.model_dir,
        allow_download=options.allow_download,
    )
    return (files,)


def damaged(files: models.ModelFiles, error: Exception) -> ModelNotFound:
    """What to raise for files that turn out not to be a wav2vec2 CTC model."""
    return ModelNotFound(
        f"alignment model {files.name!r} cannot be read ({type(error).__name__})",
        code="model_damaged",
        hint=f"fetch it again: whisperx-mlx models pull {files.name} --kind align",
    )


class CtcAligner:
    """An :class:`pipeline.align.Aligner` over a CTC model, ``batch_s`` seconds of padded audio at a time."""

    margin_s = 0.2

    def __init__(
        self,
        emit: Emitter,
        vocabulary: Vocabulary,
        files: models.ModelFiles | None = None,
        device: str = "cpu",
        *,
        key: str = "ctc",
        batch_s: float = 0.0,
    ) -> None:
        self._emit, self._vocabulary, self._batch_s = emit, vocabulary, batch_s
        self.model = files.name if files else None
        self.revision = files.revision if files else None
        self.device = device
        self.cache_key = f"{key}:{self.model}@{self.revision}"

    def align(self, cuts: Sequence[Cut]) -> list[list[WordTime | None] | FailedToAlign]:
        """Cuts of like length together."""
        results: dict[int, list[WordTime | None] | FailedToAlign] = {}
        for batch in self._batches(cuts):
            emissions = self._emit([_long_enough(cuts[index].waveform) for index in batch])
            for index, log_probs in zip(batch, emissions, strict=True):
                results[index] = self._placed(log_probs, cuts[index])
        return [results[index] for index in range(len(cuts))]

    def _placed(self, log_probs: np.ndarray, cut: Cut) -> list[WordTime | None] | FailedToAlign:
        # A frame stands for the samples around the middle of what it sees.
        offset_s = (FIELD_SAMPLES - HOP_SAMPLES) / 2 / SAMPLE_RATE
        frames = Frames(HOP_SAMPLES / SAMPLE_RATE, offset_s)
        try:
            return place(log_probs, cut.words, cut.language, self._vocabulary, frames)
        except FailedToAlign as error:
            return error

    def _batches(self, cuts: Sequence[Cut]) -> list[list[int]]:
        batches: list[list[int]] = []
        longest = 0
        for index in sorted(range(len(cuts)), key=lambda i: -len(cuts[i].waveform)):
            if batches and (len(batches[-1]) + 1) * longest <= self._batch_s * SAMPLE_RATE:
                batches[-1].append(index)
            else:
                batches.append([index])
                longest = len(cuts[index].waveform)
        return batches


def _long_enough(waveform: np.ndarray) -> np.ndarray:
    return np.pad(waveform, (0, max(0, FIELD_SAMPLES - len(waveform))))
