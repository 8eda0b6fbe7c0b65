"""Which stages a request has, and a stage's own fraction as that of the whole. Imports nothing heavy."""

from __future__ import annotations

from collections.abc import Callable

Report = Callable[[str, float, str | None], None]

# Share of the whole time that a stage usually takes; only the progress display depends on it.
_WEIGHTS = {"audio": 0.03, "vad": 0.04, "asr": 0.5, "align": 0.13, "diarize": 0.29, "assign": 0.01}
_STAGES_OF = {
    "transcribe": ("audio", "vad", "asr", "align"),
    "align": ("audio", "align"),
    "diarize": ("audio", "diarize", "assign"),
    "transcribe_diarized": ("audio", "vad", "asr", "align", "diarize", "assign"),
}


def stages_of(operation: str, *, words: bool = True) -> tuple[str, ...]:
    """The stages of an operation in order; ``words=False`` leaves alignment out where it was not asked for."""
    names = _STAGES_OF[operation]
    if operation != "align" and not words:
        names = tuple(name for name in names if name != "align")
    return names


def spans(names: tuple[str, ...]) -> dict[str, tuple[float, float]]:
    """Of each stage where it begins, as a fraction of the whole, and its share."""
    total = sum(_WEIGHTS[name] for name in names)
    found, begin = {}, 0.0
    for name in names:
        share = _WEIGHTS[name] / total
        found[name] = (begin, share)
        begin += share
    return found


class Steps:
    """Turns a stage's own fraction into that of the whole, which never falls."""

    def __init__(self, names: tuple[str, ...], report: Report) -> None:
        self._spans, self._report, self._highest = spans(names), report, 0.0

    def report(self, stage: str, fraction: float, text: str | None) -> None:
        """Passes the fraction of the whole on."""
        begin, share = self._spans.get(stage, (1.0, 0.0))
        self._highest = max(self._highest, min(1.0, begin + share * min(1.0, fraction)))
        self._report(stage, self._highest, text)
