"""Jobs and transcripts outlive the server."""

import multiprocessing
import sqlite3
import stat
import time

import pytest
from fake_worker import transcript as made_transcript

from mcp_server.migrations import MIGRATIONS
from mcp_server.store import JobRecord, Store, id_of
from schemas.errors import JobError, NotFound
from schemas.jobs import JobRequest


@pytest.fixture
def another(settings):
    """Makes a store as another server would have it."""
    made = []
    yield lambda: made.append(Store(settings)) or made[-1]
    for store in made:
        store.close()


@pytest.fixture
def store(another):
    return another()


def job(store, job_id="job_1", **fields):
    return JobRecord(
        **{
            "id": job_id,
            "request_key": "k",
            "operation": "transcribe",
            "arguments": {"file_path": "/a.wav", "vocabulary": ["Ana"]},
            "owner": store.owner,
            "created_at": time.time(),
            **fields,
        }
    )


def a_transcript(steps=3, path="/a.wav"):
    return made_transcript(JobRequest(operation="transcribe", path=path), steps)


def kept(store, settings, transcript, operation="transcribe"):
    store.open()
    result = settings.inbox / "result.json"
    result.write_text(transcript.model_dump_json(exclude_none=True))
    return store.keep(result, operation)[0]


def test_a_job_comes_back_as_it_was_saved(store):
    saved = job(store, status="failed", error={"code": "stage_failed", "message": "m"}, finished_at=2.0)
    store.save_job(saved)
    assert store.job("job_1") == saved


def test_an_unknown_job_is_not_found(store):
    with pytest.raises(NotFound) as caught:
        store.job("../job")
    assert caught.value.code == "job_not_found"


def test_folders_and_files_are_for_the_owner_alone(store, settings):
    kept(store, settings, a_transcript())
    for path in [settings.state_dir, *settings.state_dir.rglob("*")]:
        mode = stat.S_IMODE(path.stat().st_mode)
        if path.parent != settings.transcripts:  # the worker, whose umask is 077, writes those
            assert mode & 0o077 == 0, path


def test_the_same_result_has_the_same_id_whatever_it_took_and_wherever_it_lay():
    first, second = a_transcript(), a_transcript(path="/b.wav")
    slower = second.model_copy(
        update={
            "warnings": (),
            "stages": {"asr": second.stages["asr"].model_copy(update={"seconds": 99.0, "cached": True})},
        }
    )
    assert id_of(first, "transcribe") == id_of(slower, "transcribe")
    assert id_of(first, "transcribe") != id_of(a_transcript(steps=4), "transcribe")


def test_a_transcript_survives_a_restart(store, settings, another):
    transcript = a_transcript()
    transcript_id = kept(store, settings, transcript)
    store.close()
    assert another().transcript(transcript_id) == transcript


@pytest.mark.parametrize(
    "name",
    ["../secret", "tr_../../etc/passwd", "secret", "", "tr_" + "0" * 24, "tr_" + "A" * 24, "/etc/passwd"],
)
def test_an_id_is_never_a_path(store, settings, name):
    store.open()
    (settings.state_dir / "secret.json").write_text("{}")
    with pytest.raises(NotFound) as caught:
        store.transcript(name)
    assert caught.value.code == "transcript_not_found"


def test_what_is_no_transcript_is_not_kept(store, settings):
    store.open()
    result = settings.inbox / "result.json"
    result.write_text('{"segments": "all of them"}')
    with pytest.raises(JobError) as caught:
        store.keep(result, "transcribe")
    assert caught.value.code == "internal_error"
    assert list(settings.transcripts.iterdir()) == []


def test_a_finished_request_is_found_again_while_its_transcript_is_there(store, settings):
    transcript_id = kept(store, settings, a_transcript())
    store.save_job(job(store, status="completed", transcript_id=transcript_id, finished_at=1.0))
    assert store.completed_job("k").transcript_id == transcript_id
    assert store.completed_job("other") is None
    store.transcript_path(transcript_id).unlink()
    assert store.completed_job("k") is None


def test_jobs_of_a_server_that_is_gone_are_interrupted_and_those_of_a_live_one_are_not(another):
    live, dead, starting = another(), another(), another()
    live.save_job(job(live, "job_live", status="running"))
    dead.save_job(job(dead, "job_dead", status="running"))
    dead.close()
    assert starting.mark_interrupted() == 1
    assert starting.job("job_dead").status == "interrupted"
    assert starting.job("job_live").status == "running"


def hold_and_die(settings):
    store = Store(settings)
    store.save_job(job(store, "job_killed", status="running"))
    multiprocessing.current_process().kill()


def test_a_server_that_was_killed_leaves_no_job_running(settings, store):
    process = multiprocessing.get_context("fork").Process(target=hold_and_die, args=(settings,))
    process.start()
    process.join()
    assert store.job("job_killed").status == "interrupted"


def test_a_cancel_reaches_the_server_that_has_the_job(another):
    here, there = another(), another()
    running = job(there, status="running")
    assert there.save_job(running) is False
    here.ask_to_cancel(running.id)
    assert there.save_job(running) is True


def test_migrations_are_numbered_and_run_once(settings, store, another):
    store.open()
    database = sqlite3.connect(settings.state_dir / "library.sqlite")
    assert database.execute("PRAGMA user_version").fetchone() == (len(MIGRATIONS),)
    assert database.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    another().open()


def test_the_database_of_a_later_version_is_left_alone(settings, store):
    store.open()
    store.close()
    with sqlite3.connect(settings.state_dir / "library.sqlite") as database:
        database.execute("PRAGMA user_version = 999")
    with pytest.raises(JobError) as caught:
        store.open()
    assert caught.value.code == "store_failed"
    assert "Update" in caught.value.hint


def test_a_damaged_database_is_a_coded_error_and_the_store_goes_on_once_it_is_mended(settings, store):
    store.open()
    store.close()
    for left in settings.state_dir.glob("library.sqlite*"):
        left.unlink()
    database = settings.state_dir / "library.sqlite"
    database.write_bytes(b"this is no database" * 1000)
    with pytest.raises(JobError) as caught:
        store.job("job_1")
    assert caught.value.code == "store_failed"
    assert "Move" in caught.value.hint
    database.unlink()
    store.save_job(job(store))


def test_a_folder_that_cannot_be_made_is_a_coded_error(make_settings, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(JobError) as caught:
        Store(make_settings(state_dir=tmp_path / "file" / "state")).open()
    assert caught.value.code == "store_failed"
    assert "WHISPERX_MLX_STATE" in caught.value.hint


def test_a_database_that_cannot_be_written_is_a_coded_error(settings, store):
    store.open()
    with store.database.reading() as db:
        db.execute("PRAGMA query_only = 1")
    with pytest.raises(JobError) as caught:
        store.save_job(job(store))
    assert caught.value.code == "store_failed"
