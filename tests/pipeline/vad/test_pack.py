"""Packing: all speech is kept, in order, in chunks that are never too long, cut where it hurts least."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.recording import SAMPLE_RATE, Recording
from pipeline.vad import Chunk, SpeechRegion, pack, windows
from pipeline.vad._pack import LONGEST_SILENCE_S

LENGTH_S = 200.0
# Noise: any place is as good as another, but a cut has to be found.
NOISE = Recording.from_array(
    np.random.default_rng(0).normal(0, 0.1, int(LENGTH_S * SAMPLE_RATE)).astype(np.float32)
)


@st.composite
def speech(draw) -> list[SpeechRegion]:
    """Regions in order, some of them touching, within the recording."""
    steps = draw(st.lists(st.tuples(st.floats(0, 12), st.floats(0.01, 70)), max_size=25))
    regions, now = [], 0.0
    for pause, length in steps:
        start, end = now + pause, min(now + pause + length, LENGTH_S)
        if start >= end:
            break
        regions.append(SpeechRegion(start, end))
        now = end
    return regions


def samples(seconds: float) -> int:
    return round(seconds * SAMPLE_RATE)


def covered(region: SpeechRegion, chunks: list[Chunk]) -> bool:
    """Whether the chunks hold the region without a hole."""
    now = region.start
    for chunk in chunks:
        if chunk.start <= now < chunk.end:
            now = chunk.end
    return now >= region.end


def check(chunks: list[Chunk], regions: list[SpeechRegion], limit_s: float) -> None:
    assert all(covered(region, chunks) for region in regions)
    for chunk in chunks:
        assert 0 <= chunk.start < chunk.end <= LENGTH_S
        assert samples(chunk.end) - samples(chunk.start) <= limit_s * SAMPLE_RATE
        assert len(NOISE.seconds(chunk.start, chunk.end)) <= limit_s * SAMPLE_RATE
        assert chunk.regions
        assert all(chunk.start <= r.start < r.end <= chunk.end for r in chunk.regions)
    for before, after in itertools.pairwise(chunks):
        assert samples(before.end) <= samples(after.start)


@given(speech(), st.floats(1, 120))
@settings(max_examples=200, deadline=None)
def test_all_speech_is_in_chunks_that_keep_order_and_limit(regions, chunk_size):
    check(pack(regions, chunk_size, NOISE), regions, chunk_size)


@given(speech(), st.floats(30, 300))
@settings(max_examples=100, deadline=None)
def test_windows_of_long_chunks_keep_the_chunk_and_the_limit(regions, chunk_size):
    for chunk in pack(regions, chunk_size, NOISE):
        parts = windows(chunk, NOISE)
        check(parts, list(chunk.regions), 30.0)
        assert chunk.start <= parts[0].start and parts[-1].end <= chunk.end


@given(speech(), st.floats(1, 120))
@settings(max_examples=100, deadline=None)
def test_no_chunk_holds_a_long_silence(regions, chunk_size):
    for chunk in pack(regions, chunk_size, NOISE):
        for before, after in zip(chunk.regions, chunk.regions[1:], strict=False):
            assert after.start - before.end <= LONGEST_SILENCE_S + 1e-6


def test_no_speech_gives_no_chunks():
    assert pack([], 30.0, NOISE) == []


def test_a_chunk_ends_at_the_widest_pause_near_its_limit_not_at_the_last_one():
    regions = [
        SpeechRegion(0.0, 12.0),
        SpeechRegion(12.3, 22.0),  # the pause behind it is the widest
        SpeechRegion(23.0, 27.0),
        SpeechRegion(27.2, 29.0),
        SpeechRegion(29.1, 40.0),
    ]
    chunks = pack(regions, 30.0, NOISE)
    assert [len(chunk.regions) for chunk in chunks] == [2, 3]


def test_an_early_wide_pause_does_not_waste_most_of_a_window():
    regions = [
        SpeechRegion(0.0, 3.0),
        SpeechRegion(6.0, 14.0),
        SpeechRegion(14.5, 29.0),
        SpeechRegion(29.3, 45.0),
    ]
    assert len(pack(regions, 30.0, NOISE)[0].regions) == 3


def test_chunks_have_a_margin_at_both_ends_and_share_a_narrow_pause():
    regions = [SpeechRegion(10.0, 32.0), SpeechRegion(32.1, 50.0), SpeechRegion(60.0, 70.0)]
    first, second, third = pack(regions, 30.0, NOISE)
    assert first.start == pytest.approx(9.8)
    assert first.end == second.start == pytest.approx(32.05)
    assert second.end == pytest.approx(50.2)
    assert (third.start, third.end) == (pytest.approx(59.8), pytest.approx(70.2))


def test_the_margin_stays_within_the_recording():
    (chunk,) = pack([SpeechRegion(0.05, LENGTH_S - 0.1)], 600.0, NOISE)
    assert (chunk.start, chunk.end) == (0.0, LENGTH_S)


def test_speech_without_a_pause_is_cut_at_its_quietest_place():
    sound = np.random.default_rng(1).normal(0, 0.3, 60 * SAMPLE_RATE).astype(np.float32)
    sound[samples(24.0) : samples(24.2)] *= 0.01
    sound[samples(5.0) : samples(5.5)] *= 0.001  # quieter, but far from the limit
    chunks = pack([SpeechRegion(0.0, 60.0)], 30.0, Recording.from_array(sound))
    assert chunks[0].end == pytest.approx(24.1, abs=0.1)
    assert chunks[0].end == chunks[1].start


def test_the_rest_behind_a_cut_is_no_scrap():
    """29.8 s do not fit beside the margins; a cut just before the end would leave Whisper a syllable."""
    chunks = pack([SpeechRegion(0.0, 29.8)], 30.0, NOISE)
    assert len(chunks) == 2 and min(c.end - c.start for c in chunks) > 2.0


def test_a_chunk_of_the_exact_limit_stays_whole():
    (chunk,) = pack([SpeechRegion(50.0, 79.6)], 30.0, NOISE)
    assert samples(chunk.end) - samples(chunk.start) == 30 * SAMPLE_RATE


def test_windows_leave_a_short_chunk_as_it_is():
    (chunk,) = pack([SpeechRegion(1.0, 20.0)], 60.0, NOISE)
    assert windows(chunk, NOISE) == [chunk]


def test_windows_cut_a_chunk_without_regions_too():
    parts = windows(Chunk(10.0, 90.0), NOISE)
    assert parts[0].start == 10.0 and parts[-1].end == 90.0
    assert all(a.end == b.start for a, b in itertools.pairwise(parts))
