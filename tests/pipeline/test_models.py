"""Which weights a name leads to: places in order, starters, errors. Caches are fabricated, nothing is loaded."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from pipeline import models
from pipeline.model_files import sha256_of, write_manifest
from schemas.errors import DownloadFailed, ModelNotFound

CTRANSLATE2 = ("model.bin", "config.json", "tokenizer.json", "vocabulary.json")
MLX = ("weights.safetensors", "config.json")
BASE_COMMIT = "ebe41f70d5b6dfa9166e2c581c45c9c0cfc57b66"
OTHER_COMMIT = "0" * 40


@dataclass(frozen=True)
class Machine:
    """A machine with empty caches, and ways to put models there."""

    root: Path

    def folder(self, path: str, names: tuple[str, ...]) -> Path:
        folder = self.root / path
        folder.mkdir(parents=True, exist_ok=True)
        for name in names:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(f"{path} {name}".encode())
        return folder

    def hub(self, repository: str, commit: str, names: tuple[str, ...], *, cache="hf/hub", main=False):
        """As huggingface_hub lays a snapshot out (symbolic links left out)."""
        repo = f"{cache}/models--{repository.replace('/', '--')}"
        folder = self.folder(f"{repo}/snapshots/{commit}", names)
        if main:
            (self.root / repo / "refs").mkdir(exist_ok=True)
            (self.root / repo / "refs" / "main").write_text(commit)
        return folder

    def own(self, kind: str, name: str, names: tuple[str, ...], format: str) -> Path:
        """A folder of this product's, as fetched from wheels."""
        folder = self.folder(f"own/models/{kind}/{name}", names)
        checksums = {file: sha256_of(folder / file) for file in names}
        write_manifest(folder, checksums, format=format, revision="abc", licence="MIT")
        return folder

    def torch(self, file: str) -> Path:
        return self.folder("torch/hub/checkpoints", (file,)) / file


@pytest.fixture
def machine(tmp_path, monkeypatch):
    for variable in ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("WHISPERX_MLX_CACHE", str(tmp_path / "own"))
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.chdir(tmp_path)
    return Machine(tmp_path)


def whisper(name, *, formats=("ctranslate2",), required=True, **options):
    return models.find("whisper", name, formats=formats, required=required, **options)


# --- the order of places ---------------------------------------------------------------------------


def _path(machine):
    return machine.folder("mine/base", CTRANSLATE2)


def _model_dir(machine):
    return machine.folder("dir/base", CTRANSLATE2)


def _model_dir_hub(machine):
    return machine.hub("Systran/faster-whisper-base", BASE_COMMIT, CTRANSLATE2, cache="dir")


def _own(machine):
    return machine.own("whisper", "base", CTRANSLATE2, "ctranslate2")


def _hub(machine):
    return machine.hub("Systran/faster-whisper-base", BASE_COMMIT, CTRANSLATE2)


@pytest.mark.parametrize(
    ("there", "expected", "source"),
    [
        ((_model_dir, _own, _hub), _model_dir, "local"),
        ((_own, _hub, _model_dir_hub), _own, "starter"),
        ((_hub, _model_dir_hub), _model_dir_hub, "hub"),
        ((_hub,), _hub, "hub"),
    ],
    ids=("folder of the user's", "own cache", "hub's layout in the user's folder", "hub's cache"),
)
def test_the_first_place_that_holds_the_model_wins(machine, there, expected, source):
    paths = {place: place(machine) for place in there}
    files = whisper("base", model_dir="dir")
    assert (files.path, files.source) == (paths[expected], source)


def test_a_path_is_taken_as_it_is(machine):
    _own(machine)
    files = whisper("mine/base") if _path(machine) else None
    assert (files.path, files.source) == (machine.root / "mine/base", "local")


def test_a_folder_in_the_working_directory_does_not_shadow_a_known_name(machine):
    machine.folder("base", CTRANSLATE2)
    with pytest.raises(ModelNotFound) as caught:
        whisper("base")
    assert caught.value.code == "model_not_downloaded"
    assert whisper("./base").source == "local"


