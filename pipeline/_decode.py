"""From a container's packets to 16 kHz mono float32, a fraction of a second at a time.

A chain of generators: packets → frames → frames and silences on the player's clock → blocks of all channels →
mono → 16 kHz. Decoding goes on behind damaged packets. Where timestamps leave a gap, silence is put in, so that
times stay those that a player shows; sound is never dropped to catch up.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from pipeline.channels import ChannelLevels
from pipeline.media import LEAST_HZ, MOST_HZ, Media
from pipeline.recording import SAMPLE_RATE

if TYPE_CHECKING:
    from av.audio.frame import AudioFrame
    from av.packet import Packet

_BLOCK_S = 0.5
_LEAST_GAP_S = 0.1  # as FFmpeg's aresample (min_hard_comp): less is rounding or jitter of timestamps
_TORN_GAP_S = 0.02  # behind damage: a lost frame
_BACKWARD_S = 1.0  # a jump back by more begins a new stretch of timestamps
_LONGEST_GAP_S = 30.0  # where the header does not say how long the recording is
_FAILURES_IN_A_ROW = 50
_HOPELESS = 2000  # damaged packets before the first good one
_WILD = float(2**20)  # floats beyond are not samples, not even unscaled integers
_CANCELLED = 0.1  # power of the channels' sum against the sum of their powers; unrelated channels give 1
_EMPTY_CHANNEL = 1e-4  # of the loudest channel's power: -40 dB

_FULL_SCALE = {"u8": 2.0**7, "s16": 2.0**15, "s32": 2.0**31, "flt": 1.0, "dbl": 1.0}


@dataclass(frozen=True)
class Silence:
    """No sound until ``until_s`` on the player's clock."""

    until_s: float


@dataclass
class Tally:
    """What was met on the way."""

    packets: int = 0
    frames: int = 0
    damaged: int = 0
    non_finite: int = 0
    clock_s: float = 0.0
    powers: dict[int, _Powers] = field(default_factory=dict)
    levels: ChannelLevels = field(default_factory=ChannelLevels)

    @property
    def _main(self) -> _Powers | None:
        """Of the number of channels that carries most of the sound; damaged frames can claim any number."""
        return max(self.powers.values(), key=lambda p: p.channels.sum(), default=None)

    @property
    def cancelled(self) -> bool:
        """Whether the channels wipe each other out when added, as opposite phases do."""
        main = self._main
        if main is None or len(main.channels) < 2:
            return False
        return main.sum < _CANCELLED * main.channels.sum()

    @property
    def loudest(self) -> int:
        """Number of the loudest channel, from 0; of about equal ones the first."""
        channels = self._main.channels if self._main else np.ones(1)
        return int(np.argmax(channels > 0.8 * channels.max()))

    @property
    def gain(self) -> float:
        """What makes up for empty channels in the mean: channels over channels that hold something."""
        if self._main is None or not self._main.channels.any():
            return 1.0
        channels = self._main.channels
        return len(channels) / int((channels > _EMPTY_CHANNEL * channels.max()).sum())


@dataclass
class _Powers:
    channels: np.ndarray  # (channels,) sums of squares
    sum: float = 0.0  # of the channels' sum


def waveform_blocks(media: Media, tally: Tally, channel: int | None = None) -> Iterator[np.ndarray]:
    """The recording as float32 blocks (samples,) at 16 kHz: the mean of all channels, or one of them.

    ``tally`` is filled on the way. Raises :class:`OSError` where the file cannot be read on.
    """
    placed = _on_the_clock(_frames(media, tally), media, tally)
    return _resampled(_mixed(_grouped(placed), tally, channel))


def _packets(media: Media, tally: Tally) -> Iterator[Packet | None]:
    """All packets, then the ones (or none) that empty the decoder."""
    import av

    failures = 0
    while failures < _FAILURES_IN_A_ROW:
        try:
            for packet in media.container.demux(media.stream):
                failures = 0
                tally.packets += packet.size > 0
                yield packet
            return
        except IndexError:  # PyAV, at the end of a stream to which damage seemed to add tracks
            break
        except av.error.FFmpegError:
            failures += 1
            tally.damaged += 1
    yield None


def _frames(media: Media, tally: Tally) -> Iterator[AudioFrame]:
    import av

    for packet in _packets(media, tally):
        try:
            frames = media.stream.decode(packet)
        except av.error.EOFError:
            continue
        except av.error.FFmpegError:
            tally.damaged += 1
            if tally.frames == 0 and tally.damaged > _HOPELESS:
                return
            continue
        for frame in frames:
            if frame.samples and LEAST_HZ <= frame.sample_rate <= MOST_HZ:
                tally.frames += 1
                yield frame


def _on_the_clock(frames: Iterable[AudioFrame], media: Media, tally: Tally) -> Iterator[AudioFrame | Silence]:
    """Frames as they come, with silences where the timestamps leave gaps."""
    shift, damaged, torn = -media.origin_s, 0, False
    for frame in frames:
        clock = tally.clock_s
        at = frame.time
        torn |= at is None or tally.damaged > damaged
        damaged = tally.damaged
        if at is not None:
            gap = at + shift - clock
            least = _TORN_GAP_S if torn else _LEAST_GAP_S
            if least < gap <= _longest_gap(media, clock):
                tally.clock_s = clock = clock + gap
                yield Silence(clock)
            elif gap > least or gap < -_BACKWARD_S:
                shift -= gap
            torn = False
        tally.clock_s = clock + frame.samples / frame.sample_rate
        yield frame


