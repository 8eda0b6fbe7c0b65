"""pyannote with the starter weights on the shipped meeting: who, when, how many, and what can go wrong."""

from __future__ import annotations

import os
import warnings
from itertools import pairwise

import numpy as np
import pytest

from pipeline import backends
from pipeline.diarize import pyannote
from pipeline.plan import Choice
from pipeline.recording import Recording
from schemas.errors import BackendUnavailable, JobError
from schemas.options import DiarizeOptions, Options


def run(diarizer, recording, **counts):
    return diarizer.diarize(recording, DiarizeOptions(**counts), lambda _: None)


def codes(found) -> list[str]:
    return [warning.code for warning in found.warnings]


def test_three_people_are_told_apart_in_the_meeting(diarization, said):
    """Nine tenths of the script's speech, second for second, has the right one of three speakers."""
    assert diarization.speakers == ("SPEAKER_00", "SPEAKER_01", "SPEAKER_02")
    assert codes(diarization) == []
    names = {"Daniel": "SPEAKER_00", "Priya": "SPEAKER_01", "Maya": "SPEAKER_02"}  # as they appear
    right = sum(
        max(0.0, min(end, turn.end) - max(start, turn.start))
        for speaker, start, end in said
        for turn in diarization.turns
        if turn.speaker == names[speaker]
    )
    assert right > 0.9 * sum(end - start for _, start, end in said)


def test_labels_follow_the_order_of_first_appearance(diarization):
    first = dict.fromkeys(turn.speaker for turn in diarization.turns)
    assert list(first) == [f"SPEAKER_{i:02d}" for i in range(len(first))]


def test_exclusive_turns_never_overlap_and_the_others_keep_the_overlap(diarization):
    """Priya falls into Daniel's last words for half a second."""
    exclusive = diarization.exclusive_turns
    assert all(one.end <= other.start for one, other in pairwise(exclusive))
    assert {turn.speaker for turn in exclusive} <= set(diarization.speakers)
    around = {turn.speaker for turn in diarization.turns if turn.start < 4.7 < turn.end}
    assert around == {"SPEAKER_00", "SPEAKER_01"}


def test_turns_lie_in_order_inside_the_recording(diarization, meeting):
    turns = diarization.turns
    assert [turn.start for turn in turns] == sorted(turn.start for turn in turns)
    assert all(0 <= turn.start < turn.end <= meeting.duration_s for turn in turns)


@pytest.mark.parametrize(
    ("counts", "found"),
    [({"num_speakers": 2}, 2), ({"num_speakers": 1}, 1), ({"max_speakers": 2}, 2), ({"min_speakers": 2}, 3)],
)
def test_the_number_of_speakers_asked_for_is_met(diarizer, clip, counts, found):
    result = run(diarizer, clip, **counts)
    assert len(result.speakers) == found
    assert codes(result) == []


def test_a_number_that_cannot_be_met_is_said_and_nothing_is_printed(diarizer, clip, capfd):
    with warnings.catch_warnings(record=True) as loud:
        warnings.simplefilter("always")
        options = DiarizeOptions(num_speakers=20)
        result = diarizer.diarize(clip, options, lambda _: print("what a caller prints is not lost"))
    assert 1 <= len(result.speakers) < 20
    assert codes(result) == ["speaker_limit"]
    assert "20" in result.warnings[0].message
    assert str(len(result.speakers)) in result.warnings[0].message
    assert set(capfd.readouterr().out.splitlines()) == {"what a caller prints is not lost"}
    assert loud == []


def test_one_asked_for_in_a_recording_of_several_speakers_leaves_no_overlap(diarizer, clip):
    turns = run(diarizer, clip, num_speakers=1).turns
    assert all(one.end <= other.start for one, other in pairwise(turns))


@pytest.mark.parametrize("samples", [0, 1, 160, 8_000, 250_000])
def test_silence_of_any_length_has_nobody(diarizer, samples):
    found = run(diarizer, Recording.from_array(np.zeros(samples, np.float32)), min_speakers=2)
    assert (found.turns, found.exclusive_turns) == ((), ())
    assert codes(found) == ["no_speech"]


