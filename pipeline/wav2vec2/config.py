"""The shape of a wav2vec 2.0 or HuBERT network, from Hugging Face's ``config.json`` or torchaudio's parameters."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any


@dataclass(frozen=True)
class Config:
    """Named as in ``Wav2Vec2Config``. The defaults are those of wav2vec2-base."""

    vocab_size: int = 32
    hidden_size: int = 768
    num_hidden_layers: int = 12
    num_attention_heads: int = 12
    intermediate_size: int = 3072
    layer_norm_eps: float = 1e-5
    feat_extract_norm: str = "group"  # in the first convolution only; or "layer", in each
    feat_proj_layer_norm: bool = True
    conv_dim: tuple[int, ...] = (512,) * 7
    conv_kernel: tuple[int, ...] = (10, 3, 3, 3, 3, 2, 2)
    conv_stride: tuple[int, ...] = (5, 2, 2, 2, 2, 2, 2)
    conv_bias: bool = False
    num_conv_pos_embeddings: int = 128
    num_conv_pos_embedding_groups: int = 16
    do_stable_layer_norm: bool = False
    adapter_attn_dim: int | None = None
    pad_token_id: int = 0

    @classmethod
    def of_hub(cls, config: Mapping[str, Any]) -> Config:
        """From ``config.json``. Raises ValueError for what this network does not do."""
        if config.get("model_type", "wav2vec2") not in ("wav2vec2", "hubert"):
            raise ValueError(f"{config['model_type']} is not wav2vec2 or HuBERT")
        for name in ("hidden_act", "feat_extract_activation"):
            if config.get(name, "gelu") != "gelu":
                raise ValueError(f"{name} is {config[name]}, not gelu")
        for name in ("add_adapter", "conv_pos_batch_norm"):
            if config.get(name):
                raise ValueError(f"{name} is not supported")
        own = {field.name for field in fields(cls)}
        known = {name: value for name, value in config.items() if name in own and value is not None}
        return cls(**{name: tuple(v) if isinstance(v, list) else v for name, v in known.items()})

    @classmethod
    def of_torchaudio(cls, params: Mapping[str, Any]) -> Config:
        """From the arguments of ``torchaudio.models.wav2vec2_model``."""
        dims, kernels, strides = zip(*params["extractor_conv_layer_config"], strict=True)
        return cls(
            vocab_size=params["aux_num_out"],
            hidden_size=params["encoder_embed_dim"],
            num_hidden_layers=params["encoder_num_layers"],
            num_attention_heads=params["encoder_num_heads"],
            intermediate_size=params["encoder_ff_interm_features"],
            feat_extract_norm="group" if params["extractor_mode"] == "group_norm" else "layer",
            conv_dim=dims,
            conv_kernel=kernels,
            conv_stride=strides,
            conv_bias=params["extractor_conv_bias"],
            num_conv_pos_embeddings=params["encoder_pos_conv_kernel"],
            num_conv_pos_embedding_groups=params["encoder_pos_conv_groups"],
            do_stable_layer_norm=params["encoder_layer_norm_first"],
        )

    @property
    def hop_samples(self) -> int:
        """Samples from one frame to the next."""
        hop = 1
        for stride in self.conv_stride:
            hop *= stride
        return hop

    @property
    def field_samples(self) -> int:
        """Samples that one frame sees."""
        field = 1
        for kernel, stride in zip(reversed(self.conv_kernel), reversed(self.conv_stride), strict=True):
            field = (field - 1) * stride + kernel
        return field

    def frames(self, samples: int) -> int:
        """Frames of a waveform so long."""
        for kernel, stride in zip(self.conv_kernel, self.conv_stride, strict=True):
            samples = (samples - kernel) // stride + 1
        return samples
