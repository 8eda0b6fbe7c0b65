"""Fixtures that several rooms' tests share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from recordings import WHY_ABSENT, shared_folder

from pipeline.model_files import ModelFiles
from schemas.errors import DownloadFailed


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
        entry = models.entry_named(kind, name)
        try:
            if not models.is_here(kind, name, formats=(format,)):
                models.pull(kind, entry.name)
            return models.find(kind, name, formats=(format,), required=True, **options)
        except DownloadFailed as error:
            pytest.skip(f"weights cannot be fetched: {error.message}")

    return get
