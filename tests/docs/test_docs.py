"""What the documentation names is what the code has: tools, flags, formats, backends, codes, commands, links."""

from __future__ import annotations

import ast
import re
import shlex
import tomllib
from collections.abc import Iterator
from pathlib import Path

import anyio
import pytest

from pipeline import backends, bench, cli
from pipeline._cli_flags import build_parser, parse
from pipeline.readers._build import MAX_SEGMENTS, MAX_WORDS
from pipeline.writers import FORMATS
from schemas.errors import CODES, from_dict
from schemas.report import WARNINGS

ROOT = Path(__file__).parent.parent.parent
README = (ROOT / "README.md").read_text("utf-8")
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
SOURCES = [path for room in ("pipeline", "mcp_server") for path in sorted((ROOT / room).rglob("*.py"))]


def page(name: str) -> str:
    return (ROOT / "docs" / name).read_text("utf-8")


def table(text: str, *header: str) -> list[list[str]]:
    """Rows of the tables with that header; code marks are taken off."""
    rows, inside = [], False
    for line in text.splitlines():
        cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
        if cells == list(header):
            inside = True
        elif not cells:
            inside = False
        elif inside and not set(line) <= set("|-: "):
            rows.append(cells)
    return rows


def test_every_dependency_says_what_it_is_for() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    named = [re.match(r"[\w.-]+", requirement)[0] for requirement in project["dependencies"]]
    rows = dict(table(page("architecture.md"), "dependency", "what for"))
    assert list(rows) == sorted(named)
    assert all(rows.values())


def marked(cell: str) -> list[str]:
    """What stands between code marks."""
    return re.findall(r"`([^`]+)`", cell)


def sections(text: str) -> dict[str, str]:
    """Texts by second-level heading."""
    parts = re.split(r"^## (.+)$", text, flags=re.MULTILINE)
    return {name: body.strip() for name, body in zip(parts[1::2], parts[2::2], strict=True)}


def test_the_readme_has_every_tool() -> None:
    from mcp_server.server import build
    from mcp_server.settings import Settings

    async def names() -> set[str]:
        server, _service = build(Settings())
        return {tool.name for tool in await server.list_tools()}

    assert {marked(row[0])[0] for row in table(README, "tool", "what it does")} == anyio.run(names)


def test_the_readme_has_every_backend() -> None:
    rows = table(README, "stage", "backend", "what it is")
    named = {(row[0], marked(row[1])[0]) for row in rows}
    assert named == {(room, name) for room in backends.ROOMS for name in backends.available(room)}


def test_the_readme_has_every_format() -> None:
    listed = re.search(r"Formats are ([^;]*);", README)[1]
    assert set(re.findall(r"\w+", listed)) - {"and"} == set(FORMATS)


def test_the_transcripts_page_has_every_format_that_can_be_read() -> None:
    from pipeline import readers

    rows = table(page("transcripts.md"), "format", "what is read")
    assert [marked(row[0])[0] for row in rows] == list(readers.FORMATS)
    named = page("transcripts.md").replace(",", "")
    for bound in (readers.MAX_CHARACTERS >> 20 << 20, MAX_SEGMENTS, MAX_WORDS):
        assert str(bound) in named or f"{bound >> 20} million characters" in named


def documented_flags() -> dict[str, list[str]]:
    rows = table(page("command-line.md"), "flag", "what", "default")
    return {marked(row[0])[0]: row for row in rows}


def test_the_flags_page_has_every_flag() -> None:
    known = {action.option_strings[0] for action in build_parser()._actions if action.option_strings}
    assert documented_flags().keys() == known - {"-h"}


@pytest.mark.parametrize(
    "action", [a for a in build_parser()._actions if a.dest not in ("help", "audio")], ids=lambda a: a.dest
)
def test_a_flag_s_other_names_choices_and_default_are_on_the_page(action) -> None:
    names, what, default = documented_flags()[action.option_strings[0]]
    assert marked(names) == action.option_strings
    assert [choice for choice in action.choices or () if choice not in marked(what)] == []
    shown = re.search(r"\(default: (.*)\)$", action.help)
    assert marked(default) == ([shown[1]] if shown else [])


def test_the_measuring_page_has_every_flag_and_every_system() -> None:
    rows = {
        marked(row[0])[0].split()[0]: row for row in table(page("measuring.md"), "flag", "what", "default")
    }
    actions = {a.option_strings[0]: a for a in bench.parser()._actions if a.option_strings}
    assert rows.keys() == actions.keys() - {"-h"}
    assert set(bench.SYSTEMS) <= set(marked(rows["--systems"][1]))
    assert marked(rows["--systems"][2]) == [",".join(bench.USUAL)]


