"""Whisper's cross-attention places words exactly enough, on exactly timed speech, by CTranslate2 and by MLX."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace

import numpy as np
import pytest
from placed_words import placed

from pipeline import audio
from pipeline.align import Cut, _attention, align_segments, cross_attention
from pipeline.align._attention import LONGEST_TEXT
from pipeline.align._calibration import lag_s
from pipeline.encoder_output import FRAME_S, EncoderOutput
from pipeline.recording import Recording
from schemas.errors import BackendUnavailable, FailedToAlign
from schemas.options import AlignOptions, AudioOptions
from schemas.transcript import Segment
from schemas.whisperx import read_transcript

CALIBRATED_S = 15.4  # the models' lags were measured on the recording's beginning


def opened(path, tmp_path) -> Recording:
    return audio.open_recording(str(path), AudioOptions(), workdir=tmp_path)


def errors_ms(aligner, recording: Recording, segments: Sequence[Segment], heard=None) -> np.ndarray:
    """How far the starts and ends of words are off, for segments that hold the true times."""
    pairs, _ = placed(aligner, recording, segments, heard)
    assert [a.word for a, _ in pairs] == [b.word for _, b in pairs]
    return 1000 * np.array([(a.start - b.start, a.end - b.end) for a, b in pairs])


@pytest.fixture(scope="module")
def flite(shipped) -> list[Segment]:
    """The recording's segments with their exact words, without those that the lags were measured on."""
    import json

    words = iter(json.loads((shipped / "syn_en_flite_words.words.json").read_text("utf-8")))
    segments = []
    for segment in read_transcript(shipped / "syn_en_flite_words.segments.json").segments:
        timed = [{"word": word, **_span(next(words))} for word in segment.text.split()]
        segments.append(Segment.model_validate({**segment.compact(), "words": timed}))
    return [segment for segment in segments if segment.start > CALIBRATED_S]


def _span(word: dict) -> dict:
    return {"start": word["start"], "end": word["end"]}


def whole(segments: Sequence[Segment]) -> Segment:
    """All of them as one, as a window of speech recognition gives it."""
    return Segment(
        start=segments[0].start,
        end=segments[-1].end,
        text=" ".join(segment.text for segment in segments),
        words=tuple(word for segment in segments for word in segment.words),
    )


@pytest.mark.parametrize("cut", ["by sentences", "as one window"])
def test_words_are_within_the_margins_on_exactly_timed_speech(aligner, shipped, flite, tmp_path, cut):
    """Measured with base: median 21, mean 36 ms, 77 % within 50 ms."""
    recording = opened(shipped / "syn_en_flite_words.flac", tmp_path)
    segments = flite if cut == "by sentences" else [whole(flite)]
    off = np.abs(errors_ms(aligner("cross_attention"), recording, segments))
    assert np.median(off) <= 35
    assert off.mean() <= 60
    assert (off <= 50).mean() >= 0.65


