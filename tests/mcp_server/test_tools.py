"""The tools as a client meets them, in both eras of the protocol."""

import json
import sys
from itertools import pairwise

import anyio
import jsonschema
import pytest
from answers import body, error, transcribed
from mcp import Client

from mcp_server.jobs import JobManager
from mcp_server.server import INSTRUCTIONS, build
from mcp_server.store import Store
from schemas.jobs import Result

pytestmark = pytest.mark.anyio

TOOLS = {
    "transcribe",
    "transcribe_diarized",
    "align",
    "diarize",
    "get_job",
    "list_jobs",
    "list_transcripts",
    "search_transcripts",
    "delete_transcript",
    "label_speakers",
    "list_voices",
    "forget_voice",
    "get_transcript",
    "cancel_job",
    "health_check",
}


def descriptions(part):
    """Every description in a list of tools, those of arguments and results included."""
    if isinstance(part, list):
        return [text for item in part for text in descriptions(item)]
    if not isinstance(part, dict):
        return []
    own = [part["description"]] if isinstance(part.get("description"), str) else []
    return own + [text for value in part.values() for text in descriptions(value)]


async def test_the_tools_are_these_and_small_enough_to_be_read(either):
    tools = {tool.name: tool for tool in (await either.list_tools()).tools}
    assert set(tools) == TOOLS
    sizes = {name: len(tool.description) for name, tool in tools.items()}
    assert max(sizes.values()) <= 600
    listed = [tool.model_dump(mode="json", exclude_none=True) for tool in tools.values()]
    assert sum(map(len, descriptions(listed))) < 6000
    assert '"phones"' not in json.dumps(listed)
    assert len(INSTRUCTIONS) <= 2048
    for tool in tools.values():
        assert tool.input_schema["additionalProperties"] is False
        assert tool.annotations.title
        assert tool.annotations.read_only_hint is not None
        assert tool.annotations.open_world_hint is False


async def test_no_tool_presumes_a_language(client):
    for tool in (await client.list_tools()).tools:
        assert "default" not in tool.input_schema["properties"].get("language", {})


async def test_a_finished_result_says_the_same_in_both_channels_and_fits_the_schema(either, recording):
    tools = {tool.name: tool for tool in (await either.list_tools()).tools}
    result = await either.call_tool("transcribe_diarized", {"file_path": str(recording())})
    found = body(result)
    jsonschema.validate(found, tools["transcribe_diarized"].output_schema)
    Result.model_validate(found)
    assert found["status"] == "completed"
    assert "null" not in json.dumps(found)
    text = result.content[0].text
    assert text.startswith(found["notice"])
    assert "instructions" in found["notice"]
    for told in (
        found["job_id"],
        found["transcript_id"],
        found["media"]["path"],
        found["warnings"][0]["message"],
    ):
        assert told in text
    for segment in found["segments"]:
        assert f"] SPEAKER_00: {segment['text']}" in text


async def test_long_work_answers_running_and_the_next_call_brings_the_result(either, recording):
    path = str(recording("steps-8"))
    first = await either.call_tool("transcribe", {"file_path": path, "wait_s": 0})
    running = body(first)
    assert running["status"] in ("queued", "running")
    assert running["next_action"]["tool"] == "get_job"
    assert running["progress"]["stage"]
    assert "segments" not in running
    assert running["job_id"] in first.content[0].text
    done = body(await either.call_tool("get_job", running["next_action"]["arguments"]))
    assert done["status"] == "completed"
    assert len(done["segments"]) == 8


async def test_a_call_answers_within_its_wait_whatever_it_did_before_the_job(
    make_settings, recording, monkeypatch
):
    """A client that gives up after 45 seconds gets its answer."""
    waits, wait = [], JobManager.wait

    async def waiting(self, job_id, wait_s, tell=None):
        waits.append(wait_s)
        return await wait(self, job_id, 0, tell)

    monkeypatch.setattr(JobManager, "wait", waiting)
    slow = f"import time; time.sleep(0.5)\n{make_settings().aside_command[-1]}"
    async with Client(build(make_settings(aside_command=(sys.executable, "-SEc", slow)))[0]) as client:
        job = await transcribed(client, recording(), wait_s=45)
        await client.call_tool("get_job", {"job_id": job["job_id"], "wait_s": 45})
    first, second = waits
    assert first <= 45 - 0.5 - 1.0
    assert second == 44.0


