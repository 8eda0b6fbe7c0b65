"""The command line: what its flags ask for, what it says, which files and which exit status it leaves."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import re
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import pipeline.run
from pipeline import _cli_flags, cli, models
from pipeline._cli_flags import WITHOUT_EFFECT, build_parser, parse
from schemas.errors import CODES, StageFailed, from_dict
from schemas.options import Options, SubtitleOptions, flat_names
from schemas.report import Warning_
from schemas.transcript import Media, Segment, Speaker, Transcript


def flags() -> dict[str, argparse.Action]:
    return {
        action.dest: action
        for action in build_parser()._actions
        if action.option_strings and action.dest not in ("help", "version", "python_version")
    }


# --- flags to options


def test_without_flags_the_defaults_are_those_of_the_options() -> None:
    settings = parse(["a.wav"])
    assert settings.options == Options()
    assert settings.subtitles == SubtitleOptions()
    assert settings.operation == "transcribe"
    assert settings.formats == ("txt", "vtt", "srt", "tsv", "json")
    assert settings.warnings == ()


@pytest.mark.parametrize(
    ("typed", "option", "value"),
    [
        ("--model large-v3", "asr.model", "large-v3"),
        ("--backend mlx-whisper", "asr.backend", "mlx_whisper"),
        ("--backend faster_whisper", "asr.backend", "faster_whisper"),
        ("--mlx-model mlx-community/whisper-tiny", "asr.model", "mlx-community/whisper-tiny"),
        ("--language German", "asr.language", "German"),
        ("--language None", "asr.language", None),
        ("--compute_type default", "asr.compute_type", "auto"),
        ("--compute_type float16", "asr.compute_type", "float16"),
        ("--batch_size 32", "asr.batch_size", 32),
        ("--best_of 3", "asr.best_of", 3),
        ("--condition_on_previous_text True", "asr.condition_on_previous_text", True),
        ("--without_timestamps", "asr.without_timestamps", True),
        ("--multilingual", "asr.multilingual", True),
        ("--temperature_increment_on_fallback None", "asr.temperature_increment_on_fallback", None),
        ("--no_speech_threshold 0.4", "asr.no_speech_threshold", 0.4),
        ("--suppress_tokens=-1,50363", "asr.suppress_tokens", (-1, 50363)),
        ("--suppress_tokens -1", "asr.suppress_tokens", (-1,)),
        ("--vocabulary Kowalski,Tomás", "asr.vocabulary", ("Kowalski", "Tomás")),
        ("--vocabulary Kowalski --hotwords Tomás", "asr.vocabulary", ("Kowalski", "Tomás")),
        ("--align_model WAV2VEC2_ASR_LARGE_LV60K_960H", "align.align_model", "WAV2VEC2_ASR_LARGE_LV60K_960H"),
        ("--no_align", "align.no_align", True),
        ("--vad_method silero", "vad.vad_method", "silero"),
        ("--chunk_size 60", "vad.chunk_size", 60.0),
        ("--diarize --max_speakers 4", "diarize.max_speakers", 4),
        ("--diarize --max-speakers=4", "diarize.max_speakers", 4),
        ("--diarize --num_speakers 3", "diarize.num_speakers", 3),
        ("--start 1:30", "audio.start_s", 90.0),
        ("--end 01:00:00.5", "audio.end_s", 3600.5),
        ("--max_duration 90", "audio.max_duration_s", 90.0),
        ("--model_dir /models", "model_dir", "/models"),
        ("--force", "force", True),
    ],
)
def test_a_flag_sets_its_option(typed: str, option: str, value: object) -> None:
    found: object = parse(["a.wav", *typed.split()]).options
    for name in option.split("."):
        found = getattr(found, name)
    assert found == value


def test_every_option_has_a_flag() -> None:
    renamed = {
        "start_s": "start",
        "end_s": "end",
        "max_duration_s": "max_duration",
        "allow_download": "model_cache_only",
    }
    assert {renamed.get(name, name) for name in flat_names()} <= flags().keys()


EXAMPLES = {int: "2", float: "0.25", _cli_flags._optional_float: "0.25", _cli_flags._bool: "True"}


@pytest.mark.parametrize("name", flags())
def test_every_flag_is_read(name: str) -> None:
    """Each flag changes the settings or says that it does nothing; none is parsed and dropped."""
    action = flags()[name]
    others = {
        "max_line_count": ["--max_line_width", "9"],
        "model_cache_only": ["--model", "tiny"],
        "workers": ["--ray"],
    }.get(name, [])
    before = parse(["a.wav", *others])
    default = _value_of(name)
    for value in _values(action):
        if value == default:
            continue
        after = parse(["a.wav", *others, f"--{name}", *([] if action.nargs == 0 else [value])])
        assert after != before
        return
    pytest.fail("no value to try")


def _value_of(name: str) -> str | None:
    return {"verbose": "True", "output_format": "all"}.get(name)


def _values(action: argparse.Action) -> list[str]:
    if action.choices:
        return [
            choice for choice in action.choices if choice not in ("auto", "default", "transcribe", "nearest")
        ]
    named = {
        "verbose": ["False"],
        "output_format": ["srt"],
        "output_dir": ["elsewhere"],
        "suppress_tokens": ["7"],
        "chunk_size": ["45"],
        "start": ["7"],
        "end": ["7"],
        "max_duration": ["7"],
    }
    return named.get(action.dest, [EXAMPLES.get(action.type, "3")])


@pytest.mark.parametrize("name", WITHOUT_EFFECT)
def test_a_flag_without_effect_is_a_warning(name: str) -> None:
    action = flags()[name]
    settings = parse(["a.wav", f"--{name}", *([] if action.nargs == 0 else _values(action)[:1])])
    assert settings.options == Options()
    assert [w.code for w in settings.warnings] == ["flag_ignored"]
    assert name in settings.warnings[0].message


@pytest.mark.parametrize(
    "typed",
    [
        "--backend mlx --model mlx-community/whisper-large-v3-mlx",
        "--backend mlx --model mlx-community/whisper-large-v3-mlx --align_model WAV2VEC2_ASR_LARGE_LV60K_960H "
        "--batch_size 32 --chunk_size 60 --compute_type float16 --diarize --hf_token YOUR_TOKEN",
    ],
)
def test_the_commands_that_people_type_are_understood(typed: str) -> None:
    settings = parse(["audio.wav", *typed.split()])
    assert settings.options.asr.model == "mlx-community/whisper-large-v3-mlx"
    assert settings.options.asr.backend.startswith("mlx")
    assert settings.options.allow_download
    assert settings.warnings == ()


@pytest.mark.parametrize(
    ("typed", "allowed"),
    [
        ("", False),
        ("--model tiny", True),
        ("--mlx_model tiny", True),
        ("--diarize_model pyannote/speaker-diarization-3.1", True),
        ("--model tiny --model_cache_only True", False),
        ("--model tiny --model_cache_only False", True),
    ],
)
def test_a_model_asked_for_by_name_may_be_downloaded(typed: str, allowed: bool) -> None:
    assert parse(["a.wav", *typed.split()]).options.allow_download is allowed


@pytest.mark.parametrize(
    ("typed", "says"),
    [
        ("", "AUDIO"),
        ("a.wav --nunspeakers 3", "did you mean --num_speakers"),
        ("a.wav --output_format docx", "no output format 'docx'"),
        ("a.wav --backend fast", "invalid choice"),
        ("a.wav --batch_size many", "invalid int"),
        ("a.wav --highlight_words maybe", "neither True nor False"),
        ("a.wav --no_align --highlight_words True", "not possible with --no_align"),
        ("a.wav --mlx_model tiny --model tiny", "not both"),
        ("a.wav --mlx_model tiny --backend faster_whisper", "does not go with"),
        ("a.wav --max_line_width 0", "max_line_width"),
        ("a.wav --start soon", "--start"),
        ("a.wav --device_index -1", "less than 0"),
        ("a.wav --ray --device_index 1", "does not go with --ray"),
    ],
)
def test_wrong_usage_is_status_2_and_says_what_is_wrong(typed: str, says: str, capsys) -> None:
    with pytest.raises(SystemExit) as left:
        cli.main(typed.split())
    assert left.value.code == cli.USAGE
    assert says in capsys.readouterr().err


def test_a_value_out_of_range_is_status_2(capsys) -> None:
    assert cli.main(["a.wav", "--diarize", "--min_speakers", "4", "--max_speakers", "2"]) == cli.USAGE
    assert "invalid_argument" in capsys.readouterr().err


def test_files_may_stand_between_flags() -> None:
    settings = parse(["a.wav", "--diarize", "b.wav", "-f", "srt,json", "c.wav"])
    assert settings.audio == ("a.wav", "b.wav", "c.wav")
    assert settings.formats == ("srt", "json")


def test_all_formats_with_speakers_include_rttm() -> None:
    assert parse(["a.wav", "--diarize"]).formats[-1] == "rttm"


# --- what is done with the files


@pytest.fixture
def recordings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to work in, with two files, and its own cache."""
    monkeypatch.setenv("WHISPERX_MLX_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    for name in ("one.wav", "two.wav"):
        (tmp_path / name).write_bytes(b"RIFF")
    return tmp_path


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> dict:
    """Stands in for the models: answers with a transcript, or raises what a test puts under a file's name."""
    errors: dict[str, BaseException] = {}

    def run(request, *, pool, cache, report) -> Transcript:
        name = Path(request.path).name
        if name in errors:
            raise errors[name]
        report("asr", 0.5, "SECRET")
        segment = Segment(start=0, end=1, text=f" {request.operation} SECRET", speaker="SPEAKER_00")
        return Transcript(
            media=Media(path=request.path, duration_s=10.0),
            language="en",
            language_probability=0.97,
            segments=(segment,),
            speakers=(Speaker(id="SPEAKER_00"),),
            warnings=(Warning_(code="low_confidence", message="Some parts are unclear.", count=2),),
        )

    monkeypatch.setattr(pipeline.run, "run", run)
    return errors


def test_results_are_written_under_the_recording_s_name(recordings: Path, engine) -> None:
    assert cli.main(["one.wav", "-o", "out", "-f", "srt,txt,json"]) == cli.OK
    assert {path.name for path in (recordings / "out").iterdir()} == {"one.srt", "one.txt", "one.json"}
    found = json.loads((recordings / "out" / "one.json").read_text("utf-8"))
    assert found["language"] == "en"
    assert found["segments"][0]["text"].strip() == "transcribe SECRET"


def test_a_summary_per_file_goes_to_stderr_without_what_was_said(recordings: Path, engine, capsys) -> None:
    cli.main(["one.wav", "two.wav", "--diarize", "-f", "txt"])
    out, err = capsys.readouterr()
    assert out == ""
    assert "SECRET" not in err
    for words in (
        "one.wav",
        "two.wav",
        "00:00:10",
        "en (0.97)",
        "1 speaker",
        "low_confidence",
        "(2 times)",
        "one.txt",
    ):
        assert words in err
    assert re.search(r"00:00:10 in \d+\.\d s · \d+\.\dx · en", err)


def test_quiet_means_warnings_and_errors_alone(recordings: Path, engine, capsys) -> None:
    cli.main(["one.wav", "-f", "txt", "--verbose", "False"])
    err = capsys.readouterr().err
    assert "low_confidence" in err
    assert "one.txt" not in err


def test_progress_is_printed_where_there_is_no_terminal_only_if_asked_for(
    recordings: Path, engine, capsys
) -> None:
    cli.main(["one.wav", "-f", "txt"])
    assert "50%" not in capsys.readouterr().err
    cli.main(["one.wav", "-f", "txt", "--print_progress", "True"])
    assert "one.wav: asr 50%" in capsys.readouterr().err


def test_one_failing_file_does_not_stop_the_next(recordings: Path, engine, capsys) -> None:
    engine["one.wav"] = StageFailed("the cause", hint="the next step")
    assert cli.main(["one.wav", "two.wav", "-f", "txt"]) == cli.FAILURE
    assert not (recordings / "one.txt").exists()
    assert (recordings / "two.txt").exists()
    err = capsys.readouterr().err
    assert "one.wav: stage_failed: the cause" in err
    assert "the next step" in err


@pytest.mark.parametrize("code", CODES)
def test_every_error_code_has_its_exit_status(code: str, recordings: Path, engine, capsys) -> None:
    engine["one.wav"] = from_dict({"code": code, "message": "the cause"})
    status = cli.main(["one.wav"])
    assert status in (cli.USAGE, cli.INPUT, cli.SETUP, cli.FAILURE)
    assert status == {
        "invalid_argument": cli.USAGE,
        "not_media": cli.INPUT,
        "file_not_found": cli.INPUT,
        "model_not_downloaded": cli.SETUP,
        "download_failed": cli.SETUP,
        "backend_unavailable": cli.SETUP,
        "out_of_memory": cli.FAILURE,
        "internal_error": cli.FAILURE,
    }.get(code, status)
    assert f"{code}: the cause" in capsys.readouterr().err


def test_the_highest_status_wins(recordings: Path, engine) -> None:
    engine["one.wav"] = from_dict({"code": "model_not_found", "message": ""})
    engine["two.wav"] = from_dict({"code": "not_media", "message": ""})
    assert cli.main(["one.wav", "two.wav"]) == cli.SETUP


def test_a_defect_is_reported_without_what_its_message_quotes(recordings: Path, engine, capsys) -> None:
    engine["one.wav"] = ValueError("SECRET")
    assert cli.main(["one.wav", "two.wav", "-f", "txt"]) == cli.FAILURE
    err = capsys.readouterr().err
    assert "internal_error: ValueError in test_cli.py:" in err
    assert "SECRET" not in err
    assert (recordings / "two.txt").exists()


def test_interrupting_leaves_no_result_and_status_130(recordings: Path, engine, capsys) -> None:
    engine["one.wav"] = KeyboardInterrupt()
    assert cli.main(["one.wav", "two.wav"]) == cli.INTERRUPTED
    assert "interrupted" in capsys.readouterr().err
    assert {path.suffix for path in recordings.iterdir() if path.is_file()} == {".wav"}


def test_an_interrupted_batch_goes_on_behind_what_is_done(recordings: Path, engine, capsys) -> None:
    engine["two.wav"] = KeyboardInterrupt()
    argv = ["one.wav", "two.wav", "-f", "txt", "--json", "--skip_existing"]
    assert cli.main(argv) == cli.INTERRUPTED
    del engine["two.wav"]
    engine["one.wav"] = AssertionError("done before")
    capsys.readouterr()
    assert cli.main(argv) == cli.OK
    reports = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(report["file"], report["status"]) for report in reports] == [
        ("one.wav", "skipped"),
        ("two.wav", "done"),
    ]


