"""Voices that are remembered, and names that follow a voice; compared by the real process beside the server."""

import stat
from functools import partial
from pathlib import Path

import pytest
from answers import body, error
from mcp import Client
from test_library import transcript

from mcp_server.engine import ask_aside
from mcp_server.names import Names
from mcp_server.server import build
from mcp_server.settings import Settings
from mcp_server.store import Store
from mcp_server.voices import Voices
from schemas.errors import VoiceNotUsable
from schemas.voices import Voice

pytestmark = pytest.mark.anyio

MODEL = "campplus@test"
ANA, BEN, CEM = (1.0, 0.1, 0.0, 0.0), (0.0, 1.0, 0.1, 0.0), (0.0, 0.0, 1.0, 0.0)
SAID = (("SPEAKER_00", "One two three."), ("SPEAKER_01", "Four five six."))


def spoken(*vectors, said=SAID, sha256="a" * 64, clean_s=60.0):
    """A meeting whose speakers have these voices."""
    made = transcript(said, sha256=sha256)
    voices = tuple(
        Voice(speaker=f"SPEAKER_0{n}", speech_s=clean_s, clean_s=clean_s, purity=1.0)
        for n in range(len(vectors))
    )
    return made.model_copy(
        update={
            "voices": voices,
            "embedding_model": MODEL,
            "speaker_embeddings": {f"SPEAKER_0{n}": vector for n, vector in enumerate(vectors)},
        }
    )


@pytest.fixture
def real(make_settings):
    return make_settings(aside_command=Settings(state_dir="/nowhere").aside_command)


@pytest.fixture
def store(real):
    made = Store(real)
    made.open()
    yield made
    made.close()


@pytest.fixture
def names(store):
    return Names(store.database)


@pytest.fixture
def voices(store, names):
    return Voices(store, names)


@pytest.fixture
def recognised(real, store, voices):
    """Keeps a transcript as a finished job does; returns its id."""

    async def keep(made):
        result = real.inbox / "result.json"
        result.write_text(made.model_dump_json(exclude_none=True))
        transcript_id, kept = store.keep(result, "transcribe_diarized")
        await voices.recognise(transcript_id, kept, partial(ask_aside, real))
        return transcript_id

    return keep


async def test_names_survive_another_diarization_where_the_voice_is_the_same(recognised, names):
    first = await recognised(spoken(ANA, BEN))
    names.give(first, spoken(ANA, BEN), {"SPEAKER_00": "Ana", "SPEAKER_01": "Ben"}, None)
    swapped = [("SPEAKER_01", SAID[0][1]), ("SPEAKER_00", SAID[1][1])]
    again = await recognised(spoken(BEN, ANA, said=swapped))
    assert names.of(again) == {"SPEAKER_00": "Ben", "SPEAKER_01": "Ana"}
    assert names.entry(again, "SPEAKER_00") == ("Ben", "carried", None)


async def test_where_the_voice_does_not_match_the_name_waits_for_review(recognised, names):
    first = await recognised(spoken(ANA, BEN))
    names.give(first, spoken(ANA, BEN), {"SPEAKER_00": "Ana"}, None)
    again = await recognised(spoken(CEM, BEN, said=(*SAID, ("SPEAKER_01", "Seven."))))
    assert names.of(again) == {}
    (suggestion,) = names.suggested(again)
    assert (suggestion.speaker, suggestion.name) == ("SPEAKER_00", "Ana")
    assert "do not prove" in suggestion.reason


async def test_without_voices_the_name_waits_for_review(recognised, names):
    first = await recognised(transcript(SAID))
    names.give(first, transcript(SAID), {"SPEAKER_01": "Ben"}, None)
    again = await recognised(transcript((*SAID, ("SPEAKER_00", "Seven."))))
    assert names.of(again) == {}
    assert [s.name for s in names.suggested(again)] == ["Ben"]


async def test_a_remembered_voice_is_suggested_in_another_meeting_and_never_applied(
    recognised, names, voices
):
    assert voices.remember(spoken(ANA, BEN), {"SPEAKER_00": "Ana", "SPEAKER_01": "Ben"}) == ("Ana", "Ben")
    other = await recognised(spoken(CEM, ANA, sha256="b" * 64))
    assert names.of(other) == {}
    (suggestion,) = names.suggested(other)
    assert (suggestion.speaker, suggestion.name) == ("SPEAKER_01", "Ana")
    assert suggestion.score > 0.99 > suggestion.threshold
    assert (suggestion.runner_up, suggestion.evidence_s) == ("Ben", 60.0)
    assert suggestion.runner_up_score < suggestion.threshold


async def test_below_the_threshold_nobody_is_suggested(recognised, names, voices):
    voices.remember(spoken(ANA, BEN), {"SPEAKER_00": "Ana"})
    other = await recognised(spoken(CEM, BEN, sha256="b" * 64))
    assert names.suggested(other) == ()


async def test_a_voice_of_several_recordings_is_one_and_is_forgotten_as_one(voices, real):
    voices.remember(spoken(ANA, BEN), {"SPEAKER_00": "Zebulon"})
    voices.remember(spoken(ANA, BEN), {"SPEAKER_00": "zebulon"})
    voices.remember(spoken(BEN, ANA, sha256="b" * 64), {"SPEAKER_01": "Zebulon"})
    (voice,) = voices.list()
    assert (voice.name, voice.recordings, voice.speech_s) == ("Zebulon", 2, 120.0)
    assert voices.forget(voice.voice_id) == 1
    assert voices.list() == ()
    for path in real.state_dir.iterdir():
        if path.is_file():
            assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0
            assert b"zebulon" not in path.read_bytes().lower()


