"""Scores of who spoke when, and of who said what.

Diarization error rate with pyannote.metrics: overlap is counted, and nothing is forgiven around the reference's
edges unless a collar is given. pyannote's collar is a whole width: 0.25 forgives 0.125 s to each side (md-eval's
0.25 forgives 0.25 s to each side). Word errors per speaker (cpWER) with meeteval.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from pipeline.word_errors import Score, normalised
from schemas.diarization import SpeakerTurn
from schemas.transcript import Segment, Word


@dataclass(frozen=True)
class Der:
    """Seconds; they add up to a pooled rate."""

    missed: float = 0.0
    false_alarm: float = 0.0
    confusion: float = 0.0
    speech: float = 0.0

    @property
    def rate(self) -> float:
        """Diarization error rate, 0 for perfect; more than 1 is possible."""
        return (self.missed + self.false_alarm + self.confusion) / self.speech

    def __add__(self, other: Der) -> Der:
        return Der(
            self.missed + other.missed,
            self.false_alarm + other.false_alarm,
            self.confusion + other.confusion,
            self.speech + other.speech,
        )

    def __str__(self) -> str:
        parts = ("missed", self.missed), ("false alarm", self.false_alarm), ("confusion", self.confusion)
        shares = ", ".join(f"{name} {seconds / self.speech:.1%}" for name, seconds in parts)
        return f"DER {self.rate:.1%} ({shares})"


def der(
    reference: Iterable[SpeakerTurn],
    hypothesis: Iterable[SpeakerTurn],
    duration_s: float,
    collar: float = 0.0,
) -> Der:
    """Errors over the whole recording, speakers matched as well as can be."""
    from pyannote.core import Segment as Interval
    from pyannote.core import Timeline
    from pyannote.metrics.diarization import DiarizationErrorRate

    whole = Timeline([Interval(0, duration_s)])
    found = DiarizationErrorRate(collar=collar)(
        _annotation(reference), _annotation(hypothesis), uem=whole, detailed=True
    )
    return Der(found["missed detection"], found["false alarm"], found["confusion"], found["total"])


def _annotation(turns: Iterable[SpeakerTurn]):
    from pyannote.core import Annotation
    from pyannote.core import Segment as Interval

    annotation = Annotation()
    for number, turn in enumerate(turns):
        annotation[Interval(turn.start, turn.end), number] = turn.speaker
    return annotation


def cpwer(reference: Mapping[str, str], hypothesis: Mapping[str, str], language: str = "en") -> Score:
    """Word errors of each speaker's text, speakers matched as well as can be; texts are normalised here."""
    from meeteval.wer import cp_word_error_rate

    def clean(texts: Mapping[str, str]) -> dict[str, str]:
        return {speaker: normalised(text, language) for speaker, text in texts.items()}

    found = cp_word_error_rate(reference=clean(reference), hypothesis=clean(hypothesis))
    return Score(found.substitutions, found.deletions, found.insertions, found.length)


def texts_of(segments: Iterable[Segment]) -> dict[str, str]:
    """Each speaker's words in order; what nobody said goes to a speaker of its own."""
    texts: dict[str, list[str]] = {}
    for segment in segments:
        texts.setdefault(segment.speaker or "nobody", []).append(segment.text)
    return {speaker: " ".join(lines) for speaker, lines in texts.items()}


def wrong_words(reference: Sequence[str], words: Sequence[Word]) -> tuple[int, int]:
    """Words with another speaker than the reference's (matched as well as can be), and those with none."""
    import numpy as np
    from scipy.optimize import linear_sum_assignment

    people, labels = sorted(set(reference)), sorted({w.speaker for w in words if w.speaker})
    counts = np.zeros((len(people), len(labels)), int)
    for person, word in zip(reference, words, strict=True):
        if word.speaker:
            counts[people.index(person), labels.index(word.speaker)] += 1
    right = counts[linear_sum_assignment(counts, maximize=True)].sum()
    return len(words) - int(right), sum(word.speaker is None for word in words)
