"""The bundle's server, unpacked, installed and started as Claude Desktop does it: by its manifest.

The packages that it depends on are those of the tests' own environment: fetching them again would take minutes.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest
from rawclient import ROOT, RawServer

UV = shutil.which("uv") or shutil.which("uv", path=str(Path(sys.executable).parent))

pytestmark = pytest.mark.slow


def run(*command, **options):
    done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False, **options)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory):
    """The bundle's folder."""
    folder = tmp_path_factory.mktemp("bundle")
    code = "import runpy, sys; runpy.run_path(sys.argv[1])['write'](__import__('pathlib').Path(sys.argv[2]))"
    script, bundle = ROOT / "packaging" / "bundle.py", folder / "a.mcpb"
    run(sys.executable, "-c", code, script, bundle, env={**os.environ, "PYTHONPATH": str(ROOT)})
    zipfile.ZipFile(bundle).extractall(folder / "unpacked")
    return folder / "unpacked"


@pytest.fixture(scope="module")
def environment(unpacked):
    """An environment with the bundle's project in it, built from the bundle, and the tests' packages behind it."""
    if UV is None:
        pytest.skip("uv is not installed")
    folder = unpacked.parent / "environment"
    run(UV, "venv", "--quiet", "--offline", "--python", sys.executable, folder)
    (packages,) = folder.glob("lib/python*/site-packages")
    (packages / "packages_of_the_tests.pth").write_text(sysconfig.get_path("purelib") + "\n")
    python = folder / "bin" / "python"
    build = ("--quiet", "--offline", "--no-deps", "--no-build-isolation")
    run(UV, "pip", "install", *build, "--python", python, "--editable", unpacked)
    return folder


def filled(argument, values):
    """An argument of the manifest with what the client puts in; a folder each where there are several."""
    name = re.fullmatch(r"\$\{user_config\.(\w+)\}", argument)
    if name:
        return list(map(str, values[name[1]]))
    return [argument.replace("${__dirname}", values["__dirname"])]


def test_the_bundle_s_server_starts_by_its_manifest_and_has_the_tools_that_it_names(
    unpacked, environment, tmp_path
):
    manifest = json.loads((unpacked / "manifest.json").read_text())
    folders = [tmp_path / "with a space", tmp_path / "other"]
    for folder in folders:
        folder.mkdir()
    values = {"__dirname": str(unpacked), "folders": folders}
    how = manifest["server"]["mcp_config"]
    assert how["command"] == "uv"
    command = [UV, *(part for argument in how["args"] for part in filled(argument, values))]
    env = {"UV_PROJECT_ENVIRONMENT": str(environment), "UV_NO_SYNC": "1", "UV_OFFLINE": "1", "PYTHONPATH": ""}
    with RawServer(tmp_path / "state", command=command, env=env) as server:
        answer = server.initialize()
        assert answer["serverInfo"]["version"] == manifest["version"]
        listed = server.request("tools/list", {})["tools"]
        assert [tool["name"] for tool in listed] == [tool["name"] for tool in manifest["tools"]]
        health = server.result("health_check")
        assert health["allowed_folders"] == list(map(str, folders))
        assert health["plan"]["vad"]["backend"] == "silero"  # the environment's packages are seen
        assert server.error("transcribe", file_path=str(folders[0]))["code"] == "not_a_file"
        assert server.close_stdin() == 0
