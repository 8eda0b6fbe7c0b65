"""Whatever a backend gives, every word comes out once, in order, inside the recording, and with a time."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
import pytest
from clock import recording, time_of
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.align import WINDOW_S, Cut, WordTime, _driver, align_segments
from pipeline.align._words import split_words
from pipeline.align.even import Even
from pipeline.encoder_output import EncoderOutput
from pipeline.recording import Recording
from schemas.errors import BackendUnavailable, FailedToAlign, JobError, StageFailed
from schemas.options import AlignOptions
from schemas.transcript import Char, Phone, Segment, Word

Answer = list[WordTime | None] | FailedToAlign


@dataclass
class Scripted:
    """An aligner that answers as it is told, and remembers what it was asked."""

    answer: Callable[[Cut], Answer]
    margin_s: float = 0.2
    asked: list[list[Cut]] = field(default_factory=list)
    cache_key = model = revision = encoder = None
    device = "cpu"

    def align(self, cuts: Sequence[Cut]) -> list[Answer]:
        self.asked.append(list(cuts))
        return [self.answer(cut) for cut in cuts]


def placed(*spans: tuple[float, float] | None) -> Callable[[Cut], Answer]:
    """The same times, in seconds of the cut, for whatever is asked."""
    return lambda cut: [None if span is None else WordTime(*span, 0.9, "ctc") for span in spans]


def run(aligner, audio: Recording, segments: Sequence[Segment], **options):
    progress = options.pop("progress", lambda fraction: None)
    heard = options.pop("heard", None)
    asked = AlignOptions(**options)
    return align_segments(aligner, audio, segments, "en", options=asked, progress=progress, heard=heard)


def times(segment: Segment) -> list[tuple[float | None, float | None]]:
    return [(word.start, word.end) for word in segment.words]


def said(start: float, end: float, text: str, **more) -> Segment:
    return Segment(start=start, end=end, text=text, **more)


def test_times_are_those_of_the_recording_and_the_segment_reaches_from_word_to_word():
    aligner = Scripted(placed((0.5, 0.8), (1.0, 1.5)))
    (segment,), warnings = run(aligner, recording(10), [said(4, 7, " Hello there. ")])
    assert times(segment) == [(4.3, 4.6), (4.8, 5.3)]
    assert (segment.start, segment.end, segment.text) == (4.3, 5.3, " Hello there. ")
    assert [(word.score, word.timing) for word in segment.words] == [(0.9, "ctc")] * 2
    assert warnings == ()


def test_the_margin_reaches_neither_into_a_neighbour_nor_past_the_ends():
    aligner = Scripted(placed((0.0, 0.1)), margin_s=0.5)
    run(aligner, recording(10), [said(0.1, 2, "a"), said(2.4, 5, "b"), said(5, 6, "c"), said(8, 9.8, "d")])
    cuts = sorted((time_of(cut.waveform), len(cut.waveform) / 16_000) for cut in aligner.asked[0])
    assert np.allclose(cuts, [(0.0, 2.2), (2.2, 2.8), (5.0, 1.5), (7.5, 2.5)], atol=0.002)


def test_a_full_window_has_no_margin_left():
    aligner = Scripted(placed((0.0, 0.1)))
    run(aligner, recording(60), [said(10, 10 + WINDOW_S, "a")])
    assert len(aligner.asked[0][0].waveform) == WINDOW_S * 16_000


def test_a_segment_that_ends_behind_the_recording_does_not_move_its_words():
    """WhisperX takes the segment's own length for that of the audio it got, and all words drift."""
    aligner = Scripted(placed((0.5, 0.8)))
    (segment,), warnings = run(aligner, recording(9.6), [said(0.5, 12, "one")])
    assert times(segment) == [(0.8, 1.1)]
    assert [warning.code for warning in warnings] == ["outside_recording"]


def test_a_segment_altogether_behind_the_recording_keeps_its_words():
    (segment,), warnings = run(Even(), recording(5), [said(90, 95, "not here")])
    assert times(segment) == [(5.0, 5.0)] * 2
    assert {warning.code for warning in warnings} == {"outside_recording", "words_interpolated"}


def test_a_segment_without_words_stays_as_it_is():
    silent = [said(0, 1, ""), said(2, 3, "  ")]
    assert run(Scripted(placed()), recording(5), silent) == (tuple(silent), ())


