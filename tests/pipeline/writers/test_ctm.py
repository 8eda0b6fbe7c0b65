"""Words for scoring tools."""

from __future__ import annotations

from pipeline.writers import ctm
from schemas.transcript import Media, Segment, Transcript, Word


def test_a_line_per_word_with_a_time_in_order():
    words = (
        Word(word="late", start=2.0, end=2.5, score=0.5),
        Word(word="New York", start=1.0, end=1.25, score=0.1234),
        Word(word="never"),
        Word(word="plain", start=3.0, end=3.0),
    )
    segment = Segment(start=0, end=4, text="late New York never plain", words=words)
    transcript = Transcript(media=Media(path="/x/my talk.wav", duration_s=4.0), segments=(segment,))
    assert ctm.write(transcript).splitlines() == [
        "my_talk 1 1.000 0.250 New_York 0.123",
        "my_talk 1 2.000 0.500 late 0.500",
        "my_talk 1 3.000 0.000 plain",
    ]
