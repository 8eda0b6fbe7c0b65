"""Transcripts as resources, and prompts."""

import json

import pytest
from answers import transcribed
from mcp.shared.exceptions import MCPError
from test_library import transcript

from mcp_server.resources import MIME_TYPES
from mcp_server.store import Store

pytestmark = pytest.mark.anyio


@pytest.fixture
async def made(client, recording):
    return await transcribed(client, recording("fast-3"), tool="transcribe_diarized")


async def test_a_transcript_is_listed_and_read_in_each_format_with_its_names(client, made):
    transcript_id = made["transcript_id"]
    await client.call_tool(
        "label_speakers", {"transcript_id": transcript_id, "labels": {"SPEAKER_00": "Maya"}}
    )
    (listed,) = (await client.list_resources()).resources
    assert listed.uri == f"transcript://{transcript_id}/md"
    assert listed.description == "Maya (SPEAKER_00)"
    templates = (await client.list_resource_templates()).resource_templates
    assert {template.uri_template.rsplit("/", 1)[1] for template in templates} == set(MIME_TYPES)
    for name, mime_type in MIME_TYPES.items():
        (content,) = (await client.read_resource(f"transcript://{transcript_id}/{name}")).contents
        assert content.mime_type == mime_type
        assert "quick brown fox number 2" in content.text
        assert "Maya" in content.text


async def test_a_result_names_its_resource(client, made):
    (content,) = (await client.read_resource(made["files"][0]["uri"])).contents
    assert len(json.loads(content.text)["segments"]) == 3


@pytest.mark.parametrize(
    "uri", ["transcript://tr_" + "0" * 24 + "/md", "transcript://..%2Fsecret/md", "transcript://tr_1/exe"]
)
async def test_what_is_not_there_is_an_error_that_names_the_step(either, uri):
    with pytest.raises(MCPError):
        await either.read_resource(uri)


async def test_three_hours_with_words_stay_under_what_clients_take(client, settings):
    made = transcript([("SPEAKER_00", "yesterday we talked about the budget and so on once more")] * 2700)
    (settings.inbox / "m.json").write_text(made.model_dump_json(exclude_none=True))
    store = Store(settings)
    transcript_id, _ = store.keep(settings.inbox / "m.json", "transcribe")
    store.close()
    for name in MIME_TYPES:
        (content,) = (await client.read_resource(f"transcript://{transcript_id}/{name}")).contents
        assert 100_000 < len(content.text.encode()) < 1_000_000


async def test_prompts_name_only_tools_and_arguments_that_exist(either):
    tools = {tool.name: tool for tool in (await either.list_tools()).tools}
    prompts = (await either.list_prompts()).prompts
    assert {prompt.name for prompt in prompts} == {"minutes", "action_items", "name_speakers", "check_quotes"}
    for prompt in prompts:
        given = {argument.name: "/a/meeting.m4a" for argument in prompt.arguments}
        (message,) = (await either.get_prompt(prompt.name, given)).messages
        text = message.content.text
        assert "/a/meeting.m4a" in text
        assert {"transcribe_diarized", "label_speakers"} <= {name for name in tools if name in text}
        assert prompt.title
        assert prompt.description


async def test_the_instructions_name_only_tools_that_exist(client):
    import re

    from mcp_server.server import INSTRUCTIONS

    tools = {tool.name for tool in (await client.list_tools()).tools}
    fields = {"next_action", "num_speakers", "transcript_id", "start_s", "end_s"}
    assert set(re.findall(r"\b[a-z]+_[a-z_]+\b", INSTRUCTIONS)) <= tools | fields
    assert len(INSTRUCTIONS) <= 2048
