"""WhisperX's JSON goes in and comes out without loss, and what is wrong with a file is said with its place."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.errors import FileNotReadable, InvalidTranscript
from schemas.transcript import Media, Segment, Transcript, Word
from schemas.whisperx import MAX_SEGMENTS, from_whisperx, read_transcript, to_whisperx

# What `whisperx --diarize --speaker_embeddings --return_char_alignments` leaves (3.8.6).
WHISPERX = {
    "segments": [
        {
            "start": 0.031,
            "end": 1.2,
            "text": " In 2014, we moved.",
            "words": [
                {"word": "In", "start": 0.031, "end": 0.112, "score": 0.93, "speaker": "SPEAKER_00"},
                {"word": "2014,"},
                {"word": "we", "start": 0.7, "end": 0.8, "score": 0.5, "speaker": "SPEAKER_01"},
                {"word": "moved.", "start": 0.82, "end": 1.2, "score": 0.812, "speaker": "SPEAKER_00"},
            ],
            "chars": [
                {"char": "I", "start": 0.031, "end": 0.05, "score": 0.9},
                {"char": "n", "start": 0.05, "end": 0.112, "score": 0.96},
                {"char": " "},
            ],
            "avg_logprob": -0.2345,
            "speaker": "SPEAKER_00",
        },
        {"start": 2.0, "end": 2.5, "text": "♪", "words": []},
    ],
    "word_segments": [
        {"word": "In", "start": 0.031, "end": 0.112, "score": 0.93, "speaker": "SPEAKER_00"},
        {"word": "2014,"},
        {"word": "we", "start": 0.7, "end": 0.8, "score": 0.5, "speaker": "SPEAKER_01"},
        {"word": "moved.", "start": 0.82, "end": 1.2, "score": 0.812, "speaker": "SPEAKER_00"},
    ],
    "language": "en",
    "speaker_embeddings": {"SPEAKER_00": [0.1, -0.2], "SPEAKER_01": [0.3, 0.4]},
}
TRANSCRIBED = {
    "segments": [{"text": " Hello.", "start": 0.0, "end": 29.98, "avg_logprob": -0.3}],
    "language": "en",
}


@pytest.mark.parametrize("document", [WHISPERX, TRANSCRIBED], ids=["aligned and diarized", "transcribed"])
def test_every_field_that_whisperx_writes_survives_the_round_trip(document):
    assert to_whisperx(from_whisperx(document)) == document


def test_phones_of_words_survive_the_round_trip_and_leave_whisperxs_word_list_as_it_is():
    phones = [
        {"phone": "hh", "start": 0.0, "end": 0.1, "score": 0.9},
        {"phone": "ay", "start": 0.1, "end": 0.3},
    ]
    word = {"word": "Hi", "start": 0.0, "end": 0.3}
    document = {
        "segments": [{"start": 0.0, "end": 0.3, "text": "Hi", "words": [{**word, "phones": phones}]}],
        "word_segments": [word],
    }
    found = from_whisperx(document)
    assert to_whisperx(found) == document
    (later,) = found.segments[0].shifted(2.0).words
    assert [(phone.phone, phone.start, phone.end) for phone in later.phones] == [
        ("hh", 2.0, 2.1),
        ("ay", 2.1, 2.3),
    ]


def test_another_programs_phones_are_left_out():
    """Gentle's, which have no times of their own."""
    word = {"word": "Hi", "start": 0, "end": 0.3, "phones": [{"phone": "hh_B", "duration": 0.1}]}
    (found,) = from_whisperx([{"start": 0, "end": 1, "text": "Hi", "words": [word]}]).words
    assert found.phones is None


def test_whisperx_own_result_is_read():
    """Fields are those of WhisperX's typed dictionaries, so a new version that adds one shows up here."""
    from whisperx import schema

    written = {
        schema.SingleWordSegment: {"word", "start", "end", "score"},
        schema.SingleCharSegment: {"char", "start", "end", "score"},
        schema.SingleSegment: {"start", "end", "text", "avg_logprob"},
        schema.SingleAlignedSegment: {"start", "end", "text", "avg_logprob", "words", "chars"},
        schema.TranscriptionResult: {"segments", "language"},
        schema.AlignedTranscriptionResult: {"segments", "word_segments"},
    }
    assert {form: set(form.__annotations__) for form in written} == written


