"""What every backend of the room promises, with real weights."""

from __future__ import annotations

import re
import threading

import numpy as np
import pytest
from conftest import ENGLISH, SPANISH
from recordings import SHIPPED

from pipeline import backends
from pipeline.plan import Choice
from pipeline.recording import Recording
from pipeline.vad import Chunk, SpeechRegion
from schemas.errors import InvalidArgument, StageFailed
from schemas.options import Options

ALL = backends.available("asr")
WHISPER = [name for name in ALL if backends.module("asr", name).MODEL_KIND == "whisper"]


def transcribed(asr, recording, chunks, language):
    return {t.index: t for t in asr.transcribe(recording, list(enumerate(chunks)), language)}


def text_of(texts):
    return " ".join(s.text for i in sorted(texts) for s in texts[i].segments)


def errors(reference, text, language):
    from pipeline.word_errors import score

    return score(reference, text, language).rate


@pytest.mark.parametrize("backend", ALL)
def test_it_says_what_it_is(backend, loaded):
    asr = loaded(backend)
    assert asr.cache_key.startswith(f"{backend}:")
    assert asr.device == "cpu"
    needs_weights = backends.module("asr", backend).MODEL_KIND is not None
    assert (asr.model == "base", bool(asr.revision)) == (needs_weights, needs_weights)


@pytest.mark.parametrize("backend", ALL)
def test_every_chunk_comes_back_once_with_ordered_segments_inside_it(backend, english_texts, english):
    for index, said in english_texts(backend).items():
        chunk = english[1][index]
        assert said.segments
        assert all(chunk.start <= s.start < s.end <= chunk.end for s in said.segments)
        assert [s.start for s in said.segments] == sorted(s.start for s in said.segments)
        assert all(s.text == s.text.strip() for s in said.segments)


@pytest.mark.parametrize("backend", WHISPER)
def test_the_encoders_output_is_handed_over(backend, english_kept, loaded, english):
    """Of every window that was read, some of which are only parts of a chunk, as long as it is."""
    import mlx.core as mx

    recording, chunks = english
    mlx = loaded("mlx")
    kept = english_kept(backend)[1]
    assert {chunk.start for chunk in chunks} <= kept.keys()
    for chunk in chunks:
        frames = int((chunk.end - chunk.start) * 50) + 1
        assert kept[chunk.start].shape == (frames, 512)
        expected = np.array(mlx.whisper.encoder(mx.array(mlx._log_mel(recording, chunk))[None]))[0, :frames]
        found = kept[chunk.start].astype(np.float32)
        assert np.linalg.norm(found - expected) < 0.1 * np.linalg.norm(expected)  # int8 is the least exact


@pytest.mark.parametrize("backend", ALL)
def test_nothing_to_do_is_done_at_once(backend, loaded, english):
    assert list(loaded(backend).transcribe(english[0], [], "en")) == []


@pytest.mark.parametrize("backend", ALL)
def test_an_unknown_language_is_an_error(backend, loaded, english):
    recording, chunks = english
    with pytest.raises(InvalidArgument, match="klingon"):
        list(loaded(backend).transcribe(recording, list(enumerate(chunks)), "klingon"))


@pytest.mark.parametrize("backend", ALL)
def test_english_is_heard_as_english(backend, loaded, english):
    probabilities = loaded(backend).detect_language(*english)
    assert max(probabilities, key=probabilities.get) == "en"
    assert 0.8 < probabilities["en"] <= 1
    assert sum(probabilities.values()) == pytest.approx(1, abs=0.01)


@pytest.mark.parametrize("backend", WHISPER)
def test_spanish_is_heard_as_spanish(backend, loaded, spanish):
    probabilities = loaded(backend).detect_language(*spanish)
    assert max(probabilities, key=probabilities.get) == "es"


@pytest.mark.parametrize("backend", WHISPER)
def test_the_words_are_those_that_were_said(backend, english_texts):
    texts = english_texts(backend)
    assert errors(ENGLISH, text_of(texts), "en") <= 0.1
    assert not [w for t in texts.values() for w in t.warnings]
    segment = texts[0].segments[0]
    assert segment.avg_logprob < 0
    assert segment.compression_ratio > 0
    assert 0 <= segment.no_speech_prob <= 1
    assert segment.temperature == 0


