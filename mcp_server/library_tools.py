"""The tools for the transcripts that are there: list, search, check, delete."""

from __future__ import annotations

from typing import Annotated

from anyio import to_thread
from mcp_types import CallToolResult

from mcp_server import arguments as arg
from mcp_server import library_results as results
from mcp_server.arguments import StrictTool
from mcp_server.service import Service
from schemas.library import Deleted, Found, Speakers, TranscriptList


class LibraryTools:
    """Each method is a tool; its signature is what the tool takes."""

    def __init__(self, service: Service) -> None:
        self._library, self._names, self._store = service.library, service.names, service.store
        self._forget = service.forget_stages

    async def list_transcripts(
        self,
        speaker: arg.Speaker = None,
        from_date: arg.FromDate = None,
        to_date: arg.ToDate = None,
        offset: arg.Offset = 0,
        limit: arg.Limit = 20,
    ) -> Annotated[CallToolResult, TranscriptList]:
        def read() -> CallToolResult:
            scope = self._library.scope(None, speaker, from_date, to_date)
            listed, total = self._library.list(scope, offset, limit)
            given = {"speaker": speaker, "from_date": from_date, "to_date": to_date, "limit": limit}
            return results.transcripts(listed, total, offset, given)

        return await to_thread.run_sync(read)

    async def search_transcripts(
        self,
        query: arg.Query,
        exact: arg.Exact = False,
        transcript_id: arg.OnlyIn = None,
        speaker: arg.Speaker = None,
        from_date: arg.FromDate = None,
        to_date: arg.ToDate = None,
        limit: arg.Limit = 10,
    ) -> Annotated[CallToolResult, Found]:
        def read() -> CallToolResult:
            scope = self._library.scope(transcript_id, speaker, from_date, to_date)
            look = self._library.check if exact else self._library.search
            return results.found(look(query, scope, limit))

        return await to_thread.run_sync(read)

    async def label_speakers(
        self,
        transcript_id: arg.TranscriptId,
        labels: arg.Labels = None,
        evidence: arg.Evidence = None,
    ) -> Annotated[CallToolResult, Speakers]:
        def work() -> CallToolResult:
            if labels:
                transcript = self._store.transcript(transcript_id, words=False)
                self._names.give(transcript_id, transcript, labels, evidence)
            return results.speakers(self._library.speakers(transcript_id), asked=not labels)

        return await to_thread.run_sync(work)

    async def delete_transcript(self, transcript_id: arg.TranscriptId) -> Annotated[CallToolResult, Deleted]:
        return results.deleted(await to_thread.run_sync(self._library.delete, transcript_id, self._forget))


def library_tools(service: Service) -> list[StrictTool]:
    """The tools for what is there already."""
    tools = LibraryTools(service)
    return [
        arg.tool(
            tools.list_transcripts,
            "List transcripts",
            arg.READ,
            """The recordings transcribed so far, newest first, with dates, lengths and speakers.""",
        ),
        arg.tool(
            tools.search_transcripts,
            "Search, or check a quote",
            arg.READ,
            """Finds what was said in all transcripts (or one): quotes with speaker and times, best first. Case,
            accents and punctuation don't count. exact=true checks a quote: match is exact, with the times of its
            words, or none, with the closest passages. Check every quote that you put into minutes.""",
        ),
        arg.tool(
            tools.label_speakers,
            "Name the speakers",
            arg.WORK,
            """Without labels: for each speaker the lines where a name may fall, and suggested names. With labels:
            names speakers, beside the raw labels; searches and later reads use the names. Name only whom the
            evidence or the user names, and quote it; leave the others as they are.""",
        ),
        arg.tool(
            tools.delete_transcript,
            "Delete a transcript",
            arg.REMOVE,
            """Deletes a transcript with its names and search entries, for good. The recording stays. Only when
            the user asks for it.""",
        ),
    ]
