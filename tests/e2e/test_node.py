"""Official tools and the TypeScript client against the server; left out where npm or its registry is missing."""

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

import media
import pytest
from rawclient import ROOT

from schemas.errors import CODES

HERE = Path(__file__).parent
PACKAGES = (
    "node@22",
    "@modelcontextprotocol/sdk@1.32.2",
    "@modelcontextprotocol/inspector@2.12.0",
    "@modelcontextprotocol/conformance@0.2.0-alpha.12",
    "@anthropic-ai/mcpb@2.1.2",
)
# What a server without sampling, elicitation, images and the suite's own test tools can be asked.
SCENARIOS = {
    "2025-11-25": (
        "server-initialize",
        "server-session-lifecycle",
        "ping",
        "tools-list",
        "resources-list",
        "prompts-list",
        "dns-rebinding-protection",
    ),
    "2026-07-28": (
        "tools-list",
        "resources-list",
        "prompts-list",
        "sep-2164-resource-not-found",
        "caching",
        "http-header-validation",
        "dns-rebinding-protection",
    ),
}

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def node(request):
    """A folder with the packages, kept between runs."""
    if shutil.which("npm") is None:
        pytest.skip("npm is not installed")
    folder = request.config.cache.mkdir("node")
    done = folder / "-".join(PACKAGES).replace("/", "_")
    if not done.exists():
        (folder / "package.json").write_text("{}")
        install = ["npm", "install", "--silent", "--no-audit", "--no-fund", *PACKAGES]
        try:
            subprocess.run(install, cwd=folder, check=True, capture_output=True, timeout=180)
        except subprocess.SubprocessError:
            pytest.skip("the npm registry cannot be reached")
        done.touch()
    shutil.copy(HERE / "client.mjs", folder)
    return folder


@pytest.fixture
def run(node, tmp_path):
    """Runs a program of the folder with the newer Node."""
    environment = {
        **os.environ,
        "PATH": f"{node / 'node_modules' / '.bin'}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
        "WHISPERX_MLX_STATE": str(tmp_path / "state"),
        "WHISPERX_MLX_CACHE": str(tmp_path / "cache"),
    }

    def start(*command, **options):
        return subprocess.run(
            command, cwd=node, env=environment, capture_output=True, text=True, timeout=120, **options
        )

    return start


def test_the_inspector_finds_nothing_to_say_about_the_tools(run):
    server = (sys.executable, "-m", "mcp_server")
    seen = run("mcp-inspector", "--cli", *server, "--method", "tools/list", "--strict", "-q")
    assert (seen.returncode, seen.stderr) == (0, "")
    assert "transcribe_diarized" in seen.stdout


