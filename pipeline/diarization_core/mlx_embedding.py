"""Speaker embedding networks in MLX: CAM++ and WeSpeaker's ResNet34, float32, batch norms folded in.

Sources: Wang et al., "CAM++", Interspeech 2023, weights as 3D-Speaker (Apache-2.0) names them; Wang et al.,
"WeSpeaker", ICASSP 2023, weights as pyannote.audio 4.0.7 ``models/embedding/wespeaker`` (MIT) names them. Half
precision is not offered: it broke VBx clustering elsewhere (6.8 to 27.1 % DER on VoxConverse). Import inside
``load`` only.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import mlx.core as mx
import numpy as np

from pipeline.diarization_core.fbank import WindowShape

State = Mapping[str, np.ndarray]
_EPSILON = 1e-5


class _Affine:
    """A batch norm as it is at inference: x · scale + shift."""

    def __init__(self, state: State, prefix: str) -> None:
        scale, shift = _scale_and_shift(state, prefix)
        self.scale, self.shift = mx.array(scale), mx.array(shift)

    def __call__(self, x: mx.array) -> mx.array:
        return x * self.scale + self.shift


class _Conv:
    """A convolution over channels-last data with the batch norm behind it folded in."""

    def __init__(self, state: State, conv: str, norm: str | None = None, bias: str | None = None) -> None:
        weight = state[f"{conv}.weight"].astype(np.float64)
        shift = state[bias].astype(np.float64) if bias else np.zeros(len(weight))
        if norm is not None:
            scale, offset = _scale_and_shift(state, norm)
            weight = weight * scale.reshape(-1, *([1] * (weight.ndim - 1)))
            shift = shift * scale + offset
        self.weight = mx.array(np.ascontiguousarray(np.moveaxis(weight, 1, -1), dtype=np.float32))
        self.shift = mx.array(shift.astype(np.float32))

    def over_plane(self, x: mx.array, stride: int | tuple[int, int] = 1, padding: int = 1) -> mx.array:
        """(batch, mels, frames, channels)."""
        return mx.conv2d(x, self.weight, stride=stride, padding=padding) + self.shift

    def over_time(self, x: mx.array, stride: int = 1, padding: int = 0, dilation: int = 1) -> mx.array:
        """(batch, frames, channels)."""
        return mx.conv1d(x, self.weight, stride=stride, padding=padding, dilation=dilation) + self.shift

    def pointwise(self, x: mx.array) -> mx.array:
        """A convolution of width one as a product."""
        return mx.addmm(self.shift, x, self.weight.reshape(self.weight.shape[0], -1).T)


class _Residual:
    """Two 3×3 convolutions and a shortcut."""

    def __init__(self, state: State, prefix: str, stride: int | tuple[int, int]) -> None:
        self.first = _Conv(state, f"{prefix}.conv1", f"{prefix}.bn1")
        self.second = _Conv(state, f"{prefix}.conv2", f"{prefix}.bn2")
        self.stride = stride
        has_shortcut = f"{prefix}.shortcut.0.weight" in state
        self.shortcut = _Conv(state, f"{prefix}.shortcut.0", f"{prefix}.shortcut.1") if has_shortcut else None

    def __call__(self, x: mx.array) -> mx.array:
        y = self.second.over_plane(_relu(self.first.over_plane(x, self.stride)))
        beside = x if self.shortcut is None else self.shortcut.over_plane(x, self.stride, padding=0)
        return _relu(y + beside)


class _MlxEmbedding:
    """The half that both networks share: pooling, and the way to and from the host."""

    dimension: int
    min_samples: int
    window_shape: WindowShape
    scale: float
    mels_per_frame: int
    last: _Conv

    def trunk(self, mels: np.ndarray) -> mx.array:
        """As :meth:`pipeline.diarization_core.voices.Embedding.trunk`."""
        frames = self._frames(mx.array(mels))
        mx.eval(frames)  # the graph goes, and with it the layers' outputs
        return frames

    def pool(self, frames: mx.array, masks: np.ndarray) -> np.ndarray:
        """As :meth:`pipeline.diarization_core.voices.Embedding.pool`."""
        return np.array(self.last.pointwise(_statistics(frames, mx.array(masks))))

    def pool_shared(self, frames: mx.array, masks: np.ndarray) -> np.ndarray:
        """As :meth:`pipeline.diarization_core.voices.Embedding.pool_shared`."""
        return np.array(self.last.pointwise(_statistics_by_products(frames, mx.array(masks))))

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
        self.stem = _Conv(state, "conv1", "bn1")
        layers = ((1, 3, 1), (2, 4, 2), (3, 6, 2), (4, 3, 2))
        self.blocks = [
            _Residual(state, f"layer{layer}.{i}", stride if i == 0 else 1)
            for layer, count, stride in layers
            for i in range(count)
        ]
        self.last = _Conv(state, "seg_1", bias="seg_1.bias")

    def _frames(self, mels: mx.array) -> mx.array:
        """(batch, mels, 80) to (batch, frames, 2560)."""
        x = _relu(self.stem.over_plane(mels.transpose(0, 2, 1)[..., None]))
        for block in self.blocks:
            x = block(x)
        return _flattened(x)


class MlxCamPlusPlus(_MlxEmbedding):
    """CAM++: 192 dimensions."""

    dimension = 192
    min_samples = 4000
    window_shape: WindowShape = "povey"
    scale = 1.0
    mels_per_frame = 2

    def __init__(self, state: State) -> None:
        self.stem = _Conv(state, "head.conv1", "head.bn1")
        self.blocks = [
            _Residual(state, f"head.layer{layer}.{i}", (2, 1) if i == 0 else 1)
            for layer in (1, 2)
            for i in (0, 1)
        ]
        self.thin = _Conv(state, "head.conv2", "head.bn2")
        self.tdnn = _Conv(state, "xvector.tdnn.linear", "xvector.tdnn.nonlinear.batchnorm")
        self.dense = [_DenseBlock(state, i, *shape) for i, shape in enumerate(((12, 1), (24, 2), (16, 2)), 1)]
        self.out = _Affine(state, "xvector.out_nonlinear.batchnorm")
        self.last = _Conv(state, "xvector.dense.linear", "xvector.dense.nonlinear.batchnorm")

    def _frames(self, mels: mx.array) -> mx.array:
        """(batch, mels, 80) to (batch, frames, 512)."""
        x = _relu(self.stem.over_plane(mels.transpose(0, 2, 1)[..., None]))
        for block in self.blocks:
            x = block(x)
        x = _flattened(_relu(self.thin.over_plane(x, (2, 1))))
        x = _relu(self.tdnn.over_time(x, stride=2, padding=2))
        for block in self.dense:
            x = block(x)
        return _relu(self.out(x))


class _DenseBlock:
    """Densely connected layers, then a projection that halves the channels."""

    def __init__(self, state: State, number: int, layers: int, dilation: int) -> None:
        prefix = f"xvector.block{number}.tdnnd"
        self.layers = [_DenseLayer(state, f"{prefix}{i + 1}", dilation) for i in range(layers)]
        self.norm = _Affine(state, f"xvector.transit{number}.nonlinear.batchnorm")
        self.project = _Conv(state, f"xvector.transit{number}.linear")

    def __call__(self, x: mx.array) -> mx.array:
        for layer in self.layers:
            x = mx.concatenate([x, layer(x)], axis=-1)
        return self.project.pointwise(_relu(self.norm(x)))


class _DenseLayer:
    """A bottleneck, and a dilated convolution with context-aware masking."""

    CONTEXT_FRAMES = 100

    def __init__(self, state: State, prefix: str, dilation: int) -> None:
        self.norm = _Affine(state, f"{prefix}.nonlinear1.batchnorm")
        self.narrow = _Conv(state, f"{prefix}.linear1", f"{prefix}.nonlinear2.batchnorm")
        self.local = _Conv(state, f"{prefix}.cam_layer.linear_local")
        self.squeeze = _Conv(state, f"{prefix}.cam_layer.linear1", bias=f"{prefix}.cam_layer.linear1.bias")
        self.excite = _Conv(state, f"{prefix}.cam_layer.linear2", bias=f"{prefix}.cam_layer.linear2.bias")
        self.dilation = dilation

    def __call__(self, x: mx.array) -> mx.array:
        x = _relu(self.narrow.pointwise(_relu(self.norm(x))))
        local = self.local.over_time(x, padding=self.dilation, dilation=self.dilation)
        context = x.mean(axis=1, keepdims=True) + _stretch_means(x, self.CONTEXT_FRAMES)
        mask = mx.sigmoid(self.excite.pointwise(_relu(self.squeeze.pointwise(context))))
        return local * mx.repeat(mask, self.CONTEXT_FRAMES, axis=1)[:, : x.shape[1]]


def _stretch_means(x: mx.array, size: int) -> mx.array:
    """Means over stretches of ``size`` frames, the last one over what is left, (batch, stretches, channels)."""
    batch, frames, channels = x.shape
    stretches = -(-frames // size)
    counts = np.minimum(size, frames - size * np.arange(stretches)).astype(np.float32)
    padded = mx.pad(x, ((0, 0), (0, stretches * size - frames), (0, 0)))
    return padded.reshape(batch, stretches, size, channels).sum(axis=2) / mx.array(counts)[None, :, None]


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


def _scale_and_shift(state: State, prefix: str) -> tuple[np.ndarray, np.ndarray]:
    """A batch norm's running statistics as scale and shift, float32; with or without learnt ones."""
    variance = state[f"{prefix}.running_var"].astype(np.float64)
    scale = state.get(f"{prefix}.weight", 1.0) / np.sqrt(variance + _EPSILON)
    shift = state.get(f"{prefix}.bias", 0.0) - state[f"{prefix}.running_mean"] * scale
    return scale.astype(np.float32), shift.astype(np.float32)


def _flattened(x: mx.array) -> mx.array:
    """(batch, mels, frames, channels) to (batch, frames, channels · mels): the order that the weights expect."""
    batch, mels, frames, channels = x.shape
    return x.transpose(0, 2, 3, 1).reshape(batch, frames, channels * mels)


def _relu(x: mx.array) -> mx.array:
    return mx.maximum(x, 0)