def test_recordings_whose_results_would_replace_each_other_are_refused(
    recordings: Path, engine, capsys
) -> None:
    (recordings / "more").mkdir()
    (recordings / "more" / "One.mp3").write_bytes(b"")
    assert cli.main(["one.wav", "more/One.mp3", "-f", "txt"]) == cli.USAGE
    assert "replace each other" in capsys.readouterr().err
    assert not list(recordings.glob("*.txt"))


def test_a_result_never_replaces_a_recording(recordings: Path, engine, capsys) -> None:
    (recordings / "talk.txt").write_bytes(b"RIFF")
    assert cli.main(["talk.txt", "-f", "txt"]) == cli.USAGE
    assert (recordings / "talk.txt").read_bytes() == b"RIFF"


def test_a_folder_that_cannot_be_written_to_is_a_coded_error(recordings: Path, engine, capsys) -> None:
    (recordings / "out").write_text("")
    assert cli.main(["one.wav", "-o", "out"]) == cli.FAILURE
    assert "output_failed" in capsys.readouterr().err


def test_the_token_reaches_the_hub_s_library_and_nothing_else(
    recordings: Path, engine, monkeypatch, capsys
) -> None:
    monkeypatch.setenv("HF_TOKEN", "")
    cli.main(["one.wav", "-f", "txt", "--hf_token", "hf_SECRET"])
    assert os.environ["HF_TOKEN"] == "hf_SECRET"
    assert "hf_SECRET" not in capsys.readouterr().err


