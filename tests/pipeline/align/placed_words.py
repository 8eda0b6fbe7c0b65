"""Words as an aligner places them, beside the same words with their true times."""

from __future__ import annotations

from collections.abc import Sequence

from pipeline.align import Aligner, align_segments
from pipeline.encoder_output import EncoderOutput
from pipeline.recording import Recording
from schemas.options import AlignOptions
from schemas.report import Warning_
from schemas.transcript import Segment, Word


def placed(
    aligner: Aligner,
    recording: Recording,
    segments: Sequence[Segment],
    heard: EncoderOutput | None = None,
) -> tuple[list[tuple[Word, Word]], tuple[Warning_, ...]]:
    """Pairs of a word that was placed and the true one, and the warnings; ``segments`` hold the true times."""
    bare = [segment.model_copy(update={"words": ()}) for segment in segments]
    found, warnings = align_segments(
        aligner,
        recording,
        bare,
        "en",
        options=AlignOptions(),
        progress=lambda fraction: None,
        heard=heard,
    )
    pairs = [
        pair for a, b in zip(found, segments, strict=True) for pair in zip(a.words, b.words, strict=True)
    ]
    return pairs, warnings
