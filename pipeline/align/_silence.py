"""Where a cut is silent, so that no word is stretched over a pause."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pipeline.align import WordTime
from pipeline.align._words import spoken_units
from pipeline.recording import SAMPLE_RATE

HOP_SAMPLES = SAMPLE_RATE // 100
_HOP_S = HOP_SAMPLES / SAMPLE_RATE
# Chosen on recordings with exact word times: pauses inside and between words, room noise, breath.
_CONTRAST_DB = 15.0  # between the quiet and the loud frames of a cut, for silence to be told from speech
_HEAD_CONTRAST_DB = 25.0  # the phone head knows pauses from soft consonants in noise; levels do not
_QUIET = 0.3  # of the way from the quiet to the loud level
_PAUSE_FRAMES = 12  # the closure of a stop consonant is shorter
_PAD_S = 0.01
_SHORT_S = 0.8  # any word may be so long


@dataclass(frozen=True)
class Loudness:
    """Of a cut, each 10 ms: its ``level`` in dB and whether it is ``quiet``, as pauses are (both (frames,)).

    ``contrast_db`` is how far the loud frames stand out.
    """

    level: np.ndarray
    quiet: np.ndarray
    contrast_db: float

    @classmethod
    def of(cls, waveform: np.ndarray) -> Loudness:
        """Of samples (samples,) at 16 kHz."""
        level = _level_db(waveform)
        if not len(level):
            return cls(level, np.zeros(0, bool), 0.0)
        ordered = np.sort(level)
        low, high = _quantile(ordered, 0.05), _quantile(ordered, 0.95)
        return cls(level, _pauses(level < low + _QUIET * (high - low)), high - low)


def trimmed(
    words: Sequence[str], times: Sequence[WordTime | None], loudness: Loudness
) -> list[WordTime | None]:
    """The times without the silence that words were stretched over, and none longer than it can be said.

    ``times`` in seconds, inside the cut that ``loudness`` is of. Estimated times are left alone.
    """
    by_head = any(time is not None and time.timing == "head" for time in times)
    stands_out = loudness.contrast_db >= (_HEAD_CONTRAST_DB if by_head else _CONTRAST_DB)
    loud = ~loudness.quiet if stands_out else np.ones(len(loudness.quiet), bool)
    found = list(times)
    for number in _doubtful(times, loud):
        found[number] = _trim(words[number], times[number], loudness.level, loud)
    return found


def longest_s(word: str) -> float:
    """No word is said more slowly, drawled ones included."""
    return _SHORT_S + 0.16 * spoken_units(word)


def _doubtful(times: Sequence[WordTime | None], loud: np.ndarray) -> list[int]:
    """Numbers of the times that are long or hold frames that are not ``loud``; few are."""
    numbers = [i for i, time in enumerate(times) if time is not None and time.timing != "interpolated"]
    spans = np.array([times[number][:2] for number in numbers]).reshape(-1, 2)
    first, last = np.minimum(np.rint(spans / _HOP_S).astype(np.int64), len(loud)).T
    quiet_before = np.concatenate([[0], np.cumsum(~loud)])
    doubtful = (quiet_before[last] > quiet_before[first]) | (spans[:, 1] - spans[:, 0] > _SHORT_S)
    return [numbers[i] for i in np.flatnonzero(doubtful)]


def _trim(word: str, time: WordTime, level: np.ndarray, loud: np.ndarray) -> WordTime:
    first, last = round(time.start / _HOP_S), round(time.end / _HOP_S)
    start, end = time.start, time.end
    runs = _runs(loud[first:last])
    if runs:
        begin, stop = max(runs, key=lambda run: run[1] - run[0])
        if begin > 0:
            start = max(start, (first + begin) * _HOP_S - _PAD_S)
        if stop < last - first:
            end = min(end, (first + stop) * _HOP_S + _PAD_S)
    if end - start > longest_s(word):
        start, end = _loudest(level, start, end, longest_s(word))
    return time._replace(start=start, end=end)


def _loudest(level: np.ndarray, start: float, end: float, length: float) -> tuple[float, float]:
    """The stretch of ``length`` seconds between ``start`` and ``end`` with the most energy."""
    first, count = round(start / _HOP_S), round(length / _HOP_S)
    energy = np.concatenate([[0.0], np.cumsum(10.0 ** (level[first : round(end / _HOP_S)] / 10.0))])
    if len(energy) <= count:
        return start, start + length
    begin = start + int(np.argmax(energy[count:] - energy[:-count])) * _HOP_S
    return begin, min(end, begin + length)


def _level_db(waveform: np.ndarray) -> np.ndarray:
    """Power of each 10 ms, smoothed over three frames, in dB (frames,)."""
    frames = len(waveform) // HOP_SAMPLES
    blocks = waveform[: frames * HOP_SAMPLES].reshape(frames, HOP_SAMPLES)
    power = np.einsum("ij,ij->i", blocks, blocks).astype(np.float64) / HOP_SAMPLES
    level = 10.0 * np.log10(power + 1e-10)
    if frames < 3:
        return level
    padded = np.concatenate([level[:1], level, level[-1:]])
    return (padded[:-2] + padded[1:-1] + padded[2:]) / 3.0


def _pauses(quiet: np.ndarray) -> np.ndarray:
    """Of the ``quiet`` frames those that are many in a row, or at an end of the cut."""
    pauses = np.zeros(len(quiet), bool)
    for begin, stop in _runs(quiet):
        if stop - begin >= _PAUSE_FRAMES or begin == 0 or stop == len(quiet):
            pauses[begin:stop] = True
    return pauses


def _quantile(ordered: np.ndarray, share: float) -> float:
    """As ``np.quantile``, of values in order, in a small part of its time."""
    at = share * (len(ordered) - 1)
    below = int(at)
    low, high = ordered[below], ordered[min(below + 1, len(ordered) - 1)]
    return float(low + (high - low) * (at - below))


def _runs(flags: np.ndarray) -> list[tuple[int, int]]:
    """Stretches of true values as (first, one past the last)."""
    framed = np.concatenate([[False], flags, [False]])
    edges = np.flatnonzero(framed[1:] != framed[:-1])
    return list(zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True))