def test_what_the_recognition_heard_is_not_encoded_again(aligner, shipped, flite, tmp_path, monkeypatch):
    """Measured: mean 33 ms, 83 % within 50 ms; without silence behind the cuts 52 and 63 %."""
    attention = aligner("cross_attention")
    recording = opened(shipped / "syn_en_flite_words.flac", tmp_path)
    start = flite[0].start - 0.2
    window = np.zeros(_attention.WINDOW_SAMPLES, np.float32)
    speech = recording.seconds(start, flite[-1].end + 0.2)
    window[: len(speech)] = speech
    features = attention._attention.encode(window)[0, : len(speech) // 320]
    attention._attention._silence  # noqa: B018 - encoded once
    monkeypatch.setattr(attention._attention, "encode", lambda waveform: pytest.fail("a cut was encoded"))
    with EncoderOutput(tmp_path) as heard:
        heard.begin("base")
        heard.keep(start, features)
        off = np.abs(errors_ms(attention, recording, flite, heard))
    assert off.mean() <= 45
    assert (off <= 50).mean() >= 0.7


def test_words_are_within_the_margins_on_hand_labelled_speech(aligner, shared_audio, tmp_path):
    import json

    words = json.loads((shared_audio / "single/en_praat_bobby.words.json").read_text("utf-8"))
    segment = Segment.model_validate(
        {
            "start": 0.0,
            "end": 1.19,
            "text": " ".join(word["word"] for word in words),
            "words": [{"word": word["word"], **_span(word)} for word in words],
        }
    )
    recording = opened(shared_audio / "single/en_praat_bobby.wav", tmp_path)
    assert np.abs(errors_ms(aligner("cross_attention"), recording, [segment])).mean() <= 80


def test_scores_tell_what_was_said_from_what_was_not(aligner, shipped, flite, tmp_path):
    recording = opened(shipped / "syn_en_flite_words.flac", tmp_path)
    right = whole(flite).model_copy(update={"words": ()})
    other = right.model_copy(update={"text": " ".join(reversed(right.text.split()))})
    scores = []
    for segment in (right, other):
        (found,), _ = align_segments(
            aligner("cross_attention"),
            recording,
            [segment],
            "en",
            options=AlignOptions(),
            progress=lambda fraction: None,
        )
        scores.append(np.mean([word.score for word in found.words]))
    assert scores[0] > 0.6 > 0.3 > scores[1]


def test_mlx_listens_where_ctranslate2_does(starter_weights, shipped, tmp_path):
    pytest.importorskip("mlx.core")
    recording = opened(shipped / "syn_en_flite_words.flac", tmp_path)
    words = ("Did", "the", "customers", "notice", "any", "problems?")
    cut = Cut(recording.seconds(12.8, 15.4), words, "en")
    times = []
    for format in ("ctranslate2", "mlx"):
        files = starter_weights("whisper", "base", format)
        attention = _attention.load(files, "cpu", "float32", 2)
        (found,) = cross_attention.CrossAttention(attention, files).align([cut])
        times.append([(time.start, time.end, time.score) for time in found])
    assert np.allclose(times[0], times[1], atol=FRAME_S + 1e-6)


class Toy:
    """Stands in for a model where only the book-keeping is looked at: hears tokens one after the other, evenly."""

    device = "cpu"

    def __init__(self, lag_s: float = 0.0, astray: bool = False) -> None:
        self.lag_s, self.astray = lag_s, astray
        self.read: list[tuple[int, int]] = []

    def encode(self, waveform: np.ndarray) -> np.ndarray:
        return waveform

    def tokens(self, text: str) -> list[int]:
        return list(text.encode())

    def check_language(self, language: str) -> None:
        if language != "en":
            raise BackendUnavailable("unknown")

    def token_times(self, encoded, frames, tokens, language):
        self.read.append((frames, len(tokens)))
        share = 0.1 if self.astray and frames > 200 else 1.0
        begins = np.linspace(0, frames * share, len(tokens) + 1) + self.lag_s / FRAME_S
        return begins, np.full(len(tokens), 0.5)


def over(toy: Toy, lag: float = 0.0) -> cross_attention.CrossAttention:
    return cross_attention.CrossAttention(toy, SimpleNamespace(name="toy", revision=None), lag)


def cut(seconds: float, *words: str) -> Cut:
    return Cut(np.ones(round(seconds * 16_000), np.float32), words or ("word",), "en")


def test_short_cuts_share_a_window_and_each_gets_its_own_words():
    toy = Toy()
    found = over(toy).align([cut(2, "aaaa", "bbbb"), cut(29), cut(2, "cccc", "dddd")])
    assert len(toy.read) == 4  # two windows, each read in pieces and spelled out
    first, _, third = found
    assert [time.end for time in third][-1] == pytest.approx(2.0, abs=0.05)
    assert first[0].start == 0.0
    assert all(0 <= time.start <= time.end <= 2 for times in (first, third) for time in times)


def test_a_cut_whose_words_strayed_into_its_neighbours_is_read_alone():
    toy = Toy(astray=True)
    found = over(toy).align([cut(4, "aaaa"), cut(4, "bbbb")])
    assert [frames for frames, _ in toy.read] == [450, 450, 200, 200]
    assert found[1][0].end - found[1][0].start > 3


def test_text_that_is_too_much_when_spelled_is_read_in_pieces_and_more_is_refused():
    toy = Toy()
    toy.tokens = lambda text: [0] * len(text.split()) if len(text) > 3 else [0]
    words = ("wording",) * (LONGEST_TEXT // 2)
    (found,) = over(toy).align([cut(20, *words)])
    assert len(found) == len(words)
    assert toy.read == [(1000, len(words))]
    (found,) = over(toy).align([cut(20, *words, *words, "more")])
    assert isinstance(found, FailedToAlign)


def test_a_constant_lag_is_measured_and_taken_off():
    late = Toy(lag_s=0.05)
    assert lag_s(over(late)) - lag_s(over(Toy())) == pytest.approx(0.05, abs=0.01)
    (found,) = over(late, lag=0.05).align([cut(2, "aaaa", "bbbb")])
    assert found[1].start == pytest.approx(1.0, abs=0.05)


def test_a_lag_beyond_reason_is_not_believed():
    assert lag_s(over(Toy(lag_s=3.0))) == 0.0


def test_an_english_model_refuses_other_languages(starter_weights):
    files = starter_weights("whisper", "tiny.en", "ctranslate2")
    attention = _attention.load(files, "cpu", "int8", 1)
    with pytest.raises(BackendUnavailable):
        cross_attention.CrossAttention(attention, files).align([Cut(np.zeros(16_000, "f"), ("hallo",), "de")])


def test_a_multilingual_model_refuses_languages_that_nobody_speaks(aligner):
    with pytest.raises(BackendUnavailable):
        aligner("cross_attention").align([Cut(np.zeros(16_000, np.float32), ("hello",), "xx")])
