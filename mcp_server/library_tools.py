"""The tools for the transcripts that are there: list, search, check, delete."""

from __future__ import annotations

from typing import Annotated

from anyio import to_thread
from mcp_types import CallToolResult

from mcp_server import arguments as arg
from mcp_server import library_results as results
from mcp_server.arguments import StrictTool
from mcp_server.service import Service
from schemas.library import Deleted, Found, Speakers, TranscriptList, VoiceList


class LibraryTools:
    """Each method is a tool; its signature is what the tool takes."""

    def __init__(self, service: Service) -> None:
        self._library, self._names, self._store = service.library, service.names, service.store
        self._voices = service.voices
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
        remember: arg.Remember = False,
    ) -> Annotated[CallToolResult, Speakers]:
        def work() -> CallToolResult:
            kept: tuple[str, ...] = ()
            if labels:
                kept = self._name(transcript_id, labels, evidence, remember)
            sheet = self._library.speakers(transcript_id).model_copy(update={"remembered": kept or None})
            return results.speakers(sheet, asked=not labels)

        return await to_thread.run_sync(work)

    def _name(
        self, transcript_id: str, labels: dict[str, str], evidence: str | None, remember: bool
    ) -> tuple[str, ...]:
        """Voices first: where one cannot be remembered, nothing is changed."""
        transcript = self._store.transcript(transcript_id, words=False, voices=remember)
        wanted = self._names.checked(transcript, labels)
        people = {label: name for label, name in wanted.items() if name}
        kept = self._voices.remember(transcript, people) if remember and people else ()
        self._names.give(transcript_id, transcript, wanted, evidence)
        return kept

    async def list_voices(self) -> Annotated[CallToolResult, VoiceList]:
        return results.voices(VoiceList(voices=await to_thread.run_sync(self._voices.list)))

    async def forget_voice(self, voice: arg.VoiceName) -> Annotated[CallToolResult, VoiceList]:
        def work() -> CallToolResult:
            gone = self._voices.forget(voice)
            return results.voices(VoiceList(voices=self._voices.list(), forgotten=gone))

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
            evidence or the user names, and quote it; leave the others as they are. Naming a suggested speaker
            confirms the suggestion.""",
        ),
        arg.tool(
            tools.list_voices,
            "List voices",
            arg.READ,
            """The voices that are remembered, from which names are suggested in later meetings.""",
        ),
        arg.tool(
            tools.forget_voice,
            "Forget a voice",
            arg.REMOVE,
            """Deletes what is remembered of a person's voice. Names in transcripts stay.""",
        ),
        arg.tool(
            tools.delete_transcript,
            "Delete a transcript",
            arg.REMOVE,
            """Deletes a transcript with its names and search entries, for good. The recording stays. Only when
            the user asks for it.""",
        ),
    ]
