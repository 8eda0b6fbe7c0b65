"""The hub's pipelines from folders laid out as the hub's repositories are.

The segmentation network is the real one; the hub's embedding network and PLDA are not at hand, so they have the
right shapes and random values: their voices mean nothing, but pyannote must make the same turns of them as we do.
"""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pipeline import backends, model_places, models
from pipeline.diarize import _recipe, pyannote
from pipeline.diarize._quiet import quiet
from pipeline.model_files import ModelFiles
from pipeline.plan import Choice
from pipeline.recording import Recording
from schemas.errors import DownloadFailed, ModelNotFound
from schemas.options import DiarizeOptions, Options

torch = pytest.importorskip("torch")

COMMUNITY_1 = """
dependencies:
  pyannote.audio: 4.0.0
pipeline:
  name: pyannote.audio.pipelines.SpeakerDiarization
  params:
    clustering: VBxClustering
    segmentation: $model/segmentation
    segmentation_batch_size: 32
    embedding: $model/embedding
    embedding_batch_size: 32
    embedding_exclude_overlap: true
    plda: $model/plda
params:
  clustering: {threshold: 0.6, Fa: 0.07, Fb: 0.8}
  segmentation: {min_duration_off: 0.0}
"""

VERSION_3_1 = """
version: 3.1.0
pipeline:
  name: pyannote.audio.pipelines.SpeakerDiarization
  params:
    clustering: AgglomerativeClustering
    embedding: pyannote/wespeaker-voxceleb-resnet34-LM
    embedding_batch_size: 32
    embedding_exclude_overlap: true
    segmentation: pyannote/segmentation-3.0
    segmentation_batch_size: 32
params:
  clustering: {method: centroid, min_cluster_size: 12, threshold: 0.7045654963945799}
  segmentation: {min_duration_off: 0.0}
"""


@pytest.fixture(scope="module")
def parts(diarizer, tmp_path_factory) -> Path:
    """Folders segmentation, embedding and plda, as in community-1's repository."""
    folder = tmp_path_factory.mktemp("parts")
    starter = models.find("segmentation", None, formats=("pyannote",), required=False)
    shutil.copytree(starter.path, folder / "segmentation")
    _save_random_wespeaker(folder / "embedding")
    _save_random_plda(folder / "plda")
    return folder


def _save_random_wespeaker(folder: Path) -> None:
    """A checkpoint of WeSpeaker's ResNet34 as pyannote saves them, so that its own loader reads it, too."""
    with quiet():
        from pyannote.audio.core.task import Problem, Resolution, Specifications
        from pyannote.audio.models.embedding import WeSpeakerResNet34

        torch.manual_seed(1)
        network = WeSpeakerResNet34()
    folder.mkdir()
    content = {
        "state_dict": network.state_dict(),
        "hyper_parameters": dict(network.hparams),
        "hparams_name": "kwargs",
        "pytorch-lightning_version": "2.0.2",
        "pyannote.audio": {
            "versions": {"torch": "2.0.1", "pyannote.audio": "3.0.0"},
            "architecture": {
                "module": "pyannote.audio.models.embedding.wespeaker",
                "class": "WeSpeakerResNet34",
            },
            "specifications": Specifications(
                problem=Problem.REPRESENTATION, resolution=Resolution.CHUNK, duration=5.0, classes=["a", "b"]
            ),
        },
    }
    torch.save(content, folder / "pytorch_model.bin")


def _save_random_plda(folder: Path) -> None:
    rng = np.random.default_rng(0)
    folder.mkdir()
    np.savez(
        folder / "xvec_transform.npz",
        mean1=rng.normal(size=256) * 0.01,
        mean2=rng.normal(size=128) * 0.01,
        lda=np.linalg.qr(rng.normal(size=(256, 128)))[0],
    )
    transform = np.linalg.qr(rng.normal(size=(128, 128)))[0]
    np.savez(folder / "plda.npz", mu=np.zeros(128), tr=transform, psi=np.linspace(5, 0.1, 128))


@pytest.fixture
def conversions(tmp_path, monkeypatch) -> None:
    """Converted copies of made-up pipelines do not belong in the user's cache."""
    monkeypatch.setattr(model_places, "cache_root", lambda: tmp_path / "cache")


@pytest.fixture
def community_1(parts, tmp_path, conversions) -> Path:
    folder = tmp_path / "speaker-diarization-community-1"
    shutil.copytree(parts, folder)
    (folder / "config.yaml").write_text(COMMUNITY_1, "utf-8")
    return folder