def test_the_gpu_asked_for_is_the_only_one_that_libraries_see(
    recordings: Path, engine, monkeypatch, capsys
) -> None:
    from pipeline import machine
    from pipeline.plan import Machine

    monkeypatch.setattr(machine, "probe", lambda: Machine("linux", "x86_64", accelerator="cuda"))
    monkeypatch.setattr(machine, "_cuda_gbs", lambda: [80.0, 80.0])
    for named, number, seen in (("", "1", "1"), ("5,7", "1", "7"), ("5,7", "0", "5,7")):
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", named)
        assert cli.main(["one.wav", "-f", "txt", "--device_index", number]) == cli.OK
        assert os.environ["CUDA_VISIBLE_DEVICES"] == seen
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert cli.main(["one.wav", "--device_index", "2"]) == cli.SETUP
    assert "no GPU number 2" in capsys.readouterr().err


def test_without_gpus_their_number_is_a_warning(recordings: Path, engine, monkeypatch, capsys) -> None:
    from pipeline import machine
    from pipeline.plan import Machine

    monkeypatch.setattr(machine, "probe", lambda: Machine("darwin", "arm64", accelerator="metal"))
    assert cli.main(["one.wav", "-f", "txt", "--device_index", "1"]) == cli.OK
    assert "--device_index has no effect" in capsys.readouterr().err