def test_words_that_a_segment_has_are_kept_with_their_speakers():
    words = (Word(word=" New", speaker="SPEAKER_01"), Word(word="York,"))
    segment = said(0, 2, " New York,", words=words, speaker="SPEAKER_00")
    (found,), _ = run(Scripted(placed((0, 1), (1, 2))), recording(5), [segment])
    assert [(word.word, word.speaker) for word in found.words] == [("New", "SPEAKER_01"), ("York,", None)]


def test_words_that_do_not_spell_the_text_give_way_to_it():
    segment = said(0, 2, "New York", words=(Word(word="Old"),), speaker="SPEAKER_00")
    (found,), _ = run(Scripted(placed((0, 1), (1, 2))), recording(5), [segment])
    assert [(word.word, word.speaker) for word in found.words] == [
        ("New", "SPEAKER_00"),
        ("York", "SPEAKER_00"),
    ]


def test_scripts_without_spaces_are_split_into_characters():
    assert split_words("你好。我叫OpenAI模型，「他说」好！") == (
        *("你", "好。", "我", "叫", "OpenAI", "模", "型，", "「他", "说」", "好！"),
    )
    assert split_words("한국어 문장 그대로") == ("한국어", "문장", "그대로")
    assert split_words("สวัสดี") == ("ส", "วั", "ส", "ดี")


@pytest.mark.parametrize("text", ["a" * 30, "a b " * 2000, "👩‍👩‍👧 …—", "\u200b", "İİİ", "3.5% €2,000"])
def test_any_text_gets_times(text):
    (segment,), _ = run(Even(), recording(3), [said(1, 1.2, text)])
    assert "".join(word.word for word in segment.words) == "".join(text.split())
    assert all(1 <= word.start <= word.end <= 1.2 for word in segment.words)


def test_a_cut_that_fails_is_spread_evenly_and_said_to_be():
    def answer(cut: Cut) -> Answer:
        return FailedToAlign("no way") if "bad" in cut.words else [WordTime(0.2, 0.4, 0.5, "ctc")]

    found, warnings = run(Scripted(answer), recording(10), [said(1, 2, "good"), said(4, 5, "bad bad")])
    assert times(found[0]) == [(1.0, 1.2)]
    assert times(found[1]) == [(4.0, 4.5), (4.5, 5.0)]
    assert [(word.timing, word.score) for word in found[1].words] == [("interpolated", 0.0)] * 2
    assert [(w.code, w.count) for w in warnings] == [("words_interpolated", 1), ("words_interpolated", 2)]
    assert "no way" in warnings[0].message


@pytest.mark.parametrize(
    ("method", "expected"),
    [
        ("nearest", [(1.0, 1.12), (2.88, 3.0)]),
        ("linear", [(1.587, 1.707), (2.293, 2.413)]),
        ("ignore", [(None, None)] * 2),
    ],
)
def test_words_without_a_time_are_estimated_between_their_neighbours(method, expected):
    aligner = Scripted(placed((0.5, 1.0), None, None, (3.0, 3.5)), margin_s=0.0)
    (found,), warnings = run(aligner, recording(10), [said(0, 5, "one x y two")], interpolate_method=method)
    assert times(found) == [(0.5, 1.0), *expected, (3.0, 3.5)]
    assert [word.timing for word in found.words][1] == (None if method == "ignore" else "interpolated")
    assert [(w.code, w.count) for w in warnings] == [("words_interpolated", 2)]


def test_punctuation_alone_is_estimated_without_a_warning():
    aligner = Scripted(placed((0.5, 1.0), None, (1.0, 1.5)))
    (found,), warnings = run(aligner, recording(10), [said(0, 5, "one – two")])
    assert found.words[1].timing == "interpolated"
    assert warnings == ()


def test_a_word_is_not_stretched_over_a_pause():
    noise = np.random.default_rng(0).normal(0, 0.1, 16_000 * 4).astype(np.float32)
    noise[16_000 : 3 * 16_000] *= 0.001
    aligner = Scripted(placed((0.5, 2.8), (2.8, 3.9)), margin_s=0.0)
    (found,), _ = run(aligner, Recording.from_array(noise), [said(0, 4, "well then")])
    assert times(found) == [(0.5, pytest.approx(1.0, abs=0.03)), (pytest.approx(3.0, abs=0.03), 3.9)]


