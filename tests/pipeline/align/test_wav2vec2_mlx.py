"""wav2vec2 on MLX places words where the same checkpoint does on torch, and says what it cannot do."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import tiny_wav2vec2

from pipeline.align import Cut, wav2vec2_mlx, whisperx
from pipeline.align._ctc_aligner import CtcAligner
from pipeline.plan import Choice
from schemas.errors import BackendUnavailable, InvalidArgument, ModelNotFound
from schemas.options import Options

pytest.importorskip("mlx.core")
sys.path.append(str(Path(__file__).parents[1] / "wav2vec2"))
from checkpoints import STABLE, random_model, save

WORDS = ["abc", "hag", "fed", "cab", "d", "bead", "gaff"]


def choice(model: object, compute_type: str = "float32") -> Choice:
    return Choice("wav2vec2_mlx", "cpu", str(model), compute_type, model_required=True)


def cuts(level: float = 0.3) -> list[Cut]:
    """Of several lengths, so that a batch has padding."""
    found = []
    for number in (7, 2, 4):
        samples, said = tiny_wav2vec2.speak(WORDS[:number], np.random.default_rng(number), level)
        found.append(Cut(samples, tuple(word for word, *_ in said), "en"))
    return found


@pytest.mark.parametrize("level", [0.3, 0.003])
def test_times_are_those_of_the_torch_backend(tones, level):
    ours = wav2vec2_mlx.load(choice(tones), Options()).align(cuts(level))
    theirs = whisperx.load(choice(tones), Options()).align(cuts(level))
    for mine, other in zip(ours, theirs, strict=True):
        assert [(a.start, a.end) for a in mine] == [(b.start, b.end) for b in other]
        assert [a.score for a in mine] == pytest.approx([b.score for b in other], abs=1e-3)
        assert min(a.score for a in mine) > 0.2


def test_batches_hold_cuts_of_like_length_up_to_their_seconds():
    seen = []

    def emit(waveforms):
        seen.append([len(waveform) for waveform in waveforms])
        return [np.zeros((200, 3)) for _ in waveforms]

    from pipeline.align._ctc import Vocabulary

    aligner = CtcAligner(emit, Vocabulary.of({"<pad>": 0, "|": 1, "a": 2}, 0), batch_s=10.0)
    lengths = [1.0, 4.0, 5.0, 0.5, 9.0]
    found = aligner.align([Cut(np.zeros(round(16_000 * s), np.float32), ("a",), "en") for s in lengths])
    assert seen == [[144_000], [80_000, 64_000], [16_000, 8_000]]
    assert len(found) == 5


def test_a_batch_on_the_network_gives_the_times_of_singles(tones):
    aligner = wav2vec2_mlx.load(choice(tones), Options())
    singles = aligner.align(cuts())
    aligner._batch_s = 60.0
    for alone, together in zip(singles, aligner.align(cuts()), strict=True):
        assert [(a.start, a.end) for a in alone] == [(b.start, b.end) for b in together]


@pytest.mark.parametrize("compute_type", ["bfloat16", "float16", "int8"])
def test_a_precision_that_the_cpu_does_not_compute_in_is_refused(tones, compute_type):
    with pytest.raises(InvalidArgument) as caught:
        wav2vec2_mlx.load(choice(tones, compute_type), Options())
    assert "float32" in caught.value.hint


def test_a_model_that_needs_no_normalisation_gets_none(tones, tmp_path):
    """The checkpoint says so; the same weights then hear something else."""
    raw = tmp_path / "raw"
    raw.mkdir()
    for file in tones.iterdir():
        (raw / file.name).write_bytes(file.read_bytes())
    told = json.loads((raw / "preprocessor_config.json").read_text())
    (raw / "preprocessor_config.json").write_text(json.dumps({**told, "do_normalize": False}))
    quiet = cuts(0.003)[0].waveform
    normalised = wav2vec2_mlx.load(choice(tones), Options())._emit([quiet])[0]
    as_it_is = wav2vec2_mlx.load(choice(raw), Options())._emit([quiet])[0]
    assert np.abs(normalised - as_it_is).max() > 0.5


def test_each_language_gets_its_adapter(tmp_path):
    """An MMS checkpoint, with the vocabulary of the language: é is a letter of its own in French only."""
    folder = save(random_model("wav2vec2", {**STABLE, "adapter_attn_dim": 8}), tmp_path)
    aligner = wav2vec2_mlx.load(choice(folder), Options())
    sound = cuts()[0].waveform
    found = aligner.align(
        [Cut(sound, ("été",), "fr"), Cut(sound, ("summer",), "en"), Cut(sound, ("été",), "en")]
    )
    assert [words[0].timing for words in found] == ["ctc"] * 3
    assert found[0] != found[2]
    with pytest.raises(BackendUnavailable) as caught:
        aligner.align([Cut(sound, ("Sommer",), "de")])
    assert "deu" in caught.value.message
    assert caught.value.hint


def test_files_that_are_no_ctc_model_are_called_damaged(tones, tmp_path):
    broken = tmp_path / "broken"
    broken.mkdir()
    for file in tones.iterdir():
        content = file.read_bytes()
        (broken / file.name).write_bytes(content[:100] if file.suffix == ".safetensors" else content)
    with pytest.raises(ModelNotFound) as caught:
        wav2vec2_mlx.load(choice(broken), Options())
    assert caught.value.code == "model_damaged"


def test_another_thread_is_refused(tones):
    from concurrent.futures import ThreadPoolExecutor

    aligner = wav2vec2_mlx.load(choice(tones), Options())
    with ThreadPoolExecutor(1) as pool, pytest.raises(Exception, match="another thread"):
        pool.submit(aligner.align, cuts()).result()


def test_a_trained_english_checkpoint_places_words_on_speech_as_on_torch(shipped, tmp_path):
    """Against the exact times of a synthesiser. Measured: median 24, mean 37 ms, 94 % within 100 ms."""
    from pipeline import audio
    from pipeline.align import align_segments
    from schemas.options import AlignOptions, AudioOptions
    from schemas.whisperx import read_transcript

    sound = audio.open_recording(str(shipped / "syn_en_flite_words.flac"), AudioOptions(), workdir=tmp_path)
    segments = read_transcript(shipped / "syn_en_flite_words.segments.json").segments
    exact = json.loads((shipped / "syn_en_flite_words.words.json").read_text("utf-8"))
    times = []
    for backend in (wav2vec2_mlx, whisperx):
        aligner = backend.load(choice(shipped / "wav2vec2_tiny_en"), Options())
        found, warnings = align_segments(
            aligner, sound, segments, "en", options=AlignOptions(), progress=lambda fraction: None
        )
        assert warnings == ()
        words = [word for segment in found for word in segment.words]
        assert {word.timing for word in words} == {"ctc"}
        times.append(np.array([(word.start, word.end) for word in words]))
    assert np.array_equal(times[0], times[1])
    off = 1000 * np.abs(times[0] - [(word["start"], word["end"]) for word in exact])
    assert np.median(off) <= 35
    assert off.mean() <= 45
    assert (off <= 100).mean() >= 0.9
