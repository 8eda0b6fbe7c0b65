"""Minutes in Markdown: what the recording is, who spoke how long, then who said what under speakers and times."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import groupby
from pathlib import PurePath

from pipeline.writers.text import clock
from schemas.transcript import Segment, Transcript

EXTENSION = "md"
_NEW_PARAGRAPH_S = 2.0  # a pause of the same speaker


def write(transcript: Transcript) -> str:
    """A heading per speaker's turn with the time at which it begins, a paragraph per stretch without pauses."""
    return "\n\n".join([*_head(transcript), *_body(transcript)]) + "\n"


def _head(transcript: Transcript) -> Iterator[str]:
    path = transcript.media.path
    yield f"# {_plain(PurePath(path).stem) if path else 'Transcript'}"
    facts = [clock(transcript.media.duration_s)]
    if transcript.language:
        facts.append(f"language {transcript.language}")
    if transcript.task == "translate":
        facts.append("translated to English")
    yield " · ".join(facts)
    if transcript.speakers:
        rows = (f"| {_plain(s.name or s.id)} | {clock(s.speech_s)} |" for s in transcript.speakers)
        yield "\n".join(["| Speaker | Speaks for |", "|---|---|", *rows])


def _body(transcript: Transcript) -> Iterator[str]:
    for _, group in groupby(transcript.segments, key=lambda segment: segment.speaker):
        segments = list(group)
        speaker = segments[0].speaker_name or segments[0].speaker
        begin = clock(segments[0].start)
        yield f"### {_plain(speaker)} · {begin}" if speaker else f"### {begin}"
        yield from _paragraphs(segments)


def _paragraphs(segments: list[Segment]) -> Iterator[str]:
    paragraph: list[str] = []
    last_end = segments[0].start
    for segment in segments:
        if paragraph and segment.start - last_end > _NEW_PARAGRAPH_S:
            yield " ".join(paragraph)
            paragraph = []
        paragraph.append(_plain(" ".join(segment.text.split())))
        last_end = segment.end
    yield " ".join(paragraph)


def _plain(said: str) -> str:
    """Without meaning to Markdown or HTML: speech must not become a link, a heading or a tag."""
    said = re.sub(r"([\\`*_\[\]<>|#])", r"\\\1", said)
    return re.sub(r"^(\d+)([.)])|^([-+])", lambda m: f"{m[1]}\\{m[2]}" if m[1] else f"\\{m[3]}", said)
