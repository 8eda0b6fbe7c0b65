"""How long a job will take."""

import anyio
import pytest

from mcp_server.database import Database
from mcp_server.estimates import KEPT, Estimates, left
from mcp_server.job import Job, NewJob
from mcp_server.store import JobRecord
from schemas.jobs import JobRequest
from schemas.report import StageReport
from schemas.transcript import Media, Transcript

STAGES = ("audio", "vad", "asr", "align")


@pytest.fixture
def estimates(settings):
    database = Database(settings)
    yield Estimates(database)
    database.close()


def made(duration_s, cached=(), **seconds):
    stages = {
        name: StageReport(backend="b", seconds=took, cached=name in cached) for name, took in seconds.items()
    }
    return Transcript(media=Media(duration_s=duration_s), stages=stages)


def test_nothing_is_promised_before_anything_was_measured(estimates):
    assert estimates.expected("p", STAGES, 60.0) == {}


def test_what_a_stage_took_tells_what_it_will_take_with_loading_counted_once(estimates):
    estimates.learn("p", made(60.0, asr=8.0))
    assert estimates.expected("p", STAGES, 120.0) == {"asr": pytest.approx(16.0)}
    estimates.learn("p", made(600.0, asr=62.0))  # 2 s of loading, and a tenth of the audio's length
    assert estimates.expected("p", STAGES, 3600.0)["asr"] == pytest.approx(362.0)


def test_a_stage_from_the_cache_or_done_in_part_says_nothing(estimates):
    estimates.learn("p", made(60.0, cached=("asr",), asr=8.0, vad=1.0), resumed=frozenset({"vad"}))
    assert estimates.expected("p", STAGES, 60.0) == {}


def test_the_same_plan_counts_before_another_one_and_another_one_before_nothing(estimates):
    estimates.learn("fast", made(60.0, asr=6.0))
    estimates.learn("slow", made(60.0, asr=60.0))
    assert estimates.expected("fast", STAGES, 60.0)["asr"] == pytest.approx(6.0)
    assert estimates.expected("new", STAGES, 60.0)["asr"] == pytest.approx(60.0)


def test_only_the_last_measurements_are_kept(estimates):
    for _ in range(KEPT):
        estimates.learn("p", made(60.0, asr=600.0))
    for _ in range(KEPT):
        estimates.learn("p", made(60.0, asr=6.0))
    assert estimates.expected("p", STAGES, 60.0)["asr"] == pytest.approx(6.0)


def test_a_recording_of_unknown_length_has_no_estimate(estimates):
    estimates.learn("p", made(60.0, asr=6.0))
    assert estimates.expected("p", STAGES, None) == {}


EXPECTED = {"audio": 1.0, "vad": 4.0, "asr": 100.0, "align": 20.0}


def test_the_time_left_is_that_of_the_rest_of_the_stage_and_of_those_behind_it():
    assert left(EXPECTED, STAGES, "asr", 0.5, 0.0, 0.0) == pytest.approx(50.0 + 20.0)


def test_a_stage_s_own_speed_counts_more_the_longer_it_is_watched():
    """Half done after 200 seconds: the stage is four times as slow as it used to be."""
    soon = left(EXPECTED, STAGES, "asr", 0.01, 4.0, 0.01)
    late = left(EXPECTED, STAGES, "asr", 0.5, 200.0, 0.5)
    assert 119.0 < soon < 320.0
    assert late == pytest.approx(200.0 + 20.0)


def test_a_stage_that_does_not_tell_how_far_it_is_counts_down():
    assert left(EXPECTED, STAGES, "asr", 0.0, 30.0, 0.0) == pytest.approx(70.0 + 20.0)


def test_without_measurements_only_the_last_stage_tells_what_is_left():
    assert left({}, STAGES, "asr", 0.5, 50.0, 0.5) is None
    assert left({}, STAGES, "align", 0.5, 50.0, 0.5) == pytest.approx(50.0)


@pytest.mark.anyio
async def test_a_job_has_its_estimate_from_the_first_second(tmp_path):
    request = JobRequest(operation="transcribe", path="/a.wav")
    record = JobRecord(
        id="j", request_key="k", operation="transcribe", arguments={}, owner="o", created_at=0.0
    )
    job = Job(NewJob("k", request, {}, "p", EXPECTED), record, tmp_path)
    assert job.view().eta_s == pytest.approx(125.0)
    assert job.view(ahead=1, ahead_s=75.0).eta_s == pytest.approx(200.0)
    assert job.view(ahead=1, ahead_s=None).eta_s is None
    job.progress({"stage": "asr", "fraction": 0.1})
    await anyio.sleep(0)
    assert job.view().eta_s == pytest.approx(120.0, abs=2.0)
    assert job.resumed == frozenset()
    job.progress({"stage": "align", "fraction": 0.95})
    assert job.resumed == {"align"}  # most of it was there before
