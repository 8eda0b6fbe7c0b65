"""The bench of words to speakers knows which words are whose."""

from __future__ import annotations

import numpy as np
from bench_modules import loaded

from schemas.diarization import Diarization, SpeakerTurn
from schemas.transcript import Segment, Word

bench = loaded("words_to_speakers")
from simulate_meetings import Clip, Plan, SpokenWord, _cut, meeting  # noqa: E402

RATE = 16_000


def heard(*words: tuple) -> list[Segment]:
    rows = tuple(Word(word=text, start=start, end=end) for text, start, end in words)
    return [Segment(start=0.0, end=9.0, text=" ".join(w.word for w in rows), words=rows)]


def test_a_word_heard_is_the_nearest_of_the_same_text_and_each_serves_once():
    said = [
        SpokenWord("Yes,", 1.0, 1.2, "A"),
        SpokenWord("yes", 1.3, 1.5, "B"),
        SpokenWord("no", 5, 5.2, "A"),
    ]
    words = heard(
        ("yes.", 1.28, 1.5), ("Yes", 1.3, 1.5), ("yes", 1.3, 1.5), ("no", 5.6, 5.8), ("no", None, None)
    )
    assert bench.matched(words, said) == ["B", "A", None, None, None]


def test_a_rate_counts_words_that_are_matched_only():
    turns = Diarization(
        turns=(SpeakerTurn(start=0, end=2, speaker="X"), SpeakerTurn(start=2, end=4, speaker="Y"))
    )
    words = heard(("a", 0.2, 0.6), ("b", 0.7, 1.2), ("c", 1.3, 1.7), ("d", 2.5, 3.0), ("e", 3.2, 3.6))
    assert bench.rate([(words, ["A", "A", None, "B", "A"], turns)], bench.ours) == "25.00% (0.0%)"


def test_a_cut_clip_keeps_the_words_that_are_mostly_in_it():
    words = (SpokenWord("one", 0.2, 0.6), SpokenWord("two", 0.7, 1.1), SpokenWord("three", 1.1, 1.6))
    made = _cut(Clip(np.zeros(2 * RATE, np.float32), ((0.2, 1.6),), words), 0.3, 1.3)
    assert [(w.word, round(w.start, 3), round(w.end, 3)) for w in made.words] == [
        ("one", 0.0, 0.3),
        ("two", 0.4, 0.8),
    ]


def test_a_meetings_words_lie_in_their_speakers_turns():
    clips = {
        name: (
            Clip(
                np.random.default_rng(n).normal(size=9 * RATE).astype(np.float32) * 0.1,
                tuple((t, t + 1.8) for t in (0.2, 2.5, 4.8, 6.9)),
                tuple(SpokenWord(f"{name}{t}", t + 0.3, t + 0.9) for t in (0.2, 2.5, 4.8, 6.9)),
            ),
        )
        for n, name in enumerate("abc")
    }
    made = meeting(Plan("m", 3, 7, 40.0, snr_db=90, rt60_s=0.01), clips)
    assert len(made.words) > 8
    assert [word.start for word in made.words] == sorted(word.start for word in made.words)
    for word in made.words:
        assert word.word[0] == word.speaker
        own = [turn for turn in made.turns if turn.speaker == word.speaker]
        assert any(turn.start - 1e-6 <= word.start and word.end <= turn.end + 1e-6 for turn in own)
