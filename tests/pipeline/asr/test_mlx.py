"""The batched engine with trained weights; what every backend promises is in ``test_asr_backends.py``."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from pipeline.plan import Choice
from pipeline.vad import Chunk, SpeechRegion, with_doubtful
from schemas.errors import InvalidArgument, StageFailed
from schemas.options import Options


def text_of(texts) -> str:
    return " ".join(s.text for i in sorted(texts) for s in texts[i].segments)


def transcribed(asr, recording, chunks, language="en") -> dict:
    return {t.index: t for t in asr.transcribe(recording, list(enumerate(chunks)), language)}


def test_logits_are_within_a_thousandth_of_mlx_whispers(loaded, english) -> None:
    """After a prompt and some words of the text, over real speech."""
    import mlx.core as mx

    ours, theirs = loaded("mlx").whisper, loaded("mlx_whisper").whisper
    log_mel = mx.array(loaded("mlx")._log_mel(english[0], english[1][0]))[None]
    tokens = mx.array([[50_258, 50_259, 50_359, 50_364, 4_027, 646, 281, 264, 12_460, 6_591, 3_440, 13]])
    mx.disable_compile()  # needs a compiler on a CPU
    try:
        expected = theirs.decoder(tokens, theirs.encoder(log_mel))[0]
        mx.eval(expected)
    finally:
        mx.enable_compile()
    hidden, _ = ours.decoder.prefill(tokens, ours.cross_cache(ours.encode(log_mel)))
    assert mx.abs(ours.decoder.logits(hidden) - expected).max().item() <= 1e-3


def test_lanes_and_batches_say_token_for_token_what_one_window_says(loaded, english) -> None:
    from pipeline.asr._decoding import Fallback
    from pipeline.whisper_mlx.engine import Engine
    from pipeline.whisper_mlx.windows import Task, Window

    asr = loaded("mlx", beam_size=1)
    recording, chunks = english
    mels = [asr._log_mel(recording, c) for c in (*chunks, Chunk(0.0, 12.6))]

    class Source:
        def __init__(self) -> None:
            self.waiting = [Window(key, lambda mel=mel: mel) for key, mel in enumerate(mels)]

        def take(self, count: int) -> list[Window]:
            taken, self.waiting = self.waiting[:count], self.waiting[count:]
            return taken

        def heard(self, key: int, tokens) -> None:
            pass

    task = Task("en", Fallback((0.0,), None, None, None))
    said = [
        {text.key: text.tokens for text in Engine(asr.whisper, slots, lanes).run(Source(), task)}
        for slots, lanes in ((1, 1), (3, 1), (2, 2))
    ]
    assert said[0] == said[1] == said[2]
    assert all(len(tokens) > 10 for tokens in said[0].values())


def test_quantized_weights_are_made_once_and_say_the_same(loaded, english, monkeypatch, tmp_path) -> None:
    from pipeline import models
    from pipeline.asr import mlx
    from pipeline.whisper_mlx import weights

    monkeypatch.setattr(models, "cache_root", lambda: tmp_path)
    choice = Choice(
        "mlx", "cpu", str(mlx.backends.weights("asr", _choice("float32"), Options())[0].path), "int8"
    )
    asr = mlx.load(choice, Options.from_flat(beam_size=1))
    (folder,) = (tmp_path / "quantized").iterdir()
    monkeypatch.setattr(weights, "save_quantized", lambda *_: pytest.fail("made twice"))
    assert mlx.load(choice, Options()).whisper.config.quantization.bits == 8
    assert (folder / "weights.safetensors").stat().st_size < 100e6
    recording, chunks = english
    assert "lunch break" in text_of(transcribed(asr, recording, chunks[1:]))


def _choice(compute_type: str) -> Choice:
    return Choice("mlx", "cpu", "base", compute_type, required=True, model_required=True)


def test_a_precision_that_there_is_not_is_an_error() -> None:
    from pipeline.asr import mlx

    with pytest.raises(InvalidArgument, match="float8"):
        mlx.load(_choice("float8"), Options())


def test_another_thread_is_refused(loaded, english) -> None:
    import threading

    asr, caught = loaded("mlx"), []

    def use() -> None:
        try:
            asr.detect_language(*english)
        except StageFailed as error:
            caught.append(error.code)

    thread = threading.Thread(target=use)
    thread.start()
    thread.join()
    assert caught == ["internal_error"]


def test_a_vocabulary_is_followed(loaded, english) -> None:
    """The name of a thing as it is spelt in the vocabulary; without it the model does not write it so."""
    recording, chunks = english
    plain = text_of(transcribed(loaded("mlx", beam_size=1), recording, chunks[:1]))
    told = text_of(transcribed(loaded("mlx", beam_size=1, vocabulary=("SERVER",)), recording, chunks[:1]))
    assert "SERVER" not in plain
    assert plain.lower().split()[:4] == told.lower().split()[:4]


def test_the_text_before_a_chunk_reaches_the_model(loaded, english, monkeypatch) -> None:
    from pipeline.whisper_mlx.tokens import Tokens

    told, prompt = [], Tokens.prompt

    def watched(self, language, task, timestamps, before=()):
        told.append(self.decode(list(before)))
        return prompt(self, language, task, timestamps, before)

    monkeypatch.setattr(Tokens, "prompt", watched)
    options = {"beam_size": 1, "batch_size": 1, "vocabulary": ("server",)}
    asr = loaded("mlx", condition_on_previous_text=True, **options)
    texts = transcribed(asr, *english)
    first = " ".join(s.text for s in texts[0].segments)
    assert told[0].split() == ["server"]
    assert told[1].split() == ["server", *first.split()]


def test_speech_that_the_vad_dropped_is_read_where_the_model_is_sure(loaded, english) -> None:
    """The second chunk is under the threshold, but near it."""
    recording, chunks = english
    found = with_doubtful(chunks[:1], [SpeechRegion(0.4, 12.4)], 30.0, recording)
    assert [chunk.doubtful for chunk in found] == [False, True]
    texts = transcribed(loaded("mlx", beam_size=1), recording, found)
    assert "lunch break" in text_of({1: texts[1]})
    assert not [w for t in texts.values() for w in t.warnings]


def test_speech_that_is_gone_back_for_is_read_after_the_text_before_it(loaded, english, monkeypatch) -> None:
    from pipeline.asr import _decoding
    from pipeline.whisper_mlx.tokens import Tokens

    told, prompt = [], Tokens.prompt

    def watched(self, language, task, timestamps, before=()):
        told.append(self.decode(list(before)).strip())
        return prompt(self, language, task, timestamps, before)

    def first_only(decoded):
        return dataclasses.replace(decoded, utterances=decoded.utterances[:1])

    take = _decoding._take
    cut = lambda owner, window, decoded, fallback: take(  # noqa: E731
        owner, window, first_only(decoded) if window.back == 0 else decoded, fallback
    )
    monkeypatch.setattr(Tokens, "prompt", watched)
    monkeypatch.setattr(_decoding, "_take", cut)
    recording, chunks = english
    texts = transcribed(loaded("mlx", beam_size=1), recording, chunks[1:])
    assert told[0] == ""
    assert told[1] == texts[0].segments[0].text
    assert "lunch break" in text_of(texts)


def test_numerals_can_be_suppressed(loaded, english) -> None:
    recording, chunks = english
    said = text_of(transcribed(loaded("mlx", beam_size=1, suppress_numerals=True), recording, chunks[1:]))
    assert not set(said) & set("0123456789")
    assert "seven" in said


def test_speech_in_another_language_can_be_translated(loaded, spanish) -> None:
    said = text_of(transcribed(loaded("mlx", beam_size=1, task="translate"), *spanish, "es"))
    assert "Good morning" in said


def test_waveforms_are_read_as_they_are_needed(loaded, english, monkeypatch) -> None:
    """The memory does not grow with the recording: never more audio than a batch's."""
    recording, chunks = english
    spans, read = [], type(recording).read

    def watched(self, start: int, stop: int) -> np.ndarray:
        spans.append(stop - start)
        return read(self, start, stop)

    monkeypatch.setattr(type(recording), "read", watched)
    transcribed(loaded("mlx", beam_size=1), recording, chunks)
    assert max(spans) <= 30 * 16_000
