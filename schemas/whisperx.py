"""WhisperX's JSON as a transcript, and a transcript as WhisperX's JSON.

The fields are those that WhisperX 3.8.6 writes (``schema.py``, ``asr.py``, ``alignment.py``, ``diarize.py``,
``transcribe.py``)::

    {"language": "en",
     "segments": [{"start", "end", "text", "avg_logprob", "speaker",
                   "words": [{"word", "start", "end", "score", "speaker"}],
                   "chars": [{"char", "start", "end", "score"}]}],
     "word_segments": [{"word", "start", "end", "score", "speaker"}],
     "speaker_embeddings": {"SPEAKER_00": [0.1, …]}}

All of them are read and written back, and so are ``phones`` of words, which only this product has. Also read:
what OpenAI's Whisper and faster-whisper add to a segment, a plain list of ``{start, end, text}``, and this
product's own transcripts. Fields that nobody here knows are left out. Nothing of the text gets into an error.
"""

from __future__ import annotations

import json
import math
import stat
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from schemas.errors import FileNotReadable, InvalidTranscript
from schemas.transcript import Char, Media, Phone, Segment, Speaker, Transcript, Word

MAX_FILE_BYTES = 256 * 1024 * 1024
MAX_SEGMENTS = 200_000
MAX_WORDS = 20_000  # of a segment
MAX_CHARACTERS = 200_000  # of a segment's text
MAX_SECONDS = 1_000 * 3600.0
MAX_EMBEDDING = 8_192

_FORMS = "give WhisperX's JSON, a transcript of this product, or a list of {start, end, text}"


def read_transcript(path: str | Path) -> Transcript:
    """The transcript in a JSON file, in any of the forms that :func:`from_whisperx` takes.

    Raises :class:`FileNotReadable` and :class:`InvalidTranscript`.
    """
    return from_whisperx(parse_json(read_bytes(Path(path))))


