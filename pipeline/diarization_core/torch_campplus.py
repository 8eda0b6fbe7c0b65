"""CAM++ speaker embedding in torch: Wang et al., "CAM++: A Fast and Efficient Network for Speaker Verification
Using Context-Aware Masking", Interspeech 2023 (arXiv 2303.00332).

The shapes and the names of the weights are those of 3D-Speaker's checkpoints (Apache-2.0, modelscope/3D-Speaker,
``speakerlab/models/campplus``). Two differences: pooling takes one mask per speaker, so the trunk runs once for
all who talk in a window; and the last layer is a batch norm without a ReLU, as the weights were trained.

Torch is imported at the top because its modules are classes of it: import this file inside ``load`` only.
"""

from __future__ import annotations

from collections import OrderedDict
from functools import partial

import torch
import torch.nn.functional as F  # noqa: N812 - the name that torch's own documentation uses
from torch import Tensor, nn

from pipeline.recording import SAMPLE_RATE

N_MELS = 80
BLOCKS = ((12, 1), (24, 2), (16, 2))  # layers and dilation of each densely connected block
CONTEXT_FRAMES = 100  # context-aware masking looks at the whole window and at stretches of this length


def _normalised(channels: int, *, affine: bool = True, relu: bool = True) -> nn.Sequential:
    layers: OrderedDict[str, nn.Module] = OrderedDict(batchnorm=nn.BatchNorm1d(channels, affine=affine))
    if relu:
        layers["relu"] = nn.ReLU()
    return nn.Sequential(layers)


class _Residual(nn.Module):
    """Two 3×3 convolutions and a shortcut over (batch, channels, mels, frames); ``stride`` thins the mels."""

    def __init__(self, channels: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, stride=(stride, 1), padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.shortcut = nn.Sequential()
        if stride > 1:
            thin = nn.Conv2d(channels, channels, 1, stride=(stride, 1), bias=False)
            self.shortcut = nn.Sequential(thin, nn.BatchNorm2d(channels))

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.bn1(self.conv1(x)))
        return F.relu(self.bn2(self.conv2(y)) + self.shortcut(x))


class _Head(nn.Module):
    """Log-mel (batch, 80, frames) -> (batch, 320, frames): the mels thinned eightfold, 32 channels each."""

    def __init__(self, channels: int = 32) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, channels, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.layer1 = nn.Sequential(_Residual(channels, 2), _Residual(channels, 1))
        self.layer2 = nn.Sequential(_Residual(channels, 2), _Residual(channels, 1))
        self.conv2 = nn.Conv2d(channels, channels, 3, stride=(2, 1), padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)

    def forward(self, mel: Tensor) -> Tensor:
        x = F.relu(self.bn1(self.conv1(mel.unsqueeze(1))))
        x = self.layer2(self.layer1(x))
        return F.relu(self.bn2(self.conv2(x))).flatten(1, 2)


class _Tdnn(nn.Module):
    """Halves the frames."""

    def __init__(self, channels: int, out: int) -> None:
        super().__init__()
        self.linear = nn.Conv1d(channels, out, 5, stride=2, padding=2, bias=False)
        self.nonlinear = _normalised(out)

    def forward(self, x: Tensor) -> Tensor:
        return self.nonlinear(self.linear(x))


