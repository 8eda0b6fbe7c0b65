"""Stretches that are nearly speech, beside those that are."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from pipeline.recording import Recording
from pipeline.vad import Chunk, SpeechRegion, pack, with_doubtful
from pipeline.vad._coverage import doubtful_regions

SECONDS = 120
RECORDING = Recording.from_array(np.zeros(SECONDS * 16_000, np.float32))


def regions(spans: list[tuple[float, float]]) -> list[SpeechRegion]:
    return [SpeechRegion(a, b) for a, b in spans]


def spans(cuts: list[float]) -> list[SpeechRegion]:
    """Every other interval between sorted, distinct times."""
    times = sorted(set(cuts))
    return regions(list(zip(times[::2], times[1::2], strict=False)))


TIMES = st.lists(st.integers(0, SECONDS * 10).map(lambda t: t / 10), max_size=16)


def test_what_is_near_the_threshold_is_found_and_noise_below_is_not() -> None:
    probability = np.concatenate(
        [np.full(100, 0.05), np.full(100, 0.3), np.full(100, 0.05), np.full(100, 0.9)]
    )
    (near, speech) = doubtful_regions(probability, 0.5, 0.363, 0.02, 8.0)
    assert (near.start, near.end) == (1.9, 4.1)
    assert speech.start == 5.9


def test_a_stretch_between_two_chunks_becomes_a_doubtful_one() -> None:
    sure = pack(regions([(0, 10), (30, 40)]), 30.0, RECORDING)
    found = with_doubtful(sure, regions([(0, 10), (15, 18), (30, 40)]), 30.0, RECORDING)
    assert [chunk.doubtful for chunk in found] == [False, True, False]
    assert found[1].regions == (SpeechRegion(15, 18),)
    assert (found[1].start, found[1].end) == (14.8, 18.2)


def test_what_a_chunk_holds_already_is_not_looked_at_twice() -> None:
    sure = pack(regions([(0, 3), (6, 10)]), 30.0, RECORDING)
    assert with_doubtful(sure, regions([(0, 10.4)]), 30.0, RECORDING) == sure


def test_without_any_speech_there_can_be_doubt() -> None:
    (found,) = with_doubtful([], regions([(50, 52)]), 30.0, RECORDING)
    assert found == Chunk(49.8, 52.2, (SpeechRegion(50, 52),), doubtful=True)


@given(TIMES, TIMES)
def test_chunks_never_overlap_and_the_sure_ones_stay(speech: list[float], near: list[float]) -> None:
    sure = pack(spans(speech), 30.0, RECORDING)
    found = with_doubtful(sure, spans(near), 30.0, RECORDING)
    assert [chunk for chunk in found if not chunk.doubtful] == sure
    assert all(a.end <= b.start for a, b in pairwise(found))
    assert all(0 <= chunk.start < chunk.end <= SECONDS for chunk in found)
