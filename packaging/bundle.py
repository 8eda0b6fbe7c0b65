"""Builds the bundle that Claude Desktop installs with a double click: ``python packaging/bundle.py OUT.mcpb``.

An ``.mcpb`` is a zip with a manifest (version 0.4) and, for a server of the type ``uv``, the source with its
``pyproject.toml``; the client makes the environment. Checked with ``mcpb validate`` where Node is there.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path
from typing import Any

import anyio

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("schemas", "pipeline", "mcp_server")
EXTRAS = ("pyproject.toml", "README.md", "LICENSE")
MCPB = "@anthropic-ai/mcpb@2.1.2"


def manifest() -> dict[str, Any]:
    """What the client shows, asks and starts."""
    with (ROOT / "pyproject.toml").open("rb") as file:
        project = tomllib.load(file)["project"]
    server = ["run", "--directory", "${__dirname}", "--extra", "cpu", "whisperx-mlx-mcp"]
    return {
        "manifest_version": "0.4",
        "name": project["name"],
        "display_name": "Meeting transcription (local)",
        "version": project["version"],
        "description": project["description"],
        "author": {"name": f"The authors of {project['name']}"},
        "license": project["license"],
        "keywords": project["keywords"],
        "server": {
            "type": "uv",
            "entry_point": "mcp_server/__main__.py",
            "mcp_config": {
                "command": "uv",
                "args": [*server, "--allow-dir", "${user_config.folders}"],
            },
        },
        "compatibility": {
            "platforms": ["darwin", "linux"],
            "runtimes": {"python": project["requires-python"]},
        },
        "user_config": {
            "folders": {
                "type": "directory",
                "title": "Folders with recordings",
                "description": "Only recordings in these folders can be read.",
                "multiple": True,
                "required": True,
                "default": ["${HOME}/Documents"],
            },
        },
        "tools": anyio.run(_tools),
        "prompts_generated": True,
    }


async def _tools() -> list[dict[str, str]]:
    from mcp_server.server import build
    from mcp_server.settings import Settings

    server, _service = build(Settings())
    return [{"name": tool.name, "description": tool.description} for tool in await server.list_tools()]


def files() -> list[Path]:
    """What goes into the bundle."""
    sources = [
        path
        for package in PACKAGES
        for path in sorted((ROOT / package).rglob("*"))
        if path.is_file() and "__pycache__" not in path.parts
    ]
    return [*(ROOT / name for name in EXTRAS), *sources]


def write(target: Path) -> None:
    """The same bytes for the same source."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as bundle:
        _add(bundle, "manifest.json", (json.dumps(manifest(), indent=2, ensure_ascii=False) + "\n").encode())
        for path in files():
            _add(bundle, str(path.relative_to(ROOT)), path.read_bytes())


def _add(bundle: zipfile.ZipFile, name: str, data: bytes) -> None:
    entry = zipfile.ZipInfo(name)
    entry.compress_type, entry.external_attr = zipfile.ZIP_DEFLATED, 0o644 << 16
    bundle.writestr(entry, data)


def validate(target: Path) -> str | None:
    """What ``mcpb validate`` says against the manifest; none where it is content or cannot be had."""
    folder = target.with_suffix(".manifest")
    folder.mkdir(exist_ok=True)
    path = folder / "manifest.json"
    try:
        path.write_bytes(zipfile.ZipFile(target).read("manifest.json"))
        done = subprocess.run(
            ["npx", "--yes", MCPB, "validate", str(path)],
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
    except (OSError, subprocess.SubprocessError) as error:
        print(f"not checked with mcpb validate: {error}", file=sys.stderr)
        return None
    finally:
        path.unlink(missing_ok=True)
        folder.rmdir()
    return None if done.returncode == 0 else done.stdout + done.stderr


def main() -> int:
    """Exit status 1 when the manifest is wrong."""
    target = Path(sys.argv[1] if len(sys.argv) > 1 else "dist/whisperx-mlx-mcp.mcpb")
    write(target)
    problems = validate(target)
    print(problems or f"{target}: {target.stat().st_size / 1e6:.1f} MB")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
