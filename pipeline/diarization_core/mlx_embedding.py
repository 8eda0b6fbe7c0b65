"""Speaker embedding networks in MLX: CAM++ and WeSpeaker's ResNet34, float32, batch norms folded in.

Sources: Wang et al., "CAM++", Interspeech 2023, weights as 3D-Speaker (Apache-2.0) names them; Wang et al.,
"WeSpeaker", ICASSP 2023, weights as pyannote.audio 4.0.7 ``models/embedding/wespeaker`` (MIT) names them. Half
precision is not offered: it broke VBx clustering elsewhere (6.8 to 27.1 % DER on VoxConverse). Import inside
``load`` only.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import mlx.core as mx
import numpy as np

from pipeline.diarization_core import mlx_fbank
from pipeline.diarization_core.fbank import WindowShape
from pipeline.diarization_core.mlx_layers import Affine, Conv, Residual, State, flattened, relu


class _MlxEmbedding:
    """The half that both networks share: pooling, and the way to and from the host."""

    dimension: int
    min_samples: int
    window_shape: WindowShape
    scale: float
    mels_per_frame: int
    last: Conv

    def log_mels(self, samples: np.ndarray) -> mx.array:
        """As :meth:`pipeline.diarization_core.voices.Embedding.log_mels`."""
        return mlx_fbank.fbank(samples, self.window_shape, self.scale)

    def trunk(self, mels: mx.array, firsts: Sequence[int], length: int) -> mx.array:
        """As :meth:`pipeline.diarization_core.voices.Embedding.trunk`."""
        cut = mels[mx.array(np.asarray(firsts, np.int32)[:, None] + np.arange(length, dtype=np.int32))]
        frames = self._frames(cut - cut.mean(axis=1, keepdims=True))
        mx.eval(frames)  # the graph goes, and with it the layers' outputs
        return frames

    def pool(self, frames: mx.array, masks: np.ndarray) -> np.ndarray:
        """As :meth:`pipeline.diarization_core.voices.Embedding.pool`."""
        return np.array(self.last.pointwise(_statistics(frames, mx.array(masks))))

    def pool_shared(self, frames: mx.array | np.ndarray, masks: np.ndarray) -> np.ndarray:
        """As :meth:`pipeline.diarization_core.voices.Embedding.pool_shared`."""
        frames = mx.array(frames).astype(mx.float32)
        return np.array(self.last.pointwise(_statistics_by_products(frames, mx.array(masks))))

    def halved(self, frames: mx.array) -> np.ndarray:
        """As :meth:`pipeline.diarization_core.voices.Embedding.halved`."""
        return np.array(frames.astype(mx.float16))

    def join(self, pieces: Sequence[mx.array]) -> mx.array:
        """As :meth:`pipeline.diarization_core.voices.Embedding.join`."""
        return pieces[0] if len(pieces) == 1 else mx.concatenate(list(pieces))

    def _frames(self, mels: mx.array) -> mx.array:
        raise NotImplementedError


class MlxResNet34(_MlxEmbedding):
    """WeSpeaker's ResNet34: 256 dimensions."""

    dimension = 256
    min_samples = 400
    window_shape: WindowShape = "hamming"
    scale = 32768.0
    mels_per_frame = 8

    def __init__(self, state: State) -> None:
        self.stem = Conv(state, "conv1", "bn1")
        layers = ((1, 3, 1), (2, 4, 2), (3, 6, 2), (4, 3, 2))
        self.blocks = [
            Residual(state, f"layer{layer}.{i}", (stride, stride) if i == 0 else (1, 1))
            for layer, count, stride in layers
            for i in range(count)
        ]
        self.last = Conv(state, "seg_1", bias="seg_1.bias")

    def _frames(self, mels: mx.array) -> mx.array:
        """(batch, mels, 80) to (batch, frames, 2560)."""
        x = relu(self.stem.over_plane(mels.transpose(0, 2, 1)[..., None]))
        for block in self.blocks:
            x = block(x)
        return flattened(x)


