"""When a recording was made."""

import wave

import pytest

from pipeline.recorded import from_tags, recorded_at


@pytest.fixture(autouse=True)
def in_berlin(monkeypatch):
    import time

    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.parametrize(
    ("tags", "expected"),
    [
        ({"creation_time": "2026-01-20T13:03:05.000000Z"}, "2026-01-20T14:03:05+01:00"),
        ({"CREATION_TIME": "2025-07-20T13:03:05Z"}, "2025-07-20T15:03:05+02:00"),
        (
            {
                "com.apple.quicktime.creationdate": "2025-07-20T09:00:00-0400",
                "creation_time": "2025-07-20T13:00:00Z",
            },
            "2025-07-20T09:00:00-04:00",
        ),
        ({"date": "2025-07-20", "creation_time": "09:10:11"}, "2025-07-20T09:10:11+02:00"),
        ({"date": "2025-07-20T09:10:11"}, "2025-07-20T09:10:11+02:00"),
        ({"date": "2025"}, None),
        ({"date": "2025-07-20"}, None),
        ({"creation_time": "1904-01-01T00:00:00Z"}, None),
        ({"creation_time": "1970-01-01T00:00:00Z"}, None),
        ({"creation_time": "2999-01-01T00:00:00Z"}, None),
        ({"creation_time": "soon"}, None),
        ({}, None),
    ],
)
def test_the_time_comes_from_the_tags_that_recorders_write(tags, expected):
    assert from_tags(tags) == expected


def test_it_is_read_from_the_container(tmp_path):
    import av
    import numpy as np

    path = tmp_path / "a.m4a"
    with av.open(str(path), "w") as container:
        container.metadata["creation_time"] = "2026-01-20T13:03:05Z"
        stream = container.add_stream("aac", rate=16000, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 16000), np.float32), "fltp", "mono")
        frame.sample_rate = 16000
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    assert recorded_at(str(path)) == "2026-01-20T14:03:05+01:00"


def test_a_file_without_a_date_or_no_recording_at_all_has_none(tmp_path):
    with wave.open(str(tmp_path / "a.wav"), "wb") as file:
        file.setparams((1, 2, 16000, 0, "NONE", ""))
        file.writeframes(b"\0\0" * 16000)
    (tmp_path / "b.wav").write_text("no sound")
    assert recorded_at(str(tmp_path / "a.wav")) is None
    assert recorded_at(str(tmp_path / "b.wav")) is None
