"""The tools that work on recordings: a short method per tool; the work is the service's."""

from __future__ import annotations

import time
from typing import Annotated, Any

from mcp.server.mcpserver import Context
from mcp_types import CallToolResult

from mcp_server import arguments as arg
from mcp_server import foreign, health
from mcp_server.arguments import Answer, StrictTool
from mcp_server.results import job_list
from mcp_server.service import PAGE_CHARS, Service
from mcp_server.views import Cursor, View, invalid_cursor
from schemas.jobs import JobList

_JOBS_LISTED = 20


class Tools:
    """Each method is a tool; its signature is what the tool takes."""

    def __init__(self, service: Service) -> None:
        self._service = service

    async def transcribe(
        self,
        file_path: arg.FilePath,
        ctx: Context,
        language: arg.Language = None,
        model: arg.Model = None,
        task: arg.TaskKind = None,
        vocabulary: arg.Vocabulary = None,
        word_timestamps: arg.WordTimes = None,
        start_s: arg.StartS = None,
        end_s: arg.EndS = None,
        wait_s: arg.WaitS = 45,
        force: arg.Force = False,
    ) -> Answer:
        given = _given(locals())
        return await self._heavy("transcribe", given, ctx, wait_s)

    async def transcribe_diarized(
        self,
        file_path: arg.FilePath,
        ctx: Context,
        language: arg.Language = None,
        model: arg.Model = None,
        task: arg.TaskKind = None,
        vocabulary: arg.Vocabulary = None,
        word_timestamps: arg.WordTimes = None,
        start_s: arg.StartS = None,
        end_s: arg.EndS = None,
        num_speakers: arg.NumSpeakers = None,
        min_speakers: arg.MinSpeakers = None,
        max_speakers: arg.MaxSpeakers = None,
        wait_s: arg.WaitS = 45,
        force: arg.Force = False,
    ) -> Answer:
        given = _given(locals())
        return await self._heavy("transcribe_diarized", given, ctx, wait_s)

    async def align(
        self,
        ctx: Context,
        transcript_id: arg.MaybeTranscriptId = None,
        file_path: arg.MaybeFilePath = None,
        segments: arg.Segments = None,
        text: arg.ForeignText = None,
        transcript_path: arg.TranscriptPath = None,
        language: arg.Language = None,
        model: arg.Model = None,
        wait_s: arg.WaitS = 45,
        force: arg.Force = False,
    ) -> Answer:
        given = _given(locals())
        return await self._heavy("align", given, ctx, wait_s)

    async def diarize(
        self,
        ctx: Context,
        file_path: arg.MaybeFilePath = None,
        transcript_id: arg.MaybeTranscriptId = None,
        num_speakers: arg.NumSpeakers = None,
        min_speakers: arg.MinSpeakers = None,
        max_speakers: arg.MaxSpeakers = None,
        wait_s: arg.WaitS = 45,
        force: arg.Force = False,
    ) -> Answer:
        given = _given(locals())
        return await self._heavy("diarize", given, ctx, wait_s)

    async def get_job(self, job_id: arg.JobId, ctx: Context, wait_s: arg.WaitS = 45) -> Answer:
        return await self._service.answer(job_id, wait_s, ctx)

    async def list_jobs(self) -> Annotated[CallToolResult, JobList]:
        views = await self._service.jobs.recent(_JOBS_LISTED)
        return job_list(views, time.time())

    async def cancel_job(self, job_id: arg.JobId) -> Answer:
        return await self._service.present(await self._service.jobs.cancel(job_id))

    async def get_transcript(
        self,
        transcript_id: arg.TranscriptId,
        start_s: arg.StartS = None,
        end_s: arg.EndS = None,
        speaker: arg.Speaker = None,
        cursor: arg.CursorText = None,
        include_words: arg.IncludeWords = None,
        format: arg.FormatName = None,
        max_chars: arg.MaxChars = PAGE_CHARS,
    ) -> Answer:
        wanted = {
            "start_s": start_s,
            "end_s": end_s,
            "speaker": speaker,
            "include_words": include_words,
            "format": format,
        }
        view = _view(transcript_id, cursor, {k: v for k, v in wanted.items() if v is not None})
        return await self._service.page(transcript_id, view, cursor=cursor, max_chars=max_chars)

    async def health_check(self) -> Annotated[CallToolResult, health.Health]:
        return await health.check(self._service)

    async def _heavy(
        self, operation: Any, given: dict[str, Any], ctx: Context, wait_s: float
    ) -> CallToolResult:
        source = {name: given.get(name) for name in ("file_path", "transcript_id", *foreign.ARGUMENTS)}
        options = {name: value for name, value in given.items() if name not in source}
        if "word_timestamps" in options:
            options["no_align"] = not options.pop("word_timestamps")
        if operation == "align" and "model" in options:
            options["align_model"] = options.pop("model")
        return await self._service.do(
            operation, given, self._service.options(**options), wait_s=wait_s, ctx=ctx, **source
        )