def test_numpy_numbers_as_whisperx_align_returns_them_are_read():
    import numpy as np

    segments = [
        {"start": np.float64(0.5), "end": np.float32(1.5), "text": "a", "avg_logprob": np.float64(-1)}
    ]
    assert from_whisperx({"segments": segments}).segments[0].end == 1.5


def test_a_plain_list_of_segments_is_read():
    found = from_whisperx([{"start": 0, "end": 1.5, "text": "Hello."}, {"start": 2, "end": 3, "text": ""}])
    assert [(s.id, s.start, s.end, s.text) for s in found.segments] == [(0, 0, 1.5, "Hello."), (1, 2, 3, "")]
    assert found.media.duration_s == 3
    assert found.language is None


def test_what_openai_whisper_adds_to_a_segment_is_read():
    segment = {
        "id": 7,
        "seek": 0,
        "start": 0.0,
        "end": 1.0,
        "text": " Hi",
        "tokens": [1, 2],
        "temperature": 0.2,
        "avg_logprob": -0.5,
        "compression_ratio": 1.25,
        "no_speech_prob": 0.01,
        "words": [{"word": " Hi", "start": 0.0, "end": 0.4, "probability": 0.9}],
    }
    (found,) = from_whisperx({"text": " Hi", "segments": [segment], "language": "en"}).segments
    assert (found.temperature, found.compression_ratio, found.no_speech_prob) == (0.2, 1.25, 0.01)
    assert found.words[0].score == 0.9


def test_a_transcript_of_ours_is_read_back():
    own = Transcript(
        media=Media(path="/a.wav", duration_s=9.0, sha256="0" * 64),
        language="en",
        segments=(Segment(start=0, end=1, text="Hi", words=(Word(word="Hi", start=0, end=1),)),),
    )
    assert from_whisperx(json.loads(own.model_dump_json())) == own


def test_speakers_are_counted_even_those_that_only_words_name():
    speakers = from_whisperx(WHISPERX).speakers
    assert [(s.id, s.speech_s, s.segments) for s in speakers] == [
        ("SPEAKER_00", 1.169, 1),
        ("SPEAKER_01", 0.0, 0),
    ]


@pytest.mark.parametrize(
    ("document", "place"),
    [
        ({}, "segments: it is missing"),
        ({"segments": 5}, "segments: a list is needed"),
        ("text", "segments: a list is needed, not text"),
        ([7], "segments[0]: an object is needed"),
        ([{"start": 0, "end": 1}], "segments[0].text: it is missing"),
        ([{"start": 0, "end": 1, "text": 3}], "segments[0].text: text is needed"),
        ([{"end": 1, "text": ""}], "segments[0].start: it is missing"),
        ([{"start": "0", "end": 1, "text": ""}], "segments[0].start: a number is needed, not text"),
        ([{"start": True, "end": 1, "text": ""}], "segments[0].start: a number is needed"),
        ([{"start": float("nan"), "end": 1, "text": ""}], "segments[0].start: it is not a finite number"),
        ([{"start": 0, "end": float("inf"), "text": ""}], "segments[0].end: it is not a finite number"),
        ([{"start": 0, "end": 10**400, "text": ""}], "segments[0].end: "),
        ([{"start": -1, "end": 1, "text": ""}], "segments[0].start: -1.0 is not between"),
        ([{"start": 2, "end": 1, "text": ""}], "segments[0].end: it lies before start"),
        ([{"start": 0, "end": 1, "text": "\ud800"}], "segments[0].text: "),
        (
            [{"start": 0, "end": 1, "text": "a", "words": [{"word": "a", "start": 1, "end": 0.5}]}],
            "segments[0].words[0].end: it lies before start",
        ),
        (
            [{"start": 0, "end": 1, "text": "a", "words": [{"word": "a", "score": 1.5}]}],
            "segments[0].words[0].score: 1.5 is not between 0 and 1",
        ),
        (
            [{"start": 0, "end": 1, "text": "a", "words": [{"start": 0}]}],
            "segments[0].words[0].word: it is missing",
        ),
        ([{"start": 0, "end": 1, "text": "a", "chars": [{"char": 1}]}], "segments[0].chars[0].char: "),
        (
            [
                {
                    "start": 0,
                    "end": 1,
                    "text": "a",
                    "words": [{"word": "a", "phones": [{"phone": "ey", "start": 1, "end": 0}]}],
                }
            ],
            "segments[0].words[0].phones[0].end: it lies before start",
        ),
        (
            {"segments": [], "speaker_embeddings": {"A": [0.1, None]}},
            "speaker_embeddings.A[1]: a number is needed, not null",
        ),
        ({"segments": [], "language": 5}, "language: text is needed"),
        ({"schema_version": "1.0", "media": {"duration_s": -1}}, "media.duration_s: "),
        ({"schema_version": "9.9", "media": {"duration_s": 1}}, "schema_version: "),
    ],
)
def test_what_is_wrong_is_said_with_its_place(document, place):
    with pytest.raises(InvalidTranscript) as caught:
        from_whisperx(document)
    assert caught.value.message.startswith(place)
    assert caught.value.code == "invalid_transcript"
    assert caught.value.hint


