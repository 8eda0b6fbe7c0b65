"""Words spread over their segment by length, without a model: the baseline, and what is left when all fails."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from pipeline.align import Cut, WordTime
from pipeline.align._times import natural_s
from pipeline.recording import SAMPLE_RATE
from schemas.errors import FailedToAlign
from schemas.options import Options

if TYPE_CHECKING:
    from pipeline.plan import Choice

REQUIRES: tuple[str, ...] = ()
DEVICES = ("cpu",)
VERSION = 1
MODEL_KIND = None
MODEL_FORMATS: tuple[str, ...] = ()


def load(choice: Choice, options: Options) -> Even:
    """Nothing to load."""
    return Even()


class Even:
    """An :class:`pipeline.align.Aligner` that looks at the length of words only."""

    cache_key = "even"
    model = None
    revision = None
    device = "cpu"
    margin_s = 0.0

    def align(self, cuts: Sequence[Cut]) -> list[list[WordTime | None] | FailedToAlign]:
        """Every word gets an estimated time and no score."""
        return [list(spread(cut.words, 0.0, len(cut.waveform) / SAMPLE_RATE)) for cut in cuts]


def spread(words: Sequence[str], start: float, end: float) -> list[WordTime]:
    """The words one after the other from ``start`` to ``end``, each with a share by its spoken length."""
    shares = [natural_s(word) for word in words]
    total = sum(shares)
    times, before = [], 0.0
    for share in shares:
        left = start + (end - start) * before / total
        before += share
        times.append(WordTime(left, start + (end - start) * before / total, None, "interpolated"))
    return times
