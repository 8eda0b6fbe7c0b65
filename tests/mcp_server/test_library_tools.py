"""The tools of the library as a client meets them."""

import json

import anyio
import jsonschema
import pytest
from answers import body, error, transcribed
from mcp import Client

from mcp_server.server import build
from mcp_server.store import Store

pytestmark = pytest.mark.anyio


async def call(client, tool, **arguments):
    """The structured content of a call, checked against the tool's schema, and the text."""
    result = await client.call_tool(tool, arguments)
    tools = {listed.name: listed for listed in (await client.list_tools()).tools}
    jsonschema.validate(body(result), tools[tool].output_schema)
    return result.structured_content, result.content[0].text


async def test_search_says_the_same_in_both_channels_and_leads_to_what_was_said_around(either, recording):
    made = await transcribed(either, recording("fast-30"), tool="transcribe_diarized")
    found, text = await call(either, "search_transcripts", query="fox number 17")
    (quote,) = found["quotes"]
    assert found["match"] == "all"
    assert (quote["transcript_id"], quote["segment_id"]) == (made["transcript_id"], 17)
    assert text.startswith(found["notice"])
    for told in (quote["text"], quote["transcript_id"], "17.00-18.00 s", "[00:00:17] SPEAKER_00: "):
        assert told in text
    around = body(await either.call_tool(found["next_action"]["tool"], found["next_action"]["arguments"]))
    assert 17 in [segment["id"] for segment in around["segments"]]


async def test_a_quote_is_checked(either, recording):
    await transcribed(either, recording("fast-3"))
    found, text = await call(either, "search_transcripts", query="QUICK, brown", exact=True, limit=1)
    assert found["match"] == "exact"
    assert found["more"] is True
    assert found["quotes"][0]["words"][0]["start"] == 0.0
    assert "0.00-0.50" in text
    refuted, text = await call(either, "search_transcripts", query="the slow brown fox", exact=True)
    assert refuted["match"] == "none"
    assert "match: none; the closest" in text


async def test_transcripts_are_listed_page_by_page(either, recording):
    ids = [(await transcribed(either, recording(f"fast-{n}")))["transcript_id"] for n in (1, 2, 3)]
    first, text = await call(either, "list_transcripts", limit=2)
    second, _ = await call(either, **{"tool": "list_transcripts", **first["next_action"]["arguments"]})
    assert [t["transcript_id"] for t in (*first["transcripts"], *second["transcripts"])] == ids[::-1]
    assert "next_action" not in second
    assert first["total"] == 3
    assert all(t["transcript_id"] in text and t["recording"] in text for t in first["transcripts"])


async def test_a_deleted_transcript_is_gone_and_is_made_again_on_request(either, recording):
    made = await transcribed(either, recording("fast-2"))
    gone, text = await call(either, "delete_transcript", transcript_id=made["transcript_id"])
    assert made["transcript_id"] in text
    assert gone["recording"] in text
    assert recording("fast-2").exists()
    for tool in ("get_transcript", "delete_transcript"):
        refused = await either.call_tool(tool, {"transcript_id": made["transcript_id"]})
        assert error(refused)["code"] == "transcript_not_found"
    assert (await call(either, "list_transcripts"))[0]["total"] == 0
    again = await transcribed(either, recording("fast-2"))
    assert again["transcript_id"] == made["transcript_id"]
    assert again["job_id"] != made["job_id"]


@pytest.mark.parametrize(
    ("tool", "arguments", "code"),
    [
        ("search_transcripts", {"query": "…"}, "invalid_argument"),
        ("search_transcripts", {"query": "a", "from_date": "soon"}, "invalid_argument"),
        ("search_transcripts", {"query": "a", "speaker": "Nobody"}, "invalid_argument"),
        ("search_transcripts", {"query": "a", "transcript_id": "../x"}, "transcript_not_found"),
        ("search_transcripts", {"qeury": "a"}, "invalid_argument"),
        ("list_transcripts", {"limit": 0}, "invalid_argument"),
        ("delete_transcript", {"transcript_id": "../../library.sqlite"}, "transcript_not_found"),
    ],
)
async def test_what_is_wrong_is_said(client, tool, arguments, code):
    assert error(await client.call_tool(tool, arguments))["code"] == code


async def test_many_long_quotes_stay_small_enough_for_a_client(client, recording):
    await transcribed(client, recording("fast-600"))
    for arguments in ({"exact": True}, {}):
        result = await client.call_tool(
            "search_transcripts", {"query": "the quick brown fox number", "limit": 50, **arguments}
        )
        assert len(result.content[0].text) + len(json.dumps(body(result))) < 45_000
        assert len(result.structured_content["quotes"]) > 10


async def test_a_server_that_keeps_for_days_deletes_what_is_older_when_it_starts(make_settings, recording):
    async with Client(build(make_settings())[0]) as client:
        old = await transcribed(client, recording("fast-1"))
        new = await transcribed(client, recording("fast-2"))
    store = Store(make_settings())
    with store.database.writing() as db:
        db.execute("UPDATE transcripts SET created_at = 0 WHERE id = ?", (old["transcript_id"],))
    store.close()
    async with Client(build(make_settings(keep_days=30.0))[0]) as client:
        with anyio.fail_after(30):
            while (listed := (await call(client, "list_transcripts"))[0])["total"] > 1:
                await anyio.sleep(0.05)
    assert [item["transcript_id"] for item in listed["transcripts"]] == [new["transcript_id"]]
