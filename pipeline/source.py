"""The recording of a request: decoded when a stage needs it, known by its digest without that if seen before."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path

import numpy as np

from pipeline.cache import Cache, key_of
from pipeline.channels import Channels
from pipeline.recording import Recording
from schemas.errors import FileNotReadable
from schemas.jobs import FileIdentity
from schemas.options import AudioOptions
from schemas.report import Warning_


class Source:
    """Use as a context manager: the decoded samples are removed at the end."""

    def __init__(
        self,
        audio: str | np.ndarray,
        options: AudioOptions,
        cache: Cache,
        progress: Callable[[float], None],
        identity: FileIdentity | None = None,
    ) -> None:
        self._audio, self._options, self._cache, self._identity = audio, options, cache, identity
        self._progress = progress
        self._recording: Recording | None = None
        self._workdir: Path | None = None
        self._memo: dict | None = None

    def __enter__(self) -> Source:
        if self._identity is not None and isinstance(self._audio, str):
            _check_identity(self._audio, self._identity)
        self._memo = self._cache.get("audio", self._memo_key()) if isinstance(self._audio, str) else None
        if self._memo is None:
            try:
                self.recording()
            except BaseException:
                self.__exit__()
                raise
        return self

    def __exit__(self, *_: object) -> None:
        if self._workdir is not None:
            shutil.rmtree(self._workdir, ignore_errors=True)

    @property
    def path(self) -> str | None:
        """None for samples from memory."""
        return self._audio if isinstance(self._audio, str) else None

    @property
    def decoded(self) -> bool:
        """Whether the samples are at hand."""
        return self._recording is not None

    @property
    def sha256(self) -> str:
        return self._memo["sha256"] if self._memo else self.recording().sha256

    @property
    def duration_s(self) -> float:
        return self._memo["duration_s"] if self._memo else self.recording().duration_s

    @property
    def recorded_at(self) -> str | None:
        """When the recording was made, where its container says so; also see :attr:`schemas.transcript.Media`."""
        from pipeline.recorded import recorded_at

        return recorded_at(self._audio, self._identity) if isinstance(self._audio, str) else None

    @property
    def channels(self) -> Channels:
        """What the file's channels are to each other."""
        return Channels(**self._memo["channels"]) if self._memo else self.recording().channels

    @property
    def warnings(self) -> tuple[Warning_, ...]:
        if self._memo:
            return tuple(Warning_(**warning) for warning in self._memo["warnings"])
        return self.recording().warnings

    def recording(self) -> Recording:
        """The samples of the window asked for, decoded once.

        Raises the errors of :func:`pipeline.audio.open_recording`.
        """
        if self._recording is None:
            self._recording = self._decode()
            self._memo = None
        return self._recording

    def _decode(self) -> Recording:
        from pipeline import audio

        if not isinstance(self._audio, str):
            return audio.window(Recording.from_array(self._audio), self._options)
        self._workdir = _workdir(self._cache.root.parent / "work")
        recording = audio.open_recording(
            self._audio,
            self._options,
            workdir=self._workdir,
            identity=self._identity,
            progress=self._progress,
        )
        self._cache.put(
            "audio",
            self._memo_key(),
            {
                "sha256": recording.sha256,
                "duration_s": recording.duration_s,
                "warnings": [warning.compact() for warning in recording.warnings],
                "channels": asdict(recording.channels),
            },
        )
        return recording

    def _memo_key(self) -> str:
        """Changes with the file: the change time moves with any write or rename, and cannot be set back."""
        try:
            stat = Path(str(self._audio)).stat()
        except OSError:
            return key_of(missing=str(self._audio))
        return key_of(
            device=stat.st_dev,
            inode=stat.st_ino,
            size=stat.st_size,
            modified=stat.st_mtime_ns,
            changed=stat.st_ctime_ns,
            window=self._options.model_dump(),
            version=2,
        )


def _check_identity(path: str, identity: FileIdentity) -> None:
    with suppress(OSError):  # a file that is gone is the decoder's error
        stat = Path(path).stat()
        if (stat.st_dev, stat.st_ino) != (identity.device, identity.inode):
            raise FileNotReadable(
                "the file was replaced after it was checked", code="file_changed", hint="ask again"
            )


def _workdir(parent: Path) -> Path:
    """A private folder for decoded samples, named after this process; those of dead processes are removed."""
    parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    for left in parent.iterdir():
        pid = left.name.split("-")[0]
        if pid.isdigit() and not _alive(int(pid)):
            shutil.rmtree(left, ignore_errors=True)
    return Path(tempfile.mkdtemp(dir=parent, prefix=f"{os.getpid()}-"))


def _alive(pid: int) -> bool:
    with suppress(PermissionError):
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return False
    return True