@pytest.mark.parametrize("name", ["turbo", "TURBO", "large-v3-turbo", "mlx-community/whisper-large-v3-turbo"])
def test_aliases_and_repositories_of_the_table_lead_to_the_same_weights(machine, name):
    folder = machine.hub(
        "mlx-community/whisper-large-v3-turbo", "a4aaeec0636e6fef84abdcbe3544cb2bf7e9f6fb", MLX
    )
    files = whisper(name, formats=("mlx",))
    assert (files.path, files.licence) == (folder, "MIT")


def test_any_repository_of_the_hub_is_a_name(machine):
    folder = machine.hub("me/my-whisper", OTHER_COMMIT, CTRANSLATE2, main=True)
    files = whisper("me/my-whisper")
    assert (files.path, files.revision, files.licence) == (folder, OTHER_COMMIT, None)


def test_the_pinned_revision_comes_before_the_main_branch(machine):
    machine.hub("Systran/faster-whisper-base", OTHER_COMMIT, CTRANSLATE2, main=True)
    assert whisper("base").revision == OTHER_COMMIT
    _hub(machine)
    assert whisper("base").revision == BASE_COMMIT


def test_a_revision_that_was_named_is_the_only_one_that_counts(machine):
    machine.hub("Systran/faster-whisper-base", OTHER_COMMIT, CTRANSLATE2, main=True)
    with pytest.raises(ModelNotFound) as caught:
        whisper(f"Systran/faster-whisper-base@{BASE_COMMIT}")
    command = f"whisperx-mlx models pull Systran/faster-whisper-base@{BASE_COMMIT} --kind whisper"
    assert caught.value.hint == command
    assert whisper(f"Systran/faster-whisper-base@{OTHER_COMMIT}").revision == OTHER_COMMIT


@pytest.mark.parametrize("absent", CTRANSLATE2)
def test_an_unfinished_snapshot_is_not_taken(machine, absent):
    machine.hub(
        "Systran/faster-whisper-base", BASE_COMMIT, tuple(name for name in CTRANSLATE2 if name != absent)
    )
    assert not models.is_here("whisper", "base", formats=("ctranslate2",))
    with pytest.raises(ModelNotFound):
        whisper("base")


def test_a_torchaudio_bundle_is_found_where_torch_put_it(machine):
    path = machine.torch("wav2vec2_fairseq_base_ls960_asr_ls960.pth")
    files = models.find("align", None, formats=("torchaudio", "transformers"), required=True)
    assert (files.name, files.path, files.format) == ("WAV2VEC2_ASR_BASE_960H", path, "torchaudio")


def test_a_language_code_names_its_alignment_model(machine):
    name = models.align_model("nl")
    folder = machine.hub(
        name,
        OTHER_COMMIT,
        ("config.json", "preprocessor_config.json", "vocab.json", "pytorch_model.bin"),
        main=True,
    )
    files = models.find("align", "nl", formats=("torchaudio", "transformers"), required=True)
    assert (files.name, files.path) == (name, folder)
    assert models.align_model("xx") is None


def test_a_pipeline_is_here_only_with_the_models_that_it_is_made_of(machine):
    machine.hub(
        "pyannote/speaker-diarization-3.1", "84fd25912480287da0247647c3d2b4853cb3ee5d", ("config.yaml",)
    )
    machine.own("segmentation", "segmentation-3.0", ("pytorch_model.bin", "config.yaml"), "pyannote")
    assert not models.is_here("diarization", "speaker-diarization-3.1", formats=("pyannote",))
    machine.hub(
        "pyannote/wespeaker-voxceleb-resnet34-LM",
        "837717ddb9ff5507820346191109dc79c958d614",
        ("pytorch_model.bin",),
    )
    assert models.is_here("diarization", "speaker-diarization-3.1", formats=("pyannote",))


