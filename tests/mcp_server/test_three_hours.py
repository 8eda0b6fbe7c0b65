"""What every tool answers about three hours of meeting: small enough, and the same in both channels."""

import json
from collections.abc import Iterator
from functools import partial

import anyio
import pytest
from answers import body
from long_meeting import LABELS, SAID, vector
from mcp import Client

from mcp_server.names import Names
from mcp_server.server import build
from mcp_server.store import Store
from mcp_server.voices import Voices
from schemas.jobs import NameSuggestion
from schemas.transcript import Media, Transcript
from schemas.voices import Voice

pytestmark = pytest.mark.anyio

MOST_CHARS = 45_000  # both channels together; some clients cut at 50,000
# For programs: what a file or a model's weights are exactly, and where a word's time comes from.
NOT_TOLD = {"schema_version", "sha256", "revision", "timing"}
PEOPLE = [f"Person number {n} of the department" for n in range(400)]


def strings(found, name="") -> Iterator[tuple[str, str]]:
    """Every text of a structured answer with its field's name, keys of tables included."""
    if isinstance(found, dict):
        for key, value in found.items():
            yield from strings(value, key)
    elif isinstance(found, list):
        for item in found:
            yield from strings(item, name)
    elif isinstance(found, str):
        yield name, found


def untold(result) -> list[tuple[str, str]]:
    """What the structured answer says and the text does not."""
    text = result.content[0].text
    said = [(name, value) for name, value in strings(result.structured_content) if name not in NOT_TOLD]
    return [
        (name, value) for name, value in said if value not in text and json.dumps(value)[1:-1] not in text
    ]


def checked(result):
    """The structured content of an answer that is small enough and says the same twice."""
    found = body(result)
    assert len(result.content[0].text) + len(json.dumps(found, ensure_ascii=False)) < MOST_CHARS
    assert untold(result) == []
    return found


@pytest.fixture
async def asked(settings, recording):
    """Calls a tool and checks its answer; the tools that were called."""
    async with Client(build(settings)[0], mode="legacy") as client:

        async def call(tool, **arguments):
            called.add(tool)
            return checked(await client.call_tool(tool, arguments))

        called = set()
        call.called, call.client = called, client
        yield call


def remember(store, names):
    """A crowd whose voices are known."""
    voices = Voices(store, names)
    for number, person in enumerate(PEOPLE):
        label = LABELS[number % len(LABELS)]
        known = Transcript(
            media=Media(duration_s=60.0, sha256=f"{number:064x}"),
            voices=(Voice(speaker=label, clean_s=60.0),),
            embedding_model="campplus@1",
            speaker_embeddings={label: vector(number % len(LABELS))},
        )
        voices.remember(known, {label: person})


def suggest(names, transcript_id):
    """A name for everybody waits for review."""
    for label, person in zip(LABELS, PEOPLE, strict=False):
        reason = "whoever was called so spoke during 93% of this in an earlier transcript of the recording"
        suggestion = NameSuggestion(speaker=label, name=person, reason=reason, score=0.71, threshold=0.55)
        names.put(transcript_id, label, person, "suggested", suggestion=suggestion)


async def test_every_tool_answers_briefly_and_the_same_in_both_channels(asked, recording, settings):
    path = str(recording("hours"))
    store = Store(settings)
    names = Names(store.database)
    await anyio.to_thread.run_sync(partial(remember, store, names))
    made = await asked("transcribe_diarized", file_path=path)
    transcript_id = made["transcript_id"]
    suggest(names, transcript_id)
    store.close()
    assert 10 < len(made["segments"]) < made["page"]["total_segments"]
    await asked("transcribe", file_path=path)
    await asked("diarize", file_path=path)
    await asked("diarize", transcript_id=transcript_id, num_speakers=8)
    aligned = await asked("align", transcript_id=transcript_id)
    assert aligned["segments"][0]["words"]
    await asked("get_job", job_id=made["job_id"])
    waits = await asked("transcribe", file_path=str(recording("forever")), wait_s=0.5)
    await asked("list_jobs")
    await asked("cancel_job", job_id=waits["job_id"])
    await asked("list_transcripts", limit=50)
    assert len((await asked("search_transcripts", query="budget once", limit=50))["quotes"]) > 10
    assert len((await asked("search_transcripts", query=SAID, exact=True, limit=50))["quotes"]) > 5
    sheet = await asked("label_speakers", transcript_id=transcript_id)
    assert len(sheet["suggestions"]) == len(LABELS)
    await asked("label_speakers", transcript_id=transcript_id, labels=dict(zip(LABELS, PEOPLE, strict=False)))
    listed = await asked("list_voices")
    assert len(listed["voices"]) + listed["more"] == len(PEOPLE)
    await asked("forget_voice", voice=PEOPLE[7])
    await asked("health_check")
    for view in ({}, {"include_words": True}, {"speaker": PEOPLE[3]}, {"start_s": 5000.0, "end_s": 9000.0}):
        page = await asked("get_transcript", transcript_id=transcript_id, max_chars=20_000, **view)
        await asked("get_transcript", **page["next_action"]["arguments"])
    await asked("delete_transcript", transcript_id=transcript_id)
    assert asked.called == {tool.name for tool in (await asked.client.list_tools()).tools}


@pytest.mark.parametrize("name", ["text", "md", "srt", "vtt", "json", "rttm"])
async def test_a_file_comes_in_pieces(asked, recording, name):
    made = await asked("transcribe_diarized", file_path=str(recording("hours")))
    arguments = {"transcript_id": made["transcript_id"], "format": name}
    for _ in range(3):
        page = await asked("get_transcript", **arguments)
        assert len(page["text"]) > 5_000
        arguments = page["next_action"]["arguments"]