@pytest.fixture
def served(tmp_path):
    """The address of the server over HTTP."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, str(HERE / "serve_http.py"), str(port), str(tmp_path)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "WHISPERX_MLX_STATE": str(tmp_path / "state")}
    with subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL) as process:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            with socket.socket() as there:
                if there.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.1)
        yield f"http://localhost:{port}/mcp"
        process.kill()


@pytest.mark.parametrize("version", SCENARIOS)
def test_the_conformance_suite_passes_in_both_eras(run, served, version):
    for scenario in SCENARIOS[version]:
        asked = ("--url", served, "--scenario", scenario, "--spec-version", version)
        seen = run("conformance", "server", *asked)
        assert seen.returncode == 0, seen.stdout
        assert " 0 failed, 0 warnings" in seen.stdout, scenario


def test_the_bundle_s_manifest_is_valid(run, tmp_path):
    seen = run(sys.executable, str(ROOT / "packaging" / "bundle.py"), str(tmp_path / "a.mcpb"))
    assert seen.returncode == 0, seen.stdout
    assert "not checked" not in seen.stderr


# What a call is, and the code of its error; "{name}" is a file of that name.
GOOD = (
    ("health_check", {}),
    ("list_jobs", {}),
    ("transcribe_diarized", {"file_path": "{fast-3}"}),
    ("align", {"transcript_id": "$transcript_id"}),
    ("list_transcripts", {}),
    ("search_transcripts", {"query": "fox"}),
    ("search_transcripts", {"query": "the quick brown fox", "exact": True}),
    ("list_voices", {}),
    ("transcribe", {"file_path": "{stubborn}", "wait_s": 0}),
    ("cancel_job", {"job_id": "$job_id"}),
    ("get_job", {"job_id": "$job_id"}),
    ("diarize", {"file_path": "{fast-2}"}),
    ("transcribe", {"file_path": "{fast-2}"}),
    ("delete_transcript", {"transcript_id": "$transcript_id"}),
    ("transcribe_diarized", {"file_path": "{hours}"}),
    ("label_speakers", {"transcript_id": "$transcript_id"}),
    (
        "label_speakers",
        {
            "transcript_id": "$transcript_id",
            "labels": {"SPEAKER_00": "Ana"},
            "evidence": "“I'm Ana”",
            "remember": True,
        },
    ),
    ("list_voices", {}),
    ("forget_voice", {"voice": "ana"}),
    ("get_transcript", {"transcript_id": "$transcript_id", "include_words": True, "speaker": "Ana"}),
    ("get_transcript", {"transcript_id": "$transcript_id", "format": "vtt"}),
)
BAD = (
    ("transcribe", {"file_path": "meeting.m4a"}, "invalid_argument"),
    ("transcribe", {"file_path": "{fast-3}", "langauge": "en"}, "invalid_argument"),
    ("transcribe", {"file_path": "{fast-3}", "wait_s": 600}, "invalid_argument"),
    ("transcribe", {}, "invalid_argument"),
    ("no_such_tool", {}, "invalid_argument"),
    ("search_transcripts", {"query": "…"}, "invalid_argument"),
    ("label_speakers", {"transcript_id": "$transcript_id", "labels": {"Ana": "Ana"}}, "invalid_argument"),
    ("transcribe", {"file_path": "/nowhere/a.wav"}, "file_not_found"),
    ("align", {"file_path": "{fast-3}", "transcript_path": "/nowhere/a.srt"}, "file_not_found"),
    ("transcribe", {"file_path": "{folder}"}, "not_a_file"),
    ("transcribe", {"file_path": "{letter.mp3}"}, "not_media"),
    ("transcribe", {"file_path": "{silent.mp4}"}, "no_audio_stream"),
    ("transcribe", {"file_path": "{empty.wav}"}, "empty_audio"),
    ("transcribe", {"file_path": "{cut.wav}"}, "truncated_media"),
    ("transcribe", {"file_path": "{bought.m4p}"}, "protected_media"),
    ("transcribe", {"file_path": "{long.wav}"}, "audio_too_long"),
    ("align", {"file_path": "{fast-3}", "segments": [{"nothing": 1}]}, "invalid_transcript"),
    ("get_transcript", {"transcript_id": "tr_x"}, "transcript_not_found"),
    ("label_speakers", {"transcript_id": "tr_x"}, "transcript_not_found"),
    ("delete_transcript", {"transcript_id": "tr_x"}, "transcript_not_found"),
    ("get_transcript", {"transcript_id": "$transcript_id", "cursor": "x"}, "invalid_cursor"),
    ("get_job", {"job_id": "job_x"}, "job_not_found"),
    ("cancel_job", {"job_id": "job_x"}, "job_not_found"),
    ("forget_voice", {"voice": "Nobody"}, "voice_not_found"),
    (
        "label_speakers",
        {"transcript_id": "$transcript_id", "labels": {"SPEAKER_07": "Eve"}, "remember": True},
        "voice_not_usable",
    ),
    ("transcribe", {"file_path": "{memory}"}, "out_of_memory"),
    ("transcribe", {"file_path": "{broken}"}, "internal_error"),
    ("transcribe", {"file_path": "{refused}"}, "backend_unavailable"),
    ("transcribe", {"file_path": "{crash}"}, "worker_died"),
)
# Errors of the models, of failing disks and of the operating system: here the worker says so.
FROM_THE_WORKER = (
    "access_denied",
    "file_unreadable",
    "file_changed",
    "model_not_found",
    "model_not_downloaded",
    "model_damaged",
    "download_failed",
    "stage_failed",
    "failed_to_align",
)
NEVER_FROM_THE_SERVER = {
    "job_cancelled": "a cancelled job is a result with that status",
    "output_failed": "only the command line writes into folders that are asked for",
}
THROWN = (
    ({"resource": "transcript://tr_000000000000000000000000/md"}, "transcript_not_found"),
    ({"resource": "transcript://tr_1/exe"}, "transcript://tr_1/exe"),
    ({"resource": "file:///etc/passwd"}, "file:///etc/passwd"),
    ({"prompt": "no_such_prompt"}, "no_such_prompt"),
    ({"prompt": "minutes"}, "source"),
)


@pytest.fixture
def files(recording):
    """Paths by name."""
    names = ("fast-2", "fast-3", "memory", "broken", "refused", "crash", "stubborn", "hours")
    paths = {name: Path(recording(name)) for name in names}
    folder = paths["crash"].parent
    sound = media.babble(2.0)
    (folder / "letter.mp3").write_text("Dear Ana, " * 100)
    whole = media.wav(folder / "whole.wav", sound)
    made = (
        media.encode(folder / "silent.mp4", video_s=1.0),
        media.wav(folder / "empty.wav", sound[:0]),
        media.cut(folder / "cut.wav", whole, 0.0004),
        media.fairplay(folder / "bought.m4p", sound),
        media.wav(folder / "long.wav", media.babble(30.0)),
        folder / "letter.mp3",
    )
    return {"folder": folder, **paths, **{path.name: path for path in made}}


@pytest.fixture
def asked(run, files):
    """The tools' names, and what the TypeScript client gets for a list of calls, from a server of its own."""

    def ask(calls, **settings):
        command = ("node", "client.mjs", sys.executable, str(HERE / "serve_fake.py"))
        text = json.dumps(calls)
        for name, path in files.items():
            text = text.replace(json.dumps(f"{{{name}}}"), json.dumps(str(path)))
        done = run(*command, str(files["folder"]), json.dumps(settings), input=text)
        answers = json.loads(done.stdout)
        return answers["tools"], answers["seen"]

    return ask


