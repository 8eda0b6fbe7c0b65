"""Words to speakers: who gets a word, where segments are cut, and that no text is ever lost."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pipeline.speakers import assign, speakers_of
from schemas.diarization import Diarization, SpeakerTurn
from schemas.transcript import Char, Phone, Segment, Word

A, B, C = "SPEAKER_00", "SPEAKER_01", "SPEAKER_02"


def turns(*rows: tuple[float, float, str]) -> tuple[SpeakerTurn, ...]:
    return tuple(SpeakerTurn(start=a, end=b, speaker=speaker) for a, b, speaker in rows)


def diarization(*rows: tuple[float, float, str], exclusive=None) -> Diarization:
    return Diarization(turns=turns(*rows), exclusive_turns=turns(*(exclusive or rows)))


def segment(*words: tuple, text: str | None = None, **fields) -> Segment:
    """A segment of words (text, start, end); its text is the words with spaces unless it is given."""
    made = tuple(Word(word=w, start=a, end=b) for w, a, b in words)
    times = [t for word in made for t in (word.start, word.end) if t is not None] or [0.0]
    fields = {"start": min(times), "end": max(times)} | fields
    return Segment(text=" ".join(w[0] for w in words) if text is None else text, words=made, **fields)


def speakers(segments) -> list[str | None]:
    return [word.speaker for part in segments for word in part.words]


def test_a_word_goes_to_the_speaker_who_has_most_of_it():
    found = assign([segment(("one", 0.5, 1.4))], diarization((0, 0.8, A), (0.8, 2, B)))
    assert speakers(found) == [B]
    assert found[0].speaker == B


def test_several_short_turns_of_one_speaker_count_together():
    rows = ((0, 0.4, A), (0.4, 0.8, B), (0.8, 1.2, A))
    assert speakers(assign([segment(("one", 0.1, 1.1))], diarization(*rows))) == [A]


@pytest.mark.parametrize(("start", "speaker"), [(2.9, A), (3.05, A), (4.5, B), (900.0, B)])
def test_a_word_outside_every_turn_goes_to_the_nearest_however_far(start, speaker):
    rows = ((0.0, 2.0, A), (5.5, 6.0, B))
    assert speakers(assign([segment(("one", start, start + 0.3))], diarization(*rows))) == [speaker]


def test_where_two_talk_at_once_the_one_who_goes_on_has_the_word():
    rows = ((0.0, 1.0, B), (0.5, 9.0, A), (2.0, 4.0, B))
    words = [("well", 0.1, 0.4), ("I", 0.7, 0.9), ("think", 2.2, 2.6), ("so", 3.2, 3.5), ("yes", 5.0, 5.4)]
    assert speakers(assign([segment(*words)], diarization(*rows))) == [B, A, A, A, A]


def test_the_exclusive_turns_choice_in_an_overlap_does_not_cut_a_sentence():
    words = [("do", 0.1, 0.5), ("you", 0.5, 0.9), ("know", 0.9, 1.3), ("that", 1.3, 1.7)]
    found = diarization((0, 1.7, A), (0.9, 1.3, B), exclusive=((0, 0.9, A), (0.9, 1.3, B), (1.3, 1.7, A)))
    assert speakers(assign([segment(*words)], found)) == [A] * 4


@pytest.mark.parametrize(
    ("before", "word", "speaker"), [("and", "so", A), ("end.", "So", B), ("Dr.", "So", A)]
)
def test_a_change_of_speaker_is_drawn_to_the_end_of_a_sentence(before, word, speaker):
    """Of the short word without a pause a little more lies in the first turn."""
    words = [("the", 0.4, 0.7), (before, 0.7, 1.0), (word, 1.0, 1.2), ("I", 1.2, 1.5)]
    rows = ((0, 1.12, A), (1.12, 9, B))
    whole = segment(*words, language="en")
    assert speakers(assign([whole], diarization(*rows))) == [A, A, speaker, B]


def test_a_word_far_from_every_turn_goes_with_its_neighbours():
    words = [("far", 3.1, 3.3), ("one", 5.1, 5.4), ("two", 9.0, 9.4)]
    assert speakers(assign([segment(*words)], diarization((5.0, 6.0, A)))) == [A, A, A]


def scores(segments) -> list[float | None]:
    return [word.speaker_score for part in segments for word in part.words]


def sure(*rows: tuple[float, float, str, float | None]) -> Diarization:
    made = tuple(SpeakerTurn(start=a, end=b, speaker=s, confidence=c) for a, b, s, c in rows)
    return Diarization(turns=made, exclusive_turns=made)


def test_a_words_score_is_what_lies_in_the_turn_and_half_of_the_rest_times_the_turns_confidence():
    words = [("all", 0.1, 0.9), ("most", 1.2, 2.2), ("none", 4.0, 4.4), ("late", 6.7, 7.0), ("?", None, None)]
    rows = ((0.0, 1.0, A, 0.5), (1.0, 2.0, A, None), (4.0, 4.0, B, 1.0), (5.0, 6.2, B, 0.8))
    found = assign([segment(*words)], sure(*rows))
    assert scores(found) == pytest.approx([0.5, 0.8 + 0.2 * 0.5, 0.5, 0.5 / 1.5 * 0.8, None], abs=5e-4)


def test_a_word_moved_to_the_speaker_around_it_has_a_low_score():
    words = [("we", 0.0, 0.4), ("could", 0.45, 0.65), ("try", 0.75, 1.0)]
    rows = ((0, 0.42, A, 1.0), (0.42, 0.72, B, 0.7), (0.72, 2, A, 1.0))
    found = assign([segment(*words)], sure(*rows))
    assert speakers(found) == [A] * 3
    assert scores(found)[1] < 0.5


def test_scores_of_an_earlier_diarization_are_replaced():
    first = assign([segment(("one", 0.1, 0.9))], sure((0.0, 1.0, A, 0.5)))
    assert scores(assign(first, diarization((0.0, 1.0, A)))) == [1.0]
    assert scores(assign(first, Diarization())) == [None]


def test_nearness_is_measured_between_edges_not_middles():
    """The long turn's middle is far away, but its edge is the nearer one."""
    rows = ((0.0, 100.0, A), (101.0, 101.2, B))
    assert speakers(assign([segment(("one", 100.1, 100.3))], diarization(*rows))) == [A]