async def test_the_text_so_far_comes_while_a_job_runs(client, recording):
    path = str(recording("forever"))
    running = body(await client.call_tool("transcribe", {"file_path": path, "wait_s": 1}))
    while "text" not in running:
        running = body(await client.call_tool("get_job", {"job_id": running["job_id"], "wait_s": 1}))
    assert running["text"] == "so far"
    assert running["notice"]
    assert 0 < running["progress"]["fraction"] < 1
    assert running["progress"]["elapsed_s"] > 0


async def test_the_same_request_joins_the_running_job(client, recording):
    path = str(recording("forever"))
    first = await transcribed(client, path, wait_s=0)
    assert (await transcribed(client, path, wait_s=0))["job_id"] == first["job_id"]
    assert (await transcribed(client, path, wait_s=0, language="de"))["job_id"] != first["job_id"]


async def test_a_file_that_changed_is_a_new_request(client, recording):
    done = await transcribed(client, recording("fast-2"))
    assert (await transcribed(client, recording("fast-2")))["job_id"] != done["job_id"]


async def test_a_finished_request_on_an_unchanged_file_is_answered_from_the_store(client, recording):
    path = recording("fast-2")
    done = await transcribed(client, path)
    await transcribed(client, recording("forever"), wait_s=0)
    again = await transcribed(client, path, wait_s=0)
    assert again["status"] == "completed"
    assert again["job_id"] == done["job_id"]
    forced = await transcribed(client, path, wait_s=0, force=True)
    assert forced["job_id"] != done["job_id"]


async def test_a_client_that_gives_up_leaves_the_job_running_and_finds_it_again(either, recording):
    path = str(recording("steps-20"))
    with anyio.move_on_after(0.7) as gave_up:
        await either.call_tool("transcribe", {"file_path": path})
    assert gave_up.cancelled_caught
    running = body(await either.call_tool("transcribe", {"file_path": path, "wait_s": 0}))
    assert running["status"] in ("queued", "running")
    done = body(await either.call_tool("get_job", {"job_id": running["job_id"]}))
    assert done["warnings"][0]["message"].startswith("0 steps")  # it was never stopped


async def test_jobs_are_listed_the_same_in_both_channels_and_the_next_action_waits(either, recording):
    assert body(await either.call_tool("list_jobs", {})) == {"jobs": []}
    done = await transcribed(either, recording("fast-1"))
    running = await transcribed(either, recording("forever"), wait_s=0)
    waiting = await transcribed(either, recording("fast-2"), wait_s=0)
    listed = await either.call_tool("list_jobs", {})
    found = body(listed)
    assert [job["job_id"] for job in found["jobs"]] == [j["job_id"] for j in (running, waiting, done)]
    assert found["jobs"][1]["progress"]["ahead"] == 1
    assert found["jobs"][2]["transcript_id"] == done["transcript_id"]
    assert found["next_action"]["arguments"]["job_id"] == running["job_id"]
    for job in found["jobs"]:
        for told in (job["job_id"], job["status"], job["recording"], job["created_at"]):
            assert told in listed.content[0].text
    tools = {tool.name: tool for tool in (await either.list_tools()).tools}
    jsonschema.validate(found, tools["list_jobs"].output_schema)


async def test_other_tools_answer_while_a_job_runs(either, recording):
    results = {}

    async def slow():
        results["slow"] = await either.call_tool("transcribe", {"file_path": str(recording("steps-15"))})

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(slow)
        await anyio.sleep(0.3)
        assert error(await either.call_tool("get_job", {"job_id": "job_unknown"}))["code"] == "job_not_found"
        assert "slow" not in results
    assert body(results["slow"])["status"] == "completed"


