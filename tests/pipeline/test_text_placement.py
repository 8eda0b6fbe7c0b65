"""A text without times finds its place, whatever it or the recognition lacks, adds or mishears."""

from __future__ import annotations

import random
from collections.abc import Sequence
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline._anchors import anchors
from pipeline.text_placement import in_one, place_text, taken_apart
from schemas.transcript import Char, Segment, Word

SMALL = "the a to of and in is that it was for on are with as be at one have this from or had by hot but some"
WORDS = SMALL.split(" ")
RARE = [f"{a}{b}{c}" for a in "bdgklm" for b in "aeiou" for c in "nrst"]
FEW = [*WORDS[:8], *RARE[:8], "2014.", "—"]


def meeting(seconds: float, seed: int = 0) -> list[tuple[str, float, float]]:
    """Sentences of small and rare words, each said in 0.3 s, with a pause behind each sentence."""
    rng = random.Random(seed)
    said, at = [], 0.0
    while at < seconds:
        length = rng.randint(4, 12)
        for number in range(length):
            word = rng.choice(WORDS if rng.random() < 0.6 else RARE)
            said.append((word + "." * (number == length - 1), round(at, 3), round(at + 0.3, 3)))
            at += 0.33
        at += rng.choice([0.2, 0.5, 2.0])
    return said


def lines(said: Sequence[tuple[str, float, float]]) -> list[list[tuple[str, float, float]]]:
    found: list[list[tuple[str, float, float]]] = [[]]
    for word in said:
        found[-1].append(word)
        if word[0].endswith("."):
            found.append([])
    return [line for line in found if line]


def untimed(texts: Sequence[str]) -> list[Segment]:
    return [Segment(id=n, start=0, end=0, text=text) for n, text in enumerate(texts)]


def heard(said: Sequence[tuple[str, float, float]], wrong: float = 0.0, seed: int = 1) -> list[Word]:
    rng = random.Random(seed)
    words = []
    for word, start, end in said:
        chance = rng.random()
        if chance < wrong / 3:
            continue
        if chance < wrong:
            word = rng.choice(WORDS)
        words.append(Word(word=word, start=start, end=end))
    return words


def text_of(line: Sequence[tuple[str, float, float]]) -> str:
    return " ".join(word for word, _, _ in line)


def off_by(pieces: Sequence[Segment], line: Sequence[tuple[str, float, float]]) -> float:
    """How far the pieces with the line's text lie from where it is said."""
    whole = next(p for p in pieces if p.text == text_of(line))
    return max(abs(whole.start - line[0][1]), abs(whole.end - line[-1][2]))


@pytest.mark.parametrize(("wrong", "far"), [(0.0, 0), (0.15, 0.01), (0.3, 0.05)])
def test_sentences_lie_where_they_are_said(wrong: float, far: float) -> None:
    said = meeting(600)
    sentences = {text_of(line): line for line in lines(said)}
    pieces, lost = place_text(untimed(list(sentences)), heard(said, wrong), "en", 610)
    assert lost <= far * len(said)
    whole = [piece for piece in pieces if piece.text in sentences]
    near = sum(abs(piece.start - sentences[piece.text][0][1]) < 2.5 for piece in whole)
    assert near >= (1 - far) * len(sentences)


def test_sentences_that_the_text_lacks_leave_their_time_empty() -> None:
    said = meeting(300)
    kept = lines(said)[:10] + lines(said)[20:]
    pieces, lost = place_text(untimed([text_of(line) for line in kept]), heard(said), "en", 310)
    assert lost == 0
    assert max(off_by(pieces, line) for line in kept) < 0.01


def test_sentences_that_nobody_says_get_no_time_and_move_nothing() -> None:
    said = meeting(300)
    extra = [text_of(line) for line in lines(meeting(60, seed=9))]
    texts = [text_of(line) for line in lines(said)]
    pieces, lost = place_text(untimed([*texts[:10], *extra, *texts[10:]]), heard(said), "en", 310)
    assert lost == sum(len(text.split()) for text in extra)
    assert max(off_by(pieces, line) for line in lines(said)) < 0.01
    assert [p.start == p.end for p in pieces if p.text in extra] == [True] * len(extra)


