"""Transcripts listed, searched, checked, deleted."""

import time

import pytest

from mcp_server.library import Library, said_at
from mcp_server.names import Names
from mcp_server.store import JobRecord, Store
from pipeline.cache import Cache
from schemas.errors import InvalidArgument, NotFound
from schemas.transcript import Media, Segment, Speaker, Transcript, Word

MEETING = (
    ("SPEAKER_00", "Good morning, let's talk about the budget for"),
    ("SPEAKER_00", "the next quarter before we go on."),
    ("SPEAKER_01", "The café on Hauptstraße was too expensive, don't you think?"),
    ("SPEAKER_00", "四半期の売上は良い。"),
    ("SPEAKER_01", "Budget aside, the deadline is on Friday."),
)


def transcript(said=MEETING, sha256="a" * 64, recorded_at=None, words=True):
    segments = []
    for number, (speaker, text) in enumerate(said):
        start = number * 10.0
        own = [
            Word(word=word, start=start + k / 2, end=start + k / 2 + 0.4, speaker=speaker)
            for k, word in enumerate(text.split())
        ]
        segments.append(
            Segment(
                id=number,
                start=start,
                end=start + 9.0,
                text=text,
                speaker=speaker,
                words=tuple(own) if words else (),
            )
        )
    labels = sorted({speaker for speaker, _ in said if speaker})
    return Transcript(
        media=Media(
            path=f"/rec/{sha256[:2]}.wav",
            duration_s=len(said) * 10.0,
            sha256=sha256,
            recorded_at=recorded_at,
        ),
        language="en",
        segments=tuple(segments),
        speakers=tuple(Speaker(id=label, speech_s=1.0, segments=1) for label in labels),
    )


@pytest.fixture
def store(settings):
    made = Store(settings)
    yield made
    made.close()


@pytest.fixture
def names(store):
    return Names(store.database)


@pytest.fixture
def library(settings, store, names):
    return Library(settings, store, names)


@pytest.fixture
def keep(store, settings):
    def put(made):
        store.open()
        result = settings.inbox / "result.json"
        result.write_text(made.model_dump_json(exclude_none=True))
        return store.keep(result, "transcribe_diarized")[0]

    return put


def everywhere(library, **given):
    return library.scope(*(given.get(name) for name in ("transcript_id", "speaker", "from_date", "to_date")))


def texts(found):
    return [quote.text for quote in found.quotes]


def test_a_word_is_found_with_its_place_whatever_its_case_and_accents(library, keep):
    transcript_id = keep(transcript(recorded_at="2026-11-20T14:00:00+01:00"))
    found = library.search("CAFE hauptstrasse", everywhere(library), 10)
    (quote,) = found.quotes
    assert (found.match, found.searched) == ("all", 1)
    assert (quote.transcript_id, quote.segment_id, quote.speaker) == (transcript_id, 2, "SPEAKER_01")
    assert (quote.start, quote.said_at) == (20.0, "2026-11-20T14:00:20+01:00")


def test_a_phrase_that_runs_over_a_segment_s_end_is_found_with_both_segments(library, keep):
    keep(transcript())
    (quote,) = library.search('"budget for the next quarter"', everywhere(library), 10).quotes
    assert quote.text == f"{MEETING[0][1]} {MEETING[1][1]}"
    assert (quote.start, quote.end) == (0.0, 19.0)


def test_each_place_comes_once(library, keep):
    """The second segment's words are also in the first one's row."""
    keep(transcript())
    assert texts(library.search("quarter", everywhere(library), 10)) == [MEETING[1][1]]
    assert len(library.search("budget", everywhere(library), 10).quotes) == 2


def test_words_in_a_script_without_spaces_are_found(library, keep):
    keep(transcript())
    assert texts(library.search("売上", everywhere(library), 10)) == [MEETING[3][1]]
    assert not library.search("上売", everywhere(library), 10).quotes


def test_where_no_passage_has_all_words_those_with_some_come_and_say_so(library, keep):
    keep(transcript())
    found = library.search("deadline unicorn", everywhere(library), 10)
    assert found.match == "some"
    assert texts(found) == [MEETING[4][1]]
    assert library.search("unicorn", everywhere(library), 10).match == "none"


@pytest.mark.parametrize("query", ["", "!?", '""', "* OR AND NOT NEAR( -", "a:b^", 'say "'])
def test_a_query_is_never_an_expression(library, keep, query):
    keep(transcript())
    try:
        library.search(query, everywhere(library), 10)
    except InvalidArgument as error:
        assert "word" in error.message


def test_a_quote_is_confirmed_with_the_times_of_its_words_and_its_speaker(library, keep):
    keep(transcript())
    found = library.check("the budget for the next", everywhere(library), 10)
    (quote,) = found.quotes
    assert found.match == "exact"
    assert quote.text == "the budget for the next"
    assert [word.word for word in quote.words] == ["the", "budget", "for", "the", "next"]
    assert (quote.start, quote.end, quote.speaker) == (2.5, 10.9, "SPEAKER_00")


def test_a_long_quote_is_compared_to_its_last_word(library, keep):
    long = " ".join(f"w{n}" for n in range(40))
    keep(transcript([("SPEAKER_00", long), ("SPEAKER_00", long.replace("w39", "other"))]))
    assert len(library.check(long, everywhere(library), 10).quotes) == 1
    assert library.check(long.replace("w38", "wrong"), everywhere(library), 10).match == "none"