async def test_progress_notifications_rise_and_come_at_most_once_a_second(either, recording):
    seen = []

    async def told(progress, total, message):
        seen.append((anyio.current_time(), progress, total, message))

    await either.call_tool("transcribe", {"file_path": str(recording("steps-28"))}, progress_callback=told)
    times, values = [s[0] for s in seen], [s[1] for s in seen]
    assert len(seen) >= 2
    assert all(later > earlier for earlier, later in pairwise(values))
    assert all(later - earlier > 0.9 for earlier, later in pairwise(times))
    assert all(value <= total for _, value, total, _ in seen)


async def test_cancelling_frees_the_worker_and_names_the_call_that_goes_on(either, recording):
    path = str(recording("forever"))
    running = await transcribed(either, path, wait_s=0.5, vocabulary=["Ana", "Böll"])
    cancelled = body(await either.call_tool("cancel_job", {"job_id": running["job_id"]}))
    assert cancelled["status"] == "cancelled"
    again = {"tool": "transcribe", "arguments": {"file_path": path, "vocabulary": ["Ana", "Böll"]}}
    assert cancelled["next_action"] == again
    seen = body(await either.call_tool("get_job", {"job_id": running["job_id"]}))
    assert seen["status"] == "cancelled"
    assert (await transcribed(either, recording("fast-1")))["status"] == "completed"


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("crash", "worker_died"),
        ("memory", "out_of_memory"),
        ("broken", "internal_error"),
        ("refused", "backend_unavailable"),
    ],
)
async def test_a_failed_job_is_an_error_with_its_code_and_never_looks_finished(either, recording, name, code):
    failed = error(await either.call_tool("transcribe", {"file_path": str(recording(name))}))
    assert failed["code"] == code
    assert failed["hint"]
    assert error(await either.call_tool("get_job", {"job_id": failed["job_id"]})) == failed
    assert (await transcribed(either, recording("fast-1")))["status"] == "completed"


async def test_a_failed_request_is_tried_again_when_it_is_asked_for_again(client, recording):
    path = str(recording("once"))
    assert error(await client.call_tool("transcribe", {"file_path": path}))["code"] == "worker_died"
    assert (await transcribed(client, path))["status"] == "completed"


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({"numspeakers": 3}, "did you mean 'num_speakers'?"),
        ({"speaker_count": 3}, "there is no argument 'speaker_count'"),
        ({"num_speakers": 0}, "'num_speakers'"),
        ({"num_speakers": "many"}, "'num_speakers'"),
        ({"wait_s": 600}, "'wait_s'"),
        ({"task": "summarise"}, "'task'"),
        ({"num_speakers": 2, "max_speakers": 3}, "num_speakers"),
        ({"start_s": 5, "end_s": 3}, "end_s"),
    ],
)
async def test_a_wrong_argument_is_an_error_that_names_it_and_the_right_spelling(
    either, recording, arguments, told
):
    path = str(recording())
    refused = error(await either.call_tool("transcribe_diarized", {"file_path": path, **arguments}))
    assert refused["code"] == "invalid_argument"
    assert told in refused["message"]


async def test_an_argument_of_another_tool_is_refused_with_that_tools_name(client, recording):
    refused = error(await client.call_tool("transcribe", {"file_path": str(recording()), "num_speakers": 3}))
    assert "transcribe_diarized" in refused["message"]


async def test_an_unknown_tool_is_refused_with_the_nearest_one(client):
    refused = error(await client.call_tool("transcribe_audio", {}))
    assert refused["code"] == "invalid_argument"
    assert "transcribe" in refused["hint"]


async def test_lists_written_as_json_text_are_understood(client, recording):
    """Claude Desktop does this."""
    assert await transcribed(
        client, recording(), vocabulary='["Ana"]', num_speakers=None, tool="transcribe_diarized"
    )


async def test_a_missing_argument_is_named(client):
    assert "'file_path' is missing" in error(await client.call_tool("transcribe", {}))["message"]
    refused = error(await client.call_tool("diarize", {}))
    assert "file_path or transcript_id" in refused["message"]


