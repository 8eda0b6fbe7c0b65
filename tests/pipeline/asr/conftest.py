"""Loaded backends and short clips, shared by this room's tests."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache, lru_cache
from pathlib import Path

import numpy as np
import pytest

from pipeline import backends
from pipeline.asr import ChunkText
from pipeline.plan import Choice
from pipeline.recording import Recording
from pipeline.vad import Chunk, SpeechRegion
from schemas.errors import BackendUnavailable
from schemas.options import Options

DATA = Path(__file__).parents[2] / "data"

ENGLISH = (
    "Welcome back to the weekly status meeting. Thank you. The new server was installed on Monday morning. "
    "How long did the work take? It took about seven hours, including the lunch break."
)
SPANISH = "Buenos días, Javier. Empezamos con el informe de ventas de septiembre."


@pytest.fixture(scope="module")
def loaded(starter_weights) -> Iterator[Callable[..., object]]:
    """``loaded(backend, model="base", **options)``: a backend with starter weights, on the CPU.

    A few are kept, for each holds its own copy of the weights.
    """
    from pipeline.pool import ModelPool

    @lru_cache(maxsize=3)
    def get(backend: str, model: str = "base", compute_type: str = "auto", **options: object):
        module = backends.module("asr", backend)
        if module.MODEL_KIND is not None:
            starter_weights(module.MODEL_KIND, model, module.MODEL_FORMATS[0])
        choice = Choice(backend, "cpu", model, compute_type, required=True, model_required=True)
        try:
            return backends.load("asr", choice, Options.from_flat(**options))
        except BackendUnavailable as error:
            pytest.skip(error.message)

    yield get
    get.cache_clear()
    ModelPool().unload()  # collects, and gives MLX's buffers back


@pytest.fixture(scope="session")
def english() -> tuple[Recording, list[Chunk]]:
    """12.6 s of flite's voices in two chunks; :data:`ENGLISH` is said."""
    from pipeline.audio import load_waveform

    recording = Recording.from_array(load_waveform(DATA / "syn_en_flite_words.flac"))
    first = Chunk(0.2, 6.6, (SpeechRegion(0.4, 2.6), SpeechRegion(3.0, 6.4)))
    second = Chunk(6.65, 12.6, (SpeechRegion(6.8, 8.2), SpeechRegion(8.6, 12.4)))
    return recording, [first, second]


@pytest.fixture(scope="session")
def spanish() -> tuple[Recording, list[Chunk]]:
    """4.4 s; :data:`SPANISH` is said."""
    from pipeline.audio import load_waveform

    recording = Recording.from_array(load_waveform(DATA / "syn_es_meeting.flac"))
    return recording, [Chunk(0.2, 4.55, (SpeechRegion(0.4, 4.4),))]


@pytest.fixture(scope="module")
def english_kept(loaded, english) -> Callable[[str], tuple[dict[int, ChunkText], dict[float, np.ndarray]]]:
    """``english_kept(backend)``: the texts of both chunks by number, and the encoder's output by its start.

    Each backend does them once.
    """

    @cache
    def get(backend: str) -> tuple[dict[int, ChunkText], dict[float, np.ndarray]]:
        recording, chunks = english
        kept: dict[float, np.ndarray] = {}
        texts = list(
            loaded(backend).transcribe(recording, list(enumerate(chunks)), "English", kept.__setitem__)
        )
        assert sorted(t.index for t in texts) == [0, 1], "every chunk comes back once"
        return {t.index: t for t in texts}, kept

    return get


@pytest.fixture(scope="module")
def english_texts(english_kept) -> Callable[[str], dict[int, ChunkText]]:
    """``english_texts(backend)``: the texts of both chunks by number."""
    return lambda backend: english_kept(backend)[0]
