"""Times put right: inside their bounds, in order, and estimated where the aligner gave none."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from pipeline.align import Cut, WordTime
from pipeline.align._words import spoken_units
from pipeline.recording import SAMPLE_RATE
from schemas.errors import StageFailed

_SECONDS_PER_UNIT = 0.07  # conversational English: some 14 letters a second
_SHORTEST_S = 0.05


def natural_s(word: str) -> float:
    """How long the word would take at an ordinary pace."""
    return _SHORTEST_S + _SECONDS_PER_UNIT * spoken_units(word)


def checked(cut: Cut, times: list[WordTime | None]) -> list[WordTime | None]:
    """A backend's times, finite, in order and inside the cut.

    Raises :class:`StageFailed` where it lost or invented words.
    """
    if len(times) != len(cut.words):
        raise StageFailed(f"the aligner gave {len(times)} times for {len(cut.words)} words")
    return in_order(times, 0.0, len(cut.waveform) / SAMPLE_RATE)


def later(time: WordTime | None, by: float) -> WordTime | None:
    """The same time ``by`` seconds later."""
    if time is None:
        return None
    chars = time.chars and tuple(char.shifted(by) for char in time.chars)
    phones = time.phones and tuple(phone.shifted(by) for phone in time.phones)
    return WordTime(time.start + by, time.end + by, time.score, time.timing, chars, phones)


def settled(
    words: Sequence[str], times: Sequence[WordTime | None], low: float, high: float, method: str
) -> list[WordTime | None]:
    """One time per word between ``low`` and ``high``, none overlapping the next.

    ``method`` says what becomes of words without a time (WhisperX's ``interpolate_method``): ``nearest`` puts
    them beside their nearer neighbour, ``linear`` spreads them over the gap, ``ignore`` leaves them out. Unlike
    WhisperX's, an estimated word never lies on top of its neighbour, nor is it longer than it takes to say.
    """
    placed = in_order(times, low, high)
    if method == "ignore" or None not in placed:
        return placed
    for first, stop in _gaps(placed):
        before, after = placed[first - 1] if first else None, placed[stop] if stop < len(placed) else None
        begin = before.end if before else low
        end = after.start if after else high
        lengths = _lengths(words[first:stop], end - begin)
        starts = (
            _spread(lengths, begin, end)
            if method == "linear"
            else _beside(lengths, begin, end, before, after)
        )
        placed[first:stop] = [
            WordTime(start, start + length, None, "interpolated")
            for start, length in zip(starts, lengths, strict=True)
        ]
    return in_order(placed, low, high)


def in_order(times: Sequence[WordTime | None], low: float, high: float) -> list[WordTime | None]:
    """The times cut to ``low`` … ``high``; starts never fall, and a word ends before the next begins."""
    if _are_in_order(times, low, high):
        return list(times)
    ordered: list[WordTime | None] = []
    last: int | None = None
    for time in times:
        if time is None or not (math.isfinite(time.start) and math.isfinite(time.end)):
            ordered.append(None)
            continue
        earliest = low if last is None else ordered[last].start
        start = min(max(time.start, earliest), high)
        end = min(max(time.end, start), high)
        if last is not None and ordered[last].end > start:
            ordered[last] = ordered[last]._replace(end=start)
        last = len(ordered)
        ordered.append(time._replace(start=start, end=end))
    return ordered


def _are_in_order(times: Sequence[WordTime | None], low: float, high: float) -> bool:
    """Nearly always: then nothing is to be done."""
    for time in times:
        if time is not None:
            if not low <= time.start <= time.end <= high:  # not a number is neither
                return False
            low = time.end
    return True


def _gaps(times: Sequence[WordTime | None]) -> Iterator[tuple[int, int]]:
    """Stretches without a time as (first, one past the last)."""
    first = None
    for index, time in enumerate([*times, WordTime(0.0, 0.0, None, "given")]):
        if time is None and first is None:
            first = index
        elif time is not None and first is not None:
            yield first, index
            first = None


def _lengths(words: Sequence[str], room: float) -> list[float]:
    natural = [natural_s(word) for word in words]
    scale = min(1.0, max(0.0, room) / sum(natural))
    return [length * scale for length in natural]


def _spread(lengths: Sequence[float], begin: float, end: float) -> list[float]:
    """Starts with the same pause before, between and after the words."""
    pause = max(0.0, end - begin - sum(lengths)) / (len(lengths) + 1)
    starts, at = [], begin
    for length in lengths:
        at += pause
        starts.append(at)
        at += length
    return starts


def _beside(
    lengths: Sequence[float], begin: float, end: float, before: WordTime | None, after: WordTime | None
) -> list[float]:
    """Starts of the words packed against their neighbours; between two, half of them against each."""
    count = len(lengths)
    left = (count + 1) // 2 if before and after else count if before else 0
    starts, at = [], begin
    for length in lengths[:left]:
        starts.append(at)
        at += length
    at = end - sum(lengths[left:])
    for length in lengths[left:]:
        starts.append(at)
        at += length
    return starts