def test_too_many_segments_are_refused_before_they_are_read():
    with pytest.raises(InvalidTranscript, match=f"more than {MAX_SEGMENTS} segments"):
        from_whisperx([{}] * (MAX_SEGMENTS + 1))


def test_text_never_gets_into_an_error():
    with pytest.raises(InvalidTranscript) as caught:
        from_whisperx([{"start": 0, "end": 1, "text": "secret", "words": [{"word": "secret", "start": "x"}]}])
    assert "secret" not in str(caught.value.to_dict())


json_like = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["segments", "start", "end", "text", "words", "word"]), inner)
    ),
    max_leaves=8,
)


@given(json_like)
def test_anything_is_read_or_refused_with_a_code(document):
    with contextlib.suppress(InvalidTranscript):
        from_whisperx(document)


times = st.floats(0, 1e5, allow_nan=False)


@st.composite
def spans(draw):
    start, end = sorted((draw(times), draw(times)))
    return {"start": start, "end": end}


words = st.builds(
    lambda span, word, score, speaker: {"word": word, **span, **score, **speaker},
    st.just({}) | spans(),
    st.text(max_size=8),
    st.just({}) | st.fixed_dictionaries({"score": st.floats(0, 1)}),
    st.just({}) | st.fixed_dictionaries({"speaker": st.sampled_from(["SPEAKER_00", "SPEAKER_01"])}),
)
segments = st.builds(
    lambda span, text, words, extra: {**span, "text": text, "words": words, **extra},
    spans(),
    st.text(max_size=20),
    st.lists(words, min_size=1, max_size=4),
    st.just({}) | st.fixed_dictionaries({"avg_logprob": st.floats(-9, 0), "speaker": st.just("SPEAKER_00")}),
)


@given(st.lists(segments, min_size=1, max_size=4))
def test_the_round_trip_loses_nothing_whatever_the_text(made):
    document = {
        "segments": made,
        "word_segments": [word for s in made for word in s["words"]],
        "language": "en",
    }
    assert to_whisperx(from_whisperx(document)) == document


def _written(folder: Path, text: str | bytes) -> Path:
    path = folder / "transcript.json"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def test_a_file_is_read(tmp_path):
    assert read_transcript(_written(tmp_path, json.dumps(WHISPERX))) == from_whisperx(WHISPERX)


@pytest.mark.parametrize(
    "text",
    ["", "{", '{"segments": NaN}', b"\xff\xfe", "[" * 100_000, '[{"start": 0, "end": Infinity, "text": ""}]'],
    ids=["empty", "cut off", "NaN", "not UTF-8", "nested", "Infinity"],
)
def test_a_file_that_is_not_json_is_refused(tmp_path, text):
    with pytest.raises(InvalidTranscript, match="the file is not JSON"):
        read_transcript(_written(tmp_path, text))


def test_a_file_that_is_not_there_or_no_file_is_refused(tmp_path):
    import os

    with pytest.raises(FileNotReadable) as caught:
        read_transcript(tmp_path / "nothing.json")
    assert caught.value.code == "file_not_found"
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path, tmp_path / "pipe"):
        with pytest.raises(FileNotReadable) as caught:
            read_transcript(path)
        assert caught.value.code == "not_a_file"
