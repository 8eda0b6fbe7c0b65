"""Official tools and the TypeScript client against the server; left out where npm or its registry is missing."""

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from rawclient import ROOT

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


GOOD = (
    ("health_check", {}),
    ("list_jobs", {}),
    ("transcribe_diarized", {"file_path": "{fast-3}"}),
    ("list_transcripts", {}),
    ("search_transcripts", {"query": "fox"}),
    ("search_transcripts", {"query": "the quick brown fox", "exact": True}),
    ("list_voices", {}),
)
BAD = (
    ("transcribe", {"file_path": "meeting.m4a"}, "invalid_argument"),
    ("transcribe", {"file_path": "{fast-3}", "langauge": "en"}, "invalid_argument"),
    ("transcribe", {}, "invalid_argument"),
    ("no_such_tool", {}, "invalid_argument"),
    ("search_transcripts", {"query": "…"}, "invalid_argument"),
    ("transcribe", {"file_path": "/nowhere/a.wav"}, "file_not_found"),
    ("transcribe", {"file_path": "{folder}"}, "not_a_file"),
    ("transcribe", {"file_path": "{letter}"}, "not_media"),
    ("align", {"file_path": "{fast-3}", "segments": [{"nothing": 1}]}, "invalid_transcript"),
    ("get_transcript", {"transcript_id": "tr_x"}, "transcript_not_found"),
    ("label_speakers", {"transcript_id": "tr_x"}, "transcript_not_found"),
    ("delete_transcript", {"transcript_id": "tr_x"}, "transcript_not_found"),
    ("get_job", {"job_id": "job_x"}, "job_not_found"),
    ("cancel_job", {"job_id": "job_x"}, "job_not_found"),
    ("forget_voice", {"voice": "Nobody"}, "voice_not_found"),
    ("transcribe", {"file_path": "{memory}"}, "out_of_memory"),
    ("transcribe", {"file_path": "{broken}"}, "internal_error"),
    ("transcribe", {"file_path": "{refused}"}, "backend_unavailable"),
    ("transcribe", {"file_path": "{crash}"}, "worker_died"),
)


def test_the_typescript_client_takes_every_result_and_every_error(run, recording):
    names = ("fast-3", "memory", "broken", "refused", "crash")
    paths = {name: recording(name) for name in names}
    folder = Path(paths["crash"]).parent
    (folder / "letter.mp3").write_text("Dear Ana, " * 100)
    paths |= {"folder": str(folder), "letter": str(folder / "letter.mp3")}

    def filled(given):
        return {
            name: paths[value[1:-1]] if isinstance(value, str) and value[:1] == "{" else value
            for name, value in given.items()
        }

    calls = [{"tool": tool, "arguments": filled(given)} for tool, given, *_ in (*GOOD, *BAD)]
    command = ("node", "client.mjs", sys.executable, str(HERE / "serve_fake.py"), str(folder))
    done = run(*command, input=json.dumps(calls))
    seen = json.loads(done.stdout)
    for call, answer in zip(calls, seen, strict=True):
        assert "thrown" not in answer, (call, answer)
    results = [answer["result"] for answer in seen]
    for call, result in zip(calls, results[: len(GOOD)], strict=False):
        assert not result.get("isError"), (call, result)
        assert result["structuredContent"]
        assert result["content"][0]["text"]
    for (tool, _given, code), result in zip(BAD, results[len(GOOD) :], strict=True):
        assert result["isError"] is True
        assert result["content"][0]["text"].startswith(f"{code}: "), (tool, result)
        assert "structuredContent" not in result
