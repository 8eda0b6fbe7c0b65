"""PyanNet (pyannote segmentation-3.0) in MLX: SincNet front end, four bidirectional LSTM layers, two linear ones.

Source: Bredin and Laurent, "End-to-end speaker segmentation", Interspeech 2021; shapes and names of weights as in
pyannote.audio 4.0.7 ``models/segmentation/PyanNet.py`` (MIT). Import inside ``load`` only.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import mlx.core as mx
import numpy as np

from pipeline import mlx_runtime
from pipeline.diarization_core import mlx_lstm
from pipeline.diarization_core.frames import WINDOW_SAMPLES
from pipeline.diarization_core.sincnet import EPSILON, POOL, POOLED_FRAMES, SINC_STRIDE, sinc_filters

_FRONT_WINDOWS = 32  # the front end's outputs are large, the LSTM's are not


def convert(state: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """A PyanNet state dict (numpy) to the arrays that :class:`PyanNet` takes."""
    weights: dict[str, np.ndarray] = {"sinc": sinc_filters(state)[:, :, None]}
    weights["wave.scale"] = state["sincnet.wav_norm1d.weight"]
    weights["wave.shift"] = state["sincnet.wav_norm1d.bias"]
    for i in (1, 2):
        weights[f"conv{i}.weight"] = state[f"sincnet.conv1d.{i}.weight"].transpose(0, 2, 1)
        weights[f"conv{i}.bias"] = state[f"sincnet.conv1d.{i}.bias"]
    for i in range(3):
        weights[f"norm{i}.scale"] = state[f"sincnet.norm1d.{i}.weight"]
        weights[f"norm{i}.shift"] = state[f"sincnet.norm1d.{i}.bias"]
    for i in range(4):
        both = ("", "_reverse")
        # one product for both directions' inputs, one batched product for both states
        weights[f"lstm{i}.input"] = np.concatenate([state[f"lstm.weight_ih_l{i}{s}"].T for s in both], axis=1)
        weights[f"lstm{i}.bias"] = np.concatenate(
            [state[f"lstm.bias_ih_l{i}{s}"] + state[f"lstm.bias_hh_l{i}{s}"] for s in both]
        )
        weights[f"lstm{i}.state"] = np.stack([state[f"lstm.weight_hh_l{i}{s}"].T for s in both])
    for i in range(2):
        weights[f"linear{i}.weight"] = state[f"linear.{i}.weight"].T
        weights[f"linear{i}.bias"] = state[f"linear.{i}.bias"]
    weights["classifier.weight"] = state["classifier.weight"].T
    weights["classifier.bias"] = state["classifier.bias"]
    return {name: np.ascontiguousarray(array, dtype=np.float32) for name, array in weights.items()}


class PyanNet:
    """Windows of a waveform to log-probabilities of the powerset classes (windows, frames, 7)."""

    def __init__(self, weights: Mapping[str, np.ndarray]) -> None:
        self.w = {name: mx.array(array) for name, array in weights.items()}
        self._layers = [
            mlx_lstm.Layer(*(self.w[f"lstm{i}.{n}"] for n in ("input", "bias", "state"))) for i in range(4)
        ]

    def __call__(self, samples: np.ndarray, step_samples: int) -> np.ndarray:
        """As :class:`pipeline.diarization_core.core.Segmentation`."""
        x = self._filtered(mx.array(samples), step_samples)
        mx.eval(x)
        parts = []
        for first in range(0, len(x), _FRONT_WINDOWS):
            parts.append(self._front_end(x[first : first + _FRONT_WINDOWS]))
            mx.eval(parts[-1])
        x = mx.concatenate(parts)
        with mlx_runtime.small_products():
            for layer in self._layers:
                x = layer(x)
        for i in range(2):
            x = _leaky(mx.addmm(self.w[f"linear{i}.bias"], x, self.w[f"linear{i}.weight"]))
        x = mx.addmm(self.w["classifier.bias"], x, self.w["classifier.weight"])
        return np.array(x - mx.logsumexp(x, axis=-1, keepdims=True))

    def _filtered(self, samples: mx.array, step_samples: int) -> mx.array:
        """The sinc filters' magnitudes over normalised windows, pooled, (windows, 5325, 80).

        Windows overlap: filters and pools run once, and a window's norm is applied to the pools' ends.
        """
        step, sinc = step_samples // SINC_STRIDE, self.w["sinc"]
        once = mx.conv1d(samples[None, :, None], sinc, stride=SINC_STRIDE)
        mean, variance = _window_statistics(samples, step_samples)
        scale = (self.w["wave.scale"] * mx.rsqrt(variance + EPSILON))[:, None, None]
        shift = (self.w["wave.shift"] - scale * mean[:, None, None]) * sinc.sum(axis=(1, 2))
        out = mx.zeros((len(mean), POOLED_FRAMES, len(sinc)))
        for first in range(min(POOL, len(mean))):  # every third window's pools begin at the same frames
            own = slice(first, None, POOL)
            behind = once[:, first * step :]
            high, low = (
                mx.abs(_windows_of(pool(behind)[0], POOLED_FRAMES, step) * scale[own] + shift[own])
                for pool in (_max_pool, lambda x: -_max_pool(-x))
            )
            out[own] = mx.maximum(high, low)  # of a linear function's magnitudes the greatest is at an end
        return out

    def _front_end(self, x: mx.array) -> mx.array:
        """The sinc filters' pooled magnitudes (batch, 5325, 80) to (batch, 589, 60)."""
        w = self.w
        x = _leaky(_normalised(x, w["norm0.scale"], w["norm0.shift"]))
        for i in (1, 2):
            x = mx.conv1d(x, w[f"conv{i}.weight"]) + w[f"conv{i}.bias"]
            x = _leaky(_normalised(_max_pool(x), w[f"norm{i}.scale"], w[f"norm{i}.shift"]))
        return x


def _window_statistics(samples: mx.array, step_samples: int) -> tuple[mx.array, mx.array]:
    """Mean and variance of each window's samples, (windows,) each, from those of what windows share."""
    part = math.gcd(step_samples, WINDOW_SAMPLES)
    parts = samples[: len(samples) // part * part].reshape(-1, part)
    mean, variance = parts.mean(axis=1), parts.var(axis=1)
    power, mean = (
        _windows_of(x[:, None], WINDOW_SAMPLES // part, step_samples // part)[..., 0].mean(axis=1)
        for x in (variance + mx.square(mean), mean)
    )
    return mean, power - mx.square(mean)


def _windows_of(x: mx.array, length: int, step: int) -> mx.array:
    """(time, channels) to the windows that lie in it, (windows, length, channels)."""
    time, channels = x.shape
    shape = ((time - length) // step + 1, length, channels)
    return mx.as_strided(mx.contiguous(x), shape, (step * channels, channels, 1))


def _normalised(x: mx.array, scale: mx.array, shift: mx.array) -> mx.array:
    """Instance norm over time of (batch, time, channels)."""
    centred = x - x.mean(axis=1, keepdims=True)
    variance = (centred * centred).mean(axis=1, keepdims=True)
    return centred * (mx.rsqrt(variance + EPSILON) * scale) + shift


def _leaky(x: mx.array) -> mx.array:
    return mx.maximum(x, 0.01 * x)


def _max_pool(x: mx.array, size: int = POOL) -> mx.array:
    batch, time, channels = x.shape
    return x[:, : time // size * size].reshape(batch, time // size, size, channels).max(axis=2)