def test_threads_reach_the_libraries_before_they_are_imported(recordings: Path, engine, monkeypatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "9")
    cli.main(["one.wav", "-f", "txt", "--threads", "3"])
    assert os.environ["OMP_NUM_THREADS"] == "3"


# --- the command itself


def command(*argv: str, cwd: Path | None = None, **env: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-m", "pipeline.cli", *argv],
        capture_output=True,
        text=True,
        cwd=cwd or Path(__file__).parent.parent.parent,
        env={**os.environ, **env},
        stdin=subprocess.DEVNULL,
        timeout=120,
    )


@pytest.mark.parametrize("before", ["", "align", "bench", "doctor", "models", "models pull"])
def test_help_fits_80_columns(before: str, monkeypatch, capsys) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    with pytest.raises(SystemExit) as left:
        cli.main([*before.split(), "--help"])
    assert left.value.code == cli.OK
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith(f"usage: whisperx-mlx {before}".rstrip())
    assert max(map(len, lines)) <= 80


def test_version() -> None:
    assert command("--version").stdout.startswith("whisperx-mlx ")


def test_a_missing_file_is_status_3(tmp_path: Path) -> None:
    done = command("nowhere.wav", WHISPERX_MLX_CACHE=str(tmp_path))
    assert done.returncode == cli.INPUT
    assert "file_not_found" in done.stderr
    assert done.stdout == ""


