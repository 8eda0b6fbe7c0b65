"""A bidirectional LSTM layer in MLX: torch's in a loop, and the loop's in one kernel where there is a CUDA GPU."""

from __future__ import annotations

import numpy as np
import pytest

TIME = 37


@pytest.fixture(scope="module")
def layer():
    """torch's, and its weights as MLX takes them: inward, bias, state."""
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    lstm = torch.nn.LSTM(60, 128, bidirectional=True, batch_first=True).eval()
    own = {name: tensor.detach().numpy() for name, tensor in lstm.named_parameters()}
    both = ("l0", "l0_reverse")
    inward = np.concatenate([own[f"weight_ih_{d}"].T for d in both], axis=1)
    bias = np.concatenate([own[f"bias_ih_{d}"] + own[f"bias_hh_{d}"] for d in both])
    return lstm, (inward, bias, np.stack([own[f"weight_hh_{d}"].T for d in both]))


def states(weights, x: np.ndarray, device: str) -> np.ndarray:
    from pipeline import mlx_runtime

    mlx_runtime.use_device(device)
    import mlx.core as mx

    from pipeline.diarization_core.mlx_lstm import Layer

    try:
        return np.array(Layer(*map(mx.array, weights))(mx.array(x)))
    finally:
        mlx_runtime.use_device("cpu")


def drawn(batch: int) -> np.ndarray:
    return np.random.default_rng(batch).standard_normal((batch, TIME, 60)).astype(np.float32)


def test_the_loop_is_torchs_lstm(layer):
    import torch

    lstm, weights = layer
    with torch.inference_mode():
        expected = lstm(torch.from_numpy(drawn(3)))[0].numpy()
    np.testing.assert_allclose(states(weights, drawn(3), "cpu"), expected, atol=1e-5)


@pytest.mark.parametrize("batch", [1, 4, 8, 9, 300])
def test_one_kernel_gives_what_the_loop_gives(layer, batch):
    from pipeline import mlx_runtime

    if mlx_runtime.accelerator() != "cuda":
        pytest.skip("no NVIDIA GPU that MLX can use")
    _, weights = layer
    by_kernel, by_steps = (states(weights, drawn(batch), device) for device in ("cuda", "cpu"))
    np.testing.assert_allclose(by_kernel, by_steps, atol=1e-5)
