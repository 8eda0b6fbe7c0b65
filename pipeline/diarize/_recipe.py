"""What a diarization pipeline is made of, and where its parts lie."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from schemas.errors import DownloadFailed, ModelNotFound, SetupError
from schemas.options import Options

if TYPE_CHECKING:
    from pipeline.models import ModelFiles
    from pipeline.plan import Choice

CONFIG_FILE = "config.yaml"
PIPELINES = ("pyannote.audio.pipelines.SpeakerDiarization", "SpeakerDiarization")
CLUSTERINGS = ("AgglomerativeClustering", "VBxClustering")
WITHIN = "$model/"  # a part of the pipeline's own repository
PART_FORMATS = {"segmentation": ("pyannote",), "embedding": ("pyannote", "torch"), "plda": ("numpy",)}


@dataclass(frozen=True)
class Recipe:
    """What a pipeline is made of.

    ``parts`` are the segmentation, the embedding and, for VBx, the PLDA: each a name of its own (a hub repository)
    or ``$model/folder`` in the pipeline's own folder. ``parameters`` are pyannote's hyper-parameters.
    """

    parts: Mapping[str, str]
    clustering: str = "AgglomerativeClustering"
    exclude_overlap: bool = True
    parameters: Mapping[str, Any] = field(default_factory=dict)
    stretches: Mapping[str, Any] | None = None


# speaker-diarization-3.1's, whose threshold was found for WeSpeaker's embeddings. It is right for CAM++'s, too: at
# 0.65 the AMI excerpts of the accuracy tests are five points worse, at 0.75 the synthetic meeting is eighteen.
STARTER = Recipe(
    parts={"segmentation": "segmentation-3.0", "embedding": "campplus"},
    parameters={
        "segmentation": {"min_duration_off": 0.0},
        "clustering": {"method": "centroid", "min_cluster_size": 12, "threshold": 0.7045654963945799},
    },
    # On the simulated meetings for tuning: 0.55 17.1, 0.60 14.5, 0.65 13.0, 0.70 19.1 % DER.
    stretches={"threshold": 0.63, "min_cluster_size": 6},
)


def recipe_of(files: tuple[ModelFiles, ...]) -> Recipe:
    """The recipe of what :func:`weights` found. Raises as :func:`read_recipe` does."""
    return STARTER if files[0].source == "starter" else read_recipe(files[0].path)


def embedding_model(files: tuple[ModelFiles, ...]) -> str:
    """Name and revision of the embedding network, which may be a part of the pipeline itself."""
    file = next((file for file in files if file.kind == "embedding"), files[0])
    return f"{file.name}@{file.revision}"


def parts_of(recipe: Recipe, files: tuple[ModelFiles, ...]) -> dict[str, ModelFiles]:
    """Each part's files by its kind; what lies in the pipeline's own folder has the pipeline's revision."""
    whole, *others = files
    elsewhere = {part.kind: part for part in others}
    return {
        kind: replace(whole, kind=kind, name=f"{whole.name}/{kind}", path=whole.path / name[len(WITHIN) :])
        if is_within(name)
        else elsewhere[kind]
        for kind, name in recipe.parts.items()
    }


def read_recipe(folder: Path) -> Recipe:
    """The recipe in a pipeline's folder (its ``config.yaml``).

    Raises :class:`ModelNotFound` (``model_damaged``) for a file that is not a diarization pipeline.
    """
    import yaml

    file = folder / CONFIG_FILE
    try:
        config = yaml.safe_load(file.read_text("utf-8"))
        params = config["pipeline"]["params"]
        clustering = params["clustering"]
        parts = ("segmentation", "embedding", *(["plda"] if clustering == "VBxClustering" else []))
        recipe = Recipe(
            parts={part: str(params[part]) for part in parts},
            clustering=clustering,
            exclude_overlap=bool(params.get("embedding_exclude_overlap", False)),
            parameters=dict(config["params"]),
        )
        known = config["pipeline"]["name"] in PIPELINES and clustering in CLUSTERINGS
    except (OSError, UnicodeDecodeError, yaml.YAMLError, KeyError, TypeError, ValueError) as error:
        raise unusable(file, type(error).__name__) from error
    if not known:
        raise unusable(file, "its pipeline is of another kind")
    if any(".." in PurePosixPath(part).parts for part in recipe.parts.values()):
        raise unusable(file, "it names files outside its folder")
    return recipe


def is_within(part: str) -> bool:
    """Whether a part lies in the pipeline's own folder."""
    return part.startswith(WITHIN)


def weights(choice: Choice, options: Options) -> tuple[ModelFiles, ...]:
    """The pipeline, and the networks that do not lie in its own folder.

    Without the default pipeline the first entry stands for the starter networks behind it.
    Raises :class:`schemas.errors.ModelNotFound` when they are not on this machine, and
    :class:`schemas.errors.DownloadFailed` when fetching was allowed and failed.
    """
    try:
        whole = _find("diarization", choice.model, ("pyannote",), True, options)
    except (ModelNotFound, DownloadFailed) as error:
        if choice.model_required or error.code == "model_damaged":
            raise
        return _starters(options, error)
    recipe = read_recipe(whole.path)
    return (
        whole,
        *(
            _find(kind, name, PART_FORMATS[kind], True, options)
            for kind, name in recipe.parts.items()
            if not is_within(name)
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


def unusable(path: Path, why: str) -> ModelNotFound:
    """The error for a pipeline that is not one, or is damaged."""
    return ModelNotFound(
        f"{path} is not a speaker diarization pipeline that can be used: {why}",
        code="model_damaged",
        hint="name pyannote/speaker-diarization-community-1 or -3.1, or fetch the model again",
    )
