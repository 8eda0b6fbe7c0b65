"""The plan is a pure function: machines and requests in, candidates out."""

from typing import get_args

import pytest

from pipeline import backends
from pipeline.plan import Machine, plan
from schemas import options as asked
from schemas.errors import BackendUnavailable
from schemas.options import Options

EVERYTHING = frozenset(f"{room}/{name}" for room in backends.ROOMS for name in backends.available(room))
LAPTOP = Machine("linux", "x86_64", 2, 24.0, backends=EVERYTHING)
MAC = Machine("darwin", "arm64", 10, 32.0, "metal", 32.0, mlx_on_gpu=True, backends=EVERYTHING)
SMALL_MAC = Machine("darwin", "arm64", 8, 8.0, "metal", 8.0, mlx_on_gpu=True, backends=EVERYTHING)
SERVER = Machine("linux", "x86_64", 16, 128.0, "cuda", 80.0, mlx_on_gpu=True, backends=EVERYTHING)
SERVER_MLX_CPU = Machine("linux", "x86_64", 16, 128.0, "cuda", 80.0, mlx_on_gpu=False, backends=EVERYTHING)


def ways(choices):
    return [(c.backend, c.device, c.compute_type) for c in choices]


@pytest.mark.parametrize(
    ("machine", "first"),
    [
        (LAPTOP, ("faster_whisper", "cpu", "int8")),
        (MAC, ("mlx", "metal", "float16")),
        (SERVER, ("mlx", "cuda", "float16")),
        (SERVER_MLX_CPU, ("faster_whisper", "cuda", "float16")),
    ],
)
def test_auto_prefers_mlx_on_a_gpu_and_faster_whisper_elsewhere(machine, first):
    assert ways(plan(machine, Options()).asr)[0] == first


def test_every_machine_ends_with_a_candidate_on_the_cpu():
    for machine in (LAPTOP, MAC, SERVER, SERVER_MLX_CPU):
        chosen = plan(machine, Options())
        for room in backends.ROOMS:
            assert getattr(chosen, room)[-1].device == "cpu", (machine, room)


@pytest.mark.parametrize(
    ("machine", "model"),
    [(LAPTOP, "small"), (SMALL_MAC, "small"), (MAC, "large-v3-turbo"), (SERVER, "large-v3-turbo")],
)
def test_the_default_whisper_fits_the_machine(machine, model):
    first = plan(machine, Options()).asr[0]
    assert first.model == model
    assert not first.model_required


def test_what_was_asked_for_is_the_only_candidate_and_required():
    chosen = plan(MAC, Options.from_flat(backend="faster_whisper", model="base", diarize_backend="pyannote"))
    assert ways(chosen.asr) == [("faster_whisper", "cpu", "int8")]
    assert chosen.asr[0].required
    assert chosen.asr[0].model_required
    assert ways(chosen.diarize) == [("pyannote", "mps", "float32")]


def test_an_apple_gpu_listens_with_the_weights_that_mlx_transcribes_with():
    found = [way for way in ways(plan(MAC, Options()).align) if way[0] == "cross_attention"]
    assert found == [("cross_attention", "metal", "float16"), ("cross_attention", "cpu", "int8")]


def test_what_is_not_installed_is_no_candidate():
    bare = Machine("linux", "x86_64", 2, 8.0, backends=frozenset({"asr/mlx_whisper", "align/even"}))
    chosen = plan(bare, Options())
    assert [c.backend for c in chosen.asr] == ["mlx_whisper"]
    assert [c.backend for c in chosen.align] == ["even"]
    assert chosen.diarize == ()


def test_an_alignment_model_that_was_asked_for_leaves_only_the_backends_that_read_it():
    chosen = plan(LAPTOP, Options.from_flat(align_model="WAV2VEC2_ASR_BASE_960H"))
    assert [c.backend for c in chosen.align] == ["wav2vec2_mlx", "whisperx"]
    assert all(c.model_required for c in chosen.align)


def test_cross_attention_reads_the_whisper_that_wrote_the_text():
    chosen = plan(LAPTOP, Options.from_flat(model="medium"))
    assert [c.model for c in chosen.align if c.backend == "cross_attention"] == ["medium"]


def test_a_device_that_is_not_there_is_an_error_with_a_way_out():
    with pytest.raises(BackendUnavailable) as error:
        plan(LAPTOP, Options.from_flat(device="cuda"))
    assert error.value.code == "backend_unavailable"
    assert "cpu" in error.value.hint


def test_mps_means_metal_for_mlx():
    assert plan(MAC, Options.from_flat(device="mps")).asr[0].device == "metal"


@pytest.mark.parametrize(
    ("machine", "order"),
    [
        (LAPTOP, [("torch", "cpu"), ("mlx", "cpu"), ("pyannote", "cpu")]),
        (MAC, [("mlx", "metal"), ("mlx", "cpu"), ("torch", "cpu"), ("pyannote", "mps"), ("pyannote", "cpu")]),
        (
            SERVER_MLX_CPU,
            [("torch", "cuda"), ("torch", "cpu"), ("mlx", "cpu"), ("pyannote", "cuda"), ("pyannote", "cpu")],
        ),
    ],
)
def test_speakers_are_told_apart_by_mlx_on_a_gpu_and_by_torch_elsewhere(machine, order):
    assert [(c.backend, c.device) for c in plan(machine, Options()).diarize] == order


def test_only_the_core_can_be_fast():
    chosen = plan(MAC, Options.from_flat(diarize_mode="fast")).diarize
    assert {c.backend for c in chosen} == {"mlx", "torch"}
    assert "pyannote" in {c.backend for c in plan(MAC, Options.from_flat(diarize_mode="exact")).diarize}


def test_one_speaker_is_never_chosen_by_itself():
    for machine in (LAPTOP, MAC, SERVER):
        assert "one_speaker" not in {c.backend for c in plan(machine, Options()).diarize}


@pytest.mark.parametrize(
    ("room", "names"),
    [
        ("vad", asked.VadMethod),
        ("asr", asked.AsrBackend),
        ("align", asked.AlignBackend),
        ("diarize", asked.DiarizeBackend),
    ],
)
def test_the_options_offer_exactly_the_backends_that_exist(room, names):
    assert set(get_args(names)) - {"auto"} == set(backends.available(room))
