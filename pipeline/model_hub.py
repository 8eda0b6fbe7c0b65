"""The Hugging Face hub and torch's own download cache: what lies there, and fetching what does not.

Together with :mod:`pipeline.model_wheels` the only code that meets a network, and only when asked to download.
``HF_HOME``, ``HF_HUB_CACHE``, ``HF_HUB_OFFLINE``, ``HF_ENDPOINT``, ``HF_TOKEN`` and ``TORCH_HOME`` mean what they
mean to those libraries.
"""

from __future__ import annotations

import os
import socket
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from pipeline.model_files import Progress, needed, require_space, watched
from pipeline.model_table import Bundle, Hub
from schemas.errors import DownloadFailed, ModelNotFound

_TIMEOUT_S = 5.0
_ATTEMPTS = 4

_WANTED: dict[str, tuple[tuple[str, ...], ...]] = {
    # what to download, in groups; of a group that is a choice of weights the first pattern that matches is taken
    "ctranslate2": (
        ("model.bin",),
        ("config.json",),
        ("tokenizer.json",),
        ("vocabulary.*",),
        ("preprocessor_config.json",),
    ),
    "mlx": (("weights.safetensors", "weights.npz"), ("config.json",)),
    "transformers": (
        ("model.safetensors", "model-*.safetensors", "pytorch_model.bin", "pytorch_model-*.bin"),
        ("*.json",),
        ("*.txt",),
    ),
    "pyannote": (("config.yaml",), ("pytorch_model.bin",), ("*/pytorch_model.bin",), ("*/*.npz",)),
    "numpy": (("*.npz",),),
}


def cache_folder() -> Path:
    """Where huggingface_hub keeps its downloads, by its own environment variables."""
    for variable in ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"):
        if named := os.environ.get(variable):
            return Path(named).expanduser().absolute()
    home = os.environ.get("HF_HOME")
    return (Path(home).expanduser().absolute() if home else _user_cache() / "huggingface") / "hub"


def torch_folder() -> Path:
    """Where torch (and so torchaudio) keeps its downloads."""
    home = os.environ.get("TORCH_HOME")
    return (Path(home).expanduser().absolute() if home else _user_cache() / "torch") / "hub" / "checkpoints"


def _user_cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser().absolute()


def cached(source: Hub, kind: str, cache: Path) -> tuple[Path, str] | None:
    """The folder of ``source`` in a hub cache and its commit; none unless every file that is needed is there.

    The pinned revision is preferred; what another program fetched from the main branch serves as well, but a
    revision that the user named is the only one that counts.
    """
    if not (cache / f"models--{source.repository.replace('/', '--')}").is_dir():
        return None  # spares the import of huggingface_hub
    try_to_load = _library().try_to_load_from_cache
    prefix = f"{source.folder}/" if source.folder else ""

    def path(name: str, revision: str) -> Path | None:
        found = try_to_load(source.repository, prefix + name, cache_dir=cache, revision=revision)
        return Path(found) if isinstance(found, str) and Path(found).is_file() else None

    for revision in dict.fromkeys((source.revision or "main", *(() if source.strict else ("main",)))):
        groups = [[p for name in group if (p := path(name, revision))] for group in _groups(source, kind)]
        if groups and all(groups):
            folder = groups[0][0].parent
            snapshot = folder.parent if source.folder else folder
            return folder, snapshot.name
    return None


def download(source: Hub, kind: str, cache: Path, progress: Progress | None = None) -> tuple[Path, str]:
    """Fetches what is missing of ``source`` into a hub cache and returns its folder and commit.

    The size is reported first, an interrupted download goes on where it stopped, and a hub that cannot be
    reached is an error within seconds. Raises :class:`DownloadFailed` and :class:`ModelNotFound`.
    """
    hub = _library()
    with _explained(source):
        info = hub.HfApi().model_info(
            source.repository, revision=source.revision, files_metadata=True, timeout=_TIMEOUT_S
        )
        files = {file.rfilename: file for file in info.siblings or ()}
        names = _selection(list(files), source)
        _check_holds(names, source, kind)
        sizes = {name: files[name].size or 0 for name in names}
        require_space(cache, sum(sizes.values()))
        blobs = cache / f"models--{source.repository.replace('/', '--')}" / "blobs"
        etags = {name: _etag(files[name]) for name in names}

        def measure() -> int:
            return sum(_size_in(blobs, etags[name], sizes[name]) for name in names)

        with watched(progress, source.repository, sum(sizes.values()), measure), _without_bars(hub):
            _transfer(hub, source, names, cache)
    found = cached(source, kind, cache)
    if found is None:
        raise DownloadFailed(
            f"{source.repository!r} was fetched, yet {cache} does not hold all of it",
            hint="try again; what came so far is kept",
        )
    return found


def _transfer(hub: Any, source: Hub, names: list[str], cache: Path) -> None:
    """Downloads the files; a connection that breaks is taken up again where it stopped."""
    from requests.exceptions import HTTPError, RequestException

    for left in reversed(range(_ATTEMPTS)):
        try:
            hub.snapshot_download(
                source.repository,
                revision=source.revision or "main",
                allow_patterns=names,
                cache_dir=cache,
                etag_timeout=_TIMEOUT_S,
                max_workers=4,
            )
            return
        except HTTPError:
            raise  # an answer, and it was no
        except RequestException:
            if not left:
                raise


