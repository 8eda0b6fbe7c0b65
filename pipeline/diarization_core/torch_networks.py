"""The networks of diarization in plain torch, without pyannote.audio: what is fastest on a CPU.

Shapes and names of weights are those of the checkpoints (see :mod:`pipeline.diarization_core.mlx_pyannet` and
:mod:`pipeline.diarization_core.mlx_embedding` for sources). Import inside ``load`` only.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 - the name that torch's own documentation uses
from torch import Tensor, nn

from pipeline.diarization_core.fbank import WindowShape, fbank
from pipeline.diarization_core.frames import WINDOW_SAMPLES
from pipeline.diarization_core.sincnet import EPSILON, POOL, POOLED_FRAMES, SINC_STRIDE, sinc_filters
from pipeline.diarization_core.torch_campplus import CamPlusPlus

State = Mapping[str, np.ndarray]


class TorchPyanNet:
    """Windows of a waveform to log-probabilities of the powerset classes (windows, frames, 7)."""

    def __init__(self, state: State, device: str = "cpu") -> None:
        self.device = device
        self.sinc = torch.from_numpy(sinc_filters(state).astype(np.float32))[:, None].to(device)
        self.w = {name: torch.from_numpy(np.array(array)).to(device) for name, array in state.items()}
        self.lstm = nn.LSTM(60, 128, num_layers=4, bidirectional=True, batch_first=True)
        _fill(self.lstm, state, "lstm.")
        self.lstm.to(device).eval()

    @torch.inference_mode()
    def __call__(self, samples: np.ndarray, step_samples: int) -> np.ndarray:
        """As :class:`pipeline.diarization_core.core.Segmentation`."""
        w = self.w
        x = self._filtered(torch.from_numpy(samples).to(self.device), step_samples)
        x = F.leaky_relu(self._normalised(x, "sincnet.norm1d.0"))
        for i in (1, 2):
            x = F.conv1d(x, w[f"sincnet.conv1d.{i}.weight"], w[f"sincnet.conv1d.{i}.bias"])
            x = F.leaky_relu(self._normalised(F.max_pool1d(x, 3), f"sincnet.norm1d.{i}"))
        x = self.lstm(x.transpose(1, 2))[0]
        for i in range(2):
            x = F.leaky_relu(F.linear(x, w[f"linear.{i}.weight"], w[f"linear.{i}.bias"]))
        x = F.linear(x, w["classifier.weight"], w["classifier.bias"])
        return x.log_softmax(-1).cpu().numpy()

    def _filtered(self, samples: Tensor, step_samples: int) -> Tensor:
        """The sinc filters' magnitudes over normalised windows, pooled, (windows, 80, 5325).

        Windows overlap: filters and pools run once, and a window's norm is applied to the pools' ends.
        """
        step = step_samples // SINC_STRIDE
        once = F.conv1d(samples[None, None], self.sinc, stride=SINC_STRIDE)
        mean, variance = _window_statistics(samples, step_samples)
        scale = (self.w["sincnet.wav_norm1d.weight"] * torch.rsqrt(variance + EPSILON))[:, None, None]
        shift = self.w["sincnet.wav_norm1d.bias"] - scale * mean[:, None, None]
        shift = shift * self.sinc.sum(dim=2)
        out = once.new_empty(len(mean), len(self.sinc), POOLED_FRAMES)
        for first in range(min(POOL, len(mean))):  # every third window's pools begin at the same frames
            own = slice(first, None, POOL)
            for sign in (1, -1):  # of a linear function's magnitudes the greatest is at an end
                ends = F.max_pool1d(sign * once[..., first * step :], POOL)[0]
                cut = ends.unfold(1, POOLED_FRAMES, step).transpose(0, 1)
                magnitude = torch.addcmul(shift[own], cut, sign * scale[own]).abs_()
                out[own] = magnitude if sign == 1 else torch.maximum(out[own], magnitude)
        return out

    def _normalised(self, x: Tensor, name: str) -> Tensor:
        return F.instance_norm(x, weight=self.w[f"{name}.weight"], bias=self.w[f"{name}.bias"])


def _window_statistics(samples: Tensor, step_samples: int) -> tuple[Tensor, Tensor]:
    """Mean and variance of each window's samples, (windows,) each, from those of what windows share."""
    part = math.gcd(step_samples, WINDOW_SAMPLES)
    variance, mean = torch.var_mean(
        samples[: len(samples) // part * part].view(-1, part), dim=1, correction=0
    )
    power, mean = (
        x.unfold(0, WINDOW_SAMPLES // part, step_samples // part).mean(dim=1)
        for x in (variance + mean.square(), mean)
    )
    return mean, power - mean.square()


class _TorchEmbedding:
    """The half that both networks share."""

    dimension: int
    min_samples: int
    window_shape: WindowShape
    scale: float
    mels_per_frame: int
    device: str

    @torch.inference_mode()
    def log_mels(self, samples: np.ndarray) -> Tensor:
        """As :meth:`pipeline.diarization_core.voices.Embedding.log_mels`."""
        return torch.from_numpy(fbank(samples, self.window_shape, self.scale)).to(self.device)

    @torch.inference_mode()
    def trunk(self, mels: Tensor, firsts: Sequence[int], length: int) -> Tensor:
        """As :meth:`pipeline.diarization_core.voices.Embedding.trunk`."""
        cut = torch.stack([mels[first : first + length].T for first in firsts])
        return self._frames(cut - cut.mean(dim=2, keepdim=True)).transpose(1, 2)

    @torch.inference_mode()
    def pool(self, frames: Tensor, masks: np.ndarray) -> np.ndarray:
        """As :meth:`pipeline.diarization_core.voices.Embedding.pool`."""
        statistics = _statistics(frames, torch.from_numpy(masks).to(self.device))
        return self._last(statistics).cpu().numpy()

    @torch.inference_mode()
    def pool_shared(self, frames: Tensor | np.ndarray, masks: np.ndarray) -> np.ndarray:
        """As :meth:`pipeline.diarization_core.voices.Embedding.pool_shared`."""
        frames = torch.as_tensor(frames, device=self.device).float()
        statistics = _statistics_by_products(frames, torch.from_numpy(masks).to(self.device))
        return self._last(statistics[None])[0].cpu().numpy()

    def halved(self, frames: Tensor) -> np.ndarray:
        """As :meth:`pipeline.diarization_core.voices.Embedding.halved`."""
        return frames.half().cpu().numpy()

    def join(self, pieces: Sequence[Tensor]) -> Tensor:
        """As :meth:`pipeline.diarization_core.voices.Embedding.join`."""
        return pieces[0] if len(pieces) == 1 else torch.cat(list(pieces))

    def _frames(self, mels: Tensor) -> Tensor:
        raise NotImplementedError

    def _last(self, statistics: Tensor) -> Tensor:
        raise NotImplementedError


class TorchCamPlusPlus(_TorchEmbedding):
    """CAM++: 192 dimensions."""

    dimension = 192
    min_samples = 4000
    window_shape: WindowShape = "povey"
    scale = 1.0
    mels_per_frame = 2

    def __init__(self, state: State, device: str = "cpu") -> None:
        self.device = device
        self.network = CamPlusPlus()
        _fill(self.network, state)
        self.network.to(device).eval()

    def _frames(self, mels: Tensor) -> Tensor:
        return self.network.trunk(mels)

    def _last(self, statistics: Tensor) -> Tensor:
        return self.network.xvector.dense(statistics.flatten(0, 1)).unflatten(0, statistics.shape[:2])


class TorchResNet34(_TorchEmbedding):
    """WeSpeaker's ResNet34: 256 dimensions."""

    dimension = 256
    min_samples = 400
    window_shape: WindowShape = "hamming"
    scale = 32768.0
    mels_per_frame = 8

    def __init__(self, state: State, device: str = "cpu") -> None:
        self.device = device
        self.network = _ResNet34()
        _fill(self.network, state)
        self.network.to(device).eval()

    def _frames(self, mels: Tensor) -> Tensor:
        return self.network(mels)

    def _last(self, statistics: Tensor) -> Tensor:
        return self.network.seg_1(statistics)


class _Block(nn.Module):
    """Two 3×3 convolutions and a shortcut."""

    def __init__(self, channels: int, out: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, out, 3, stride=stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(out)
        self.conv2 = nn.Conv2d(out, out, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(out)
        self.shortcut = nn.Sequential()
        if stride != 1 or channels != out:
            self.shortcut = nn.Sequential(
                nn.Conv2d(channels, out, 1, stride=stride, bias=False), nn.BatchNorm2d(out)
            )

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.bn1(self.conv1(x)))
        return F.relu(self.bn2(self.conv2(y)) + self.shortcut(x))


class _ResNet34(nn.Module):
    """Log-mels (batch, 80, mels) to frames (batch, 2560, frames)."""

    def __init__(self, width: int = 32) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, width, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        channels = width
        for layer, (count, stride) in enumerate(((3, 1), (4, 2), (6, 2), (3, 2)), 1):
            out = width * 2 ** (layer - 1)
            blocks = [_Block(channels if i == 0 else out, out, stride if i == 0 else 1) for i in range(count)]
            setattr(self, f"layer{layer}", nn.Sequential(*blocks))
            channels = out
        self.seg_1 = nn.Linear(2 * 10 * channels, 256)

    def forward(self, mels: Tensor) -> Tensor:
        x = F.relu(self.bn1(self.conv1(mels.unsqueeze(1))))
        for layer in (self.layer1, self.layer2, self.layer3, self.layer4):
            x = layer(x)
        return x.flatten(1, 2)


def _statistics(frames: Tensor, masks: Tensor) -> Tensor:
    """Mean and unbiased standard deviation under each mask, (batch, speakers, 2 · channels)."""
    weight = masks.sum(dim=2, keepdim=True) + 1e-8
    mean = torch.bmm(masks, frames) / weight
    correction = weight - masks.square().sum(dim=2, keepdim=True) / weight + 1e-8
    variance = torch.stack(
        [
            torch.bmm(masks[:, i : i + 1], (frames - mean[:, i : i + 1]).square())[:, 0]
            for i in range(masks.shape[1])
        ],
        dim=1,
    )
    return torch.cat([mean, (variance / correction).sqrt()], dim=-1)


def _statistics_by_products(frames: Tensor, masks: Tensor) -> Tensor:
    """As :func:`_statistics` for many masks (rows, frames) over the same frames (frames, channels)."""
    offset = frames.mean(dim=0)  # small numbers, so that the difference of squares keeps its digits
    centred = frames - offset
    weight = masks.sum(dim=1, keepdim=True)
    mean = masks @ centred / (weight + 1e-8)
    squares = (masks @ centred.square() - weight * mean.square()).clamp_min(0.0)
    variance = torch.where(weight > 1, squares / (weight - 1).clamp_min(1.0), 0.0)
    return torch.cat([mean + offset * (weight > 0), variance.sqrt()], dim=-1)


def _fill(module: nn.Module, state: State, prefix: str = "") -> None:
    """Copies the arrays under ``prefix`` into the module; raises ``RuntimeError`` where they do not fit."""
    own = {
        name.removeprefix(prefix): torch.from_numpy(np.array(array))
        for name, array in state.items()
        if name.startswith(prefix)
    }
    module.load_state_dict(own)