@pytest.fixture
def version_3_1(parts, tmp_path, monkeypatch, conversions) -> Path:
    """3.1's folder; the networks that it names lie elsewhere."""
    (tmp_path / "config.yaml").write_text(VERSION_3_1, "utf-8")
    elsewhere = {
        "pyannote/segmentation-3.0": parts / "segmentation",
        "pyannote/wespeaker-voxceleb-resnet34-LM": parts / "embedding",
    }
    real = models.find

    def find(kind, name, **how):
        if name in elsewhere:
            return ModelFiles(kind, name, "pyannote", elsewhere[name], "r1", "hub", None)
        return real(kind, name, **how)

    monkeypatch.setattr(models, "find", find)
    return tmp_path


@pytest.fixture(scope="module")
def short(clip) -> Recording:
    """Twelve seconds: pyannote runs its network nine times for our three."""
    return Recording.from_array(clip.mapped()[: 12 * 16_000])


def load(folder: Path) -> pyannote.Pyannote:
    return pyannote.load(Choice("pyannote", model=str(folder), model_required=True), Options())


def load_pyannote(choice: Choice) -> pyannote.Pyannote:
    return pyannote.load(replace(choice, backend="pyannote"), Options())


def theirs(folder: Path, recording: Recording) -> tuple[list, list]:
    """Full and exclusive turns of pyannote's own loader and pipeline, as (start, end) in milliseconds."""
    with quiet():
        from pyannote.audio import Pipeline

        pipeline = Pipeline.from_pretrained(folder)
        found = pipeline(pyannote._as_file(recording.mapped()))
    return tuple(
        sorted((round(turn.start, 3), round(turn.end, 3)) for turn in annotation.itersegments())
        for annotation in (found.speaker_diarization, found.exclusive_speaker_diarization)
    )


def ours(diarizer: pyannote.Pyannote, recording: Recording, **counts: int) -> tuple[list, list]:
    found = diarizer.diarize(recording, DiarizeOptions(**counts), lambda _: None)
    assert found.turns
    return tuple(sorted((t.start, t.end) for t in turns) for turns in (found.turns, found.exclusive_turns))


def test_community_1_gives_the_turns_of_pyannotes_own_loader_and_pipeline(community_1, short):
    diarizer = load(community_1)
    assert ours(diarizer, short) == theirs(community_1, short)
    assert type(diarizer.pipeline.clustering).__name__ == "VBxClustering"
    assert diarizer.model == str(community_1)


def test_the_core_gives_community_1s_turns_too(community_1, short):
    """Its VBx and PLDA, and WeSpeaker's ResNet34, without pyannote."""
    choice = Choice("torch", model=str(community_1), model_required=True)
    core = backends.load("diarize", choice, Options())
    found = core.diarize(short, DiarizeOptions(diarize_mode="exact"), lambda _: None)
    turns = tuple(sorted((t.start, t.end) for t in some) for some in (found.turns, found.exclusive_turns))
    assert turns == ours(load(community_1), short)
    assert core.model == str(community_1)
    forced = core.diarize(short, DiarizeOptions(num_speakers=len(found.speakers) + 1), lambda _: None)
    assert "speakers_forced" in [warning.code for warning in forced.warnings]


def test_the_core_puts_3_1_together_from_the_networks_that_it_names(version_3_1, short):
    choice = Choice("torch", model=str(version_3_1), model_required=True)
    core = backends.load("diarize", choice, Options())
    clustering = core.pipeline.clustering
    assert (clustering.threshold, clustering.min_cluster_size) == (0.7045654963945799, 12)
    assert core.pipeline.networks.embedding.dimension == 256
    found = core.diarize(short, DiarizeOptions(num_speakers=2, diarize_mode="exact"), lambda _: None)
    turns = tuple(sorted((t.start, t.end) for t in some) for some in (found.turns, found.exclusive_turns))
    assert turns == ours(load_pyannote(choice), short, num_speakers=2)


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        ("Fa: 0.07", "method: centroid", "Fa"),
        ("embedding: $model/embedding", "embedding: $model/segmentation", "no embedding network"),
    ],
)
def test_the_core_refuses_what_it_cannot_run(community_1, old, new, why):
    config = community_1 / "config.yaml"
    config.write_text(COMMUNITY_1.replace(old, new), "utf-8")
    with pytest.raises(ModelNotFound, match=why) as caught:
        backends.load("diarize", Choice("torch", model=str(community_1), model_required=True), Options())
    assert caught.value.code == "model_damaged"


