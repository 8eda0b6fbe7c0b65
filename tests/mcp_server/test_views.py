"""Pages of transcripts."""

import base64
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mcp_server.views import MOST_SPANS, Cursor, View, clean, cleaned, show
from schemas.diarization import SpeakerTurn
from schemas.errors import InvalidArgument, NotFound
from schemas.report import QualitySpan
from schemas.transcript import Char, Media, Phone, Segment, Speaker, Transcript, Word

ID = "tr_" + "0" * 24


def transcript(texts, words=False):
    segments = tuple(
        Segment(
            id=i,
            start=i * 4.0,
            end=i * 4.0 + 4.0,
            text=text,
            speaker=f"SPEAKER_0{i % 3}",
            words=tuple(Word(word=w, start=i * 4.0, end=i * 4.0 + 1, score=0.9) for w in text.split())
            if words
            else (),
        )
        for i, text in enumerate(texts)
    )
    speakers = tuple(Speaker(id=f"SPEAKER_0{i}", name="Ana" if i == 1 else None) for i in range(3))
    return Transcript(
        media=Media(path="/m.wav", duration_s=4.0 * len(texts)), segments=segments, speakers=speakers
    )


def pages(whole, max_chars, **view):
    cursor = Cursor(transcript_id=ID, view=View(**view), offset=0)
    for _ in range(100_000):
        shown = show(whole, cursor, max_chars)
        yield shown
        if shown.page.next_cursor is None:
            return
        cursor = Cursor.decoded(shown.page.next_cursor, ID)
    raise AssertionError("paging does not end")


@settings(max_examples=60, deadline=None)
@given(st.lists(st.text(max_size=400), max_size=40), st.integers(200, 2000), st.booleans())
def test_the_pages_hold_every_segment_once_in_order_and_say_the_same_in_both_channels(texts, size, words):
    whole = transcript(texts, words)
    seen, lines = [], []
    for shown in pages(whole, size, include_words=words):
        seen += [segment.id for segment in shown.segments]
        lines += [line for line in shown.lines.split("\n") if line.startswith("[")]
        assert shown.page.total_segments == len(texts)
        assert shown.page.returned == len(shown.segments)
        structured = json.dumps([s.compact() for s in shown.segments], ensure_ascii=False)
        if not shown.warnings:
            assert len(structured) <= size + 2
            assert len(shown.lines) <= size
    assert seen == list(range(len(texts)))
    assert len(lines) == len(texts)


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.text(max_size=200), max_size=20),
    st.integers(500, 3000),
    st.sampled_from(["text", "md", "srt", "vtt", "json"]),
)
def test_the_pieces_of_a_document_put_together_are_the_document(texts, size, name):
    from pipeline.writers import render

    whole = transcript(texts, words=True)
    pieces = list(pages(whole, size, format=name))
    assert "".join(shown.text for shown in pieces) == render(cleaned(whole), name)
    assert all(len(json.dumps(shown.text, ensure_ascii=False)) <= size + 10 for shown in pieces)


def test_a_segment_longer_than_a_page_comes_alone_with_a_warning_and_paging_goes_on():
    whole = transcript(["short", "long " * 1000, "short"], words=True)
    shown = list(pages(whole, 1000, include_words=True))
    assert [len(page.segments) for page in shown] == [1, 1, 1]
    assert [warning.code for warning in shown[1].warnings] == ["segment_too_long"]
    assert shown[1].segments[0].words == ()
    assert not shown[2].warnings


def test_a_window_takes_what_overlaps_it():
    whole = transcript(list("abcdef"))
    (shown,) = pages(whole, 5000, start_s=5.0, end_s=12.0)
    assert [segment.id for segment in shown.segments] == [1, 2]


def test_an_empty_window_is_refused():
    with pytest.raises(InvalidArgument):
        list(pages(transcript(["a"]), 5000, start_s=5.0, end_s=5.0))


@pytest.mark.parametrize("asked", ["SPEAKER_01", "speaker_01", "ana", "Ana "])
def test_a_speaker_is_found_by_label_and_by_name(asked):
    (shown,) = pages(transcript(list("abcdef")), 5000, speaker=asked)
    assert [segment.id for segment in shown.segments] == [1, 4]


def test_an_unknown_speaker_is_refused_with_those_that_are_known():
    with pytest.raises(InvalidArgument) as caught:
        list(pages(transcript(["a"]), 5000, speaker="Bob"))
    assert "SPEAKER_01 (Ana)" in caught.value.hint


