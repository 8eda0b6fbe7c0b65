"""Word error rates of the ASR backends with the starter weights (Whisper base), through the real VAD.

What `check.wer` of a recording was measured with is faster-whisper itself (base, int8, beam 5), sequential on the
whole file: a batch of packed chunks may not be far from it. Ceilings leave room for processors, which round 8-bit
products differently (English alone: 25 to 28 errors of 458 words). All of it is public audio: regressions show,
and no claim is made.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from recordings import SHIPPED, entries, shared_folder

from pipeline import backends
from pipeline.plan import Choice
from pipeline.recording import SAMPLE_RATE, Recording
from pipeline.vad import pack
from pipeline.word_errors import Score, pooled, score
from schemas.options import Options

pytestmark = pytest.mark.slow

# Not scored: base is useless in Hindi; the normaliser writes "one two three" as 123; two people at once.
UNFIT = {"hi_fleurs", "en_uberi", "en_stereo_2ch_2spk"}
MARGIN = 0.08  # of a recording's rate over the sequential one, and as many as two words
LIBRIVOX = (
    "en_austen_0870",
    "en_austen_0890",
    "en_az_custom_a",
    "en_jfk",
    "en_leopard",
    "en_libri_2412_0",
    "en_sonnet1",
)
FEW = ("en_jfk", "es_leopard", "zh_uberi", "ja_leopard", "fr_leopard", "en_disfluent_a")

Heard = Callable[[str, str], str]


def entry(name: str) -> dict:
    return {e["id"]: e for e in entries(shared_folder(), "single", "multi")}[name]


def scored(*categories: str) -> list[dict]:
    return [e for e in entries(shared_folder(), *categories) if e["id"] not in UNFIT]


@pytest.fixture(scope="module")
def text_of(starter_weights) -> Callable[..., str]:
    """``text_of(backend, recording, language)``: what is said, decoded as a job does it."""
    vad = backends.load("vad", Choice("silero"), Options())

    @cache
    def loaded(backend: str):
        module = backends.module("asr", backend)
        starter_weights("whisper", "base", module.MODEL_FORMATS[0])
        compute_type = "int8" if backend == "faster_whisper" else "float32"
        choice = Choice(backend, "cpu", "base", compute_type, required=True, model_required=True)
        return backends.load("asr", choice, Options())

    def text(backend: str, recording: Recording, language: str) -> str:
        chunks = pack(vad.speech_regions(recording, lambda _: None), 30.0, recording)
        found = loaded(backend).transcribe(recording, list(enumerate(chunks)), language)
        segments = sorted((s for said in found for s in said.segments), key=lambda s: s.start)
        return " ".join(s.text for s in segments)

    return text


@pytest.fixture(scope="module")
def heard(text_of, shared_audio) -> Callable[[str, str], Score]:
    """``heard(backend, name)``: the errors on a recording of the shared folder; each is decoded once."""
    from pipeline.audio import load_waveform

    @cache
    def get(backend: str, name: str) -> Score:
        e = entry(name)
        recording = Recording.from_array(load_waveform(shared_audio / e["file"]))
        return score(e["text"], text_of(backend, recording, e["lang"]), e["lang"])

    return get


@pytest.mark.parametrize("name", [e["id"] for e in scored("single", "multi")])
def test_a_recording_is_heard_about_as_well_as_by_sequential_decoding(heard, name):
    found, expected = heard("faster_whisper", name), entry(name)["check"]["wer"]
    allowed = max(2.0, MARGIN * found.words)
    assert found.errors <= expected * found.words + allowed, str(found)


@pytest.mark.parametrize(
    ("category", "english", "ceiling"),
    [("single", True, 0.07), ("single", False, 0.16), ("multi", True, 0.14), ("multi", False, 0.11)],
)
def test_all_recordings_together(heard, category, english, ceiling):
    group = [e["id"] for e in scored(category) if (e["lang"] == "en") == english]
    if not group:
        pytest.skip("no recordings")
    total = pooled(heard("faster_whisper", name) for name in group)
    assert total.rate <= ceiling, str(total)


def test_no_speech_is_lost_in_minutes_of_dense_reading(text_of, shared_audio):
    """Batches of fixed or badly packed windows lose 5 to 13 % of the words."""
    from pipeline.audio import load_waveform

    waveforms, texts = [], []
    for name in [*LIBRIVOX, "en_disfluent_a", *LIBRIVOX[:3]]:
        e = entry(name)
        waveforms += [load_waveform(shared_audio / e["file"]), np.zeros(SAMPLE_RATE // 2, np.float32)]
        texts.append(e["text"])
    recording = Recording.from_array(np.concatenate(waveforms))
    found = score(" ".join(texts), text_of("faster_whisper", recording, "en"))
    assert found.words > 500
    assert found.deletions <= 0.03 * found.words, str(found)
    assert found.rate <= 0.08, str(found)


def test_mlx_whisper_hears_about_what_faster_whisper_hears(heard):
    """Greedy against beam 5, float32 against int8."""
    mlx, ct2 = (pooled(heard(backend, name) for name in FEW) for backend in ("mlx_whisper", "faster_whisper"))
    assert mlx.rate <= ct2.rate + 0.05, f"{mlx} {ct2}"


@pytest.mark.parametrize(("backend", "ceiling"), [("faster_whisper", 0.06), ("mlx_whisper", 0.06)])
def test_a_minute_of_the_shipped_meeting(text_of, backend, ceiling):
    from pipeline.audio import load_waveform

    path = SHIPPED / "syn_en_meeting_a.opus"
    lines = [s for s in json.loads(path.with_suffix(".segments.json").read_text("utf-8")) if s["end"] < 60]
    end = round((lines[-1]["end"] + 0.2) * SAMPLE_RATE)
    recording = Recording.from_array(load_waveform(path)[:end])
    found = score(" ".join(line["text"] for line in lines), text_of(backend, recording, "en"))
    assert found.rate <= ceiling, str(found)


def test_the_shipped_spanish_meeting(text_of):
    from pipeline.audio import load_waveform

    path: Path = SHIPPED / "syn_es_meeting.flac"
    lines = json.loads(path.with_suffix(".segments.json").read_text("utf-8"))
    recording = Recording.from_array(load_waveform(path))
    found = score(" ".join(line["text"] for line in lines), text_of("faster_whisper", recording, "es"), "es")
    assert found.rate <= 0.13, str(found)
