"""The command lines that people begin with, as written, in a process of their own.

Starter weights lie under the names that the commands ask for, in the hub's own cache layout and in a folder of
models; the hub is out of reach.
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
import wave
from pathlib import Path

import pytest

from pipeline import cli, models

pytestmark = pytest.mark.slow

DATA = Path(__file__).parents[1] / "data"
REPOSITORY = "mlx-community/whisper-large-v3-mlx"
PLAIN = f"whisperx-mlx audio.wav --backend mlx --model {REPOSITORY}"
FULL = (
    f"{PLAIN} --align_model WAV2VEC2_ASR_LARGE_LV60K_960H --batch_size 32 --chunk_size 60 --compute_type float16 "
    "--diarize --hf_token YOUR_TOKEN"
)


@pytest.fixture
def home(tmp_path) -> Path:
    """A folder to work in with a cache of its own, in which the starter weights are."""
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / "models").symlink_to(models.cache_root())
    return tmp_path


@pytest.fixture
def weights(starter_weights, home) -> Path:
    """A hub cache that has Whisper base under the name of a larger model."""
    files = starter_weights("whisper", "base", "mlx", compute_type="float16")
    repository = home / "hf" / "hub" / f"models--{REPOSITORY.replace('/', '--')}"
    snapshot = repository / "snapshots" / ("0" * 40)
    snapshot.mkdir(parents=True)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(snapshot.name)
    for name in ("weights.safetensors", "config.json"):
        (snapshot / name).symlink_to(files.path / name)
    return repository.parent


def typed(command: str, home: Path, **env: str) -> subprocess.CompletedProcess:
    program, *argv = shlex.split(command)
    assert program == "whisperx-mlx"
    return subprocess.run(
        [sys.executable, "-m", "pipeline.cli", *argv],
        capture_output=True,
        text=True,
        cwd=home,
        env={**os.environ, "WHISPERX_MLX_CACHE": str(home / "cache"), "HF_HOME": str(home / "hf"), **env},
        timeout=500,
    )


def audio(home: Path, name: str, start: float, end: float) -> None:
    from pipeline.audio import load_waveform

    samples = load_waveform(DATA / name)[round(start * 16_000) : round(end * 16_000)]
    with wave.open(str(home / "audio.wav"), "wb") as file:
        file.setparams((1, 2, 16_000, 0, "NONE", ""))
        file.writeframes((samples * 32767).astype("<i2").tobytes())


def test_the_plain_command_writes_what_was_said_in_the_language_that_was_heard(home, weights) -> None:
    audio(home, "syn_es_meeting.flac", 0.0, 5.0)
    done = typed(PLAIN, home, HF_HUB_OFFLINE="1")
    assert done.returncode == cli.OK, done.stderr
    assert {path.suffix for path in home.glob("audio.*")} == {".wav", ".txt", ".vtt", ".srt", ".tsv", ".json"}
    found = json.loads((home / "audio.json").read_text("utf-8"))
    assert found["language"] == "es"
    assert found["stages"]["asr"]["backend"] == "mlx"
    assert found["stages"]["asr"]["model"] == REPOSITORY
    assert "ventas de septiembre" in " ".join(segment["text"] for segment in found["segments"])
    assert all("start" in word for word in found["word_segments"])
    assert "es (" in done.stderr


def test_the_full_command_aligns_and_names_speakers(home, weights) -> None:
    """With two flags more: a folder of models stands in for torch's download of the aligner, which is 1.2 GB, and
    half precision, which MLX does not accelerate on a CPU, would take minutes.
    """
    shutil.copytree(DATA / "wav2vec2_tiny_en", weights / "WAV2VEC2_ASR_LARGE_LV60K_960H")
    audio(home, "syn_en_meeting_a.opus", 49.0, 53.5)
    done = typed(f"{FULL} --model_dir {weights} --compute_type float32", home, HF_HUB_OFFLINE="1")
    assert done.returncode == cli.OK, done.stderr
    found = json.loads((home / "audio.json").read_text("utf-8"))
    assert found["stages"]["asr"]["model"] == REPOSITORY
    assert found["stages"]["align"]["model"] == "WAV2VEC2_ASR_LARGE_LV60K_960H"
    assert "thursday afternoon" in " ".join(segment["text"] for segment in found["segments"]).lower()
    assert all(segment["speaker"].startswith("SPEAKER_") for segment in found["segments"])
    assert (home / "audio.rttm").read_text().startswith("SPEAKER audio 1 ")
    assert "YOUR_TOKEN" not in done.stderr


def test_with_the_hub_out_of_reach_the_error_names_the_model_and_the_next_step(home) -> None:
    audio(home, "syn_en_meeting_a.opus", 41.4, 45.0)
    done = typed(PLAIN, home, HF_ENDPOINT="http://127.0.0.1:1")
    assert done.returncode == cli.SETUP
    first, hint = done.stderr.strip().splitlines()[-2:]
    assert "download_failed" in first
    assert REPOSITORY in first
    assert hint.strip()
    assert not (home / "audio.txt").exists()
