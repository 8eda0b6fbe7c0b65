"""Guards against text that nobody said, by its structure and never by a list of phrases.

Loops are cut, copies of the prompt and text over silence are left out, characters that cannot be heard are
stripped, times are put in order. What people do repeat ("no, no, no") stays.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from pipeline.vad import Chunk
from schemas.report import Warning_
from schemas.transcript import Segment

SHORTEST_S = 0.02

_LOOP_TIMES = 8  # the same phrase so often in a row
_LOOP_WORDS = 16  # or fewer times, at least three, but that many words in all
_LOOP_PHRASE = 24  # longest phrase that is looked for, in words
_ECHO_WORDS = 3  # shorter copies of a prompt may well have been said
_TOUCHES_S = 0.5  # Whisper's timestamps are no better than that

_WORDS = re.compile(r"[^\s\-–—…,.;:!?¡¿。、，！？؟।]+")
# Scripts without spaces are compared by character: Thai, Lao, Burmese, Khmer, kana, Han.
_SINGLE = re.compile(r"[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]")
_STUTTER = re.compile(r"([^\d\s]{1,6}?)\1{9,}")  # inside a word: "aaaaaaaaaaaa", "!!!!!!!!!!!!"
# Joiners belong to the spelling of words in Arabic and Indic scripts.
_JOINED = "[\u0600-\u08ff\u0900-\u0dff\u1000-\u109f\u1780-\u17ff]"
_STRAY_JOINER = re.compile(f"(?<!{_JOINED})[\u200c\u200d]|[\u200c\u200d](?!{_JOINED})")
_JOINERS = "\u200c\u200d"
_BROKEN = "\ufffd"

_LOOP = "Text that repeated itself over and over was cut to one copy."
_ECHO = "A copy of the prompt or the vocabulary was left out."
_SILENCE = "Text over silence was left out."


@dataclass(frozen=True)
class _Token:
    """A word, or a character of a script without spaces: folded for comparison, and where it stands."""

    folded: str
    start: int
    end: int


def guarded(
    segments: Sequence[Segment], chunk: Chunk, *, prompts: Sequence[str] = ()
) -> tuple[list[Segment], list[Warning_]]:
    """The segments of a chunk (in order, times in seconds of the recording) that can be believed.

    ``prompts`` are the texts that the model was given beforehand.
    """
    kept: list[Segment] = []
    counts = dict.fromkeys((_LOOP, _ECHO, _SILENCE), 0)
    for segment in segments:
        text, looped = without_loops(clean(segment.text))
        counts[_LOOP] += looped
        if not _tokens(text):
            continue
        if any(_is_copy(text, prompt) for prompt in (*prompts, " ".join(prompts))):
            counts[_ECHO] += 1
        elif not _touches_speech(segment, chunk):
            counts[_SILENCE] += 1
        else:
            kept.append(segment.model_copy(update={"text": text}))
    kept, looped = _without_repeated_segments(kept)
    counts[_LOOP] += looped
    warnings = [
        Warning_(code="hallucination_removed", message=message, count=count)
        for message, count in counts.items()
        if count
    ]
    return _in_order(kept, chunk), warnings


def clean(text: str) -> str:
    """Without control, zero-width, bidirectional, private and broken characters; white space made single."""
    text = _STRAY_JOINER.sub("", text).replace(_BROKEN, "")
    spaced = (" " if c.isspace() else c for c in text)
    return " ".join("".join(c for c in spaced if c in _JOINERS or unicodedata.category(c)[0] != "C").split())


def without_loops(text: str) -> tuple[str, bool]:
    """The text with what follows itself too often cut to one copy, and whether there was any."""
    text, stutters = _STUTTER.subn(r"\1", text)
    tokens = _tokens(text)
    pieces: list[str] = []
    done = position = 0
    while position < len(tokens):
        length, times = _run(tokens, position)
        if not _is_loop(length, times):
            position += 1
            continue
        behind = position + length * times
        pieces.append(text[done : tokens[position + length - 1].end])
        done = tokens[behind - 1].end
        position = behind
    return "".join(pieces) + text[done:], bool(pieces or stutters)


@lru_cache(256)  # a segment is looked at several times over
def _tokens(text: str) -> tuple[_Token, ...]:
    found: list[_Token] = []
    for match in _WORDS.finditer(text):
        word, at = match.group(), match.start()
        if _SINGLE.search(word):
            found += [_Token(c.casefold(), at + i, at + i + 1) for i, c in enumerate(word) if _is_heard(c)]
        elif any(_is_heard(c) for c in word):
            found.append(_Token("".join(c for c in word.casefold() if _is_heard(c)), at, match.end()))
    return tuple(found)


@lru_cache(4096)
def _is_heard(character: str) -> bool:
    """Letters, marks on them and digits."""
    return unicodedata.category(character)[0] in "LMN"


def _run(tokens: Sequence[_Token], first: int) -> tuple[int, int]:
    """The phrase from ``first`` on that repeats itself over most words: its length, and how often it stands."""
    words = [token.folded for token in tokens[first:]]
    best = (1, 1)
    for length in range(1, min(_LOOP_PHRASE, len(words) // 2) + 1):
        times = 1
        while words[:length] == words[times * length : (times + 1) * length]:
            times += 1
        if _is_loop(length, times) and length * times > best[0] * best[1]:
            best = (length, times)
    return best


def _is_loop(length: int, times: int) -> bool:
    return times >= _LOOP_TIMES or (times >= 3 and length * times >= _LOOP_WORDS)


def _without_repeated_segments(segments: Sequence[Segment]) -> tuple[list[Segment], int]:
    """Loops that timestamps cut into segments: the first of each run of equal ones, and the number of runs."""
    kept: list[Segment] = []
    loops = position = 0
    while position < len(segments):
        words = [token.folded for token in _tokens(segments[position].text)]
        behind = position + 1
        while behind < len(segments) and [t.folded for t in _tokens(segments[behind].text)] == words:
            behind += 1
        looped = _is_loop(len(words), behind - position)
        kept += segments[position : position + 1] if looped else segments[position:behind]
        loops += looped
        position = behind
    return kept, loops


def _is_copy(text: str, prompt: str) -> bool:
    """The text is the whole prompt, and long enough not to be a coincidence."""
    said = [token.folded for token in _tokens(text)]
    return len(said) >= _ECHO_WORDS and said == [token.folded for token in _tokens(prompt)]


def _touches_speech(segment: Segment, chunk: Chunk) -> bool:
    if not chunk.regions:
        return True
    return any(
        min(segment.end, region.end) - max(segment.start, region.start) > -_TOUCHES_S
        for region in chunk.regions
    )


def _in_order(segments: Sequence[Segment], chunk: Chunk) -> list[Segment]:
    """Times inside the chunk, each start at or behind the one before, each end behind its start."""
    placed: list[Segment] = []
    reached = chunk.start
    for segment in segments:
        start = min(max(segment.start, reached), max(chunk.start, chunk.end - SHORTEST_S))
        end = max(min(segment.end, chunk.end), start + SHORTEST_S)
        placed.append(segment.model_copy(update={"start": round(start, 3), "end": round(end, 3)}))
        reached = start
    return placed
