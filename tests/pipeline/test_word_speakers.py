"""The likeliest speakers of a row of words: the cheapest row of all, by shares that going through turns gives."""

from __future__ import annotations

from itertools import pairwise, product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline import word_speakers
from pipeline.word_speakers import whose
from schemas.diarization import SpeakerTurn

A, B, C = "SPEAKER_00", "SPEAKER_01", "SPEAKER_02"

times = st.floats(0, 8, allow_nan=False).map(lambda t: round(t, 2))
lengths = st.sampled_from([0.0, 0.1, 0.3, 1.0])
rows = st.lists(st.tuples(times, lengths, st.sampled_from([A, B, C])), min_size=1, max_size=8)
words = st.lists(st.tuples(times, lengths, st.booleans()), min_size=1, max_size=4)


def turn(start: float, end: float, speaker: str, confidence: float | None = None) -> SpeakerTurn:
    return SpeakerTurn(start=start, end=end, speaker=speaker, confidence=confidence)


def share(start: float, length: float, own: list[SpeakerTurn]) -> float:
    """By looking at the word every 10 ms: times here are whole hundredths."""
    count = max(1, round(length * 100))
    instants = [start + length * (n + 0.5) / count for n in range(count)]
    inside = sum(any(t.start <= at <= t.end for t in own) for at in instants) / count
    away = min(max(t.start - start - length, start - t.end, 0.0) for t in own)
    return inside + (1 - inside) * word_speakers.OUTSIDE / (1 + away)


def weight(length: float) -> float:
    return min(max(length, word_speakers.SHORTEST_S), word_speakers.FULL_S) / word_speakers.FULL_S


def cost(path: tuple[str, ...], spoken, shares: list[dict[str, float]]) -> float:
    outside = (1 - of[speaker] for of, speaker in zip(shares, path, strict=True))
    total = sum(weight(length) * part for (_, length, _), part in zip(spoken, outside, strict=True))
    for (_, _, breaks), (before, here) in zip(spoken[1:], pairwise(path), strict=True):
        change = word_speakers.CHANGE_AT_BREAK if breaks else word_speakers.CHANGE
        total += change * (before != here)
    return total


@settings(max_examples=60, deadline=None)
@given(words, rows)
def test_no_row_of_speakers_is_cheaper(spoken, made):
    turns = [turn(start, start + length, speaker) for start, length, speaker in made]
    own = {t.speaker: [o for o in turns if o.speaker == t.speaker] for t in turns}
    shares = [{who: share(start, length, own[who]) for who in own} for start, length, _ in spoken]
    spans = [(start, start + length) for start, length, _ in spoken]
    found = whose(spans, [breaks for *_, breaks in spoken], turns)
    least = min(cost(path, spoken, shares) for path in product(own, repeat=len(spoken)))
    assert cost(tuple(speaker for speaker, _ in found), spoken, shares) == pytest.approx(least)
    assert [score for _, score in found] == pytest.approx(
        [of[speaker] for of, (speaker, _) in zip(shares, found, strict=True)]
    )


def test_a_reply_inside_anothers_turn_does_not_cut_it_and_a_speaker_who_goes_on_takes_over():
    spans = [(n * 0.4, n * 0.4 + 0.4) for n in range(10)]
    reply = whose(spans, [False] * 10, [turn(0, 4, A), turn(1.2, 2.0, B)])
    assert [speaker for speaker, _ in reply] == [A] * 10
    taken = whose(spans, [False] * 10, [turn(0, 2.0, A), turn(1.2, 4, B)])
    assert [speaker for speaker, _ in taken] == [A] * 3 + [B] * 7


def test_the_score_has_the_confidence_of_the_exclusive_turns():
    turns = [turn(0, 2, A), turn(2, 4, B)]
    exclusive = [turn(0, 1, A, 0.4), turn(1, 2, A, 0.9), turn(3, 4, B, 0.7)]
    spans = [(0.2, 0.8), (0.8, 1.4), (1.4, 1.9), (2.1, 2.6), (3.2, 3.6)]
    found = whose(spans, [False] * 5, turns, exclusive)
    assert [speaker for speaker, _ in found] == [A, A, A, B, B]
    assert [score for _, score in found] == pytest.approx([0.4, 0.4, 0.9, 0.7, 0.7])


def test_without_turns_the_words_are_nobodys():
    assert whose([(0.0, 1.0)], [False], []) == [(None, None)]
    assert whose([], [], [turn(0, 1, A)]) == []
