"""Every aligner of the room, loaded once, with real weights of the kind that each one reads."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tiny_wav2vec2

from pipeline import backends
from pipeline.plan import Choice
from schemas.options import Options


@pytest.fixture(scope="session")
def tones(tmp_path_factory) -> Path:
    """A folder with a wav2vec2 CTC checkpoint that reads tones."""
    pytest.importorskip("torch")
    return tiny_wav2vec2.build(tmp_path_factory.mktemp("models") / "tones")


@pytest.fixture(scope="session")
def aligner(starter_weights, tones) -> Callable[[str], Any]:
    """``aligner(name)``: that backend on the CPU. A new backend is taught to load here."""
    loaded: dict[str, Any] = {}
    models = {
        "even": lambda: None,
        "encoder_head": lambda: starter_weights("whisper", "base", "mlx").name,
        "wav2vec2_mlx": lambda: str(tones),
        "whisperx": lambda: str(tones),
        "cross_attention": lambda: starter_weights("whisper", "base", "ctranslate2").name,
    }

    def get(name: str) -> Any:
        if name not in loaded:
            precision = "int8" if name == "cross_attention" else "float32"
            choice = Choice(name, "cpu", models[name](), precision, model_required=True)
            loaded[name] = backends.load("align", choice, Options.from_flat(threads=2))
        return loaded[name]

    return get
