"""Special tokens come from the size of the vocabulary alone."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pipeline.whisper_mlx.tokens import Tokens
from schemas.errors import InvalidArgument
from tests.pipeline.whisper_mlx.tiny import DIMS


def tokens(size: int) -> Tokens:
    return Tokens.of(replace(DIMS, n_vocab=size, n_text_ctx=448))


@pytest.mark.parametrize(
    ("size", "eot", "no_speech", "timestamp_begin", "languages"),
    [
        (51_864, 50_256, 50_361, 50_363, 1),
        (51_865, 50_257, 50_362, 50_364, 99),
        (51_866, 50_257, 50_363, 50_365, 100),
    ],
)
def test_ids_move_with_the_vocabulary(size, eot, no_speech, timestamp_begin, languages) -> None:
    vocabulary = tokens(size)
    assert vocabulary.eot == eot
    assert vocabulary.no_speech == no_speech
    assert vocabulary.timestamp_begin == timestamp_begin
    assert len(vocabulary.languages) == languages
    assert vocabulary.timestamp_begin + 1501 == size


def test_prompts_name_language_and_task() -> None:
    assert tokens(51_865).prompt("de", "transcribe", True).tokens == (50_258, 50_261, 50_359)
    assert tokens(51_865).prompt("de", "translate", False).tokens == (50_258, 50_261, 50_358, 50_363)
    assert tokens(51_864).prompt("en", "transcribe", False).tokens == (50_257, 50_362)


def test_a_prompt_keeps_the_end_of_what_stands_before() -> None:
    prompt = tokens(51_865).prompt("en", "transcribe", True, range(1000))
    assert prompt.tokens[0] == 50_361
    assert prompt.tokens[1:224] == tuple(range(777, 1000))
    assert prompt.tokens[prompt.sot :] == (50_258, 50_259, 50_359)


def test_unknown_languages_are_refused() -> None:
    with pytest.raises(InvalidArgument):
        tokens(51_865).language_token("yue")
    assert tokens(51_866).language_token("yue") == 50_358
    with pytest.raises(InvalidArgument, match="de"):
        tokens(51_864).language_token("de")


def test_suppressed_numerals_are_all_tokens_with_digits() -> None:
    vocabulary = tokens(51_865)
    numerals = set(vocabulary.suppressed((), numerals=True))
    assert set(vocabulary.tokenizer.encode("1984 $5 100% £3")) - set(vocabulary.blank) <= numerals
    assert not numerals & set(vocabulary.encode("nineteen eighty four"))


def test_minus_one_stands_for_the_symbols_that_nobody_says() -> None:
    vocabulary = tokens(51_865)
    suppressed = vocabulary.suppressed((-1, 400), numerals=False)
    assert 400 in suppressed
    assert set(vocabulary.tokenizer.encode("♪")[:1]) <= set(suppressed)
    assert vocabulary.suppressed((), numerals=False) == []


def test_text_is_decoded_without_special_tokens() -> None:
    vocabulary = tokens(51_865)
    text = vocabulary.encode("Hello there.")
    assert vocabulary.decode([50_364, *text, 50_400, 50_257]) == " Hello there."
    assert vocabulary.seconds(50_414) == pytest.approx(1.0)
