"""The rules on the device are OpenAI's, hypothesis by hypothesis."""

from __future__ import annotations

import mlx.core as mx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.whisper_mlx.kernels import kernels_for
from pipeline.whisper_mlx.timestamp_rules import FORBIDDEN, Rules
from pipeline.whisper_mlx.tokens import Tokens
from tests.pipeline.whisper_mlx.tiny import DIMS

TOKENS = Tokens.of(DIMS)
BEGIN, EOT, VOCABULARY = TOKENS.timestamp_begin, TOKENS.eot, DIMS.n_vocab
SUPPRESSED = (1, 7)


@pytest.fixture(scope="module")
def rules() -> Rules:
    return Rules(TOKENS, kernels_for("cpu"), SUPPRESSED, timestamps=True)


def allowed(rules: Rules, sampled: list[int], logits: np.ndarray) -> set[int]:
    """Ids that the rules leave after a history."""
    row = mx.array(logits)[None, None]
    if not sampled:
        masked = rules.first(row)
    else:
        history = rules.begun(mx.array([[sampled[0]]]))
        for token in sampled[1:]:
            history = rules.extended(history, mx.array([[token]]))
        masked = rules.next(row, history)
    return set(np.flatnonzero(np.array(masked)[0, 0] > FORBIDDEN / 2).tolist())


def openai_allows(sampled: list[int], logits: np.ndarray) -> set[int]:
    """The same, written after whisper/decoding.py (SuppressTokens, ApplyTimestampRules), on float64."""
    masked = logits.astype(np.float64)
    masked[list(SUPPRESSED)] = -np.inf
    masked[EOT + 1 : BEGIN] = -np.inf
    last = bool(sampled) and sampled[-1] >= BEGIN
    previous = len(sampled) < 2 or sampled[-2] >= BEGIN
    if last and previous:
        masked[BEGIN:] = -np.inf
    elif last:
        masked[:EOT] = -np.inf
    stamps = [token for token in sampled if token >= BEGIN]
    if stamps:
        masked[BEGIN : stamps[-1] + (0 if last and not previous else 1)] = -np.inf
    if not sampled:
        masked[:BEGIN] = -np.inf
        masked[BEGIN + 51 :] = -np.inf
    times = np.logaddexp.reduce(masked[BEGIN:])
    if times > masked[:BEGIN].max():
        masked[:BEGIN] = -np.inf
    return set(np.flatnonzero(np.isfinite(masked)).tolist())


TEXT = st.integers(10, EOT - 1)
STAMP = st.integers(BEGIN, VOCABULARY - 1)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.one_of(TEXT, STAMP), max_size=6), st.integers(0, 2**16), st.floats(-12, 12))
def test_what_may_follow_is_what_openai_allows(rules, sampled: list[int], seed: int, lift: float) -> None:
    logits = np.random.default_rng(seed).standard_normal(VOCABULARY).astype(np.float32)
    logits[BEGIN:] += lift
    assert allowed(rules, sampled, logits) == openai_allows(sampled, logits)


def test_times_never_fall_and_zero_counts_as_a_time(rules) -> None:
    logits = np.zeros(VOCABULARY, np.float32)
    logits[BEGIN:] = 5
    after = allowed(rules, [BEGIN, 400, BEGIN + 100, BEGIN + 100, 400], logits)
    assert min(t for t in after if t >= BEGIN) == BEGIN + 101
    assert BEGIN not in allowed(rules, [BEGIN, 400], logits)


def test_after_a_start_text_is_chosen_even_if_times_are_likelier(rules) -> None:
    """Where the test of the timestamps' mass reads unmasked logits, nothing is left, and id 0 is "!"."""
    logits = np.zeros(VOCABULARY, np.float32)
    logits[BEGIN:] = 50
    logits[400] = 1
    masked = rules.next(mx.array(logits)[None, None], rules.begun(mx.array([[BEGIN]])))
    assert mx.argmax(masked, axis=-1).item() == 400


def test_without_timestamps_there_are_none_and_the_first_token_is_not_blank() -> None:
    rules = Rules(TOKENS, kernels_for("cpu"), SUPPRESSED, timestamps=False)
    logits = np.zeros(VOCABULARY, np.float32)
    first = allowed(rules, [], logits)
    assert max(first) < EOT
    assert not first & {*SUPPRESSED, *TOKENS.blank}
    later = allowed(rules, [400], logits)
    assert max(later) == EOT
    assert TOKENS.blank[0] in later


def test_histories_follow_their_parents(rules) -> None:
    history = rules.begun(mx.array([[BEGIN + 3, 400]]))
    moved = history.of(mx.array([[1, 0]]))
    assert moved.stamp.tolist() == [[-1, 3]]
    assert moved.last.tolist() == [[False, True]]
