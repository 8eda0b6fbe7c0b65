"""What the tools of the library answer, as text and as structured content."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

from mcp_types import CallToolResult

from mcp_server.results import NOTICE, next_line, plain_result, suggestion_line
from mcp_server.views import clock, word_text
from schemas.jobs import NextAction
from schemas.library import (
    Deleted,
    Found,
    Quote,
    Speakers,
    SpeakerSheet,
    TranscriptList,
    TranscriptSummary,
    VoiceList,
)

_MOST_CHARS = 18_000


def transcripts(
    listed: Sequence[TranscriptSummary], total: int, offset: int, given: dict[str, Any]
) -> CallToolResult:
    """A page of the list."""
    shown = tuple(_fitting(listed))
    end = offset + len(shown)
    arguments = {name: value for name, value in given.items() if value is not None}
    more = (
        NextAction(tool="list_transcripts", arguments={**arguments, "offset": end}) if end < total else None
    )
    model = TranscriptList(transcripts=shown, total=total, next_action=more)
    lines = [f"{total} transcripts" + (f", from number {offset + 1} on" if offset else "")]
    lines += map(_transcript_line, shown)
    return plain_result(model, [*lines, *next_line(more)])


def found(model: Found) -> CallToolResult:
    """Quotes, best first, as many as fit."""
    quotes = tuple(_fitting(model.quotes))
    model = model.model_copy(
        update={
            "quotes": quotes,
            "more": model.more or len(quotes) < len(model.quotes),
            "notice": NOTICE if quotes else None,
            "next_action": _read_around(quotes[0]) if quotes else None,
        }
    )
    lines = [model.notice] if model.notice else []
    lines += [f"query: {model.query}", _verdict(model), *map(_quote_lines, quotes)]
    if model.more:
        lines.append("There is more: raise limit, or narrow the search.")
    return plain_result(model, [*lines, *next_line(model.next_action)])


def speakers(model: Speakers, *, asked: bool) -> CallToolResult:
    """Everyone's name; with the evidence where that is what was ``asked`` for."""
    if not asked:
        bare = tuple(sheet.model_copy(update={"quotes": ()}) for sheet in model.speakers)
        model = model.model_copy(update={"speakers": bare})
    model = model.model_copy(update={"notice": NOTICE if asked else None})
    lines = [model.notice] if model.notice else []
    lines.append(f"transcript_id: {model.transcript_id}")
    lines += map(_sheet_lines, model.speakers)
    lines += map(suggestion_line, model.suggestions or ())
    if model.remembered:
        lines.append(f"remembered: {', '.join(model.remembered)}")
    return plain_result(model, lines)


def voices(model: VoiceList) -> CallToolResult:
    """The voices that are remembered, as many as fit."""
    shown = tuple(_fitting(model.voices))
    model = model.model_copy(update={"voices": shown, "more": len(model.voices) - len(shown) or None})
    lines = [] if model.forgotten is None else [f"Forgotten: {model.forgotten}."]
    lines += [
        f"{voice.voice_id} | {voice.name} | {voice.speech_s:.0f} s from {voice.recordings} recordings"
        f" | {voice.updated_at} | {voice.model}"
        for voice in model.voices
    ] or ["No voice is remembered."]
    if model.more:
        lines.append(f"{model.more} more are remembered; forget_voice takes their names, too.")
    return plain_result(model, lines)


def _sheet_lines(sheet: SpeakerSheet) -> str:
    name = f"{sheet.id}: {sheet.name} ({sheet.status})" if sheet.name else f"{sheet.id}: no name yet"
    lines = [f"{name}, {sheet.speech_s:.0f} s in {sheet.segments} segments"]
    if sheet.evidence:
        lines.append(f"    named because: {sheet.evidence}")
    lines += [
        f"    [{clock(quote.start)}] {quote.speaker_name or quote.speaker}: {quote.text}"
        for quote in sheet.quotes
    ]
    return "\n".join(lines)


def deleted(model: Deleted) -> CallToolResult:
    """What is gone."""
    line = f"Deleted {model.transcript_id}: {model.files} files; the recording itself is untouched."
    recording = [f"recording: {model.recording}"] if model.recording else []
    kept = [f"kept: {model.kept}"] if model.kept else []
    return plain_result(model, [line, *recording, *kept])


def _fitting(items: Sequence[Any]) -> Iterator[Any]:
    """As many as a result has room for, one at least."""
    room = _MOST_CHARS
    for number, item in enumerate(items):
        room -= len(json.dumps(item.compact(), ensure_ascii=False)) + 2
        if number and room < 0:
            return
        yield item


def _read_around(quote: Quote) -> NextAction:
    """The call that reads what was said around the best quote."""
    arguments = {
        "transcript_id": quote.transcript_id,
        "start_s": max(0.0, round(quote.start - 30.0, 1)),
        "end_s": round(quote.end + 30.0, 1),
    }
    return NextAction(tool="get_transcript", arguments=arguments)


_VERDICTS = {
    "exact": "match: exact: these very words were said",
    "all": "match: all words, near each other",
    "some": "match: some of the words; no passage has all of them",
    "none": "match: none",
}


def _verdict(model: Found) -> str:
    closest = "; the closest passages follow" if model.match == "none" and model.quotes else ""
    return f"{_VERDICTS[model.match]}{closest} ({model.searched} transcripts searched)"


def _transcript_line(item: TranscriptSummary) -> str:
    words = [
        item.transcript_id,
        item.operation,
        item.recorded_at and f"recorded {item.recorded_at}",
        f"made {item.created_at}",
        clock(item.duration_s),
        item.language,
        f"{item.segments} segments",
        ", ".join(item.speakers),
        item.recording,
    ]
    return " | ".join(word for word in words if word)


def _quote_lines(quote: Quote) -> str:
    speaker = f"{quote.speaker_name} ({quote.speaker})" if quote.speaker_name else quote.speaker
    places = [
        quote.transcript_id,
        f"segment {quote.segment_id}",
        f"{quote.start:.2f}-{quote.end:.2f} s",
        quote.said_at,
        quote.recording,
    ]
    said = f"{speaker}: {quote.text}" if speaker else quote.text
    lines = [f"[{clock(quote.start)}] {said}", "    " + " | ".join(place for place in places if place)]
    if quote.words:
        lines.append("    " + " | ".join(map(word_text, quote.words)))
    return "\n".join(lines)
