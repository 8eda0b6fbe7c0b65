"""Ways to choose tokens: greedy, sampled, beam search. Each has a part on the device and one on the host.

On the device ``choose`` turns masked logits into the next tokens. On the host a track follows a window: it is
handed what was chosen, a step late, and says when the window is done. Ranking is by log probability over length to
the power of ``length_penalty`` (1: OpenAI's default, and CTranslate2's).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Protocol

import mlx.core as mx

from pipeline.whisper_mlx.kernels import Kernels

BLOCK = 256


@dataclass(frozen=True)
class Choice:
    """``tokens`` (slots, width), ``parents`` the same or none where nothing moves, ``scores`` their sums of log
    probabilities, ``report`` what the track reads (arrays with slots first)."""

    tokens: mx.array
    parents: mx.array | None
    scores: mx.array
    report: tuple[mx.array, ...]


@dataclass
class Hypothesis:
    """Text and timestamp tokens without the end, and the sum of their log probabilities and the end's."""

    tokens: list[int] = field(default_factory=list)
    logprob: float = 0.0
    ended: bool = False

    @property
    def avg_logprob(self) -> float:
        """The end counts as a token."""
        return self.logprob / (len(self.tokens) + 1)

    def rank(self, length_penalty: float) -> float:
        """What hypotheses of one window are compared by."""
        return self.logprob / max(len(self.tokens), 1) ** length_penalty


class Track(Protocol):
    """The host's side of a window."""

    def add(self, *report: Any) -> bool:
        """Take a step's report for this slot, as lists; true when the window is done."""
        ...

    def best(self, among: slice = slice(None)) -> Hypothesis:
        """The answer, among all hypotheses or some."""
        ...


class Strategy(Protocol):
    """``width`` hypotheses a slot; one that ``samples`` is handed Gumbel noise (slots, width, vocabulary)."""

    width: int
    samples: bool

    def choose(self, logits: mx.array, scores: mx.array, *noise: mx.array) -> Choice:
        """From masked logits (slots, width or 1, vocabulary) and scores (slots, width or 1)."""
        ...

    def track(self, eot: int, limit: int) -> Track:
        """A new window's track; ``limit`` is the most tokens that it may have."""
        ...


@dataclass(frozen=True)
class Greedy:
    """The likeliest token, always."""

    kernels: Kernels
    width: int = 1
    samples: bool = False

    def choose(self, logits: mx.array, scores: mx.array) -> Choice:
        tokens = mx.argmax(logits, axis=-1).astype(mx.int32)
        logprobs = mx.max(logits, axis=-1) - self.kernels.logsumexp(logits)
        return Choice(tokens, None, scores, (tokens, logprobs))

    def track(self, eot: int, limit: int) -> Track:
        return IndependentTrack(eot, limit, self.width, 1.0)


@dataclass(frozen=True)
class Sample:
    """Each hypothesis on its own, at its own temperature; the best is kept."""

    kernels: Kernels
    temperatures: tuple[float, ...]
    length_penalty: float = 1.0
    samples: bool = True

    @property
    def width(self) -> int:
        """One hypothesis for each temperature named."""
        return len(self.temperatures)

    def choose(self, logits: mx.array, scores: mx.array, noise: mx.array) -> Choice:
        logits = mx.broadcast_to(logits, noise.shape)
        heat = mx.array(self.temperatures)[None, :, None]
        tokens = mx.argmax(logits / heat + noise, axis=-1).astype(mx.int32)
        chosen = mx.take_along_axis(logits, tokens[..., None], axis=-1).squeeze(-1)
        logprobs = chosen - self.kernels.logsumexp(logits)
        return Choice(tokens, None, mx.broadcast_to(scores, tokens.shape), (tokens, logprobs))

    def track(self, eot: int, limit: int) -> IndependentTrack:
        return IndependentTrack(eot, limit, self.width, self.length_penalty)


