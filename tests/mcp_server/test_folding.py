"""Words as search compares them."""

import pytest

from mcp_server.folding import tokens


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("STRASSE", "Straße"),
        ("cafe\u0301", "Café"),
        ("ﬁnance", "finance"),
        ("don’t", "DON'T"),
        ("Ｗｉｄｅ", "wide"),
        ("İstanbul", "istanbul"),
        ("Σίσυφος", "σισυφοσ"),
        ("مُحَمَّد", "محمد"),
        ("well-known, \u201cfact\u201d!", "well known fact"),
        ("Ёлка", "елка"),
    ],
)
def test_forms_of_the_same_word_are_equal(one, other):
    assert tokens(one) == tokens(other) != []


def test_scripts_without_spaces_are_cut_into_characters():
    assert tokens("四半期の売上 2026") == ["四", "半", "期", "の", "売", "上", "2026"]


def test_signs_that_make_a_syllable_stay_in_their_word():
    assert tokens("हिन्दी में") == ["हिन्दी", "में"]


def test_what_differs_stays_different():
    assert tokens("budget") != tokens("budgets")
    assert tokens("was") != tokens("wäscht")
    assert tokens("!?…") == []
