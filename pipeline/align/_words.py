"""A segment's text as words: what stands between spaces; characters where a script is written without spaces."""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

from schemas.transcript import Segment, Word

# Han, kana, Thai, Lao, Burmese, Khmer. (Korean and Tibetan mark their words.) WhisperX takes single characters
# as words for ja and zh; here the script decides, so that "OpenAI" in a Chinese sentence stays one word.
_UNSPACED = re.compile(
    "[\u3005-\u3007\u3040-\u30ff\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\uff66-\uff9f"
    "\U00020000-\U0003ffff\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff]"
)


def split_words(text: str) -> tuple[str, ...]:
    """The words of ``text``, punctuation attached; together they are the text without its spaces."""
    return tuple(word for token in text.split() for word in _split_token(token))


def words_of(segment: Segment) -> tuple[Word, ...]:
    """The segment's words: its own where they spell its text, else the words of the text."""
    own = own_words(segment)
    return own or tuple(Word(word=word, speaker=segment.speaker) for word in split_words(segment.text))


def own_words(segment: Segment) -> tuple[Word, ...]:
    """The words that the segment has, where they spell its text."""
    own = tuple(word for word in segment.words if word.word.strip())
    if not own or _letters(segment.text) != "".join(_letters(word.word) for word in own):
        return ()
    return tuple(word.model_copy(update={"word": word.word.strip()}) for word in own)


def is_unspaced(character: str) -> bool:
    """Whether the character belongs to a script that is written without spaces between words."""
    return _UNSPACED.match(character) is not None


def written_together(before: str, after: str) -> bool:
    """Whether two neighbouring words stand in their text without a space between them, as in Chinese."""
    last = next((character for character in reversed(before) if character.isalnum()), " ")
    first = next((character for character in after if character.isalnum()), " ")
    return is_unspaced(last) and is_unspaced(first)


@lru_cache(maxsize=4096)
def spoken_units(word: str) -> int:
    """Roughly how long a word takes to say, in letters: a digit counts four, a spelt capital three, …"""
    core = word.strip(".,?!")
    if core.isascii() and core.isalpha() and core != core.upper():
        return len(core)  # nearly every word: what follows comes to the same
    capitals = sum(character.isupper() for character in word)
    return sum(_units(character, spelt=capitals > 1 and word.upper() == word) for character in word)


def _units(character: str, *, spelt: bool) -> int:
    category = unicodedata.category(character)
    if category.startswith("N") or category in ("Sc", "Sm") or character in "%&@°":
        return 4
    if category.startswith("L"):
        return 3 if is_unspaced(character) or (spelt and character.isupper()) else 1
    return 0


def _letters(text: str) -> str:
    return "".join(text.split())


def _split_token(token: str) -> list[str]:
    if not _UNSPACED.search(token):
        return [token]
    words: list[str] = []
    for character in token:
        if words and not _begins_word(words[-1], character):
            words[-1] += character
        else:
            words.append(character)
    return words


def _begins_word(last: str, character: str) -> bool:
    """Whether ``character`` begins a word after the word ``last``, which may still wait for its first letter."""
    opening = unicodedata.category(character) in ("Ps", "Pi")
    if not any(c.isalnum() for c in last):
        return False
    if opening or is_unspaced(character):
        return opening or unicodedata.category(character)[0] not in "MP"
    return character.isalnum() and _UNSPACED.search(last) is not None
