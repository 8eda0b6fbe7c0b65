"""What the writers write reads back."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline import readers
from pipeline.writers import render
from schemas.options import SubtitleOptions
from schemas.transcript import Media, Segment, Transcript, Word

texts = st.lists(
    st.text(st.characters(codec="utf-8", categories=["L", "N"]), min_size=1, max_size=8)
    | st.sampled_from(["&", "5<6", "-", "3:45", "AT&T", "don't", "a-->b", "42", "“so”"]),
    min_size=1,
    max_size=6,
).map(" ".join)


@st.composite
def transcripts(draw) -> Transcript:
    at, segments = 0, []
    for text in draw(st.lists(texts, min_size=1, max_size=5)):
        start = at + draw(st.integers(1, 4000))
        at = start + draw(st.integers(1, 4000))
        speaker = draw(st.sampled_from([None, "SPEAKER_00", "Ana María"]))
        segments.append(Segment(start=start / 1000, end=at / 1000, text=text, speaker=speaker))
    return Transcript(media=Media(duration_s=at / 1000), segments=tuple(segments))


def rows(transcript: Transcript) -> list[tuple]:
    return [(s.start, s.end, s.speaker, " ".join(s.text.split())) for s in transcript.segments]


@settings(max_examples=60, deadline=None)
@given(transcripts())
@pytest.mark.parametrize("format", ["json", "srt", "vtt", "aud"])
def test_texts_times_and_speakers_come_back(format: str, transcript: Transcript) -> None:
    written = render(transcript, format)
    wanted = [(a, b, speaker, text.replace("-->", "->") if format in ("srt", "vtt") else text)
              for a, b, speaker, text in rows(transcript)]  # fmt: skip
    assert rows(readers.read(written, name=f"x.{format}")) == wanted


@settings(max_examples=60, deadline=None)
@given(transcripts())
def test_tsv_has_no_column_for_speakers(transcript: Transcript) -> None:
    found = rows(readers.read(render(transcript, "tsv")))
    assert [(a, b, text) for a, b, _, text in found] == [(a, b, text) for a, b, _, text in rows(transcript)]


@settings(max_examples=60, deadline=None)
@given(transcripts())
def test_a_text_with_speakers_keeps_them(transcript: Transcript) -> None:
    labels = tuple(s.model_copy(update={"speaker": s.speaker or "SPEAKER_01"}) for s in transcript.segments)
    transcript = transcript.model_copy(update={"segments": labels})
    found = readers.read(render(transcript, "txt"), "txt")
    assert [row[2:] for row in rows(found)] == [row[2:] for row in rows(transcript)]


def test_highlighted_words_come_back_as_one_segment_with_their_times() -> None:
    words = (
        Word(word="well", start=0.5, end=0.8),
        Word(word="well", start=0.8, end=1.0),
        Word(word="then.", start=1.5, end=2.0),
    )
    again = tuple(word.shifted(2.0) for word in words)
    segments = (
        Segment(start=0.5, end=2.0, text="well well then.", words=words, speaker="SPEAKER_00"),
        Segment(start=2.5, end=4.0, text="well well then.", words=again, speaker="SPEAKER_00"),
    )
    transcript = Transcript(media=Media(duration_s=5.0), segments=segments)
    for format in ("srt", "vtt"):
        found = readers.read(render(transcript, format, SubtitleOptions(highlight_words=True)))
        assert rows(found) == rows(transcript)
        assert [(w.word, w.start, w.end) for w in found.words] == [
            (w.word, w.start, w.end) for w in transcript.words
        ]


def test_reading_aloud_comes_back() -> None:
    segments = (
        Segment(start=1.0, end=2.0, text="Hello there.", speaker="Ana"),
        Segment(start=3.0, end=4.0, text="Hi: you.", speaker="Ben"),
    )
    transcript = Transcript(media=Media(duration_s=5.0), segments=segments)
    found = readers.read(render(transcript, "text"))
    assert [(s.start, s.speaker, s.text) for s in found.segments] == [
        (s.start, s.speaker, s.text) for s in segments
    ]


def test_words_with_times_come_back_from_ctm() -> None:
    words = (Word(word="well", start=0.5, end=0.8, score=0.5), Word(word="then.", start=0.9, end=2.0))
    segment = Segment(start=0.5, end=2.0, text="well then.", words=words)
    found = readers.read(render(Transcript(media=Media(duration_s=5.0), segments=(segment,)), "ctm"))
    assert [(w.word, w.start, w.end, w.score) for w in found.words] == [
        (w.word, w.start, w.end, w.score) for w in words
    ]
