"""Options and fixtures that all tests share."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

os.environ["PYANNOTE_METRICS_ENABLED"] = "0"  # before anything imports pyannote


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--update-golden", action="store_true", help="write the golden files anew, then read the diff"
    )


@pytest.fixture(scope="session")
def shipped() -> Path:
    """The folder of recordings that come with the project."""
    return Path(__file__).parent / "data"