def error_of(answer):
    """The code of an answer that is an error; errors are text alone."""
    result = answer["result"]
    assert result["isError"] is True, answer
    assert "structuredContent" not in result
    line, data = result["content"][0]["text"].split("\n")
    error = json.loads(data)["error"]
    assert line == f"{error['code']}: {error['message']}"
    assert error["hint"]
    return error["code"]


def test_the_typescript_client_takes_every_result_and_every_error(asked, recording):
    for code in FROM_THE_WORKER:
        recording(f"code-{code}")
    folder = Path(recording("fast-3")).parent
    bad = [(tool, given) for tool, given, _code in BAD]
    bad += [("transcribe", {"file_path": str(folder / f"code-{code}.wav")}) for code in FROM_THE_WORKER]
    calls = [{"tool": tool, "arguments": given} for tool, given in (*GOOD, *bad)]
    tools, seen = asked(calls, defaults={"max_duration_s": 20.0})
    for call, answer in zip(calls, seen, strict=True):
        assert "thrown" not in answer, (call, answer)
    assert {tool for tool, _given in GOOD} == set(tools)
    for call, answer in zip(calls, seen[: len(GOOD)], strict=False):
        assert not answer["result"].get("isError"), (call, answer)
        assert answer["result"]["structuredContent"]
        assert answer["result"]["content"][0]["text"]
    codes = [*(code for _tool, _given, code in BAD), *FROM_THE_WORKER]
    for call, answer, code in zip(calls[len(GOOD) :], seen[len(GOOD) :], codes, strict=True):
        assert error_of(answer) == code, (call, answer)
    assert {*codes, "queue_full", "store_failed"} == CODES.keys() - NEVER_FROM_THE_SERVER.keys()


def test_the_typescript_client_is_told_that_the_queue_is_full(asked, recording):
    names = ("stubborn", "steps-1", "steps-2", "steps-3")
    calls = [{"tool": "transcribe", "arguments": {"file_path": recording(n), "wait_s": 2}} for n in names]
    _, (*fine, full) = asked(calls, max_waiting=2)
    assert {answer["result"]["structuredContent"]["status"] for answer in fine} <= {"queued", "running"}
    assert error_of(full) == "queue_full"


def test_the_typescript_client_is_told_that_the_library_is_broken(asked, tmp_path):
    (tmp_path / "state").mkdir()
    (tmp_path / "state" / "library.sqlite").write_bytes(b"no database" * 5000)
    tools = ("list_transcripts", "list_jobs", "list_voices", "search_transcripts", "health_check")
    given = {"search_transcripts": {"query": "fox"}}
    calls = [{"tool": tool, "arguments": given.get(tool, {})} for tool in tools]
    _, (*broken, health) = asked(calls)
    assert [error_of(answer) for answer in broken] == ["store_failed"] * 4
    assert health["result"]["structuredContent"]["ok"] is False


def test_the_typescript_client_throws_what_is_no_tool_s_error(asked):
    _, seen = asked([call for call, _told in THROWN])
    for (call, told), answer in zip(THROWN, seen, strict=True):
        assert told in answer.get("thrown", ""), (call, answer)
        assert answer["code"] in (-32602, -32002)
