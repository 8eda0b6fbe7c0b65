"""A text without times, with a sentence too few and one too many, over real speech, by real models."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pipeline import align, models

DATA = Path(__file__).parents[1] / "data"
END_S = 20.2
NOBODY = "Nobody in this room has ever said these words aloud."


def bare(word: str) -> str:
    return word.lower().strip(".,?!")


@pytest.mark.slow
def test_a_text_with_errors_is_placed_over_its_recording(tmp_path, monkeypatch):
    (tmp_path / "models").symlink_to(models.cache_root())
    monkeypatch.setenv("WHISPERX_MLX_CACHE", str(tmp_path))
    said = json.loads((DATA / "syn_en_flite_words.words.json").read_text("utf-8"))
    turns = json.loads((DATA / "syn_en_flite_words.segments.json").read_text("utf-8"))
    turns = [turn for turn in turns if turn["end"] < END_S]
    left_out = turns.pop(2)
    text = "\n".join([turn["text"] for turn in turns[:3]] + [NOBODY] + [turn["text"] for turn in turns[3:]])

    found = align(str(DATA / "syn_en_flite_words.flac"), text, format="txt", language="en", end_s=END_S)

    assert " ".join(word.word for word in found.words) == " ".join(text.split())
    assert [w.count for w in found.warnings if w.code == "text_not_heard"] == [len(NOBODY.split())]
    assert [s.end - s.start < 0.1 for s in found.segments if s.text.strip() == NOBODY] == [True]
    kept = [
        w for w in said if w["end"] < END_S and not left_out["start"] <= w["start"] < left_out["end"] - 0.01
    ]
    placed = [w for s in found.segments if s.text.strip() != NOBODY for w in s.words]
    assert [bare(word.word) for word in placed] == [bare(word["word"]) for word in kept]
    errors = [abs(w.start - k["start"]) for w, k in zip(placed, kept, strict=True)]
    assert sum(errors) / len(errors) < 0.08
    assert sum(error < 0.2 for error in errors) >= 0.95 * len(errors)
