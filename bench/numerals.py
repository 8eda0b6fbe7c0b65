"""What do spoken alternatives bring? Word times of numerals, signs and abbreviations, and of their neighbours.

    python bench/numerals.py [--backend encoder_head] [--device cpu] [--languages en de es fr]

Sentences are synthesised as they are said, by flite and espeak-ng, with exact word times, and aligned as they are
written, three times: with the alternatives of ``pipeline.spoken``, with a wildcard for whatever is not letters
(what WhisperX does), and with the words as said, which no transcript has: the bound. Errors are absolute,
beginnings and ends together, in milliseconds.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from unittest.mock import patch

import numpy as np

sys.path.insert(0, str(Path(__file__).parent.parent))

from pipeline.align import align_segments
from pipeline.backends import load
from pipeline.plan import Choice
from pipeline.recording import Recording
from pipeline.spoken import UNKNOWN, Form, spoken_forms
from schemas.options import AlignOptions, Options
from schemas.transcript import Segment
from tools.synthesis import Spoken, espeak, flite

# What is written | what is said, between braces; elsewhere both are the same.
SENTENCES = {
    "en": """
In {2014|twenty fourteen} we sold {1,250|twelve hundred fifty} units to the new client.
The total is {$5.20|five dollars and twenty cents} for each of the boxes over there.
He was born in {1987|nineteen eighty seven} and moved to town in {2005|two thousand five} again.
Call me at {3:45|three forty five} or send it by {9:05|nine oh five} tomorrow morning.
It grew by {12%|twelve percent} while costs fell by {3.5%|three point five percent} last year.
We drove {250|two hundred fifty} {km|kilometers} at {80|eighty} {km/h|kilometers per hour} without a stop.
Meet {Dr.|doctor} Brown on the {21st|twenty first} of May at the old house.
The new {GPT-4|g p t four} model is better than the one from the {USA|u s a} so far.
Flight {747|seven forty seven} leaves from gate {12|twelve} at {6:30|six thirty} in the evening.
My number is {555-1234|five five five one two three four} and please call before noon.
They raised {$5|five} {million|million dollars} for the project {&|and} spent it all.
About {1/2|one half} of them came {@|at} noon {etc.|et cetera} as we had planned.
Louis {XIV|the fourteenth} was king for {72|seventy two} years and then he died.
It is {-5|minus five} degrees outside and {20°C|twenty degrees} in the kitchen right now.
The {1990s|nineteen nineties} were good but {2020|twenty twenty} was not a good year.
Room {101|one oh one} has {24|twenty four} chairs and {3|three} tables for the guests.
""",
    "de": """
Im Jahr {2014|zweitausendvierzehn} kamen {1.250|eintausendzweihundertfünfzig} Menschen in die Stadt.
Das kostet {5,20|fünf} {€|Euro zwanzig} und das andere {3|drei} {€|Euro} im Laden.
Wir sehen uns um {14.30|vierzehn} {Uhr|Uhr dreißig} am Bahnhof in der Stadt.
Der Umsatz stieg um {12%|zwölf Prozent} und fiel dann um {3,5%|drei Komma fünf Prozent} wieder.
Herr {Dr.|Doktor} Braun wohnt {ca.|circa} {25|fünfundzwanzig} {km|Kilometer} von hier entfernt.
""",
    "es": """
En {2014|dos mil catorce} vendimos {1.250|mil doscientos cincuenta} libros en la ciudad.
El {Sr.|señor} López pagó {5|cinco} {€|euros} por la comida de ayer.
La reunión es a las {14:30|catorce y treinta} en la sala {12|doce} del edificio.
Los precios subieron un {12%|doce por ciento} en los {EE.UU.|estados unidos} este año.
Son {25|veinticinco} {km|kilómetros} hasta la casa de mi hermana mayor.
""",
    "fr": """
