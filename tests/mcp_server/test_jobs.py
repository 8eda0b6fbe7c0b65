"""The job manager with the real worker process around a run without models."""

import sys
from contextlib import asynccontextmanager
from dataclasses import replace

import anyio
import psutil
import pytest

from mcp_server.access import Access
from mcp_server.job import NewJob
from mcp_server.jobs import JobManager
from mcp_server.store import Store
from schemas.errors import JobError, NotFound
from schemas.jobs import JobRequest

pytestmark = pytest.mark.anyio


@asynccontextmanager
async def manager(settings):
    store = Store(settings)
    jobs = JobManager(store, settings)
    async with jobs.running():
        yield jobs


@pytest.fixture
def new(recording, folder):
    """Makes a request on the recording that tells the fake run what to do."""
    access = Access((str(folder),))

    def make(name="steps-3", operation="transcribe"):
        file = access.check(str(recording(name)))
        request = JobRequest(operation=operation, path=str(file.path), identity=file.identity)
        return NewJob(f"{operation}:{name}", request, {"file_path": str(file.path)})

    return make


async def finished(jobs, job):
    view = await jobs.wait(job.id, 30)
    assert not view.record.unfinished
    return view.record


async def at_stage(jobs, job, stage):
    with anyio.fail_after(30):
        while (await jobs.view(job.id)).record.stage != stage:
            await anyio.sleep(0.02)


async def test_a_job_is_done_and_its_transcript_kept(settings, new):
    async with manager(settings) as jobs:
        record = await finished(jobs, await jobs.submit(new()))
        assert record.status == "completed"
        assert record.fraction == 1.0
        assert len(Store(settings).transcript(record.transcript_id).segments) == 3
        assert list(settings.inbox.iterdir()) == []


async def test_the_same_request_joins_the_running_job_and_another_one_does_not(settings, new):
    async with manager(settings) as jobs:
        first = await jobs.submit(new("forever"))
        assert (await jobs.submit(new("forever"))).id == first.id
        assert (await jobs.submit(new("steps-1"))).id != first.id


async def test_waiting_tells_of_rising_progress_and_of_the_text_so_far(settings, new):
    heard = []

    async def tell(view):
        heard.append(view)

    async with manager(settings) as jobs:
        job = await jobs.submit(new("steps-20"))
        await jobs.wait(job.id, 30, tell)
    fractions = [view.record.fraction for view in heard]
    assert fractions == sorted(fractions)
    assert len(set(fractions)) > 2
    assert any(view.text and "quick brown" in view.text for view in heard)


async def test_a_wait_that_ends_early_leaves_the_job_running(settings, new):
    async with manager(settings) as jobs:
        job = await jobs.submit(new("steps-5"))
        with anyio.move_on_after(0.05):
            await jobs.wait(job.id, 30)
        assert (await jobs.wait(job.id, 0)).record.unfinished
        assert (await finished(jobs, job)).status == "completed"


async def test_jobs_are_done_in_order_on_one_worker(settings, new):
    async with manager(settings) as jobs:
        records = [await jobs.submit(new(f"steps-{n}")) for n in (3, 2, 1)]
        first = await finished(jobs, records[0])
        pid = jobs.worker_pid
        rest = [await finished(jobs, record) for record in records[1:]]
        ends = [first.finished_at, *(record.finished_at for record in rest)]
        assert ends == sorted(ends)
        assert jobs.worker_pid == pid


async def test_the_queue_has_a_bound(make_settings, new):
    async with manager(make_settings(max_waiting=1)) as jobs:
        first = await jobs.submit(new("forever"))
        await at_stage(jobs, first, "asr")
        await jobs.submit(new("steps-1"))
        with pytest.raises(JobError) as caught:
            await jobs.submit(new("steps-2"))
        assert caught.value.code == "queue_full"
        assert caught.value.retryable


async def test_cancelling_asks_the_worker_which_stays_for_the_next_job(settings, new):
    async with manager(settings) as jobs:
        job = await jobs.submit(new("forever"))
        await at_stage(jobs, job, "asr")
        pid = jobs.worker_pid
        assert (await jobs.cancel(job.id)).record.status == "cancelled"
        assert (await finished(jobs, await jobs.submit(new("steps-1")))).status == "completed"
        assert jobs.worker_pid == pid