@pytest.mark.parametrize(("timing", "end"), [("ctc", 1.0), ("head", 2.4)])
def test_in_noise_the_phone_head_knows_pauses_better_than_the_level_does(timing, end):
    """20 dB between the loud part of a word and the rest, which may be an s."""
    noise = np.random.default_rng(0).normal(0, 0.1, 16_000 * 4).astype(np.float32)
    noise[16_000 : 3 * 16_000] *= 0.1
    aligner = Scripted(lambda cut: [WordTime(0.5, 2.4, 0.9, timing)], margin_s=0.0)
    (found,), _ = run(aligner, Recording.from_array(noise), [said(0, 4, "thermodynamics")])
    assert times(found) == [(0.5, pytest.approx(end, abs=0.03))]


def test_a_word_is_never_longer_than_it_can_be_said():
    """Also where there is no silence to see: in noise, or music."""
    (found,), _ = run(Scripted(placed((0.0, 20.0))), recording(30), [said(2, 22, "well")])
    assert found.words[0].end - found.words[0].start < 2


def test_characters_are_listed_where_they_were_asked_for():
    def answer(cut: Cut) -> Answer:
        chars = (Char(char="h", start=0.5, end=0.6, score=0.9), Char(char="i", start=0.6, end=0.9))
        return [WordTime(0.5, 0.9, 0.9, "ctc", chars), None]

    segment = said(1, 4, "hi 7", chars=(Char(char="x"),))
    (found,), _ = run(Scripted(answer, 0.0), recording(10), [segment], return_char_alignments=True)
    assert [(c.char, c.start) for c in found.chars] == [("h", 1.5), ("i", 1.6), (" ", None), ("7", None)]
    (found,), _ = run(Scripted(answer, 0.0), recording(10), [segment])
    assert found.chars is None


def test_phones_are_given_where_they_were_asked_for_and_lie_inside_their_word():
    """The second word begins before the first ends, and takes that time from the first one's phones, too."""

    def answer(cut: Cut) -> Answer:
        def word(*moments: float) -> WordTime:
            phones = tuple(Phone(phone="x", start=a, end=b) for a, b in pairwise(moments))
            return WordTime(moments[0], moments[-1], 0.9, "head", (), phones if cut.phones else ())

        return [word(0.5, 0.7, 0.9, 1.1), word(0.8, 1.2), None]

    old = Word(word="hi", phones=(Phone(phone="old", start=0, end=1),))
    segment = said(1, 4, "hi you 7", words=(old, Word(word="you"), Word(word="7")))
    (found,), warnings = run(Scripted(answer, 0.0), recording(10), [segment], return_phone_alignments=True)
    spans = [word.phones and [(phone.start, phone.end) for phone in word.phones] for word in found.words]
    assert spans == [[(1.5, 1.7), (1.7, 1.8), (1.8, 1.8)], [(1.8, 2.2)], None]
    assert "flag_ignored" not in {warning.code for warning in warnings}
    (found,), _ = run(Scripted(answer, 0.0), recording(10), [segment])
    assert [word.phones for word in found.words] == [None] * 3


@pytest.mark.parametrize("flag", ["return_char_alignments", "return_phone_alignments"])
def test_a_backend_that_places_words_alone_says_so(flag):
    aligner = Scripted(placed((0.5, 0.9)))
    _, warnings = run(aligner, recording(10), [said(1, 4, "hi")], **{flag: True})
    assert [warning.code for warning in warnings] == ["flag_ignored"]
    assert flag in warnings[0].message


def test_a_segment_names_its_own_language():
    aligner = Scripted(placed((0.0, 1.0)))
    run(aligner, recording(10), [said(0, 2, "ja", language="de"), said(3, 5, "yes")])
    assert {cut.words: cut.language for cut in aligner.asked[0]} == {("ja",): "de", ("yes",): "en"}


def test_cuts_of_like_length_go_together_and_never_more_than_four_minutes_on_few_cores(monkeypatch):
    monkeypatch.setattr(_driver, "usable_cores", lambda: 4)
    aligner = Scripted(placed((0.0, 1.0)))
    lengths = [1, 29, 2, 28, 3, 27] * 5
    segments = [said(sum(lengths[:i]), sum(lengths[: i + 1]), "a") for i in range(len(lengths))]
    run(aligner, recording(sum(lengths)), segments)
    batches = [[len(cut.waveform) / 16_000 for cut in batch] for batch in aligner.asked]
    assert all(len(batch) * max(batch) <= 240 for batch in batches)
    assert [length for batch in batches for length in batch] == sorted(map(float, lengths), reverse=True)