@dataclass(frozen=True)
class Beam:
    """Beam search as in OpenAI's ``BeamSearchDecoder``; patience: Kasai et al., arXiv 2204.05424."""

    kernels: Kernels
    eot: int
    width: int
    patience: float = 1.0
    length_penalty: float = 1.0
    samples: bool = False

    def choose(self, logits: mx.array, scores: mx.array) -> Choice:
        slots, _, vocabulary = logits.shape
        totals = logits + (scores - self.kernels.logsumexp(logits))[..., None]
        index, values = top_k(totals.reshape(slots, -1), 2 * self.width)
        tokens, parents = index % vocabulary, index // vocabulary
        rank = mx.arange(2 * self.width)
        going_on = mx.argsort(mx.where(tokens == self.eot, rank + 2 * self.width, rank), axis=-1)
        going_on = going_on[:, : self.width]
        chosen, origin, sums = (mx.take_along_axis(a, going_on, axis=1) for a in (tokens, parents, values))
        return Choice(chosen, origin, sums, (tokens, parents, values))

    def track(self, eot: int, limit: int) -> Track:
        wanted = max(1, round(self.width * self.patience))
        return BeamTrack(eot, limit, self.width, wanted, self.length_penalty)


def top_k(x: mx.array, k: int) -> tuple[mx.array, mx.array]:
    """Indices and values of the k largest of each row, falling; x (rows, n).

    The k largest lie in the k blocks with the largest maxima, so that one pass over x and small sorts do.
    """
    rows, n = x.shape
    blocks = -(-n // BLOCK)
    padded = mx.pad(x, ((0, 0), (0, blocks * BLOCK - n)), constant_values=float("-inf"))
    padded = padded.reshape(rows, blocks, BLOCK)
    best = mx.argsort(-mx.max(padded, axis=-1), axis=-1)[:, :k]
    candidates = mx.take_along_axis(padded, best[..., None], axis=1).reshape(rows, -1)
    order = mx.argsort(-candidates, axis=-1)[:, :k]
    index = mx.take_along_axis(best, order // BLOCK, axis=1) * BLOCK + order % BLOCK
    return index.astype(mx.int32), mx.take_along_axis(candidates, order, axis=1)


class IndependentTrack:
    """Follows hypotheses that do not meet: greedy and sampled ones."""

    def __init__(self, eot: int, limit: int, width: int, length_penalty: float) -> None:
        self.eot = eot
        self.limit = limit
        self.length_penalty = length_penalty
        self.hypotheses = [Hypothesis() for _ in range(width)]

    def add(self, tokens: list[int], logprobs: list[float]) -> bool:
        for hypothesis, token, logprob in zip(self.hypotheses, tokens, logprobs, strict=True):
            if hypothesis.ended:
                continue
            hypothesis.logprob += logprob
            if token != self.eot:
                hypothesis.tokens.append(token)
            hypothesis.ended = token == self.eot or len(hypothesis.tokens) >= self.limit
        return all(hypothesis.ended for hypothesis in self.hypotheses)

    def best(self, among: slice = slice(None)) -> Hypothesis:
        return max(self.hypotheses[among], key=lambda h: h.rank(self.length_penalty))


class BeamTrack:
    """Follows beams: finished ones are set aside until ``wanted`` of them are there."""

    def __init__(self, eot: int, limit: int, width: int, wanted: int, length_penalty: float) -> None:
        self.eot = eot
        self.limit = limit
        self.width = width
        self.wanted = wanted
        self.length_penalty = length_penalty
        self.live = [Hypothesis()]
        self.finished: list[Hypothesis] = []

    def add(self, tokens: list[int], parents: list[int], scores: list[float]) -> bool:
        live: list[Hypothesis] = []
        for token, parent, score in zip(tokens, parents, scores, strict=True):
            text = self.live[parent].tokens
            if token != self.eot:
                live.append(Hypothesis([*text, token], score))
            elif len(self.finished) < self.wanted:
                self.finished.append(Hypothesis(text, score, ended=True))
            if len(live) == self.width:
                break
        self.live = live
        return len(self.finished) >= self.wanted or len(live[0].tokens) >= self.limit

    def best(self, among: slice = slice(None)) -> Hypothesis:
        spare = max(0, self.wanted - len(self.finished))
        return max((self.finished + self.live[:spare])[among], key=lambda h: h.rank(self.length_penalty))
