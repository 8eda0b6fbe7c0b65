"""Checkpoints: Hugging Face folders (``Wav2Vec2ForCTC``, ``HubertForCTC``, MMS with adapters), torchaudio's files.

Whatever the file, the weights come out as float32 numpy arrays under transformers' names without a prefix, with
the weight norm of the positional convolution folded in (in float64) and convolutions laid out (out, kernel, in).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.wav2vec2.config import Config

Tensors = dict[str, np.ndarray]

_PREFIXES = ("wav2vec2.", "hubert.", "model.")
_UNUSED = ("masked_spec_embed", "quantizer.", "project_q.", "project_hid.", "mask_generator.")
_TORCHAUDIO_NAMES = (
    ("encoder.feature_projection.", "feature_projection."),
    ("encoder.transformer.", "encoder."),
    ("aux.", "lm_head."),
)
_POSITIONS = "encoder.pos_conv_embed.conv."
_SCALES = ("weight_g", "parametrizations.weight.original0")
_DIRECTIONS = ("weight_v", "parametrizations.weight.original1")
_ADAPTER_DEFAULT = "eng"  # MMS checkpoints are published with their English adapter in place


class NoAdapter(LookupError):
    """A checkpoint with an adapter a language has none for the one that was asked for."""


@dataclass(frozen=True)
class Checkpoint:
    """``labels`` are the outputs by their text; ``normalise``: waveforms to mean 0 and variance 1 first."""

    config: Config
    tensors: Tensors
    labels: Mapping[str, int]
    blank: int
    normalise: bool


def read_hub(folder: Path, target_lang: str | None = None) -> Checkpoint:
    """A checkpoint in the Hugging Face format.

    ``target_lang`` is a language's code of ISO 639-3, for checkpoints with an adapter a language (MMS).

    Raises :class:`NoAdapter` for a language that such a checkpoint lacks, and OSError, ValueError or KeyError for
    files that are not such a model.
    """
    config = Config.of_hub(_json(folder / "config.json"))
    tensors = _renamed(_hub_tensors(folder))
    labels = _labels(folder, target_lang)
    if config.adapter_attn_dim is not None:
        tensors |= _renamed(_adapter(folder, target_lang or _ADAPTER_DEFAULT))
    processor = _json(folder / "preprocessor_config.json")
    blank = _blank(folder, labels, config)
    return Checkpoint(config, _folded(tensors), labels, blank, bool(processor.get("do_normalize", True)))


def read_torchaudio(path: Path) -> Checkpoint:
    """The file of one of torchaudio's bundles, which its name tells; the bundle says shape, labels and the rest.

    Raises ValueError for a file of another name, and what torch raises for one that cannot be read. Only tensors
    are unpickled.
    """
    import torchaudio

    bundle = _bundle(torchaudio.pipelines, path.name)
    tensors = _renamed((_torchaudio_name(name), array) for name, array in _pickled(path))
    # fairseq's dictionary has entries that no text uses: the bundle takes them out
    for name in ("lm_head.weight", "lm_head.bias"):
        tensors[name] = np.delete(tensors[name], bundle._remove_aux_axis, axis=0)
    labels = {label: number for number, label in enumerate(bundle.get_labels())}
    config = Config.of_torchaudio(bundle._params)
    return Checkpoint(config, _folded(tensors), labels, 0, bundle._normalize_waveform)


def _bundle(pipelines: Any, checkpoint: str) -> Any:
    for name in pipelines.__all__:
        bundle = getattr(pipelines, name)
        if getattr(bundle, "_path", None) == checkpoint and hasattr(bundle, "_labels"):
            return bundle
    raise ValueError(f"{checkpoint} is no checkpoint of a torchaudio pipeline")


def _hub_tensors(folder: Path) -> Iterator[tuple[str, np.ndarray]]:
    """All tensors of a folder: one file, or several that an index lists."""
    for stem, read in (("model.safetensors", _safetensors), ("pytorch_model.bin", _pickled)):
        index = folder / f"{stem}.index.json"
        if (folder / stem).is_file():
            return read(folder / stem)
        if index.is_file():
            files = sorted(set(_json(index)["weight_map"].values()))
            return (pair for file in files for pair in read(_inside(folder, file)))
    raise FileNotFoundError(f"{folder} holds no weights")


def _adapter(folder: Path, target_lang: str) -> Iterator[tuple[str, np.ndarray]]:
    """The tensors of a language's adapter; none where the checkpoint is published with it in place."""
    for suffix, read in (("safetensors", _safetensors), ("bin", _pickled)):
        file = _inside(folder, f"adapter.{target_lang}.{suffix}")
        if file.is_file():
            return read(file)
    if target_lang == _ADAPTER_DEFAULT:
        return iter(())
    raise NoAdapter(f"the checkpoint has no adapter.{target_lang}.safetensors")


