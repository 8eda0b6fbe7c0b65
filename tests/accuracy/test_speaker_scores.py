"""The scores that the accuracy tests rely on."""

from __future__ import annotations

import pytest
from speaker_scores import cpwer, der, wrong_words

from pipeline.word_errors import Score
from schemas.diarization import SpeakerTurn
from schemas.transcript import Word


def test_diarization_errors_and_words_by_speaker():
    """A hand-made case: ten seconds of speech, one missed, two of the wrong speaker, one too many."""
    said = (
        SpeakerTurn(start=0, end=6, speaker="a"),
        SpeakerTurn(start=6, end=10, speaker="b"),
    )
    heard = (
        SpeakerTurn(start=0, end=8, speaker="x"),
        SpeakerTurn(start=8, end=9, speaker="y"),
        SpeakerTurn(start=11, end=12, speaker="y"),
    )
    found = der(said, heard, 12.0)
    assert (found.missed, found.false_alarm, found.confusion, found.speech) == (1, 1, 2, 10)
    assert found.rate == pytest.approx(0.4)
    assert cpwer({"a": "red green", "b": "blue"}, {"x": "Blue.", "y": "red grey"}) == Score(1, 0, 0, 3)


def test_wrong_words_are_counted_with_the_best_matching_of_speakers():
    words = [Word(word="w", speaker=speaker) for speaker in ("x", "x", "y", "y", None)]
    assert wrong_words(["b", "b", "a", "b", "a"], words) == (2, 1)