En {2014|deux mille quatorze} nous avons vendu {1250|mille deux cent cinquante} livres en ville.
Le train part à {14h30|quatorze heures trente} de la gare du nord demain.
Les prix ont monté de {12%|douze pour cent} depuis le {1er|premier} mai de cette année.
{M.|monsieur} Dupont habite à {25|vingt cinq} {km|kilomètres} de la grande maison.
Il a payé {97|quatre vingt dix sept} {€|euros} pour le repas du soir.
""",
}
VOICES = {"de": ("de", "de+f2"), "es": ("es", "es+f2"), "fr": ("fr", "fr+f2")}
_PART = re.compile(r"\{([^|}]*)\|([^}]*)\}(\S*)|(\S+)")


@dataclass(frozen=True)
class Written:
    """A written word and how many spoken words it stands for; ``plain``: it is said as it is written."""

    text: str
    said: tuple[str, ...]

    @property
    def plain(self) -> bool:
        return self.said == (self.text,)


def sentence(line: str) -> list[Written]:
    """The words of a line of :data:`SENTENCES`."""
    words = []
    for match in _PART.finditer(line):
        text, said, tail, plain = match.groups()
        words.append(Written(plain, (plain,)) if plain else Written(text + tail, tuple(said.split())))
    return words


def spoken(language: str, text: str) -> Iterator[Spoken]:
    """The text by every voice of the language."""
    if language == "en":
        yield from (flite.speak(text, voice) for voice in ("awb", "rms", "slt", "kal16"))
    yield from (espeak.speak(text, voice) for voice in VOICES.get(language, ("en-us", "en-gb-x-rp+f3")))


def wildcards(words: Sequence[str], language: str) -> tuple[tuple[Form, ...], ...]:
    """The letters that stand there, and a wildcard for every run of digits and signs, as WhisperX has it."""
    found = []
    for word, forms in zip(words, spoken_forms(words, language), strict=True):
        text = "".join(
            c.lower() if c.isalpha() else UNKNOWN if c.isdigit() or c in "$€%&@°" else " " for c in word
        )
        pieces = tuple(re.sub(rf"[{UNKNOWN}]+", UNKNOWN, text).split())
        places = tuple(range(sum(map(len, pieces))))
        found.append((Form(pieces, places),) if forms and pieces else ())
    return tuple(found)


def as_said(words: Sequence[Written]) -> dict[str, tuple[Form, ...]]:
    return {w.text: (Form(tuple(map(str.lower, w.said)), (0,) * len("".join(w.said))),) for w in words}


def truth(words: Sequence[Written], heard: Spoken) -> list[tuple[float, float]] | None:
    """The time of each written word; none where the synthesiser said other words."""
    units = iter(heard.words)
    if sum(len(word.said) for word in words) != len(heard.words):
        return None
    spans = []
    for word in words:
        own = [next(units) for _ in word.said]
        spans.append((own[0].start, own[-1].end))
    return spans


def errors(
    aligner, language: str, words: Sequence[Written], heard: Spoken, spans, forms
) -> tuple[list, list]:
    """Errors of what is not said as written, and of the neighbours' boundaries on its side; in seconds."""
    recording = Recording.from_array(heard.samples)
    whole = Segment(start=0.0, end=heard.duration_s, text=" ".join(word.text for word in words))
    with ExitStack() as stack:
        for module in ("pipeline.align._pronunciation", "pipeline.align._ctc"):
            if forms is not None and module in sys.modules:
                stack.enter_context(patch(f"{module}.spoken_forms", forms))
        (found,), _ = align_segments(
            aligner, recording, [whole], language, options=AlignOptions(), progress=lambda _fraction: None
        )
    own, beside = [], []
    for n, (word, placed, (start, end)) in enumerate(zip(words, found.words, spans, strict=True)):
        if not word.plain:
            own += [abs(placed.start - start), abs(placed.end - end)]
            continue
        if n and not words[n - 1].plain:
            beside.append(abs(placed.start - start))
        if n + 1 < len(words) and not words[n + 1].plain:
            beside.append(abs(placed.end - end))
    return own, beside


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--backend", default="encoder_head")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--align-model")
    parser.add_argument("--languages", nargs="+", default=list(SENTENCES), choices=list(SENTENCES))
    args = parser.parse_args()
    aligner = load("align", Choice(args.backend, args.device, args.align_model), Options())
    print(f"{args.backend} on {args.device}; median / mean / share within 50 ms")
    print("| language | words | aligned with | expressions | neighbours |")
    print("|---|---|---|---|---|")
    for language in args.languages:
        sums: dict[str, tuple[list, list]] = {
            name: ([], []) for name in ("wildcard", "alternatives", "as said")
        }
        for line in SENTENCES[language].strip().splitlines():
            words = sentence(line)
            said = as_said(words)
            for heard in spoken(language, " ".join(part for word in words for part in word.said)):
                spans = truth(words, heard)
                if spans is None:
                    continue
                ways = {
                    "wildcard": wildcards,
                    "alternatives": None,
                    "as said": lambda texts, _code, said=said: tuple(said[text] for text in texts),
                }
                for name, forms in ways.items():
                    own, beside = errors(aligner, language, words, heard, spans, forms)
                    sums[name][0].extend(own)
                    sums[name][1].extend(beside)
        for name, (own, beside) in sums.items():
            print(
                f"| {language} | {len(own) // 2} | {name} | {figures(own)} | {figures(beside)} |", flush=True
            )


def figures(seconds: Sequence[float]) -> str:
    ms = np.array(seconds) * 1000
    return f"{np.median(ms):.0f} / {ms.mean():.0f} / {(ms <= 50).mean():.0%}" if len(ms) else "-"


if __name__ == "__main__":
    main()