async def test_a_file_dropped_into_a_chat_gets_the_hint_and_the_folders(client, folder):
    refused = error(await client.call_tool("transcribe", {"file_path": "/mnt/user-data/uploads/meeting.m4a"}))
    assert refused["code"] == "file_not_found"
    assert "chat" in refused["hint"]
    assert str(folder) in refused["hint"]


async def test_steps_are_chained_by_transcript_id(client, recording):
    first = await transcribed(client, recording())
    aligned = body(await client.call_tool("align", {"transcript_id": first["transcript_id"]}))
    assert aligned["segments"][0]["words"][0]["start"] == 0.0
    diarized = body(
        await client.call_tool("diarize", {"transcript_id": first["transcript_id"], "num_speakers": 1})
    )
    assert diarized["speakers"][0]["id"] == "SPEAKER_00"
    assert first["transcript_id"] != diarized["transcript_id"]


async def test_a_file_is_diarized_into_turns_without_text(client, recording):
    result = await client.call_tool("diarize", {"file_path": str(recording("steps-4"))})
    assert len(body(result)["turns"]) == 4
    assert "[00:00:03 - 00:00:04] SPEAKER_01" in result.content[0].text


async def test_foreign_segments_are_aligned(client, recording):
    pytest.importorskip("schemas.whisperx")
    segments = [{"start": 0, "end": 1, "text": "hello"}]
    for form in (segments, {"segments": segments, "language": "en"}):
        aligned = body(await client.call_tool("align", {"file_path": str(recording()), "segments": form}))
        assert aligned["status"] == "completed"


SRT = "1\n00:00:00,000 --> 00:00:01,000\nhello\n"


async def test_a_transcript_s_text_or_file_is_aligned(client, recording, folder):
    (folder / "x.srt").write_text(SRT)
    for given in ({"text": SRT}, {"text": "hello"}, {"transcript_path": str(folder / "x.srt")}):
        aligned = body(await client.call_tool("align", {"file_path": str(recording()), **given}))
        assert aligned["status"] == "completed"


async def test_a_transcript_s_file_lies_in_an_allowed_folder_and_can_be_read(
    client, recording, folder, tmp_path
):
    outside = tmp_path / "outside.srt"
    outside.write_text(SRT)
    (folder / "link.srt").symlink_to(outside)
    (folder / "bad.srt").write_text(SRT.replace("-->", "--> x"))
    (folder / "big.srt").write_bytes(b" " * (17 * 2**20))
    codes = {}
    for name in (outside, folder / "link.srt", folder / "bad.srt", folder / "big.srt", folder, "x.srt"):
        arguments = {"file_path": str(recording()), "transcript_path": str(name)}
        codes[str(name).rpartition("/")[2]] = error(await client.call_tool("align", arguments))["code"]
    assert codes == {
        "outside.srt": "file_not_found",
        "link.srt": "file_not_found",
        "bad.srt": "invalid_transcript",
        "big.srt": "invalid_argument",
        "recordings": "not_a_file",
        "x.srt": "invalid_argument",
    }


async def test_one_transcript_at_a_time(client, recording):
    arguments = {"file_path": str(recording()), "text": SRT, "segments": []}
    refused = error(await client.call_tool("align", arguments))
    assert "segments or text" in refused["message"]
    refused = error(await client.call_tool("align", {"file_path": str(recording()), "text": "a" * 300_000}))
    assert "transcript_path" in refused["hint"]


async def test_too_many_foreign_segments_are_refused(client, recording):
    segments = [{"start": 0, "end": 1, "text": "hello"}] * 3000
    arguments = {"file_path": str(recording()), "segments": segments}
    assert error(await client.call_tool("align", arguments))["code"] == "invalid_argument"


