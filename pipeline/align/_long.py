"""Segments longer than a window, as foreign transcripts have them: aligned window by window.

A window is given the words that its share of the segment should hold. Where that is too many or too few, the
error piles up at the window's end; so only the words of its first two thirds are kept, and the next window begins
where the last of them ends. That corrects itself, and needs no recognition (Moreno et al., "A recursive algorithm
for the forced alignment of very long audio segments", 1998, recognises the text and looks for anchors in it).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from pipeline.align import WINDOW_S, Aligner, Cut, WordTime
from pipeline.align._silence import trimmed
from pipeline.align._times import checked, later, natural_s
from schemas.errors import FailedToAlign

_KEEP = 2 / 3
_LOOK_BACK_S = 1.0


def place_long(
    aligner: Aligner,
    cut_between: Callable[[float, float, Sequence[str]], Cut],
    words: Sequence[str],
    bounds: tuple[float, float],
    tick: Callable[[float], None],
) -> list[WordTime | None] | FailedToAlign:
    """Times of ``words``, said between ``bounds``, in seconds of the recording.

    ``cut_between`` makes a cut out of a start, an end, and the words to be found there. ``tick`` takes the seconds
    done so far and may raise to cancel. Words of a window that failed have none; if every window failed, its
    reason is returned.
    """
    at, high = bounds
    times: list[WordTime | None] = []
    failure: FailedToAlign | None = None
    while len(times) < len(words) and at < high:
        is_last = high - at <= WINDOW_S
        left = words[len(times) :]
        share = left if is_last else _share(left, WINDOW_S / (high - at))
        cut = cut_between(at, min(high, at + WINDOW_S), share)
        (found,) = aligner.align([cut])
        if isinstance(found, FailedToAlign):
            failure, found = found, [None] * len(cut.words)
        found = trimmed(cut.words, checked(cut, found), cut.loudness)
        kept = found if is_last else found[: _trusted(found)]
        times += [later(time, at) for time in kept]
        at = _next_start(at, kept, found)
        tick(at - bounds[0])
    times += [None] * (len(words) - len(times))
    return failure if failure is not None and not any(times) else times


def _share(words: Sequence[str], share: float) -> Sequence[str]:
    """The first words, as many as make up ``share`` of what is to be said; at least one."""
    wanted = share * sum(natural_s(word) for word in words)
    for count, word in enumerate(words):
        wanted -= natural_s(word)
        if wanted < 0:
            return words[: count + 1]
    return words


def _trusted(times: Sequence[WordTime | None]) -> int:
    """How many words lie in the first two thirds of the window; none if all begin behind them."""
    inside = sum(time is None or time.end <= _KEEP * WINDOW_S for time in times)
    begins_inside = times[0] is None or times[0].start < _KEEP * WINDOW_S
    return max(min(inside, round(_KEEP * len(times))), int(begins_inside))


def _next_start(at: float, kept: Sequence[WordTime | None], found: Sequence[WordTime | None]) -> float:
    """Where the last kept word ends; before the first of the words in a window that begins with a pause."""
    ends = [time.end for time in kept if time is not None]
    if ends:
        return at + ends[-1]
    first = next((time.start for time in found if time is not None), WINDOW_S)
    return at + max(_KEEP * WINDOW_S, first) - _LOOK_BACK_S
