"""A Whisper of toy size with random weights and the true vocabulary, for tests that need no trained one."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from pipeline import mlx_runtime
from pipeline.whisper_mlx.config import Dims, ModelConfig
from pipeline.whisper_mlx.weights import expected_shapes

mlx_runtime.import_mlx()

DIMS = Dims(
    n_mels=80,
    n_audio_ctx=40,
    n_audio_state=64,
    n_audio_head=2,
    n_audio_layer=2,
    n_vocab=51_865,
    n_text_ctx=48,
    n_text_state=64,
    n_text_head=2,
    n_text_layer=2,
)
EOT = 50_257


def random_weights(dims: Dims = DIMS, seed: int = 0) -> dict[str, np.ndarray]:
    """Every tensor, biases and norms included. The end of text is likely enough to come at various lengths."""
    rng = np.random.default_rng(seed)
    weights = {
        name: rng.standard_normal(shape).astype(np.float32) / np.sqrt(np.prod(shape[1:]))
        for name, shape in expected_shapes(dims).items()
    }
    for name in list(weights):
        if name.endswith(".weight") and "embedding" not in name and ".key." not in name:
            weights[name.replace(".weight", ".bias")] = _vector(rng, weights[name].shape[0])
    for part, layers in (("encoder", dims.n_audio_layer), ("decoder", dims.n_text_layer)):
        for i in range(layers):
            norms = ("attn_ln", "mlp_ln") if part == "encoder" else ("attn_ln", "cross_attn_ln", "mlp_ln")
            for norm in norms:
                _norm(weights, f"{part}.blocks.{i}.{norm}", rng, dims.n_text_state)
    _norm(weights, "encoder.ln_post", rng, dims.n_audio_state)
    _norm(weights, "decoder.ln", rng, dims.n_text_state)
    embedding = weights["decoder.token_embedding.weight"]
    embedding[EOT] *= 2
    weights["decoder.ln.weight"] *= 4
    weights["decoder.ln.bias"] += 0.5 * embedding[EOT] / np.linalg.norm(embedding[EOT])
    weights["decoder.positional_embedding"] *= 4
    for i in range(dims.n_text_layer):  # so that windows differ
        weights[f"decoder.blocks.{i}.cross_attn.query.weight"] *= 4
        weights[f"decoder.blocks.{i}.cross_attn.out.weight"] *= 6
    return weights


def _vector(rng: np.random.Generator, size: int) -> np.ndarray:
    return (0.1 * rng.standard_normal(size)).astype(np.float32)


def _norm(weights: dict[str, np.ndarray], name: str, rng: np.random.Generator, size: int) -> None:
    weights[f"{name}.weight"] = 1 + _vector(rng, size)
    weights[f"{name}.bias"] = _vector(rng, size)


def tiny_model(device: str = "cpu", dims: Dims = DIMS, seed: int = 0):
    """The toy model with the kernels of a device, run on MLX's default device."""
    import mlx.core as mx

    from pipeline.whisper_mlx.model import Model

    weights = {name: mx.array(value) for name, value in random_weights(dims, seed).items()}
    return Model.build(weights, ModelConfig(dims), device, "float32")


def log_mels(count: int, dims: Dims = DIMS, seed: int = 1) -> list[np.ndarray]:
    """Random spectrograms, (2 * n_audio_ctx, n_mels) each."""
    rng = np.random.default_rng(seed)
    return [rng.standard_normal((2 * dims.n_audio_ctx, dims.n_mels)).astype(np.float32) for _ in range(count)]


class Windows:
    """Spectrograms as a source for an engine."""

    def __init__(self, mels: Sequence[np.ndarray]) -> None:
        from pipeline.whisper_mlx.windows import Window

        self.waiting = [Window(key, lambda mel=mel: mel) for key, mel in enumerate(mels)]

    def take(self, count: int) -> list:
        taken, self.waiting = self.waiting[:count], self.waiting[count:]
        return taken

    def heard(self, key: int, tokens: Sequence[int]) -> None:
        pass


class Judge:
    """A fallback whose verdict is a function of what was said."""

    def __init__(
        self, temperatures: tuple[float, ...] = (0.0,), fails: Callable = lambda said: False
    ) -> None:
        self.temperatures = temperatures
        self.fails = fails

    def best(self, tried: Sequence) -> object:
        return tried[-1]