def test_progress_rises_to_one_and_can_cancel():
    seen: list[float] = []
    segments = [said(i * 30, i * 30 + 29, "a") for i in range(20)]
    run(Scripted(placed((0.0, 1.0))), recording(600), segments, progress=seen.append)
    assert seen == sorted(seen)
    assert len(seen) > 2
    assert seen[-1] == 1.0

    def cancel(fraction: float) -> None:
        raise JobError("cancelled", code="job_cancelled")

    aligner = Scripted(placed((0.0, 1.0)))
    with pytest.raises(JobError):
        run(aligner, recording(600), segments, progress=cancel)
    assert len(aligner.asked) == 1


def test_what_a_backend_raises_goes_on():
    def answer(cut: Cut) -> Answer:
        raise BackendUnavailable("it does not know the language")

    with pytest.raises(BackendUnavailable):
        run(Scripted(answer), recording(5), [said(0, 1, "a")])


def test_a_backend_that_loses_a_word_is_found_out():
    with pytest.raises(StageFailed, match="1 times for 2 words"):
        run(Scripted(placed((0, 1))), recording(5), [said(0, 2, "two words")])


class Listener:
    """Knows when each of its words (w0, w1, …) is said, and errs as forced alignment does.

    Words that are not in the audio are squeezed in at the edge where they are missing.
    """

    margin_s = 0.2
    cache_key = model = revision = encoder = None
    device = "cpu"

    def __init__(self, starts: Sequence[float]) -> None:
        self.starts = starts
        self.longest = 0.0

    def align(self, cuts: Sequence[Cut]) -> list[Answer]:
        return [self._align(cut) for cut in cuts]

    def _align(self, cut: Cut) -> Answer:
        begin, length = time_of(cut.waveform), len(cut.waveform) / 16_000
        self.longest = max(self.longest, length)
        found = []
        for word in cut.words:
            start = self.starts[int(word[1:])] - begin
            found.append(WordTime(min(max(start, 0), length), min(max(start + 0.15, 0), length), 0.9, "ctc"))
        return found


@pytest.mark.parametrize("rate", ["even", "slower and slower", "with a long pause"])
def test_a_segment_of_many_minutes_is_aligned_window_by_window(rate):
    steps = {
        "even": np.full(900, 0.33),
        "slower and slower": np.linspace(0.2, 0.5, 900),
        "with a long pause": np.r_[np.full(450, 0.3), 70.0, np.full(449, 0.3)],
    }[rate]
    starts = (10 + np.cumsum(steps) - steps[0]).tolist()
    audio = recording(starts[-1] + 20)
    listener = Listener(starts)
    text = " ".join(f"w{i}" for i in range(len(starts)))
    seen: list[float] = []
    (found,), _ = run(listener, audio, [said(8, starts[-1] + 5, text)], progress=seen.append)
    error = np.abs([word.start - start for word, start in zip(found.words, starts, strict=True)])
    assert error.max() < 0.02
    assert listener.longest <= WINDOW_S
    assert len(seen) > 10


def test_a_long_segment_survives_windows_that_fail():
    calls = iter(range(1000))

    def answer(cut: Cut) -> Answer:
        if next(calls) % 3 == 0:
            return FailedToAlign("no way")
        return [
            WordTime(20 * i / len(cut.words), 20 * (i + 1) / len(cut.words), 0.5, "ctc")
            for i in range(len(cut.words))
        ]

    (found,), _ = run(Scripted(answer), recording(300), [said(0, 290, "word " * 500)])
    starts = [word.start for word in found.words]
    assert len(starts) == 500
    assert starts == sorted(starts)
    (found,), warnings = run(
        Scripted(lambda cut: FailedToAlign("no way")), recording(300), [said(0, 290, "word " * 500)]
    )
    assert "no way" in warnings[0].message
    assert found.words[250].start == pytest.approx(145, abs=1)


def test_a_recording_on_disk_is_read_in_cuts_only(tmp_path):
    path = tmp_path / "audio.pcm"
    audio = recording(600)
    audio.array.tofile(path)
    reads: list[int] = []

    class Watched(Recording):
        def view(self, start: float, end: float) -> np.ndarray:
            reads.append(len(found := super().view(start, end)))
            return found

    watched = Watched(audio.samples, audio.sha256, pcm=path)
    run(Scripted(placed((0.0, 1.0))), watched, [said(i * 30, i * 30 + 29, "a") for i in range(20)])
    run(Even(), watched, [said(0, 600, "word " * 900)])
    assert 0 < max(reads) <= WINDOW_S * 16_000


