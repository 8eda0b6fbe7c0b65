"""pyannote.audio's ``SpeakerDiarization`` put together from weights on disk, never from the network.

Facts about the pipeline: pyannote.audio 4.0.7 (MIT), Bredin, "pyannote.audio 2.1 speaker diarization pipeline",
Interspeech 2023, and Landini et al., "Bayesian HMM clustering of x-vector sequences (VBx)", 2022.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from contextlib import redirect_stdout
from functools import wraps
from pathlib import Path
from typing import Any

from pipeline.diarize._recipe import CONFIG_FILE, WITHIN, Recipe, is_within, unusable


def assemble(recipe: Recipe, folder: Path, elsewhere: Mapping[str, Path]) -> Any:
    """The pipeline on the CPU, with the embedding's trunk shared among the speakers of a window.

    ``folder`` is the pipeline's own; parts that do not lie in it are in ``elsewhere`` by their kind.
    Raises :class:`ModelNotFound` (``model_damaged``) for weights that cannot be used.
    """
    from pyannote.audio.pipelines import SpeakerDiarization

    from pipeline.diarize._checkpoint import load_network

    paths = {
        kind: folder / name.removeprefix(WITHIN) if is_within(name) else elsewhere[kind]
        for kind, name in recipe.parts.items()
    }
    segmentation, embedding = load_network(paths["segmentation"]), load_network(paths["embedding"])
    pyannotes_own = hasattr(embedding, "receptive_field")
    pipeline = SpeakerDiarization(
        segmentation=segmentation,
        # The constructor takes pyannote's own networks only; any of them holds the place of ours.
        embedding=embedding if pyannotes_own else segmentation,
        embedding_exclude_overlap=recipe.exclude_overlap,
        clustering=recipe.clustering,
        plda=_plda(paths.get("plda")),
        segmentation_batch_size=32,
    )
    try:
        pipeline.instantiate(dict(recipe.parameters))
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise unusable(folder / CONFIG_FILE, "its parameters are of another pipeline") from error
    if recipe.clustering == "AgglomerativeClustering":
        pipeline.clustering.cluster = _without_prints(pipeline.clustering.cluster)
    _share_trunk(pipeline, embedding, pipeline._embedding if pyannotes_own else embedding)
    move(pipeline, "cpu")
    return pipeline


def _share_trunk(pipeline: Any, network: Any, facts: Any) -> None:
    """Puts our embedding in the place of pyannote's; ``facts`` has its sample rate and its shortest input."""
    from pipeline.diarize._embedding import SharedTrunk

    shared = SharedTrunk(network, facts.sample_rate, facts.min_num_samples)
    del pipeline._embedding
    pipeline._embedding = shared


def _without_prints(function: Callable) -> Callable:
    """Clustering prints when it cannot make the clusters asked for; callers compare the count themselves."""

    @wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        with redirect_stdout(io.StringIO()):
            return function(*args, **kwargs)

    return call


def move(pipeline: Any, device: str) -> None:
    """Both networks of the pipeline to ``device``.

    A GPU wants large batches; a CPU is fastest while a layer's output stays in its cache.
    """
    import torch

    pipeline.to(torch.device(device))
    pipeline._embedding.to(torch.device(device))
    speakers = len(pipeline._segmentation.model.specifications.classes)
    pipeline.embedding_batch_size = (4 if device == "cpu" else 32) * speakers


def _plda(folder: Path | None) -> Any:
    from pyannote.audio.core.plda import PLDA

    if folder is None:  # the constructor wants one for every clustering, and would fetch it from the hub
        return PLDA.__new__(PLDA)
    try:
        return PLDA(folder / "xvec_transform.npz", folder / "plda.npz")
    except (OSError, KeyError, ValueError) as error:
        raise unusable(folder, type(error).__name__) from error
