"""The languages that Whisper knows, by code and by name.

The table is that of ``whisper/tokenizer.py`` (OpenAI, MIT): its order is the order of the language tokens.
"""

from __future__ import annotations

from difflib import get_close_matches
from types import MappingProxyType

from schemas.errors import InvalidArgument

_NAMES = """
en english, zh chinese, de german, es spanish, ru russian, ko korean, fr french, ja japanese, pt portuguese,
tr turkish, pl polish, ca catalan, nl dutch, ar arabic, sv swedish, it italian, id indonesian, hi hindi,
fi finnish, vi vietnamese, he hebrew, uk ukrainian, el greek, ms malay, cs czech, ro romanian, da danish,
hu hungarian, ta tamil, no norwegian, th thai, ur urdu, hr croatian, bg bulgarian, lt lithuanian, la latin,
mi maori, ml malayalam, cy welsh, sk slovak, te telugu, fa persian, lv latvian, bn bengali, sr serbian,
az azerbaijani, sl slovenian, kn kannada, et estonian, mk macedonian, br breton, eu basque, is icelandic,
hy armenian, ne nepali, mn mongolian, bs bosnian, kk kazakh, sq albanian, sw swahili, gl galician, mr marathi,
pa punjabi, si sinhala, km khmer, sn shona, yo yoruba, so somali, af afrikaans, oc occitan, ka georgian,
be belarusian, tg tajik, sd sindhi, gu gujarati, am amharic, yi yiddish, lo lao, uz uzbek, fo faroese,
ht haitian creole, ps pashto, tk turkmen, nn nynorsk, mt maltese, sa sanskrit, lb luxembourgish, my myanmar,
bo tibetan, tl tagalog, mg malagasy, as assamese, tt tatar, haw hawaiian, ln lingala, ha hausa, ba bashkir,
jw javanese, su sundanese, yue cantonese
"""
_OTHER_NAMES = {
    "burmese": "my",
    "castilian": "es",
    "farsi": "fa",
    "flemish": "nl",
    "haitian": "ht",
    "iw": "he",
    "jv": "jw",
    "letzeburgesch": "lb",
    "mandarin": "zh",
    "moldavian": "ro",
    "moldovan": "ro",
    "nb": "no",
    "panjabi": "pa",
    "pushto": "ps",
    "sinhalese": "si",
    "valencian": "ca",
}

LANGUAGES = MappingProxyType(
    dict(entry.strip().split(" ", 1) for entry in _NAMES.replace("\n", " ").split(","))
)
"""Code to English name, in the order of Whisper's language tokens."""

WITHOUT_SPACES = frozenset({"zh", "ja", "th", "lo", "my", "km", "bo", "yue"})
"""Languages whose words are not separated by spaces."""


def normalise(language: str) -> str:
    """Whisper's code for a code (``en``), a tag (``pt-BR``) or an English name (``Portuguese``).

    Raises :class:`schemas.errors.InvalidArgument` that names the nearest spellings for anything else.
    """
    wanted = language.strip().lower().replace("_", "-")
    names = {**{name: code for code, name in LANGUAGES.items()}, **_OTHER_NAMES}
    for candidate in (wanted, wanted.split("-")[0]):
        if candidate in LANGUAGES:
            return candidate
        if candidate in names:
            return names[candidate]
    near = get_close_matches(wanted, [*names, *LANGUAGES], n=3, cutoff=0.6)
    hint = (
        f"did you mean {', '.join(near)}?" if near else "give a code such as en, de, zh, or an English name"
    )
    raise InvalidArgument(f"Whisper does not know the language {language!r}", hint=hint)
