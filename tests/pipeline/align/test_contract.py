"""What every aligner promises: each word a time, in order, inside its segment, none lost, whatever the text."""

from __future__ import annotations

import numpy as np
import pytest
import tiny_wav2vec2

from pipeline import backends
from pipeline.align import Cut, WordTime, align_segments
from pipeline.align._words import split_words
from pipeline.recording import Recording
from schemas.errors import FailedToAlign
from schemas.options import AlignOptions
from schemas.transcript import Segment

TEXTS = {
    "plain": "abc hag fed cab",
    "capitals and punctuation": "“Abc, HAG… (fed) cab!”",
    "numerals and symbols": "In 2014 we paid $3.50 & 7%.",
    "punctuation only": "… – ?!",
    "emoji": "👩‍👩‍👧 abc 🎉",
    "Turkish": "İzmir'de IŞIK var",
    "Chinese": "你好。我叫OpenAI！",
    "Russian": "привет мир",
    "one letter": "a",
    "a long word": "ab" * 60,
    "far too much": "much more than can be said " * 40,
    "special tokens": "<|endoftext|> abc <|en|> <pad> | [UNK]",
    "odd spaces": "  abc\u00a0hag \n fed\t",
}


@pytest.fixture(scope="module")
def spoken() -> Recording:
    samples, _ = tiny_wav2vec2.speak(["abc", "hag", "fed", "cab"] * 4, np.random.default_rng(1))
    return Recording.from_array(samples)


@pytest.fixture(params=backends.available("align"))
def backend(request, aligner):
    return aligner(request.param)


def test_it_says_what_it_is(backend):
    assert isinstance(backend.cache_key, str)
    assert backend.device == "cpu"
    assert backend.margin_s >= 0
    assert (backend.model is None) == (backend.revision is None)


def test_its_answers_have_the_agreed_form(backend, spoken):
    cuts = [
        Cut(spoken.seconds(0.2, 1.4), ("abc", "hag"), "en"),
        Cut(spoken.seconds(0, 0.05), ("a",) * 90, "en"),
    ]
    answers = backend.align(cuts)
    assert len(answers) == 2
    assert [type(time) for time in answers[0]] == [WordTime, WordTime]
    assert isinstance(answers[1], FailedToAlign) or len(answers[1]) == 90
    assert backend.align([]) == []


def test_every_word_of_any_text_gets_a_time(backend, spoken):
    """All of the texts at once, so that a model is run for few windows; one of them over silence."""
    segments = [Segment(start=0.4 * i, end=0.4 * i + 1.2, text=text) for i, text in enumerate(TEXTS.values())]
    assert segments[-1].end > spoken.duration_s
    found, _ = align_segments(
        backend, spoken, segments, "en", options=AlignOptions(), progress=lambda fraction: None
    )
    for before, segment in zip(segments, found, strict=True):
        assert segment.text == before.text
        assert tuple(word.word for word in segment.words) == split_words(before.text)
        times = [moment for word in segment.words for moment in (word.start, word.end)]
        assert None not in times
        assert times == sorted(times)
        assert times[0] >= min(before.start - backend.margin_s, spoken.duration_s) - 0.001
        assert times[-1] <= min(before.end + backend.margin_s, spoken.duration_s) + 0.001
        assert all(word.timing is not None for word in segment.words)
        assert all(word.score is None or 0 <= word.score <= 1 for word in segment.words)


def test_silence_is_no_reason_to_fail(backend):
    silence = Recording.from_array(np.zeros(16_000 * 3, np.float32))
    (found,), _ = align_segments(
        backend,
        silence,
        [Segment(start=0.5, end=2.5, text="abc hag fed")],
        "en",
        options=AlignOptions(),
        progress=lambda fraction: None,
    )
    assert len(found.words) == 3
    assert found.words[0].start is not None


def test_asking_again_gives_the_same(backend, spoken):
    cuts = [Cut(spoken.seconds(0.2, 1.4), ("abc", "hag"), "en")]
    assert backend.align(cuts) == backend.align(cuts)
