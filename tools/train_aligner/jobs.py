"""Which voice reads what: the recipe, with its held-out voices."""

from __future__ import annotations

import random
from collections.abc import Sequence

from tools.train_aligner.corpus import Job

FLITE = ("slt", "awb", "kal16")
FLITE_HELD_OUT = ("rms",)
VARIANTS = ("f1", "f2", "f3", "f4", "m1", "m2", "m3", "m4", "m5", "m6", "m7", "linda", "michael", "steph")
VARIANTS_HELD_OUT = ("f5", "m8", "edward")
ESPEAK = {
    "es": "es",
    "fr": "fr",
    "de": "de",
    "it": "it",
    "pt": "pt-BR",
    "nl": "nl",
    "pl": "pl",
    "ru": "ru",
    "tr": "tr",
    "hi": "hi",
    "zh": "cmn-Latn-pinyin",
}
_SPEEDS = (0.75, 0.9, 1.0, 1.15, 1.35)
_HELD_OUT = 60  # the last sentences of each language are kept from training


def english(texts: Sequence[str], count: int) -> list[Job]:
    """Every voice of flite's at every speed, and espeak-ng's variants; ``count`` sentences each."""
    rng = random.Random(2)
    jobs = [
        Job("flite", voice, speed, 50, _some(texts, count, rng), 100 + number)
        for number, (voice, speed) in enumerate((v, s) for v in FLITE for s in _SPEEDS)
    ]
    return jobs + _variants("en-us", texts, count // 2, rng, 200)


def english_held_out(texts: Sequence[str]) -> list[Job]:
    """Voices and sentences that the training does not hear."""
    return [Job("flite", voice, 1.0, 50, tuple(texts[-_HELD_OUT:]), 900) for voice in FLITE_HELD_OUT]


def others(texts: dict[str, Sequence[str]], count: int) -> list[Job]:
    """espeak-ng's variants in every language; ``count`` sentences each."""
    rng = random.Random(3)
    jobs = []
    for number, (language, voice) in enumerate(ESPEAK.items()):
        jobs += _variants(voice, texts[language], count, rng, 1000 + 100 * number)
    return jobs


def others_held_out(texts: dict[str, Sequence[str]], language: str) -> list[Job]:
    """Variants and sentences that the training does not hear."""
    chosen = texts[language][-_HELD_OUT:]
    part = len(chosen) // len(VARIANTS_HELD_OUT)
    return [
        Job("espeak", f"{ESPEAK[language]}+{variant}", 1.0, 50, tuple(chosen[i * part : (i + 1) * part]), i)
        for i, variant in enumerate(VARIANTS_HELD_OUT)
    ]


def _variants(voice: str, texts: Sequence[str], count: int, rng: random.Random, seed: int) -> list[Job]:
    return [
        Job(
            "espeak",
            f"{voice}+{variant}",
            rng.choice(_SPEEDS),
            rng.randint(30, 70),
            _some(texts, count, rng),
            seed + number,
        )
        for number, variant in enumerate(VARIANTS)
    ]


def _some(texts: Sequence[str], count: int, rng: random.Random) -> tuple[str, ...]:
    return tuple(rng.sample(texts[:-_HELD_OUT], min(count, len(texts) - _HELD_OUT)))
