"""Guards against text that nobody said."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.asr._guards import clean, guarded, without_loops
from pipeline.vad import Chunk, SpeechRegion
from schemas.transcript import Segment

CHUNK = Chunk(10.0, 40.0, (SpeechRegion(10.2, 20.0), SpeechRegion(30.0, 39.8)))


def said(text, start=11.0, end=13.0):
    return Segment(start=start, end=end, text=text)


def texts(segments, **keywords):
    return [segment.text for segment in guarded(segments, CHUNK, **keywords)[0]]


def removed(segments, **keywords):
    return sum(w.count for w in guarded(segments, CHUNK, **keywords)[1] if w.code == "hallucination_removed")


@pytest.mark.parametrize(
    "text",
    [
        "No, no, no.",
        "no no no no no no",
        "I know, I know, I know, I know.",
        "Words, words, words. And that should be all.",
        "Bye. Bye. Bye, bye.",
        "come on come on come on let's go",
        "はい、はい、はい、はい。",
        "2, 2, 2, 4, 4, 4",
        "1000000000000 dollars",
        "हाँ हाँ हाँ, ठीक है",
        "Mmm-hmm. Mmm-hmm. Mmm-hmm.",
    ],
)
def test_what_people_do_repeat_stays(text):
    assert without_loops(text) == (text, False)
    assert texts([said(text)]) == [text]


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("Thank you. " * 20, "Thank you."),
        ("so the point is " + "you " * 40 + "and that is it", "so the point is you and that is it"),
        ("the quick brown fox jumps. " * 4, "the quick brown fox jumps."),
        ("ありがとう" * 12, "ありがとう"),
        ("Well a" + "a" * 60, "Well a"),
        ("!" * 224, None),
        ("ha-ha-" * 30, "ha"),
        ("Okay. " * 10, "Okay."),
        ("один два три четыре " * 8, "один два три четыре"),
    ],
)
def test_a_loop_is_cut_to_one_copy_with_a_warning(text, left):
    kept = texts([said(text)])
    assert [clean(t).rstrip(" -") for t in kept] == ([] if left is None else [left])
    assert removed([said(text)]) == 1


def test_a_loop_that_timestamps_cut_into_segments_is_found_too():
    loop = [said("I'll be right back.", 11 + i, 12 + i) for i in range(8)]
    after = said("Where were we?", 31.0, 32.0)
    assert texts([*loop, after]) == ["I'll be right back.", "Where were we?"]
    assert removed([*loop, after]) == 1


def test_segments_that_people_repeat_stay():
    assert len(texts([said("Yeah.", 11 + i, 12 + i) for i in range(4)])) == 4


@pytest.mark.parametrize(
    ("prompt", "echo"),
    [
        ("This is a meeting about Kubernetes.", "this is a meeting about kubernetes"),
        ("Abernathy, Nakamura, Priya", "Abernathy, Nakamura, Priya."),
        ("会議の議事録です", "会議の議事録です。"),
    ],
)
def test_a_copy_of_the_prompt_is_left_out(prompt, echo):
    assert texts([said(echo), said("Good morning.", 14, 15)], prompts=[prompt]) == ["Good morning."]
    assert removed([said(echo)], prompts=[prompt]) == 1


def test_words_of_the_vocabulary_may_be_said():
    prompts = ["Abernathy, Nakamura, Priya", "Hello there."]
    spoken = ["Abernathy.", "Nakamura, Priya", "Hello there.", "Abernathy, Nakamura and Priya are here."]
    assert texts([said(text, 11 + i, 12 + i) for i, text in enumerate(spoken)], prompts=prompts) == spoken


def test_text_over_silence_is_left_out():
    silence = said("Thanks for watching!", 22.0, 28.0)
    assert texts([said("Hello."), silence, said("Bye.", 31, 32)]) == ["Hello.", "Bye."]
    assert removed([silence]) == 1


def test_text_stays_where_the_speech_regions_are_not_known():
    segments, warnings = guarded([said("Hello.")], Chunk(10.0, 40.0))
    assert [s.text for s in segments] == ["Hello."]
    assert warnings == []


def test_empty_segments_vanish_without_a_warning():
    assert guarded([said(""), said(" . "), said("\u200b"), said("…")], CHUNK) == ([], [])


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        ("a\u200bb\u202ec\x00d\ufeff", "abcd"),
        ("  two \t\n words ", "two words"),
        ("caf\ufffd", "caf"),
        ("می\u200cخواهم", "می\u200cخواهم"),
        ("क्\u200dष", "क्\u200dष"),
        ("plain\u200dtext", "plaintext"),
        ("Zoë’s naïve 東京 тест", "Zoë’s naïve 東京 тест"),
    ],
)
def test_characters_that_nobody_hears_are_stripped(text, cleaned):
    assert clean(text) == cleaned


def test_times_are_put_in_order_and_inside_the_chunk():
    segments = [said("one", 9.0, 12.0), said("two", 11.0, 11.0), said("three", 35.0, 99.0)]
    placed = guarded(segments, CHUNK)[0]
    assert [s.text for s in placed] == ["one", "two", "three"]
    assert all(s.start < s.end for s in placed)
    assert placed[0].start == CHUNK.start
    assert placed[-1].end == CHUNK.end
    assert [s.start for s in placed] == sorted(s.start for s in placed)


@given(st.lists(st.tuples(st.text(max_size=60), st.floats(0, 60), st.floats(0, 60)), max_size=8))
def test_guards_take_any_text_and_give_ordered_segments_without_control_characters(items):
    segments = [Segment(start=start, end=end, text=text) for text, start, end in items]
    placed, _ = guarded(sorted(segments, key=lambda s: s.start), CHUNK)
    assert all(s.text == clean(s.text) and s.text for s in placed)
    assert all(s.start < s.end for s in placed)
    assert [s.start for s in placed] == sorted(s.start for s in placed)


@given(st.lists(st.sampled_from(["no", "yes", "well", "so", "東", "京"]), max_size=40))
def test_cutting_loops_a_second_time_changes_nothing(words):
    once, _ = without_loops(" ".join(words))
    assert without_loops(once) == (once, False)
