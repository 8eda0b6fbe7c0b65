"""Transcripts as resources, for clients whose users attach them: ``transcript://ID/FORMAT``."""

from __future__ import annotations

from anyio import to_thread
from mcp.server import MCPServer
from mcp.server.mcpserver.exceptions import ResourceError, ResourceNotFoundError
from mcp_types import Resource

from mcp_server.service import Service
from mcp_server.views import cleaned
from schemas.errors import NotFound, TranscriptionError
from schemas.library import TranscriptSummary
from schemas.transcript import Transcript

MIME_TYPES = {
    "text": "text/plain",
    "md": "text/markdown",
    "srt": "application/x-subrip",
    "vtt": "text/vtt",
    "json": "application/json",
}
LISTED = 20
_MOST_BYTES = 1_000_000  # clients refuse more


def add_resources(server: MCPServer, service: Service) -> None:
    """A template for each format."""
    for name, mime_type in MIME_TYPES.items():
        server.resource(
            f"transcript://{{transcript_id}}/{name}",
            name=f"transcript as {name}",
            description=f"A whole transcript as {name}, with the names of the speakers.",
            mime_type=mime_type,
        )(_reader(service, name))


def _reader(service: Service, name: str):
    async def read(transcript_id: str) -> str:
        try:
            return await to_thread.run_sync(_document, service, transcript_id, name)
        except NotFound as error:
            raise ResourceNotFoundError(f"{error.code}: {error.message} {error.hint}") from None
        except TranscriptionError as error:
            raise ResourceError(f"{error.code}: {error.message} {error.hint or ''}".strip()) from None

    return read


def _document(service: Service, transcript_id: str, name: str) -> str:
    """Subtitles need words; as JSON words are left out where the whole would be too large."""
    from pipeline.writers import render

    whole = service.names.on(transcript_id, service.store.transcript(transcript_id))
    text = render(cleaned(whole), name)
    if len(text.encode()) > _MOST_BYTES:
        text = render(cleaned(_without_words(whole)), name)
    if len(text.encode()) > _MOST_BYTES:
        raise ResourceError(f"The transcript is too long to be read at once as {name}; use get_transcript.")
    return text


def _without_words(transcript: Transcript) -> Transcript:
    bare = tuple(segment.model_copy(update={"words": ()}) for segment in transcript.segments)
    return transcript.model_copy(update={"segments": bare})


async def recent(service: Service) -> list[Resource]:
    """The newest transcripts, as Markdown; none where the library cannot be read."""
    try:
        scope = service.library.scope(None, None, None, None)
        listed, _ = await to_thread.run_sync(service.library.list, scope, 0, LISTED)
    except TranscriptionError:
        return []
    return [_resource(item) for item in listed]


def _resource(item: TranscriptSummary) -> Resource:
    name = (item.recording or item.transcript_id).rsplit("/", 1)[-1]
    return Resource(
        uri=f"transcript://{item.transcript_id}/md",
        name=name,
        title=f"{name}, {(item.recorded_at or item.created_at)[:16].replace('T', ' ')}",
        description=", ".join(item.speakers) or None,
        mime_type=MIME_TYPES["md"],
    )
