"""Encoder, decoder and caches compute what mlx-whisper computes on the same weights."""

from __future__ import annotations

import math

import mlx.core as mx
import numpy as np
import pytest

from pipeline.whisper_mlx import cpu_kernels
from pipeline.whisper_mlx.decoder import causal_mask
from pipeline.whisper_mlx.kv_cache import SelfCache
from tests.pipeline.whisper_mlx.tiny import DIMS, log_mels, random_weights, tiny_model

PROMPT = [50_258, 50_259, 50_359, 400, 370, 452, 7_177, 6_280]


@pytest.fixture(scope="module", params=["cpu", "cuda"])
def model(request):
    """The toy model with CPU kernels, and with a GPU's (run on the CPU)."""
    return tiny_model(request.param)


@pytest.fixture(scope="module")
def reference():
    """mlx-whisper with the same weights."""
    from mlx.utils import tree_unflatten
    from mlx_whisper.whisper import ModelDimensions, Whisper

    whisper = Whisper(ModelDimensions(**vars(DIMS)), mx.float32)
    whisper.update(tree_unflatten([(name, mx.array(a)) for name, a in random_weights().items()]))
    return whisper


def test_features_and_logits_are_mlx_whispers(model, reference) -> None:
    mel = mx.array(np.stack(log_mels(2)))
    tokens = mx.array([PROMPT, PROMPT[::-1]])
    features = reference.encoder(mel)
    assert mx.abs(model.encoder(mel) - features).max().item() < 1e-4
    hidden, _ = model.decoder.prefill(tokens, model.cross_cache(model.encode(mel)))
    expected = reference.decoder(tokens, features)[0]
    assert mx.abs(model.decoder.logits(hidden) - expected).max().item() < 1e-3


def test_steps_over_a_cache_that_grows_and_shifts_equal_one_pass(model) -> None:
    tokens = list(range(400, 440))
    cross = model.cross_cache(model.encode(mx.array(np.stack(log_mels(1)))))
    whole, _ = model.decoder.prefill(mx.array([tokens]), cross)
    _, prompt = model.decoder.prefill(mx.array([tokens[:3]]), cross)
    cache = SelfCache.empty(DIMS, 1, 1, 4, mx.float32)
    cache.column = 100  # as if older windows had been there
    cache.starts = [100]
    cache.admit([0], prompt)
    for position in range(3, len(tokens)):
        mask = cache.open_columns()
        hidden = model.decoder(mx.array([[tokens[position]]]), mx.array([[position]]), cache, mask, cross)
        cache.advance()
        assert mx.abs(hidden[0, 0] - whole[0, position]).max().item() < 1e-4


def test_recorded_attention_is_a_distribution_over_frames(model) -> None:
    cross = model.cross_cache(model.encode(mx.array(np.stack(log_mels(2)))))
    weights = model.decoder.attention_weights(mx.array([PROMPT, PROMPT]), cross, [(0, 1), (1, 0)])
    assert weights.shape == (2, 2, len(PROMPT), DIMS.n_audio_ctx)
    assert mx.allclose(weights.sum(-1), mx.ones(weights.shape[:-1]), atol=1e-4)


def test_recorded_attention_is_mlx_whispers(model, reference) -> None:
    mel = mx.array(np.stack(log_mels(1)))
    cross = model.cross_cache(model.encode(mel))
    weights = model.decoder.attention_weights(mx.array([PROMPT]), cross, [(1, 0)])
    scores = reference.decoder(mx.array([PROMPT]), reference.encoder(mel))[2][1][:, 0]
    assert mx.abs(weights[:, 0] - mx.softmax(scores, axis=-1)).max().item() < 1e-4


def test_cpu_loops_are_exact_to_the_last_digits() -> None:
    rng = np.random.default_rng(0)
    x = (30 * rng.standard_normal((7, 501))).astype(np.float32)
    powers = np.exp2(x.astype(np.float64) - x.max(1, keepdims=True))
    found = np.array(cpu_kernels.softmax(mx.array(x) * 1.0))
    assert np.abs(found - powers / powers.sum(1, keepdims=True)).max() < 1e-6
    sums = cpu_kernels.CpuKernels().logsumexp(mx.array(x))
    assert np.abs(np.array(sums) - np.logaddexp.reduce(x.astype(np.float64), axis=1)).max() < 1e-5
    x = np.linspace(-8, 8, 10_001).astype(np.float32)
    exact = [v * 0.5 * (1 + math.erf(v / math.sqrt(2))) for v in x.astype(np.float64)]
    assert np.abs(np.array(cpu_kernels.gelu(mx.array(x) * 1.0)) - exact).max() < 1e-6


@pytest.mark.parametrize("value", [-1e9, -126.0, 0.0])
def test_a_softmax_of_equal_scores_is_even_however_low_they_are(value: float) -> None:
    found = np.array(cpu_kernels.softmax(mx.full((2, 4), value)))
    assert np.allclose(found, 0.25)


def test_a_causal_mask_hides_what_follows() -> None:
    mask = np.array(causal_mask(3, mx.float32))[0, 0]
    assert (mask[np.triu_indices(3, 1)] < -1e8).all()
    assert (mask[np.tril_indices(3)] == 0).all()
