"""Code written for WhisperX runs with its imports changed."""

from __future__ import annotations

import ast
import importlib.util
import inspect
from pathlib import Path

import pytest

import pipeline.like_whisperx as ours
from schemas.errors import InvalidArgument, ModelNotFound

MODEL_FREE = {"backend": "echo", "vad_method": "energy"}


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    from pipeline.cache import default_root

    models = default_root() / "models"
    monkeypatch.setenv("WHISPERX_MLX_CACHE", str(tmp_path / "cache"))
    (tmp_path / "cache").mkdir()
    if models.is_dir():
        (tmp_path / "cache" / "models").symlink_to(models)


def readme_example(whisperx, audio_file: str, arch: str, **how) -> dict:
    """The example of WhisperX's README, from top to bottom, with ``whisperx`` as the module."""
    device, batch_size, compute_type = "cpu", 16, "int8"
    model = whisperx.load_model(arch, device, compute_type=compute_type, **how)
    audio = whisperx.load_audio(audio_file)
    result = model.transcribe(audio, batch_size=batch_size)
    model_a, metadata = whisperx.load_align_model(language_code=result["language"], device=device)
    result = whisperx.align(
        result["segments"], model_a, metadata, audio, device, return_char_alignments=False
    )
    diarize_model = whisperx.DiarizationPipeline(device=device)
    diarize_segments = diarize_model(audio)
    diarize_model(audio, min_speakers=2, max_speakers=3)
    return whisperx.assign_word_speakers(diarize_segments, result)


@pytest.mark.slow
def test_the_example_of_whisperxs_readme_runs(shipped, starter_weights, tmp_path):
    starter_weights("whisper", "base", "ctranslate2")
    clip = cut(shipped / "syn_en_meeting_a.opus", 24.0, tmp_path / "clip.wav")
    result = readme_example(ours, clip, "base")
    words = [word for segment in result["segments"] for word in segment["words"]]
    assert "good morning" in " ".join(word["word"] for word in words).lower()
    assert all(word["start"] <= word["end"] <= 24.0 and word["speaker"] for word in words)
    assert len({word["speaker"] for word in words}) >= 2
    assert result["word_segments"] == words


def cut(source, seconds: float, path) -> str:
    import wave

    samples = ours.load_audio(source)[: round(seconds * 16_000)]
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, 16_000, 0, "NONE", ""))
        file.writeframes((samples * 32767).astype("<i2").tobytes())
    return str(path)


@pytest.mark.parametrize(
    ("name", "module"),
    [
        ("align", "alignment"),
        ("load_align_model", "alignment"),
        ("load_audio", "audio"),
        ("load_model", "asr"),
        ("assign_word_speakers", "diarize"),
    ],
)
def test_every_parameter_of_whisperx_is_taken_in_its_place(name, module):
    """Those of WhisperX's source, which takes long to import."""
    source = Path(importlib.util.find_spec("whisperx").origin).with_name(f"{module}.py").read_text("utf-8")
    (function,) = (n for n in ast.parse(source).body if isinstance(n, ast.FunctionDef) and n.name == name)
    theirs = [argument.arg for argument in function.args.args]
    assert list(inspect.signature(getattr(ours, name)).parameters)[: len(theirs)] == theirs


def test_transcribe_takes_whisperxs_parameters_and_gives_its_dictionaries(shipped):
    model = ours.load_model("base", "cpu", language="en", **MODEL_FREE)
    told: list[float] = []
    clip = ours.load_audio(shipped / "syn_en_meeting_a.opus")[: 20 * 16_000]
    result = model.transcribe(clip, batch_size=4, num_workers=2, chunk_size=10, progress_callback=told.append)
    assert result["language"] == "en"
    assert result["segments"]
    assert all({"start", "end", "text"} <= set(segment) for segment in result["segments"])
    assert told == sorted(told)
    assert told[-1] == 100.0
    assert max(segment["end"] - segment["start"] for segment in result["segments"]) <= 10.0


def test_options_that_nobody_knows_are_refused():
    with pytest.raises(InvalidArgument, match="repetition_penalti"):
        ours.load_model("base", "cpu", asr_options={"repetition_penalti": 1.1}, **MODEL_FREE)
    with pytest.raises(InvalidArgument, match="vad_model"):
        ours.load_model("base", "cpu", vad_model=object(), **MODEL_FREE)
    with pytest.raises(InvalidArgument, match="8000"):
        ours.load_audio("a.wav", sr=8000)


def test_a_model_that_is_not_there_is_said_when_it_is_loaded(monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(ModelNotFound):
        ours.load_model("somebody/whisper-of-nowhere", "cpu", local_files_only=True)


def test_turns_come_as_whisperxs_table_and_go_back_to_words(shipped):
    clip = ours.load_audio(shipped / "syn_en_meeting_a.opus")[: 5 * 16_000]
    table = ours.DiarizationPipeline(device="cpu", backend="one_speaker")(clip)
    assert list(table.columns) == ["segment", "label", "speaker", "start", "end"]
    phones = [{"phone": "hh", "start": 0.1, "end": 0.5}]
    result = {
        "segments": [
            {
                "start": 0.0,
                "end": 2.0,
                "text": " Hello there",
                "words": [
                    {"word": "Hello", "start": 0.1, "end": 0.5, "score": 0.9, "phones": phones},
                    {"word": "there"},
                ],
            }
        ],
        "language": "en",
    }
    found = ours.assign_word_speakers(table, result, speaker_embeddings={"SPEAKER_00": [0.5]})
    assert [word["speaker"] for word in found["segments"][0]["words"]] == ["SPEAKER_00", "SPEAKER_00"]
    assert found["segments"][0]["words"][0]["phones"] == phones
    assert found["speaker_embeddings"] == {"SPEAKER_00": [0.5]}


def test_align_gives_phones_to_those_who_ask(shipped, starter_weights):
    starter_weights("whisper", "base", "mlx")
    clip = ours.load_audio(shipped / "syn_en_flite_words.flac")[: 3 * 16_000]
    said = [{"start": 0.4, "end": 2.6, "text": "Welcome back to the weekly status meeting."}]
    model, metadata = ours.load_align_model("en", "cpu", backend="encoder_head")
    plain = ours.align(said, model, metadata, clip, "cpu")["word_segments"]
    found = ours.align(said, model, metadata, clip, "cpu", return_phone_alignments=True)
    assert found["word_segments"] == plain
    back = found["segments"][0]["words"][1]
    assert [phone["phone"] for phone in back["phones"]] == ["b", "ae", "k"]


def test_tracks_are_named_like_pyannotes():
    assert [ours._letters(n) for n in (0, 25, 26, 701, 702)] == ["A", "Z", "AA", "ZZ", "AAA"]
