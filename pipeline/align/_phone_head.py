"""The phone head: a small network from Whisper's encoder output to phones, with the weights that ship.

LayerNorm, a linear layer, two residual convolutions over three frames, and two phones for each of the encoder's
frames, so one every 10 ms. In numpy: it is a thousandth of the encoder's work.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
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
        prior = tensors.pop("prior")
        weights = {key: _inward_first(tensor) for key, tensor in tensors.items()}
        scale, shift = weights.pop("norm.weight"), weights.pop("norm.bias")  # the next product does them
        weights["inward.bias"] = weights["inward.bias"] + shift @ weights["inward.weight"]
        weights["inward.weight"] = scale[:, None] * weights["inward.weight"]
        return cls({phone: i for i, phone in enumerate(phones)}, prior, weights)

    def __call__(self, features: np.ndarray) -> np.ndarray:
        """Log-probabilities of phones (2 * frames, phones) of the encoder's output (frames, state), any floats."""
        from pipeline.align import _phone_head_loops as loops

        weights = self.weights
        rows = np.ascontiguousarray(features)
        if rows.dtype == np.float16:
            inward = loops.inward_of_halves(rows.view(np.uint16), weights["inward.weight"])
        else:
            inward = loops.inward_of_floats(rows.astype(np.float32, copy=False), weights["inward.weight"])
        return loops.log_probs(inward, weights["inward.bias"], *self._onward)

    @cached_property
    def _onward(self) -> tuple[np.ndarray, ...]:
        """Weights and biases of what follows the first product."""
        layers = ("conv1", "conv2", "outward")
        *own, bias = (self.weights[f"{layer}.{kind}"] for layer in layers for kind in ("weight", "bias"))
        return *own, bias.reshape(2, -1)

    def scaled(self, log_probs: np.ndarray) -> np.ndarray:
        """What a hidden Markov model takes for likelihoods: posteriors over the root of the prior."""
        return log_probs - self._log_prior

    @cached_property
    def _log_prior(self) -> np.ndarray:
        return _PRIOR_SCALE * np.log(self.prior + _PRIOR_FLOOR)


def _inward_first(tensor: np.ndarray) -> np.ndarray:
    """Weights (out, in) as (in, out), and those of a convolution (out, in, 3) as (3 * in, out)."""
    if tensor.ndim == 3:
        tensor = tensor.transpose(0, 2, 1).reshape(len(tensor), -1)
    return np.ascontiguousarray(tensor.T)
