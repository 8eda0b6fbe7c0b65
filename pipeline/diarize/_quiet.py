"""pyannote.audio imported and run without telemetry and without its notices."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def quiet() -> Iterator[None]:
    """Telemetry off, warnings swallowed. Import pyannote for the first time inside.

    pyannote.audio reports the length of every recording to its makers unless told otherwise, and warns at import
    that torchcodec lacks FFmpeg (nothing is ever decoded with it here).
    """
    os.environ["PYANNOTE_METRICS_ENABLED"] = "0"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