def _inside(folder: Path, file: str) -> Path:
    if Path(file).name != file:
        raise ValueError(f"{file} does not lie in the checkpoint's folder")
    return folder / file


def _safetensors(path: Path) -> Iterator[tuple[str, np.ndarray]]:
    import mlx.core as mx

    for name, array in mx.load(str(path), format="safetensors").items():
        yield name, np.array(array.astype(mx.float32))


def _pickled(path: Path) -> Iterator[tuple[str, np.ndarray]]:
    import torch

    state = torch.load(path, map_location="cpu", weights_only=True)
    for name, tensor in state.items():
        yield name, tensor.float().numpy()


def _torchaudio_name(name: str) -> str:
    for theirs, ours in _TORCHAUDIO_NAMES:
        name = name.removeprefix("model.")
        if name.startswith(theirs):
            return ours + name.removeprefix(theirs)
    return name


def _renamed(tensors: Iterable[tuple[str, np.ndarray]]) -> Tensors:
    found = {}
    for name, array in tensors:
        for prefix in _PREFIXES:
            name = name.removeprefix(prefix)
        if not name.startswith(_UNUSED):
            found[name] = array
    return found


def _folded(tensors: Tensors) -> Tensors:
    """Convolutions as MLX lays them out, the weight norm (one length for each step of the kernel) folded in."""
    scale, direction = (
        next((tensors.pop(_POSITIONS + name) for name in names if _POSITIONS + name in tensors), None)
        for names in (_SCALES, _DIRECTIONS)
    )
    if scale is not None and direction is not None:
        direction = direction.astype(np.float64)
        length = np.sqrt(np.sum(direction**2, axis=(0, 1), keepdims=True))
        tensors[_POSITIONS + "weight"] = direction * (scale / length)
    return {
        name: np.ascontiguousarray(a.transpose(0, 2, 1) if a.ndim == 3 else a, dtype=np.float32)
        for name, a in tensors.items()
    }


def _labels(folder: Path, target_lang: str | None) -> dict[str, int]:
    """Outputs by text, from the tokenizer's files. MMS has a vocabulary a language."""
    file = folder / "vocab.json"
    if file.is_file():
        vocabulary = _json(file)
        if vocabulary and all(isinstance(value, dict) for value in vocabulary.values()):
            language = target_lang or _ADAPTER_DEFAULT
            if language not in vocabulary:
                raise NoAdapter(f"the checkpoint has no vocabulary for {language!r}")
            vocabulary = vocabulary[language]
    else:
        vocabulary = _json(folder / "tokenizer.json")["model"]["vocab"]
    added = folder / "added_tokens.json"
    return {**vocabulary, **(_json(added) if added.is_file() else {})}


def _blank(folder: Path, labels: Mapping[str, int], config: Config) -> int:
    """The tokenizer's padding token is CTC's blank."""
    file = folder / "tokenizer_config.json"
    token = _json(file).get("pad_token") if file.is_file() else None
    token = token.get("content") if isinstance(token, dict) else token
    return labels.get(token or "<pad>", labels.get("[PAD]", config.pad_token_id))


def _json(path: Path) -> Any:
    return json.loads(path.read_text("utf-8"))
