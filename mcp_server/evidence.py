"""What helps to name a speaker: where people say who they are, where they are called, what they say at length."""

from __future__ import annotations

import re
from collections.abc import Iterator

from schemas.transcript import Segment, Transcript

PER_SPEAKER = 6
_LONG_S = 4.0

# "I am …", "this is …", "my name is …" in the languages that meetings are most often held in.
_INTRODUCTIONS = re.compile(
    r"\b(?:i['’]?m|i am|this is|my name(?: is|['’]s)|here is|speaking"
    r"|ich bin|ich hei(?:ß|ss)e|mein name ist|hier (?:ist|spricht)"
    r"|soy|me llamo|mi nombre es|aquí|habla"
    r"|je suis|je m['’]appelle|mon nom est|c['’]est"
    r"|sono|mi chiamo|il mio nome è"
    r"|sou|meu nome é|me chamo"
    r"|ik ben|mijn naam is|ik heet"
    r"|jestem|nazywam się|mam na imię"
    r"|меня зовут|jag heter|jag är)\b",
    re.IGNORECASE,
)
# A capital inside a sentence, or a word set apart by a comma: most likely a name.
_CALLED = re.compile(r"(?<=[\w,;:–-] )[A-ZÀ-ÖØ-ÞА-ЯΑ-Ω][\w’'-]{2,}|^\w+ [A-ZÀ-ÖØ-Þ][\w’'-]{2,}[.!?]?$")


def lines_of(transcript: Transcript, label: str) -> list[Segment]:
    """A few segments that tell most about a speaker, in the recording's order.

    Introductions of their own; what is said just before and after them by others, where a name may fall; and
    their longest one.
    """
    own = [segment for segment in transcript.segments if segment.speaker == label]
    if not own:
        return []
    chosen: dict[int, Segment] = {}
    for segment in (*_introductions(own), *_around(transcript, label), *_longest(own), own[0]):
        if len(chosen) >= PER_SPEAKER:
            break
        chosen.setdefault(segment.id, segment)
    return [chosen[number] for number in sorted(chosen)]


def _introductions(own: list[Segment]) -> list[Segment]:
    return [segment for segment in own if _INTRODUCTIONS.search(segment.text)][:2]


def _around(transcript: Transcript, label: str) -> Iterator[Segment]:
    """Lines of others beside this speaker's that seem to hold a name: who is called often answers."""
    given = 0
    segments = transcript.segments
    for number, segment in enumerate(segments):
        if segment.speaker == label or given >= 3 or not _CALLED.search(segment.text.strip()):
            continue
        beside = segments[max(0, number - 1) : number + 2]
        if any(other.speaker == label for other in beside):
            given += 1
            yield segment


def _longest(own: list[Segment]) -> list[Segment]:
    long = sorted(own, key=lambda segment: segment.end - segment.start, reverse=True)[:1]
    return [segment for segment in long if segment.end - segment.start >= _LONG_S]
