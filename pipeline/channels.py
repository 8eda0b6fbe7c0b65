"""Whether each channel of a recording holds a speaker of its own, by how loud the channels are against each other.

Call recorders and interviews give everybody a channel. There the channels' levels, in frames of 50 ms, have little
to do with each other: now one leads by far, now another, even where people talk at once, for speech comes in
syllables. Channels that hear the same scene (a room, music, a mix for loudspeakers, the same sound twice, opposite
phases) rise and fall together. Leads are measured between levels relative to each channel's own loud frames, so
that a quiet microphone counts like a loud one, and crosstalk some 10 dB down does not hide who talks.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

FRAME_S = 0.05
LEAD_DB = 10.0
_QUIETEST_DB = -100
_ACTIVE_DB = -25.0  # below a channel's loud frames
_LOUD = 0.95  # quantile of a channel's frames with sound that are its loud level
_SOUND_DB = -30.0  # below the loudest second of a channel: its frames with sound, however rare
_STEADY_DB = 10.0  # a channel whose loud frames are less than this above its quiet ones holds noise alone
_QUIET = 0.2  # quantile
_EMPTY_DB = -40.0  # below the loudest channel: nothing is recorded there
_LEAST_SHARE = 0.02  # of the active frames, for a channel to be a speaker's
_LEAST_LED = 0.5  # of the active frames are led by some channel ...
_LEAST_LED_APART = 0.25  # ... or fewer, as with noise, where levels do not rise together
_LEAST_S = 2.0  # of active frames, to say anything


@dataclass(frozen=True)
class Channels:
    """``lead`` is each channel's share of the active frames in which it is louder than all others by far.

    ``together`` is the highest correlation of two channels' levels (dB) over the active frames.
    """

    lead: tuple[float, ...] = ()
    together: float = 1.0
    active_s: float = 0.0

    @property
    def count(self) -> int:
        """How many channels the recording has; 0 or 1 where there was nothing to compare."""
        return len(self.lead)

    @property
    def speakers(self) -> tuple[int, ...]:
        """Channels, from 0, with somebody of their own."""
        return tuple(number for number, share in enumerate(self.lead) if share >= _LEAST_SHARE)

    @property
    def separate(self) -> bool:
        """Whether there is one speaker a channel."""
        led = sum(self.lead[number] for number in self.speakers)
        enough = _LEAST_LED_APART if self.together <= 0 else _LEAST_LED
        return self.active_s >= _LEAST_S and len(self.speakers) >= 2 and led >= enough


@dataclass
class ChannelLevels:
    """Levels in dB of all channels, collected while decoding: a byte for each channel and 50 ms."""

    _blocks: dict[int, list[np.ndarray]] = field(default_factory=dict)

    def add(self, planes: np.ndarray, rate: int) -> None:
        """A block (channels, samples) at ``rate``; less than a frame at its end is left out."""
        size = round(FRAME_S * rate)
        frames = planes.shape[1] // size
        if not frames:
            return
        cut = planes[:, : frames * size].reshape(len(planes), frames, size)
        power = np.einsum("cfs,cfs->fc", cut, cut, dtype=np.float64) / size
        self._blocks.setdefault(len(planes), []).append(_as_bytes(power))

    def levels(self) -> np.ndarray:
        """All levels (frames, channels), of the number of channels that most of the recording has."""
        if not self._blocks:
            return np.zeros((0, 0), np.int8)
        return np.concatenate(max(self._blocks.values(), key=lambda blocks: sum(map(len, blocks))))

    def found(self) -> Channels:
        """What the levels say."""
        return compare(self.levels()) if self._blocks else Channels()


def _as_bytes(power: np.ndarray) -> np.ndarray:
    decibels = 10 * np.log10(np.maximum(power, 10.0 ** (_QUIETEST_DB / 10)))
    return np.rint(np.clip(decibels, _QUIETEST_DB, 127)).astype(np.int8)


def relative(levels: np.ndarray) -> np.ndarray:
    """Levels (frames, channels) in dB against each channel's loud frames; -inf for channels that hold nothing."""
    return _relative(levels, _loud_levels(levels))


def _relative(levels: np.ndarray, loud: np.ndarray) -> np.ndarray:
    empty = (loud <= _QUIETEST_DB) | (loud < loud.max() + _EMPTY_DB)
    return np.where(empty, -np.inf, levels - loud)


def _loud_levels(levels: np.ndarray) -> np.ndarray:
    return np.array([_loud(channel) for channel in levels.T])


def _loud(levels: np.ndarray) -> float:
    """The loud level of one channel (frames,), also of one on which somebody says little."""
    second = min(len(levels), round(1 / FRAME_S))
    loudest = np.partition(levels, len(levels) - second)[len(levels) - second]
    return float(np.quantile(levels[levels >= loudest + _SOUND_DB], _LOUD))


def compare(levels: np.ndarray) -> Channels:
    """The evidence in levels (frames, channels), dB."""
    nobody = Channels(lead=(0.0,) * levels.shape[1])
    if levels.shape[1] < 2:
        return nobody
    loud, quiet = _loud_levels(levels), np.quantile(levels, _QUIET, axis=0)
    moving = np.flatnonzero(loud - quiet >= _STEADY_DB)
    if len(moving) < 2:
        return nobody
    against = _relative(levels[:, moving], loud[moving])
    order = np.sort(against, axis=1)
    active = order[:, -1] > _ACTIVE_DB
    led = active & (order[:, -1] - order[:, -2] >= LEAD_DB) & np.isfinite(order[:, -2])
    leaders = np.bincount(moving[against.argmax(axis=1)[led]], minlength=levels.shape[1])
    return Channels(
        lead=tuple(round(float(share), 4) for share in leaders / active.sum()),
        together=_together(against[active]),
        active_s=round(float(active.sum()) * FRAME_S, 3),
    )


def _together(against: np.ndarray) -> float:
    """The highest correlation of two channels that hold something; 1 where there are not two that move."""
    alive = np.maximum(against[:, np.isfinite(against).all(axis=0)], _EMPTY_DB)
    alive = alive[:, alive.std(axis=0) > 0]
    if alive.shape[1] < 2:
        return 1.0
    correlation = np.corrcoef(alive.T)
    return round(float(correlation[np.triu_indices(len(correlation), 1)].max()), 4)
