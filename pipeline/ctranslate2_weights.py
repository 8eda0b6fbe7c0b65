"""CTranslate2's Whisper weights read without CTranslate2, and turned into the ones that mlx-whisper loads.

``model.bin``, binary version 6, little endian (after CTranslate2's ``python/ctranslate2/specs/model_spec.py``)::

    u32 version, string name of the specification, u32 its revision
    u32 count, then as many variables:  string name, u8 rank, u32 per dimension, u8 type, u32 bytes, data
    u32 count, then as many aliases:    string name, string variable

A string is u16 length (a final NUL included) and bytes. The file ends right there, which is checked.
"""

from __future__ import annotations

import json
import mmap
import shutil
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.model_files import (
    ModelFiles,
    locked,
    private_folder,
    read_manifest,
    sha256_of,
    slug,
    write_manifest,
)
from schemas.errors import InvalidArgument, ModelNotFound

_BINARY_VERSION = 6
_CONVERSION = 1  # goes up when the conversion's result changes, so that older ones are not used again
_BFLOAT16 = 5
_TYPES = {0: "<f4", 1: "<i1", 2: "<i2", 3: "<i4", 4: "<f2", _BFLOAT16: "<u2"}
_COMPUTE_TYPES = {"float32": np.float32, "float16": np.float16}
_ATTENTION = {"attn": "self_attention", "cross_attn": "attention"}


class Weights:
    """The variables of a ``model.bin`` as arrays, by name or alias. The file is mapped, not read."""

    def __init__(self, path: Path) -> None:
        """Raises :class:`ModelNotFound` (``model_damaged``) unless the file is whole and of the right version."""
        self._path = path
        try:
            with path.open("rb") as file:
                self._data = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
            self._at = 0
            self._read()
        except (OSError, ValueError, struct.error, KeyError) as error:
            raise _damaged(path, str(error)) from error

    def _read(self) -> None:
        version = self._number("I")
        if version != _BINARY_VERSION:
            raise ValueError(f"binary version {version}; version {_BINARY_VERSION} is what can be read")
        self.specification = self._string()
        self.revision = self._number("I")
        self._arrays = dict(self._variable() for _ in range(self._number("I")))
        self._aliases = {self._string(): self._string() for _ in range(self._number("I"))}
        self._arrays.update({alias: self._arrays[name] for alias, name in self._aliases.items()})
        if self._at != len(self._data):
            raise ValueError(f"it goes on after its end, at byte {self._at}")

    def _number(self, format: str) -> int:
        (number,) = struct.unpack_from(f"<{format}", self._data, self._at)
        self._at += struct.calcsize(f"<{format}")
        return number

    def _string(self) -> str:
        length = self._number("H")
        text = self._data[self._at : self._at + length - 1].decode()
        self._at += length
        return text

    def _variable(self) -> tuple[str, np.ndarray]:
        name = self._string()
        shape = [self._number("I") for _ in range(self._number("B"))]
        kind = self._number("B")
        size = self._number("I")
        dtype = np.dtype(_TYPES[kind])
        count = int(np.prod(shape, dtype=np.int64))
        if count * dtype.itemsize != size:
            raise ValueError(f"{name} has {size} bytes for the shape {shape}")
        array = np.frombuffer(self._data, dtype, count, self._at).reshape(shape)
        self._at += size
        if kind == _BFLOAT16:
            array = (array.astype(np.uint32) << 16).view(np.float32)
        return name, array

    def __contains__(self, name: str) -> bool:
        return name in self._arrays

    def __getitem__(self, name: str) -> np.ndarray:
        """The array as stored. Raises ``model_damaged`` for a name that the model should have and has not."""
        try:
            return self._arrays[name]
        except KeyError:
            raise _damaged(self._path, f"it has no variable {name}") from None

    def number(self, name: str) -> int:
        """A stored scalar."""
        return int(self[name].reshape(()))

    def real(self, name: str) -> np.ndarray:
        """The array as real numbers: int8 is divided by its scale per row, int16 by its one scale."""
        array = self[name]
        if array.dtype.kind == "f":
            return array
        scale = self[f"{self._aliases.get(name, name)}_scale"].astype(np.float32)
        if scale.ndim == 1 and scale.size > 1:
            scale = scale.reshape(-1, *[1] * (array.ndim - 1))
        return array.astype(np.float32) / scale


