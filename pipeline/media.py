"""Opening a recording's file: one regular file, no other file, no network.

FFmpeg (through PyAV) gets a file object without a name, a list of the container formats that it may use, no
protocol at all, and a callback that refuses whatever else a file asks to open. Playlists, scripts and pictures
are thus errors, whatever they point to.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NoReturn

from schemas.errors import FileNotReadable, MediaError
from schemas.jobs import FileIdentity

if TYPE_CHECKING:
    from av.audio.stream import AudioStream
    from av.container import InputContainer

# FFmpeg's names of the containers that hold sound and nothing that points elsewhere.
FORMATS = (
    "aac,ac3,ac4,aea,aiff,amr,amrnb,amrwb,ape,apac,asf,ast,au,avi,caf,dsf,dss,dts,dtshd,dv,eac3,flac,flv,gxf,"
    "hca,iamf,iff,ilbc,ircam,kux,laf,lc3,live_flv,loas,lvf,matroska,mlp,mmf,mov,mp3,mpc,mpc8,mpeg,mpegts,mxf,"
    "nistsphere,nsv,nut,nuv,ogg,oma,osq,pva,qcp,qoa,rm,rso,sbc,sds,shn,smjpeg,sol,sox,spdif,swf,tak,truehd,"
    "tta,ty,voc,w64,wav,webm,wsd,wtv,wv,wve,xa,xwma"
)
_PROTOCOLS = "none"  # no protocol has this name; an empty list would allow all

_HEAD_BYTES = 4096
_BUFFER_BYTES = 1 << 17
_MOST_BYTES_TO_OPEN = 128 << 20  # the index of a day of video has less
_DRM_TAGS = {"drms", "enca", "aavd"}  # FairPlay, Common Encryption, Audible
_MOST_CHANNELS = 64
LEAST_HZ, MOST_HZ = 1000, 1_000_000
_LEAST_BITS_PER_S = 300  # sound compresses to no less; a header that promises longer lies

# What a text file begins with when it lists recordings or shows a page, in lower case.
_TEXTS = {
    b"#extm3u": "a playlist (M3U or HLS)",
    b"ffconcat": "a list of files (ffconcat)",
    b"[playlist]": "a playlist (PLS)",
    b"[reference]": "a playlist (ASX)",
    b"<asx": "a playlist (ASX)",
    b"<smil": "a playlist (SMIL)",
    b"<mpd": "a streaming manifest (DASH)",
    b"v=0": "a session description (SDP)",
    b"<svg": "a drawing (SVG)",
    b"<?xml": "an XML document",
    b"<!doctype": "a web page",
    b"<html": "a web page",
    b"http://": "a link",
    b"https://": "a link",
    b"rtsp://": "a link",
    b"file://": "a link",
}
# Where a file begins like this and cannot be opened, it is damaged, not something else.
_MAGIC = {
    b"RIFF": "WAV or AVI",
    b"RF64": "WAV",
    b"FORM": "AIFF",
    b"fLaC": "FLAC",
    b"OggS": "Ogg",
    b"\x1aE\xdf\xa3": "Matroska or WebM",
    b"ID3": "MP3",
    b"caff": "CAF",
    b".snd": "AU",
    b"0&\xb2u\x8ef\xcf\x11": "WMA or WMV",
    b"#!AMR": "AMR",
    b"FLV\x01": "Flash video",
    b"MAC ": "Monkey's Audio",
    b"wvpk": "WavPack",
}
_MP4_BOXES = {b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip"}
# The Content Encryption objects of the ASF specification: plain, extended and advanced.
_ASF_ENCRYPTION = (
    bytes.fromhex("fbb3112223bdd211b4b700a0c955fc6e"),
    bytes.fromhex("14e68a292226174cb935dae07ee9289c"),
    bytes.fromhex("b69b077aa4da124ea5ca91d38dc11a8d"),
)
_KINDS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


@dataclass(frozen=True)
class Media:
    """An open container with the sound track chosen.

    ``duration_s`` is what the header says, none where that cannot be true; ``duration_is_a_guess`` where FFmpeg
    divided the file's size by the bit rate; ``most_s``: what so many bytes can hold at most; ``cut_short``: the
    header promises more bytes than there are; ``origin_s``: the timestamp at which a player's clock begins.
    """

    container: InputContainer
    stream: AudioStream
    track: int
    tracks: int
    duration_s: float | None
    most_s: float
    origin_s: float
    cut_short: bool
    duration_is_a_guess: bool


@contextmanager
def open_media(
    path: str | os.PathLike[str],
    identity: FileIdentity | None = None,
    on_read: Callable[[], None] | None = None,
) -> Iterator[Media]:
    """The sound track of the file at ``path``; ``identity`` is the file that was allowed to be read.

    ``on_read`` is called before each piece of the file is read, and may raise to stop: FFmpeg can search
    gigabytes of a damaged file for the next sound.

    Raises :class:`FileNotReadable` (``file_not_found``, ``access_denied``, ``not_a_file``, ``file_unreadable``,
    ``file_changed``) and :class:`MediaError` (``not_media``, ``no_audio_stream``, ``empty_audio``,
    ``truncated_media``, ``protected_media``).
    """
    with _regular_file(os.fspath(path), identity) as file, _coded_errors():
        size = os.fstat(file.fileno()).st_size
        head = file.read(_HEAD_BYTES)
        _refuse_by_content(head, size)
        file.seek(0)
        with _container(file, head, on_read) as container:
            yield _choose_track(container, head, size)


@contextmanager
def _regular_file(path: str, identity: FileIdentity | None) -> Iterator[Any]:
    """Opens without waiting (a pipe would) and, where the file was checked before, without following a link."""
    try:
        _refuse_special(os.stat(path))  # noqa: PTH116 - also of names that Path would change
        swapped = os.O_NOFOLLOW if identity else 0
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY | swapped)
    except (OSError, ValueError) as error:
        raise _not_opened(path, error, checked=identity is not None) from None
    with os.fdopen(fd, "rb", buffering=0) as file:
        found = os.fstat(fd)
        _refuse_special(found)
        if identity and (found.st_dev, found.st_ino) != (identity.device, identity.inode):
            raise _changed()
        yield file


def _refuse_special(found: os.stat_result) -> None:
    if not stat.S_ISREG(found.st_mode):
        kind = _KINDS.get(stat.S_IFMT(found.st_mode), "no regular file")
        raise FileNotReadable(
            f"the path names {kind} instead of a recording",
            code="not_a_file",
            hint="give the path of one audio or video file",
        )


def _not_opened(path: str, error: OSError | ValueError, *, checked: bool) -> FileNotReadable:
    number = getattr(error, "errno", None)
    if number in (errno.EACCES, errno.EPERM):
        return FileNotReadable(
            "the operating system refuses to open the file",
            code="access_denied",
            hint="change the file's permissions; on macOS, allow the program in System Settings > "
            "Privacy & Security > Files and Folders",
        )
    if number == errno.ELOOP and checked:
        return _changed()
    if number in (errno.EIO, errno.ESTALE, errno.EMFILE, errno.ENFILE):
        return _unreadable(error)
    if "://" in path:
        return FileNotReadable(
            "the path is a link; nothing is fetched from the network",
            hint="download the recording first, then give the path of the file",
        )
    return FileNotReadable(f"there is no file at {path!r}", hint="check the path; it must be on this machine")


def _changed() -> FileNotReadable:
    return FileNotReadable(
        "the file was replaced after it was checked", code="file_changed", hint="ask again for the same path"
    )


def _unreadable(error: BaseException) -> FileNotReadable:
    return FileNotReadable(
        f"reading the file failed: {getattr(error, 'strerror', None) or type(error).__name__}",
        code="file_unreadable",
        hint="check the disk or the network share, or copy the file to this machine and use the copy",
        retryable=True,
    )


@contextmanager
def _coded_errors() -> Iterator[None]:
    """FFmpeg passes the operating system's errors on unchanged; its own may be OSErrors too."""
    import av

    try:
        yield
    except av.error.FFmpegError as error:
        raise MediaError(
            f"the sound cannot be decoded: {error.strerror}",
            code="truncated_media",
            hint="get the file again, or convert it to WAV or FLAC with another program",
        ) from error
    except OSError as error:
        raise _unreadable(error) from error