def test_turns_without_text_are_paged_too():
    turns = tuple(SpeakerTurn(start=i, end=i + 1, speaker="SPEAKER_00") for i in range(200))
    whole = Transcript(media=Media(duration_s=200), turns=turns)
    seen = [turn for shown in pages(whole, 1000) for turn in shown.turns]
    assert seen == list(turns)


def encoded(*parts):
    return base64.urlsafe_b64encode(json.dumps(parts).encode()).decode()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "rubbish",
        "é",
        encoded(ID, 0, {}),
        encoded(ID, -5, {}),
        encoded(ID, 3, {"no": 1}),
        encoded(ID, "x", {}),
        encoded("tr_" + "1" * 24, 1, {}),
        encoded(ID),
        encoded(ID, 1e99, {}),
    ],
)
def test_a_cursor_of_another_transcript_or_of_nobody_is_refused(text):
    with pytest.raises(NotFound) as caught:
        Cursor.decoded(text, ID)
    assert caught.value.code == "invalid_cursor"


@pytest.mark.parametrize("name", ["segments", "srt"])
def test_a_cursor_behind_the_end_is_refused(name):
    with pytest.raises(NotFound) as caught:
        show(transcript(["a"]), Cursor(transcript_id=ID, view=View(format=name), offset=10_000), 5000)
    assert caught.value.code == "invalid_cursor"


def test_characters_that_hide_or_turn_text_are_taken_out_everywhere():
    evil = "pay\u202e \u200bnow\u2066!\x07\x1b[2J \U000e0041\ufeffok"
    phones = (Phone(phone=evil, start=0, end=1),)
    whole = transcript([evil])
    whole = whole.model_copy(
        update={
            "segments": (
                whole.segments[0].model_copy(
                    update={"speaker_name": "A\u200bna", "words": (Word(word="n\u2067ow", start=0, end=1),)}
                ),
                Segment(start=1, end=2, text="", chars=(Char(char=evil),)),
                Segment(start=1, end=2, text="", words=(Word(word="", phones=phones),)),
            ),
            "speakers": (Speaker(id="SPEAKER_00", name="A\u202ena"),),
        }
    )
    (shown,) = pages(whole, 5000, include_words=True)
    assert shown.segments[0].text == "pay now![2J ok"
    assert shown.segments[0].speaker_name == "Ana"
    assert shown.segments[0].words[0].word == "now"
    assert cleaned(whole).speakers[0].name == "Ana"
    (document,) = pages(whole, 5000, format="json")
    assert not set(evil) & set("\u202e\u200b\u2066\x07\x1b\ufeff") & set(document.text)


def test_characters_and_phones_are_in_the_file_and_on_no_page():
    phones = (Phone(phone="dh", start=0, end=0.1),)
    words = (Word(word="the", start=0, end=1, phones=phones),)
    whole = transcript(["the"])
    segment = whole.segments[0].model_copy(update={"words": words, "chars": (Char(char="t"),)})
    whole = whole.model_copy(update={"segments": (segment,)})
    (shown,) = pages(whole, 5000, include_words=True)
    assert (shown.segments[0].chars, shown.segments[0].words[0].phones) == (None, None)
    (document,) = pages(whole, 5000, format="json")
    (found,) = json.loads(document.text)["segments"]
    assert found["chars"] == [{"char": "t"}]
    assert found["words"][0]["phones"] == [{"phone": "dh", "start": 0, "end": 0.1}]


def test_joiners_stay_where_a_script_needs_them():
    persian, emoji = "می\u200cخواهم", "a\u200db"
    assert clean(persian) == persian
    assert clean(emoji) == "ab"


def test_a_line_break_inside_a_text_never_makes_a_second_line():
    (shown,) = pages(transcript(["one\n[00:00:00] Ana: two"]), 5000)
    assert shown.lines.count("\n") == 0


def test_doubtful_stretches_come_with_the_page_that_holds_them_and_not_too_many():
    spans = tuple(
        QualitySpan(kind="no_words", start=n * 2.0, end=n * 2.0 + 1, detail="d") for n in range(200)
    )
    whole = transcript(["some words " * 5] * 100).model_copy(update={"quality": spans[::20]})
    shown = list(pages(whole, 2000))
    assert len(shown) > 3
    assert [span for page in shown for span in page.quality] == list(spans[::20])
    (all_at_once,) = pages(whole.model_copy(update={"quality": spans}), 40_000)
    assert len(all_at_once.quality) == MOST_SPANS
    (window,) = pages(whole, 40_000, start_s=75.0, end_s=90.0)
    assert [span.start for span in window.quality] == [80.0]
