"""The faults of WhisperX's own ``align``, with known emissions, do not happen here; real checkpoints load."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
import tiny_wav2vec2
from clock import FRAME_S, LABELS, TALK, TALK_TEXT, Heard, Said, ctc_aligner, recording, whisperx_model

from pipeline.align import Cut, align_segments, whisperx
from pipeline.plan import Choice
from pipeline.recording import Recording
from schemas.errors import BackendUnavailable, ModelNotFound
from schemas.options import AlignOptions, Options
from schemas.transcript import Segment


def aligned(heard: Heard, seconds: float, *segments: Segment, language: str = "en"):
    found, warnings = align_segments(
        ctc_aligner(heard),
        recording(seconds),
        segments,
        language,
        options=AlignOptions(),
        progress=lambda fraction: None,
    )
    return found, warnings


def words(heard: Sequence[Said], text: str, start: float, end: float, seconds: float) -> dict[str, tuple]:
    (segment,), _ = aligned(Heard(heard), seconds, Segment(start=start, end=end, text=text))
    return {word.word: (word.start, word.end) for word in segment.words}


def check(found: dict[str, tuple], said: Sequence[Said], tolerance: float = 2 * FRAME_S) -> None:
    for (word, start, end), times in zip(said, found.values(), strict=True):
        # A word's first letter is heard 20 ms into it, its separator 10 ms behind it.
        assert times == (
            pytest.approx(start + 0.01, abs=tolerance),
            pytest.approx(end, abs=tolerance),
        ), word


def test_words_are_where_they_are_heard():
    check(words(TALK, TALK_TEXT, 0.5, 9.6, 12), TALK)


def test_a_numeral_does_not_swallow_the_gap_between_its_neighbours():
    said = (("in", 1.0, 1.1), ("twentyfourteen", 1.3, 2.3), ("we", 2.5, 2.7))
    (segment,), warnings = aligned(Heard(said), 4, Segment(start=0.5, end=3.2, text="in 2014 we"))
    assert [word.word for word in segment.words] == ["in", "2014", "we"]
    check({word.word: (word.start, word.end) for word in segment.words}, said, tolerance=3 * FRAME_S)
    assert all(word.score is not None for word in segment.words)
    assert warnings == ()


def test_times_are_those_of_whisperx_where_it_is_right(monkeypatch):
    """Its path ends a word where the separator is heard, so ends may differ by a frame or two."""
    alignment = pytest.importorskip("whisperx.alignment")

    class OneSentence:
        def span_tokenize(self, text):
            return [(0, len(text))]

    monkeypatch.setattr(alignment, "nltk_load", lambda path: OneSentence())
    theirs = alignment.align(
        [{"start": 0.5, "end": 9.6, "text": TALK_TEXT}],
        whisperx_model(Heard(TALK)),
        {"language": "en", "dictionary": {c: i for i, c in enumerate(LABELS)}, "type": "torchaudio"},
        recording(12).array,
        "cpu",
    )["word_segments"]
    ours = words(TALK, TALK_TEXT, 0.5, 9.6, 12)
    for word in theirs[:-1]:  # it ends the last one early
        assert ours[word["word"]] == pytest.approx((word["start"], word["end"]), abs=2.5 * FRAME_S)


def choice(model: str | None) -> Choice:
    return Choice("whisperx", "cpu", model, model_required=True)


@pytest.mark.parametrize("level", [0.3, 0.003])
def test_a_checkpoint_is_loaded_normalised_and_read(tones, level):
    """Hub checkpoints were trained on normalised waveforms; WhisperX forgets that (its fault 9)."""
    samples, said = tiny_wav2vec2.speak(
        ["abc", "hag", "fed", "cab", "d", "bead", "gaff"], np.random.default_rng(5), level
    )
    aligner = whisperx.load(choice(str(tones)), Options())
    segment = Segment(start=0.2, end=len(samples) / 16_000 - 0.2, text=" ".join(word for word, *_ in said))
    (found,), _ = align_segments(
        aligner,
        Recording.from_array(samples),
        [segment],
        "en",
        options=AlignOptions(return_char_alignments=True),
        progress=lambda fraction: None,
    )
    for word, (_, start, end) in zip(found.words, said, strict=True):
        assert word.timing == "ctc"
        assert word.start == pytest.approx(start, abs=0.05)
        assert word.end == pytest.approx(end, abs=0.08)
        assert word.score > 0.3
    assert "".join(char.char for char in found.chars) == segment.text
    assert aligner.model == str(tones)
    assert aligner.revision


def test_a_language_without_a_model_is_said_to_have_none():
    with pytest.raises(BackendUnavailable) as caught:
        whisperx.weights(choice(None), Options())
    assert "cross_attention" in caught.value.hint


def test_a_model_that_is_not_here_names_the_command_that_gets_it(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HOME", str(tmp_path))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setenv("WHISPERX_MLX_CACHE", str(tmp_path))
    with pytest.raises(ModelNotFound) as caught:
        whisperx.load(choice("WAV2VEC2_ASR_BASE_960H"), Options())
    assert caught.value.code == "model_not_downloaded"
    assert "models pull" in caught.value.hint


def test_files_that_are_no_ctc_model_are_called_damaged(tones, tmp_path):
    broken = tmp_path / "broken"
    broken.mkdir()
    for file in tones.iterdir():
        content = file.read_bytes()
        (broken / file.name).write_bytes(content[:100] if file.suffix == ".safetensors" else content)
    with pytest.raises(ModelNotFound) as caught:
        whisperx.load(choice(str(broken)), Options())
    assert caught.value.code == "model_damaged"


def test_a_torchaudio_checkpoint_is_read_from_its_file_alone(tmp_path, monkeypatch):
    """With the true architecture and random weights; a bundle's download is never begun."""
    torch = pytest.importorskip("torch")
    pipelines = pytest.importorskip("torchaudio").pipelines
    from torchaudio.models import wav2vec2_model

    bundle = pipelines.WAV2VEC2_ASR_BASE_960H
    shallow = replace(bundle, _params={**bundle._params, "encoder_num_layers": 1})
    monkeypatch.setattr(pipelines, "WAV2VEC2_ASR_BASE_960H", shallow)
    # The published checkpoint has three more outputs, which torchaudio takes out.
    published = wav2vec2_model(**{**shallow._params, "aux_num_out": shallow._params["aux_num_out"] + 3})
    torch.save(published.state_dict(), tmp_path / bundle._path)
    aligner = whisperx.load(choice(str(tmp_path / bundle._path)), Options())
    waveform = np.random.default_rng(0).normal(0, 0.1, 16_000).astype(np.float32)
    (found,) = aligner.align([Cut(waveform, ("hello", "world"), "en")])
    assert [time.timing for time in found] == ["ctc", "ctc"]