def test_a_word_without_length_takes_the_turn_around_it():
    assert speakers(assign([segment(("one", 1.0, 1.0))], diarization((0, 2, A)))) == [A]


def test_an_untimed_word_takes_its_neighbours_speaker():
    words = [("one", None, None), ("two", 0.1, 0.4), ("3", None, None), ("four", 5.1, 5.4)]
    assert speakers(assign([segment(*words)], diarization((0, 1, A), (5, 6, B)))) == [A, A, A, B]


def test_a_word_stretched_over_a_pause_is_decided_by_its_first_part():
    words = [("so", 0.0, 9.0)]
    assert speakers(assign([segment(*words)], diarization((0, 1.2, A), (1.2, 9, B)))) == [A]


def test_a_single_short_word_inside_somebodys_flow_is_not_a_change_of_speaker():
    words = [("we", 0.0, 0.4), ("could", 0.45, 0.65), ("try", 0.75, 1.0)]
    rows = ((0, 0.42, A), (0.42, 0.72, B), (0.72, 2, A))
    found = assign([segment(*words)], diarization(*rows))
    assert speakers(found) == [A, A, A]
    assert len(found) == 1


@pytest.mark.parametrize(
    "words",
    [
        [("we", 0.0, 0.4), ("could", 0.8, 1.1), ("try", 1.15, 1.4)],  # a pause before
        [("we", 0.0, 0.4), ("could", 0.45, 0.7), ("try", 1.1, 1.4)],  # a pause behind
        [("we", 0.0, 0.4), ("certainly", 0.45, 0.95), ("try", 1.0, 1.4)],  # too long for a slip
    ],
)
def test_a_reply_of_one_word_stays_the_other_speakers(words):
    _, (_, start, end), _ = words
    rows = ((0, start - 0.02, A), (start - 0.02, end + 0.02, B), (end + 0.02, 2, A))
    assert speakers(assign([segment(*words)], diarization(*rows))) == [A, B, A]


@pytest.mark.parametrize(("pause", "speaker"), [(0.0, A), (0.3, B)])
def test_speakers_change_more_easily_at_a_pause(pause, speaker):
    at = 1.0 + pause
    words = [("we", 0.5, 1.0), ("no", at, at + 0.2), ("try", at + 0.2, at + 0.7)]
    rows = ((0, at - 0.01, A), (at, at + 0.2, B), (at + 0.21, 3, A))
    assert speakers(assign([segment(*words)], diarization(*rows))) == [A, speaker, A]


def test_words_in_quick_alternation_do_not_swap_speakers():
    words = [(str(i), i * 0.25, i * 0.25 + 0.2) for i in range(5)]
    rows = [(i * 0.25 - 0.02 if i else 0.0, i * 0.25 + 0.22, (A, B)[i % 2]) for i in range(5)]
    assert speakers(assign([segment(*words)], diarization(*rows))) == [A] * 5