@pytest.mark.parametrize("backend", WHISPER)
def test_utterances_lie_where_they_are_said(backend, english_texts):
    """Segments are utterances, their times within a second of the truth."""
    segments = english_texts(backend)[1].segments
    question = next(s for s in segments if "?" in s.text)
    assert question.start == pytest.approx(6.8, abs=1.0)
    assert question.end == pytest.approx(8.2, abs=1.0)


@pytest.mark.parametrize("backend", WHISPER)
def test_a_chunk_says_the_same_alone_as_in_a_batch(backend, loaded, english_texts, english):
    recording, chunks = english
    (alone,) = loaded(backend).transcribe(recording, [(1, chunks[1])], "en")
    assert [s.text for s in alone.segments] == [s.text for s in english_texts(backend)[1].segments]


@pytest.mark.parametrize("backend", WHISPER)
def test_silence_and_noise_leave_no_text(backend, loaded):
    """What a VAD lets through by mistake: Whisper writes "You" and "Thanks for watching" on it."""
    rng = np.random.default_rng(0)
    samples = np.concatenate([np.zeros(5 * 16000), rng.standard_normal(5 * 16000) * 0.003]).astype(np.float32)
    chunks = [Chunk(0.0, 5.0), Chunk(5.0, 10.0)]
    texts = transcribed(loaded(backend), Recording.from_array(samples), chunks, "en")
    assert len(text_of(texts).split()) <= 2
    assert set(texts) == {0, 1}


@pytest.mark.parametrize("backend", WHISPER)
def test_a_chunk_of_next_to_nothing_does_no_harm(backend, loaded):
    recording = Recording.from_array(np.zeros(1600, np.float32))
    texts = transcribed(loaded(backend), recording, [Chunk(0.0, 0.01), Chunk(0.05, 0.1)], "en")
    assert set(texts) == {0, 1}


@pytest.mark.parametrize("backend", WHISPER)
def test_spanish_is_written_in_spanish_and_translated_on_demand(backend, loaded, spanish):
    written = text_of(transcribed(loaded(backend), *spanish, "es"))
    assert errors(SPANISH, written, "es") <= 0.2
    english_words = text_of(transcribed(loaded(backend, task="translate"), *spanish, "Spanish")).lower()
    assert re.search(r"\b(good|sales|september|report|let's)\b", english_words)
    assert "septiembre" not in english_words


@pytest.mark.parametrize("backend", ["mlx", "faster_whisper"])
def test_each_chunk_can_have_its_own_language(backend, loaded, english, spanish):
    (recording, chunks), (other, others) = english, spanish
    samples = np.concatenate((recording.read(0, recording.samples), other.read(0, other.samples)))
    offset = recording.duration_s
    moved = Chunk(others[0].start + offset, others[0].end + offset)
    mixed = [chunks[0], moved, chunks[1]]
    asr = loaded(backend, multilingual=True, beam_size=1)
    texts = transcribed(asr, Recording.from_array(samples), mixed, "en")
    assert {s.language for s in texts[1].segments} == {"es"}
    assert {s.language for i in (0, 2) for s in texts[i].segments} == {None}
    assert errors(SPANISH, " ".join(s.text for s in texts[1].segments), "es") <= 0.2
    assert "server" in text_of({0: texts[0]})


@pytest.mark.parametrize("backend", ["mlx", "faster_whisper"])
def test_without_timestamps_a_window_is_one_segment(backend, loaded, english):
    texts = transcribed(loaded(backend, without_timestamps=True, beam_size=1), *english, "en")
    assert {i: len(t.segments) for i, t in texts.items()} == {0: 1, 1: 1}
    assert errors(ENGLISH, text_of(texts), "en") <= 0.1


@pytest.mark.parametrize("backend", ["mlx", "faster_whisper"])
def test_context_is_carried_or_a_warning_says_that_it_is_not(backend, loaded, english):
    asr = loaded(backend, condition_on_previous_text=True, beam_size=1, batch_size=1)
    texts = transcribed(asr, *english, "en")
    assert errors(ENGLISH, text_of(texts), "en") <= 0.1
    warned = [w.message for t in texts.values() for w in t.warnings]
    assert any("condition_on_previous_text" in message for message in warned) == (backend != "mlx")