def test_part_of_a_repository_is_a_model_of_its_own(machine):
    names = ("plda/plda.npz", "plda/xvec_transform.npz")
    commit = "3533c8cf8e369892e6b79ff1bf80f7b0286a54ee"
    folder = machine.hub("pyannote/speaker-diarization-community-1", commit, names)
    files = models.find("plda", None, formats=("numpy",), required=True)
    assert (files.path, files.revision) == (folder / "plda", commit)
    assert not models.is_here("diarization", "community-1", formats=("pyannote",))


@pytest.mark.parametrize(("name", "format"), [("silero", "onnx"), ("pyannote-vad", "torch")])
def test_models_inside_installed_packages_are_always_here(machine, name, format):
    files = models.find("vad", name, formats=("onnx", "torch"), required=True)
    assert (files.source, files.format) == ("package", format)
    assert sha256_of(files.path).startswith(files.revision)


# --- starter weights ---------------------------------------------------------------------------------


def test_starter_weights_stand_in_for_a_default_and_say_so(machine):
    _own(machine)
    files = whisper("small", required=False)
    assert (files.name, files.wanted) == ("base", "small")
    warning = models.substitute_warning(files)
    assert warning.code == "model_substituted"
    assert "whisperx-mlx models pull small" in warning.message


def test_a_name_that_was_asked_for_is_never_replaced(machine):
    _own(machine)
    with pytest.raises(ModelNotFound) as caught:
        whisper("small", required=True)
    assert caught.value.code == "model_not_downloaded"
    assert caught.value.hint == "whisperx-mlx models pull small"
    assert str(machine.root / "own" / "models") in caught.value.message


def test_the_real_thing_needs_no_warning(machine):
    _own(machine)
    files = whisper("base", required=False)
    assert files.wanted is None
    assert models.substitute_warning(files) is None


def test_no_kind_but_those_with_starters_is_replaced(machine):
    with pytest.raises(ModelNotFound, match="community-1"):
        models.find("diarization", None, formats=("pyannote",), required=False)


# --- errors ------------------------------------------------------------------------------------------


def test_an_unknown_name_gets_the_nearest_ones(machine):
    with pytest.raises(ModelNotFound) as caught:
        whisper("large-v3-trubo")
    assert caught.value.code == "model_not_found"
    assert "large-v3-turbo" in caught.value.hint


def test_a_folder_that_lacks_files_says_which(machine):
    machine.folder("mine", ("model.bin", "config.json"))
    with pytest.raises(ModelNotFound, match=r"lacks tokenizer\.json, vocabulary\.json or vocabulary\.txt"):
        whisper("./mine")


def test_a_model_without_the_format_says_which_formats_it_has(machine):
    with pytest.raises(ModelNotFound, match="comes as torch, and pyannote is needed"):
        models.find("embedding", "campplus", formats=("pyannote",), required=True)


@pytest.mark.parametrize("platform", ["linux", "darwin"])
@pytest.mark.parametrize("format", ["ctranslate2", "mlx"])
def test_the_command_in_the_hint_fetches_the_format_that_was_looked_for(
    machine, monkeypatch, platform, format
):
    """On an Apple machine ``pull`` prefers MLX; CTranslate2 weights serve for both."""
    monkeypatch.setattr("sys.platform", platform)
    monkeypatch.setattr("platform.machine", lambda: "arm64")
    with pytest.raises(ModelNotFound) as caught:
        whisper("small", formats=(format,))
    extra = " --format ctranslate2" if (platform, format) == ("darwin", "ctranslate2") else ""
    assert caught.value.hint == f"whisperx-mlx models pull small{extra}"


