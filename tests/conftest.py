"""Options and fixtures that all tests share."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from recordings import WHY_ABSENT, shared_folder

from pipeline.model_files import ModelFiles
from schemas.errors import DownloadFailed

os.environ["PYANNOTE_METRICS_ENABLED"] = "0"  # before anything imports pyannote
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # as pipeline.backends; before anything imports torch


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--update-golden", action="store_true", help="write the golden files anew, then read the diff"
    )


@pytest.fixture(scope="session")
def shipped() -> Path:
    """The folder of recordings that come with the project."""
    return Path(__file__).parent / "data"


@pytest.fixture(scope="session")
def shared_audio() -> Path:
    """The folder of real recordings with references; the test is skipped where it is absent."""
    folder = shared_folder()
    if folder is None:
        pytest.skip(WHY_ABSENT)
    return folder


@pytest.fixture(scope="session")
def starter_weights() -> Callable[..., ModelFiles]:
    """``starter_weights(kind, name, format)``: real weights that need no hub, fetched if they are not here.

    The test is skipped, with the reason, where they cannot be fetched.
    """
    from pipeline import models

    def get(kind: str, name: str, format: str, **options: str) -> ModelFiles:
        try:
            if not models.is_here(kind, name, formats=(format,)):
                models.pull(kind, name, formats=("ctranslate2",) if format == "mlx" else (format,))
            return models.find(kind, name, formats=(format,), required=True, **options)
        except DownloadFailed as error:
            pytest.skip(f"weights cannot be fetched: {error.message}")

    return get