def test_a_quote_that_was_not_said_is_not_there_and_the_closest_passages_come(library, keep):
    keep(transcript())
    found = library.check("the deadline is on Monday", everywhere(library), 10)
    assert found.match == "none"
    assert MEETING[4][1] in texts(found)
    assert all(quote.words is None for quote in found.quotes)


def test_a_quote_without_word_times_has_its_segment_s(library, keep):
    keep(transcript(words=False))
    (quote,) = library.check("deadline is on friday", everywhere(library), 10).quotes
    assert (quote.start, quote.end) == (40.0, 49.0)


def test_only_the_speaker_the_days_or_the_transcript_asked_for(library, keep, names):
    old = keep(transcript(recorded_at="2025-01-02T10:00:00+00:00"))
    new = keep(transcript(sha256="b" * 64, recorded_at="2026-01-02T10:00:00+00:00"))
    names.give(new, transcript(), {"SPEAKER_01": "Ana Böll"}, None)

    def found(**given):
        return {
            (q.transcript_id, q.speaker)
            for q in library.search("budget", everywhere(library, **given), 9).quotes
        }

    assert len(found()) == 4
    assert found(speaker="ana boll") == {(new, "SPEAKER_01")}
    assert found(speaker="speaker_01") == {(old, "SPEAKER_01"), (new, "SPEAKER_01")}
    assert {i for i, _ in found(from_date="2025-06-01")} == {new}
    assert {i for i, _ in found(to_date="2025-01-02")} == {old}
    assert {i for i, _ in found(transcript_id=old)} == {old}
    for wrong in ({"speaker": "Bob"}, {"from_date": "yesterday"}):
        with pytest.raises(InvalidArgument):
            everywhere(library, **wrong)
    with pytest.raises(NotFound):
        everywhere(library, transcript_id="tr_" + "0" * 24)


def test_of_a_recording_the_newest_transcript_counts(library, keep):
    keep(transcript())
    newer = keep(transcript([*MEETING, ("SPEAKER_01", "One more.")]))
    assert {q.transcript_id for q in library.search("budget", everywhere(library), 9).quotes} == {newer}


def test_the_list_has_the_newest_first_with_dates_and_names(library, keep, names):
    old = keep(transcript(recorded_at="2025-01-02T10:00:00+00:00"))
    new = keep(transcript(sha256="b" * 64))
    names.give(old, transcript(), {"SPEAKER_00": "Ana"}, None)
    listed, total = library.list(everywhere(library), 0, 10)
    assert ([item.transcript_id for item in listed], total) == ([new, old], 2)
    assert listed[1].speakers == ("Ana (SPEAKER_00)", "SPEAKER_01")
    assert listed[1].recorded_at == "2025-01-02T10:00:00+00:00"
    assert [i.transcript_id for i in library.list(everywhere(library), 1, 10)[0]] == [old]
    assert [i.transcript_id for i in library.list(everywhere(library, speaker="Ana"), 0, 9)[0]] == [old]


def test_what_is_deleted_is_nowhere_any_more(library, keep, names, store, settings):
    cache = Cache()
    cache.put("asr", cache.key("a" * 64, part=1), {"text": "deadline"})
    cache.put("asr", cache.key("b" * 64, part=1), {"text": "other"})
    first = keep(transcript())
    second = keep(transcript([*MEETING, ("SPEAKER_01", "More.")]))
    names.give(first, transcript(), {"SPEAKER_00": "Zebulon"}, "he says so")
    kept = library.delete(first, cache.forget)
    assert "1 other" in kept.kept
    assert library.search("deadline", everywhere(library), 9).quotes
    gone = library.delete(second, cache.forget)
    assert gone.files == 2
    assert [path.name.split("-")[1] for path in cache.root.glob("asr-*")] == ["b" * 16]
    assert not library.search("deadline", everywhere(library), 9).quotes
    with pytest.raises(NotFound):
        library.delete(second, cache.forget)
    for path in settings.state_dir.rglob("*"):
        data = path.read_bytes().lower() if path.is_file() else b""
        for said in (b"deadline", b"hauptstra", b"zebulon"):
            assert said not in data, path


def test_what_is_too_old_is_deleted(library, keep, store):
    old, new = keep(transcript()), keep(transcript(sha256="b" * 64))
    for name, finished_at in (("job_old", time.time() - 40 * 86400), ("job_new", time.time())):
        record = JobRecord(
            id=name,
            request_key=name,
            operation="transcribe",
            arguments={"vocabulary": ["Ana"]},
            status="completed",
            owner=store.owner,
            created_at=0.0,
            finished_at=finished_at,
        )
        store.save_job(record)
    with store.database.writing() as db:
        db.execute("UPDATE transcripts SET created_at = ? WHERE id = ?", (time.time() - 40 * 86400, old))
    assert library.expire(30, lambda _sha: 0) == 1
    assert [job.id for job in store.recent_jobs(9)] == ["job_new"]
    assert [item.transcript_id for item in library.list(everywhere(library), 0, 9)[0]] == [new]


def test_transcripts_are_found_again_after_the_database_was_lost(library, keep, store, settings):
    transcript_id = keep(transcript())
    store.close()
    for left in settings.state_dir.glob("library.sqlite*"):
        left.unlink()
    assert library.index_missing() == 1
    assert library.index_missing() == 0
    assert library.search("deadline", everywhere(library), 9).quotes[0].transcript_id == transcript_id


def test_the_wall_clock_runs_over_midnight():
    assert said_at("2026-12-31T23:59:50+01:00", 20.5) == "2027-01-01T00:00:10+01:00"
    assert said_at(None, 5.0) is None
