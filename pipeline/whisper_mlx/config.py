"""The shape of a Whisper model, from the ``config.json`` of an MLX or a Hugging Face repository."""

from __future__ import annotations

import json
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from schemas.errors import ModelNotFound

SAMPLE_RATE = 16_000
HOP_SAMPLES = 160
FRAMES_PER_SECOND = SAMPLE_RATE // HOP_SAMPLES
WINDOW_S = 30.0
WINDOW_FRAMES = 3_000
SECONDS_PER_TIMESTAMP = 0.02

ENGLISH_VOCABULARY = 51_864
"""Size of the English-only vocabulary; multilingual ones have one token more, and one for each new language."""

_TRANSFORMERS_NAMES = {
    "n_mels": "num_mel_bins",
    "n_audio_ctx": "max_source_positions",
    "n_audio_state": "d_model",
    "n_audio_head": "encoder_attention_heads",
    "n_audio_layer": "encoder_layers",
    "n_vocab": "vocab_size",
    "n_text_ctx": "max_target_positions",
    "n_text_state": "d_model",
    "n_text_head": "decoder_attention_heads",
    "n_text_layer": "decoder_layers",
}


@dataclass(frozen=True)
class Dims:
    """Sizes as in OpenAI's ``ModelDimensions``."""

    n_mels: int
    n_audio_ctx: int
    n_audio_state: int
    n_audio_head: int
    n_audio_layer: int
    n_vocab: int
    n_text_ctx: int
    n_text_state: int
    n_text_head: int
    n_text_layer: int

    @property
    def is_multilingual(self) -> bool:
        """Whether the vocabulary has tokens for languages and tasks."""
        return self.n_vocab > ENGLISH_VOCABULARY

    @property
    def num_languages(self) -> int:
        """99, or 100 with Cantonese (large-v3 and later)."""
        return self.n_vocab - 51_765 - int(self.is_multilingual)

    @property
    def max_new_tokens(self) -> int:
        """Tokens that a window may add to its prompt: half of the text context."""
        return self.n_text_ctx // 2

    def heads(self, part: str) -> int:
        """Attention heads of ``"encoder"`` or ``"decoder"``."""
        return self.n_audio_head if part == "encoder" else self.n_text_head

    def cross_kv_values(self) -> int:
        """Numbers that the cross-attention keys and values of one window hold."""
        return 2 * self.n_text_layer * self.n_audio_ctx * self.n_text_state


@dataclass(frozen=True)
class Quantization:
    """Affine quantization of the weights, as MLX's ``quantize`` does it."""

    bits: int
    group_size: int = 64


@dataclass(frozen=True)
class ModelConfig:
    """What a model folder says about itself. ``alignment_heads``: (layer, head) pairs, where they are known."""

    dims: Dims
    quantization: Quantization | None = None
    alignment_heads: tuple[tuple[int, int], ...] = ()


def read_config(folder: Path) -> ModelConfig:
    """The configuration of a model folder.

    Raises :class:`ModelNotFound` (``model_damaged``) where ``config.json`` is missing or names no Whisper.
    """
    raw = _read_json(folder / "config.json")
    if raw is None:
        raise damaged(folder, "it has no readable config.json")
    try:
        dims = Dims(**{f.name: int(raw[_key(raw, f.name)]) for f in fields(Dims)})
    except (KeyError, TypeError, ValueError):
        raise damaged(folder, "its config.json does not describe a Whisper model") from None
    packed = raw.get("quantization")
    quantization = (
        Quantization(int(packed["bits"]), int(packed["group_size"])) if isinstance(packed, dict) else None
    )
    heads = raw.get("alignment_heads") or (_read_json(folder / "generation_config.json") or {}).get(
        "alignment_heads"
    )
    return ModelConfig(dims, quantization, tuple((int(a), int(b)) for a, b in heads or ()))


def _key(raw: dict[str, Any], name: str) -> str:
    return name if name in raw else _TRANSFORMERS_NAMES[name]


def _read_json(path: Path) -> dict[str, Any] | None:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return value if isinstance(value, dict) else None


def damaged(folder: Path, why: str) -> ModelNotFound:
    """The error for a model folder that cannot be used."""
    return ModelNotFound(
        f"the folder {folder.name!r} cannot be used as a Whisper model: {why}",
        code="model_damaged",
        hint="fetch the model again, or name another one",
    )
