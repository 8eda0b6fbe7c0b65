"""What the ASR's encoder heard is kept within bounds, found again by time, and gone with the job."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest

from pipeline import encoder_output
from pipeline.encoder_output import EncoderOutput


def window(number: int, frames: int = 100) -> np.ndarray:
    return np.full((frames, 4), number, np.float16)


@pytest.fixture
def output(tmp_path):
    with EncoderOutput(tmp_path) as kept:
        kept.begin("base")
        yield kept


def test_a_stretch_is_found_in_the_window_that_has_most_room_around_it(output):
    for start in (0.0, 10.0, 11.0, 40.0):
        output.keep(start, window(int(start)))
    for (start, end), number in {(0.5, 1): 0, (11.1, 11.5): 10, (11.6, 11.9): 11, (40, 41.98): 40}.items():
        found = output.window_over(start, end)
        assert found is not None
        assert np.array_equal(output.read(found), window(number))
    assert output.window_over(5.0, 6.0) is None
    assert output.window_over(11.5, 13.5) is None


def test_windows_from_several_threads_keep_what_is_theirs_in_memory_and_on_disk(output, monkeypatch):
    monkeypatch.setattr(encoder_output, "_IN_MEMORY_BYTES", 100_000)  # 125 windows

    def work(first: int) -> None:
        for number in range(first, 400, 4):
            output.keep(30.0 * number, window(number))

    threads = [threading.Thread(target=work, args=(first,)) for first in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for number in range(400):
        found = output.window_over(30.0 * number + 0.5, 30.0 * number + 1)
        assert found is not None
        assert np.array_equal(output.read(found), window(number))


def test_what_has_no_room_is_not_kept(output, monkeypatch):
    monkeypatch.setattr(encoder_output, "_MOST_BYTES", 2000)
    for number in range(4):
        output.keep(10.0 * number, window(number))
    assert [output.window_over(t + 0.5, t + 1) is not None for t in (0, 10, 20, 30)] == [
        True,
        True,
        False,
        False,
    ]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="only Linux has a disk that is always full")
def test_a_full_disk_is_no_error(output, monkeypatch):
    output.keep(0.0, window(1))
    monkeypatch.setattr(encoder_output, "_IN_MEMORY_BYTES", 1000)
    with Path("/dev/full").open("r+b", buffering=0) as full:
        monkeypatch.setattr(output, "_file", full)
        output.keep(10.0, window(2))
    assert output.window_over(0.5, 1.0) is not None
    assert output.window_over(10.5, 11.0) is None


def test_a_new_model_begins_with_nothing_and_nothing_lies_on_disk_by_name(output, tmp_path, monkeypatch):
    monkeypatch.setattr(encoder_output, "_IN_MEMORY_BYTES", 10)
    output.begin("base")
    output.keep(0.0, window(1))
    assert output._file is not None
    assert list(Path(tmp_path).iterdir()) == []
    output.begin("small")
    assert output.window_over(0.5, 1.0) is None
    output.begin(None)
    output.keep(0.0, window(1))
    assert output.window_over(0.5, 1.0) is None
