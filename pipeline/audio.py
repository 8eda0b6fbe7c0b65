"""A recording's file to 16 kHz mono float32, with bounded memory.

Any container and codec that FFmpeg decodes, through PyAV; video is skipped. The samples go to a raw file, and
only a block of them is ever in memory.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np

from pipeline._decode import Tally, waveform_blocks, without_wild
from pipeline.media import Media, open_media
from pipeline.recording import BLOCK_SAMPLES, SAMPLE_RATE, Recording
from schemas.errors import InvalidArgument, MediaError, StageFailed
from schemas.jobs import FileIdentity
from schemas.options import AudioOptions
from schemas.report import Warning_

_MISSING_S = 1.0  # and 5 %: how much less than promised is said

_FLOAT_CODECS = ("pcm_f", "wavpack")

Progress = Callable[[float], None]


@dataclass(frozen=True)
class MediaInfo:
    """What the header says. ``duration_s`` is none where it does not say, or cannot be believed."""

    format: str
    codec: str
    sample_rate: int
    channels: int
    tracks: int
    duration_s: float | None


@dataclass(frozen=True)
class _Pass:
    """One way through the file."""

    samples: int
    peak: float
    scalable: bool  # louder than full scale is how it was recorded, not a fault of decoding
    tally: Tally
    warnings: tuple[Warning_, ...]


def open_recording(
    path: str | os.PathLike[str],
    options: AudioOptions | None = None,
    *,
    workdir: Path,
    identity: FileIdentity | None = None,
    progress: Progress | None = None,
) -> Recording:
    """Decodes the file at ``path`` into a raw file in ``workdir``, which holds it as long as it is needed.

    With ``start_s`` and ``end_s`` the recording is that window, and its time 0 is ``start_s``. Time counts from
    where a player's clock begins; gaps between timestamps are silence. Channels are averaged, those that hold
    nothing left out; where they cancel each other, the loudest one is taken. What lies beyond full scale is
    clipped, but a recording in floats is scaled down. ``identity`` is the file that was checked: another one
    under its name is refused. ``progress`` takes a fraction and may raise to stop. Nothing is left behind when
    this raises.

    Raises the errors of :func:`pipeline.media.open_media`, ``audio_too_long``, and :class:`InvalidArgument` for
    a window that begins behind the end.
    """
    options, progress = options or AudioOptions(), progress or _ignore
    with _part_file(workdir) as part:
        first = _decode(path, identity, options, part, progress)
        last, warnings, gain = first, list(first.warnings), first.tally.gain
        if first.tally.cancelled:
            channel, gain = first.tally.loudest, 1.0
            last = _decode(path, identity, options, part, lambda _: progress(1.0), channel)
            warnings.append(_cancelled_warning(channel))
        if last.scalable:
            gain /= max(1.0, last.peak * gain)
        digest = _finish(part, gain, last.peak)
        pcm = part.rename(workdir / f"{digest}.f32")
    return Recording(
        last.samples,
        digest,
        pcm=pcm,
        path=os.fspath(path),
        warnings=tuple(warnings),
        channels=first.tally.levels.found(),
        one_channel=partial(_one_channel, path, identity, options, workdir),
    )


@contextmanager
def _one_channel(
    path: str | os.PathLike[str],
    identity: FileIdentity | None,
    options: AudioOptions,
    workdir: Path,
    channel: int,
) -> Iterator[Recording]:
    """One channel of the file by itself, as long as the mix of all. Raises as :func:`open_recording`."""
    with _part_file(workdir) as part:
        done = _decode(path, identity, options, part, _ignore, channel)
        gain = 1 / max(1.0, done.peak) if done.scalable else 1.0
        yield Recording(done.samples, _finish(part, gain, done.peak), pcm=part, path=os.fspath(path))


def load_waveform(path: str | os.PathLike[str], options: AudioOptions | None = None) -> np.ndarray:
    """The whole recording as one array (samples,), float32 at 16 kHz. Raises as :func:`open_recording`."""
    with tempfile.TemporaryDirectory() as folder:
        recording = open_recording(path, options, workdir=Path(folder))
        return recording.read(0, recording.samples)


def window(recording: Recording, options: AudioOptions) -> Recording:
    """The part of a recording in memory that ``options`` ask for, as clean as one from a file.

    Raises ``audio_too_long``, ``empty_audio`` and :class:`InvalidArgument` as :func:`open_recording`.
    """
    if recording.array is None:
        raise ValueError("only a recording in memory can be cut")
    if not recording.samples:
        raise _nothing_decoded(Tally())
    blocks = list(_within(iter([recording.array]), options))
    if not blocks:
        raise _behind_the_end(options, recording.duration_s)
    cut, wild = without_wild(blocks[0])
    made = Recording.from_array(cut / max(np.float32(1), np.abs(cut).max()), recording.path)
    warnings = (*recording.warnings, *([_non_finite_warning(wild)] if wild else []))
    return replace(made, warnings=warnings)


def probe(
    path: str | os.PathLike[str],
    options: AudioOptions | None = None,
    *,
    identity: FileIdentity | None = None,
) -> MediaInfo:
    """What the file is, after decoding its first moment: most of what is wrong with a file is found at once.

    Raises the errors of :func:`open_recording`.
    """
    options = options or AudioOptions()
    with open_media(path, identity) as media:
        _refuse_long(_length_asked_for(media.duration_s, options), options)
        tally = Tally()
        if next(waveform_blocks(media, tally), None) is None:
            raise _nothing_decoded(tally, media.duration_s)
        codec = media.stream.codec_context
        return MediaInfo(
            format=media.container.format.name,
            codec=codec.name,
            sample_rate=codec.sample_rate,
            channels=codec.channels,
            tracks=media.tracks,
            duration_s=media.duration_s,
        )


def _decode(
    path: str | os.PathLike[str],
    identity: FileIdentity | None,
    options: AudioOptions,
    part: Path,
    progress: Progress,
    channel: int | None = None,
) -> _Pass:
    """Writes the window of one channel, or of the mean of all, to ``part``."""
    tally, reporter = Tally(), _Reporter(progress)
    with open_media(path, identity, reporter.again) as media:
        _refuse_long(_length_asked_for(media.duration_s, options), options)
        blocks = _reported(waveform_blocks(media, tally, channel), media, options, tally, reporter)
        samples, peak = _write(part, _within(blocks, options))
        if not samples:
            raise (
                _behind_the_end(options, tally.clock_s)
                if tally.clock_s
                else _nothing_decoded(tally, media.duration_s)
            )
        scalable = media.stream.codec_context.name.startswith(_FLOAT_CODECS)
        return _Pass(samples, peak, scalable, tally, tuple(_warnings(media, options, tally)))


def _within(blocks: Iterator[np.ndarray], options: AudioOptions) -> Iterator[np.ndarray]:
    """The blocks between ``start_s`` and ``end_s``; nothing behind the end is decoded."""
    first = round(options.start_s * SAMPLE_RATE)
    last = None if options.end_s is None else round(options.end_s * SAMPLE_RATE)
    position = kept = 0
    for block in blocks:
        wanted = block[max(0, first - position) : None if last is None else max(0, last - position)]
        position += len(block)
        kept += len(wanted)
        _refuse_long((kept - 1) / SAMPLE_RATE, options)
        if len(wanted):
            yield wanted
        if last is not None and position >= last:
            return


class _Reporter:
    """Passes on fractions that never fall."""

    def __init__(self, progress: Progress) -> None:
        self._progress, self._fraction = progress, 0.0

    def __call__(self, fraction: float) -> None:
        self._fraction = max(self._fraction, min(1.0, fraction))
        self.again()

    def again(self) -> None:
        """The same fraction once more: a chance to stop."""
        self._progress(self._fraction)


def _reported(
    blocks: Iterable[np.ndarray], media: Media, options: AudioOptions, tally: Tally, reporter: _Reporter
) -> Iterator[np.ndarray]:
    end = min((s for s in (options.end_s, media.duration_s) if s), default=None)
    for block in blocks:
        if end:
            reporter(tally.clock_s / end)
        yield block


def _length_asked_for(duration_s: float | None, options: AudioOptions) -> float:
    """Seconds of the window, as far as the header knows."""
    end_s = min(s for s in (options.end_s, duration_s, np.inf) if s is not None)
    return 0.0 if end_s == np.inf else end_s - options.start_s


def _refuse_long(length_s: float, options: AudioOptions) -> None:
    if length_s > options.max_duration_s:
        raise MediaError(
            f"the recording is longer than the limit of {options.max_duration_s:g} s",
            code="audio_too_long",
            hint="choose a part with start_s and end_s, or raise max_duration_s",
        )


def _nothing_decoded(tally: Tally, promised_s: float | None = None) -> MediaError:
    if tally.packets or tally.damaged or promised_s:
        return MediaError(
            "none of the sound could be decoded: the file is damaged or breaks off",
            code="truncated_media",
            hint="get the file again, or play it to see whether it holds sound",
        )
    return MediaError(
        "the sound track holds no samples",
        code="empty_audio",
        hint="the recording did not start or did not finish; get the file again",
    )


def _behind_the_end(options: AudioOptions, duration_s: float) -> InvalidArgument:
    return InvalidArgument(
        f"start_s is {options.start_s:g}, and the recording is {duration_s:.2f} s long",
        hint="give a start_s inside the recording",
    )


def _warnings(media: Media, options: AudioOptions, tally: Tally) -> Iterator[Warning_]:
    if media.tracks > 1:
        yield Warning_(
            code="track_chosen",
            message=f"The file has {media.tracks} sound tracks; number {media.track + 1} was used. "
            "Others must be extracted to a file of their own first.",
        )
    missing = _missing(media, options, tally)
    if tally.damaged or missing:
        yield Warning_(
            code="media_damaged",
            message=" ".join(_damage(tally, missing)),
            count=max(1, tally.damaged),
        )
    if tally.non_finite:
        yield _non_finite_warning(tally.non_finite)


def _missing(media: Media, options: AudioOptions, tally: Tally) -> str:
    """Where the header promised much more than there was."""
    if options.end_s is not None:
        return ""
    promised = media.duration_s or 0.0
    if promised - tally.clock_s > max(_MISSING_S, 0.05 * promised) and not media.duration_is_a_guess:
        return f"The header promises {promised:.1f} s, and {tally.clock_s:.1f} s could be read."
    return f"The file breaks off after {tally.clock_s:.1f} s." if media.cut_short else ""


def _damage(tally: Tally, missing: str) -> Iterator[str]:
    if tally.damaged:
        yield f"Damaged parts of the file could not be decoded ({tally.damaged}); what they held is missing."
    if missing:
        yield missing


def _non_finite_warning(count: int) -> Warning_:
    return Warning_(
        code="non_finite_samples",
        message="Samples that are no numbers (NaN, infinity or far beyond full scale) were made silent.",
        count=count,
    )


def _cancelled_warning(channel: int) -> Warning_:
    return Warning_(
        code="downmix_cancelled",
        message=f"The channels cancel each other when mixed (opposite phase); channel {channel + 1}, the loudest, "
        "was used alone. What only the others hold is missing.",
    )


@contextmanager
def _part_file(workdir: Path) -> Iterator[Path]:
    """A new file in ``workdir`` that is gone afterwards unless it was renamed."""
    with _writing():
        fd, name = tempfile.mkstemp(dir=workdir, suffix=".part")
        os.close(fd)
    try:
        yield Path(name)
    finally:
        Path(name).unlink(missing_ok=True)


def _write(part: Path, blocks: Iterable[np.ndarray]) -> tuple[int, float]:
    """Number of samples and their highest absolute value."""
    samples, peak = 0, 0.0
    with _writing():
        file = part.open("wb", buffering=0)  # nothing is left to write when it is closed
    with file:
        for block in blocks:
            samples += len(block)
            peak = max(peak, float(block.max()), -float(block.min()))
            left = memoryview(np.ascontiguousarray(block, "<f4")).cast("B")
            with _writing():
                while left:
                    left = left[file.write(left) :]
    return samples, peak


def _finish(part: Path, gain: float, peak: float) -> str:
    """Scales the samples and clips them to full scale, where that is needed; gives their sha256."""
    as_it_is = gain == 1.0 and peak <= 1.0
    digest = hashlib.sha256()
    with part.open("r+b") as file, _writing():
        while raw := file.read(BLOCK_SAMPLES * 4):
            if not as_it_is:
                raw = np.clip(np.frombuffer(raw, "<f4") * np.float32(gain), -1.0, 1.0).tobytes()
                file.seek(-len(raw), os.SEEK_CUR)
                file.write(raw)
            digest.update(raw)
    return digest.hexdigest()


@contextmanager
def _writing() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StageFailed(
            f"the decoded sound could not be written: {error.strerror or type(error).__name__}",
            hint="an hour needs 230 MB in the folder for temporary data; make room, or set WHISPERX_MLX_CACHE "
            "to a folder on another disk",
            retryable=True,
        ) from error


def _ignore(_fraction: float) -> None:
    pass