def _refuse_by_content(head: bytes, size: int) -> None:
    if size == 0:
        raise MediaError(
            "the file is empty (0 bytes)",
            code="empty_audio",
            hint="the recording or its download did not finish; get the file again",
        )
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip()[:64].lower()
    for start, what in _TEXTS.items():
        if text.startswith(start):
            raise MediaError(
                f"the file is {what}, not a recording", hint="give the path of the audio or video file itself"
            )
    if any(guid in head for guid in _ASF_ENCRYPTION):
        raise _protected()


@contextmanager
def _container(file: Any, head: bytes, on_read: Callable[[], None] | None) -> Iterator[InputContainer]:
    import av

    source = _Source(file, on_read or (lambda: None))
    try:
        container = av.open(
            source,
            mode="r",
            container_options={"format_whitelist": FORMATS, "protocol_whitelist": _PROTOCOLS},
            metadata_errors="replace",
            buffer_size=_BUFFER_BYTES,
            io_open=_refuse_other_files,
        )
    except (av.error.FFmpegError, _TooMuchToOpenError) as error:
        raise _not_media(head) from error
    source.budget = None
    with container:
        yield container


class _TooMuchToOpenError(Exception):
    """A whole disk's worth was searched, and there is no beginning of a recording in it."""


class _Source:
    """Only what FFmpeg needs of a file: a name would let it guess the format from the ending.

    ``budget`` is the number of bytes that may still be read, none for any.
    """

    def __init__(self, file: Any, on_read: Callable[[], None]) -> None:
        self._file, self._on_read = file, on_read
        self.budget: int | None = _MOST_BYTES_TO_OPEN
        self.tell = file.tell

    def read(self, count: int) -> bytes:
        """At most ``count`` bytes, none at the end."""
        self._on_read()
        if self.budget is not None:
            self.budget -= count
            if self.budget < 0:
                raise _TooMuchToOpenError
        return self._file.read(count)

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """The new position; below zero for a place that damage made up, as FFmpeg has it."""
        try:
            return self._file.seek(offset, whence)
        except (OSError, OverflowError):
            return -errno.EINVAL


