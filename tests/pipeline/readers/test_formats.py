"""Transcripts of other programs, as they are found in the wild."""

from __future__ import annotations

import codecs
import json
from pathlib import Path

import pytest

from pipeline import readers
from schemas.errors import FileNotReadable, InvalidArgument, InvalidTranscript
from schemas.transcript import Transcript


def said(transcript: Transcript) -> list[tuple[float, float, str | None, str]]:
    return [(s.start, s.end, s.speaker, s.text) for s in transcript.segments]


def read(text: str, format: str | None = None, name: str = ""):
    return said(readers.read(text, format, name=name))


SRT = """1
00:00:01,000 --> 00:00:02,500
<i>Hello</i> there,
my <font color="#ff0000">friend</font>.

2
00:00:03,000 --> 00:00:04,000
{\\an8}[SPEAKER_01]: 5 < 6 & so on
"""


def test_srt() -> None:
    assert read(SRT) == [
        (1.0, 2.5, None, "Hello there, my friend."),
        (3.0, 4.0, "SPEAKER_01", "5 < 6 & so on"),
    ]


@pytest.mark.parametrize(
    "text",
    [
        SRT.replace("\n", "\r\n"),
        SRT.replace("\n", "\r"),
        "\ufeff" + SRT,
        SRT.replace(",000", ".000").replace(",500", ".5"),
        SRT.replace("1\n00", "00").replace("2\n00", "00"),
        SRT.replace("\n\n", "\n"),
        SRT.replace("there,\n", "there,\n\n"),
        SRT.replace("00:00:0", "0:0:"),
        SRT.replace("-->", " --> "),
    ],
    ids=["crlf", "cr", "bom", "points", "no numbers", "no blank lines", "blank in text", "short", "spaces"],
)
def test_srt_as_it_is_found(text: str) -> None:
    assert read(text) == read(SRT)


def test_an_srt_whose_text_is_a_number() -> None:
    text = "1\n00:00:01,000 --> 00:00:02,000\n42\n\n2\n00:00:03,000 --> 00:00:04,000\nyes --> no\n"
    assert [row[3] for row in read(text)] == ["42", "yes --> no"]


VTT = """WEBVTT - a title

STYLE
::cue(b) { color: red }

NOTE this is --> a comment
00:00:09.000 --> 00:00:10.000

REGION
id:fred

intro
00:01.000 --> 00:02.000 align:start position:10%
<v.loud Ana Maria>Tom &amp; <b>Jerry</b></v>

00:00:02.500 --> 00:00:04.500
<v Ana>one two three
<v Ben>four five

1:00:00.000 --> 1:00:01.000
NOTE is a word here
"""


def test_vtt() -> None:
    assert read(VTT) == [
        (1.0, 2.0, "Ana Maria", "Tom & Jerry"),
        (2.5, 3.682, "Ana", "one two three"),
        (3.682, 4.5, "Ben", "four five"),
        (3600.0, 3601.0, None, "NOTE is a word here"),
    ]
    assert read("\ufeff" + VTT.replace("\n", "\r\n")) == read(VTT)


def test_overlapping_cues_stay_as_they_are() -> None:
    text = "WEBVTT\n\n00:01.000 --> 00:03.000\na\n\n00:02.000 --> 00:04.000\nb\n"
    assert [row[:2] for row in read(text)] == [(1.0, 3.0), (2.0, 4.0)]


def test_captions_that_roll_up_are_read_once_with_the_times_of_their_words() -> None:
    text = (
        "WEBVTT\n\n00:00.000 --> 00:02.000\n \nhello<00:00:00.500><c> dear</c><00:00:01.000><c> friends</c>\n\n"
        "00:02.000 --> 00:02.010\nhello dear friends\n \n\n"
        "00:02.010 --> 00:04.000\nhello dear friends\nand<00:00:03.000><c> foes</c>\n"
    )
    found = readers.read(text)
    assert [segment.text for segment in found.segments] == ["hello dear friends", "and foes"]
    assert [(w.word, w.start, w.end) for w in found.segments[0].words] == [
        ("hello", 0.0, 0.5),
        ("dear", 0.5, 1.0),
        ("friends", 1.0, 2.0),
    ]


CTM = """;; a comment
rec 1 0.50 0.30 hello 0.9
rec 1 0.80 0.20 world. NA
rec 1 5.00 0.20 <eps>
rec 1 5.20 0.40 again
"""


def test_ctm() -> None:
    found = readers.read(CTM)
    assert said(found) == [(0.5, 1.0, None, "hello world."), (5.2, 5.6, None, "again")]
    assert [(w.word, w.start, w.end, w.score) for w in found.words][:2] == [
        ("hello", 0.5, 0.8, 0.9),
        ("world.", 0.8, 1.0, None),
    ]


