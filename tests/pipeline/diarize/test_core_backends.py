"""mlx and torch: pyannote's turns from its own weights with neither pyannote nor, for mlx, torch."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from pipeline import backends
from pipeline.plan import Choice
from pipeline.recording import Recording
from schemas.errors import BackendUnavailable, JobError, ModelNotFound, StageFailed
from schemas.options import DiarizeOptions, Options

BACKENDS = ("torch", "mlx")


def load(name: str, device: str = "cpu"):
    try:
        return backends.load("diarize", Choice(name, device), Options())
    except ModelNotFound as error:
        pytest.skip(f"{error.message}: {error.hint}")


@pytest.fixture(scope="module", params=BACKENDS)
def core(request):
    return load(request.param)


@pytest.fixture(scope="module")
def torch_core():
    return load("torch")


@pytest.fixture(scope="module")
def by_pyannote(diarizer, clip):
    return run(diarizer, clip)


def run(diarizer, recording, progress=lambda _: None, **asked):
    return diarizer.diarize(recording, DiarizeOptions(**asked), progress)


def spans(turns) -> list[tuple]:
    return [(turn.start, turn.end, turn.speaker) for turn in turns]


def codes(found) -> list[str]:
    return [warning.code for warning in found.warnings]


def test_exact_gives_pyannotes_turns(core, clip, by_pyannote):
    found = run(core, clip, diarize_mode="exact")
    assert spans(found.turns) == spans(by_pyannote.turns)
    assert spans(found.exclusive_turns) == spans(by_pyannote.exclusive_turns)
    assert core.mode == "exact"
    assert [voice.speaker for voice in found.voices] == [voice.speaker for voice in by_pyannote.voices]
    for ours, theirs in zip(found.voices, by_pyannote.voices, strict=True):
        assert (ours.embedding is None) == (theirs.embedding is None)
        if ours.embedding is not None:
            assert np.dot(ours.embedding, theirs.embedding) > 0.999


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    [
        "golden_community1/test.wav",
        "golden_community1/test_short.wav",
        "golden_community1/test_single_speaker.wav",
        "multi/ami_EN2003a.flac",
    ],
)
def test_exact_gives_pyannotes_turns_on_real_recordings(torch_core, diarizer, shared_audio, name):
    from pipeline.audio import load_waveform

    recording = Recording.from_array(load_waveform(shared_audio / name))
    ours, theirs = run(torch_core, recording, diarize_mode="exact"), run(diarizer, recording)
    assert spans(ours.turns) == spans(theirs.turns)
    assert spans(ours.exclusive_turns) == spans(theirs.exclusive_turns)


def apart(one, other, duration_s: float) -> float:
    """Speech of ``other`` to which ``one`` gives another speaker or none, or the other way round, as a share."""
    step = np.arange(0, duration_s, 0.01)

    def talking(result, who) -> np.ndarray:
        spoken = [(t.start <= step) & (step < t.end) for t in result.turns if t.speaker == who]
        return np.any(spoken, axis=0) if spoken else np.zeros(len(step), bool)

    people = {*one.speakers, *other.speakers}
    wrong = sum((talking(one, who) != talking(other, who)).sum() for who in people)
    return wrong / sum(talking(other, who).sum() for who in other.speakers)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "most"), [("test.wav", 0.01), ("test_single_speaker.wav", 0.01), ("test_3speakers.wav", 0.02)]
)
def test_fast_gives_nearly_the_turns_of_exact(torch_core, shared_audio, name, most):
    from pipeline.audio import load_waveform

    recording = Recording.from_array(load_waveform(shared_audio / "golden_community1" / name))
    fast = run(torch_core, recording, diarize_mode="fast")
    assert torch_core.mode == "fast"
    exact = run(torch_core, recording, diarize_mode="exact")
    assert fast.speakers == exact.speakers
    assert apart(fast, exact, recording.duration_s) <= most


def test_fast_is_the_same_in_both_frameworks(core, torch_core, clip):
    fast = run(core, clip, diarize_mode="fast")
    assert apart(fast, run(torch_core, clip, diarize_mode="fast"), clip.duration_s) <= 0.005


def test_exact_is_pyannotes(torch_core, clip, by_pyannote):
    assert spans(run(torch_core, clip, diarize_mode="exact").turns) == spans(by_pyannote.turns)
    assert torch_core.mode == "exact"


def test_auto_is_fast_with_the_starter_weights(torch_core, clip):
    assert spans(run(torch_core, clip).turns) == spans(run(torch_core, clip, diarize_mode="fast").turns)
    assert torch_core.mode == "fast"


def test_auto_is_exact_where_the_voices_of_short_stretches_have_no_threshold(torch_core):
    from dataclasses import replace

    from pipeline.diarize._core import mode_of

    others = replace(torch_core.pipeline, stretches=None)
    assert mode_of(DiarizeOptions(), others) == "exact"
    assert mode_of(DiarizeOptions(diarize_mode="fast"), others) == "fast"


@pytest.mark.parametrize("samples", [0, 1, 1_600, 250_000])
def test_silence_of_any_length_has_nobody(core, samples):
    found = run(core, Recording.from_array(np.zeros(samples, np.float32)), min_speakers=2)
    assert (found.turns, found.exclusive_turns, found.voices) == ((), (), ())
    assert codes(found) == ["no_speech"]


@pytest.mark.parametrize("mode", ["exact", "fast"])
@pytest.mark.parametrize("seconds", [0.1, 0.6, 3.0])
def test_a_few_words_have_one_speaker(torch_core, waveform, seconds, mode):
    recording = Recording.from_array(waveform[16_000 : round((1 + seconds) * 16_000)])
    found = run(torch_core, recording, diarize_mode=mode)
    assert len(found.speakers) == (1 if seconds > 0.5 else len(found.speakers)) <= 1
    assert all(turn.end <= seconds for turn in found.turns)


@pytest.mark.parametrize(
    ("counts", "found"),
    [({"num_speakers": 2}, 2), ({"num_speakers": 1}, 1), ({"max_speakers": 2}, 2), ({"min_speakers": 2}, 3)],
)
def test_the_number_of_speakers_asked_for_is_met(torch_core, clip, counts, found):
    result = run(torch_core, clip, **counts)
    assert (len(result.speakers), codes(result)) == (found, [])


def test_a_number_that_cannot_be_met_is_said(torch_core, clip):
    assert codes(run(torch_core, clip, num_speakers=20)) == ["speaker_limit"]


def test_exclusive_turns_never_overlap_and_lie_in_the_recording(torch_core, meeting):
    found = run(torch_core, meeting)
    assert all(one.end <= other.start for one, other in pairwise(found.exclusive_turns))
    assert any(one.end > other.start for one, other in pairwise(found.turns))
    assert found.turns[0].start >= 0
    assert found.turns[-1].end <= meeting.duration_s


def test_four_voices_at_once_do_not_break_it(torch_core, waveform):
    """The network knows three speakers in a window, and two at once."""
    parts = [waveform[start * 16_000 : (start + 12) * 16_000] for start in (33, 60, 90, 120)]
    found = run(torch_core, Recording.from_array(np.sum(parts, axis=0) / 4))
    assert 1 <= len(found.speakers) <= 3
    moments = np.arange(0, 12, 0.1)
    assert max(sum(t.start <= moment < t.end for t in found.turns) for moment in moments) <= 2


@pytest.mark.parametrize("mode", ["exact", "fast"])
def test_progress_rises_to_one(torch_core, clip, mode):
    fractions: list[float] = []
    run(torch_core, clip, fractions.append, diarize_mode=mode)
    assert fractions == sorted(fractions)
    assert fractions[-1] == 1.0
    assert len(set(fractions)) >= 3


@pytest.mark.parametrize("mode", ["exact", "fast"])
def test_it_stops_between_batches_and_the_next_recording_works(torch_core, clip, mode, monkeypatch):
    class Stop(JobError):
        pass

    calls = []
    network = torch_core.pipeline.networks.segmentation
    monkeypatch.setattr(
        type(network), "__call__", lambda self, samples, step: calls.append(len(samples)) or ones
    )
    ones = np.zeros((1, 589, 7), np.float32)

    def stop(_fraction: float) -> None:
        raise Stop("stop")

    long = Recording.from_array(np.zeros(16_000 * 200, np.float32))
    with monkeypatch.context() as patch, pytest.raises(Stop):
        patch.setattr("pipeline.diarization_core.frames.binarize", lambda _: 0)
        run(torch_core, long, stop, diarize_mode=mode)
    assert calls == [31 * 16_000 + 160_000]
    monkeypatch.undo()
    assert run(torch_core, clip).turns


def test_a_recording_on_disk_gives_the_turns_of_one_in_memory(torch_core, clip, tmp_path):
    path = tmp_path / "clip.f32"
    clip.mapped().astype("<f4").tofile(path)
    on_disk = Recording(clip.samples, clip.sha256, pcm=path)
    assert run(torch_core, on_disk).turns == run(torch_core, clip).turns


def test_an_mlx_diarizer_refuses_another_thread(clip):
    from concurrent.futures import ThreadPoolExecutor

    diarizer = load("mlx")
    with ThreadPoolExecutor(1) as pool, pytest.raises(StageFailed, match="thread"):
        pool.submit(run, diarizer, clip).result()


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_device_that_is_not_there_is_an_error_with_a_way_out(backend):
    import mlx.core as mx
    import torch

    if torch.cuda.is_available() or mx.is_available(mx.gpu):
        pytest.skip("this machine has an accelerator")
    with pytest.raises(BackendUnavailable, match="cuda") as caught:
        backends.load("diarize", Choice(backend, "cuda"), Options())
    assert caught.value.hint


def test_mlx_needs_neither_torch_nor_pyannote(clip, tmp_path):
    """In a process of its own, with a part of the recording, from the checkpoints on."""
    import json
    import os
    import subprocess
    import sys

    load("mlx")
    clip.mapped()[: 3 * 16_000].astype("<f4").tofile(tmp_path / "clip.f32")
    code = f"""
import sys
for name in ("torch", "pyannote", "torchaudio", "whisperx"):
    sys.modules[name] = None
from pathlib import Path
from pipeline import backends, models
from pipeline.diarize._converted import read_checkpoint
from pipeline.plan import Choice
from pipeline.recording import Recording
from schemas.options import DiarizeOptions, Options
for kind, format in (("segmentation", "pyannote"), ("embedding", "torch")):
    path = models.find(kind, None, formats=(format,), required=False).path
    read_checkpoint(path / "pytorch_model.bin" if path.is_dir() else path)
diarizer = backends.load("diarize", Choice("mlx"), Options())
recording = Recording(3 * 16000, "", pcm=Path({str(tmp_path / "clip.f32")!r}))
print(len(diarizer.diarize(recording, DiarizeOptions(), lambda _: None).turns))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=os.environ)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1]) >= 1


@pytest.mark.parametrize("backend", ["pyannote", "one_speaker"])
def test_a_mode_that_a_backend_lacks_is_refused(backend):
    with pytest.raises(ValueError, match="diarize_mode"):
        DiarizeOptions(diarize_backend=backend, diarize_mode="fast")
    assert DiarizeOptions(diarize_backend="pyannote", diarize_mode="exact")
