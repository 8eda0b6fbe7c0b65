"""The rules for timestamps, where mlx-whisper's own are wrong. A vocabulary of 20 ids stands for Whisper's."""

import numpy as np
import pytest

from pipeline.asr.mlx_whisper import TimestampRules

EOT, NO_TIMESTAMPS, BEGIN, SIZE = 8, 9, 10, 70
RULES = TimestampRules(begin=BEGIN, eot=EOT, no_timestamps=NO_TIMESTAMPS, sample_begin=2)


def allowed(sampled, logits=None):
    """Ids that may follow, where text is likelier than timestamps unless ``logits`` say otherwise."""
    import mlx.core as mx

    if logits is None:
        logits = np.where(np.arange(SIZE) < BEGIN, 10.0, 0.0)
    masked = RULES.apply(mx.array(np.array([logits], np.float32)), mx.array([[0, 0, *sampled]]))
    return set(np.flatnonzero(np.isfinite(np.array(masked)[0])).tolist())


TEXT = set(range(NO_TIMESTAMPS))  # with the end of text


def times(first, last=SIZE - 1):
    return set(range(first, last + 1))


def test_a_window_begins_with_a_timestamp_within_its_first_second():
    assert allowed([]) == times(BEGIN, BEGIN + 50)


def test_text_follows_the_start_of_a_segment():
    assert allowed([BEGIN]) == TEXT
    assert allowed([BEGIN + 5]) == TEXT


def test_a_segments_end_lies_behind_its_start():
    assert allowed([BEGIN + 5, 1]) == TEXT | times(BEGIN + 6)


def test_the_first_timestamp_counts_too():
    """Of <|0.00|> and a text token, the next timestamp may not be <|0.00|> again."""
    assert allowed([BEGIN, 1]) == TEXT | times(BEGIN + 1)


def test_after_a_segments_end_comes_the_next_start_or_the_end_of_text():
    assert allowed([BEGIN, 1, BEGIN + 20]) == {EOT} | times(BEGIN + 20)


def test_times_never_fall():
    assert allowed([BEGIN, 1, BEGIN + 20, BEGIN + 30, 2]) == TEXT | times(BEGIN + 31)


def test_a_timestamp_is_taken_when_all_together_are_likelier_than_any_text():
    assert allowed([BEGIN, 1], np.zeros(SIZE)) == times(BEGIN + 1)


def test_forbidden_timestamps_do_not_count_for_that():
    """mlx-whisper reads the logits before masking: right after a start everything became -inf, the choice id 0."""
    likely_times = np.where(np.arange(SIZE) >= BEGIN, 5.0, 0.0)
    assert allowed([BEGIN], likely_times) == TEXT


@pytest.mark.parametrize("sampled", [[], [BEGIN], [BEGIN, 1], [BEGIN, 1, BEGIN + 9], [1, 2, 3]])
def test_something_may_always_follow(sampled):
    for logits in (np.zeros(SIZE), np.where(np.arange(SIZE) >= BEGIN, 9.0, 0.0)):
        assert allowed(sampled, logits)


def test_the_no_timestamps_token_is_never_sampled():
    assert all(NO_TIMESTAMPS not in allowed(s) for s in ([], [BEGIN], [BEGIN, 1], [BEGIN, 1, BEGIN + 9]))


def test_mlx_whispers_own_rules_still_have_the_faults():
    """When this fails, mlx-whisper was mended, and the rules here can go."""
    import mlx.core as mx
    from mlx_whisper.decoding import ApplyTimestampRules
    from mlx_whisper.tokenizer import get_tokenizer

    tokenizer = get_tokenizer(True, language="en", task="transcribe")
    begin, size = tokenizer.timestamp_begin, tokenizer.timestamp_begin + 1501
    theirs = ApplyTimestampRules(tokenizer, sample_begin=0, max_initial_timestamp_index=50)
    ours = TimestampRules.of(tokenizer, sample_begin=0)

    def finite(rules, logits, tokens):
        return np.isfinite(np.array(rules.apply(mx.array(logits[None]), mx.array([tokens])))[0])

    text_first = np.where(np.arange(size) < begin, 50.0, 0.0).astype(np.float32)
    closed = [begin, 7, begin + 100, begin + 100, 7]
    assert finite(theirs, text_first, closed)[begin + 50], "falling timestamps are legal there"
    assert not finite(ours, text_first, closed)[begin + 50]
    times_first = np.where(np.arange(size) >= begin, 50.0, 0.0).astype(np.float32)
    assert not finite(theirs, times_first, [begin]).any(), "nothing may follow there"
    assert finite(ours, times_first, [begin]).any()