class _ContextAwareMask(nn.Module):
    """A dilated convolution, scaled per channel by what the window and the nearer second say."""

    def __init__(self, channels: int, out: int, dilation: int) -> None:
        super().__init__()
        self.linear_local = nn.Conv1d(channels, out, 3, padding=dilation, dilation=dilation, bias=False)
        self.linear1 = nn.Conv1d(channels, channels // 2, 1)
        self.linear2 = nn.Conv1d(channels // 2, out, 1)

    def forward(self, x: Tensor) -> Tensor:
        frames = x.shape[-1]
        near = F.avg_pool1d(x, CONTEXT_FRAMES, CONTEXT_FRAMES, ceil_mode=True)
        context = x.mean(-1, keepdim=True) + near  # one column per stretch: the mask is constant within it
        mask = torch.sigmoid(self.linear2(F.relu(self.linear1(context))))
        return self.linear_local(x) * mask.repeat_interleave(CONTEXT_FRAMES, dim=-1)[..., :frames]


class _DenseLayer(nn.Module):
    def __init__(self, channels: int, growth: int, bottleneck: int, dilation: int) -> None:
        super().__init__()
        self.nonlinear1 = _normalised(channels)
        self.linear1 = nn.Conv1d(channels, bottleneck, 1, bias=False)
        self.nonlinear2 = _normalised(bottleneck)
        self.cam_layer = _ContextAwareMask(bottleneck, growth, dilation)

    def forward(self, x: Tensor) -> Tensor:
        y = self.cam_layer(self.nonlinear2(self.linear1(self.nonlinear1(x))))
        return torch.cat([x, y], dim=1)


class _Projection(nn.Module):
    """Batch norm, ReLU, then a product that halves the channels."""

    def __init__(self, channels: int, out: int) -> None:
        super().__init__()
        self.nonlinear = _normalised(channels)
        self.linear = nn.Conv1d(channels, out, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(self.nonlinear(x))


class _Output(nn.Module):
    """A product, then batch norm; no ReLU (adding one costs half of the accuracy on short utterances)."""

    def __init__(self, channels: int, out: int) -> None:
        super().__init__()
        self.linear = nn.Conv1d(channels, out, 1, bias=False)
        self.nonlinear = _normalised(out, affine=False, relu=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.nonlinear(self.linear(x.unsqueeze(-1)).squeeze(-1))


def _xvector(channels: int, width: int = 128, growth: int = 32, dimension: int = 192) -> nn.Sequential:
    layers: OrderedDict[str, nn.Module] = OrderedDict(tdnn=_Tdnn(channels, width))
    for number, (count, dilation) in enumerate(BLOCKS, 1):
        dense = OrderedDict(
            (f"tdnnd{i + 1}", _DenseLayer(width + i * growth, growth, 4 * growth, dilation))
            for i in range(count)
        )
        layers[f"block{number}"] = nn.Sequential(dense)
        width += count * growth
        layers[f"transit{number}"] = _Projection(width, width // 2)
        width //= 2
    layers["out_nonlinear"] = _normalised(width)
    layers["dense"] = _Output(2 * width, dimension)
    return nn.Sequential(layers)


class CamPlusPlus(nn.Module):
    """Waveforms and masks to voices, in the two steps that pyannote's own embedding models have."""

    dimension = 192
    sample_rate = SAMPLE_RATE
    min_num_samples = SAMPLE_RATE // 4  # less speech than this says little about a voice

    def __init__(self) -> None:
        super().__init__()
        self.head = _Head()
        self.xvector = _xvector(320, dimension=self.dimension)

    def log_mel(self, waveforms: Tensor) -> Tensor:
        """(batch, 1, samples) -> (batch, frames, 80), Kaldi's filter bank, the window's mean taken out."""
        from torchaudio.compliance import kaldi

        fbank = partial(kaldi.fbank, num_mel_bins=N_MELS, sample_frequency=self.sample_rate, dither=0.0)
        # pyannote keeps FFTs off MPS, too
        where = "cpu" if waveforms.device.type == "mps" else waveforms.device
        mel = torch.vmap(fbank)(waveforms.to(where)).to(waveforms.device)
        return mel - mel.mean(dim=1, keepdim=True)

    def forward_frames(self, waveforms: Tensor) -> Tensor:
        """The trunk: (batch, 1, samples) -> (batch, 512, frames), a frame every 20 ms."""
        return self.trunk(self.log_mel(waveforms).transpose(1, 2))

    def trunk(self, mels: Tensor) -> Tensor:
        """(batch, 80, mels), mean taken out -> (batch, 512, frames)."""
        x = self.head(mels)
        for name, layer in self.xvector.named_children():
            if name != "dense":
                x = layer(x)
        return x

    def forward_embedding(self, frames: Tensor, weights: Tensor | None = None) -> Tensor:
        """Frames and masks (batch, [speakers,] any number of frames) -> (batch, [speakers,] 192)."""
        from pyannote.audio.models.blocks.pooling import StatsPool

        statistics = StatsPool()(frames, weights=weights)
        return self.xvector.dense(statistics.flatten(0, -2)).unflatten(0, statistics.shape[:-1])

    def forward(self, waveforms: Tensor, weights: Tensor | None = None) -> Tensor:
        """(batch, 1, samples) -> (batch, [speakers,] 192); not length-normalised."""
        return self.forward_embedding(self.forward_frames(waveforms), weights)
