"""The diarizer around pyannote's method in numpy, whichever framework runs its two networks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from pipeline import voice_evidence
from pipeline.diarize._recipe import CONFIG_FILE, Recipe, embedding_model, parts_of, recipe_of, unusable
from pipeline.diarize._warnings import count_warnings, forced
from pipeline.recording import Recording
from schemas.diarization import Diarization
from schemas.options import DiarizeOptions

if TYPE_CHECKING:
    from pipeline.diarization_core.clustering import Bounds, Clustering
    from pipeline.diarization_core.core import Mode, Networks, Pipeline
    from pipeline.diarization_core.short_stretches import ShortStretches
    from pipeline.diarize._converted import NetworkWeights
    from pipeline.model_files import ModelFiles

BuildNetworks = Callable[["NetworkWeights", "NetworkWeights"], "Networks"]


def assemble(files: tuple[ModelFiles, ...], build: BuildNetworks) -> Pipeline:
    """The pipeline of the ``files`` that :func:`pipeline.diarize._recipe.weights` found.

    ``build`` makes the networks of the segmentation's and the embedding's weights. Raises :class:`ModelNotFound`
    (``model_damaged``) for weights or parameters that cannot be used.
    """
    from pipeline.diarization_core.core import Pipeline
    from pipeline.diarize._converted import network_weights

    recipe = recipe_of(files)
    parts = parts_of(recipe, files)
    segmentation, embedding = (network_weights(parts[kind]) for kind in ("segmentation", "embedding"))
    for weights, kind in ((segmentation, "segmentation"), (embedding, "embedding")):
        if (weights.architecture == "PyanNet") != (kind == "segmentation"):
            raise unusable(parts[kind].path, f"{weights.architecture} is no {kind} network")
    try:
        clustering = _clustering(recipe, parts)
        pause = float(recipe.parameters.get("segmentation", {}).get("min_duration_off", 0.0))
        networks = build(segmentation, embedding)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise unusable(files[0].path / CONFIG_FILE, f"{type(error).__name__}: {error}") from error
    return Pipeline(networks, clustering, recipe.exclude_overlap, pause, stretches=_stretches(recipe))


def _clustering(recipe: Recipe, parts: Mapping[str, ModelFiles]) -> Clustering:
    from pipeline.diarization_core.clustering import Agglomerative, Vbx

    asked = dict(recipe.parameters["clustering"])
    if recipe.clustering == "VBxClustering":
        return Vbx(_plda(parts["plda"]), float(asked["threshold"]), float(asked["Fa"]), float(asked["Fb"]))
    if asked["method"] != "centroid":
        raise ValueError(f"clustering by {asked['method']}; diarize_backend=pyannote can do it")
    return Agglomerative(float(asked["threshold"]), int(asked["min_cluster_size"]))


def _stretches(recipe: Recipe) -> ShortStretches | None:
    from pipeline.diarization_core.clustering import Agglomerative
    from pipeline.diarization_core.short_stretches import ShortStretches

    if recipe.stretches is None:
        return None
    return ShortStretches(Agglomerative(**recipe.stretches, method="average", metric="cosine"))


def _plda(files: ModelFiles) -> Any:
    from zipfile import BadZipFile

    import numpy as np

    from pipeline.diarization_core.plda import Plda

    try:
        return Plda.from_files(files.path / "xvec_transform.npz", files.path / "plda.npz")
    except (OSError, KeyError, ValueError, BadZipFile, np.linalg.LinAlgError) as error:
        raise unusable(files.path, type(error).__name__) from error


class CoreDiarizer:
    """As :class:`pipeline.diarize.Diarizer`. ``mode`` is that of the last recording."""

    def __init__(
        self, pipeline: Pipeline, files: tuple[ModelFiles, ...], device: str, check: Callable[[], None]
    ) -> None:
        """``check`` is called before the networks run, and may refuse (MLX belongs to one thread)."""
        self.pipeline, self.device, self._check = pipeline, device, check
        self.model: str | None = files[0].name
        self.revision: str | None = files[0].revision
        self.cache_key = ",".join(f"{file.name}@{file.revision}" for file in files)
        self._embedding_model = embedding_model(files)
        self.mode: Mode | None = None

    def diarize(
        self, recording: Recording, options: DiarizeOptions, progress: Callable[[float], None]
    ) -> Diarization:
        """Turns with overlap and without, labels in order of first appearance; recordings of any length."""
        from pipeline.diarization_core import core

        self._check()
        self.mode = mode_of(options, self.pipeline)
        pipeline = self.pipeline if self.mode == "exact" else core.constrained(self.pipeline)
        found = core.diarize(recording, pipeline, bounds_of(options), mode=self.mode, progress=progress)
        warnings = count_warnings(len({turn.speaker for turn in found.turns}), options)
        if found.by_itself is not None:
            warnings += (forced(found.by_itself),)
        windows = None
        if found.activity is not None and found.embeddings is not None:
            windows = voice_evidence.Windows(found.embeddings, found.activity, self.pipeline.step_s)
        turns = Diarization(turns=found.turns, exclusive_turns=found.exclusive_turns, warnings=warnings)
        return voice_evidence.with_evidence(turns, windows, self._embedding_model)


def mode_of(options: DiarizeOptions, pipeline: Pipeline) -> Mode:
    """``auto`` is ``fast`` where that goes by short stretches, which is more often right, else ``exact``.

    docs/diarization.md has the figures of both.
    """
    if options.diarize_mode != "auto":
        return options.diarize_mode
    return "exact" if pipeline.stretches is None else "fast"


def bounds_of(options: DiarizeOptions) -> Bounds:
    """As pyannote reads them."""
    from pipeline.diarization_core.clustering import Bounds

    if options.num_speakers is not None:
        return Bounds(options.num_speakers, options.num_speakers, options.num_speakers)
    return Bounds(options.min_speakers or 1, options.max_speakers)