anything = st.floats(-1e3, 1e3) | st.sampled_from([math.nan, math.inf, -math.inf, 0.0])
given_times = st.tuples(
    anything, anything, st.none() | st.floats(-1, 2), st.sampled_from(["ctc", "attention"])
)
answers = st.none() | given_times.map(lambda time: WordTime(*time))


@st.composite
def requests(draw):
    segments = []
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.floats(0, 40))
        end = start + draw(st.sampled_from([0.0, 0.01, 0.5, 5.0, 29.9, 60.0]))
        words = draw(st.lists(st.sampled_from(["a", "yes.", "2014", "–", "你好", "İ"]), max_size=8))
        segments.append(said(start, end, " ".join(words)))
    return segments


@given(requests(), st.data(), st.sampled_from(["nearest", "linear"]))
@settings(max_examples=80, deadline=None)
def test_the_promises_hold_whatever_the_backend_says(segments, data, method):
    def answer(cut: Cut) -> Answer:
        if data.draw(st.integers(0, 5)) == 0:
            return FailedToAlign("no way")
        return [data.draw(answers) for _ in cut.words]

    audio = recording(35)
    found, _ = run(Scripted(answer), audio, segments, interpolate_method=method)
    assert [segment.text for segment in found] == [segment.text for segment in segments]
    for before, segment in zip(segments, found, strict=True):
        assert tuple(word.word for word in segment.words) == split_words(before.text)
        at = [moment for word in segment.words for moment in (word.start, word.end)]
        assert None not in at
        assert at == sorted(at)
        assert all(0 <= moment <= audio.duration_s for moment in at)
        assert all(word.score is None or 0 <= word.score <= 1 for word in segment.words)
        if at:
            assert (segment.start, segment.end) == (at[0], at[-1])
            assert at[0] >= min(before.start, audio.duration_s) - 0.201
            assert at[-1] <= before.end + 0.201


@pytest.fixture
def heard(tmp_path):
    """Windows of the encoder of ``base`` at 1.01 s and 12 s, whose frames count from 0 on."""
    with EncoderOutput(tmp_path) as output:
        output.begin("base")
        for start, frames in ((1.01, 500), (12.0, 400)):
            output.keep(start, np.arange(frames, dtype=np.float32)[:, None])
        yield output


def test_a_cut_that_was_heard_begins_at_a_frame_of_its_window_and_ends_within_it(heard):
    aligner = Scripted(placed((0.5, 0.8)), margin_s=0.3)
    aligner.encoder = "base"
    segments = [said(1.1, 3, "a"), said(5, 7, "b"), said(10.5, 11.5, "c"), said(12.5, 19.9, "d")]
    found, _ = run(aligner, recording(30), segments, heard=heard)
    (first, second), (third,), (other,) = aligner.asked[0][:2], aligner.asked[0][2:], aligner.asked[1]
    assert [cut.heard.first for cut in (first, second, third)] == [0, 184, 10]
    assert [cut.heard.window for cut in (first, second, third)] == [1.01, 1.01, 12.0]
    assert other.heard is None
    for cut in (first, second, third):
        assert time_of(cut.waveform) == pytest.approx(cut.heard.window + 0.02 * cut.heard.first, abs=0.001)
        assert len(cut.waveform) / 320 <= len(cut.heard.features) - cut.heard.first
    assert times(found[1]) == [(pytest.approx(5.19), pytest.approx(5.49))]


def test_another_encoders_output_is_left_alone(heard):
    aligner = Scripted(placed((0.5, 0.8)))
    for encoder in ("small", None):
        aligner.encoder = encoder
        run(aligner, recording(30), [said(5, 7, "b")], heard=heard)
    assert [cut.heard for cuts in aligner.asked for cut in cuts] == [None, None]


@pytest.mark.parametrize(("cores", "expected"), [(2, [8, 8, 8, 6]), (8, [16, 14])])
def test_as_many_windows_are_read_at_once_as_keep_the_cores_busy(heard, monkeypatch, cores, expected):
    monkeypatch.setattr(_driver, "usable_cores", lambda: cores)
    aligner = Scripted(placed((0.5, 0.8)))
    aligner.encoder = "base"
    for start in range(30, 330, 10):
        heard.keep(start, np.zeros((500, 1)))
    run(aligner, recording(330), [said(s + 4.0, s + 5.0, "a") for s in range(30, 330, 10)], heard=heard)
    assert [len(cuts) for cuts in aligner.asked] == expected