def test_the_server_page_has_every_flag_and_every_variable() -> None:
    from mcp_server.__main__ import _parser

    rows = table(page("server.md"), "flag", "what", "default")
    actions = {action.option_strings[0]: action for action in _parser()._actions}
    assert {marked(row[0])[0] for row in rows} == actions.keys() - {"-h"}
    variables = {marked(row[0])[0] for row in table(page("server.md"), "variable", "what")}
    read = {text for path in SOURCES for text in strings(path) if re.fullmatch(r"WHISPERX_MLX_\w+", text)}
    assert {name for name in variables if name.startswith("WHISPERX_MLX_")} == read


def test_every_error_has_its_section_with_cause_and_exit_status() -> None:
    written = sections(page("errors.md"))
    assert written.keys() == CODES.keys()
    for code, body in written.items():
        status = cli.status_of(from_dict({"code": code, "message": ""}))
        cause, step = body.split("\n\n")
        assert cause == f"{CODES[code]} Exit status {status}."
        assert len(step) > 20


def test_every_warning_has_its_section() -> None:
    written = sections(page("warnings.md"))
    assert written.keys() == WARNINGS.keys()
    for code, body in written.items():
        meaning, step = body.split("\n\n")
        assert meaning == WARNINGS[code]
        assert len(step) > 20


def strings(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


def coded(path: Path) -> Iterator[str]:
    """Codes given to errors and warnings: ``code="…"``, and the first argument of ``warn``."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.keyword) and node.arg == "code" and isinstance(node.value, ast.Constant):
            yield node.value.value
        elif isinstance(node, ast.Call) and getattr(node.func, "attr", "") == "warn":
            yield from (arg.value for arg in node.args[:1] if isinstance(arg, ast.Constant))


def test_every_code_in_use_is_a_known_one() -> None:
    for path in SOURCES:
        assert set(coded(path)) <= CODES.keys() | WARNINGS.keys(), path


def test_every_known_code_is_in_use() -> None:
    from schemas import errors

    used = {text for path in SOURCES for text in strings(path)}
    used |= {kind.default_code for kind in vars(errors).values() if hasattr(kind, "default_code")}
    assert CODES.keys() | WARNINGS.keys() <= used


@pytest.mark.parametrize(
    "line", re.findall(r"^    \.venv/bin/whisperx-mlx (.*?)(?:\s+#.*)?$", README, flags=re.MULTILINE)
)
def test_the_commands_of_the_readme_are_understood(line: str) -> None:
    words = shlex.split(line)
    if words[0] == "models":
        from pipeline.models_cli import _parser as models_parser

        models_parser().parse_args(words[1:])
    elif words[0] == "bench":
        bench.parser().parse_args(words[1:])
    else:
        command = words[0] if words[0] in ("align", "doctor") else ""
        parse(words[bool(command) :], needs_audio=command != "doctor", align=command == "align")


def test_the_make_targets_of_the_documentation_exist() -> None:
    rules = re.findall(r"^([a-z0-9 -]+):", (ROOT / "Makefile").read_text("utf-8"), flags=re.MULTILINE)
    targets = {target for rule in rules for target in rule.split()}
    shown = re.compile(r"(?:`|^    )make ([a-z0-9-]+)", flags=re.MULTILINE)
    named = {target for path in PAGES for target in shown.findall(path.read_text("utf-8"))}
    assert {"demo", "test", "setup"} <= named <= targets


@pytest.mark.parametrize("path", PAGES, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_to_files_lead_somewhere(path: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", path.read_text("utf-8")):
        if "://" not in target:
            assert (path.parent / target).exists(), target


def test_the_spoken_forms_of_the_documentation_are_given() -> None:
    from pipeline.spoken import spoken_forms

    written = "2014 $5.20 3:45 21st 1990s 20°C 3% USA GPT-4 PDFs e-mail uh-huh sooo & Dr. etc. NASA"
    said = page("spoken-forms.md").split("## What it brings")[0]
    for word, forms in zip(written.split(), spoken_forms(written.split(), "en"), strict=True):
        assert f"`{word}`" in said, word
        assert any(re.search(rf"\b{re.escape(' '.join(form.words))}\b", said) for form in forms), word
