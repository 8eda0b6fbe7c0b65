"""JSON: WhisperX's, this product's, OpenAI's (``json``, ``verbose_json``), whisper.cpp's, a list of segments.

The first two are :mod:`schemas.whisperx`'s. What OpenAI's API adds: the language by its English name, words at the
top level, without the punctuation that the text has, and answers that are a text alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pipeline.asr._languages import normalise
from pipeline.readers import txt
from pipeline.readers._build import by_pauses, transcript
from schemas.errors import InvalidArgument, InvalidTranscript
from schemas.transcript import Transcript
from schemas.whisperx import from_whisperx, parse_json


def is_like(head: str) -> bool:
    """Whether a text begins as this format does."""
    begin = head.lstrip()[:200]
    return begin.startswith("{") or (begin.startswith("[") and begin[1:].lstrip()[:1] in ("{", "]"))


def read(text: str) -> Transcript:
    """Raises :class:`schemas.errors.InvalidTranscript`, which names the line, or the place in the JSON."""
    data = parse_json(text)
    if not isinstance(data, Mapping):
        return from_whisperx(data)
    if "transcription" in data and "segments" not in data:
        return _of_whisper_cpp(data)
    data = {**data, **_language(data)}
    words = data.get("words")
    if isinstance(words, Sequence) and words and not isinstance(words, str):
        return _of_openai(data, words)
    if data.get("segments") is None and isinstance(data.get("text"), str):
        found = txt.read(data["text"])
        return found.model_copy(update={"language": data.get("language")})
    return from_whisperx(data)


def _language(data: Mapping[str, Any]) -> dict[str, Any]:
    """The language's code; one that Whisper does not know is left as it is."""
    name = data.get("language")
    try:
        return {"language": normalise(name)} if isinstance(name, str) else {}
    except InvalidArgument:
        return {}


def _of_openai(data: Mapping[str, Any], words: Sequence[Any]) -> Transcript:
    """Words at the top level, given to the segments that they lie in, or made into segments."""
    checked = from_whisperx([{"start": 0, "end": 0, "text": "", "words": words[:20_000]}, *_rest(words)])
    timed = [
        word.compact() for word in checked.words if word.word.strip() and None not in (word.start, word.end)
    ]
    segments = data.get("segments")
    if segments:
        plain = from_whisperx(data)
        if plain.words or not timed:
            return plain
        return _with_words(plain, timed)
    text = data.get("text")
    timed = _punctuated(timed, text) if isinstance(text, str) else timed
    return transcript(by_pauses(timed), data.get("language"))


def _rest(words: Sequence[Any]) -> list[dict[str, Any]]:
    """Further words, in portions that a segment may hold."""
    portions = range(20_000, len(words), 20_000)
    return [{"start": 0, "end": 0, "text": "", "words": words[at : at + 20_000]} for at in portions]


def _with_words(plain: Transcript, words: list[dict[str, Any]]) -> Transcript:
    segments = [{**segment.compact(), "words": []} for segment in plain.segments]
    at = 0
    for word in words:
        middle = (word["start"] + word["end"]) / 2
        while at + 1 < len(segments) and middle >= segments[at]["end"]:
            at += 1
        segments[at]["words"].append(word)
    for segment in segments:
        spelled = _punctuated(segment["words"], segment["text"])
        segment["words"] = spelled if "".join(w["word"] for w in spelled) == _joined(segment["text"]) else []
    return from_whisperx({"language": plain.language, "segments": segments})


def _punctuated(words: list[dict[str, Any]], text: str) -> list[dict[str, Any]]:
    """The words as the text writes them; as they are where the text says something else."""
    tokens = text.split()
    bare = [_bare(token) for token in tokens]
    found, at = [], 0
    for word in words:
        wanted, first = _bare(word["word"]), at
        spelled = ""
        while (at < len(tokens) and len(spelled) < len(wanted)) or (at < len(tokens) and not bare[at]):
            spelled += bare[at]
            at += 1
        if spelled != wanted:
            return words
        found.append({**word, "word": "".join(tokens[first:at])})
    return found if at == len(tokens) and all(word["word"] for word in found) else words


def _bare(text: str) -> str:
    return "".join(character for character in text.lower() if character.isalnum())


def _joined(text: str) -> str:
    return "".join(text.split())


def _of_whisper_cpp(data: Mapping[str, Any]) -> Transcript:
    """whisper.cpp's ``-oj``: offsets in milliseconds."""
    result = data.get("result")
    language = result.get("language") if isinstance(result, Mapping) else None
    try:
        segments = [
            {
                "start": item["offsets"]["from"] / 1000,
                "end": item["offsets"]["to"] / 1000,
                "text": item["text"],
            }
            for item in data["transcription"]
        ]
    except (TypeError, KeyError):
        raise InvalidTranscript(
            "transcription: offsets and text are missing", hint="write it with whisper.cpp's -oj"
        ) from None
    return from_whisperx({"language": language, "segments": segments})