def test_overlapped_words_name_the_other_speakers():
    rows = ((0, 4, A), (1, 2, B), (1, 2, C))
    words = [("one", 0.1, 0.5), ("two", 1.1, 1.5), ("three", 1.9, 2.5)]
    found = assign([segment(*words)], diarization(*rows, exclusive=((0, 4, A),)))
    assert [word.overlap for word in found[0].words] == [None, (B, C), None]
    assert speakers(found) == [A, A, A]


def test_a_segment_is_cut_where_the_speaker_changes():
    words = [("Yes.", 0.1, 0.5), ("No?", 3.2, 3.6), ("No!", 3.7, 3.9), ("Fine.", 6.1, 6.5)]
    whole = segment(*words, start=0.0, end=7.0, avg_logprob=-0.2, language="en", text=" Yes. No? No! Fine.")
    parts = assign([whole, segment(("Bye", 8.1, 8.5))], diarization((0, 1, A), (3, 4, B), (6, 9, A)))
    assert [(p.id, p.speaker, p.text, p.start, p.end) for p in parts] == [
        (0, A, " Yes.", 0.0, 0.5),
        (1, B, "No? No!", 3.2, 3.9),
        (2, A, "Fine.", 6.1, 7.0),
        (3, A, "Bye", 8.1, 8.5),
    ]
    assert [(p.avg_logprob, p.language) for p in parts[:3]] == [(-0.2, "en")] * 3


def test_text_between_words_stays_with_the_words_before_it():
    text = "– Hello – you, there."
    words = [("Hello", 0.0, 0.5), ("you", 2.0, 2.4), ("there", 2.5, 3.0)]
    parts = assign([segment(*words, text=text)], diarization((0, 1, A), (2, 3, B)))
    assert [part.text for part in parts] == ["– Hello –", "you, there."]


def test_a_language_without_spaces_is_cut_between_its_words():
    words = [("你好", 0.0, 0.5), ("。", None, None), ("我", 2.0, 2.4), ("很好", 2.5, 3.0)]
    parts = assign([segment(*words, text="你好。我很好")], diarization((0, 1, A), (2, 3, B)))
    assert [part.text for part in parts] == ["你好。", "我很好"]


def test_words_that_differ_from_the_text_make_the_texts_of_the_parts():
    words = [("hello", 0.0, 0.5), ("you", 2.0, 2.4), ("there", 2.5, 3.0)]
    parts = assign([segment(*words, text="HELLO, YOU THERE")], diarization((0, 1, A), (2, 3, B)))
    assert [part.text for part in parts] == ["hello", "you there"]


def test_character_times_are_shared_among_the_parts():
    chars = tuple(Char(char=c) for c in "Hi you")
    whole = segment(("Hi", 0.0, 0.5), ("you", 2.0, 2.4), chars=chars)
    parts = assign([whole], diarization((0, 1, A), (2, 3, B)))
    assert ["".join(c.char for c in part.chars) for part in parts] == ["Hi ", "you"]


def test_a_segment_without_timed_words_is_labelled_as_a_whole():
    bare = Segment(start=0.0, end=2.0, text="One two")
    untimed = segment(("One", None, None), ("two", None, None), start=0.0, end=2.0)
    found = assign([bare, untimed], diarization((0, 0.5, A), (0.5, 3, B)))
    assert [part.speaker for part in found] == [B, B]
    assert speakers(found) == [B, B]


def test_diarizing_again_replaces_speakers_and_names_and_leaves_the_text():
    first = assign([segment(("One", 0.1, 0.5), ("two", 2.1, 2.5))], diarization((0, 1, A), (2, 3, B)))
    named = [part.model_copy(update={"speaker_name": "Ana"}) for part in first]
    again = assign(named, diarization((0, 3, A), (0, 3, B), exclusive=((0, 3, A),)))
    assert [(p.text, p.speaker, p.speaker_name) for p in again] == [("One", A, None), ("two", A, None)]
    assert [word.overlap for part in again for word in part.words] == [(B,), (B,)]
    nobody = assign(again, Diarization())
    assert speakers(nobody) == [None, None]
    assert [word.overlap for part in nobody for word in part.words] == [None, None]
    assert [part.speaker for part in nobody] == [None, None]


def test_turns_that_overlap_serve_where_there_are_no_exclusive_ones():
    found = Diarization(turns=turns((0, 2, A), (1.5, 4, B)))
    assert speakers(assign([segment(("one", 1.6, 2.4))], found)) == [B]


def test_speakers_are_counted_by_turns_and_segments():
    segments = [
        Segment(start=0, end=1, text="a", speaker=A, speaker_name="Ana"),
        Segment(start=1, end=2, text="b", speaker=A),
        Segment(start=2, end=2.5, text="c", speaker=C),
    ]
    found = speakers_of(segments, turns((0, 1.5, A), (1.0, 3.25, B)))
    assert [(s.id, s.name, s.speech_s, s.segments) for s in found] == [
        (A, "Ana", 1.5, 2),
        (B, None, 2.25, 0),
        (C, None, 0.5, 1),
    ]