def parse_json(raw: bytes | str) -> Any:
    """What JSON says. Raises :class:`InvalidTranscript`, which names line and column."""
    try:
        return json.loads(raw, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise InvalidTranscript(f"the file is not JSON: {_json_place(error)}", hint=_FORMS) from None


def read_bytes(path: Path) -> bytes:
    """A transcript's file, if it is a regular file and not too large.

    Raises :class:`FileNotReadable` and :class:`InvalidTranscript`.
    """
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise FileNotReadable(f"{path} is no regular file", code="not_a_file", hint="name a transcript")
        if status.st_size > MAX_FILE_BYTES:
            limit = f"{MAX_FILE_BYTES // 2**20} MiB"
            raise InvalidTranscript(
                f"{path} is larger than {limit}", hint="leave out `chars`, or cut it in parts"
            )
        return path.read_bytes()
    except FileNotFoundError:
        raise FileNotReadable(f"there is no file {path}", hint="check the path") from None
    except PermissionError:
        raise FileNotReadable(f"{path} may not be read", code="access_denied") from None
    except OSError as error:
        raise FileNotReadable(f"{path}: {error.strerror}", code="file_unreadable") from None


def from_whisperx(data: Mapping[str, Any] | Sequence[Mapping[str, Any]]) -> Transcript:
    """A transcript from WhisperX's result, from segments alone, or from a transcript of ours as plain types.

    ``duration_s`` of the media is the end of what was said, as WhisperX does not keep the recording's.
    Raises :class:`InvalidTranscript`, which names the place: ``segments[3].words[0].end``.
    """
    if isinstance(data, Mapping) and "schema_version" in data:
        return _own(data)
    if isinstance(data, Mapping):
        top, raw = data, data.get("segments")
    else:
        top, raw = {}, data
    items = _list(raw, "segments", MAX_SEGMENTS, "segments")
    segments = tuple(_segment(item, f"segments[{i}]", i) for i, item in enumerate(items))
    return Transcript(
        media=Media(duration_s=max((segment.end for segment in segments), default=0.0)),
        language=_text(top, "language", "language"),
        segments=segments,
        speakers=_speakers(segments),
        speaker_embeddings=_embeddings(top.get("speaker_embeddings")),
    )


def to_whisperx(transcript: Transcript) -> dict[str, Any]:
    """WhisperX's result. ``words`` and ``word_segments`` are there where the transcript has words."""
    aligned = any(segment.words for segment in transcript.segments)
    segments = [_plain_segment(segment, aligned) for segment in transcript.segments]
    result: dict[str, Any] = {"segments": segments}
    if aligned:
        result["word_segments"] = [
            {field: value for field, value in word.items() if field != "phones"}
            for segment in segments
            for word in segment["words"]
        ]
    if transcript.language is not None:
        result["language"] = transcript.language
    if transcript.speaker_embeddings is not None:
        result["speaker_embeddings"] = {
            label: list(vector) for label, vector in transcript.speaker_embeddings.items()
        }
    return result


def _plain_segment(segment: Segment, aligned: bool) -> dict[str, Any]:
    plain: dict[str, Any] = {"start": segment.start, "end": segment.end, "text": segment.text}
    if aligned:
        plain["words"] = [_plain_word(word) for word in segment.words]
    if segment.chars is not None:
        plain["chars"] = [_present(char, "char", "start", "end", "score") for char in segment.chars]
    return plain | _present(segment, "avg_logprob", "speaker")


def _plain_word(word: Word) -> dict[str, Any]:
    plain = _present(word, "word", "start", "end", "score", "speaker")
    if word.phones is not None:
        plain["phones"] = [_present(phone, "phone", "start", "end", "score") for phone in word.phones]
    return plain


def _present(model: Any, *fields: str) -> dict[str, Any]:
    return {field: value for field in fields if (value := getattr(model, field)) is not None}


def _own(data: Mapping[str, Any]) -> Transcript:
    fields = {
        name: value for name, value in data.items() if name != "word_segments"
    }  # the segments' words again
    try:
        return Transcript.model_validate(fields)
    except ValidationError as error:
        first = error.errors(include_input=False)[0]
        raise _wrong(_place(first["loc"]), first["msg"]) from None


def _place(parts: Sequence[str | int]) -> str:
    place = ""
    for part in parts:
        place += f"[{part}]" if isinstance(part, int) else f".{part}" if place else part
    return place


def _segment(item: Any, where: str, number: int) -> Segment:
    fields = _mapping(item, where)
    start, end = _span(fields, where, required=True)
    chars = fields.get("chars")
    return Segment(
        id=number,
        start=start,
        end=end,
        text=_text(fields, "text", f"{where}.text", required=True),
        speaker=_text(fields, "speaker", f"{where}.speaker"),
        words=tuple(_words(fields, where)),
        chars=None if chars is None else tuple(_chars(chars, f"{where}.chars")),
        avg_logprob=_number(fields, "avg_logprob", where),
        compression_ratio=_number(fields, "compression_ratio", where),
        no_speech_prob=_number(fields, "no_speech_prob", where, 0.0, 1.0),
        temperature=_number(fields, "temperature", where),
    )


def _words(segment: Mapping[str, Any], where: str) -> Iterator[Word]:
    raw = segment.get("words")
    if raw is None:
        return
    for number, item in enumerate(_list(raw, f"{where}.words", MAX_WORDS, "words")):
        place = f"{where}.words[{number}]"
        fields = _mapping(item, place)
        start, end = _span(fields, place)
        # OpenAI's Whisper and faster-whisper call the score a probability.
        score = "score" if fields.get("score") is not None else "probability"
        yield Word(
            word=_text(fields, "word", f"{place}.word", required=True),
            start=start,
            end=end,
            score=_number(fields, score, place, 0.0, 1.0),
            speaker=_text(fields, "speaker", f"{place}.speaker"),
            timing=None if start is None else "given",
            phones=_phones(fields.get("phones"), f"{place}.phones"),
        )


def _chars(raw: Any, where: str) -> Iterator[Char]:
    for number, item in enumerate(_list(raw, where, MAX_CHARACTERS, "characters")):
        place = f"{where}[{number}]"
        fields = _mapping(item, place)
        start, end = _span(fields, place)
        yield Char(
            char=_text(fields, "char", f"{place}.char", required=True),
            start=start,
            end=end,
            score=_number(fields, "score", place, 0.0, 1.0),
        )


def _phones(raw: Any, where: str) -> tuple[Phone, ...] | None:
    """None where there are none, or where they are another program's (Gentle's have durations)."""
    if not isinstance(raw, list | tuple) or not raw or not all(map(_is_phone, raw)):
        return None
    items = _list(raw, where, MAX_CHARACTERS, "phones")
    return tuple(_phone(item, f"{where}[{number}]") for number, item in enumerate(items))


def _is_phone(item: Any) -> bool:
    return isinstance(item, Mapping) and {"phone", "start", "end"} <= item.keys()


def _phone(fields: Mapping[str, Any], where: str) -> Phone:
    start, end = _span(fields, where, required=True)
    name = _text(fields, "phone", f"{where}.phone", required=True)
    return Phone(phone=name, start=start, end=end, score=_number(fields, "score", where, 0.0, 1.0))


def _speakers(segments: Sequence[Segment]) -> tuple[Speaker, ...]:
    said: dict[str, list[Segment]] = {}
    for segment in segments:
        if segment.speaker is not None:
            said.setdefault(segment.speaker, []).append(segment)
        for word in segment.words:
            if word.speaker is not None:
                said.setdefault(word.speaker, [])
    return tuple(
        Speaker(
            id=label,
            speech_s=round(sum(segment.end - segment.start for segment in said[label]), 3),
            segments=len(said[label]),
        )
        for label in sorted(said)
    )


def _embeddings(raw: Any) -> dict[str, tuple[float, ...]] | None:
    if raw is None:
        return None
    vectors = _mapping(raw, "speaker_embeddings")
    return {str(label): _vector(vector, f"speaker_embeddings.{label}") for label, vector in vectors.items()}


def _vector(raw: Any, where: str) -> tuple[float, ...]:
    items = _list(raw, where, MAX_EMBEDDING, "numbers")
    return tuple(_checked_number(item, f"{where}[{i}]") for i, item in enumerate(items))


def _span(fields: Mapping[str, Any], where: str, required: bool = False) -> tuple[Any, Any]:
    start = _number(fields, "start", where, 0.0, MAX_SECONDS, required)
    end = _number(fields, "end", where, 0.0, MAX_SECONDS, required)
    if start is not None and end is not None and end < start:
        raise _wrong(f"{where}.end", "it lies before start")
    return start, end


def _number(
    fields: Mapping[str, Any],
    name: str,
    where: str,
    low: float = -math.inf,
    high: float = math.inf,
    required: bool = False,
) -> float | None:
    value = fields.get(name)
    place = f"{where}.{name}"
    if value is None:
        if required:
            raise _wrong(place, "it is missing")
        return None
    number = _checked_number(value, place)
    if not low <= number <= high:
        raise _wrong(place, f"{number} is not between {low:g} and {high:g}")
    return number


def _checked_number(value: Any, where: str) -> float:
    if isinstance(value, bool | str) or not hasattr(value, "__float__"):
        raise _wrong(where, f"a number is needed, not {_kind(value)}")
    try:
        number = float(value)  # numpy's scalars too, as whisperx.align returns them
    except (TypeError, ValueError, OverflowError):
        raise _wrong(where, f"a number is needed, not {_kind(value)}") from None
    if not math.isfinite(number):
        raise _wrong(where, "it is not a finite number")
    return number


def _text(fields: Mapping[str, Any], name: str, where: str, required: bool = False) -> Any:
    value = fields.get(name)
    if value is None and not required:
        return None
    if not isinstance(value, str):
        raise _wrong(where, "it is missing" if value is None else f"text is needed, not {_kind(value)}")
    if len(value) > MAX_CHARACTERS:
        raise _wrong(where, f"more than {MAX_CHARACTERS} characters")
    if any("\ud800" <= c <= "\udfff" for c in value):
        raise _wrong(where, "it holds half a character (a lone surrogate)")
    return value


def _list(value: Any, where: str, limit: int, things: str) -> Sequence[Any]:
    if not isinstance(value, list | tuple):
        raise _wrong(where, "it is missing" if value is None else f"a list is needed, not {_kind(value)}")
    if len(value) > limit:
        raise _wrong(where, f"more than {limit} {things}")
    return value


def _mapping(value: Any, where: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise _wrong(where, f"an object is needed, not {_kind(value)}")
    return value


def _kind(value: Any) -> str:
    names = {dict: "an object", list: "a list", str: "text", bool: "true or false", type(None): "null"}
    return names.get(type(value), type(value).__name__)


def _wrong(where: str, what: str) -> InvalidTranscript:
    return InvalidTranscript(f"{where}: {what}", hint=_FORMS)


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is not a number that JSON knows")


def _json_place(error: Exception) -> str:
    if isinstance(error, json.JSONDecodeError):
        return f"{error.msg} in line {error.lineno}, column {error.colno}"
    if isinstance(error, UnicodeDecodeError):
        return f"byte {error.start} is not UTF-8"
    return str(error) if isinstance(error, ValueError) else "it is nested too deeply"
