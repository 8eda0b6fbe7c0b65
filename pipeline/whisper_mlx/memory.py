"""How many windows fit into a device's memory at once."""

from __future__ import annotations

import mlx.core as mx

from pipeline import mlx_runtime
from pipeline.whisper_mlx.model import Model, tensors

MOST_SLOTS = 64
_SHARE = 0.6  # of the memory; the rest is for other programs, and for what an allocator cannot use
_TYPICAL_TOKENS = 128
_CACHE_BYTES = 2 << 30


def slots_that_fit(model: Model, device: str, width: int) -> int:
    """Windows, each with ``width`` hypotheses, beside the model itself; at least 1."""
    free = _SHARE * mlx_runtime.memory_bytes(device) - sum(
        a.nbytes for part in parts(model) for a in tensors(part)
    )
    return max(1, min(MOST_SLOTS, int(free // window_bytes(model, width))))


def window_bytes(model: Model, width: int) -> int:
    """What a window holds while it is decoded: cross-attention twice (staged, in its slot), self-attention,
    scores, and the encoder's activations."""
    dims, item = model.dims, model.dtype.size
    self_attention = 2 * dims.n_text_layer * dims.n_text_state * _TYPICAL_TOKENS * width * item
    encoder = 8 * dims.n_audio_ctx * dims.n_audio_state * item
    return 2 * model.cross_bytes() + self_attention + encoder + 4 * 6 * dims.n_vocab * width


def bound_cache(device: str) -> None:
    """Let MLX keep no more freed buffers for reuse than a batch needs; without a limit they pile up for days."""
    mx.set_cache_limit(min(_CACHE_BYTES, mlx_runtime.memory_bytes(device) // 8))


def parts(model: Model) -> tuple[object, object]:
    """Where a model keeps its weights."""
    return model.encoder, model.decoder
