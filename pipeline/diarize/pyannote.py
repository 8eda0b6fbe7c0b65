"""pyannote.audio's speaker diarization: powerset segmentation, speaker embeddings, clustering.

Plaquet and Bredin, "Powerset multi-class cross entropy loss for neural speaker diarization", Interspeech 2023;
Bredin, "pyannote.audio 2.1 speaker diarization pipeline", Interspeech 2023. Its pipelines 3.1 and community-1 run
from the hub's files, with their own results; without them the segmentation network of both works with CAM++
embeddings, all of it openly licensed. Asking community-1 for another number of speakers than it finds makes it
cluster by k-means, which is much worse than its own clustering: ask only when the number is known.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from pipeline import voice_evidence
from pipeline.diarization_core.frames import WINDOW_FRAMES
from pipeline.diarize._quiet import quiet
from pipeline.recording import SAMPLE_RATE, Recording
from schemas.diarization import Diarization, SpeakerTurn
from schemas.errors import BackendUnavailable, DownloadFailed, ModelNotFound, SetupError
from schemas.options import DiarizeOptions, Options
from schemas.report import Warning_

if TYPE_CHECKING:
    from pipeline.models import ModelFiles
    from pipeline.plan import Choice

REQUIRES = ("torch", "torchaudio", "pyannote.audio")
DEVICES = ("cpu", "cuda", "mps")
VERSION = 2
MODEL_KIND = "diarization"
MODEL_FORMATS = ("pyannote",)
PART_FORMATS = {"segmentation": ("pyannote",), "embedding": ("pyannote", "torch"), "plda": ("numpy",)}

# Share of the time at which each of pyannote's steps begins and ends, for the progress display.
_STEPS = {"segmentation": (0.0, 0.12), "embeddings": (0.12, 0.97)}


def weights(choice: Choice, options: Options) -> tuple[ModelFiles, ...]:
    """The pipeline, and the networks that do not lie in its own folder.

    Without the default pipeline the first entry stands for the starter networks behind it.
    Raises :class:`schemas.errors.ModelNotFound` when they are not on this machine, and
    :class:`schemas.errors.DownloadFailed` when fetching was allowed and failed.
    """
    from pipeline.diarize import _assembly

    try:
        whole = _find("diarization", choice.model, MODEL_FORMATS, True, options)
    except (ModelNotFound, DownloadFailed) as error:
        if choice.model_required or error.code == "model_damaged":
            raise
        return _starters(options, error)
    recipe = _assembly.read_recipe(whole.path)
    return (
        whole,
        *(
            _find(kind, name, PART_FORMATS[kind], True, options)
            for kind, name in recipe.parts.items()
            if not _assembly.is_within(name)
        ),
    )


def _starters(options: Options, missing: SetupError) -> tuple[ModelFiles, ...]:
    from pipeline.model_table import DEFAULTS

    try:
        parts = [_find(k, None, PART_FORMATS[k], False, options) for k in ("segmentation", "embedding")]
    except ModelNotFound:
        raise ModelNotFound(
            missing.message,
            code=missing.code,
            hint=f"{missing.hint}; or, for freely licensed ones, `whisperx-mlx models pull starter`",
        ) from None
    whole = replace(
        parts[1],
        kind="diarization",
        name=" + ".join(part.name for part in parts),
        revision="+".join(str(part.revision) for part in parts),
        source="starter",
        wanted=DEFAULTS["diarization"],
    )
    return (whole, *(replace(part, wanted=None) for part in parts))


def _find(
    kind: str, name: str | None, formats: tuple[str, ...], required: bool, options: Options
) -> ModelFiles:
    from pipeline import models

    return models.find(
        kind,
        name,
        formats=formats,
        required=required,
        model_dir=options.model_dir,
        allow_download=options.allow_download,
    )


def load(choice: Choice, options: Options) -> Pyannote:
    """The pipeline on the CPU or on CUDA; on ``mps`` it checks itself when it is first used.

    Raises :class:`BackendUnavailable` for a device that torch does not see, :class:`ModelNotFound` for weights
    that are missing or cannot be used.
    """
    from pipeline.diarize import _assembly

    files = weights(choice, options)
    whole, *parts = files
    recipe = _assembly.STARTER if whole.source == "starter" else _assembly.read_recipe(whole.path)
    with quiet():
        _check_device(choice.device)
        pipeline = _assembly.assemble(recipe, whole.path, {p.kind: p.path for p in parts})
        _assembly.move(pipeline, choice.device)
    return Pyannote(pipeline, files, choice.device)


def _embedding_model(files: tuple[ModelFiles, ...]) -> str:
    """Name and revision of the embedding network, which may be a part of the pipeline itself."""
    file = next((file for file in files if file.kind == "embedding"), files[0])
    return f"{file.name}@{file.revision}"


def _check_device(device: str) -> None:
    import torch

    seen = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if not seen.get(device, False):
        raise BackendUnavailable(
            f"torch does not see the device {device!r}",
            hint="use device=cpu, or install torch's build for it",
        )


class Pyannote:
    """The diarizer around a pipeline of pyannote.audio 4."""

    def __init__(self, pipeline: Any, files: tuple[ModelFiles, ...], device: str) -> None:
        self.pipeline = pipeline
        self.device = device
        self.model: str | None = files[0].name
        self.revision: str | None = files[0].revision
        self.cache_key = ",".join(f"{file.name}@{file.revision}" for file in files)
        self._embedding_model = _embedding_model(files)
        self._unchecked = device == "mps"

    def diarize(
        self, recording: Recording, options: DiarizeOptions, progress: Callable[[float], None]
    ) -> Diarization:
        """Turns with overlap and without, labels in order of first appearance.

        Recordings of any length: shorter ones than a window are filled up with silence.
        """
        if recording.samples == 0:
            return Diarization(warnings=(_no_speech(),))
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
            warnings=(*warnings, *_count_warnings(len(names), options)),
        )
        return voice_evidence.with_evidence(diarization, hook.windows(), self._embedding_model)

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


def _count_warnings(found: int, options: DiarizeOptions) -> tuple[Warning_, ...]:
    if found == 0:
        return (_no_speech(),)
    least = options.num_speakers or options.min_speakers or 1
    most = options.num_speakers or options.max_speakers or found
    if least <= found <= most:
        return ()
    bound = f"at least {least}" if found < least else f"at most {most}"
    message = (
        f"Asked for {options.num_speakers or bound} speakers, found {found}: there is too little speech of a "
        "single voice at a time to divide it that way. Without a number the count is estimated."
    )
    return (Warning_(code="speaker_limit", message=message),)


def _no_speech() -> Warning_:
    return Warning_(code="no_speech", message="No speech was found, so there are no speakers.")
