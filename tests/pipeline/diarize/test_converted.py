"""Weights out of checkpoints without torch, and without running what a checkpoint names."""

from __future__ import annotations

import os
import pickle
import zipfile

import numpy as np
import pytest

from pipeline.diarize import _converted, _torch_file
from pipeline.model_files import ModelFiles
from schemas.errors import ModelNotFound

torch = pytest.importorskip("torch")


@pytest.mark.parametrize(
    ("kind", "name", "format"),
    [("segmentation", "segmentation-3.0", "pyannote"), ("embedding", "campplus", "torch")],
)
def test_arrays_are_what_torch_reads(starter_weights, kind, name, format):
    path = starter_weights(kind, name, format).path
    file = path / "pytorch_model.bin" if path.is_dir() else path
    from pipeline.diarize._checkpoint import _unpickle

    theirs = _unpickle(file)
    ours = _torch_file.read(file)
    if kind == "segmentation":
        assert ours["pyannote.audio"]["architecture"]["class"] == "PyanNet"
        ours, theirs = ours["state_dict"], theirs["state_dict"]
    assert list(ours) == list(theirs)
    for key, tensor in theirs.items():
        np.testing.assert_array_equal(ours[key], tensor.numpy())


def test_views_strides_and_types_are_kept(tmp_path):
    base = torch.arange(24, dtype=torch.float32).reshape(4, 6)
    tensors = {
        "turned": base.t(),
        "part": base[1:3, 2:5],
        "half": base.half(),
        "whole": torch.tensor([1, 2]),
        "scalar": torch.tensor(3.0),
    }
    torch.save(tensors, tmp_path / "x.bin")
    found = _torch_file.read(tmp_path / "x.bin")
    for name, tensor in tensors.items():
        np.testing.assert_array_equal(found[name], tensor.numpy())
        assert found[name].dtype == tensor.numpy().dtype


def test_nothing_that_a_checkpoint_names_is_run(tmp_path):
    class Evil:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "made"),)

    torch.save({"x": torch.ones(2), "evil": Evil()}, tmp_path / "x.bin")
    found = _torch_file.read(tmp_path / "x.bin")
    assert found["x"].tolist() == [1, 1]
    assert isinstance(found["evil"], _torch_file.Unknown)
    assert not (tmp_path / "made").exists()


def archive(path, content: bytes) -> None:
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("archive/data.pkl", content)


def test_what_is_no_checkpoint_is_refused(tmp_path):
    file = tmp_path / "x.bin"
    for content in (b"", b"nothing", pickle.dumps({"x": 1})):
        file.write_bytes(content)
        with pytest.raises(ValueError, match="not a torch checkpoint"):
            _torch_file.read(file)
    archive(file, pickle.dumps([1, 2]))
    with pytest.raises(ValueError, match="dictionary"):
        _torch_file.read(file)
    archive(file, pickle.dumps({"x": 1})[:-3])
    with pytest.raises(ValueError, match="breaks off"):
        _torch_file.read(file)


def test_a_tensor_beyond_its_storage_is_refused():
    with pytest.raises(ValueError, match="beyond"):
        _torch_file._tensor(np.zeros(4, np.float32), 2, (3,), (1,))


def files(path, name="made") -> ModelFiles:
    return ModelFiles("embedding", name, "torch", path, "r1", "local", None)


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("WHISPERX_MLX_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def campplus_like(**more) -> dict:
    return {
        "head.conv1.weight": torch.ones(32, 1, 3, 3),
        "xvector.dense.linear.weight": torch.ones(192, 1024, 1),
        **more,
    }


def test_arrays_are_kept_and_made_again_when_damaged(tmp_path, cache):
    file = tmp_path / "x.pt"
    torch.save(campplus_like(a=torch.arange(3.0)), file)
    assert _converted.network_weights(files(file)).architecture == "CamPlusPlus"
    (kept,) = cache.rglob("weights.safetensors")
    made = kept.stat().st_mtime_ns
    again = _converted.network_weights(files(file))
    assert again.state["a"].tolist() == [0, 1, 2]
    assert kept.stat().st_mtime_ns == made
    kept.write_bytes(b"damaged")
    assert _converted.network_weights(files(file)).state["a"].tolist() == [0, 1, 2]


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ({"a": 1}, "no weights"),
        (campplus_like(a=torch.tensor([float("nan")])), "not finite"),
        ({"a": torch.ones(1)}, "another size"),
        ({"pyannote.audio": {"architecture": {"class": "SSeRiouSS"}}, "state_dict": {}}, "no weights"),
        (
            {"pyannote.audio": {"architecture": {"class": "SSeRiouSS"}}, "state_dict": {"a": torch.ones(1)}},
            "diarize_backend=pyannote",
        ),
        ({"pyannote.audio": {}}, "pyannote.audio's checkpoints"),
    ],
)
def test_other_networks_are_refused(tmp_path, cache, content, why):
    file = tmp_path / "x.pt"
    torch.save(content, file)
    with pytest.raises(ModelNotFound, match=why) as caught:
        _converted.network_weights(files(file))
    assert caught.value.code == "model_damaged"
    assert not list(cache.rglob("weights.safetensors"))
