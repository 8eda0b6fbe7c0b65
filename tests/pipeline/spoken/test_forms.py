"""What is written is said in a few ways, and each letter knows its way back."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.spoken import MOST_FORMS, UNKNOWN, Form, spoken_forms
from pipeline.spoken._language import language, languages


def ways(text: str, code: str = "en") -> list[list[str]]:
    """For each word between spaces, its forms as text."""
    return [[" ".join(form.words) for form in forms] for forms in spoken_forms(text.split(), code)]


def of(word: str, code: str = "en") -> list[str]:
    return ways(word, code)[0]


@pytest.mark.parametrize(
    ("written", "spoken"),
    [
        ("2014", ["twenty fourteen", "two thousand fourteen", "two zero one four", "two oh one four"]),
        ("2005,", ["two thousand five", "two thousand and five", "twenty oh five"]),
        ("747", ["seven hundred forty seven", "seven forty seven", "seven four seven"]),
        ("555-1234", ["five five five one two three four"]),
        ("007", ["zero zero seven", "oh oh seven"]),
        ("1,234", ["one thousand two hundred thirty four", "twelve hundred thirty four"]),
        ("3/4", ["three quarters"]),
        ("3.14", ["three point one four", "three point fourteen"]),
        ("0.5", ["zero point five"]),
        ("$5.20", ["five dollars twenty", "five dollars and twenty cents", "five twenty"]),
        ("€3", ["three euros"]),
        ("$5M", ["five million dollars"]),
        ("5km", ["five kilometers"]),
        ("20°C", ["twenty degrees celsius", "twenty degrees"]),
        ("3%", ["three percent"]),
        ("3:45", ["three forty five"]),
        ("3:00", ["three o'clock", "three"]),
        ("9:05", ["nine oh five"]),
        ("2026-11-26", ["november twenty sixth twenty twenty six", "twenty twenty six eleven twenty six"]),
        ("11/26/2026", ["november twenty sixth twenty twenty six"]),
        ("21st", ["twenty first"]),
        ("1990s", ["nineteen nineties"]),
        ("&", ["and"]),
        ("C++", ["c plus plus"]),
        ("Dr.", ["doctor", "drive"]),
        ("e.g.", ["for example", "e g"]),
        ("U.S.A.", ["u s a"]),
        ("USA", ["u s a", "usa"]),
        ("NASA", ["nasa", "n a s a"]),
        ("PDFs", ["p d f's"]),
        ("GPT-4", ["g p t four"]),
        ("MP3", ["m p three"]),
        ("OpenAI", ["openai", "open a i"]),
        ("e-mail", ["e mail", "email"]),
        ("don’t", ["don't"]),
        ("uh-huh", ["uh huh", "uhhuh"]),
        ("mm", ["mm"]),
        ("sooo", ["sooo", "so"]),
        ("foo@bar.com", ["foo at bar dot com"]),
        ("and/or", ["and slash or", "and or"]),
        ("ﬁne", ["fine"]),
        ("½", ["half", "one half"]),
    ],
)
def test_english(written: str, spoken: list[str]) -> None:
    found = of(written)
    assert [form for form in spoken if form not in found] == []
    assert found[0] == spoken[0] or written in ("2026-11-26", "11/26/2026")


@pytest.mark.parametrize(
    ("code", "written", "spoken"),
    [
        ("de", "1.234,5", "eintausendzweihundertvierunddreißig komma fünf"),
        ("de", "z.B.", "zum beispiel"),
        ("de", "26.11.2026", "sechsundzwanzigsten elften zweitausendsechsundzwanzig"),
        ("fr", "14h30", "quatorze heures trente"),
        ("fr", "1er", "premier"),
        ("fr", "97", "quatre vingt dix sept"),
        ("es", "EE.UU.", "estados unidos"),
        ("es", "21", "veintiuna"),
        ("it", "3,5", "tre virgola cinque"),
        ("pt", "2", "duas"),
        ("nl", "10%", "tien procent"),
        ("pl", "np.", "na przykład"),
        ("ru", "5-й", "пятый"),
        ("ru", "т.е.", "то есть"),
        ("tr", "%50", "yüzde elli"),
        ("sv", "5kg", "fem kilo"),
        ("zh", "2014", "二 零 一 四"),
        ("zh", "10050", "一万零五十"),
        ("zh", "3%", "百分之 三"),
        ("ja", "2014", "二千十四"),
        ("th", "5", "ห้า"),
        ("hi", "१२", "बारह"),
        ("hi", "12,50,021", "बारह लाख पचास हज़ार इक्कीस"),
        ("hi", "₹500", "पाँच सौ रुपये"),
        ("ar", "٥", "خمسة"),
        ("ko", "5", "오"),
    ],
)
def test_other_languages(code: str, written: str, spoken: str) -> None:
    assert spoken in of(written, code)


def test_words_are_read_in_their_context() -> None:
    assert ways("$5 million")[0][0] == "five"
    assert ways("$5 million")[1][0] == "million dollars"
    assert ways("May 5")[1][0] == "fifth"
    assert ways("the 5")[1][0] == "five"
    assert ways("5 mm")[1][0] == "millimeters"
    assert ways("Louis XIV")[1][:2] == ["fourteen", "the fourteenth"]
    assert "five" not in ways("and I")[1]
    assert of("I") == ["i"]


def test_a_sign_that_is_said_in_the_middle_shares_the_number() -> None:
    number, sign = ways("14.30 Uhr", "de")
    assert "vierzehn" in number
    assert sign[0] == "uhr dreißig"
    number, sign = ways("5,20 €", "de")
    assert "fünf" in number
    assert sign[0] == "euro zwanzig"


def test_groups_that_stand_apart_share_the_number() -> None:
    assert [word[0] for word in ways("12 345 678 euros", "fr")] == [
        "douze millions",
        "trois cent quarante cinq mille",
        "six cent soixante dix huit",
        "euros",
    ]
    assert [word[0] for word in ways("10 000", "fr")] == ["dix", "mille"]


def test_capitals_mean_nothing_where_all_is_capitals() -> None:
    assert ways("WE SAW THE USA") == [["we"], ["saw"], ["the"], ["usa"]]


@pytest.mark.parametrize("silent", ["—", "...", "😀", "👩‍👩‍👧", "♪", "\u200b", "!?", "(", "*", "''"])
def test_what_has_no_sound_has_no_form(silent: str) -> None:
    assert spoken_forms([silent], "en") == ((),)


@pytest.mark.parametrize("written", ["5", "12.5%", "$5", "&", "9" * 10_000])
def test_what_cannot_be_spelt_is_unknown(written: str) -> None:
    code = "en" if len(written) > 100 else "xx"
    assert [form.words for form in spoken_forms([written], code)[0]] == [(UNKNOWN,)]


def test_letters_know_the_character_that_they_stand_for() -> None:
    """WhisperX is one character off after "İ", whose lower case is two code points."""
    assert spoken_forms(["İstanbul’da"], "en")[0][0] == Form(("istanbul'da",), tuple(range(11)))
    assert spoken_forms(["ISPARTA"], "tr")[0][0].words == ("ısparta",)
    assert spoken_forms(["„ﬁn"], "de")[0][0] == Form(("fin",), (1, 1, 2))
    assert spoken_forms(["cafe\u0301s"], "fr")[0][0] == Form(("cafés",), (0, 1, 2, 3, 5))
    (form, *_) = spoken_forms(["(2014),"], "en")[0]
    assert form.words == ("twenty", "fourteen")
    assert [form.places.index(place) for place in (1, 2, 3, 4)] == [0, 4, 7, 11]


def test_every_table_of_every_language_can_be_said() -> None:
    assert {"en", "de", "es", "fr", "it", "nl", "pl", "pt", "ru", "tr", "zh", "ja"} <= set(languages())
    for code in languages():
        tongue = language(code)
        for written, said in tongue.abbreviations.items():
            assert {form.words for form in spoken_forms([written], code)[0]} >= set(said), (code, written)
        for sign, said in tongue.symbols.items():
            forms = spoken_forms([f"{sign}7"], code)[0]
            assert any(" ".join(said[0]) in " ".join(form.words) for form in forms), (code, sign)
        for unit in tongue.units:
            found = spoken_forms(["7", unit], code)[1]
            assert found[0].words in tongue.units[unit], (code, unit)
        for sign in tongue.currencies:
            forms = spoken_forms([f"7{sign}"], code)[0]
            assert any(form.words[-1] == tongue.currencies[sign][0][-1] for form in forms), (code, sign)


pieces = st.one_of(
    st.text(max_size=12),
    st.from_regex(r"[$€]?[0-9]{1,7}([.,:/'-][0-9]{1,4}){0,3}[%°kmCsth]{0,3}", fullmatch=True),
    st.sampled_from(
        ["İ", "U.S.", "XIV", "$5", "million", "Uhr", "€", "000", "12", "-", "№", "½", "ﷺ", "e.g."]
    ),
)

codes = st.sampled_from([*languages(), "th", "xx", "ar", "../en"])


def is_said(word: str) -> bool:
    return any(unicodedata.category(character)[:2] in ("Lu", "Ll", "Lo", "Nd") for character in word)


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.lists(pieces, min_size=1, max_size=4).map("".join), max_size=6),
    st.sampled_from([*languages(), "hi", "th", "xx", "ar", "../en"]),
)
def test_no_word_is_lost_and_forms_are_few_and_point_back(words: list[str], code: str) -> None:
    found = spoken_forms(words, code)
    assert len(found) == len(words)
    for word, forms in zip(words, found, strict=True):
        assert len(forms) <= MOST_FORMS
        assert forms or not is_said(word)
        assert len({form.words for form in forms}) == len(forms)
        for form in forms:
            assert form.words
            assert all(spoken and not any(c.isspace() for c in spoken) for spoken in form.words)
            assert len(form.places) == sum(map(len, form.words))
            assert list(form.places) == sorted(form.places)
            assert all(0 <= place < len(word) for place in form.places)


@pytest.mark.parametrize(
    "piece", ["9", "1.", "1,000", "a-", "A", "$", "1:11", "İ", "a'", ".", "1-1-", "e\u0301", "IV"]
)
def test_long_words_are_not_looked_at_closely(piece: str) -> None:
    """The work for a word is bounded: the same for ten thousand pieces as for a hundred thousand."""
    words = [piece * 10_000, piece * 100_000]
    first, second = spoken_forms(words, "en")
    assert [form.words for form in first] == [form.words for form in second]


def test_a_word_is_read_anew_beside_other_words() -> None:
    """Words are remembered; not so what their neighbours make of them."""

    def said(text: str) -> set[str]:
        return {" ".join(form.words) for form in spoken_forms(text.split(), "en")[-1]}

    for _ in range(2):
        assert "inches" not in said("come in")
        assert "inches" in said("5 in")
        assert "million dollars" not in said("a million")
        assert "million dollars" in said("$3 million")
        assert "one" not in said("and I")
        assert "one" in said("Chapter I")
        assert "u s" in said("told US")
        assert "u s" not in said("HE TOLD THE REST OF US")
