"""WhisperX's flags, as its own parser has them: each is taken here, with its values, default and meaning.

``whisperx_flags.json`` is the list, written by ``pytest --update-golden`` from the WhisperX that is installed.
"""

from __future__ import annotations

import argparse
import ast
import importlib.util
import json
import subprocess
import sys
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

import pytest

from pipeline._cli_flags import WITHOUT_EFFECT, Settings, build_parser, parse

STORED = Path(__file__).with_name("whisperx_flags.json")
FLAGS: dict[str, dict] = json.loads(STORED.read_text("utf-8"))["flags"]

OTHER_DEFAULTS = {"model", "device", "batch_size", "vad_method", "diarize_model"}
"""Ours are what suits the machine."""

READ_BY_US_ALONE = {"best_of", "condition_on_previous_text"}
"""WhisperX parses them and never looks at them."""

LISTING = """
import argparse, json, sys

class Found(Exception):
    pass

def stop(parser, *_):
    raise Found(parser)

argparse.ArgumentParser.parse_args = stop
from whisperx import __main__ as whisperx
try:
    whisperx.cli()
except Found as found:
    actions = found.args[0]._actions
flags = {}
for action in actions:
    long = [name for name in action.option_strings if name.startswith("--")]
    if long and action.dest != "help":
        kind = type(action).__name__.strip("_").removesuffix("Action")
        flags[long[0][2:]] = {
            "short": [name for name in action.option_strings if name not in long],
            "kind": {"Store": getattr(action.type, "__name__", "str")}.get(kind, kind),
            "default": None if kind == "Version" else action.default,
            "choices": list(action.choices) if action.choices else None,
        }
json.dump(flags, sys.stdout)
"""


def installed() -> dict[str, dict]:
    """What the parser of the WhisperX that is installed has, as on a machine without a GPU."""
    done = subprocess.run([sys.executable, "-c", LISTING], capture_output=True, text=True, check=True)
    return {name: _without_gpu(flag) for name, flag in json.loads(done.stdout).items()}


def _without_gpu(flag: dict) -> dict:
    return flag | {"default": "cpu"} if flag["default"] == "cuda" else flag


def test_the_stored_list_is_that_of_the_installed_whisperx(request) -> None:
    pytest.importorskip("whisperx")
    found = {"version": version("whisperx"), "flags": installed()}
    if request.config.getoption("--update-golden"):
        STORED.write_text(json.dumps(found, ensure_ascii=False, indent=1) + "\n", "utf-8")
    stored = json.loads(STORED.read_text("utf-8"))
    if found["version"] != stored["version"]:
        pytest.skip(f"the list is that of WhisperX {stored['version']}; here is {found['version']}")
    assert stored == found
    assert len(found["flags"]) > 48


def ours() -> dict[str, argparse.Action]:
    return {name: a for a in build_parser()._actions for name in a.option_strings}


@pytest.mark.parametrize("name", FLAGS)
def test_a_flag_is_known_under_all_its_names(name: str) -> None:
    action = ours()[f"--{name.replace('-', '_')}"]
    assert set(FLAGS[name]["short"]) <= set(action.option_strings)
    takes_nothing = FLAGS[name]["kind"] in ("StoreTrue", "Version")
    assert takes_nothing is (action.nargs == 0)


def settings(*typed: str) -> Settings:
    """Without the warnings: a flag that changes nothing says so."""
    return replace(parse(["a.wav", *typed]), warnings=())


@pytest.mark.parametrize("name", [name for name, flag in FLAGS.items() if flag["kind"] != "Version"])
def test_typing_whisperx_s_default_changes_nothing(name: str) -> None:
    flag = FLAGS[name]
    if flag["kind"] == "StoreTrue":
        assert flag["default"] is False
        assert settings(f"--{name}") != settings() or name in WITHOUT_EFFECT
        return
    if flag["default"] is None and not flag["kind"].startswith("optional"):
        pytest.skip("nothing that could be typed")
    typed = settings(f"--{name}={flag['default']}")
    assert (typed == settings()) is (name not in OTHER_DEFAULTS)


@pytest.mark.parametrize("name", [name for name, flag in FLAGS.items() if flag["choices"]])
def test_every_value_that_whisperx_takes_is_taken(name: str) -> None:
    from pipeline.asr._languages import normalise

    for value in FLAGS[name]["choices"]:
        asked = parse(["a.wav", f"--{name}", value])
        if name == "language":
            assert normalise(asked.options.asr.language)


@pytest.mark.parametrize(
    "name", [name for name, flag in FLAGS.items() if flag["kind"].startswith("optional")]
)
def test_none_is_read_where_whisperx_reads_it(name: str) -> None:
    settings(f"--{name}", "None")


def test_what_whisperx_parses_and_never_reads_is_read_here_or_has_a_warning() -> None:
    folder = Path(importlib.util.find_spec("whisperx").origin).parent
    unread = FLAGS.keys() - read_in(folder / "transcribe.py") - read_in(folder / "__main__.py")
    unread -= {name for name, flag in FLAGS.items() if flag["kind"] == "Version"} | {"log-level"}
    assert unread == WITHOUT_EFFECT.keys() | READ_BY_US_ALONE
    for name in READ_BY_US_ALONE:
        value = {"int": "7", "optional_int": "7", "str2bool": "True"}[FLAGS[name]["kind"]]
        assert settings(f"--{name}", value) != settings()


def read_in(path: Path) -> set[str]:
    """Names that ``args`` is asked for, ``word_options`` among them."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        match node:
            case ast.Call(func=ast.Attribute(value=ast.Name("args")), args=[ast.Constant(name), *_]):
                found.add(name)
            case ast.Subscript(value=ast.Name("args"), slice=ast.Constant(name)):
                found.add(name)
            case ast.Assign(targets=[ast.Name("word_options")], value=ast.List(names)):
                found |= {name.value for name in names}
    return found


@pytest.mark.parametrize(
    ("typed", "says"),
    [
        ("--fp16 False", "--fp16 has no effect"),
        ("--segment_resolution chunk", "--segment_resolution has no effect"),
        ("--speaker_embeddings", "--speaker_embeddings has no effect without --diarize"),
        ("--max_speakers 3", "--max_speakers has no effect without --diarize"),
        ("--no_align --interpolate_method linear", "--interpolate_method has no effect with --no_align"),
        ("--max_line_count 2", "--max_line_count has no effect without --max_line_width"),
    ],
)
def test_a_flag_that_does_nothing_here_says_so(typed: str, says: str) -> None:
    (warning,) = parse(["a.wav", *typed.split()]).warnings
    assert warning.code == "flag_ignored"
    assert warning.message.startswith(says)


def test_the_page_names_the_defaults_that_differ() -> None:
    page = (Path(__file__).parents[2] / "docs" / "command-line.md").read_text("utf-8")
    sentence = " ".join(page.split()).partition("Where the defaults differ")[2].partition(".")[0]
    assert sentence
    assert [name for name in OTHER_DEFAULTS if f"`--{name}`" not in sentence] == []