def _given(names: dict[str, Any]) -> dict[str, Any]:
    """A tool's own arguments out of ``locals()``: those that were given."""
    own = ("self", "ctx", "wait_s")
    return {name: value for name, value in names.items() if name not in own and value is not None}


def _view(transcript_id: str, cursor: str | None, wanted: dict[str, Any]) -> View:
    """What is asked for; a cursor brings its own, and nothing may contradict it."""
    if cursor is None:
        return View(**wanted)
    view = Cursor.decoded(cursor, transcript_id).view
    if view.model_copy(update=wanted) != view:
        raise invalid_cursor()
    return view


def work_tools(service: Service) -> list[StrictTool]:
    """The tools that work on recordings, and those that watch the work."""
    tools = Tools(service)
    return [
        arg.tool(
            tools.transcribe_diarized,
            "Transcribe with speakers",
            arg.WORK,
            """Who said what, when: transcribes a recording (audio or video file on this computer), places every
            word in time and names the speakers SPEAKER_00, SPEAKER_01, … The right tool for meetings, interviews
            and calls. Returns the first page and a transcript_id, or, when it takes longer than wait_s, status
            running with the job_id for get_job. The same call again joins the running job, and a finished one
            answers at once.""",
        ),
        arg.tool(
            tools.transcribe,
            "Transcribe",
            arg.WORK,
            """What was said in a recording (audio or video file on this computer), with times, without speakers.
            For dictation, talks and other recordings of one voice. task=translate gives English. Returns the
            first page and a transcript_id, or status running with the job_id for get_job.""",
        ),
        arg.tool(
            tools.align,
            "Align words",
            arg.WORK,
            """Places every word of a known transcript in time: give transcript_id of an earlier result, or
            file_path with a transcript from elsewhere: transcript_path (a file: srt, vtt, json of WhisperX or
            OpenAI, ctm, tsv, txt), text (the same, or plain text without times) or segments. Returns words with
            start, end and score. Transcripts made here have word times already; use this for another alignment
            model or for foreign text.""",
        ),
        arg.tool(
            tools.diarize,
            "Find speakers",
            arg.WORK,
            """Who spoke when. With transcript_id: gives the words of that transcript their speakers, without
            transcribing again; the way to correct the number of speakers. With file_path: speaker turns without
            text.""",
        ),
        arg.tool(
            tools.get_job,
            "Wait for a job",
            arg.READ,
            """Waits up to wait_s seconds for a job and returns its result, or how far it is, the estimated time
            left and the text so far. Call it again until status is completed, failed, cancelled or
            interrupted.""",
        ),
        arg.tool(
            tools.list_jobs,
            "List jobs",
            arg.READ,
            """Jobs of this computer, of all clients: unfinished ones in the order in which they are done, with
            the time left, then finished ones.""",
        ),
        arg.tool(
            tools.get_transcript,
            "Read a transcript",
            arg.READ,
            """A page of a transcript: all of it, a window (start_s, end_s), one speaker, or with include_words.
            Other formats (text, md, srt, vtt, json, rttm) come in pieces that put together are the file. Follow
            next_cursor until there is none.""",
        ),
        arg.tool(
            tools.cancel_job,
            "Cancel a job",
            arg.REMOVE,
            """Ends a queued or running job. Finished stages are kept: the same request later goes on behind
            them.""",
        ),
        arg.tool(
            tools.health_check,
            "Check the installation",
            arg.READ,
            """What is installed, which models would be used, which folders may be read, and the fix for whatever
            is missing. Call it when something fails or before the first recording.""",
        ),
    ]
