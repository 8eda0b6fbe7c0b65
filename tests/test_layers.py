"""Imports point one way, heavy packages are imported only where they are used, and the front door is light."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.backends import ROOMS

ROOT = Path(__file__).parent.parent
ABOVE = {"schemas": {"pipeline", "mcp_server"}, "pipeline": {"mcp_server"}, "mcp_server": set()}
FILES = [path for package in ABOVE for path in sorted((ROOT / package).rglob("*.py"))]
HEAVY = {
    "ctranslate2",
    "faster_whisper",
    "matplotlib",
    "mlx",
    "mlx_whisper",
    "numba",
    "onnxruntime",
    "pandas",
    "pyannote",
    "silero_vad",
    "torch",
    "torchaudio",
    "transformers",
    "whisperx",
}
SCHEMAS_MAY_IMPORT = {"pydantic", "schemas"} | sys.stdlib_module_names


def imported(node: ast.AST, *, everywhere: bool) -> Iterator[str]:
    """Dotted names of imports; those in functions and under ``TYPE_CHECKING`` only if ``everywhere``."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import):
            yield from (alias.name for alias in child.names)
        elif isinstance(child, ast.ImportFrom):
            assert child.level == 0, "imports are absolute"
            yield child.module
            yield from (f"{child.module}.{alias.name}" for alias in child.names)
        elif everywhere or not (
            isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef) or _for_types(child)
        ):
            yield from imported(child, everywhere=everywhere)


def packages(path: Path, *, everywhere: bool) -> set[str]:
    """Top-level names of what a file imports."""
    return {name.split(".")[0] for name in imported(tree(path), everywhere=everywhere)}


def may_be_network(path: Path) -> bool:
    """Helpers of rooms, and packages that are no room, may be made of torch's or MLX's classes."""
    folder = path.relative_to(ROOT).parts[:-1]
    if folder[0] != "pipeline" or len(folder) == 1 or folder[1] == "writers":
        return False
    return folder[1] not in ROOMS or (path.stem.startswith("_") and path.stem != "__init__")


def networks() -> frozenset[Path]:
    """Files that define networks or kernels, or are built on such; only a backend's ``load`` may import them."""
    candidates = {dotted(path): path for path in FILES if may_be_network(path)}
    found: dict[str, Path] = {}
    while True:
        more = {
            name: path
            for name, path in candidates.items()
            if name not in found
            and (HEAVY & packages(path, everywhere=False) or found.keys() & set(light_imports(path)))
        }
        if not more:
            return frozenset(found.values())
        found |= more


def light_imports(path: Path) -> list[str]:
    """Dotted names that importing the file imports."""
    return list(imported(tree(path), everywhere=False))


def _for_types(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


def dotted(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text("utf-8"))


NETWORKS = networks()


@pytest.mark.parametrize("path", FILES, ids=name_of)
def test_imports_point_from_mcp_server_to_pipeline_to_schemas(path: Path) -> None:
    assert not ABOVE[path.relative_to(ROOT).parts[0]] & packages(path, everywhere=True)


CORES = ("alignment_core", "diarization_core", "spoken", "wav2vec2", "whisper_mlx")
"""Packages of methods and networks, which the stages' rooms are built on."""


@pytest.mark.parametrize("core", CORES)
def test_what_the_rooms_are_built_on_knows_none_of_them(core: str) -> None:
    rooms = {f"pipeline.{room}" for room in ROOMS}
    files = [path for path in FILES if path.parent == ROOT / "pipeline" / core]
    used = {".".join(name.split(".")[:2]) for path in files for name in imported(tree(path), everywhere=True)}
    assert files
    assert not rooms & used


@pytest.mark.parametrize("path", [path for path in FILES if path not in NETWORKS], ids=name_of)
def test_importing_a_file_imports_nothing_heavy(path: Path) -> None:
    assert not HEAVY & packages(path, everywhere=False)
    assert not {dotted(network) for network in NETWORKS} & set(light_imports(path))


@pytest.mark.parametrize("path", sorted((ROOT / "schemas").glob("*.py")), ids=name_of)
def test_schemas_need_pydantic_and_the_standard_library_only(path: Path) -> None:
    assert packages(path, everywhere=True) <= SCHEMAS_MAY_IMPORT


@pytest.mark.parametrize(
    "code",
    [
        "import mcp_server.__main__, mcp_server.server",
        "import pipeline.cli; pipeline.cli.main(['doctor'])",
        "import pipeline._cli_flags as flags; flags.build_parser().format_help()",
        "from pipeline import transcribe, align, diarize, transcribe_diarized",
    ],
)
def test_the_front_door_loads_nothing_heavy(code: str) -> None:
    ask = f"{code}\nimport json, sys; print('\\n' + json.dumps(list(sys.modules)))"
    out = subprocess.run([sys.executable, "-c", ask], capture_output=True, text=True, check=True, cwd=ROOT)
    loaded = set(json.loads(out.stdout.splitlines()[-1])) - {
        "pyannote"
    }  # an empty namespace; looked into, not loaded
    assert not HEAVY & {name.split(".")[0] for name in loaded}
