"""MLX Whisper weights as a file in whisper.cpp's format, so that it can be measured with the same ones.

The layout is that of ``models/convert-pt-to-ggml.py`` of whisper.cpp (MIT): magic, eleven sizes, mel filters,
vocabulary, tensors with their sizes turned round; matrices in float16, vectors and the convolutions' biases in
float32.
"""

from __future__ import annotations

import base64
import struct
from importlib.util import find_spec
from pathlib import Path
from typing import BinaryIO

import numpy as np

MAGIC = 0x67676D6C
FLOAT32, FLOAT16 = 0, 1


def write_ggml(folder: Path, target: Path) -> None:
    """Write the Whisper of an MLX folder to ``target``."""
    import mlx.core as mx

    from pipeline.whisper_mlx.config import read_config
    from pipeline.whisper_mlx.encoder import sinusoids
    from pipeline.whisper_mlx.weights import load_weights

    config = read_config(folder)
    d = config.dims
    tensors = {n: np.array(a.astype(mx.float32)) for n, a in load_weights(folder, config).items()}
    tensors["encoder.positional_embedding"] = sinusoids(d.n_audio_ctx, d.n_audio_state)
    sizes = (d.n_vocab, d.n_audio_ctx, d.n_audio_state, d.n_audio_head, d.n_audio_layer)
    sizes += (d.n_text_ctx, d.n_text_state, d.n_text_head, d.n_text_layer, d.n_mels, FLOAT16)
    with target.open("wb") as out:
        out.write(struct.pack("<12i", MAGIC, *sizes))
        _write_filters(out, d.n_mels)
        _write_vocabulary(out, "multilingual" if d.is_multilingual else "gpt2")
        for name, tensor in tensors.items():
            if name != "alignment_heads":
                _write_tensor(out, _their_name(name), tensor)


def _assets() -> Path:
    package = find_spec("mlx_whisper")
    assert package is not None and package.submodule_search_locations
    return Path(package.submodule_search_locations[0]) / "assets"


def _write_filters(out: BinaryIO, n_mels: int) -> None:
    with np.load(_assets() / "mel_filters.npz") as file:
        filters = file[f"mel_{n_mels}"].astype(np.float32)
    out.write(struct.pack("<2i", *filters.shape) + filters.tobytes())


def _write_vocabulary(out: BinaryIO, name: str) -> None:
    lines = (_assets() / f"{name}.tiktoken").read_text(encoding="ascii").splitlines()
    words = [base64.b64decode(line.split()[0]) for line in lines if line]
    out.write(struct.pack("<i", len(words)))
    for word in words:
        out.write(struct.pack("<i", len(word)) + word)


def _their_name(name: str) -> str:
    """OpenAI's name of a tensor."""
    return name.replace(".mlp1.", ".mlp.0.").replace(".mlp2.", ".mlp.2.")


def _write_tensor(out: BinaryIO, name: str, tensor: np.ndarray) -> None:
    if "conv" in name:  # (out, kernel, in) to (out, in, kernel); a bias to (out, 1)
        tensor = tensor.transpose(0, 2, 1) if tensor.ndim == 3 else tensor[:, None]
    half = tensor.ndim >= 2 and not name.endswith((".bias", "positional_embedding"))
    data = np.ascontiguousarray(tensor, np.float16 if half else np.float32)
    label = name.encode()
    out.write(struct.pack("<3i", data.ndim, len(label), FLOAT16 if half else FLOAT32))
    out.write(struct.pack(f"<{data.ndim}i", *reversed(data.shape)) + label + data.tobytes())