def _check_holds(names: list[str], source: Hub, kind: str) -> None:
    """Raises :class:`ModelNotFound` before anything is fetched from a repository of the wrong kind."""
    prefix = f"{source.folder}/" if source.folder else ""
    if not all(any(prefix + name in names for name in group) for group in _groups(source, kind)):
        raise ModelNotFound(
            f"the hub's repository {source.repository!r} holds no {source.format} weights for {kind}",
            hint="`whisperx-mlx models list` shows repositories that do",
        )


def _groups(source: Hub, kind: str) -> tuple[tuple[str, ...], ...]:
    return (*needed(kind, source.format), *((name,) for name in source.files))


def _selection(names: list[str], source: Hub) -> list[str]:
    prefix = f"{source.folder}/" if source.folder else ""
    own = {name.removeprefix(prefix): name for name in names if name.startswith(prefix)}
    chosen: list[str] = []
    for group in _WANTED[source.format]:
        for pattern in group:
            # * stays within a folder
            hits = [n for n in own if fnmatch(n, pattern) and n.count("/") == pattern.count("/")]
            chosen += [own[n] for n in hits]
            if hits:
                break
    return chosen


def _etag(file: Any) -> str:
    lfs = file.lfs
    return (lfs.get("sha256") if isinstance(lfs, dict) else lfs.sha256) if lfs else file.blob_id


def _size_in(blobs: Path, etag: str, size: int) -> int:
    for name in (etag, f"{etag}.incomplete"):
        try:
            return min((blobs / name).stat().st_size, size)
        except OSError:
            continue
    return 0


def cached_bundle(source: Bundle, folders: tuple[Path, ...]) -> Path | None:
    """The checkpoint of a torchaudio bundle in one of ``folders`` or in torch's own cache."""
    places = [folder / source.file for folder in (*folders, torch_folder())]
    return next((path for path in places if path.is_file()), None)


def download_bundle(name: str, source: Bundle, folder: Path, progress: Progress | None = None) -> Path:
    """Fetches a bundle's checkpoint into ``folder`` with torchaudio's own code. Raises :class:`DownloadFailed`."""
    require_space(folder, source.bytes)
    partial = f"{source.file}.*.partial"

    def measure() -> int:
        return sum(path.stat().st_size for path in folder.glob(partial))

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torchaudio 2.8 announces the end of its pipelines
        import torchaudio

        bundle = getattr(torchaudio.pipelines, name)
        try:
            with watched(progress, name, source.bytes, measure), _socket_timeout(_TIMEOUT_S):
                bundle.get_model(dl_kwargs={"model_dir": str(folder), "progress": False})
        except (OSError, RuntimeError) as error:
            raise DownloadFailed(
                f"{name} could not be fetched: {error}", hint="check the connection and try again"
            ) from error
    return folder / source.file


def _library() -> Any:
    """huggingface_hub, imported at the first use: half a second that a machine without hub models is spared."""
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    import huggingface_hub
    import huggingface_hub.constants
    import huggingface_hub.errors
    import huggingface_hub.utils

    return huggingface_hub


@contextmanager
def _without_bars(hub: Any) -> Iterator[None]:
    """Progress goes to the caller's function only."""
    if hub.utils.are_progress_bars_disabled():
        yield
        return
    hub.utils.disable_progress_bars()
    try:
        yield
    finally:
        hub.utils.enable_progress_bars()


@contextmanager
def _socket_timeout(seconds: float) -> Iterator[None]:
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(seconds)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)


@contextmanager
def _explained(source: Hub) -> Iterator[None]:
    """Turns the libraries' errors into ours."""
    hub = _library()
    errors = hub.errors
    page = f"{hub.constants.ENDPOINT}/{source.repository}"
    try:
        yield
    except errors.OfflineModeIsEnabled:
        raise DownloadFailed(
            f"{source.repository!r} is not in the Hugging Face cache, and HF_HUB_OFFLINE forbids fetching it",
            hint="unset HF_HUB_OFFLINE, or copy the model's folder here and name it",
            retryable=False,
        ) from None
    except errors.GatedRepoError:
        raise _gated(source, page) from None
    except errors.RevisionNotFoundError:
        raise ModelNotFound(
            f"the hub's repository {source.repository!r} has no revision {source.revision!r}",
            hint=f"look at {page}",
        ) from None
    except errors.RepositoryNotFoundError:
        if source.gated:
            raise _gated(source, page) from None
        raise ModelNotFound(
            f"the hub has no repository {source.repository!r}, or it is private",
            hint="check the spelling; for a private one set HF_TOKEN",
        ) from None
    except (OSError, RuntimeError) as error:  # requests' errors, and those of the transfer library
        raise DownloadFailed(
            f"{source.repository!r} could not be fetched from {hub.constants.ENDPOINT}: {_cause(error)}",
            hint="check the connection and try again; what came so far is kept",
        ) from error


def _cause(error: Exception) -> str:
    import requests

    if isinstance(error, requests.exceptions.Timeout):
        return f"no answer within {_TIMEOUT_S:.0f} s"
    if isinstance(error, requests.exceptions.ConnectionError):
        return "it cannot be reached"
    return next((line for line in str(error).splitlines() if line), type(error).__name__)


def _gated(source: Hub, page: str) -> DownloadFailed:
    return DownloadFailed(
        f"{source.repository!r} is handed out only to those who accepted its conditions",
        hint=f"accept them at {page}, then set HF_TOKEN to a token of that account and try again",
        retryable=False,
    )