async def test_a_worker_that_does_not_listen_is_killed_and_replaced(settings, new):
    async with manager(settings) as jobs:
        job = await jobs.submit(new("stubborn"))
        await at_stage(jobs, job, "asr")
        pid = jobs.worker_pid
        assert (await jobs.cancel(job.id)).record.status == "cancelled"
        assert not psutil.pid_exists(pid)
        assert (await finished(jobs, await jobs.submit(new("steps-1")))).status == "completed"


async def test_a_waiting_job_is_cancelled_without_a_word_to_the_worker(settings, new):
    async with manager(settings) as jobs:
        running = await jobs.submit(new("forever"))
        waiting = await jobs.submit(new("steps-1"))
        assert (await jobs.cancel(waiting.id)).record.status == "cancelled"
        assert (await jobs.view(running.id)).record.unfinished


async def test_cancelling_what_is_finished_changes_nothing_and_what_is_unknown_is_an_error(settings, new):
    async with manager(settings) as jobs:
        job = await finished(jobs, await jobs.submit(new("steps-1")))
        assert (await jobs.cancel(job.id)).record.status == "completed"
        with pytest.raises(NotFound):
            await jobs.cancel("job_unknown")


async def test_a_cancelled_job_goes_on_behind_its_finished_steps(settings, new):
    async with manager(settings) as jobs:
        job = await jobs.submit(new("steps-20"))
        with anyio.fail_after(30):
            while (await jobs.view(job.id)).record.fraction < 0.2:
                await anyio.sleep(0.02)
        await jobs.cancel(job.id)
        record = await finished(jobs, await jobs.submit(new("steps-20")))
        (warning,) = Store(settings).transcript(record.transcript_id).warnings
        assert int(warning.message.split()[0]) >= 4


async def test_a_worker_that_dies_fails_its_job_and_the_next_one_runs(settings, new):
    async with manager(settings) as jobs:
        record = await finished(jobs, await jobs.submit(new("crash")))
        assert record.status == "failed"
        assert record.error["code"] == "worker_died"
        assert "SIGKILL" in record.error["message"]
        assert record.error["hint"]
        assert (await finished(jobs, await jobs.submit(new("steps-1")))).status == "completed"


async def test_a_warm_worker_that_died_between_jobs_is_replaced_without_a_failure(settings, new):
    async with manager(settings) as jobs:
        await finished(jobs, await jobs.submit(new("steps-1")))
        psutil.Process(jobs.worker_pid).kill()
        assert (await finished(jobs, await jobs.submit(new("steps-2")))).status == "completed"


async def test_a_worker_that_cannot_start_is_a_coded_failure(make_settings, new):
    async with manager(make_settings(worker_command=("/no/such/program",))) as jobs:
        record = await finished(jobs, await jobs.submit(new()))
        assert record.error["code"] == "worker_died"


async def test_a_worker_that_ends_at_once_is_a_coded_failure(make_settings, new):
    async with manager(make_settings(worker_command=(sys.executable, "-c", "raise SystemExit(3)"))) as jobs:
        record = await finished(jobs, await jobs.submit(new()))
        assert record.error["code"] == "worker_died"
        assert "code 3" in record.error["message"]


async def test_an_idle_worker_is_let_go_and_comes_back_for_the_next_job(make_settings, new):
    async with manager(make_settings(idle_s=0.3)) as jobs:
        await finished(jobs, await jobs.submit(new("steps-1")))
        assert jobs.worker_pid is not None
        with anyio.fail_after(30):
            while jobs.worker_pid is not None:
                await anyio.sleep(0.05)
        assert (await finished(jobs, await jobs.submit(new("steps-2")))).status == "completed"


async def test_the_end_of_the_server_takes_the_worker_along_and_leaves_the_job_interrupted(settings, new):
    async with manager(settings) as jobs:
        job = await jobs.submit(new("forever"))
        await at_stage(jobs, job, "asr")
        pid = jobs.worker_pid
    assert not psutil.pid_exists(pid)
    async with manager(settings) as jobs:
        assert (await jobs.view(job.id)).record.status == "interrupted"


async def test_two_servers_take_turns_and_the_second_says_why_it_waits(make_settings, new):
    settings = make_settings()
    async with manager(settings) as first, manager(make_settings()) as second:
        long = await first.submit(new("forever"))
        await at_stage(first, long, "asr")
        waiting = await second.submit(new("steps-1"))
        with anyio.fail_after(30):
            while "another program" not in ((await second.view(waiting.id)).record.detail or ""):
                await anyio.sleep(0.05)
        assert (await second.view(waiting.id)).record.status == "queued"
        await first.cancel(long.id)
        assert (await finished(second, waiting)).status == "completed"