def test_ctm_with_channels_and_alternatives() -> None:
    text = (
        "r A 1.0 0.1 <ALT_BEGIN>\nr A 1.0 0.1 uh\nr A * * <ALT>\nr A 1.0 0.1 um\nr A * * <ALT_END>\n"
        "r B 0.5 0.3 yes\nr A 1.2 0.3 no\n"
    )
    assert read(text, "ctm") == [(0.5, 0.8, "CHANNEL_B", "yes"), (1.0, 1.5, "CHANNEL_A", "uh no")]


def test_ctm_in_a_script_without_spaces() -> None:
    assert read("r 1 0.0 0.2 你\nr 1 0.2 0.2 好\n")[0][3] == "你好"


OPENAI = {
    "task": "transcribe",
    "language": "english",
    "duration": 4.0,
    "text": "Hello, world. It's 5 o'clock.",
    "words": [
        {"word": "Hello", "start": 0.0, "end": 0.4},
        {"word": "world", "start": 0.5, "end": 0.9},
        {"word": "It's", "start": 3.0, "end": 3.2},
        {"word": "5", "start": 3.2, "end": 3.4},
        {"word": "o'clock", "start": 3.4, "end": 3.9},
    ],
}


def test_openai_words_at_the_top_level() -> None:
    found = readers.read(json.dumps(OPENAI))
    assert found.language == "en"
    assert [segment.text for segment in found.segments] == ["Hello, world.", "It's 5 o'clock."]
    assert [word.word for word in found.words] == ["Hello,", "world.", "It's", "5", "o'clock."]


def test_openai_words_beside_segments() -> None:
    segments = [
        {
            "id": 0,
            "seek": 0,
            "start": 0.0,
            "end": 2.9,
            "text": " Hello, world.",
            "tokens": [1],
            "temperature": 0,
        },
        {"id": 1, "start": 2.9, "end": 4.0, "text": " It's 5 o'clock.", "avg_logprob": -0.1},
    ]
    found = readers.read(json.dumps({**OPENAI, "segments": segments}))
    assert said(found) == [(0.0, 2.9, None, " Hello, world."), (2.9, 4.0, None, " It's 5 o'clock.")]
    assert [word.word for word in found.segments[0].words] == ["Hello,", "world."]
    without = {name: value for name, value in OPENAI.items() if name != "words"}
    assert said(readers.read(json.dumps({**without, "segments": segments}))) == said(found)


def test_openai_text_alone_has_no_times() -> None:
    found = readers.read('{"text": "Hello there."}')
    assert readers.is_untimed(found)
    assert found.segments[0].text == "Hello there."


def test_whisper_cpp() -> None:
    data = {
        "result": {"language": "de"},
        "transcription": [{"offsets": {"from": 500, "to": 1500}, "text": " Hallo."}],
    }
    found = readers.read(json.dumps(data))
    assert (found.language, said(found)) == ("de", [(0.5, 1.5, None, " Hallo.")])


def test_plain_text_without_times() -> None:
    found = readers.read("Hello there.\n\nIt is 3:45 now.\n")
    assert readers.is_untimed(found)
    assert [segment.text for segment in found.segments] == ["Hello there.", "It is 3:45 now."]
    assert not readers.is_untimed(readers.read(SRT))


def test_plain_text_with_speakers() -> None:
    assert [row[2:] for row in read("Ana: Hello.\nBen: Hi.\nGoing on.\nAna: Bye.")] == [
        ("Ana", "Hello."),
        ("Ben", "Hi."),
        ("Ben", "Going on."),
        ("Ana", "Bye."),
    ]
    assert read("Note: this is said.\nAnd this.\nAnd that.")[0][2:] == (None, "Note: this is said.")
    assert read("[SPEAKER_00]: Hello.")[0][2:] == ("SPEAKER_00", "Hello.")


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        ("[00:01.000 --> 00:02.500]  Hi.", [(1.0, 2.5, None, "Hi.")]),
        ("[0:00:01] Ana: Hi.\n[0:00:03] Ben: Ho.", [(1, 4, "Ana", "Hi."), (3, 4.64, "Ben", "Ho.")]),
        (
            "A title\n0:05\nAna: Hi.\nall\n0:09 Ho",
            [(0, 6, None, "A title"), (5, 10, None, "Ana: Hi. all"), (9, 10.16, None, "Ho")],
        ),
        ("(1:02) one\n(1:04.5) two", [(62, 64.5, None, "one"), (64.5, 65.74, None, "two")]),
        ("3:45 is when we met.", [(0, 0, None, "3:45 is when we met.")]),
        ("9:00 we met\n8:00 they came", [(0, 0, None, "9:00 we met"), (0, 0, None, "8:00 they came")]),
    ],
)
def test_plain_text_with_times(text: str, rows: list) -> None:
    assert read(text, name="x.txt") == rows


def test_tsv_and_audacity() -> None:
    assert read("start\tend\ttext\n500\t1500\tHi\tyou") == [(0.5, 1.5, None, "Hi\tyou")]
    assert read("0.5\t1.5\t[[SPEAKER_00]]Hi\n\\\t1\t2\n") == [(0.5, 1.5, "SPEAKER_00", "Hi")]


