"""The bundle for Claude Desktop."""

import importlib.util
import json
import zipfile
from pathlib import Path

import anyio
import pytest

from mcp_server.server import build
from mcp_server.settings import Settings

ROOT = Path(__file__).parent.parent
spec = importlib.util.spec_from_file_location("bundle", ROOT / "packaging" / "bundle.py")
bundle = importlib.util.module_from_spec(spec)
spec.loader.exec_module(bundle)


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    path = tmp_path_factory.mktemp("bundle") / "a.mcpb"
    bundle.write(path)
    return path


def test_the_manifest_names_the_tools_and_an_entry_point_that_is_there(built):
    async def names():
        return [tool.name for tool in await build(Settings())[0].list_tools()]

    with zipfile.ZipFile(built) as opened:
        manifest = json.loads(opened.read("manifest.json"))
        inside = set(opened.namelist())
    assert [tool["name"] for tool in manifest["tools"]] == anyio.run(names)
    assert manifest["server"]["entry_point"] in inside
    assert {"pyproject.toml", "LICENSE", "README.md"} <= inside
    wanted = {f"${{user_config.{name}}}" for name in manifest["user_config"]}
    assert wanted <= set(manifest["server"]["mcp_config"]["args"])


def test_it_holds_all_of_the_source_and_nothing_else(built):
    with zipfile.ZipFile(built) as opened:
        inside = set(opened.namelist())
    for package in bundle.PACKAGES:
        source = {str(path.relative_to(ROOT)) for path in (ROOT / package).rglob("*.py")}
        assert source <= inside
    assert not [name for name in inside if name.startswith("tests") or "__pycache__" in name]


def test_the_same_source_gives_the_same_bytes(built, tmp_path):
    bundle.write(tmp_path / "b.mcpb")
    assert (tmp_path / "b.mcpb").read_bytes() == built.read_bytes()
