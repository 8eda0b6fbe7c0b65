"""From a file to who said what, over stdio, with the real worker and real models."""

import json
import re
from pathlib import Path

import pytest
from rawclient import ROOT, RawServer

from pipeline import models

MEETING = ROOT / "tests" / "data" / "syn_en_meeting_a.opus"
REFERENCE = ROOT / "tests" / "data" / "syn_en_meeting_a.segments.json"
PART = {"file_path": str(MEETING), "start_s": 0, "end_s": 30}


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """State and stage results of these tests alone; the models are the user's."""
    folder = tmp_path_factory.mktemp("server")
    (folder / "cache").mkdir()
    (folder / "cache" / "models").symlink_to(models.cache_root())
    return folder


@pytest.fixture(scope="module")
def start(home):
    servers = []

    def make():
        servers.append(RawServer(home / "state", "--allow-dir", MEETING.parent))
        servers[-1].initialize()
        return servers[-1]

    yield make
    for server in servers:
        server.__exit__()


@pytest.fixture(scope="module")
def server(start):
    return start()


@pytest.fixture(scope="module")
def done(server):
    """The first thirty seconds of the meeting, as an agent gets them that follows next_action."""
    return followed(server, server.result("transcribe_diarized", **PART))


def followed(server, result):
    """Calls what next_action says until the job is finished."""
    while result["status"] in ("queued", "running"):
        action = result["next_action"]
        result = server.result(action["tool"], **action["arguments"])
    return result


def said(start_s, end_s):
    """The words of the reference between two times."""
    segments = json.loads(REFERENCE.read_text())
    text = " ".join(s["text"] for s in segments if s["start"] < end_s and s["end"] > start_s)
    return set(re.findall(r"[a-z']+", text.lower()))


def test_the_meeting_is_transcribed_with_speakers_words_and_what_did_it(done):
    assert done["status"] == "completed"
    assert done["language"] == "en"
    heard = set(re.findall(r"[a-z']+", " ".join(s["text"] for s in done["segments"]).lower()))
    assert len(heard & said(0, 30)) > 0.7 * len(said(0, 28))
    assert len(done["speakers"]) >= 2
    assert {segment["speaker"] for segment in done["segments"]} >= {"SPEAKER_00", "SPEAKER_01"}
    assert {"vad", "asr", "align", "diarize"} <= set(done["stages"])
    assert all(stage["backend"] and stage["seconds"] >= 0 for stage in done["stages"].values())


def test_words_have_times_inside_their_segments(server, done):
    page = server.result("get_transcript", transcript_id=done["transcript_id"], include_words=True)
    words = [(segment, word) for segment in page["segments"] for word in segment["words"]]
    placed = [(s, w) for s, w in words if "start" in w]
    assert len(placed) > 0.9 * len(words) > 20
    assert all(s["start"] - 0.05 <= w["start"] <= w["end"] <= s["end"] + 0.05 for s, w in placed)


@pytest.mark.parametrize("name", ["text", "md", "srt", "vtt", "json", "rttm"])
def test_it_can_be_read_in_every_format(server, done, name):
    read = server.result("get_transcript", transcript_id=done["transcript_id"], format=name)
    assert "SPEAKER_01" in read["text"].replace("\\", "")  # Markdown hides underscores from its readers


def test_another_number_of_speakers_redoes_diarization_alone(server, done):
    again = followed(server, server.result("transcribe_diarized", **PART, num_speakers=1))
    cached = {name: stage["cached"] for name, stage in again["stages"].items() if name != "assign"}
    assert cached.pop("diarize") is False
    assert all(cached.values())
    assert len(again["speakers"]) == 1
    assert again["transcript_id"] != done["transcript_id"]


def test_a_restarted_server_reads_it_and_makes_the_same_from_the_cache(start, done):
    other = start()
    read = other.result("get_transcript", transcript_id=done["transcript_id"])
    assert read["segments"] == done["segments"]
    forced = other.result("transcribe_diarized", **PART)
    assert forced["transcript_id"] == done["transcript_id"]


def test_a_job_killed_in_the_middle_goes_on_with_what_is_finished(server, done):
    minute = {"file_path": str(MEETING), "start_s": 30, "end_s": 90}
    job = server.result("transcribe", **minute, wait_s=0)
    state = server.until_running(job["job_id"])
    while state["status"] == "running" and state["progress"]["stage"] in ("audio", "vad"):
        state = server.result("get_job", job_id=job["job_id"], wait_s=0.2)
    assert state["status"] == "running", "the machine was faster than this test"
    server.worker().kill()
    assert server.error("get_job", job_id=job["job_id"])["code"] == "worker_died"
    again = followed(server, server.result("transcribe", **minute))
    assert again["stages"]["vad"]["cached"] is True


def test_bad_media_is_refused_and_the_next_job_is_fine(server, done):
    bad = Path(MEETING.parent) / "syn_en_meeting_a.rttm"
    assert server.error("transcribe", file_path=str(bad))["code"] == "not_media"
    after = followed(server, server.result("transcribe", **PART, word_timestamps=False))
    assert after["stages"]["asr"]["cached"] is True
    assert "align" not in after["stages"]


def test_nothing_that_was_said_is_in_any_log(server, done, home):
    """Runs last: the logs hold everything that the tests above made the libraries say."""
    log = (home / "state" / "worker.log").read_text() + "".join(server.stderr)
    texts = [segment["text"].strip() for segment in done["segments"] if len(segment["text"].split()) > 3]
    assert texts
    assert not [text for text in texts if text in log or " ".join(text.split()[:4]) in log]