@pytest.mark.parametrize(
    ("text", "name", "format"),
    [
        (SRT, "x.txt", "srt"),
        (VTT, "", "vtt"),
        (CTM, "x.ctm", "ctm"),
        ('[{"start": 0}]', "", "json"),
        ("[SPEAKER_00]: {hi}", "", "txt"),
        ("WEBVTTX is a word", "", "txt"),
        ("one two three four five", "", "txt"),
        ("nothing to see", "x.srt", "srt"),
        ("nothing to see", "x.docx", "txt"),
    ],
)
def test_the_format_shows(text: str, name: str, format: str) -> None:
    assert readers.format_of(text, name) == format


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_encodings(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "x.srt"
    path.write_bytes(SRT.replace("Hello", "Grüße").encode(encoding))
    assert said(readers.read_file(path))[0][3] == "Grüße there, my friend."


@pytest.mark.parametrize(
    ("text", "format", "line"),
    [
        ("1\n00:00:01,000 --> 00:00:02,00x\nHi", "srt", 2),
        ("1\n00:00:01,000 --> oops\nHi", "srt", 2),
        ("1\n00:00:01,000 --> 00:00:02,000\nHi\n\n2\n00:00:05,000 --> 00:00:04,000\nHi", "srt", 6),
        ("1\n00:61:01,000 --> 00:61:02,000\nHi", "srt", 2),
        ("1\n-00:00:01,000 --> 00:00:02,000\nHi", "srt", 2),
        ("1\n9999:00:00,000 --> 9999:00:01,000\nHi", "srt", 2),
        ("WEBVTT\n\n00:01.000 --> 00:00.000\nHi", None, 3),
        ("r 1 0.0 0.2 a\nr 1 0.0", "ctm", 2),
        ("r 1 0.0 0.2 a\nr 1 x 0.2 b", "ctm", 2),
        ("r 1 0.0 0.2 a\nr 1 nan 0.2 b", "ctm", 2),
        ("r 1 0.0 0.2 a\nq 1 0.3 0.2 b", "ctm", 2),
        ("start\tend\ttext\n1\t2", None, 2),
        ("0.5\t0.1\tHi", None, 1),
        ("a\n\0b", "txt", 2),
        ('{"segments": [\n{"start": }]}', None, 2),
    ],
)
def test_an_error_names_the_line_and_not_what_was_said(text: str, format: str | None, line: int) -> None:
    with pytest.raises(InvalidTranscript, match=f"line {line}\\b") as caught:
        readers.read(text, format)
    assert "Hi" not in caught.value.message


@pytest.mark.parametrize("text", ["", "\n \n", "WEBVTT\n", ";; nothing\n", "1\n2\n"])
@pytest.mark.parametrize("format", ["srt", "vtt", "ctm"])
def test_a_transcript_without_text_is_refused(text: str, format: str) -> None:
    with pytest.raises(InvalidTranscript):
        readers.read(text, format)


def test_bytes_that_are_no_text_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.srt"
    path.write_bytes(b"one\ntwo\n\xff\xff")
    with pytest.raises(InvalidTranscript, match="line 3: byte 8 is not UTF-8"):
        readers.read_file(path)
    path.write_bytes(codecs.BOM_UTF16_LE + b"\x00\xd8\x41")
    with pytest.raises(InvalidTranscript, match="UTF-16"):
        readers.read_file(path)
    with pytest.raises(FileNotReadable):
        readers.read_file(tmp_path / "nothing.srt")


def test_an_unknown_format_is_refused() -> None:
    with pytest.raises(InvalidArgument, match="docx"):
        readers.read("Hi", "docx")


@pytest.mark.parametrize(
    "text",
    [
        "1\n00:00:01,000 --> 00:00:02,000\nHi\n\n" * 60_000,
        "WEBVTT\n\n" + "00:01.000 --> 00:02.000\n<v " * 100_000,
        "WEBVTT\n\n00:01.000 --> 00:02.000\n" + "<v a>" * 300_000,
        "00:00:01,000 --> 00:00:02,000\n" + "<" * 300_000,
        "00:00:01,000 --> 00:00:02,000\n" + "a\n" * 300_000,
        "r 1 0.0 0.2 a\n" * 600_000,
        '[{"a":' * 50_000,
        "{" * 100_000,
        "a" * 17_000_000,
        "1:" * 2_000_000,
        "a\n" * 60_000,
        "a: " * 400_000,
        "0" * 3_000_000 + " --> 00:00:02,000\n",
    ],
    ids=range(13),
)
def test_hostile_texts_are_refused(text: str) -> None:
    """Each in well under two seconds ; a reader that is worse than linear would hang here."""
    with pytest.raises(InvalidTranscript):
        readers.read(text)