def test_doctor_says_what_there_is(tmp_path: Path) -> None:
    done = command("doctor", WHISPERX_MLX_CACHE=str(tmp_path))
    assert done.returncode in (cli.OK, cli.SETUP)
    for words in ("machine", "vad", "asr", "align", "diarize"):
        assert words in done.stdout
    assert "machine" in json.loads(command("doctor", "--json", WHISPERX_MLX_CACHE=str(tmp_path)).stdout)


def test_a_file_named_like_a_command_is_a_file(recordings: Path, engine) -> None:
    (recordings / "doctor").write_bytes(b"RIFF")
    assert cli.main(["doctor", "-f", "srt"]) == cli.OK
    assert (recordings / "doctor.srt").exists()


def test_a_folder_named_like_a_command_does_not_hide_it(recordings: Path, engine, capsys) -> None:
    (recordings / "doctor").mkdir()
    assert cli.main(["doctor"]) in (cli.OK, cli.SETUP)
    assert "machine" in capsys.readouterr().out


RECORDING = Path(__file__).parent.parent / "data" / "syn_en_meeting_a.opus"
WITHOUT_MODELS = shlex.split(
    "--vad_method energy --backend echo --align_backend even --diarize --diarize_backend one_speaker --end 20"
)


def test_a_recording_becomes_files_in_every_format_and_asking_again_takes_them_from_the_cache(
    tmp_path: Path,
) -> None:
    for times in (1, 2):
        done = command(
            str(RECORDING),
            "-o",
            str(tmp_path / "out"),
            *WITHOUT_MODELS,
            WHISPERX_MLX_CACHE=str(tmp_path / "cache"),
        )
        assert done.returncode == cli.OK, done.stderr
        assert done.stderr.count("from the cache") == (0 if times == 1 else 5)
    names = {path.suffix for path in (tmp_path / "out").iterdir()}
    assert names == {".txt", ".vtt", ".srt", ".tsv", ".json", ".rttm"}
    found = json.loads((tmp_path / "out" / "syn_en_meeting_a.json").read_text("utf-8"))
    assert found["media"]["path"] == str(RECORDING)
    assert found["segments"][0]["speaker"] == "SPEAKER_00"
    assert found["word_segments"]