def test_3_1_is_put_together_from_the_networks_that_it_names(version_3_1, short):
    choice = Choice("pyannote", model=str(version_3_1), model_required=True)
    files = pyannote.weights(choice, Options())
    assert [file.kind for file in files] == ["diarization", "segmentation", "embedding"]
    diarizer = pyannote.load(choice, Options())
    clustering = diarizer.pipeline.clustering
    assert (clustering.method, clustering.threshold) == ("centroid", 0.7045654963945799)
    assert diarizer.pipeline.embedding_exclude_overlap
    assert ours(diarizer, short, num_speakers=2)


def test_a_pipeline_that_is_not_there_is_an_error_with_its_command_when_it_was_named(monkeypatch, tmp_path):
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    for name in ("pyannote/speaker-diarization-3.1", "pyannote/speaker-diarization-community-1"):
        with pytest.raises(ModelNotFound) as caught:
            pyannote.load(Choice("pyannote", model=name, model_required=True), Options())
        assert caught.value.code == "model_not_downloaded"
        assert name in caught.value.message
        assert "models pull" in caught.value.hint


def nothing(kind, name, **_):
    raise ModelNotFound(f"no {kind}", code="model_not_downloaded", hint=f"get {name or kind}")


def test_without_the_default_the_starter_networks_stand_in_and_the_result_says_so(diarizer, monkeypatch):
    real = models.find
    monkeypatch.setattr(
        models,
        "find",
        lambda kind, name, **how: (nothing if kind == "diarization" else real)(kind, name, **how),
    )
    files = pyannote.weights(Choice("pyannote"), Options())
    assert [file.kind for file in files] == ["diarization", "segmentation", "embedding"]
    warnings = [models.substitute_warning(file) for file in files]
    assert [warning.code for warning in warnings if warning] == ["model_substituted"]
    assert "speaker-diarization-community-1" in warnings[0].message
    assert "models pull" in warnings[0].message
    assert files[1].revision in files[0].revision
    assert files[2].revision in files[0].revision


def test_a_failed_download_of_the_default_falls_back_to_the_starter_networks(diarizer, monkeypatch):
    real = models.find

    def find(kind, name, **how):
        if kind == "diarization":
            raise DownloadFailed("gated", hint="accept the conditions")
        return real(kind, name, **how)

    monkeypatch.setattr(models, "find", find)
    assert pyannote.weights(Choice("pyannote"), Options())[0].source == "starter"


def test_without_any_weights_the_error_names_both_ways_to_get_some(monkeypatch):
    monkeypatch.setattr(models, "find", nothing)
    with pytest.raises(ModelNotFound) as caught:
        pyannote.weights(Choice("pyannote"), Options())
    assert caught.value.code == "model_not_downloaded"
    assert "get diarization" in caught.value.hint
    assert "models pull starter" in caught.value.hint


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("pyannote.audio.pipelines.SpeakerDiarization", "os.system"),
        ("VBxClustering", "OracleClustering"),
        ("    plda: $model/plda\n", ""),
        ("    segmentation: $model/segmentation\n", ""),
        ("pipeline:", "pipelines:"),
        (COMMUNITY_1, ": ] not yaml"),
        (COMMUNITY_1, ""),
    ],
)
def test_a_config_of_another_kind_is_refused(tmp_path, old, new):
    (tmp_path / "config.yaml").write_text(COMMUNITY_1.replace(old, new), "utf-8")
    with pytest.raises(ModelNotFound) as caught:
        _recipe.read_recipe(tmp_path)
    assert caught.value.code == "model_damaged"


def test_parameters_of_another_pipeline_are_refused(community_1):
    config = community_1 / "config.yaml"
    config.write_text(COMMUNITY_1.replace("Fa: 0.07", "method: centroid"), "utf-8")
    with pytest.raises(ModelNotFound, match="parameters") as caught:
        load(community_1)
    assert caught.value.code == "model_damaged"


def test_a_damaged_plda_is_refused(community_1):
    (community_1 / "plda" / "plda.npz").write_bytes(b"nothing")
    with pytest.raises(ModelNotFound) as caught:
        load(community_1)
    assert caught.value.code == "model_damaged"


def test_a_part_cannot_lie_outside_the_folder(tmp_path):
    (tmp_path / "config.yaml").write_text(COMMUNITY_1.replace("$model/embedding", "$model/../../x"), "utf-8")
    with pytest.raises(ModelNotFound, match="outside"):
        _recipe.read_recipe(tmp_path)
