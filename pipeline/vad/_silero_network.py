"""Silero's network, version 6: its convolutions as products over many frames at once, then its LSTM.

The weights are those of the ONNX file inside faster-whisper (Silero Team, MIT licence). ONNX Runtime, on one core,
takes several times as long.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from pipeline.vector_loops.exponential import LOG2E, compiled, exp2
from schemas.errors import ModelNotFound

STATE = 128
_BINS = 129
_WINDOW, _HOP = 256, 128  # of the spectrum, samples
_PADDING = 64  # samples of the frame's end, mirrored behind it
_ONE, _TWO, _MOST = np.float32(1), np.float32(2), np.float32(126)


@dataclass(frozen=True)
class SileroNetwork:
    """Products' weights are (in, out); ``recurrent`` is (state, gates), gates in ONNX's order: i, o, f, c."""

    spectrum: np.ndarray
    convolutions: tuple[tuple[np.ndarray, np.ndarray], ...]
    into: np.ndarray
    recurrent: np.ndarray
    bias: np.ndarray
    out: np.ndarray
    out_bias: np.float32

    @classmethod
    def read(cls, path: Path) -> SileroNetwork:
        """Out of the ONNX file.

        Raises :class:`ModelNotFound` (``model_damaged``) for a network of another kind.
        """
        import onnx
        from google.protobuf.message import DecodeError
        from onnx.numpy_helper import to_array

        try:
            graph = onnx.load(str(path)).graph
            tensors = {t.name: to_array(t) for t in graph.initializer}
            lstm = next(node for node in graph.node if node.op_type == "LSTM")
            return cls._of(tensors, *(tensors[name][0] for name in lstm.input[1:4]))
        except (KeyError, StopIteration, ValueError, DecodeError) as error:
            raise ModelNotFound(
                f"{path.name} does not hold version 6 of Silero's network",
                code="model_damaged",
                hint="install faster-whisper again, or choose vad_method energy",
            ) from error

    @classmethod
    def _of(
        cls, tensors: dict[str, np.ndarray], into: np.ndarray, recurrent: np.ndarray, bias: np.ndarray
    ) -> SileroNetwork:
        return cls(
            spectrum=_columns(tensors["encoder.feature_extractor.forward_basis_buffer"]),
            convolutions=tuple(
                (
                    _columns(tensors[f"encoder.conv_layers.{i}.weight"]),
                    tensors[f"encoder.conv_layers.{i}.bias"],
                )
                for i in range(4)
            ),
            into=np.ascontiguousarray(into.T),
            recurrent=np.ascontiguousarray(recurrent.T),
            bias=bias[: 4 * STATE] + bias[4 * STATE :],
            out=tensors["decoder.conv1d.weight"].reshape(-1),
            out_bias=np.float32(tensors["decoder.conv1d.bias"][0]),
        )

    def gates(self, frames: np.ndarray) -> np.ndarray:
        """What frames (n, 64 + 512) bring into the LSTM, (n, 512): each on its own, in any order."""
        return self._features(frames) @ self.into + self.bias

    def probabilities(self, gates: np.ndarray, h: np.ndarray, c: np.ndarray) -> np.ndarray:
        """Speech probability (n,) of frames in order, by their gates; ``h`` and ``c`` (128,) are moved on."""
        hidden = np.empty((len(gates), STATE), np.float32)
        _lstm(gates, self.recurrent, h, c, hidden)
        logits = np.maximum(hidden, 0) @ self.out + self.out_bias
        return 1 / (1 + np.exp(-logits))

    def _features(self, frames: np.ndarray) -> np.ndarray:
        """(n, 64 + 512) to (n, 128)."""
        padded = np.concatenate((frames, frames[:, -2 : -2 - _PADDING : -1]), axis=1)
        spectrum = _windows(padded[:, :, None], _WINDOW, _HOP) @ self.spectrum
        x = np.sqrt(spectrum[..., :_BINS] ** 2 + spectrum[..., _BINS:] ** 2)
        for (weight, bias), stride in zip(self.convolutions, (1, 2, 2, 1), strict=True):
            x = _windows(np.pad(x, ((0, 0), (1, 1), (0, 0))), 3, stride) @ weight
            x = np.maximum(x + bias, 0)
        return x[:, 0]


def _columns(weight: np.ndarray) -> np.ndarray:
    """A convolution's (out, in, taps) as (taps * in, out)."""
    return np.ascontiguousarray(weight.transpose(2, 1, 0).reshape(-1, weight.shape[0]))


def _windows(x: np.ndarray, taps: int, stride: int) -> np.ndarray:
    """(n, length, in) to (n, steps, taps * in)."""
    n, length, features = x.shape
    steps = (length - taps) // stride + 1
    each, step, one = x.strides
    view = np.lib.stride_tricks.as_strided(
        x, (n, steps, taps, features), (each, stride * step, step, one), writeable=False
    )
    return view.reshape(n, steps, taps * features)


@compiled(inline="always")
def _sigmoid(x):
    return _ONE / (_ONE + exp2(min(-x * LOG2E, _MOST)))


@compiled()
def _lstm(gates, recurrent, h, c, hidden):
    """Gates (n, 512) without the recurrent part; hidden (n, 128) is filled, h and c (128,) are moved on."""
    g = np.empty(gates.shape[1], np.float32)
    for t in range(len(gates)):
        g[:] = gates[t]
        for k in range(0, STATE, 4):
            h0, h1, h2, h3 = h[k], h[k + 1], h[k + 2], h[k + 3]
            r0, r1, r2, r3 = recurrent[k], recurrent[k + 1], recurrent[k + 2], recurrent[k + 3]
            for j in range(g.size):
                g[j] += h0 * r0[j] + h1 * r1[j] + h2 * r2[j] + h3 * r3[j]
        for j in range(3 * STATE):
            g[j] = _sigmoid(g[j])
        for j in range(STATE):
            added = g[j] * (_TWO * _sigmoid(_TWO * g[3 * STATE + j]) - _ONE)  # tanh
            c[j] = g[2 * STATE + j] * c[j] + added
            h[j] = g[STATE + j] * (_TWO * _sigmoid(_TWO * c[j]) - _ONE)
            hidden[t, j] = h[j]
