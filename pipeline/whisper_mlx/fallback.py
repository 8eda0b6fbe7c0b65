"""When a window's text is not to be trusted, as OpenAI's ``transcribe`` and WhisperX's options define it."""

from __future__ import annotations

import zlib
from dataclasses import dataclass


@dataclass(frozen=True)
class Thresholds:
    """None switches a test off. Probabilities are natural logarithms per token."""

    compression_ratio: float | None = 2.4
    logprob: float | None = -1.0
    no_speech: float | None = 0.6

    def is_silence(self, avg_logprob: float, no_speech_prob: float) -> bool:
        """The model thinks that nobody speaks, and does not believe its own text."""
        if self.no_speech is None or no_speech_prob <= self.no_speech:
            return False
        return self.logprob is None or avg_logprob <= self.logprob

    def fails(self, text: str, avg_logprob: float, no_speech_prob: float) -> bool:
        """Whether the window has to be decoded again, hotter."""
        if self.is_silence(avg_logprob, no_speech_prob):
            return False
        if self.compression_ratio is not None and compression_ratio(text) > self.compression_ratio:
            return True
        return self.logprob is not None and not avg_logprob >= self.logprob  # NaN fails


def compression_ratio(text: str) -> float:
    """Bytes over compressed bytes: high where words repeat; 0 for no text."""
    data = text.encode("utf-8")
    return len(data) / len(zlib.compress(data)) if data else 0.0