class MlxCamPlusPlus(_MlxEmbedding):
    """CAM++: 192 dimensions."""

    dimension = 192
    min_samples = 4000
    window_shape: WindowShape = "povey"
    scale = 1.0
    mels_per_frame = 2

    def __init__(self, state: State) -> None:
        self.stem = Conv(state, "head.conv1", "head.bn1")
        self.blocks = [
            Residual(state, f"head.layer{layer}.{i}", (2, 1) if i == 0 else (1, 1))
            for layer in (1, 2)
            for i in (0, 1)
        ]
        self.thin = Conv(state, "head.conv2", "head.bn2")
        self.tdnn = Conv(state, "xvector.tdnn.linear", "xvector.tdnn.nonlinear.batchnorm")
        self.dense = [_DenseBlock(state, i, *shape) for i, shape in enumerate(((12, 1), (24, 2), (16, 2)), 1)]
        self.out = Affine(state, "xvector.out_nonlinear.batchnorm")
        self.last = Conv(state, "xvector.dense.linear", "xvector.dense.nonlinear.batchnorm")

    def _frames(self, mels: mx.array) -> mx.array:
        """(batch, mels, 80) to (batch, frames, 512)."""
        x = relu(self.stem.over_plane(mels.transpose(0, 2, 1)[..., None]))
        for block in self.blocks:
            x = block(x)
        x = flattened(relu(self.thin.over_plane(x, (2, 1))))
        x = relu(self.tdnn.over_time(x, stride=2, padding=2))
        for block in self.dense:
            x = block(x)
        return self.out(x)


class _DenseBlock:
    """Densely connected layers, then a projection that halves the channels."""

    def __init__(self, state: State, number: int, layers: int, dilation: int) -> None:
        prefix = f"xvector.block{number}.tdnnd"
        self.layers = [_DenseLayer(state, f"{prefix}{i + 1}", dilation) for i in range(layers)]
        self.norm = Affine(state, f"xvector.transit{number}.nonlinear.batchnorm")
        self.project = Conv(state, f"xvector.transit{number}.linear")

    def __call__(self, x: mx.array) -> mx.array:
        for layer in self.layers:
            x = mx.concatenate([x, layer(x)], axis=-1)
        return self.project.pointwise(self.norm(x))


class _DenseLayer:
    """A bottleneck, and a dilated convolution with context-aware masking."""

    CONTEXT_FRAMES = 100

    def __init__(self, state: State, prefix: str, dilation: int) -> None:
        self.norm = Affine(state, f"{prefix}.nonlinear1.batchnorm")
        self.narrow = Conv(state, f"{prefix}.linear1", f"{prefix}.nonlinear2.batchnorm")
        self.local = Conv(state, f"{prefix}.cam_layer.linear_local")
        self.squeeze = Conv(state, f"{prefix}.cam_layer.linear1", bias=f"{prefix}.cam_layer.linear1.bias")
        self.excite = Conv(state, f"{prefix}.cam_layer.linear2", bias=f"{prefix}.cam_layer.linear2.bias")
        self.dilation = dilation

    def __call__(self, x: mx.array) -> mx.array:
        x = relu(self.narrow.pointwise(self.norm(x)))
        context = _context(x.shape[1], self.CONTEXT_FRAMES) @ x
        mask = mx.sigmoid(self.excite.pointwise(relu(self.squeeze.pointwise(context))))
        mask = mx.repeat(mask, self.CONTEXT_FRAMES, axis=1)[:, : x.shape[1]]
        return self.local.dilated(x, self.dilation) * mask


@cache
def _context(frames: int, size: int) -> mx.array:
    """A matrix (stretches, frames): the mean over each stretch of ``size`` frames plus the one over all."""
    stretches = -(-frames // size)
    counts = np.minimum(size, frames - size * np.arange(stretches))
    own = np.arange(frames) // size == np.arange(stretches)[:, None]
    return mx.array((own / counts[:, None] + 1 / frames).astype(np.float32))


def _statistics(frames: mx.array, masks: mx.array) -> mx.array:
    """Mean and unbiased standard deviation under each mask, (batch, speakers, 2 · channels).

    ``frames`` (batch, frames, channels), ``masks`` (batch, speakers, frames); pyannote's ``StatsPool``.
    """
    weight = masks.sum(axis=2, keepdims=True) + 1e-8
    mean = (masks @ frames) / weight
    correction = weight - (masks * masks).sum(axis=2, keepdims=True) / weight + 1e-8
    variance = mx.stack(
        [
            (mx.square(frames - mean[:, i : i + 1]) * masks[:, i, :, None]).sum(axis=1)
            for i in range(masks.shape[1])
        ],
        axis=1,
    )
    return mx.concatenate([mean, mx.sqrt(variance / correction)], axis=-1)


def _statistics_by_products(frames: mx.array, masks: mx.array) -> mx.array:
    """As :func:`_statistics` for many masks (rows, frames) over the same frames (frames, channels)."""
    offset = frames.mean(axis=0)  # small numbers, so that the difference of squares keeps its digits
    centred = frames - offset
    weight = masks.sum(axis=1, keepdims=True)
    mean = masks @ centred / (weight + 1e-8)
    squares = mx.maximum(masks @ mx.square(centred) - weight * mx.square(mean), 0.0)
    variance = mx.where(weight > 1, squares / mx.maximum(weight - 1, 1.0), 0.0)
    return mx.concatenate([mean + offset * (weight > 0), mx.sqrt(variance)], axis=-1)