def dimensions(weights: Weights) -> dict[str, int]:
    """mlx-whisper's ``ModelDimensions``."""
    n_audio_ctx, n_audio_state = weights["encoder/position_encodings/encodings"].shape
    n_text_ctx = weights["decoder/position_encodings/encodings"].shape[0]
    n_vocab, n_text_state = weights["decoder/embeddings/weight"].shape
    return {
        "n_mels": weights["encoder/conv1/weight"].shape[1],
        "n_audio_ctx": n_audio_ctx,
        "n_audio_state": n_audio_state,
        "n_audio_head": weights.number("encoder/num_heads"),
        "n_audio_layer": _layers(weights, "encoder"),
        "n_vocab": n_vocab,
        "n_text_ctx": n_text_ctx,
        "n_text_state": n_text_state,
        "n_text_head": weights.number("decoder/num_heads"),
        "n_text_layer": _layers(weights, "decoder"),
    }


def _layers(weights: Weights, part: str) -> int:
    count = 0
    while f"{part}/layer_{count}/ffn/linear_0/weight" in weights:
        count += 1
    return count


def parameters(weights: Weights) -> Iterator[tuple[str, np.ndarray]]:
    """Every parameter under mlx-whisper's name, in mlx-whisper's layout."""
    yield from _encoder_front(weights)
    for part in ("encoder", "decoder"):
        for i in range(_layers(weights, part)):
            yield from _block(weights, f"{part}/layer_{i}", f"{part}.blocks.{i}")
    yield from _layer_norm(weights, "encoder/layer_norm", "encoder.ln_post")
    yield from _layer_norm(weights, "decoder/layer_norm", "decoder.ln")
    yield "decoder.token_embedding.weight", weights.real("decoder/embeddings/weight")
    yield "decoder.positional_embedding", weights.real("decoder/position_encodings/encodings")


def _encoder_front(weights: Weights) -> Iterator[tuple[str, np.ndarray]]:
    for name in ("conv1", "conv2"):
        kernel = weights.real(f"encoder/{name}/weight")  # (out, in, kernel)
        yield f"encoder.{name}.weight", kernel.transpose(0, 2, 1)  # (out, kernel, in)
        yield f"encoder.{name}.bias", weights.real(f"encoder/{name}/bias")


def _block(weights: Weights, source: str, target: str) -> Iterator[tuple[str, np.ndarray]]:
    yield from _self_attention(weights, f"{source}/self_attention", f"{target}.attn")
    yield from _layer_norm(weights, f"{source}/self_attention/layer_norm", f"{target}.attn_ln")
    if f"{source}/attention/linear_0/weight" in weights:
        yield from _cross_attention(weights, f"{source}/attention", f"{target}.cross_attn")
        yield from _layer_norm(weights, f"{source}/attention/layer_norm", f"{target}.cross_attn_ln")
    yield from _linear(weights, f"{source}/ffn/linear_0", f"{target}.mlp1")
    yield from _linear(weights, f"{source}/ffn/linear_1", f"{target}.mlp2")
    yield from _layer_norm(weights, f"{source}/ffn/layer_norm", f"{target}.mlp_ln")


def _self_attention(weights: Weights, source: str, target: str) -> Iterator[tuple[str, np.ndarray]]:
    names = (f"{target}.query", f"{target}.key", f"{target}.value")
    yield from _split(weights, f"{source}/linear_0", names)
    yield from _linear(weights, f"{source}/linear_1", f"{target}.out")


def _cross_attention(weights: Weights, source: str, target: str) -> Iterator[tuple[str, np.ndarray]]:
    yield from _linear(weights, f"{source}/linear_0", f"{target}.query")
    yield from _split(weights, f"{source}/linear_1", (f"{target}.key", f"{target}.value"))
    yield from _linear(weights, f"{source}/linear_2", f"{target}.out")


def _split(weights: Weights, source: str, targets: tuple[str, ...]) -> Iterator[tuple[str, np.ndarray]]:
    """One fused projection as several; Whisper's keys have no bias, so theirs is zero in the fused one."""
    matrices = np.split(weights.real(f"{source}/weight"), len(targets))
    biases = np.split(weights.real(f"{source}/bias"), len(targets))
    for target, matrix, bias in zip(targets, matrices, biases, strict=True):
        yield f"{target}.weight", matrix
        if not target.endswith(".key"):
            yield f"{target}.bias", bias
        elif bias.any():
            raise ValueError(f"{source} has a bias for its keys, which Whisper has not")


def _linear(weights: Weights, source: str, target: str) -> Iterator[tuple[str, np.ndarray]]:
    yield f"{target}.weight", weights.real(f"{source}/weight")
    yield f"{target}.bias", weights.real(f"{source}/bias")


