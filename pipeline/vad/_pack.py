"""Packing speech regions into chunks, cut where it hurts least.

Whisper reads windows of 30 s, whatever is in them: full chunks cost least. WhisperX (Bain et al., 2023) merges
regions greedily and cuts without padding, which clips onsets; here a chunk ends at the widest pause near its
limit, keeps a margin at both ends, and a stretch without a pause is cut at its quietest place. Everything is
counted in samples, so that no chunk is longer than asked, not by one.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np

from pipeline.recording import SAMPLE_RATE, Recording
from pipeline.vad._regions import Chunk, SpeechRegion

WINDOW_S = 30.0  # what Whisper's encoder sees
# Inside a chunk. Whisper invents text over longer silences; shorter ones often hold speech that was missed: in two
# of five far-field meetings (AMI excerpts, Silero) the chunks hold 87 and 89 % of the words at 0.5 s, all at 5 s.
LONGEST_SILENCE_S = 5.0
_PAD_S = 0.2
_SEARCH_S = 10.0  # before the limit, for a pause or a quiet place to cut
_HOP_SAMPLES = 320  # 20 ms
_QUIET_HOPS = 5

_Span = tuple[int, int]  # samples: first, one behind the last
Quietest = Callable[[int, int], int]


def pack(regions: Sequence[SpeechRegion], chunk_size: float, recording: Recording) -> list[Chunk]:
    """Chunks of at most ``chunk_size`` seconds that hold all of ``regions`` (in order, without overlap).

    Chunks are in order and do not overlap. A pause above :data:`LONGEST_SILENCE_S` always separates two.
    """
    spans = [
        (math.floor(region.start * SAMPLE_RATE), math.ceil(region.end * SAMPLE_RATE)) for region in regions
    ]
    return _packed(spans, chunk_size, (0, recording.samples), _quietest_in(recording))


def windows(chunk: Chunk, recording: Recording, size: float = WINDOW_S) -> list[Chunk]:
    """A chunk longer than ``size`` seconds as several that are not, all of its speech in them."""
    if chunk.end - chunk.start <= size:
        return [chunk]
    bounds = round(chunk.start * SAMPLE_RATE), round(chunk.end * SAMPLE_RATE)
    spans = [(round(r.start * SAMPLE_RATE), round(r.end * SAMPLE_RATE)) for r in chunk.regions] or [bounds]
    return _packed(spans, size, bounds, _quietest_in(recording))


def _packed(spans: Sequence[_Span], chunk_size: float, bounds: _Span, quietest: Quietest) -> list[Chunk]:
    limit = math.floor(chunk_size * SAMPLE_RATE)
    pad = min(round(_PAD_S * SAMPLE_RATE), limit // 50)
    search = min(round(_SEARCH_S * SAMPLE_RATE), limit // 3)
    pieces = _short_enough(_within(spans, bounds), limit - 2 * pad, search, quietest)
    groups = _grouped(pieces, limit - 2 * pad, search)
    edges = [
        bounds[0] - pad,
        *(edge for group in groups for edge in (group[0][0], group[-1][1])),
        bounds[1] + pad,
    ]
    return [
        _padded(group, before=edges[2 * number], after=edges[2 * number + 3], pad=pad, bounds=bounds)
        for number, group in enumerate(groups)
    ]


def _within(spans: Sequence[_Span], bounds: _Span) -> list[_Span]:
    """Spans inside the bounds; where rounding made two overlap by a sample, the second begins later."""
    kept: list[_Span] = []
    for start, end in spans:
        start, end = max(start, kept[-1][1] if kept else bounds[0]), min(end, bounds[1])
        if end > start:
            kept.append((start, end))
    return kept


def _short_enough(spans: Sequence[_Span], limit: int, search: int, quietest: Quietest) -> list[_Span]:
    """Spans longer than ``limit`` cut at the quietest place of the last ``search`` samples before it, with more
    than a scrap left behind the cut.
    """
    pieces: list[_Span] = []
    for start, end in spans:
        while end - start > limit:
            cut = quietest(start + limit - search, min(start + limit, end - search // 4))
            pieces.append((start, cut))
            start = cut
        pieces.append((start, end))
    return pieces


def _grouped(pieces: Sequence[_Span], limit: int, search: int) -> list[list[_Span]]:
    groups: list[list[_Span]] = []
    first = 0
    while first < len(pieces):
        behind = _cut(pieces, first, limit, search)
        groups.append(list(pieces[first:behind]))
        first = behind
    return groups


def _cut(pieces: Sequence[_Span], first: int, limit: int, search: int) -> int:
    """The piece before which the chunk that begins with number ``first`` ends."""
    begin = pieces[first][0]
    behind = first + 1
    while behind < len(pieces) and pieces[behind][1] - begin <= limit:
        if _pause(pieces, behind) > LONGEST_SILENCE_S * SAMPLE_RATE:
            return behind
        behind += 1
    if behind == len(pieces):
        return behind
    near = [i for i in range(first + 1, behind + 1) if pieces[i - 1][1] - begin >= limit - search]
    return max(near, key=lambda i: (_pause(pieces, i), i), default=behind)


def _pause(pieces: Sequence[_Span], index: int) -> int:
    """Samples of silence in front of the piece."""
    return pieces[index][0] - pieces[index - 1][1]


def _padded(group: Sequence[_Span], *, before: int, after: int, pad: int, bounds: _Span) -> Chunk:
    """The group with a margin at both ends, at most half of the pause to its neighbour."""
    start, end = group[0][0], group[-1][1]
    start = max(bounds[0], start - min(pad, (start - before + 1) // 2))
    end = min(bounds[1], end + min(pad, (after - end) // 2))
    regions = tuple(SpeechRegion(a / SAMPLE_RATE, b / SAMPLE_RATE) for a, b in group)
    return Chunk(start / SAMPLE_RATE, end / SAMPLE_RATE, regions)


def _quietest_in(recording: Recording) -> Quietest:
    """A function that finds the quietest place between two samples: the middle of the 100 ms of least power."""

    def quietest(start: int, stop: int) -> int:
        samples = recording.read(start, stop)
        count = len(samples) // _HOP_SAMPLES
        if count < _QUIET_HOPS:
            return stop
        power = samples[: count * _HOP_SAMPLES].reshape(count, -1).var(axis=1)
        around = np.convolve(power, np.ones(_QUIET_HOPS), mode="valid")
        return start + int(np.argmin(around)) * _HOP_SAMPLES + _HOP_SAMPLES * _QUIET_HOPS // 2

    return quietest