@pytest.mark.parametrize("name", ["../secret", "/etc/passwd", "latest", "meeting", ""])
async def test_an_id_is_never_a_path_nor_half_a_name(client, recording, name):
    await transcribed(client, recording("fast-1"))
    assert (
        error(await client.call_tool("get_transcript", {"transcript_id": name}))["code"]
        == "transcript_not_found"
    )
    assert error(await client.call_tool("get_job", {"job_id": name}))["code"] == "job_not_found"
    assert error(await client.call_tool("cancel_job", {"job_id": name}))["code"] == "job_not_found"


async def test_following_next_action_reads_the_whole_transcript_once(either, recording, settings):
    transcript_id = (await transcribed(either, recording("fast-60")))["transcript_id"]
    arguments = {"transcript_id": transcript_id, "max_chars": 1000, "start_s": 10.0, "include_words": True}
    page = body(await either.call_tool("get_transcript", arguments))
    seen = [segment["id"] for segment in page["segments"]]
    while "next_action" in page:
        assert page["next_action"]["tool"] == "get_transcript"
        arguments = page["next_action"]["arguments"]
        page = body(await either.call_tool("get_transcript", {**arguments, "max_chars": 1000}))
        seen += [segment["id"] for segment in page["segments"]]
        assert page["segments"][0]["words"]
    assert seen == list(range(10, 60))


async def test_a_cursor_with_other_wishes_or_of_another_transcript_is_refused(client, recording):
    first = (await transcribed(client, recording("fast-60")))["transcript_id"]
    other = (await transcribed(client, recording("fast-2")))["transcript_id"]
    page = body(await client.call_tool("get_transcript", {"transcript_id": first, "max_chars": 1000}))
    cursor = page["page"]["next_cursor"]
    for arguments in ({"transcript_id": other}, {"transcript_id": first, "speaker": "SPEAKER_00"}):
        refused = error(await client.call_tool("get_transcript", {**arguments, "cursor": cursor}))
        assert refused["code"] == "invalid_cursor"


@pytest.mark.parametrize("name", ["text", "md", "srt", "vtt", "json", "rttm"])
async def test_other_formats_come_as_text_in_both_channels(client, recording, name):
    transcript_id = (await transcribed(client, recording(), tool="transcribe_diarized"))["transcript_id"]
    result = await client.call_tool("get_transcript", {"transcript_id": transcript_id, "format": name})
    assert result.content[0].text.endswith(body(result)["text"])


async def test_a_broken_store_is_every_tools_error_and_health_check_still_answers(settings, recording):
    settings.state_dir.mkdir()
    (settings.state_dir / "library.sqlite").write_bytes(b"no database" * 5000)
    async with Client(build(settings)[0], mode="legacy") as client:
        for name, arguments in [
            ("transcribe", {"file_path": str(recording())}),
            ("get_job", {"job_id": "job_x"}),
            ("cancel_job", {"job_id": "job_x"}),
        ]:
            assert error(await client.call_tool(name, arguments))["code"] == "store_failed"
        health = body(await client.call_tool("health_check", {}))
        assert health["ok"] is False
        assert "store" in [gap["what"] for gap in health["gaps"]]
        (settings.state_dir / "library.sqlite").unlink()
        assert (await transcribed(client, recording("fast-1")))["status"] == "completed"


async def test_a_defect_is_an_internal_error_without_its_text(client, monkeypatch, capsys):
    def broken(self, job_id):
        raise RuntimeError("secret words")

    monkeypatch.setattr(Store, "job", broken)
    failed = await client.call_tool("get_job", {"job_id": "job_x"})
    assert error(failed)["code"] == "internal_error"
    assert "secret" not in failed.content[0].text
    told = capsys.readouterr().err
    assert "RuntimeError" in told
    assert "secret words" not in told.replace('raise RuntimeError("secret words")', "")


async def test_nothing_that_was_said_is_logged(client, recording, settings, capfd):
    await transcribed(client, recording("steps-3"))
    await client.call_tool("transcribe", {"file_path": str(recording("broken"))})
    logged = settings.log.read_text() + capfd.readouterr().err
    assert "a library prints this" in logged  # the log is the one that is written to
    assert "quick brown" not in logged
