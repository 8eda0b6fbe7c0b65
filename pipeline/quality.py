"""Where a transcript deserves doubt: spans with times, few enough to be read."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from pipeline.vad import Chunk
from schemas.report import QualitySpan
from schemas.transcript import Segment

UNSURE_LOGPROB = -1.0  # Whisper's own threshold for decoding again (openai/whisper, logprob_threshold)
WORDLESS_S = 3.0  # speech without any word is told from this length on
JOINED_S = 1.0
MOST = 100

_KIND_OF = {"hallucination_removed": "removed", "low_confidence": "low_confidence"}


def find(
    chunks: Sequence[Chunk], pieces: Mapping[int, Mapping[str, Any]], segments: Sequence[Segment]
) -> tuple[QualitySpan, ...]:
    """In order of time: stretches that were hard to decode, from which text was removed, or that have no words.

    ``pieces``: what speech to text gave for each chunk, with its warnings; they say what happened in the chunk,
    not where in it.
    """
    found = [*_of_chunks(chunks, pieces), *_unsure(segments), *_wordless(chunks, segments)]
    joined = _joined(sorted(found, key=_when))
    return tuple(sorted(joined, key=_when))[:MOST]


def _when(span: QualitySpan) -> tuple[float, float]:
    return span.start, span.end


def _of_chunks(chunks: Sequence[Chunk], pieces: Mapping[int, Mapping[str, Any]]) -> Iterator[QualitySpan]:
    for index, piece in pieces.items():
        for warning in piece["warnings"]:
            kind = _KIND_OF.get(warning["code"])
            if kind is not None:
                yield _span(kind, chunks[index].start, chunks[index].end, warning["message"])


def _unsure(segments: Iterable[Segment]) -> Iterator[QualitySpan]:
    for segment in segments:
        if segment.avg_logprob is not None and segment.avg_logprob < UNSURE_LOGPROB:
            yield _span("low_confidence", segment.start, segment.end, "The model was unsure of these words.")


def _wordless(chunks: Iterable[Chunk], segments: Sequence[Segment]) -> Iterator[QualitySpan]:
    """Speech that no segment touches: talk that was not understood, or noise taken for talk."""
    for chunk in chunks:
        for region in chunk.regions:
            touched = any(s.start < region.end and s.end > region.start for s in segments)
            if region.end - region.start >= WORDLESS_S and not touched:
                yield _span(
                    "no_words", region.start, region.end, "Sounds like speech, and no word was found."
                )


def _span(kind: str, start: float, end: float, detail: str) -> QualitySpan:
    return QualitySpan(kind=kind, start=round(start, 2), end=round(end, 2), detail=detail)


def _joined(spans: Iterable[QualitySpan]) -> Iterator[QualitySpan]:
    """Neighbours of one kind and reason as one."""
    last: dict[tuple[str, str], QualitySpan] = {}
    for span in spans:
        key = (span.kind, span.detail)
        before = last.get(key)
        if before is not None and span.start - before.end <= JOINED_S:
            span = before.model_copy(update={"end": max(before.end, span.end)})
        elif before is not None:
            yield before
        last[key] = span
    yield from last.values()
