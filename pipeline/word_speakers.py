"""The likeliest speakers of a row of words, from who speaks when: a hidden Markov model decoded by Viterbi.

Speakers are the states and words are the steps. Each word costs what of it lies outside its speaker's turns, each
change of speaker costs ``CHANGE``, and less at a pause or the end of a sentence, where people take turns (Sacks,
Schegloff and Jefferson, "A simplest systematics for the organization of turn-taking for conversation", 1974).
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from operator import attrgetter

import numpy as np

from schemas.diarization import SpeakerTurn

CHANGE = 0.15  # of speaker, in words that lie outside the turns
CHANGE_AT_BREAK = 0.05  # at a pause or the end of a sentence
EQUAL = 1e-9
SHORTEST_S = 0.05
FULL_S = 0.4  # a shorter word counts for less: the edges of turns and words are no more exact than that
OUTSIDE = 0.5  # what a word beside a turn is worth, less the farther away


def whose(
    spans: Sequence[tuple[float, float]],
    breaks: Sequence[bool],
    turns: Sequence[SpeakerTurn],
    exclusive: Sequence[SpeakerTurn] = (),
) -> list[tuple[str | None, float | None]]:
    """The speaker of each word and how much speaks for it, from 0 to 1; nobody where there are no turns.

    ``spans`` are the words' starts and ends in seconds, in order; ``breaks``: a pause or a sentence's end lies
    before the word. The score is the share of the word in the speaker's turns, what lies outside counting half
    at their edge, a quarter at a second from it; times the least confidence of the speaker's ``exclusive`` turns.
    Of equal places for a change the earliest is taken: who begins while another is still talking, and goes on,
    has the word.
    """
    if not turns or not spans:
        return [(None, None)] * len(spans)
    speech = _by_speaker(turns)
    alone = speech | _by_speaker(exclusive)
    stretches = np.array(spans)
    evidence = np.stack([own.shares(stretches) for own in speech.values()], axis=1)
    path = _likeliest(evidence, stretches[:, 1] - stretches[:, 0], np.array(breaks))
    scores = np.empty(len(path))
    for number, label in enumerate(speech):
        mine = path == number
        scores[mine] = evidence[mine, number] * alone[label].confidence(stretches[mine])
    labels = list(speech)
    return [(labels[number], float(score)) for number, score in zip(path, scores, strict=True)]


def _by_speaker(turns: Sequence[SpeakerTurn]) -> dict[str, _Speech]:
    of = attrgetter("speaker")
    return {speaker: _Speech(list(own)) for speaker, own in groupby(sorted(turns, key=of), key=of)}


def _likeliest(evidence: np.ndarray, lengths: np.ndarray, breaks: np.ndarray) -> np.ndarray:
    """The cheapest row of speakers, as columns of ``evidence`` (words, speakers); lengths (words,) in seconds."""
    words, speakers = evidence.shape
    costs = (1 - evidence) * (lengths.clip(SHORTEST_S, FULL_S) / FULL_S)[:, None]
    changes = np.where(breaks, CHANGE_AT_BREAK, CHANGE)
    everyone = np.arange(speakers)
    before = np.zeros((words, speakers), int)
    total = np.zeros(speakers)
    for word in range(words):
        best = int(total.argmin())
        changed = total[best] + changes[word]
        before[word] = np.where(changed < total - EQUAL, best, everyone)
        total = np.minimum(total, changed) + costs[word]
    path = np.full(words, total.argmin())
    for word in range(words - 1, 0, -1):
        path[word - 1] = before[word, path[word]]
    return path


class _Speech:
    """One speaker's turns in order, those that overlap made one, and the confidence of each."""

    def __init__(self, turns: Sequence[SpeakerTurn]) -> None:
        joined: list[list[float]] = []
        for turn in sorted(turns, key=lambda turn: (turn.start, turn.end)):
            sure = 1.0 if turn.confidence is None else turn.confidence
            end = max(turn.start, turn.end)
            if joined and turn.start < joined[-1][1]:
                joined[-1][1:] = max(joined[-1][1], end), min(joined[-1][2], sure)
            else:
                joined.append([turn.start, end, sure])
        self._starts, self._ends, self._sure = np.array(joined).T
        self._before = np.concatenate(([0.0], np.cumsum(self._ends - self._starts)))

    def shares(self, spans: np.ndarray) -> np.ndarray:
        """How much speaks for the speaker, (words,)."""
        starts, ends = spans.T
        away, _ = self._nearest(spans)
        length = ends - starts
        inside = np.where(away > 0, 0.0, 1.0)  # of a word without length
        spoken = self._seconds(ends) - self._seconds(starts)
        np.divide(spoken, length, out=inside, where=length > 0)
        inside = inside.clip(0.0, 1.0)
        return inside + (1 - inside) * OUTSIDE / (1 + away)

    def confidence(self, spans: np.ndarray) -> np.ndarray:
        """The least of the turns in each span, else the nearest turn's, (words,)."""
        _, nearest = self._nearest(spans)
        first = np.searchsorted(self._ends, spans[:, 0], "right")
        last = np.searchsorted(self._starts, spans[:, 1], "left")
        inside = np.where(first < last, first, nearest), np.where(first < last, last, nearest + 1)
        return np.array([self._sure[i:j].min() for i, j in zip(*inside, strict=True)])

    def _seconds(self, times: np.ndarray) -> np.ndarray:
        """Seconds of speech before each time."""
        begun = np.searchsorted(self._starts, times, "right")
        unfinished = np.maximum(0.0, self._ends[begun - 1] - times)
        return np.where(begun > 0, self._before[begun] - unfinished, 0.0)

    def _nearest(self, spans: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """How far each span is from the next turn, in seconds, and which that is (the first of several)."""
        starts, ends = spans.T
        behind = np.searchsorted(self._ends, starts, "left")  # the first turn that ends later
        to_next = np.append(self._starts, np.inf)[behind] - ends
        to_last = starts - np.concatenate(([-np.inf], self._ends))[behind]
        nearest = np.where(to_last < to_next, behind - 1, behind)
        return np.maximum(0.0, np.minimum(to_next, to_last)), nearest
