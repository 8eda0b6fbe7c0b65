"""One set of phones out of what synthesisers call them."""

from __future__ import annotations

import re
import unicodedata

PAUSE = "pau"
_PHONES = (
    "aa ae ah ao aw ay b ch d dh eh er ey f g hh ih iy jh k l m n ng ow oy p r s sh t th uh uw v w y z zh"
)
ARPABET = frozenset(_PHONES.split())
_FLITE = {"ax": "ah", "axr": "er", "h#": PAUSE, "brth": PAUSE, "pau": PAUSE}
_IPA = "ɐ ə ʌ ɚ ɜ o oʊ aɪ aʊ ɔɪ eɪ i ɪ ᵻ ʊ u ɛ æ ɑ ɔ b tʃ d ð f ɡ h dʒ k l ɫ m n ŋ p ɹ s ʃ t ɾ ʔ θ v w j z ʒ"
_CMU = (
    "ah ah ah er er ow ow ay aw oy ey iy ih ih uh uw eh ae aa ao "
    "b ch d dh f g hh jh k l l m n ng p r s sh t t t th v w y z zh"
)
_TO_ARPABET = dict(zip(_IPA.split(), _CMU.split(), strict=True))
_NO_SOUND = re.compile("[ˈˌːˑʲˤʰ.ˀ’'0-9˥˦˧˨˩-]")


def of_flite(name: str) -> str | None:
    """CMU's name; none where a frame's phone is not certain."""
    name = _FLITE.get(name, name)
    return name if name == PAUSE or name in ARPABET else None


def of_espeak(name: str) -> str | None:
    """IPA without stress, length, tone and palatalisation; none for what is no phone."""
    plain = unicodedata.normalize("NFD", _NO_SOUND.sub("", name))
    plain = "".join(c for c in plain if not unicodedata.combining(c) or c == "\u0303")
    plain = plain.rstrip("ɜ") or plain  # a tone of espeak-ng's Mandarin
    return plain if plain and plain.isprintable() and "(" not in plain else None


def english_of_espeak(name: str) -> str | None:
    """CMU's name for espeak-ng's American English."""
    return _TO_ARPABET.get(of_espeak(name) or "")
