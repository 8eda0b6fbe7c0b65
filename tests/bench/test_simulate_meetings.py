"""The simulator of meetings: its truth is true, its sets are apart, its files are the same every time."""

from __future__ import annotations

import sys
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from media import babble

sys.path.insert(0, str(Path(__file__).parents[2] / "bench"))

import simulate_meetings as simulator

RATE = 16_000


@pytest.fixture(scope="module")
def voices() -> dict[str, tuple[simulator.Clip, ...]]:
    """Six people who each say five babbled phrases with pauses of silence between them."""
    made = {}
    for person in range(6):
        samples, regions = np.zeros(13 * RATE, np.float32), []
        for phrase in range(5):
            start = 0.3 + 2.5 * phrase
            sound = babble(1.8, seed=10 * person + phrase)
            samples[round(start * RATE) :][: len(sound)] = sound
            regions.append((start, start + 1.8))
        made[f"{person}"] = (simulator.Clip(samples, tuple(regions)),)
    return made


def plan(**fields) -> simulator.Plan:
    return simulator.Plan(**{"name": "m", "speakers": 3, "seed": 7, "seconds": 40.0} | fields)


def test_the_sound_is_where_the_truth_says_so(voices):
    """Dry and without noise, every frame of a turn is far louder than those outside all turns."""
    made = simulator.meeting(plan(snr_db=90, rt60_s=0.01), voices)
    frames = made.waveform[: len(made.waveform) // 800 * 800].reshape(-1, 800)
    level = np.sqrt(np.mean(frames**2, axis=1))
    inside = np.zeros(len(level), bool)
    touched = np.zeros(len(level), bool)
    for turn in made.turns:
        inside[int(np.ceil(turn.start * 20)) : int(turn.end * 20)] = True
        touched[int(turn.start * 20) : int(np.ceil(turn.end * 20)) + 1] = True
    assert inside.mean() > 0.4
    assert np.quantile(level[inside], 0.1) > 10 * np.max(level[~touched])


def test_the_people_asked_for_talk_and_at_times_together(voices):
    made = simulator.meeting(plan(overlap=0.8), voices)
    assert len({turn.speaker for turn in made.turns}) == 3
    assert any(a.end > b.start for a, b in pairwise(made.turns))
    assert np.abs(made.waveform).max() <= 1


def test_nobody_talks_over_their_own_voice(voices):
    free: dict[str, float] = {}
    rng = np.random.default_rng(0)
    two = {person: voices[person] for person in ("0", "1")}
    for person, start, clip in simulator._talk(plan(speakers=2, overlap=1.0, replies=0.8), two, rng):
        assert start >= free.get(person, 0.0)
        free[person] = start + len(clip.samples) / RATE
    assert len(free) == 2


def test_the_same_seed_gives_the_same_meeting_and_another_one_another(voices):
    one, same, other = (simulator.meeting(plan(seed=seed), voices) for seed in (1, 1, 2))
    assert one.turns == same.turns
    assert np.array_equal(one.waveform, same.waveform)
    assert one.turns != other.turns


def test_the_sets_have_no_speaker_and_no_seed_in_common(voices):
    tuning, reporting = (set(simulator.of_set(voices, which)) for which in ("tuning", "reporting"))
    assert not tuning & reporting
    assert tuning | reporting == set(voices)
    seeds = [p.seed for which in ("tuning", "reporting") for p in simulator.plans(which)]
    assert len(set(seeds)) == len(seeds) == 16


def test_a_livelier_room_rings_longer():
    def decay(rt60_s: float) -> int:
        room, seat, microphone = np.array([5, 4, 2.8]), np.array([1.5, 2, 1.2]), np.array([2.4, 2, 0.8])
        response = simulator.room_response(room, seat, microphone, rt60_s, np.random.default_rng(0))
        assert response[0] >= 1
        left = np.cumsum(response[::-1] ** 2)[::-1]
        return int(np.argmax(left < left[0] * 1e-2))

    assert 1.3 * decay(0.2) < decay(0.4)