def of_voices(settings):
    """What is kept of voices, by file."""
    return {path.stem: path.read_text() for path in settings.voices.iterdir()}


async def test_voices_are_kept_apart_for_the_owner_alone_and_go_with_their_transcript(
    real, store, recognised
):
    first, second = await recognised(spoken(ANA, BEN)), await recognised(spoken(BEN, CEM, sha256="b" * 64))
    assert store.transcript(first, voices=True).speaker_embeddings == {"SPEAKER_00": ANA, "SPEAKER_01": BEN}
    assert store.transcript(first).speaker_embeddings is None
    assert of_voices(real).keys() == {first, second}
    for path in (real.voices, *real.voices.iterdir()):
        assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0
    async with Client(build(real)[0]) as client:
        gone = body(await client.call_tool("delete_transcript", {"transcript_id": first}))
        assert gone["files"] == 2
        assert of_voices(real).keys() == {second}
    store.transcript_path(second).unlink()  # by hand
    assert store.prune_voices() == 1
    assert of_voices(real) == {}


async def test_a_server_told_to_keep_no_voices_forgets_those_that_it_kept(real, recognised):
    kept = await recognised(spoken(ANA, BEN))
    assert of_voices(real).keys() == {kept}
    bare = spoken(ANA, BEN).model_copy(update={"speaker_embeddings": None, "embedding_model": None})
    assert await recognised(bare) == kept
    assert of_voices(real) == {}


async def test_voices_stay_when_the_words_of_their_transcript_are_aligned_anew(real, store, recognised):
    first = await recognised(spoken(ANA, BEN))
    (real.inbox / "aligned.json").write_text(store.transcript(first).model_dump_json(exclude_none=True))
    aligned, made = store.keep(real.inbox / "aligned.json", "align", first)
    assert aligned != first
    assert made.speaker_embeddings == {"SPEAKER_00": ANA, "SPEAKER_01": BEN}
    assert store.transcript(aligned, voices=True) == made


async def test_a_voice_that_is_too_short_is_not_remembered(voices):
    with pytest.raises(VoiceNotUsable):
        voices.remember(spoken(ANA, BEN, clean_s=3.0), {"SPEAKER_00": "Ana"})
    assert voices.list() == ()


async def test_the_tools_remember_confirm_list_and_forget(real, store, recognised):
    first = await recognised(spoken(ANA, BEN))
    async with Client(build(real)[0]) as client:
        given = {"labels": {"SPEAKER_00": "Ana"}, "remember": True}
        done = await client.call_tool("label_speakers", {"transcript_id": first, **given})
        assert body(done)["remembered"] == ["Ana"]
        other = await recognised(spoken(BEN, ANA, sha256="b" * 64))
        read = await client.call_tool("get_transcript", {"transcript_id": other})
        (suggestion,) = body(read)["suggestions"]
        assert suggestion["name"] == "Ana"
        assert f"SPEAKER_01 may be Ana: {suggestion['reason']}" in read.content[0].text
        assert "speaker_name" not in body(read)["segments"][1]
        confirm = {"transcript_id": other, "labels": {"SPEAKER_01": "Ana"}}
        confirmed = body(await client.call_tool("label_speakers", confirm))
        assert "suggestions" not in confirmed
        assert confirmed["speakers"][1]["name"] == "Ana"
        listed = await client.call_tool("list_voices", {})
        assert [voice["name"] for voice in body(listed)["voices"]] == ["Ana"]
        assert "Ana | 60 s from 1 recordings" in listed.content[0].text
        assert body(await client.call_tool("forget_voice", {"voice": "ANA"}))["forgotten"] == 1
        refused = await client.call_tool("forget_voice", {"voice": "Ana"})
        assert error(refused)["code"] == "voice_not_found"


async def test_a_voice_that_cannot_be_remembered_leaves_the_names_as_they_were(real, recognised):
    bare = await recognised(transcript(SAID))
    short = await recognised(spoken(ANA, BEN, clean_s=3.0, sha256="c" * 64))
    async with Client(build(real)[0]) as client:
        for transcript_id, code in ((bare, "invalid_argument"), (short, "voice_not_usable")):
            given = {"labels": {"SPEAKER_00": "Ana"}, "remember": True}
            refused = await client.call_tool("label_speakers", {"transcript_id": transcript_id, **given})
            assert error(refused)["code"] == code
            sheet = body(await client.call_tool("label_speakers", {"transcript_id": transcript_id}))
            assert "name" not in sheet["speakers"][0]


async def test_no_result_shows_a_voice_or_leads_to_one(real, recognised):
    transcript_id = await recognised(spoken(ANA, BEN))
    async with Client(build(real)[0]) as client:
        for name in ("segments", "json"):
            read = await client.call_tool("get_transcript", {"transcript_id": transcript_id, "format": name})
            assert "embedding" not in str(body(read)) + read.content[0].text
            (file,) = body(read)["files"]
            assert "embedding" not in Path(file["path"]).read_text()
        (content,) = (await client.read_resource(f"transcript://{transcript_id}/json")).contents
        assert "embedding" not in content.text
