"""The phone head: a small network from Whisper's encoder output to phones, with the weights that ship.

LayerNorm, a linear layer, two residual convolutions over three frames, and two phones for each of the encoder's
frames, so one every 10 ms. In numpy: it is a thousandth of the encoder's work.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

FRAME_S = 0.01
DATA = Path(__file__).parent / "data"
PAUSE = 0
"""The id of the phone that is no speech."""
_PRIOR_SCALE = 0.5
_PRIOR_FLOOR = 1e-4


@dataclass(frozen=True)
class PhoneHead:
    """``phones`` to ids; ``prior`` (phones,) their shares of the training's frames."""

    phones: Mapping[str, int]
    prior: np.ndarray
    weights: Mapping[str, np.ndarray]

    @classmethod
    def read(cls, name: str) -> PhoneHead:
        """A head of the ones that ship, float16 on disk."""
        from safetensors import safe_open

        with safe_open(DATA / f"{name}.safetensors", "numpy") as file:
            tensors = {key: file.get_tensor(key).astype(np.float32) for key in file.keys()}  # noqa: SIM118
            phones = file.metadata()["phones"].split()
        weights = {key: _inward_first(tensor) for key, tensor in tensors.items()}
        return cls({phone: i for i, phone in enumerate(phones)}, weights.pop("prior"), weights)

    def __call__(self, features: np.ndarray) -> np.ndarray:
        """Log-probabilities of phones (2 * frames, phones) of the encoder's output (frames, state)."""
        from scipy.special import log_softmax

        x = _gelu(self._inward(features))
        for name in ("conv1", "conv2"):
            x = x + _gelu(self._linear(_neighbours(x), name))
        logits = self._linear(x, "outward").reshape(-1, len(self.phones))
        return log_softmax(logits, axis=1)

    def scaled(self, log_probs: np.ndarray) -> np.ndarray:
        """What a hidden Markov model takes for likelihoods: posteriors over the root of the prior."""
        return log_probs - _PRIOR_SCALE * np.log(self.prior + _PRIOR_FLOOR)

    def _inward(self, features: np.ndarray) -> np.ndarray:
        normalised = _normalised(features) * self.weights["norm.weight"] + self.weights["norm.bias"]
        return self._linear(normalised, "inward")

    def _linear(self, x: np.ndarray, name: str) -> np.ndarray:
        return x @ self.weights[f"{name}.weight"] + self.weights[f"{name}.bias"]


def _normalised(x: np.ndarray) -> np.ndarray:
    centred = x - x.mean(axis=1, keepdims=True)
    return centred / np.sqrt((centred**2).mean(axis=1, keepdims=True) + 1e-5)


def _inward_first(tensor: np.ndarray) -> np.ndarray:
    """Weights (out, in) as (in, out), and those of a convolution (out, in, 3) as (3 * in, out)."""
    if tensor.ndim == 3:
        tensor = tensor.transpose(0, 2, 1).reshape(len(tensor), -1)
    return np.ascontiguousarray(tensor.T)


def _neighbours(x: np.ndarray) -> np.ndarray:
    """Each frame between the one before and the one after, (frames, 3 * features)."""
    padded = np.pad(x, ((1, 1), (0, 0)))
    return np.concatenate([padded[k : k + len(x)] for k in range(3)], axis=1)


def _gelu(x: np.ndarray) -> np.ndarray:
    from scipy.special import erf

    return 0.5 * x * (1.0 + erf(x * np.float32(0.5**0.5)))