def test_words_that_nobody_says_inside_a_sentence_stand_apart() -> None:
    short = ["we", "met", "ban", "den", "gat", "kir", "mos", "here", "today."]
    said = [(w, n * 0.4, n * 0.4 + 0.35) for n, w in enumerate(short)]
    text = "we met ban den gat of course only if it had not rained all day long kir mos here today."
    pieces, lost = place_text(untimed([text]), heard(said), "en", 10)
    assert [p.text for p in pieces] == [
        "we met ban den gat",
        "of course only if it had not rained all day long",
        "kir mos here today.",
    ]
    assert lost == 11
    assert (pieces[0].end, pieces[2].start) == (pytest.approx(1.95), pytest.approx(2.0))


def test_numbers_match_however_they_are_written() -> None:
    short = ["We", "paid", "$5", "in", "2014", "."]
    heard_words = [Word(word=w, start=n * 0.5, end=n * 0.5 + 0.4) for n, w in enumerate(short)]
    pieces, _ = place_text(untimed(["We paid five dollars in twenty fourteen."]), heard_words, "en", 5)
    assert [(p.start, p.end) for p in pieces] == [(0.0, 2.4)]


def test_speakers_and_segments_are_kept_apart() -> None:
    said = meeting(60)
    texts = [text_of(line) for line in lines(said)]
    segments = [s.model_copy(update={"speaker": f"SPEAKER_0{n % 2}"}) for n, s in enumerate(untimed(texts))]
    pieces, _ = place_text(segments, heard(said), "en", 70)
    assert [(p.text, p.speaker) for p in pieces] == [(s.text, s.speaker) for s in segments]


def test_without_anchors_the_text_is_one_and_comes_apart_again() -> None:
    segments = untimed(["one two.", "", "three"])
    whole = in_one(segments, 9.0)
    assert (whole.start, whole.end, whole.text) == (0.0, 9.0, "one two. three")
    words = tuple(word.model_copy(update={"start": n, "end": n + 0.5}) for n, word in enumerate(whole.words))
    parts = taken_apart(whole.model_copy(update={"words": words}), segments)
    assert [(p.text, p.start, p.end) for p in parts] == [("one two.", 0, 1.5), ("three", 2, 2.5)]
    assert [p.chars for p in parts] == [None, None]
    chars = tuple(Char(char=c) for c in whole.text)
    parts = taken_apart(whole.model_copy(update={"words": words, "chars": chars}), segments)
    assert ["".join(c.char for c in p.chars) for p in parts] == ["one two. ", "three"]
    assert taken_apart(whole.model_copy(update={"words": (), "chars": ()}), untimed([""])) == ()


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.lists(st.sampled_from(FEW), max_size=30).map(" ".join), max_size=6),
    st.lists(st.tuples(st.sampled_from(FEW), st.floats(0, 20)), max_size=60),
)
def test_no_word_is_lost_and_pieces_are_in_order(texts: list[str], sounds: list[tuple[str, float]]) -> None:
    times = sorted(time for _, time in sounds)
    words = [Word(word=w, start=t, end=t + 0.1) for (w, _), t in zip(sounds, times, strict=True)]
    pieces, lost = place_text(untimed(texts), words, "en", 21.0)
    assert " ".join(p.text for p in pieces).split() == " ".join(texts).split()
    assert 0 <= lost <= sum(len(p.words) for p in pieces)
    bounds = [time for p in pieces for time in (p.start, p.end)]
    assert all(0 <= time <= 21.2 for time in bounds)
    assert [p.start for p in pieces] == sorted(p.start for p in pieces)
    assert all(p.start <= p.end for p in pieces)


def test_anchors_are_in_order_and_equal() -> None:
    rng = random.Random(3)
    ours = [rng.choice(WORDS[:5] if rng.random() < 0.7 else RARE) for _ in range(3000)]
    theirs = [word for word in ours if rng.random() > 0.1]
    pairs = anchors(ours, theirs)
    assert all(ours[a] == theirs[b] for a, b in pairs)
    assert all(a < c and b < d for (a, b), (c, d) in pairwise(pairs))
    assert len(pairs) > 0.95 * len(theirs)


def test_nothing_in_common_is_no_anchor() -> None:
    assert anchors(["x", "y"] * 50, ["p", "q"] * 50) == []
    assert anchors([], ["a"]) == []
    assert anchors(["the", *"abcdefghi"], [*"klmnopqrs", "the"]) == []
