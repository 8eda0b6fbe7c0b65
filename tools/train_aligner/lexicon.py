"""Words that spelling rules get wrong, as espeak-ng says them in sentences: common words above all.

The rules are learned from dictionaries, where "les", "un" and "à" are three words among thousands. In running text
every third word is such a one, and it changes with its neighbours: French "les" ends in a z before a vowel.
"""

from __future__ import annotations

import random
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence

from pipeline.align._letters import Phones, pronounced
from tools.synthesis import espeak
from tools.train_aligner import phones, texts
from tools.train_aligner.jobs import ESPEAK

LANGUAGES = tuple(language for language in ESPEAK if language != "zh")  # of which each character has a rule
_MOST = 4  # ways of a word
_SHARE = 0.08  # of a word's occurrences, for a way to be kept
_TIMES = 10  # that a common word is heard between others
_IN_A_SENTENCE = 6
_OTHERS = 4000
_EDGES = "\"'“”„«»().,;:!?…।"


def lexicon(language: str, rules: Mapping[str, Phones]) -> str:
    """The file that :mod:`pipeline.align._pronunciation` reads: words that ``rules`` do not say so."""
    common = texts.common(language)
    read = [*texts.natural(language), *_mixed(common, texts.words(language, _OTHERS))]
    found = _exceptions(read, set(common), ESPEAK[language], rules)
    return "".join(
        f"{word}\t{','.join(' '.join(way) for way in ways)}\n" for word, ways in sorted(found.items())
    )


def _exceptions(
    sentences: Sequence[str], common: Collection[str], voice: str, rules: Mapping[str, Phones]
) -> dict[str, list[Phones]]:
    """All that the voice says often enough for a word; of words that are not common, those it reads twice."""
    heard: dict[str, Counter[Phones]] = defaultdict(Counter)
    for text in sentences:
        for word, said in _said(text, voice):
            heard[word][said] += 1
    found = {}
    for word, counts in heard.items():
        if word not in common and counts.total() == 1:
            continue
        least = _SHARE * counts.total()
        usual = [way for way, count in counts.most_common(_MOST) if count >= least]
        alone = _alone(word, voice) or usual[0]
        ways = [way for way in usual if not _torn(way, alone)] or [alone]
        if ways != [pronounced(rules, word)]:
            found[word] = ways
    return found


def _alone(word: str, voice: str) -> Phones | None:
    """None for a single letter, which is read by its name."""
    said = [] if len(word) == 1 else list(_said(word, voice))
    return said[0][1] if len(said) == 1 else None


def _torn(way: Phones, alone: Phones) -> bool:
    """Whether the word lost its last phone to the word behind it, or has that of the word before it.

    espeak-ng's events come a phone too early where it draws words together ("el" out of "en el" as "n e l").
    """
    return way != alone and (way == alone[:-1] or way[1:] in (alone, alone[:-1]))


def _mixed(common: Sequence[str], others: Sequence[str], seed: int = 4) -> Iterator[str]:
    """Sentences in which every second word is a common one."""
    rng = random.Random(seed)
    order = list(common) * _TIMES
    rng.shuffle(order)
    for first in range(0, len(order), _IN_A_SENTENCE):
        own = order[first : first + _IN_A_SENTENCE]
        yield " ".join(f"{word} {rng.choice(others)}" for word in own) + "."


def _said(text: str, voice: str) -> Iterator[tuple[str, Phones]]:
    """The words of a text in lower case with their phones; none where espeak-ng changes to another language."""
    spoken = espeak.speak(text, voice)
    if any("(" in phone.text for phone in spoken.phones):
        return
    sounds = [phone for phone in spoken.phones if phone.text != "_"]
    for word in spoken.words:
        written = unicodedata.normalize("NFC", word.text.strip(_EDGES).lower())
        names = [sound.text for sound in sounds if word.start - 1e-3 <= sound.start < word.end - 1e-3]
        said = tuple(phone for phone in map(phones.of_espeak, names) if phone)
        if said and all(unicodedata.category(character)[0] in "LM" for character in written):
            yield written, said