times = st.floats(0, 30, allow_nan=False).map(lambda t: round(t, 2))
labels = st.sampled_from([A, B, C])
scripts = st.sampled_from(["hello", "it's", "well,", "你好", "。", "I", "a", "the", "né", "…", "100%"])


@st.composite
def spoken_segments(draw) -> list[Segment]:
    """Segments whose text is their words, with and without spaces and times, in any order of time."""
    segments = []
    for _ in range(draw(st.integers(0, 4))):
        words = []
        for _ in range(draw(st.integers(0, 7))):
            start = draw(st.none() | times)
            end = None if start is None else draw(st.none() | times)
            text, phones = draw(scripts), None
            if end is not None:
                phones = (Phone(phone=text[:1], start=start, end=end),)
            words.append(Word(word=text, start=start, end=end, phones=phones))
        text = draw(st.sampled_from(["", " "])).join(word.word for word in words) or draw(scripts)
        chars = tuple(Char(char=c) for c in text) if draw(st.booleans()) else None
        start = draw(times)
        segments.append(
            Segment(start=start, end=start + draw(times), text=text, words=tuple(words), chars=chars)
        )
    return segments


@st.composite
def any_diarization(draw) -> Diarization:
    rows = draw(st.lists(st.tuples(times, times, labels), max_size=8))
    found = turns(*((a, a + b, speaker) for a, b, speaker in rows))
    return Diarization(turns=found, exclusive_turns=draw(st.sampled_from([found, found[::2], ()])))


def by_going_through_all(start: float, end: float, found) -> set[str | None]:
    """Who may have the stretch: those with most of it, else those at the least distance."""
    seconds = {turn.speaker: 0.0 for turn in found}
    for speaker in seconds:
        at = start
        for turn in sorted((t for t in found if t.speaker == speaker), key=lambda turn: turn.start):
            seconds[speaker] += max(0.0, min(end, turn.end) - max(at, turn.start))
            at = max(at, turn.end)
    if any(seconds.values()):
        return {s for s, shared in seconds.items() if shared > max(seconds.values()) - 1e-7}
    distances = {turn: max(turn.start - end, start - turn.end, 0.0) for turn in found}
    near = [turn for turn in found if distances[turn] <= min(distances.values()) + 1e-7]
    return {turn.speaker for turn in near} or {None}


lengths = st.sampled_from([0.1, 0.5, 2.0, 20.0])  # a long turn goes on under many short ones


@given(st.lists(st.tuples(times, lengths, labels), max_size=12), times, times.map(lambda t: t / 20))
@example([(0.0, 20.0, A), (1.0, 0.1, B), (2.0, 0.1, B), (3.0, 0.1, B)], 10.0, 0.3)
def test_a_word_gets_the_speaker_that_going_through_all_turns_gives(rows, start, length):
    found = turns(*((a, a + b, speaker) for a, b, speaker in rows))
    (speaker,) = speakers(assign([segment(("w", start, start + length))], Diarization(turns=found)))
    assert speaker in by_going_through_all(start, start + length, found)


def squeezed(text: str) -> str:
    return "".join(text.split())


@given(spoken_segments(), any_diarization())
def test_no_word_is_lost_and_the_text_stays(segments, found):
    parts = assign(segments, found)
    plain = {"speaker": None, "speaker_score": None, "overlap": None}
    assert [w.model_copy(update=plain) for p in parts for w in p.words] == [
        w for s in segments for w in s.words
    ]
    assert squeezed("".join(p.text for p in parts)) == squeezed("".join(s.text for s in segments))
    assert [c for p in parts for c in p.chars or ()] == [c for s in segments for c in s.chars or ()]
    assert [p.id for p in parts] == list(range(len(parts)))


@given(spoken_segments(), any_diarization())
def test_a_part_has_one_speaker_and_lies_in_order(segments, found):
    for whole in segments:
        parts = assign([whole], found)
        assert parts[0].start == whole.start
        assert parts[-1].end >= whole.end
        assert all(part.start <= part.end for part in parts)
        assert [part.start for part in parts] == sorted(part.start for part in parts)
        assert all({word.speaker for word in part.words} <= {part.speaker} for part in parts)
        assert all(a.speaker != b.speaker for a, b in pairwise(parts))


@given(spoken_segments(), any_diarization())
def test_assigning_twice_changes_nothing(segments, found):
    once = assign(segments, found)
    assert [w.speaker for p in assign(once, found) for w in p.words] == speakers(once)
