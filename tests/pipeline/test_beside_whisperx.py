"""WhisperX itself and this command line, with the same flags on the same samples and weights.

WhisperX runs in a process of its own with two things replaced that have nothing to do with its answer: samples
come without the ``ffmpeg`` command, and sentences are split without NLTK's data, which it would have to download.
"""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
import wave
from pathlib import Path

import pytest

from pipeline import writers
from pipeline.word_errors import score
from schemas.options import SubtitleOptions
from schemas.whisperx import read_transcript

pytestmark = pytest.mark.slow

DATA = Path(__file__).parents[1] / "data"
SAID = (
    "Good morning everyone, thanks for joining. It's Tuesday, the fourteenth of March, and this is the weekly "
    "planning call."
)
FORMATS = ("txt", "vtt", "srt", "tsv")
COMMANDS = {
    "no_align": ("--no_align", SubtitleOptions()),
    "aligned": (
        f"--align_model {DATA / 'wav2vec2_tiny_en'} --max_line_width 30 --max_line_count 2 --highlight_words True",
        SubtitleOptions(max_line_width=30, max_line_count=2, highlight_words=True),
    ),
}
COMMON = "--language en --device cpu --compute_type int8 --vad_method pyannote --beam_size 2 --threads 2"

THEIRS = """
import json, re, sys
from whisperx import alignment, transcribe
from whisperx.__main__ import cli
from pipeline.audio import load_waveform

class Sentences:
    def span_tokenize(self, text):
        return [found.span() for found in re.finditer(r"[^\\s.!?][^.!?]*[.!?]?", text)]

alignment.nltk_load = lambda path: Sentences()
transcribe.load_audio = load_waveform
for sys.argv in json.loads(sys.argv[1]):
    cli()
"""
OURS = """
import json, sys
from pipeline.cli import main
sys.exit(max(main(argv[1:]) for argv in json.loads(sys.argv[1])))
"""


@pytest.fixture(scope="module")
def files(starter_weights, tmp_path_factory) -> dict[str, dict[str, Path]]:
    """``files[whose][command]``: the folder of results."""
    pytest.importorskip("whisperx")
    home = tmp_path_factory.mktemp("beside")
    weights = starter_weights("whisper", "base", "ctranslate2").path
    clip = cut(home / "clip.wav", 0.0, 7.0)
    found = {}
    for whose, program, more in (("theirs", THEIRS, []), ("ours", OURS, ["--backend", "faster-whisper"])):
        argvs, found[whose] = [], {}
        for name, (flags, _) in COMMANDS.items():
            found[whose][name] = home / whose / name
            typed = [clip, "--model", str(weights), *COMMON.split(), *flags.split(), *more]
            argvs.append(["whisperx", *typed, "--output_dir", str(found[whose][name])])
        run(program, argvs, home)
    return found


def run(program: str, argvs: list[list[str]], home: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", program, json.dumps(argvs)],
        capture_output=True,
        text=True,
        env={**os.environ, "WHISPERX_MLX_CACHE": str(home / "cache"), "HF_HUB_OFFLINE": "1"},
        timeout=500,
    )
    assert done.returncode == 0, done.stderr[-3000:]


def cut(target: Path, start: float, end: float) -> str:
    from pipeline.audio import load_waveform

    samples = load_waveform(DATA / "syn_en_meeting_a.opus")[round(start * 16_000) : round(end * 16_000)]
    with wave.open(str(target), "wb") as file:
        file.setparams((1, 2, 16_000, 0, "NONE", ""))
        file.writeframes((samples * 32767).astype("<i2").tobytes())
    return str(target)


@pytest.mark.parametrize("command", COMMANDS)
def test_the_same_files_are_left(files, command) -> None:
    ours, theirs = (sorted(path.name for path in files[w][command].iterdir()) for w in ("ours", "theirs"))
    assert ours == theirs == sorted(f"clip.{name}" for name in (*FORMATS, "json"))


@pytest.mark.parametrize("command", COMMANDS)
def test_whisperx_s_transcript_written_by_us_is_its_own_files_byte_for_byte(files, command) -> None:
    folder, layout = files["theirs"][command], COMMANDS[command][1]
    transcript = read_transcript(folder / "clip.json")
    for name in FORMATS:
        assert writers.render(transcript, name, layout) == (folder / f"clip.{name}").read_text("utf-8"), name


@pytest.mark.parametrize("command", COMMANDS)
def test_our_transcript_written_by_whisperx_is_our_own_files_byte_for_byte(files, command) -> None:
    from whisperx.utils import get_writer

    folder, layout = files["ours"][command], COMMANDS[command][1]
    result = json.loads((folder / "clip.json").read_text("utf-8"))
    for name in FORMATS:
        file = io.StringIO()
        get_writer(name, ".").write_result(result, file, layout.model_dump())
        assert (folder / f"clip.{name}").read_text("utf-8") == file.getvalue(), name


def text(folder: Path) -> str:
    segments = json.loads((folder / "clip.json").read_text("utf-8"))["segments"]
    return " ".join(segment["text"].strip() for segment in segments)


@pytest.mark.parametrize("command", COMMANDS)
def test_the_words_are_the_same(files, command) -> None:
    """But for one or two: chunks have margins here, and processors round 8-bit products differently."""
    ours, theirs = text(files["ours"][command]), text(files["theirs"][command])
    assert score(theirs, ours).errors <= 2
    assert score(SAID, ours).rate < 0.2


def test_phrases_of_ours_lie_within_whisperx_s_chunks(files) -> None:
    ours, theirs = (read_transcript(files[w]["no_align"] / "clip.json").segments for w in ("ours", "theirs"))
    assert len(ours) >= len(theirs)
    for segment in ours:
        assert any(c.start - 0.3 <= segment.start and segment.end <= c.end + 0.3 for c in theirs), segment


def test_json_of_ours_has_all_that_whisperx_s_has(files) -> None:
    ours, theirs = (
        json.loads((files[w]["aligned"] / "clip.json").read_text("utf-8")) for w in ("ours", "theirs")
    )
    assert theirs.keys() <= ours.keys()
    assert theirs["segments"][0].keys() <= ours["segments"][0].keys()
    assert theirs["word_segments"][0].keys() <= ours["word_segments"][0].keys()
    assert theirs["language"] == ours["language"] == "en"