@pytest.mark.parametrize("seconds", [0.6, 3.0])
def test_a_few_words_have_one_speaker(diarizer, waveform, seconds):
    cut = waveform[16_000 : round((1 + seconds) * 16_000)]
    found = run(diarizer, Recording.from_array(cut))
    assert found.speakers == ("SPEAKER_00",)
    assert found.turns[-1].end <= seconds
    assert codes(run(diarizer, Recording.from_array(cut), num_speakers=3)) == ["speaker_limit"]


def test_noise_and_a_tone_do_not_crash(diarizer):
    rng = np.random.default_rng(0)
    noise = rng.normal(0, 0.1, 160_000).astype(np.float32)
    tone = np.sin(np.arange(160_000) * 0.1).astype(np.float32)
    for sound in (noise, tone):
        assert len(run(diarizer, Recording.from_array(sound)).speakers) <= 2


def test_a_recording_on_disk_is_mapped_not_copied_and_gives_the_same_turns(diarizer, clip, tmp_path):
    path = tmp_path / "clip.f32"
    clip.mapped().astype("<f4").tofile(path)
    on_disk = Recording(clip.samples, clip.sha256, pcm=path)
    assert run(diarizer, on_disk).turns == run(diarizer, clip).turns
    mapped = on_disk.mapped()
    assert np.shares_memory(pyannote._as_file(mapped)["waveform"].numpy(), mapped)


def test_progress_rises_from_nothing_to_one(diarizer, clip):
    fractions: list[float] = []
    diarizer.diarize(clip, DiarizeOptions(), fractions.append)
    assert fractions == sorted(fractions)
    assert fractions[0] == 0.0
    assert fractions[-1] == 1.0
    assert len(set(fractions)) > 3


@pytest.mark.parametrize("step", [0.0, 0.3])
def test_progress_may_stop_it_and_the_next_recording_works(diarizer, clip, step):
    class Stop(JobError):
        pass

    def progress(fraction: float) -> None:
        if fraction >= step:
            raise Stop("stop")

    with pytest.raises(Stop):
        diarizer.diarize(clip, DiarizeOptions(), progress)
    assert run(diarizer, clip).turns


def test_the_same_recording_gives_the_same_turns_again(diarizer, clip):
    assert run(diarizer, clip) == run(diarizer, clip)


def test_telemetry_is_off_whatever_the_environment_says(diarizer, clip, monkeypatch):
    from pyannote.audio.telemetry import metrics

    class Tracer:
        def start_as_current_span(self, name):
            raise AssertionError(f"{name} was reported")

    monkeypatch.setenv("PYANNOTE_METRICS_ENABLED", "1")
    monkeypatch.setattr(metrics, "tracer", Tracer())
    with pytest.raises(AssertionError, match="oss-pipeline-apply"):  # that is how it would show
        metrics.track_pipeline_apply(diarizer.pipeline, pyannote._as_file(clip.mapped()))
    assert run(diarizer, clip).turns
    assert os.environ["PYANNOTE_METRICS_ENABLED"] == "0"
    monkeypatch.setenv("PYANNOTE_METRICS_ENABLED", "1")
    backends.load("diarize", Choice("pyannote"), Options())
    assert not metrics.is_metrics_enabled()


def test_no_connection_is_opened(diarizer, clip, monkeypatch):
    import socket

    def refuse(*_):
        raise AssertionError("a connection")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    backends.load("diarize", Choice("pyannote"), Options())
    assert run(diarizer, clip).turns


@pytest.mark.parametrize("device", ["cuda", "mps"])
def test_a_device_that_torch_does_not_see_is_an_error_with_a_way_out(device):
    import torch

    if torch.cuda.is_available() or torch.backends.mps.is_available():
        pytest.skip("this machine has an accelerator")
    with pytest.raises(BackendUnavailable, match=device) as caught:
        backends.load("diarize", Choice("pyannote", device), Options())
    assert caught.value.hint


def test_the_backend_says_what_it_is(diarizer):
    assert diarizer.model == "segmentation-3.0 + campplus"
    assert diarizer.device == "cpu"
    assert "da85c29829d4" in diarizer.cache_key
    assert "92f29b94e694" in diarizer.cache_key