async def test_a_server_with_many_jobs_lets_another_one_have_its_turn(make_settings, new):
    async with manager(make_settings()) as first, manager(make_settings()) as second:
        many = [await first.submit(new(f"steps-{n}")) for n in (10, 9, 8)]
        await at_stage(first, many[0], "asr")
        other = await second.submit(new("steps-1"))
        with anyio.fail_after(30):
            while (await second.view(other.id)).record.detail is None:
                await anyio.sleep(0.02)
        done = [await finished(first, job) for job in many]
        assert done[0].finished_at < (await finished(second, other)).finished_at < done[1].finished_at


async def test_the_time_left_counts_another_servers_job_that_has_the_models(make_settings, new):
    took = dict.fromkeys(("audio", "vad", "asr", "align"), 100.0)
    async with manager(make_settings()) as first, manager(make_settings()) as second:
        long = await first.submit(replace(new("forever"), expected=took))
        await at_stage(first, long, "asr")
        waiting = await second.submit(replace(new("steps-1"), expected=took))
        with anyio.fail_after(30):
            while not (view := await second.view(waiting.id)).ahead or view.eta_s is None:
                assert view.eta_s in (None, 400.0)  # unknown, or not yet known to wait
                await anyio.sleep(0.05)
        assert view.ahead == 1
        assert 500.0 < view.eta_s < 600.0
        assert 100.0 < (await second.view(long.id)).eta_s < 200.0


async def test_one_server_sees_and_cancels_the_job_of_another(settings, new):
    async with manager(settings) as first, manager(settings) as second:
        job = await first.submit(new("forever"))
        await at_stage(first, job, "asr")
        assert (await second.view(job.id)).record.unfinished
        assert (await second.cancel(job.id)).record.status == "cancelled"
        assert (await first.view(job.id)).record.status == "cancelled"


async def test_a_store_that_breaks_during_a_job_fails_it_instead_of_hanging(settings, new):
    async with manager(settings) as jobs:
        job = await jobs.submit(new("steps-8"))
        await at_stage(jobs, job, "asr")
        settings.transcripts.rmdir()
        settings.transcripts.touch()
        record = await finished(jobs, job)
        assert record.status == "failed"
        assert record.error["code"] == "store_failed"


async def test_many_finished_jobs_do_not_stay_in_memory(settings, new, monkeypatch):
    monkeypatch.setattr("mcp_server.jobs.KEPT_FINISHED", 2)
    async with manager(settings) as jobs:
        records = [await finished(jobs, await jobs.submit(new(f"steps-{n}"))) for n in (1, 2, 3, 4)]
        assert len(jobs._jobs) <= 3
        assert (await jobs.view(records[0].id)).record.status == "completed"  # from the store


async def test_the_same_request_on_another_server_joins_the_running_job(settings, new):
    async with manager(settings) as first, manager(settings) as second:
        job = await first.submit(new("forever"))
        await at_stage(first, job, "asr")
        assert (await second.submit(new("forever"))).id == job.id
        await first.cancel(job.id)
        assert (await second.submit(new("forever"))).id != job.id


async def test_jobs_are_listed_in_their_order_with_those_ahead_and_from_all_servers(settings, new):
    async with manager(settings) as first, manager(settings) as second:
        done = await finished(first, await first.submit(new("steps-1")))
        long = await first.submit(new("forever"))
        await at_stage(first, long, "asr")
        waiting = [await first.submit(new(f"steps-{n}")) for n in (2, 3)]
        for jobs in (first, second):
            views = await jobs.recent(10)
            assert [view.record.id for view in views] == [long.id, waiting[0].id, waiting[1].id, done.id]
        assert [view.ahead for view in await first.recent(10)] == [0, 1, 2, 0]
        assert len(await first.recent(2)) == 2


async def test_a_finished_job_leaves_its_speed_behind(settings, new):
    async with manager(settings) as jobs:
        await finished(jobs, await jobs.submit(new("steps-3")))
        assert set(jobs._estimates.expected("", ("asr", "align"), 60.0)) == {"asr"}
