"""What may be sampled next, on the device, each hypothesis by its own history.

The rules are OpenAI's (``whisper/decoding.py``: SuppressBlank, SuppressTokens, ApplyTimestampRules): timestamps
come in pairs, never fall, and win when their joint probability exceeds that of every text token. That last test
reads the logits after all masks: before them it can mask everything, which other MLX programs show as "!!!!".
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import mlx.core as mx
import numpy as np

from pipeline.whisper_mlx.config import SECONDS_PER_TIMESTAMP
from pipeline.whisper_mlx.kernels import Kernels
from pipeline.whisper_mlx.tokens import Tokens

FORBIDDEN = -1e9
MAX_INITIAL_TIMESTAMP_S = 1.0


@dataclass(frozen=True)
class History:
    """What the rules know of each hypothesis, (slots, width) each.

    ``last``: its last token is a timestamp. ``previous``: so is the one before, or there is none.
    ``stamp``: its last timestamp in steps from 0, -1 for none.
    """

    last: mx.array
    previous: mx.array
    stamp: mx.array

    def of(self, parents: mx.array) -> History:
        """The histories of chosen hypotheses (slots, width)."""
        return History(
            *(mx.take_along_axis(a, parents, axis=1) for a in (self.last, self.previous, self.stamp))
        )


class Rules:
    """``suppressed`` are text ids that are never sampled."""

    def __init__(
        self, tokens: Tokens, kernels: Kernels, suppressed: Iterable[int], *, timestamps: bool
    ) -> None:
        self.timestamps = timestamps
        self.kernels = kernels
        self.eot = tokens.eot
        self.begin = tokens.timestamp_begin
        self.vocabulary = tokens.dims.n_vocab
        text = np.zeros(self.eot, np.float32)
        text[list(suppressed)] = FORBIDDEN
        self.text_mask = mx.array(text)
        self.first_mask = mx.array(self._first_mask(text, tokens))
        self.mask = mx.array(np.concatenate([text, [0], np.full(self.vocabulary - self.eot - 1, FORBIDDEN)]))
        self.mask = self.mask.astype(mx.float32)
        mx.eval(self.text_mask, self.first_mask, self.mask)

    def _first_mask(self, text: np.ndarray, tokens: Tokens) -> np.ndarray:
        mask = np.full(self.vocabulary, FORBIDDEN, np.float32)
        if self.timestamps:
            latest = round(MAX_INITIAL_TIMESTAMP_S / SECONDS_PER_TIMESTAMP)
            mask[self.begin : self.begin + latest + 1] = 0
        else:
            mask[: self.eot] = text
            mask[list(tokens.blank)] = FORBIDDEN
        return mask

    def first(self, logits: mx.array) -> mx.array:
        """Masked logits of a window's first token; (..., vocabulary)."""
        return logits + self.first_mask

    def next(self, logits: mx.array, history: History) -> mx.array:
        """Masked logits of every further token; (slots, width, vocabulary)."""
        if not self.timestamps:
            return logits + self.mask
        text = logits[..., : self.eot] + self.text_mask
        end = logits[..., self.eot : self.eot + 1]
        stamps = logits[..., self.begin :]
        closing = (history.last & ~history.previous)[..., None]  # text may not follow a segment's end
        opened = (history.last & history.previous)[..., None]  # text must follow a segment's start
        floor = (history.stamp + 1)[..., None] - closing
        too_early = mx.arange(stamps.shape[-1]) < floor
        stamps = mx.where(opened | too_early, FORBIDDEN, stamps)
        text = mx.where(closing, FORBIDDEN, text)
        best = mx.maximum(mx.max(text, -1, keepdims=True), end)
        timed = self.kernels.logsumexp(stamps)[..., None] > best
        special = mx.full((*logits.shape[:-1], self.begin - self.eot - 1), FORBIDDEN, mx.float32)
        text, end = mx.where(timed, FORBIDDEN, text), mx.where(timed, FORBIDDEN, end)
        return mx.concatenate([text, end, special, stamps], axis=-1)

    def begun(self, chosen: mx.array) -> History:
        """The history after the first token (slots, width)."""
        is_stamp = chosen >= self.begin
        stamp = mx.where(is_stamp, chosen - self.begin, -1)
        return History(is_stamp, mx.ones_like(is_stamp), stamp)

    def extended(self, history: History, chosen: mx.array) -> History:
        """The history after a further token (slots, width)."""
        is_stamp = chosen >= self.begin
        stamp = mx.where(is_stamp, chosen - self.begin, history.stamp)
        return History(is_stamp, history.last, stamp)
