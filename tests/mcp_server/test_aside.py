"""What the server asks a process of its own: the real one, without models."""

import sys

import anyio
import pytest
from mcp import Client

from mcp_server.engine import ask_aside
from mcp_server.server import build
from mcp_server.settings import Settings
from schemas.errors import TranscriptionError
from schemas.options import Options

pytestmark = pytest.mark.anyio

REAL = Settings(state_dir="/nowhere").aside_command


def question(path, **options):
    stat = path.stat()
    return {
        "check": {
            "path": str(path),
            "identity": {"device": stat.st_dev, "inode": stat.st_ino},
            "options": Options.from_flat(**options).model_dump(mode="json"),
        }
    }


@pytest.fixture
def real(make_settings):
    return make_settings(aside_command=REAL)


async def refusal(settings, asked):
    with pytest.raises(TranscriptionError) as caught:
        await ask_aside(settings, asked)
    return caught.value


async def test_a_recording_passes_with_its_duration(real, recording):
    assert (await ask_aside(real, question(recording())))["duration_s"] == 1.0


async def test_what_is_no_recording_is_refused_before_there_is_a_job(real, folder):
    path = folder / "letter.mp3"
    path.write_text("Dear Ana, " * 100)
    async with Client(build(real)[0], mode="legacy") as client:
        for tool in ("transcribe", "diarize", "transcribe_diarized"):
            refused = await client.call_tool(tool, {"file_path": str(path)})
            assert refused.content[0].text.startswith("not_media: ")
            assert "job_id" not in refused.content[0].text
    assert list(real.transcripts.iterdir()) == list(real.inbox.iterdir()) == []


async def test_a_file_that_was_swapped_after_the_check_is_refused(real, recording):
    asked = question(recording("a"))
    recording("b").replace(recording("a"))
    assert (await refusal(real, asked)).code == "file_changed"


async def test_the_same_request_has_the_same_plan_and_another_backend_has_another(real, recording):
    path = recording()
    first = await ask_aside(real, question(path, diarize_backend="one_speaker"))
    again = await ask_aside(real, question(path, diarize_backend="one_speaker", language="de"))
    other = await ask_aside(real, question(path, diarize_backend="pyannote"))
    assert first["plan"] == again["plan"] != other["plan"]


async def test_health_check_tells_of_the_machine_the_plan_and_the_folders(real, folder):
    async with Client(build(real)[0]) as client:
        tools = {tool.name: tool for tool in (await client.list_tools()).tools}
        result = await client.call_tool("health_check", {})
    found = result.structured_content
    assert not result.is_error
    assert found["allowed_folders"] == [str(folder)]
    assert found["machine"]["cores"] >= 1
    assert set(found["plan"]) <= {"vad", "asr", "align", "diarize"}
    assert all(gap["fix"] for gap in found["gaps"])
    assert set(found) <= set(tools["health_check"].output_schema["properties"])
    for told in (str(folder), found["server"]["state_dir"], found["server"]["version"]):
        assert told in result.content[0].text


@pytest.mark.parametrize("code", ["raise SystemExit(1)", "import os; os.abort()", "print('no json')"])
async def test_a_check_that_crashes_leaves_the_judgement_to_the_job(make_settings, recording, code):
    settings = make_settings(aside_command=(sys.executable, "-c", code))
    async with Client(build(settings)[0]) as client:
        result = await client.call_tool("transcribe", {"file_path": str(recording())})
    assert result.structured_content["status"] == "completed"


async def test_a_check_that_hangs_is_ended(make_settings, recording):
    command = (sys.executable, "-c", "import time; time.sleep(600)")
    settings = make_settings(aside_command=command, aside_timeout_s=0.3)
    with anyio.fail_after(30):
        assert await ask_aside(settings, question(recording())) is None
