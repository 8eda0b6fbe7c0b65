"""Words in NIST's CTM form, for scoring tools: recording, channel, start, duration, word, confidence."""

from __future__ import annotations

from pathlib import PurePath

from schemas.transcript import Transcript

EXTENSION = "ctm"


def write(transcript: Transcript) -> str:
    """A line per word that has a time, in order of time. Blanks within names and words become underscores.

    The form is that of sclite (NIST SCTK, ``doc/infmts.htm``).
    """
    path = transcript.media.path
    name = _one(PurePath(path).stem) if path else "recording"
    words = (word for word in transcript.words if word.start is not None and word.end is not None)
    return "".join(
        f"{name} 1 {word.start:.3f} {word.end - word.start:.3f} {_one(word.word)}"
        + (f" {word.score:.3f}\n" if word.score is not None else "\n")
        for word in sorted(words, key=lambda word: (word.start, word.end))
    )


def _one(text: str) -> str:
    return "_".join(text.split()) or "_"
