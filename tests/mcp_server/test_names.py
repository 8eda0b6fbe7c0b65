"""Names of speakers, and what helps to give them."""

import json

import pytest
from answers import body, error, transcribed
from test_library import transcript

from mcp_server.evidence import lines_of
from mcp_server.store import Store


def of(*said):
    return transcript([(f"SPEAKER_0{who}", text) for who, text in said])


def evidence(made, who):
    return [line.text for line in lines_of(made, f"SPEAKER_0{who}")]


@pytest.mark.parametrize(
    "line",
    [
        "Hi, I'm Maya from sales.",
        "My name is Maya.",
        "Guten Tag, ich bin Maya.",
        "Buenos días, me llamo Maya.",
        "Bonjour, je suis Maya.",
    ],
)
def test_an_introduction_is_evidence(line):
    made = of((0, "First of all."), *[(0, f"Filler {n}.") for n in range(20)], (0, line), (1, "Hello."))
    assert line in evidence(made, 0)
    assert line not in evidence(made, 1) or line == made.segments[-2].text


def test_who_is_called_may_be_the_next_to_speak():
    made = of((0, "let us begin"), (0, "Morning Maya."), (1, "hi all"), (0, "so the budget"), (2, "yes"))
    assert "Morning Maya." in evidence(made, 1)
    assert "Morning Maya." not in evidence(made, 2)


def test_the_evidence_is_short_and_in_order():
    made = of(*[(n % 2, f"I'm sure that Item {n} is done, Peter.") for n in range(300)])
    lines = lines_of(made, "SPEAKER_00")
    assert 1 <= len(lines) <= 6
    assert [line.id for line in lines] == sorted(line.id for line in lines)


pytestmark = pytest.mark.anyio


@pytest.fixture
async def meeting(client, settings):
    """The id of a meeting with two speakers."""
    made = of((0, "Hi, I'm Maya."), (1, "Morning Maya, Tom here."), (0, "The budget is fine."), (1, "Good."))
    (settings.inbox / "m.json").write_text(made.model_dump_json(exclude_none=True))
    store = Store(settings)
    transcript_id, _ = store.keep(settings.inbox / "m.json", "transcribe_diarized")
    store.close()
    return transcript_id


async def named(client, meeting, **given):
    return await client.call_tool("label_speakers", {"transcript_id": meeting, **given})


async def test_after_the_last_page_the_next_action_shows_the_evidence_in_both_channels(client, meeting):
    read = body(await client.call_tool("get_transcript", {"transcript_id": meeting}))
    assert read["next_action"]["tool"] == "label_speakers"
    result = await client.call_tool("label_speakers", read["next_action"]["arguments"])
    sheet = body(result)
    assert [speaker["id"] for speaker in sheet["speakers"]] == ["SPEAKER_00", "SPEAKER_01"]
    for speaker in sheet["speakers"]:
        assert speaker["quotes"]
        assert all(quote["text"] in result.content[0].text for quote in speaker["quotes"])
    window = body(await client.call_tool("get_transcript", {"transcript_id": meeting, "end_s": 15}))
    assert "next_action" not in window


async def test_names_stand_beside_the_labels_everywhere(client, meeting):
    result = await named(
        client, meeting, labels={"SPEAKER_00": " Maya\u200b "}, evidence="[00:00:00] I'm Maya"
    )
    assert body(result)["speakers"][0] | {"quotes": []} == {
        "id": "SPEAKER_00",
        "name": "Maya",
        "status": "given",
        "evidence": "[00:00:00] I'm Maya",
        "speech_s": 1.0,
        "segments": 1,
        "quotes": [],
    }
    assert "named because: [00:00:00] I'm Maya" in result.content[0].text
    read = await client.call_tool("get_transcript", {"transcript_id": meeting})
    page = body(read)
    assert page["segments"][0]["speaker"] == "SPEAKER_00"
    assert page["segments"][0]["speaker_name"] == "Maya"
    assert "speaker_name" not in page["segments"][1]
    assert "Maya (SPEAKER_00)" in read.content[0].text
    assert "next_action" not in page
    for name in ("srt", "md", "text"):
        document = await client.call_tool("get_transcript", {"transcript_id": meeting, "format": name})
        assert "Maya" in body(document)["text"]
    found = body(await client.call_tool("search_transcripts", {"query": "budget", "speaker": "maya"}))
    assert found["quotes"][0]["speaker_name"] == "Maya"
    one = body(await client.call_tool("get_transcript", {"transcript_id": meeting, "speaker": "Maya"}))
    assert {segment["speaker"] for segment in one["segments"]} == {"SPEAKER_00"}


async def test_a_name_is_changed_and_taken_away(client, meeting):
    await named(client, meeting, labels={"SPEAKER_00": "Maya", "SPEAKER_01": "Tim"})
    after = body(await named(client, meeting, labels={"SPEAKER_01": "Tom", "SPEAKER_00": ""}))
    assert [speaker.get("name") for speaker in after["speakers"]] == [None, "Tom"]


async def test_wrong_labels_and_transcripts_are_refused_and_change_nothing(client, meeting, recording):
    refused = error(await named(client, meeting, labels={"SPEAKER_00": "Maya", "SPEAKER_07": "Bob"}))
    assert refused["code"] == "invalid_argument"
    assert "SPEAKER_01" in refused["hint"]
    too_long = {"SPEAKER_00": "Maya", "SPEAKER_01": "x" * 200}
    assert error(await named(client, meeting, labels=too_long))["code"] == "invalid_argument"
    assert "name" not in body(await named(client, meeting))["speakers"][0]
    assert error(await named(client, "tr_" + "0" * 24))["code"] == "transcript_not_found"
    without = await transcribed(client, recording("fast-1"))
    assert "diarize" in error(await named(client, without["transcript_id"]))["hint"]


async def test_the_evidence_of_sixty_four_speakers_is_small_enough_for_a_client(client, settings):
    said = [(f"SPEAKER_{n % 64:02d}", f"I'm number {n}, Peter, " + "and so on " * 60) for n in range(640)]
    (settings.inbox / "m.json").write_text(transcript(said).model_dump_json(exclude_none=True))
    store = Store(settings)
    transcript_id, _ = store.keep(settings.inbox / "m.json", "transcribe_diarized")
    store.close()
    result = await named(client, transcript_id)
    assert len(result.content[0].text) + len(json.dumps(body(result))) < 45_000
    assert all(speaker["quotes"] for speaker in body(result)["speakers"])
