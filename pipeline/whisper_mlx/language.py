"""Which language a window is in: the probabilities after the start token, as OpenAI's ``detect_language``."""

from __future__ import annotations

from collections.abc import Sequence

import mlx.core as mx

from pipeline.whisper_mlx.kv_cache import WindowCross
from pipeline.whisper_mlx.model import Model
from pipeline.whisper_mlx.tokens import Tokens


def language_probabilities(
    model: Model, tokens: Tokens, windows: Sequence[WindowCross]
) -> list[dict[str, float]]:
    """For each encoded window, the probability of every language that the model knows."""
    codes = tokens.languages
    if not model.dims.is_multilingual:
        return [dict.fromkeys(codes, 1.0) for _ in windows]
    start = mx.full((len(windows), 1), tokens.sot, mx.int32)
    hidden, _ = model.decoder.prefill(start, model.cross_cache(windows))
    logits = model.decoder.logits(hidden[:, 0])[:, mx.array(list(codes.values()))]
    return [dict(zip(codes, row, strict=True)) for row in mx.softmax(logits, axis=-1).tolist()]


def joint(probabilities: Sequence[dict[str, float]]) -> dict[str, float]:
    """The mean over windows, likeliest first."""
    if not probabilities:
        return {}
    mean = {code: sum(p[code] for p in probabilities) / len(probabilities) for code in probabilities[0]}
    return dict(sorted(mean.items(), key=lambda item: -item[1]))