def _refuse_other_files(_url: str, _flags: int, _options: dict[str, str]) -> NoReturn:
    raise MediaError(
        "the file asks to open other files or addresses",
        hint="give the path of the audio or video file itself",
    )


def _not_media(head: bytes) -> MediaError:
    name = next((name for magic, name in _MAGIC.items() if head.startswith(magic)), None)
    if head[4:8] in _MP4_BOXES:
        name = "MP4 or MOV"
    if name:
        return MediaError(
            f"the file begins like {name}, but breaks off or is damaged before its sound",
            code="truncated_media",
            hint="the recording or its download did not finish; get the file again, or repair it",
        )
    return MediaError(
        "the file is not audio or video in any format that FFmpeg knows",
        hint="check that it is the right file; WAV, MP3, M4A, FLAC, OGG, MP4, MOV, MKV and many others work",
    )


def _choose_track(container: InputContainer, head: bytes, size: int) -> Media:
    """The default sound track, else the first one that can be decoded."""
    from av.stream import Discard

    if not container.streams.audio:
        raise MediaError(
            "the file has no sound track",
            code="no_audio_stream",
            hint="give a recording with sound; screen recorders often leave it out by default",
        )
    tracks = [stream for stream in container.streams.audio if stream.codec_context is not None]
    if not tracks:
        raise MediaError(
            "the sound is in a codec that this build of FFmpeg cannot decode",
            hint="convert the file to WAV, FLAC or MP3",
        )
    stream = next((s for s in tracks if s.disposition & s.disposition.default), tracks[0])
    if stream.codec_context.codec_tag in _DRM_TAGS or "enc_key_id" in stream.metadata:
        raise _protected()
    _refuse_odd_numbers(stream)
    for other in container.streams:
        if other is not stream:
            other.discard = Discard.all
    most_s = size * 8 / _LEAST_BITS_PER_S
    duration_s = _duration(container, most_s)
    return Media(
        container,
        stream,
        track=container.streams.audio.index(stream),
        tracks=len(container.streams.audio),
        duration_s=duration_s,
        most_s=most_s,
        origin_s=_origin(container),
        cut_short=_promised_bytes(head) > size,
        duration_is_a_guess=_is_a_guess(duration_s, stream, size),
    )


def _refuse_odd_numbers(stream: AudioStream) -> None:
    codec = stream.codec_context
    odd_rate = codec.sample_rate and not LEAST_HZ <= codec.sample_rate <= MOST_HZ
    if odd_rate or codec.channels > _MOST_CHANNELS:
        raise MediaError(
            f"the header claims {codec.channels} channels at {codec.sample_rate} Hz, which no recorder writes",
            hint="the header is damaged: get the file again, or repair it",
        )


def _protected() -> MediaError:
    return MediaError(
        "the recording is encrypted (DRM)",
        code="protected_media",
        hint="give a copy without copy protection; encrypted sound cannot be transcribed",
    )


def _duration(container: InputContainer, most_s: float) -> float | None:
    """Seconds by the header, or none where it says nothing or more than the file can hold."""
    if container.duration is None or container.duration <= 0:
        return None
    seconds = container.duration / 1_000_000
    return seconds if seconds <= most_s else None


def _is_a_guess(duration_s: float | None, stream: AudioStream, size: int) -> bool:
    bit_rate = stream.codec_context.bit_rate
    if not duration_s or not bit_rate:
        return False
    return abs(size * 8 / bit_rate - duration_s) < 0.02 * duration_s


def _promised_bytes(head: bytes) -> int:
    """The size that a RIFF or AIFF header claims for the file; 0 where it claims none, as streams do."""
    order = {b"RIFF": "little", b"FORM": "big"}.get(head[:4])
    claimed = int.from_bytes(head[4:8], order) if order else 0
    return claimed + 8 if claimed < 0xFFFFFF00 else 0


def _origin(container: InputContainer) -> float:
    """The timestamp at which a player's clock begins.

    MP4's edit lists count from zero: a late start is silence. Elsewhere (transport streams, cut live streams)
    the first timestamp is arbitrary.
    """
    start = (container.start_time or 0) / 1_000_000
    if "mp4" in container.format.name:
        return min(0.0, start)
    return start
