"""Recordings of every kind, odd and broken ones included, made while the tests run.

Each function writes one file. Sound is float32 (channels, samples), or (samples,) for one channel.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Iterable
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

RATE = 16_000


@dataclass(frozen=True)
class Track:
    """Sound to be encoded. ``start_s`` moves its timestamps; ``gap_at_s`` and ``gap_s`` leave a gap in them."""

    sound: np.ndarray
    rate: int = RATE
    codec: str = "pcm_s16le"
    layout: str = "mono"
    start_s: float = 0.0
    gap_at_s: float | None = None
    gap_s: float = 0.0
    default: bool | None = None
    bit_rate: int | None = None


def babble(seconds: float, rate: int = RATE, seed: int = 0) -> np.ndarray:
    """Something with the spectrum and the rhythm of speech (samples,): noise below 4 kHz in syllables."""
    rng = np.random.default_rng(seed)
    count = round(seconds * rate)
    spectrum = np.fft.rfft(rng.standard_normal(count))
    hertz = np.fft.rfftfreq(count, 1 / rate)
    noise = np.fft.irfft(spectrum * ((hertz > 150) & (hertz < 4000)) / np.maximum(hertz, 150), count)
    syllables = 0.5 - 0.5 * np.cos(2 * np.pi * 4 * np.arange(count) / rate + rng.uniform(0, 6))
    sound = noise * syllables
    return (0.5 * sound / np.abs(sound).max()).astype(np.float32)


def encode(path: Path, *tracks: Track, video_s: float = 0.0, format: str | None = None) -> Path:
    """A container with the tracks, and with a video of that many seconds before them."""
    with av.open(str(path), "w", format=format) as container:
        video = _video_stream(container) if video_s else None
        streams = [_audio_stream(container, track) for track in tracks]
        packets = [] if video is None else [p for f in _pictures(video_s) for p in video.encode(f)]
        packets += [] if video is None else video.encode(None)
        for stream, track in zip(streams, tracks, strict=True):
            packets += [p for frame in _frames(track, stream) for p in stream.encode(frame)]
            packets += stream.encode(None)
        for packet in sorted(packets, key=lambda p: float((p.dts or 0) * p.time_base)):
            container.mux(packet)
    return path


def _audio_stream(container, track: Track):
    stream = container.add_stream(track.codec, rate=track.rate, layout=track.layout)
    if track.default is not None:
        stream.disposition = int(track.default)  # AV_DISPOSITION_DEFAULT is 1
    if track.bit_rate:
        stream.bit_rate = track.bit_rate
    return stream


def _video_stream(container):
    stream = container.add_stream("mpeg4", rate=10)
    stream.width = stream.height = 64
    stream.pix_fmt = "yuv420p"
    return stream


def _pictures(seconds: float):
    for number in range(round(seconds * 10)):
        frame = av.VideoFrame.from_ndarray(np.full((64, 64, 3), number % 256, np.uint8), format="rgb24")
        frame.pts, frame.time_base = number, Fraction(1, 10)
        yield frame


def _frames(track: Track, stream):
    """The sound in frames of the size that the encoder wants, with the timestamps asked for."""
    sound = np.atleast_2d(track.sound).astype(np.float32)
    wanted = stream.codec_context.format
    converter = av.AudioResampler(format=wanted, layout=track.layout, rate=track.rate)
    stream.codec_context.open(strict=False)
    size = stream.codec_context.frame_size or 1024
    for start in range(0, sound.shape[1], size):
        block = np.ascontiguousarray(sound[:, start : start + size].T).reshape(1, -1)
        frame = av.AudioFrame.from_ndarray(block, format="flt", layout=track.layout)
        frame.sample_rate = track.rate
        late = track.gap_s if track.gap_at_s is not None and start >= track.gap_at_s * track.rate else 0.0
        for out in converter.resample(frame):
            out.pts = start + round((track.start_s + late) * track.rate)
            out.time_base = Fraction(1, track.rate)
            yield out


def wav(
    path: Path,
    sound: np.ndarray,
    rate: int = RATE,
    *,
    kind: str = "<i2",
    channels: int | None = None,
    bits: int | None = None,
    header_rate: int | None = None,
    riff_size: int | None = None,
    data_size: int | None = None,
) -> Path:
    """A WAV written by hand, with any nonsense in its header. ``kind``: ``<i2``, ``<f4``, ``u1``."""
    planes = np.atleast_2d(sound)
    scale = {"<i2": 32767.0, "<f4": 1.0, "u1": 127.0}[kind]
    data = (planes.T * scale + (128 if kind == "u1" else 0)).astype(kind).tobytes()
    width = np.dtype(kind).itemsize
    count = len(planes) if channels is None else channels
    rate = rate if header_rate is None else header_rate
    head = struct.pack(
        "<HHIIHH",
        3 if kind == "<f4" else 1,
        count,
        rate,
        rate * count * width,
        count * width,
        width * 8 if bits is None else bits,
    )
    chunks = b"WAVEfmt " + struct.pack("<I", len(head)) + head + b"data"
    chunks += struct.pack("<I", len(data) if data_size is None else data_size) + data
    path.write_bytes(b"RIFF" + struct.pack("<I", len(chunks) if riff_size is None else riff_size) + chunks)
    return path


def cut(path: Path, source: Path, share: float) -> Path:
    """The first part of another file."""
    whole = source.read_bytes()
    path.write_bytes(whole[: int(len(whole) * share)])
    return path


def damaged(path: Path, source: Path, *, every: int, behind: int = 2000, seed: int = 0) -> Path:
    """Another file with one bit turned over in about each ``every`` bytes behind its head."""
    rng = np.random.default_rng(seed)
    data = np.frombuffer(source.read_bytes(), np.uint8).copy()
    places = rng.integers(behind, len(data), max(1, (len(data) - behind) // every))
    data[places] ^= (1 << rng.integers(0, 8, len(places))).astype(np.uint8)
    path.write_bytes(data.tobytes())
    return path


def joined(path: Path, sources: Iterable[Path]) -> Path:
    """Files one behind the other, as chained streams and careless joins are."""
    path.write_bytes(b"".join(source.read_bytes() for source in sources))
    return path


def patched(path: Path, source: Path, old: bytes, new: bytes) -> Path:
    """Another file with the first ``old`` replaced."""
    data = source.read_bytes()
    assert old in data and len(old) == len(new)
    path.write_bytes(data.replace(old, new, 1))
    return path


def fairplay(path: Path, sound: np.ndarray) -> Path:
    """An M4A whose sample entry says that it is encrypted as the iTunes shop did."""
    plain = encode(path.with_suffix(".plain.m4a"), Track(sound, codec="aac"), format="ipod")
    return patched(path, plain, b"mp4a", b"drms")


def common_encryption(path: Path, sound: np.ndarray) -> Path:
    """An M4A whose sample entry says that it is encrypted as streaming services do."""
    plain = encode(path.with_suffix(".plain.m4a"), Track(sound, codec="aac"), format="ipod")
    return patched(path, plain, b"mp4a", b"enca")


def windows_media_drm(path: Path, sound: np.ndarray) -> Path:
    """A WMA whose header holds a Content Encryption object (in place of its list of codecs)."""
    plain = encode(path.with_suffix(".plain.wma"), Track(sound, codec="wmav2", bit_rate=48_000), format="asf")
    codec_list = bytes.fromhex("4052d1861d31d011a3a400a0c90348f6")
    return patched(path, plain, codec_list, bytes.fromhex("fbb3112223bdd211b4b700a0c955fc6e"))


def encrypted_webm(path: Path, sound: np.ndarray) -> Path:
    """A WebM with a ContentEncryption element on its track."""
    samples = (sound * 32767).astype("<i2").tobytes()
    encryption = _element(0x5035, _element(0x47E1, b"\x05") + _element(0x47E2, bytes(range(16))))
    encoding = _element(0x6240, _element(0x5033, b"\x01") + encryption)
    audio = _element(0xE1, _element(0xB5, struct.pack(">f", RATE)) + _element(0x6264, b"\x10"))
    track = b"".join(
        (
            _element(0xD7, b"\x01"),
            _element(0x73C5, b"\x01"),
            _element(0x83, b"\x02"),
            _element(0x86, b"A_PCM/INT/LIT"),
            audio,
            _element(0x6D80, encoding),
        )
    )
    cluster = _element(0xE7, b"\x00") + _element(0xA3, b"\x81\x00\x00\x80" + samples)
    segment = _element(0x1549A966, _element(0x2AD7B1, (1_000_000).to_bytes(4, "big")))
    segment += _element(0x1654AE6B, _element(0xAE, track)) + _element(0x1F43B675, cluster)
    head = _element(0x4282, b"matroska") + _element(0x4287, b"\x04") + _element(0x4285, b"\x02")
    path.write_bytes(_element(0x1A45DFA3, head) + _element(0x18538067, segment))
    return path


def _element(number: int, payload: bytes) -> bytes:
    """An EBML element with an eight byte length."""
    name = number.to_bytes((number.bit_length() + 7) // 8, "big")
    return name + b"\x01" + len(payload).to_bytes(7, "big") + payload


def rates_in_turn(path: Path, *sounds: tuple[np.ndarray, int]) -> Path:
    """MP3 frames of several sample rates in one file."""
    parts = []
    for sound, rate in sounds:
        buffer = io.BytesIO()
        with av.open(
            buffer, "w", format="mp3", options={"write_xing": "0", "id3v2_version": "0"}
        ) as container:
            track = Track(sound, rate, "libmp3lame")
            stream = _audio_stream(container, track)
            for frame in _frames(track, stream):
                container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
        parts.append(buffer.getvalue())
    path.write_bytes(b"".join(parts))
    return path


def pointers(folder: Path, target: Path, port: int) -> list[Path]:
    """Files that only name others: ``target`` on this machine, or an address on ``port``."""
    link = f"http://127.0.0.1:{port}/sound.wav"
    names = {"local": str(target), "uri": target.as_uri(), "http": link, "relative": target.name}
    texts = {}
    for kind, name in names.items():
        texts |= {
            f"{kind}.m3u8": f"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\n{name}\n#EXT-X-ENDLIST\n",
            f"{kind}.m3u": f"#EXTM3U\n{name}\n",
            f"{kind}.wav": f"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\n{name}\n#EXT-X-ENDLIST\n",
            f"{kind}.ffconcat": f"ffconcat version 1.0\nfile '{name}'\n",
            f"{kind}.mp3": f"ffconcat version 1.0\nfile {name}\n",
            f"{kind}.pls": f"[playlist]\nFile1={name}\nNumberOfEntries=1\n",
            f"{kind}.asx": f'<asx version="3.0"><entry><ref href="{name}"/></entry></asx>',
            f"{kind}.smil": f'<smil><body><audio src="{name}"/></body></smil>',
            f"{kind}.svg": '<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg">'
            f'<image href="{name}" width="1" height="1"/></svg>',
            f"{kind}.mpd": '<MPD xmlns="urn:mpeg:dash:schema:mpd:2011" type="static"><Period><AdaptationSet>'
            f"<Representation><BaseURL>{name}</BaseURL></Representation></AdaptationSet></Period></MPD>",
            f"{kind}.ram": f"{name}\n",
            f"{kind}.bom": f"\ufeff \n#EXTM3U\n{name}\n",
        }
    texts["stream.sdp"] = (
        f"v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nc=IN IP4 127.0.0.1\nt=0 0\nm=audio {port} RTP/AVP 0\n"
    )
    for name, text in texts.items():
        (folder / name).write_text(text, "utf-8")
    return [folder / name for name in texts]


def with_gap(track: Track, at_s: float, gap_s: float) -> Track:
    """The track with ``gap_s`` seconds between its timestamps at ``at_s``."""
    return replace(track, gap_at_s=at_s, gap_s=gap_s)
