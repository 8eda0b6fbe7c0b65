"""Networks from files: what loads, and what is refused before it can do harm."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pipeline.diarize._checkpoint import load_network
from pipeline.diarize._quiet import quiet
from schemas.errors import ModelNotFound

torch = pytest.importorskip("torch")


@pytest.fixture(scope="module")
def segmentation(diarizer) -> Path:
    """The starter segmentation network's folder."""
    from pipeline import models

    return models.find("segmentation", None, formats=("pyannote",), required=False).path


def test_a_folder_and_its_file_load_the_same_network(segmentation):
    with quiet():
        one, other = load_network(segmentation), load_network(segmentation / "pytorch_model.bin")
    assert type(one).__name__ == type(other).__name__ == "PyanNet"
    assert not one.training
    assert one.specifications.powerset
    for a, b in zip(one.parameters(), other.parameters(), strict=True):
        assert torch.equal(a, b)
        assert not a.requires_grad


def test_the_weights_are_those_that_pyannotes_own_loader_reads(segmentation):
    with quiet():
        from pyannote.audio import Model

        theirs = Model.from_pretrained(segmentation).state_dict()
        ours = load_network(segmentation).state_dict()
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


class Harm:
    """Unpickling it would write a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return (os.mkdir, (str(self.path),))


def test_a_pickle_that_brings_code_is_refused_and_not_run(tmp_path):
    written = tmp_path / "harm"
    torch.save({"pyannote.audio": Harm(written)}, tmp_path / "pytorch_model.bin")
    with pytest.raises(ModelNotFound, match="could run code") as caught:
        load_network(tmp_path)
    assert caught.value.code == "model_damaged"
    assert not written.exists()


def checkpoint(tmp_path: Path, module: str, name: str) -> Path:
    content = {
        "pyannote.audio": {"architecture": {"module": module, "class": name}},
        "hyper_parameters": {},
        "state_dict": {},
    }
    torch.save(content, tmp_path / "pytorch_model.bin")
    return tmp_path


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("os", "system"),
        ("pyannote.audio.models.segmentation", "Path"),
        ("pyannote.audio.models.segmentationx", "PyanNet"),
        ("pyannote.audio.core.io", "Audio"),
    ],
)
def test_a_class_that_is_no_known_network_is_refused(tmp_path, module, name):
    with pytest.raises(ModelNotFound, match="ValueError"):
        load_network(checkpoint(tmp_path, module, name))


def test_a_network_without_its_weights_is_refused(tmp_path):
    with quiet(), pytest.raises(ModelNotFound):
        load_network(checkpoint(tmp_path, "pyannote.audio.models.segmentation.PyanNet", "PyanNet"))


@pytest.mark.parametrize("content", [b"", b"<html>not found</html>", b"PK\x03\x04 broken off"])
def test_a_file_that_is_no_checkpoint_is_damaged(tmp_path, content):
    (tmp_path / "pytorch_model.bin").write_bytes(content)
    with pytest.raises(ModelNotFound) as caught:
        load_network(tmp_path)
    assert caught.value.code == "model_damaged"
    assert "models pull" in caught.value.hint


def test_a_checkpoint_that_breaks_off_is_damaged(segmentation, tmp_path):
    whole = (segmentation / "pytorch_model.bin").read_bytes()
    (tmp_path / "pytorch_model.bin").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ModelNotFound) as caught:
        load_network(tmp_path)
    assert caught.value.code == "model_damaged"


@pytest.mark.parametrize("content", [[1.0], {"head.conv1.weight": torch.zeros(1)}])
def test_other_weights_are_damaged(tmp_path, content):
    torch.save(content, tmp_path / "weights.pt")
    with quiet(), pytest.raises(ModelNotFound):
        load_network(tmp_path / "weights.pt")


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(ModelNotFound, match="missing"):
        load_network(tmp_path)
