"""A recording reads the same from memory and from its file, and copies only what is asked for."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest

from pipeline.recording import SAMPLE_RATE, Recording

WAVEFORM = np.random.default_rng(0).normal(0, 0.1, 3 * SAMPLE_RATE + 5).astype(np.float32)


@pytest.fixture(params=["array", "file"])
def recording(request, tmp_path) -> Recording:
    made = Recording.from_array(WAVEFORM)
    if request.param == "array":
        return made
    path = tmp_path / "a.f32"
    path.write_bytes(WAVEFORM.astype("<f4").tobytes())
    return Recording(made.samples, made.sha256, pcm=path)


def test_its_length_and_digest(recording):
    assert recording.samples == len(WAVEFORM)
    assert recording.duration_s == len(WAVEFORM) / SAMPLE_RATE
    assert recording.sha256 == hashlib.sha256(WAVEFORM.tobytes()).hexdigest()


@pytest.mark.parametrize(
    ("start", "stop"), [(0, 10), (100, 16_100), (-5, 5), (48_000, 99_999), (7, 7), (9, 3), (10**9, 10**9 + 1)]
)
def test_read_gives_what_lies_within(recording, start, stop):
    found = recording.read(start, stop)
    assert found.dtype == np.float32
    assert np.array_equal(found, WAVEFORM[max(0, start) : max(0, start, stop)])


@pytest.mark.parametrize(
    ("start", "end"), [(0.5, 1.00001), (-1.0, 0.5), (2.9, 99.0), (1.0, 1.0), (1.0, 0.5), (99.0, 100.0)]
)
def test_seconds_are_rounded_to_samples_and_a_view_of_them_is_the_same(recording, start, end):
    wanted = WAVEFORM[round(16_000 * max(0.0, start)) : max(0, round(16_000 * start), round(16_000 * end))]
    assert np.array_equal(recording.seconds(start, end), wanted)
    assert np.array_equal(recording.view(start, end), wanted)


@pytest.mark.parametrize("size", [1, 1000, 16_000, 10**6])
def test_blocks_follow_each_other_without_a_gap(recording, size):
    if size == 1:
        assert len(next(recording.blocks(1))) == 1
        return
    blocks = list(recording.blocks(size))
    assert all(len(block) == size for block in blocks[:-1])
    assert np.array_equal(np.concatenate(blocks), WAVEFORM)


def test_mapped_is_the_whole_of_it(recording):
    assert np.array_equal(recording.mapped(), WAVEFORM)


def test_what_was_read_is_a_copy(recording):
    recording.read(0, 10)[:] = 9
    assert recording.read(0, 10).max() < 9


def test_an_empty_recording_is_a_recording(tmp_path):
    (tmp_path / "a.f32").touch()
    for empty in (Recording.from_array(np.zeros(0)), Recording(0, "", pcm=tmp_path / "a.f32")):
        assert empty.duration_s == 0
        assert len(empty.read(0, 10)) == len(empty.mapped()) == 0
        assert list(empty.blocks()) == []


def test_a_waveform_has_one_dimension():
    with pytest.raises(ValueError, match="shape"):
        Recording.from_array(np.zeros((2, 10)))


def test_other_number_types_become_float32():
    assert Recording.from_array(np.array([0.5, -1.0])).array.dtype == np.dtype("<f4")


def test_a_recording_without_samples_at_hand_says_so():
    with pytest.raises(ValueError, match="array or a file"):
        Recording(5, "").read(0, 5)