def _truncated(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def _flipped(path: Path) -> None:
    data = path.read_bytes()
    path.write_bytes(bytes([data[0] ^ 1]) + data[1:])


@pytest.mark.parametrize("harm", [_truncated, _flipped, Path.unlink])
def test_damaged_files_are_an_error_not_a_fallback(machine, harm):
    harm(_own(machine) / "model.bin")
    with pytest.raises(ModelNotFound) as caught:
        whisper("base", required=False)
    assert caught.value.code == "model_damaged"
    assert caught.value.hint == "whisperx-mlx models pull base"
    assert not models.is_here("whisper", "base", formats=("ctranslate2",))


def test_a_copied_file_with_another_time_is_whole(machine):
    path = _own(machine) / "model.bin"
    path.touch()
    assert whisper("base").source == "starter"


def test_a_folder_without_its_manifest_is_not_whole(machine):
    machine.folder("own/models/whisper/base", CTRANSLATE2)
    assert not models.is_here("whisper", "base", formats=("ctranslate2",))


def test_offline_mode_forbids_the_hub_at_once(machine):
    """In a process of its own: huggingface_hub reads the variable when it is imported."""
    code = (
        "from pipeline import models\n"
        "from schemas.errors import DownloadFailed\n"
        "try: models.pull('whisper', 'small')\n"
        "except DownloadFailed as error: print(error.retryable, error.message)\n"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code],
        env={"HF_HUB_OFFLINE": "1", "HOME": str(machine.root)},
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=True,
    )
    assert ran.stdout.startswith("False 'Systran/faster-whisper-small'")
    assert "HF_HUB_OFFLINE" in ran.stdout


def test_looking_imports_nothing_heavy(machine):
    code = (
        "import sys\n"
        "from pipeline import models\n"
        "models.is_here('whisper', 'large-v3', formats=('mlx',))\n"
        "models.is_here('align', 'de', formats=('torchaudio', 'transformers'))\n"
        "heavy = {'torch', 'torchaudio', 'mlx', 'whisperx', 'huggingface_hub', 'numpy', 'requests'}\n"
        "print(sorted(heavy & set(sys.modules)))\n"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=True,
    )
    assert ran.stdout.strip() == "[]"


# --- what identifies weights ---------------------------------------------------------------------------


def test_the_revision_of_a_folder_changes_with_its_contents(machine):
    folder = _path(machine)
    before = whisper("mine/base").revision
    assert whisper("mine/base").revision == before
    _flipped(folder / "model.bin")
    assert whisper("mine/base").revision != before


class _Trap:
    """Unpickling it runs code."""

    def __reduce__(self):
        return Path.touch, (Path("sprung"),)


def torch_save(thing, path):
    import torch

    torch.save(thing, path)


def test_an_unknown_pickle_never_runs_code(machine):
    path = machine.root / "trap.pt"
    torch_save(_Trap(), path)
    with pytest.raises(ModelNotFound) as caught:
        models.load_pickle_checked(path)
    assert caught.value.code == "model_damaged"
    assert not (machine.root / "sprung").exists()


def test_plain_weights_load_and_a_wrong_checksum_is_an_error(machine):
    path = machine.root / "weights.pt"
    torch_save({"weight": [1.0, 2.0]}, path)
    assert models.load_pickle_checked(path, sha256_of(path)) == {"weight": [1.0, 2.0]}
    with pytest.raises(ModelNotFound, match="checksum"):
        models.load_pickle_checked(path, "0" * 64)


def test_a_pickle_is_unpickled_freely_only_if_its_checksum_is_in_the_table(machine, monkeypatch):
    path = machine.root / "trap.pt"
    torch_save(_Trap(), path)
    with pytest.raises(ModelNotFound):
        models.load_pickle_checked(path, sha256_of(path))
    monkeypatch.setattr("pipeline.model_table.CHECKED_PICKLES", frozenset({sha256_of(path)}))
    models.load_pickle_checked(path)
    assert (machine.root / "sprung").exists()


def test_too_little_room_is_said_before_anything_is_fetched(machine, monkeypatch):
    from pipeline.model_files import require_space

    monkeypatch.setattr("shutil.disk_usage", lambda _: type("Usage", (), {"free": 10})())
    with pytest.raises(DownloadFailed, match="GB are needed"):
        require_space(machine.root / "not" / "there" / "yet", 11)
    require_space(machine.root, 10)
