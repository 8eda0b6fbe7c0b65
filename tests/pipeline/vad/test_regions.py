"""From probabilities to regions."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.recording import SAMPLE_RATE, Recording
from pipeline.vad._level import gain_for
from pipeline.vad._regions import active_frames, to_regions


def by_hand(probability, onset, offset):
    """The definition, frame by frame."""
    on, found = False, []
    for value in probability:
        if value > onset:
            on = True
        elif value < offset:
            on = False
        found.append(on)
    return found


@given(st.lists(st.floats(0, 1), max_size=60), st.floats(0.05, 0.95), st.floats(0.05, 0.95))
def test_hysteresis_is_what_its_definition_says(probability, onset, offset):
    offset = min(onset, offset)
    assert active_frames(np.array(probability), onset, offset).tolist() == by_hand(probability, onset, offset)


def test_an_offset_above_the_onset_means_the_onset():
    assert active_frames(np.array([0.55, 0.55]), 0.5, 0.9).tolist() == [True, True]


def regions(frames: str, **options) -> list[tuple[float, float]]:
    active = np.array([frame == "x" for frame in frames])
    return [
        (round(r.start, 3), round(r.end, 3)) for r in to_regions(active, 0.1, 0.1 * len(frames), **options)
    ]


def test_runs_of_frames_become_regions_in_seconds():
    assert regions("..xxx...xx") == [(0.2, 0.5), (0.8, 1.0)]


def test_pauses_and_regions_that_are_too_short_are_left_out():
    assert regions("xxx.xxx", shortest_s=0.15) == [(0.0, 0.7)]
    assert regions("..x....", shortest_s=0.15) == []


def test_padding_joins_neighbours_and_stays_within_the_recording():
    assert regions("x...x", pad_s=0.2) == [(0.0, 0.5)]


def test_the_first_frame_may_begin_later():
    assert regions("xx..", first_s=0.05) == [(0.05, 0.25)]


def test_no_frames_no_regions():
    assert to_regions(np.zeros(0, bool), 0.1, 0.0) == []


@pytest.mark.parametrize("level", [0.3, 0.02])
def test_usual_levels_are_left_alone(level):
    sound = np.random.default_rng(0).normal(0, level, 3 * SAMPLE_RATE).astype(np.float32)
    gain = gain_for(Recording.from_array(sound))
    assert gain(sound) is sound


def test_a_very_quiet_recording_is_made_louder_without_its_constant_part():
    sound = np.random.default_rng(0).normal(0, 0.0003, 3 * SAMPLE_RATE).astype(np.float32) + np.float32(0.1)
    louder = gain_for(Recording.from_array(sound))(sound)
    assert louder.std() == pytest.approx(0.05, rel=0.1)
    assert abs(louder.mean()) < 0.001


def test_digital_silence_has_no_gain():
    assert gain_for(Recording.from_array(np.zeros(SAMPLE_RATE, np.float32))).factor == 1.0
    assert gain_for(Recording.from_array(np.zeros(0, np.float32))).factor == 1.0
