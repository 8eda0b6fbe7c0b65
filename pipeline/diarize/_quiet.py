"""pyannote.audio imported and run without telemetry and without its notices."""

from __future__ import annotations

import io
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout


@contextmanager
def quiet() -> Iterator[None]:
    """Telemetry off, warnings and prints swallowed. Import pyannote for the first time inside.

    pyannote.audio reports the length of every recording to its makers unless told otherwise, warns at import
    that torchcodec lacks FFmpeg (nothing is ever decoded with it here), and prints to stdout when it cannot
    make as many clusters as were asked for (callers compare the count themselves).
    """
    os.environ["PYANNOTE_METRICS_ENABLED"] = "0"
    with warnings.catch_warnings(), redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        yield
