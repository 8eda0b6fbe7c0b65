"""Windows that are read after the text before them: who waits for whom, and what they are told."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from pipeline.asr._context import Stretches, stretches
from pipeline.asr._decoding import Decoded, Utterance
from pipeline.recording import Recording
from pipeline.vad import Chunk, SpeechRegion
from schemas.options import AsrOptions


def chunks(*seconds: float) -> list[tuple[int, Chunk]]:
    """Chunks of these lengths, one after the other."""
    ends = np.cumsum(seconds).tolist()
    spans = zip([0.0, *ends], ends, strict=False)
    return [(i, Chunk(a, b, (SpeechRegion(a, b),))) for i, (a, b) in enumerate(spans)]


def schedule(given: Sequence[tuple[int, Chunk]], count: int) -> Stretches:
    recording = Recording.from_array(np.zeros(round(given[-1][1].end * 16_000), np.float32))
    return Stretches(recording, given, AsrOptions(), count)


@given(st.lists(st.floats(1, 30), min_size=1, max_size=40), st.integers(1, 12))
def test_stretches_are_neighbours_of_about_equal_length(seconds: list[float], count: int) -> None:
    parts = stretches(chunks(*seconds), count)
    assert [index for part in parts for index, _ in part] == list(range(len(seconds)))
    assert len(parts) <= count
    lengths = [sum(chunk.end - chunk.start for _, chunk in part) for part in parts]
    assert max(lengths) <= sum(seconds) / count + 30


def test_a_window_waits_for_the_one_before_and_is_told_what_it_said() -> None:
    plan = schedule(chunks(20, 20, 20, 20), count=2)
    first, third = plan.take(8)
    assert (first.index, third.index) == (0, 2)
    assert plan.before(first) == ()
    assert plan.take(8) == []
    plan.heard(third, [7, 8])
    (fourth,) = plan.take(8)
    assert (fourth.index, plan.before(fourth)) == (3, (7, 8))
    plan.heard(first, [])
    (second,) = plan.take(8)
    assert (second.index, plan.before(second)) == (1, ())


def test_a_chunk_of_several_windows_is_read_in_order_too() -> None:
    plan = schedule(chunks(70), count=4)
    starts = []
    while taken := plan.take(4):
        (window,) = taken
        assert plan.before(window) == tuple(range(len(starts)))
        starts.append(window.span.start)
        plan.heard(window, range(len(starts)))
    assert starts == sorted(starts)
    assert len(starts) >= 3


def test_speech_that_is_gone_back_for_is_read_without_context() -> None:
    plan = schedule(chunks(20, 20), count=1)
    (first,) = plan.take(1)
    plan.heard(first, [5])
    assert plan.put(first, Decoded((Utterance(0, 5, "only this"),), -0.2, 0.0, 0.0)) == []
    again, second = plan.take(2)
    assert (again.back, plan.before(again)) == (1, ())
    assert (second.index, plan.before(second)) == (1, (5,))
    plan.heard(again, [6])
    assert plan.take(1) == []
