"""Files equal those of WhisperX's own writers, byte for byte, and differ only where the module says so."""

from __future__ import annotations

import io
import os
from itertools import product
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline import writers
from schemas.options import SubtitleOptions
from schemas.transcript import Media, Segment, Transcript, Word

os.environ.setdefault("PYANNOTE_METRICS_ENABLED", "0")

LAYOUTS = [
    SubtitleOptions(max_line_width=width, max_line_count=count, highlight_words=highlight)
    for width, count, highlight in product((None, 12, 20), (None, 1, 2), (False, True))
]

spoken = st.text(st.characters(categories=("L", "N"), include_characters=",.?'"), min_size=1, max_size=9)


@st.composite
def transcripts(draw: st.DrawFn, speakers: bool = True) -> Transcript:
    """Segments in order with words in order, some words without times; one speaker, or none."""
    at, segments = draw(st.floats(0, 4000)), []
    speaker = draw(st.sampled_from([None, "SPEAKER_00"])) if speakers else None
    for _ in range(draw(st.integers(0, 4))):
        start, words = at, []
        for text in draw(st.lists(spoken, min_size=1, max_size=8)):
            end = at + draw(st.floats(0.01, 1.5))
            timed = draw(st.booleans()) or not words
            words.append(Word(word=text, start=at if timed else None, end=end if timed else None))
            at = end + draw(st.sampled_from([0.0, 0.2, 3.5]))
        text = " ".join(word.word for word in words)
        segments.append(
            Segment(
                id=len(segments), start=start, end=at, text=f" {text}", speaker=speaker, words=tuple(words)
            )
        )
    return Transcript(media=Media(duration_s=at), language="en", segments=tuple(segments))


def whisperx_form(transcript: Transcript) -> dict[str, Any]:
    """What WhisperX's writers are given: absent keys where nothing is known."""
    return {
        "language": transcript.language,
        "segments": [
            {
                **segment.model_dump(include={"start", "end", "text", "speaker"}, exclude_none=True),
                **(
                    {
                        "words": [
                            word.model_dump(include={"word", "start", "end", "score"}, exclude_none=True)
                            for word in segment.words
                        ]
                    }
                    if segment.words
                    else {}
                ),
            }
            for segment in transcript.segments
        ],
    }


def by_whisperx(name: str, transcript: Transcript, layout: SubtitleOptions) -> str:
    from whisperx.utils import get_writer

    file = io.StringIO()
    get_writer(name, ".").write_result(whisperx_form(transcript), file, layout.model_dump())
    return file.getvalue()


@pytest.mark.parametrize("name", ["txt", "tsv", "aud"])
@given(transcript=transcripts())
def test_files_equal_whisperx_s(name: str, transcript: Transcript) -> None:
    assert writers.render(transcript, name) == by_whisperx(name, transcript, SubtitleOptions())


@pytest.mark.parametrize("name", ["srt", "vtt"])
@settings(max_examples=50)
@given(transcript=transcripts())
def test_subtitles_equal_whisperx_s_in_every_layout(name: str, transcript: Transcript) -> None:
    for layout in LAYOUTS:
        assert writers.render(transcript, name, layout) == by_whisperx(name, transcript, layout), layout


@pytest.mark.parametrize("name", ["txt", "tsv", "aud", "srt", "vtt"])
def test_files_without_words_equal_whisperx_s(name: str) -> None:
    transcript = Transcript(
        media=Media(duration_s=9000),
        segments=(
            Segment(id=0, start=0.0, end=2.0004, text=" One --> two "),
            Segment(id=1, start=3599.9996, end=7200.5, text="three", speaker="SPEAKER_01"),
        ),
    )
    assert writers.render(transcript, name) == by_whisperx(name, transcript, SubtitleOptions())


def words(*texts: str, start: float = 0.0) -> tuple[Word, ...]:
    return tuple(Word(word=text, start=start + i, end=start + i + 0.5) for i, text in enumerate(texts))


def transcript_of(*segments: Segment, language: str = "en") -> Transcript:
    return Transcript(media=Media(duration_s=100), language=language, segments=segments)


def test_a_segment_without_words_keeps_its_text_among_others_with_words() -> None:
    made = transcript_of(
        Segment(start=0, end=2, text="one two", words=words("one", "two")),
        Segment(start=3, end=4, text="three"),
        Segment(start=5, end=7, text="four five", words=words("four", "five", start=5)),
    )
    for layout in LAYOUTS:
        text = writers.render(made, "srt", layout)
        assert "three" in text
        assert text.index("two") < text.index("three") < text.index("four")


def test_a_subtitle_never_mixes_two_speakers() -> None:
    made = transcript_of(
        Segment(start=0, end=2, text="one two", speaker="SPEAKER_00", words=words("one", "two")),
        Segment(start=2, end=4, text="three", speaker="SPEAKER_01", words=words("three", start=2)),
    )
    text = writers.render(made, "vtt", SubtitleOptions(max_line_width=40, max_line_count=2))
    assert text == (
        "WEBVTT\n\n00:00.000 --> 00:01.500\n[SPEAKER_00]: one two\n\n"
        "00:02.000 --> 00:02.500\n[SPEAKER_01]: three\n\n"
    )


@pytest.mark.parametrize("highlight", [False, True])
def test_words_are_joined_as_the_text_joins_them(highlight: bool) -> None:
    made = transcript_of(
        Segment(start=0, end=2, text="今日はMLX です", words=words("今", "日は", "MLX", "です")),
        language="ja",
    )
    text = writers.render(made, "srt", SubtitleOptions(highlight_words=highlight))
    assert "今日はMLX です" in text.replace("<u>", "").replace("</u>", "")
    assert ("今<u>日は</u>MLX です" in text) is highlight


def test_an_arrow_in_a_word_does_not_end_the_cue() -> None:
    made = transcript_of(Segment(start=0, end=2, text="a --> b", words=words("a", "-->", "b")))
    assert writers.render(made, "srt").count("-->") == 1


def test_a_name_stands_for_the_label() -> None:
    made = transcript_of(Segment(start=0, end=2, text="Hi.", speaker="SPEAKER_00", speaker_name="Ana"))
    assert "[Ana]: Hi." in writers.render(made, "srt")
    assert writers.render(made, "txt") == "[Ana]: Hi.\n"
