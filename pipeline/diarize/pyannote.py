"""pyannote.audio's speaker diarization: powerset segmentation, speaker embeddings, clustering.

Plaquet and Bredin, "Powerset multi-class cross entropy loss for neural speaker diarization", Interspeech 2023;
Bredin, "pyannote.audio 2.1 speaker diarization pipeline", Interspeech 2023. Its pipelines 3.1 and community-1 run
from the hub's files, with their own results; without them the segmentation network of both works with CAM++
embeddings, all of it openly licensed. Asking community-1 for another number of speakers than it finds makes it
cluster by k-means, which is much worse than its own clustering: ask only when the number is known.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline import voice_evidence
from pipeline.diarization_core.frames import WINDOW_FRAMES
from pipeline.diarize._quiet import quiet
from pipeline.diarize._recipe import embedding_model, recipe_of, weights
from pipeline.diarize._warnings import count_warnings, no_speech
from pipeline.recording import SAMPLE_RATE, Recording
from schemas.diarization import Diarization, SpeakerTurn
from schemas.options import DiarizeOptions, Options
from schemas.report import Warning_

if TYPE_CHECKING:
    from pipeline.models import ModelFiles
    from pipeline.plan import Choice

__all__ = ["load", "weights"]

REQUIRES = ("torch", "torchaudio", "pyannote.audio")
DEVICES = ("cpu", "cuda", "mps")
VERSION = 3
MODEL_KIND = "diarization"
MODEL_FORMATS = ("pyannote",)

# Share of the time at which each of pyannote's steps begins and ends, for the progress display.
_STEPS = {"segmentation": (0.0, 0.12), "embeddings": (0.12, 0.97)}


def load(choice: Choice, options: Options) -> Pyannote:
    """The pipeline on the CPU or on CUDA; on ``mps`` it checks itself when it is first used.

    Raises :class:`BackendUnavailable` for a device that torch does not see, :class:`ModelNotFound` for weights
    that are missing or cannot be used.
    """
    from pipeline.diarize import _assembly
    from pipeline.diarize.torch import use_device

    files = weights(choice, options)
    whole, *parts = files
    recipe = recipe_of(files)
    with quiet():
        use_device(choice.device)
        pipeline = _assembly.assemble(recipe, whole.path, {p.kind: p.path for p in parts})
        _assembly.move(pipeline, choice.device)
    return Pyannote(pipeline, files, choice.device)


class Pyannote:
    """The diarizer around a pipeline of pyannote.audio 4."""

    def __init__(self, pipeline: Any, files: tuple[ModelFiles, ...], device: str) -> None:
        self.pipeline = pipeline
        self.device = device
        self.model: str | None = files[0].name
        self.revision: str | None = files[0].revision
        self.cache_key = ",".join(f"{file.name}@{file.revision}" for file in files)
        self._embedding_model = embedding_model(files)
        self._unchecked = device == "mps"

    def diarize(
        self, recording: Recording, options: DiarizeOptions, progress: Callable[[float], None]
    ) -> Diarization:
        """Turns with overlap and without, labels in order of first appearance.

        Recordings of any length: shorter ones than a window are filled up with silence.
        """
        if recording.samples == 0:
            return Diarization(warnings=(no_speech(),))
        hook = _Hook(progress)
        with quiet():
            warnings = self._check_self(recording)
            found = self.pipeline(
                _as_file(recording.mapped()),
                num_speakers=options.num_speakers,
                min_speakers=options.min_speakers,
                max_speakers=options.max_speakers,
                hook=hook,
            )
        turns = _turns(found.speaker_diarization, recording.duration_s)
        exclusive = _turns(found.exclusive_speaker_diarization, recording.duration_s)
        names = _in_order_of_appearance(turns)
        turns = _renamed(turns, names)
        progress(1.0)
        diarization = Diarization(
            turns=turns,
            exclusive_turns=_renamed(exclusive, names),
            warnings=(*warnings, *count_warnings(len(names), options)),
        )
        return voice_evidence.with_evidence(diarization, hook.windows(), self._embedding_model)

    def as_released(self) -> None:
        """From now on as slow as pyannote.audio itself: the embedding's trunk once per window and speaker."""
        self.pipeline._embedding.shares = False
        self.pipeline.embedding_batch_size = 32

    def _check_self(self, recording: Recording) -> tuple[Warning_, ...]:
        """Before the first speech on a device that is not trusted: back to the CPU if its results differ."""
        if not self._unchecked:
            return ()
        from pipeline.diarize import _assembly, _self_check

        clip = _as_file(_self_check.loudest_clip(recording))
        check = _self_check.compare(lambda device, given: self._run(clip, device, given), self.device)
        self._unchecked = not check.conclusive
        if check.difference is None:
            return ()
        _assembly.move(self.pipeline, "cpu")
        failed, self.device = self.device, "cpu"
        message = f"Diarization ran on the CPU: on {failed} {check.difference}. device=cpu saves the check."
        return (Warning_(code="self_check_failed", message=message),)

    def _run(self, file: dict, device: str, segmentation: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
        """Both networks on ``device``: who speaks in each window, and the voices in ``segmentation``."""
        from pipeline.diarize import _assembly

        _assembly.move(self.pipeline, device)
        speaking = self.pipeline.get_segmentations(file)
        given = _with_data(speaking, segmentation)
        voices = self.pipeline.get_embeddings(file, given, self.pipeline.embedding_exclude_overlap)
        return speaking.data, voices


class _Hook:
    """pyannote's progress calls as one fraction that never falls. ``progress`` may raise to cancel.

    The last artifact of each step is kept: the whole one, after those of batches.
    """

    def __init__(self, progress: Callable[[float], None]) -> None:
        self._progress, self._fraction = progress, 0.0
        self._artifacts: dict[str, Any] = {}

    def __call__(
        self, step: str, artifact: Any = None, *, file: Any = None, total: int = 1, completed: int = 1
    ) -> None:
        if step in _STEPS:
            self._artifacts[step] = artifact
            start, end = _STEPS[step]
            done = start + (end - start) * min(1.0, completed / max(1, total))
            self._fraction = max(self._fraction, done)
        self._progress(self._fraction)

    def windows(self) -> voice_evidence.Windows | None:
        """What was found in the windows; none where nobody spoke, or the windows are not segmentation-3.0's."""
        activity, embeddings = (self._artifacts.get(step) for step in _STEPS)
        if activity is None or embeddings is None or activity.data.shape[1] != WINDOW_FRAMES:
            return None
        return voice_evidence.Windows(embeddings, activity.data, activity.sliding_window.step)


def _as_file(waveform: np.ndarray) -> dict:
    """(samples,) as pyannote takes a recording from memory; shared with the array, not copied."""
    import torch

    return {"waveform": torch.from_numpy(waveform)[None], "sample_rate": SAMPLE_RATE, "uri": "recording"}


def _with_data(windows: Any, data: np.ndarray | None) -> Any:
    """The same windows with other contents; as they are for none."""
    from pyannote.core import SlidingWindowFeature

    return windows if data is None else SlidingWindowFeature(data, windows.sliding_window)


def _turns(annotation: Any, duration_s: float) -> tuple[SpeakerTurn, ...]:
    """In order of their start, inside the recording, to the millisecond."""
    inside = (
        (round(max(0.0, turn.start), 3), round(min(duration_s, turn.end), 3), label)
        for turn, _, label in annotation.itertracks(yield_label=True)
    )
    turns = (SpeakerTurn(start=start, end=end, speaker=label) for start, end, label in inside if start < end)
    return tuple(sorted(turns, key=lambda turn: (turn.start, turn.end)))


def _in_order_of_appearance(turns: tuple[SpeakerTurn, ...]) -> dict[str, str]:
    found = dict.fromkeys(turn.speaker for turn in turns)
    return {label: f"SPEAKER_{number:02d}" for number, label in enumerate(found)}


def _renamed(turns: tuple[SpeakerTurn, ...], names: dict[str, str]) -> tuple[SpeakerTurn, ...]:
    return tuple(turn.model_copy(update={"speaker": names[turn.speaker]}) for turn in turns)
