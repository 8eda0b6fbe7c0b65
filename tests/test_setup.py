"""Set-up is pinned: what the project needs is in the requirement files, with hashes and without addresses."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
FILES = sorted((ROOT / "requirements").glob("*.txt"))


def pinned(name: str) -> dict[str, set[str]]:
    """Versions by package; several where Python versions or systems differ."""
    versions: dict[str, set[str]] = {}
    for package, version in re.findall(
        r"^([\w.-]+)==([\w.+!-]+)", (ROOT / "requirements" / name).read_text(), flags=re.MULTILINE
    ):
        versions.setdefault(canonicalize_name(package), set()).add(version)
    return versions


def needed(*extras: str) -> list[Requirement]:
    lines = list(PROJECT["dependencies"])
    for extra in extras:
        lines += PROJECT["optional-dependencies"][extra]
    return [Requirement(line) for line in lines]


@pytest.mark.parametrize(
    ("file", "extras"), [("base.txt", ("cpu",)), ("dev.txt", ("cpu", "dev"))], ids=["base", "dev"]
)
def test_what_the_project_needs_is_pinned_within_its_range(file: str, extras: tuple[str, ...]) -> None:
    versions = pinned(file)
    for requirement in needed(*extras):
        found = versions.get(canonicalize_name(requirement.name), set())
        assert found, f"{requirement.name} is missing: run `make requirements`"
        assert all(requirement.specifier.contains(version) for version in found), requirement


def test_running_and_testing_use_the_same_versions() -> None:
    base, dev, cpwer = pinned("base.txt"), pinned("dev.txt"), pinned("cpwer.txt")
    assert {name: dev.get(name) for name in base} == base
    assert {name: dev[name] for name in cpwer if name in dev} == {n: v for n, v in cpwer.items() if n in dev}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_every_pin_has_hashes(path: Path) -> None:
    entries = re.split(r"\n(?=\S)", path.read_text("utf-8").strip())
    assert [entry for entry in entries if "--hash=sha256:" not in entry] == []


@pytest.mark.parametrize("path", [*FILES, *sorted((ROOT / "requirements").glob("*.in")), ROOT / "Makefile"])
def test_no_file_of_the_set_up_has_an_address(path: Path) -> None:
    assert not re.search(r"https?://|--index|--find-links", path.read_text("utf-8"))
