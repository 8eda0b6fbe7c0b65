"""RTTM in and out."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline import rttm
from pipeline.writers import rttm as writer
from schemas.diarization import SpeakerTurn
from schemas.errors import InvalidTranscript
from schemas.transcript import Media, Transcript

milliseconds = st.integers(0, 10**8).map(lambda ms: ms / 1000)
turn = st.builds(
    lambda start, length, speaker: SpeakerTurn(start=start, end=start + length, speaker=speaker),
    milliseconds,
    milliseconds,
    st.sampled_from(["SPEAKER_00", "SPEAKER_01", "Zoë"]),
)


@given(st.lists(turn, max_size=20))
def test_what_is_written_is_read_back_to_the_millisecond(turns):
    back = rttm.read(rttm.write(turns, "meeting")).get("meeting", ())
    expected = sorted(turns, key=lambda t: (t.start, t.end, t.speaker))
    assert [t.speaker for t in back] == [t.speaker for t in expected]
    for one, other in zip(back, expected, strict=True):
        assert one.start == pytest.approx(other.start, abs=1e-3)
        assert one.end == pytest.approx(other.end, abs=1e-3)


def test_the_file_is_what_md_eval_and_pyannote_read():
    """Checked with pyannote.database's own reader."""
    import io

    from pyannote.database.util import load_rttm

    turns = (
        SpeakerTurn(start=1.5, end=3.25, speaker="SPEAKER_00"),
        SpeakerTurn(start=3, end=4, speaker="SPEAKER_01"),
    )
    text = rttm.write(turns, "a meeting")
    assert text.splitlines()[0] == "SPEAKER a_meeting 1 1.500 1.750 <NA> <NA> SPEAKER_00 <NA> <NA>"
    read = load_rttm(io.StringIO(text))["a_meeting"]
    assert [(s.start, s.end, label) for s, _, label in read.itertracks(yield_label=True)] == [
        (1.5, 3.25, "SPEAKER_00"),
        (3.0, 4.0, "SPEAKER_01"),
    ]


def test_turns_of_several_recordings_are_kept_apart_and_other_lines_passed_over():
    text = (
        ";; a comment\n"
        "SPKR-INFO b 1 <NA> <NA> <NA> unknown Ana <NA> <NA>\n\n"
        "SPEAKER b 1 2.0 1.0 <NA> <NA> Ana <NA> <NA>\n"
        "SPEAKER a 1 0.5 0.25 <NA> <NA> Ben <NA>\n"
        "SPEAKER b 1 1.0 0.5 <NA> <NA> Cy <NA> <NA>\n"
    )
    found = rttm.read(text)
    assert {name: [(t.start, t.end, t.speaker) for t in turns] for name, turns in found.items()} == {
        "b": [(1.0, 1.5, "Cy"), (2.0, 3.0, "Ana")],
        "a": [(0.5, 0.75, "Ben")],
    }


@pytest.mark.parametrize(
    "line",
    [
        "SPEAKER a 1 x 1 <NA> <NA> s",
        "SPEAKER a 1 0 -1 <NA> <NA> s",
        "SPEAKER a 1 nan 1 <NA> <NA> s",
        "SPEAKER",
    ],
)
def test_a_malformed_line_is_named(line):
    with pytest.raises(InvalidTranscript, match="line 2") as caught:
        rttm.read(f";; first\n{line}\n")
    assert caught.value.code == "invalid_transcript"
    assert caught.value.hint


def test_a_transcript_is_written_with_its_overlapping_turns():
    turns = (
        SpeakerTurn(start=0, end=2, speaker="SPEAKER_00"),
        SpeakerTurn(start=1, end=3, speaker="SPEAKER_01"),
    )
    made = Transcript(media=Media(path="/home/ana/team call.m4a", duration_s=3), turns=turns)
    assert rttm.read(writer.write(made)) == {"team_call": turns}
    assert rttm.read(writer.write(made.model_copy(update={"media": Media(duration_s=3)}))) == {
        "recording": turns
    }
