"""Batches, fallback, and going back for speech that was left out, with a decoder whose answers are scripted."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
import pytest

from pipeline.asr._decoding import (
    WINDOW_SAMPLES,
    Decoded,
    Fallback,
    Utterance,
    compression_ratio,
    decode_with_fallback,
    transcribe_chunks,
    utterances,
)
from pipeline.recording import SAMPLE_RATE, Recording
from pipeline.vad import Chunk, SpeechRegion
from schemas.options import AsrOptions

FALLBACK = Fallback((0.0, 0.2, 0.4), 2.4, -1.0, 0.6)
LOOP = "so we go on and " * 30


def decoded(text="good words here", logprob=-0.3, no_speech=0.0, start=0.0, end=30.0, temperature=0.0):
    said = (Utterance(start, end, text),) if text else ()
    return Decoded(said, logprob, no_speech, temperature)


@dataclass
class Scripted:
    """Answers ``script(waveform, temperature)``; keeps what it was asked."""

    script: object
    batch_size: int = 4
    batches: list[int] = field(default_factory=list)
    asked: list[tuple[float, int]] = field(default_factory=list)

    def encode(self, waveforms):
        assert all(len(w) <= WINDOW_SAMPLES for w in waveforms)
        self.batches.append(len(waveforms))
        return waveforms

    def decode(self, encoded, rows, temperature, seed):
        self.asked.append((temperature, len(rows)))
        return [self.script(encoded[row], temperature) for row in rows]


def ramp(seconds: float) -> Recording:
    """A recording whose samples say what second they are in."""
    return Recording.from_array(np.arange(round(seconds * SAMPLE_RATE), dtype=np.float32) / SAMPLE_RATE)


def chunk(start: float, end: float) -> Chunk:
    return Chunk(start, end, (SpeechRegion(start, end),))


def run(decoder, recording, chunks, **options):
    return {
        t.index: t for t in transcribe_chunks(decoder, recording, enumerate(chunks), AsrOptions(**options))
    }


def test_only_rows_that_fail_are_decoded_again_and_hotter():
    def script(waveform, temperature):
        bad = waveform[0] == 1 and temperature < 0.4
        return decoded(LOOP if bad else "fine words", temperature=temperature)

    decoder = Scripted(script)
    encoded = decoder.encode([np.zeros(1), np.ones(1), np.zeros(1)])
    answers = decode_with_fallback(decoder, encoded, 3, FALLBACK)
    assert decoder.asked == [(0.0, 3), (0.2, 1), (0.4, 1)]
    assert [a.temperature for a in answers] == [0.0, 0.4, 0.0]
    assert decoder.batches == [3], "the audio is encoded once"


@pytest.mark.parametrize(
    ("answer", "fails"),
    [
        (decoded(), False),
        (decoded(LOOP), True),
        (decoded(logprob=-1.2), True),
        (decoded(logprob=math.nan), True),
        (decoded(logprob=math.nan, no_speech=0.9), True),
        (decoded(logprob=-1.2, no_speech=0.9), False),  # silence
        (decoded(logprob=-0.5, no_speech=0.9), False),
    ],
)
def test_what_fails_is_repetitive_unlikely_or_not_a_number(answer, fails):
    assert FALLBACK.fails(answer) is fails


def test_thresholds_of_none_are_not_tested():
    assert not Fallback((0.0,), None, None, None).fails(decoded(LOOP, logprob=-9.0))


def test_where_all_fail_the_likeliest_that_does_not_repeat_itself_is_taken():
    tried = [decoded(LOOP, -0.1), decoded("one", -2.0), decoded("two", -1.5), decoded("!!!!", math.nan)]
    assert FALLBACK.best(tried).text == "two"


def test_a_stretch_whose_numbers_break_down_at_every_temperature_is_left_out_and_flagged():
    texts = run(Scripted(lambda w, t: decoded("!!!!", math.nan)), ramp(20), [chunk(0, 20)])
    assert texts[0].segments == ()
    assert [w.code for w in texts[0].warnings] == ["low_confidence"]


def test_text_where_the_model_hears_no_speech_is_left_out_and_flagged():
    texts = run(Scripted(lambda w, t: decoded("Thanks.", -1.4, 0.9)), ramp(20), [chunk(0, 20)])
    assert texts[0].segments == ()
    assert [w.code for w in texts[0].warnings] == ["hallucination_removed"]


def test_text_that_stays_doubtful_is_kept_and_flagged():
    texts = run(Scripted(lambda w, t: decoded("mumbled words", -1.4)), ramp(20), [chunk(0, 20)])
    assert [s.text for s in texts[0].segments] == ["mumbled words"]
    assert [w.code for w in texts[0].warnings] == ["low_confidence"]


def test_times_are_seconds_of_the_recording():
    answer = Decoded((Utterance(1.0, 2.0, "one"), Utterance(3.0, 9.5, "two")), -0.2, 0.0, 0.0)
    texts = run(Scripted(lambda w, t: answer), ramp(60), [chunk(40, 50)])
    assert [(s.start, s.end, s.text) for s in texts[0].segments] == [(41.0, 42.0, "one"), (43.0, 49.5, "two")]


def test_batches_are_full_and_read_only_their_own_audio(monkeypatch):
    read = []
    monkeypatch.setattr(
        Recording,
        "seconds",
        lambda self, a, b: read.append((a, b)) or np.full(round((b - a) * 16000), a, "f4"),
    )
    decoder = Scripted(lambda w, t: decoded(end=10.0), batch_size=3)
    chunks = ((i, chunk(10.0 * i, 10.0 * i + 10)) for i in range(7))
    texts = transcribe_chunks(decoder, ramp(1), chunks, AsrOptions())
    assert next(texts).index == 0
    assert next(chunks)[0] == 3
    assert len(read) == 3, "the second batch is not touched before it is wanted"
    assert sorted(t.index for t in texts) == [1, 2, 4, 5, 6]
    assert decoder.batches == [3, 3]


def test_a_chunk_above_30_s_is_decoded_in_windows_and_comes_out_whole():
    regions = tuple(SpeechRegion(a, a + 9.0) for a in range(0, 100, 10))
    decoder = Scripted(lambda w, t: decoded(f"from {w[0]:.0f}", end=30.0), batch_size=2)
    texts = run(decoder, ramp(100), [Chunk(0.0, 99.0, regions)])
    assert list(texts) == [0]
    segments = texts[0].segments
    assert len(segments) >= 4
    assert all(s.end - s.start <= 30.0 for s in segments)
    assert segments[0].start == 0.0
    assert segments[-1].end == pytest.approx(99.0, abs=0.3)


def test_speech_that_the_text_does_not_reach_is_decoded_once_more():
    """A batch cannot seek: fixed windows lose what follows the last timestamp, and skip sentences."""

    def script(waveform, temperature):
        if waveform[0] == 0:
            return decoded("the beginning", end=12.0)
        return decoded(f"the rest from {waveform[0]:.1f}", end=len(waveform) / SAMPLE_RATE)

    decoder = Scripted(script)
    texts = run(decoder, ramp(30), [chunk(0, 28)])
    assert [s.text for s in texts[0].segments] == ["the beginning", "the rest from 12.0"]
    assert [(s.start, s.end) for s in texts[0].segments] == [(0.0, 12.0), (12.0, 28.0)]


def test_speech_between_two_utterances_is_gone_back_for():
    def script(waveform, temperature):
        if waveform[0] == 0:
            return Decoded((Utterance(0, 5, "first"), Utterance(15, 28, "last")), -0.2, 0.0, 0.0)
        return decoded("middle", end=10.0)

    texts = run(Scripted(script), ramp(30), [chunk(0, 28)])
    assert [s.text for s in texts[0].segments] == ["first", "middle", "last"]


def test_silence_that_the_text_does_not_reach_is_not_gone_back_for():
    spoken = Chunk(0.0, 28.0, (SpeechRegion(0.0, 12.0), SpeechRegion(27.5, 28.0)))
    decoder = Scripted(lambda w, t: decoded("all of it", end=12.0))
    run(decoder, ramp(30), [spoken])
    assert decoder.batches == [1]


def test_going_back_ends():
    decoder = Scripted(lambda w, t: decoded("a bit", end=0.5))
    texts = run(decoder, ramp(30), [chunk(0, 30)])
    assert len(decoder.batches) == 3
    assert len(texts[0].segments) == 3


@pytest.mark.parametrize(
    ("answer", "kept"),
    [
        (decoded("clearly said", -0.3, 0.1), True),
        (decoded("you", -1.1, 0.3), False),
        (decoded("thanks", -0.5, 0.8), False),
        (decoded(LOOP, -0.1, 0.1), False),
    ],
)
def test_what_is_said_of_a_doubtful_chunk_counts_only_where_it_is_sure(answer, kept):
    doubtful = Chunk(0.0, 2.0, (SpeechRegion(0.2, 1.8),), doubtful=True)
    texts = run(Scripted(lambda w, t: answer), ramp(2), [doubtful])
    assert bool(texts[0].segments) is kept
    assert [w.code for w in texts[0].warnings] == ([] if kept else ["speech_missed"])


def test_speech_that_stays_without_text_is_a_warning():
    texts = run(Scripted(lambda w, t: decoded("")), ramp(30), [chunk(0, 30), Chunk(0, 2, (), doubtful=True)])
    assert [(w.code, w.count) for w in texts[0].warnings] == [("speech_missed", 1)]
    assert texts[1].warnings == ()


def test_nothing_heard_is_no_reason_to_go_back():
    decoder = Scripted(lambda w, t: decoded(""))
    assert run(decoder, ramp(30), [chunk(0, 30)])[0].segments == ()
    assert decoder.batches == [1]


def test_tokens_become_utterances_by_their_timestamps():
    begin, eot = 1000, 500
    tokens = [begin, 1, 2, begin + 100, begin + 150, 3, begin + 200, 4, 501, 5]
    found = utterances(
        tokens, eot=eot, timestamp_begin=begin, room=99, duration=10.0, decode=lambda t: "".join(map(str, t))
    )
    assert found == (Utterance(0.0, 2.0, "12"), Utterance(3.0, 4.0, "3"), Utterance(4.0, 10.0, "45"))


def test_utterances_end_inside_their_window():
    found = utterances([1000, 1, 2500], eot=500, timestamp_begin=1000, room=99, duration=5.0, decode=str)
    assert found == (Utterance(0.0, 5.0, "[1]"),)


def test_text_that_the_model_had_no_room_to_finish_is_left_for_another_window():
    """Dense languages fill the 224 tokens before the window ends."""
    tokens = [1000, 1, 1100, 1100, 2, 3]
    values = {"eot": 500, "timestamp_begin": 1000, "duration": 9.0, "decode": str}
    assert utterances(tokens, room=6, **values) == (Utterance(0.0, 2.0, "[1]"),)
    assert utterances(tokens, room=7, **values)[-1] == Utterance(2.0, 9.0, "[2, 3]")
    assert utterances([1000, 1, 2], room=3, **values) == (Utterance(0.0, 9.0, "[1, 2]"),)


def test_the_compression_ratio_is_whispers():
    from faster_whisper.transcribe import get_compression_ratio

    assert compression_ratio(LOOP) == get_compression_ratio(LOOP) > 2.4
    assert compression_ratio("") == 0.0
