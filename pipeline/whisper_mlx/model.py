"""A Whisper model on a device: encoder, decoder and what they cost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import mlx.core as mx

from pipeline.whisper_mlx.config import Dims, ModelConfig, read_config
from pipeline.whisper_mlx.decoder import Decoder
from pipeline.whisper_mlx.encoder import Encoder
from pipeline.whisper_mlx.kernels import Kernels, kernels_for
from pipeline.whisper_mlx.kv_cache import CrossCache, ListedCross, StackedCross, WindowCross, split_windows
from pipeline.whisper_mlx.layers import Reader, Weights
from pipeline.whisper_mlx.weights import load_weights

DTYPES = {"float32": mx.float32, "float16": mx.float16, "bfloat16": mx.bfloat16}


@dataclass(frozen=True)
class Model:
    """``dtype`` is the precision of activations; weights may be quantized below it."""

    dims: Dims
    config: ModelConfig
    dtype: mx.Dtype
    kernels: Kernels
    encoder: Encoder
    decoder: Decoder

    @classmethod
    def load(cls, folder: Path, device: str, precision: str) -> Model:
        """Read a model folder.

        ``device`` is ``"cpu"``, ``"metal"`` or ``"cuda"``; ``precision`` a key of :data:`DTYPES`. Raises
        :class:`schemas.errors.ModelNotFound` (``model_damaged``) for a folder that holds no whole Whisper.
        """
        config = read_config(folder)
        return cls.build(load_weights(folder, config), config, device, precision)

    @classmethod
    def build(cls, weights: Weights, config: ModelConfig, device: str, precision: str) -> Model:
        """A model out of tensors that are there already."""
        kernels = kernels_for(device)
        reader = Reader(weights, DTYPES[precision], config.quantization)
        encoder = Encoder(reader, config.dims, kernels)
        decoder = Decoder(reader, config.dims, kernels)
        model = cls(config.dims, config, reader.dtype, kernels, encoder, decoder)
        mx.eval(tensors(encoder), tensors(decoder))
        return model

    def encode(self, log_mels: mx.array) -> list[WindowCross]:
        """Cross-attention keys and values of each window; log_mels (windows, frames, n_mels)."""
        return self.cross(self.features(log_mels))

    def features(self, log_mels: mx.array) -> mx.array:
        """The encoder's output (windows, ctx, state)."""
        return self.encoder(log_mels.astype(self.dtype))

    def cross(self, features: mx.array) -> list[WindowCross]:
        """Cross-attention keys and values of each window whose features these are."""
        return split_windows(self.decoder.cross(features))

    def cross_cache(self, windows: Sequence[WindowCross]) -> CrossCache:
        """Windows side by side, as this device wants them."""
        return StackedCross(windows) if self.kernels.stacked_cross else ListedCross(windows)

    def cross_bytes(self) -> int:
        """Memory of one window's cross-attention keys and values."""
        return self.dims.cross_kv_values() * self.dtype.size


def tensors(part: object) -> list[mx.array]:
    """Every array that an object of layers holds."""
    if isinstance(part, mx.array):
        return [part]
    if isinstance(part, (list, tuple)):
        return [a for item in part for a in tensors(item)]
    if hasattr(part, "__dict__"):
        return [a for item in vars(part).values() for a in tensors(item)]
    return []
