"""Words as search compares them: letters alike whatever their case, form, accents and punctuation."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator

# Scripts written without spaces, and Korean, whose particles cling: each character is a word of its own.
_UNSPACED = re.compile(
    "[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af\uf900-\ufaff\uff66-\uff9f"
    "\U00020000-\U0003ffff]"
)
_ACCENTS = re.compile("[\u0300-\u036f\u0591-\u05bd\u05bf\u05c1\u05c2\u05c4\u05c5\u064b-\u065f\u0670\u0640]")
_INSIDE = re.compile("(?<=\\w)['\u2019\u02bc](?=\\w)")


def folded(text: str) -> str:
    """Compatibility forms, case and accents made equal: ``Straße`` and ``STRASSE``, ``café`` and ``cafe``."""
    open_form = unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", text).casefold())
    bare = _ACCENTS.sub("", open_form)
    return unicodedata.normalize("NFC", _INSIDE.sub("", bare))


def tokens(text: str) -> list[str]:
    """The words of a text, folded; punctuation is none. Apostrophes inside words are left out: ``dont``."""
    return list(_tokens(folded(text)))


def _tokens(text: str) -> Iterator[str]:
    word = ""
    for character in text:
        if _UNSPACED.match(character) and _is_letter(character):
            if word:
                yield word
            yield character
            word = ""
        elif _is_letter(character):
            word += character
        elif word:
            yield word
            word = ""
    if word:
        yield word


def _is_letter(character: str) -> bool:
    return unicodedata.category(character)[0] in "LNM"