@pytest.mark.parametrize("backend", WHISPER)
def test_numerals_are_written_as_words_on_demand(backend, loaded):
    from pipeline.audio import load_waveform

    recording = Recording.from_array(load_waveform(SHIPPED / "syn_es_meeting.flac"))
    units = [Chunk(5.4, 10.2, (SpeechRegion(5.6, 10.0),))]  # "mil doscientas unidades, un ocho por ciento"
    assert re.search(r"\d", text_of(transcribed(loaded(backend), recording, units, "es")))
    spelt = text_of(transcribed(loaded(backend, suppress_numerals=True), recording, units, "es"))
    assert spelt
    assert not re.search(r"[\d%$£]", spelt)


@pytest.mark.parametrize("backend", WHISPER)
def test_the_vocabulary_and_the_prompt_reach_the_model(backend, loaded, spanish):
    """A spelling that nobody would choose unasked."""
    recording, chunks = spanish
    plain = text_of(transcribed(loaded(backend), recording, chunks, "es"))
    for named in (
        {"vocabulary": ("Xavier", "Xavier Solé")},
        {"initial_prompt": "Hola, Xavier. Xavier Solé."},
    ):
        told = text_of(transcribed(loaded(backend, **named), recording, chunks, "es"))
        assert "Xavier" not in plain
        assert "Xavier" in told


@pytest.mark.parametrize("backend", WHISPER)
def test_a_prompt_that_is_too_long_is_cut_with_a_warning(backend, loaded, spanish):
    asr = loaded(backend, initial_prompt="palabras y más palabras para empezar " * 60)
    (text,) = asr.transcribe(spanish[0], [(0, spanish[1][0])], "es")
    assert [w.code for w in text.warnings] == ["flag_ignored"]
    assert "223" in text.warnings[0].message


@pytest.mark.parametrize("backend", WHISPER)
def test_an_english_only_model_refuses_other_languages_and_translation(backend, loaded, english, spanish):
    asr = loaded(backend, model="tiny.en")
    assert asr.detect_language(*spanish) == {"en": 1.0}
    assert errors(ENGLISH, text_of(transcribed(asr, *english, "en")), "en") <= 0.2
    with pytest.raises(InvalidArgument, match="English-only"):
        transcribed(asr, *spanish, "es")
    with pytest.raises(InvalidArgument, match="English-only"):
        transcribed(loaded(backend, model="tiny.en", task="translate"), *english, "en")


@pytest.mark.parametrize("backend", WHISPER)
def test_a_language_that_the_model_is_too_old_for_is_an_error(backend, loaded, spanish):
    with pytest.raises(InvalidArgument, match="Cantonese"):
        transcribed(loaded(backend), *spanish, "yue")


@pytest.mark.parametrize(("backend", "missing"), [("faster_whisper", "bfloat16"), ("mlx_whisper", "int8")])
def test_a_precision_that_is_not_there_is_an_error_that_names_those_that_are(backend, missing):
    with pytest.raises(InvalidArgument) as caught:
        backends.load("asr", Choice(backend, "cpu", "base", missing), Options())
    assert missing in caught.value.message
    assert "float32" in caught.value.hint


def test_options_that_mlx_whisper_lacks_are_named_in_a_warning(loaded, spanish):
    asr = loaded("mlx_whisper", beam_size=3, patience=2.0, multilingual=True)
    (text,) = asr.transcribe(spanish[0], [(0, spanish[1][0])], "es")
    assert [w.code for w in text.warnings] == ["flag_ignored"]
    assert "beam_size, patience, multilingual" in text.warnings[0].message


def test_mlx_weights_take_the_precision_asked_for(loaded):
    """mlx-whisper's model holder keeps the precision of the file, whatever is asked."""
    import mlx.core as mx
    from mlx.utils import tree_flatten

    kinds = {a.dtype for _, a in tree_flatten(loaded("mlx_whisper").whisper.parameters())}
    assert mx.float16 not in kinds
    assert mx.float32 in kinds


def test_an_mlx_model_refuses_to_run_on_another_thread(loaded, spanish):
    asr, caught = loaded("mlx_whisper"), []

    def elsewhere():
        try:
            asr.detect_language(*spanish)
        except StageFailed as error:
            caught.append(error)

    thread = threading.Thread(target=elsewhere)
    thread.start()
    thread.join()
    assert [error.code for error in caught] == ["internal_error"]


def test_echo_says_the_times_of_each_chunk(english_texts):
    assert text_of(english_texts("echo")) == "from 0.20 to 6.60 from 6.65 to 12.60"
