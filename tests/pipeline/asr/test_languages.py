"""Language names and codes."""

import pytest

from pipeline.asr._languages import LANGUAGES, normalise
from schemas.errors import InvalidArgument


@pytest.mark.parametrize(
    ("written", "code"),
    [
        ("en", "en"),
        ("EN", "en"),
        ("English", "en"),
        (" german ", "de"),
        ("pt-BR", "pt"),
        ("zh_TW", "zh"),
        ("mandarin", "zh"),
        ("Haitian Creole", "ht"),
        ("flemish", "nl"),
        ("cantonese", "yue"),
    ],
)
def test_codes_tags_and_english_names_are_understood(written, code):
    assert normalise(written) == code


@pytest.mark.parametrize(
    ("written", "near"), [("englsh", "english"), ("gernan", "german"), ("frnch", "french")]
)
def test_an_unknown_language_is_an_error_that_names_the_nearest(written, near):
    with pytest.raises(InvalidArgument) as caught:
        normalise(written)
    assert caught.value.code == "invalid_argument"
    assert near in caught.value.hint


def test_a_language_like_no_other_is_an_error_that_says_what_to_give():
    with pytest.raises(InvalidArgument) as caught:
        normalise("klingon")
    assert "klingon" in caught.value.message
    assert "code" in caught.value.hint


def test_the_table_is_whispers_in_the_order_of_its_tokens():
    from mlx_whisper.tokenizer import LANGUAGES as THEIRS
    from mlx_whisper.tokenizer import TO_LANGUAGE_CODE

    assert list(LANGUAGES.items()) == list(THEIRS.items())
    assert all(normalise(name) == code for name, code in TO_LANGUAGE_CODE.items())