def _layer_norm(weights: Weights, source: str, target: str) -> Iterator[tuple[str, np.ndarray]]:
    yield f"{target}.weight", weights.real(f"{source}/gamma")
    yield f"{target}.bias", weights.real(f"{source}/beta")


def check_sinusoids(encodings: np.ndarray) -> None:
    """Raises ``ValueError`` unless the encoder's positions (length, channels) are Whisper's own.

    mlx-whisper computes them instead of loading them (``sinusoids`` in OpenAI's ``whisper/model.py``).
    """
    length, channels = encodings.shape
    rates = np.exp(-np.log(10_000) / (channels // 2 - 1) * np.arange(channels // 2))
    angles = np.arange(length)[:, None] * rates[None, :]
    expected = np.concatenate([np.sin(angles), np.cos(angles)], axis=1)
    off = np.abs(expected - encodings.astype(np.float64)).max()
    if not off < 2e-3:  # float16 leaves 5e-4
        raise ValueError(f"the encoder's positions are not Whisper's sinusoids (off by {off:.3g})")


def convert(folder: Path, target: Path, compute_type: str = "auto") -> str:
    """Writes ``weights.safetensors`` and ``config.json`` for mlx-whisper into ``target``, which exists.

    ``compute_type`` is ``float32``, ``float16`` or ``auto`` (as stored; float16 for quantized weights); returns
    what it became. Raises :class:`ModelNotFound` (``model_damaged``) for weights that are not Whisper's.
    """
    from safetensors.numpy import save_file

    weights = Weights(folder / "model.bin")
    if weights.specification != "WhisperSpec":
        raise _damaged(folder / "model.bin", f"it holds a {weights.specification}, not Whisper")
    dtype = _dtype(weights, compute_type)
    try:
        check_sinusoids(weights.real("encoder/position_encodings/encodings"))
        arrays = {name: np.ascontiguousarray(a, dtype) for name, a in parameters(weights)}
    except ValueError as error:
        raise _damaged(folder / "model.bin", str(error)) from error
    heads = _config(folder).get("alignment_heads")
    if heads:
        arrays["alignment_heads"] = np.asarray(heads, np.int32)  # (heads, 2): layer, head
    save_file(arrays, target / "weights.safetensors")
    config = json.dumps({"model_type": "whisper", **dimensions(weights)}, indent=1)
    (target / "config.json").write_text(config + "\n", encoding="utf-8")
    return np.dtype(dtype).name


def _dtype(weights: Weights, compute_type: str) -> type:
    if compute_type == "auto":
        stored = weights["decoder/embeddings/weight"].dtype
        return np.float32 if stored == np.float32 else np.float16
    if compute_type not in _COMPUTE_TYPES:
        raise InvalidArgument(
            f"Whisper weights are converted to {' or '.join(_COMPUTE_TYPES)}, not to {compute_type}"
        )
    return _COMPUTE_TYPES[compute_type]


def _config(folder: Path) -> dict[str, Any]:
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise _damaged(folder / "config.json", str(error)) from error
    return config if isinstance(config, dict) else {}


def converted_to_mlx(files: ModelFiles, root: Path, compute_type: str = "auto") -> ModelFiles:
    """The MLX form of CTranslate2 weights: made once per revision and precision, kept under ``root``."""
    name = f"{slug(files.name)}~{files.revision}~{compute_type}~{_CONVERSION}"
    folder = root / "converted" / name
    with locked(root, f"converted-{name}"):
        if not _whole(folder):
            _make(files, folder, compute_type)
    return ModelFiles(
        files.kind, files.name, "mlx", folder, files.revision, files.source, files.licence, files.wanted
    )


def _whole(folder: Path) -> bool:
    try:
        return read_manifest(folder) is not None
    except ModelNotFound:  # damaged: it can be made again
        return False


def _make(files: ModelFiles, folder: Path, compute_type: str) -> None:
    staging = folder.with_name(f"{folder.name}.partial")
    shutil.rmtree(staging, ignore_errors=True)
    private_folder(staging)
    stored = convert(files.path, staging, compute_type)
    checksums = {name: sha256_of(staging / name) for name in ("weights.safetensors", "config.json")}
    write_manifest(staging, checksums, format="mlx", revision=files.revision, dtype=stored, name=files.name)
    shutil.rmtree(folder, ignore_errors=True)
    staging.rename(folder)


def _damaged(path: Path, why: str) -> ModelNotFound:
    return ModelNotFound(
        f"{path} cannot be read as CTranslate2 weights: {why}",
        code="model_damaged",
        hint="fetch the model again, or convert it with a current ctranslate2",
    )
