"""A second look at what voice activity detection left out.

Far-field and noisy speech often stays just under the threshold, and what is under it is never transcribed: the
most frequent complaint about pipelines with a VAD. So stretches outside all chunks whose probability is near the
threshold are handed on as doubtful chunks, whose text counts only where the recogniser is sure of it.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pipeline.recording import Recording
from pipeline.vad._pack import pack
from pipeline.vad._regions import Chunk, SpeechRegion, active_frames, to_regions

NEAR = 0.4  # of the onset and the offset asked for
SHORTEST_S = 0.5
_PAD_S = 0.1


def doubtful_regions(
    probability: np.ndarray,
    onset: float,
    offset: float,
    frame_s: float,
    duration_s: float,
    first_s: float = 0.0,
) -> list[SpeechRegion]:
    """Regions of what is speech or near it, by probabilities (frames,); see :func:`to_regions` for the rest."""
    active = active_frames(probability, NEAR * onset, NEAR * offset)
    return to_regions(active, frame_s, duration_s, first_s=first_s, pad_s=_PAD_S, shortest_s=SHORTEST_S)


def with_doubtful(
    chunks: Sequence[Chunk], near: Sequence[SpeechRegion], chunk_size: float, recording: Recording
) -> list[Chunk]:
    """The chunks, and doubtful ones for those parts of ``near`` that none of them holds, in order."""
    free = [
        part for region in near for part in _outside(region, chunks) if part.end - part.start >= SHORTEST_S
    ]
    found = [
        Chunk(
            max([c.start, *(k.end for k in chunks if k.end <= c.regions[0].start)]),
            min([c.end, *(k.start for k in chunks if k.start >= c.regions[-1].end)]),
            c.regions,
            doubtful=True,
        )
        for group in _between(free, chunks)
        for c in pack(group, chunk_size, recording)
    ]
    return sorted([*chunks, *found], key=lambda chunk: chunk.start)


def _outside(region: SpeechRegion, chunks: Sequence[Chunk]) -> list[SpeechRegion]:
    parts, reached = [], region.start
    for chunk in chunks:
        if chunk.end <= reached or chunk.start >= region.end:
            continue
        parts.append(SpeechRegion(reached, max(reached, chunk.start)))
        reached = chunk.end
    return [*parts, SpeechRegion(reached, max(reached, region.end))]


def _between(regions: Sequence[SpeechRegion], chunks: Sequence[Chunk]) -> list[list[SpeechRegion]]:
    """Regions that no chunk stands between, together."""
    groups: dict[int, list[SpeechRegion]] = {}
    for region in regions:
        groups.setdefault(sum(chunk.end <= region.start for chunk in chunks), []).append(region)
    return list(groups.values())