def _longest_gap(media: Media, clock: float) -> float:
    if media.duration_s is None:
        return min(_LONGEST_GAP_S, media.most_s - clock)
    return media.duration_s - clock + 1.0


def _grouped(items: Iterable[AudioFrame | Silence]) -> Iterator[tuple[np.ndarray, str, int] | Silence]:
    """Frames of one kind joined to blocks: raw samples (channels, samples), their format, the sample rate."""
    group: list[AudioFrame] = []
    samples = 0
    for item in items:
        silence = isinstance(item, Silence)
        full = samples and not silence and samples >= _BLOCK_S * item.sample_rate
        if group and (silence or full or _kind(item) != _kind(group[0])):
            yield _joined(group)
            group, samples = [], 0
        if silence:
            yield item
        else:
            group.append(item)
            samples += item.samples
    if group:
        yield _joined(group)


def _kind(frame: AudioFrame) -> tuple[str, int, int]:
    return frame.format.name, frame.layout.nb_channels, frame.sample_rate


def _joined(group: list[AudioFrame]) -> tuple[np.ndarray, str, int]:
    name, channels, rate = _kind(group[0])
    # PyAV 18 reads a plane too many, behind the end, of frames with eight planes or more.
    if name.removesuffix("p") not in _FULL_SCALE or (name.endswith("p") and channels >= 8):
        group, name = _as_doubles(group), "dbl"
    arrays = [frame.to_ndarray() for frame in group]
    if not name.endswith("p"):
        arrays = [array.reshape(-1, channels).T for array in arrays]
    return np.concatenate(arrays, axis=1), name.removesuffix("p"), rate


def _as_doubles(group: list[AudioFrame]) -> list[AudioFrame]:
    """The frames with all channels in one plane."""
    import av

    converter = av.AudioResampler(format="dbl")
    return [converted for frame in group for converted in converter.resample(frame)]


def _mixed(
    blocks: Iterable[tuple[np.ndarray, str, int] | Silence], tally: Tally, channel: int | None
) -> Iterator[tuple[np.ndarray, int] | Silence]:
    """Mono blocks (samples,) with their sample rate."""
    for block in blocks:
        if isinstance(block, Silence):
            yield block
            continue
        raw, name, rate = block
        planes = _as_floats(raw, name, tally)
        mono = planes.mean(axis=0, dtype=np.float32)
        powers = tally.powers.setdefault(len(planes), _Powers(np.zeros(len(planes))))
        powers.channels += np.einsum("cs,cs->c", planes, planes, dtype=np.float64)
        if len(planes) > 1:
            tally.levels.add(planes, rate)
        powers.sum += float(np.dot(mono, mono)) * len(planes) ** 2
        yield (mono if channel is None else planes[min(channel, len(planes) - 1)]), rate


def _as_floats(raw: np.ndarray, name: str, tally: Tally) -> np.ndarray:
    """(channels, samples) float32, full scale at 1; what is no number is silence."""
    if name in ("flt", "dbl"):
        raw, count = without_wild(raw)
        tally.non_finite += count
    planes = raw.astype(np.float32)
    if name == "u8":
        planes -= 128
    planes *= 1 / _FULL_SCALE[name]
    return planes


def without_wild(samples: np.ndarray) -> tuple[np.ndarray, int]:
    """Samples with zeros for those that are no numbers or far beyond full scale, and how many those were."""
    wild = ~(np.abs(samples) < _WILD)  # NaN compares false
    count = int(wild.sum())
    return (np.where(wild, samples.dtype.type(0), samples) if count else samples), count


def _resampled(blocks: Iterable[tuple[np.ndarray, int] | Silence]) -> Iterator[np.ndarray]:
    """Blocks at 16 kHz. Silences end exactly where they say, whatever rounding there was before them."""
    resampler, rate, count = None, None, 0
    for block in blocks:
        if isinstance(block, Silence) or block[1] != rate:
            for piece in _flushed(resampler):
                count += len(piece)
                yield piece
            resampler = rate = None
        if isinstance(block, Silence):
            pieces: Iterable[np.ndarray] = _zeros(round(block.until_s * SAMPLE_RATE) - count)
        else:
            mono, rate = block
            resampler = resampler or _Resampler(rate)
            pieces = resampler.push(mono)
        for piece in pieces:
            count += len(piece)
            yield piece
    yield from _flushed(resampler)


def _zeros(count: int) -> Iterator[np.ndarray]:
    step = 10 * SAMPLE_RATE
    for start in range(0, count, step):
        yield np.zeros(min(step, count - start), np.float32)


def _flushed(resampler: _Resampler | None) -> Iterable[np.ndarray]:
    return resampler.push(None) if resampler else ()


class _Resampler:
    """FFmpeg's resampler from ``rate`` to 16 kHz; nothing to do where they are equal."""

    def __init__(self, rate: int) -> None:
        import av

        self._rate = rate
        self._swr = None
        if rate != SAMPLE_RATE:
            self._swr = av.AudioResampler(format="flt", layout="mono", rate=SAMPLE_RATE)

    def push(self, mono: np.ndarray | None) -> list[np.ndarray]:
        """``mono`` (samples,) at the input's rate, or none for what is left in the filter."""
        import av

        if self._swr is None:
            return [] if mono is None else [mono]
        frame = None
        if mono is not None:
            frame = av.AudioFrame.from_ndarray(
                np.ascontiguousarray(mono)[None, :], format="flt", layout="mono"
            )
            frame.sample_rate = self._rate
        return [out.to_ndarray()[0] for out in self._swr.resample(frame)]