def test_on_a_terminal_a_bar_shows_how_far_it_is(tmp_path: Path) -> None:
    terminal, its_end = os.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "pipeline.cli", str(RECORDING), "-o", str(tmp_path / "out"), *WITHOUT_MODELS],
        stderr=its_end,
        stdout=subprocess.PIPE,
        stdin=subprocess.DEVNULL,
        env={**os.environ, "WHISPERX_MLX_CACHE": str(tmp_path / "cache"), "TERM": "xterm", "COLUMNS": "200"},
    )
    os.close(its_end)
    shown = b""
    with contextlib.suppress(OSError):  # how a terminal says that the other end is closed
        while some := os.read(terminal, 65536):
            shown += some
    os.close(terminal)
    out, _ = process.communicate(timeout=60)
    assert process.returncode == cli.OK
    assert out == b""
    plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown.decode())
    assert re.search(r"syn_en_meeting_a.opus ━+ +\d+%", plain)


def test_without_the_cache_nothing_is_taken_from_it_and_nothing_is_left_in_it(tmp_path: Path) -> None:
    def transcribed(*more: str) -> str:
        argv = [str(RECORDING), "-o", str(tmp_path / "out"), "-f", "json", *WITHOUT_MODELS, *more]
        done = command(*argv, WHISPERX_MLX_CACHE=str(tmp_path / "cache"))
        assert done.returncode == cli.OK, done.stderr
        return done.stderr

    transcribed("--no_cache")
    assert [path for path in (tmp_path / "cache").rglob("*") if path.is_file()] == []
    transcribed()
    assert "from the cache" in transcribed()
    assert "from the cache" not in transcribed("--no_cache")


def test_a_language_by_name_is_written_as_its_code_and_an_unknown_one_is_refused_at_once(
    tmp_path: Path,
) -> None:
    argv = [str(RECORDING), "-o", str(tmp_path / "out"), "-f", "json", *WITHOUT_MODELS]
    env = {"WHISPERX_MLX_CACHE": str(tmp_path / "cache")}
    assert command(*argv, "--language", "German", **env).returncode == cli.OK
    assert json.loads((tmp_path / "out" / "syn_en_meeting_a.json").read_text("utf-8"))["language"] == "de"
    done = command(*argv, "--language", "Klingon", **env)
    assert done.returncode == cli.USAGE
    assert "Klingon" in done.stderr


def test_ctrl_c_ends_the_command_and_leaves_nothing_behind(tmp_path: Path, starter_weights) -> None:
    starter_weights("whisper", "base", "ctranslate2")
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / "models").symlink_to(models.cache_root())
    argv = [str(RECORDING), "-o", str(tmp_path / "out"), "--print_progress", "True"]
    process = subprocess.Popen(
        [sys.executable, "-m", "pipeline.cli", *argv],
        stderr=subprocess.PIPE,
        stdin=subprocess.DEVNULL,
        text=True,
        env={**os.environ, "WHISPERX_MLX_CACHE": str(tmp_path / "cache")},
    )
    while "vad" not in process.stderr.readline():
        assert process.poll() is None
    process.send_signal(signal.SIGINT)
    err = process.communicate(timeout=60)[1]
    assert process.returncode == cli.INTERRUPTED
    assert "interrupted" in err
    assert "Traceback" not in err
    assert not (tmp_path / "out").exists()
    assert list((tmp_path / "cache" / "work").iterdir()) == []
