"""Segments are cut and joined into sentences as people read them, and nothing of the text is lost."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline import sentences
from schemas.transcript import Char, Phone, Segment, Word


def spoken(
    text: str, start: float = 0.0, *, word_s: float = 0.3, gaps: dict[int, float] | None = None, **more
):
    """A segment whose words follow one another without a pause, but for ``gaps`` before some of them."""
    at, words = start, []
    for number, word in enumerate(text.split()):
        at = round(at + (gaps or {}).get(number, 0.0), 3)
        words.append(Word(word=word, start=at, end=round(at + word_s, 3)))
        at = words[-1].end
    return Segment(start=start, end=at, text=text, words=tuple(words), **more)


def texts(*segments: Segment, language: str = "en") -> list[str]:
    return [segment.text for segment in sentences.split(segments, language)]


def test_a_segment_is_cut_after_its_sentences():
    assert texts(spoken(" We begin with the budget. Is it final now? Yes it really is! And then we go.")) == [
        "We begin with the budget.",
        "Is it final now?",
        "Yes it really is!",
        "And then we go.",
    ]


def test_times_of_a_sentence_are_those_of_its_words():
    first, second = sentences.split([spoken("One two three now. Four five six seven.", 10.0, gaps={4: 0.5})])
    assert (first.start, first.end, second.start, second.end) == (10.0, 11.2, 11.7, 12.9)
    assert [word.word for word in second.words] == ["Four", "five", "six", "seven."]


@pytest.mark.parametrize(
    "text",
    [
        "I saw Mr. Smith and Dr. Who there.",
        "It costs 3.50 or 2.75 a piece.",
        "We met at version 3.5 and No. 7 again.",
        "The U.S. Senate and J. K. Rowling agree.",
        "Use a proxy, e.g. Squid or i.e. Another.",
        "He paused... then he went on speaking.",
        '"What is this?" he said to me.',
        "Yahoo! is a company that we know.",
    ],
)
def test_points_inside_a_sentence_do_not_end_it(text):
    assert texts(spoken(text)) == [text]


@pytest.mark.parametrize(
    ("language", "text"),
    [
        ("en", "He works at Apple Inc. Magazine in the city."),
        ("de", "Das war ca. Ende Mai oder evtl. Anfang Juni."),
        ("fr", "Il a dit à tous : « Bonjour mes chers amis ! » puis il est parti."),
        ("fr", "Nous avons vu Mme. Martin hier soir."),
        ("es", "Ayer vino el Sr. García con la Sra. López."),
    ],
)
def test_abbreviations_and_closing_marks_of_other_languages_do_not_end_a_sentence(language, text):
    assert texts(spoken(text), language=language) == [text]


def test_in_japanese_a_sentence_goes_on_behind_what_it_quotes():
    words = ["「今日は、", "とても", "いい天気ですね。」", "と彼は", "静かに", "言いました。", "そうですか？"]
    times = [Word(word=w, start=n * 1.2, end=n * 1.2 + 1.2) for n, w in enumerate(words)]
    segment = Segment(start=0, end=8.4, text="".join(words), words=tuple(times))
    assert texts(segment, language="ja")[0] == "".join(words[:6])


def test_a_pause_decides_where_a_point_is_in_doubt():
    assert texts(spoken("It was in the U.S. Then we all left.", gaps={5: 0.4})) == [
        "It was in the U.S.",
        "Then we all left.",
    ]


@pytest.mark.parametrize(
    ("language", "text", "expected"),
    [
        ("de", "Das war am 3. Mai in der Stadt.", ["Das war am 3. Mai in der Stadt."]),
        ("en", "We were there in 2014. Then all of us left.", 2),
        ("es", "¿Cómo estás hoy, amigo? ¡Muy bien, de verdad! Nos vamos ya todos.", 3),
        ("hi", "यह एक वाक्य है। यह दूसरा वाक्य है।", 2),
        ("ar", "هل أنت بخير اليوم؟ نعم أنا بخير اليوم.", 2),
        ("el", "Τι κάνεις εσύ σήμερα; Είμαι πολύ καλά σήμερα.", 2),
    ],
)
def test_other_languages_end_their_sentences_their_own_way(language, text, expected):
    found = texts(spoken(text), language=language)
    assert found == expected if isinstance(expected, list) else len(found) == expected


def test_chinese_is_cut_at_its_full_stops_without_spaces():
    characters = ["我", "们", "开", "始", "吧。", "今", "天", "很", "好！"]
    words = tuple(Word(word=c, start=i * 0.3, end=(i + 1) * 0.3) for i, c in enumerate(characters))
    segment = Segment(start=0, end=2.7, text="".join(characters), words=words)
    assert texts(segment, language="zh") == ["我们开始吧。", "今天很好！"]


def test_a_long_pause_ends_a_segment_whatever_the_text_says():
    assert texts(spoken("and then we went home so what now", gaps={5: 2.5})) == [
        "and then we went home",
        "so what now",
    ]


def test_a_long_sentence_is_cut_at_a_comma_or_a_pause():
    first = " ".join(["word"] * 30) + ","
    second = " ".join(["other"] * 34) + "."
    assert texts(spoken(f"{first} {second}")) == [first, second]
    unpunctuated = spoken(" ".join(["word"] * 70), gaps={33: 0.8})
    assert [len(s.words) for s in sentences.split([unpunctuated])] == [33, 37]


def test_nothing_stays_too_long_to_read():
    for segment in sentences.split([spoken(" ".join(["speech"] * 400))]):
        assert segment.end - segment.start <= sentences.LONGEST_S
        assert len(segment.text) <= sentences.LONGEST_CHARACTERS


def test_a_fragment_goes_with_what_it_leads_to():
    assert texts(spoken("Okay. So let us begin with the first point. Right.")) == [
        "Okay. So let us begin with the first point. Right."
    ]
    assert texts(spoken("Okay. So let us begin.", gaps={1: 0.8})) == ["Okay.", "So let us begin."]


def test_a_sentence_torn_apart_by_a_window_is_put_together():
    found = sentences.split([spoken("and then we all", 0.0), spoken("went home together.", 1.3)])
    assert [segment.text for segment in found] == ["and then we all went home together."]
    assert (found[0].start, found[0].end) == (0.0, 2.2)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (
            spoken("and then we all", 0.0, speaker="SPEAKER_00"),
            spoken("went home.", 1.3, speaker="SPEAKER_01"),
        ),
        (spoken("and then we all", 0.0, language="en"), spoken("nach Hause.", 1.3, language="de")),
        (spoken("and then we all", 0.0), spoken("went home.", 2.0)),
        (spoken("and then we all", 0.0), spoken("at the same time.", 0.5)),
    ],
    ids=["speakers", "languages", "a pause", "an overlap"],
)
def test_what_does_not_belong_together_is_not_joined(first, second):
    assert texts(first, second) == [first.text, second.text]


def test_a_segment_without_word_times_stays_as_it_is():
    bare = Segment(start=0, end=9, text=" One thing. Another thing. A third thing.")
    untimed = bare.model_copy(update={"words": tuple(Word(word=w) for w in bare.text.split())})
    astray = spoken("One thing. Another thing.").model_copy(update={"text": "Other words. Than these."})
    found = sentences.split([bare, untimed, astray])
    assert [s.model_copy(update={"id": 0}) for s in found] == [bare, untimed, astray]
    assert [s.id for s in found] == [0, 1, 2]


def test_words_without_a_time_stay_with_their_neighbours():
    """``interpolate_method=ignore`` leaves such words."""
    segment = spoken("We met in 2014. Then we left for good.")
    words = list(segment.words)
    words[3] = Word(word="2014.")
    found = sentences.split([segment.model_copy(update={"words": tuple(words)})])
    assert [s.text for s in found] == ["We met in 2014. Then we left for good."]


def test_what_the_decoder_said_of_a_segment_comes_along():
    (first, second) = sentences.split(
        [spoken("One two three now. Four five six seven.", avg_logprob=-0.5, temperature=0.2, language="en")]
    )
    assert first.avg_logprob == second.avg_logprob == -0.5
    assert first.temperature == 0.2
    assert second.language == "en"


def test_characters_are_cut_with_their_words():
    segment = spoken("One two three now. Four five six seven.")
    chars = [Char(char=c) if c == " " else Char(char=c, start=0.1, end=0.2) for c in segment.text]
    first, second = sentences.split([segment.model_copy(update={"chars": tuple(chars)})])
    assert "".join(c.char for c in first.chars) == "One two three now."
    assert "".join(c.char for c in second.chars) == "Four five six seven."


word = st.text(st.characters(codec="utf-8", exclude_categories=["Z", "C"]), min_size=1, max_size=9) | (
    st.sampled_from(["yes.", "no!", "Mr.", "3.5", "你", "好。", "U.S.", "so,", "well…", '"Hi."', "-"])
)


@st.composite
def recordings(draw):
    at, made = draw(st.floats(0, 5)), []
    for _ in range(draw(st.integers(1, 4))):
        words, start = [], at
        for text in draw(st.lists(word, min_size=1, max_size=40)):
            gap, length = draw(st.sampled_from([0.0, 0.0, 0.2, 0.5, 1.5])), draw(st.floats(0.0, 1.5))
            timed = draw(st.integers(0, 9)) > 0
            if timed:
                span = {"start": at + gap, "end": at + gap + length}
                words.append(Word(word=text, **span, phones=(Phone(phone=text[:1], **span),)))
            else:
                words.append(Word(word=text))
            at += gap + length
        blank = draw(st.sampled_from([" ", "  "]))
        text = draw(st.sampled_from(["", " "])) + blank.join(w.word for w in words)
        made.append(
            Segment(
                start=start,
                end=at,
                text=text,
                words=tuple(words),
                speaker=draw(st.sampled_from([None, "SPEAKER_00"])),
            )
        )
        at += draw(st.sampled_from([0.0, 0.3, 2.0]))
    return made


@given(recordings())
@settings(max_examples=150, deadline=None)
def test_text_and_words_are_those_that_came_in(made):
    found = sentences.split(made, "en")
    assert [w for s in found for w in s.words] == [w for s in made for w in s.words]
    assert "".join("".join(s.text for s in found).split()) == "".join("".join(s.text for s in made).split())
    assert [s.id for s in found] == list(range(len(found)))
    for segment in found:
        assert "".join(segment.text.split()) == "".join(w.word for w in segment.words)
        assert segment.start <= segment.end


@given(recordings())
@settings(max_examples=50, deadline=None)
def test_cutting_what_is_cut_changes_nothing_but_joins(made):
    once = sentences.split(made, "en")
    twice = sentences.split(once, "en")
    assert [w for s in twice for w in s.words] == [w for s in once for w in s.words]
    assert len(twice) <= len(once)
