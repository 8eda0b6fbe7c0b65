"""Whisper's encoder in torch, for the device that trains: the same sums as :mod:`pipeline.whisper_mlx.encoder`."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
import torch.nn.functional as F  # noqa: N812 - torch's own name for it


class Encoder:
    """Weights under mlx-whisper's names; convolutions as (out, kernel, in)."""

    def __init__(self, weights: Mapping[str, torch.Tensor], device: str) -> None:
        dtype = torch.float16 if device == "cuda" else torch.float32
        self._w = {name: tensor.to(device, dtype) for name, tensor in weights.items()}
        self.layers = 1 + max(int(name.split(".")[2]) for name in weights if ".blocks." in name)
        self.state = self._w["encoder.ln_post.weight"].shape[0]
        self._positions = _sinusoids(1500, self.state).to(device, dtype)
        self._dtype, self._device = dtype, device

    @torch.inference_mode()
    def __call__(self, log_mel: torch.Tensor) -> torch.Tensor:
        """(windows, frames, mels) to (windows, frames / 2, state)."""
        x = log_mel.to(self._device, self._dtype).transpose(1, 2)
        x = F.gelu(self._conv(x, "encoder.conv1", 1))
        x = F.gelu(self._conv(x, "encoder.conv2", 2)).transpose(1, 2)
        x = x + self._positions[: x.shape[1]]
        for layer in range(self.layers):
            name = f"encoder.blocks.{layer}"
            x = x + self._attend(self._norm(x, f"{name}.attn_ln"), f"{name}.attn")
            hidden = F.gelu(self._linear(self._norm(x, f"{name}.mlp_ln"), f"{name}.mlp1"))
            x = x + self._linear(hidden, f"{name}.mlp2")
        return self._norm(x, "encoder.ln_post")

    def _attend(self, x: torch.Tensor, name: str) -> torch.Tensor:
        windows, frames, state = x.shape

        def split(part: str) -> torch.Tensor:
            return self._linear(x, f"{name}.{part}").reshape(windows, frames, state // 64, 64).transpose(1, 2)

        out = F.scaled_dot_product_attention(split("query"), split("key"), split("value"))
        return self._linear(out.transpose(1, 2).reshape(windows, frames, state), f"{name}.out")

    def _conv(self, x: torch.Tensor, name: str, stride: int) -> torch.Tensor:
        weight = self._w[f"{name}.weight"].transpose(1, 2)
        return F.conv1d(x, weight, self._w[f"{name}.bias"], stride=stride, padding=1)

    def _linear(self, x: torch.Tensor, name: str) -> torch.Tensor:
        return F.linear(x, self._w[f"{name}.weight"], self._w.get(f"{name}.bias"))

    def _norm(self, x: torch.Tensor, name: str) -> torch.Tensor:
        return F.layer_norm(x, (self.state,), self._w[f"{name}.weight"], self._w[f"{name}.bias"])


def _sinusoids(length: int, channels: int) -> torch.Tensor:
    step = math.log(10_000) / (channels // 2 - 1)
    angles = torch.arange(length)[:, None] * torch.exp(-step * torch.arange(channels // 2))[None]
    return torch.cat([torch.sin(angles), torch.cos(angles)], dim=1)
