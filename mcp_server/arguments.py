"""What tools take: the arguments' types, and a tool that refuses what it does not know."""

from __future__ import annotations

from collections.abc import Callable
from difflib import get_close_matches
from typing import Annotated, Any

from mcp.server.mcpserver import Context
from mcp.server.mcpserver.exceptions import ToolError, UnexpectedToolError
from mcp.server.mcpserver.tools import Tool
from mcp_types import CallToolResult, ToolAnnotations
from pydantic import ConfigDict, Field, ValidationError
from pydantic_core import ErrorDetails

from mcp_server.defects import defect
from mcp_server.results import failure
from mcp_server.views import Format
from schemas.errors import InvalidArgument, TranscriptionError
from schemas.jobs import Result
from schemas.options import Task

Answer = Annotated[CallToolResult, Result]

FilePath = Annotated[str, Field(description="Absolute path of the audio or video file on this computer.")]
MaybeFilePath = Annotated[str | None, Field(description="Absolute path of the audio or video file.")]
TranscriptId = Annotated[str, Field(description="transcript_id of a result.")]
MaybeTranscriptId = Annotated[str | None, Field(description="transcript_id of an earlier result.")]
JobId = Annotated[str, Field(description="job_id of a result.")]
Language = Annotated[str | None, Field(description="Code such as en; leave out to detect it.")]
Model = Annotated[str | None, Field(description="Model name or folder; leave out for this machine's best.")]
TaskKind = Annotated[Task | None, Field(description="translate: English text from any language.")]
Vocabulary = Annotated[list[str] | None, Field(description="Names and terms to expect.", max_length=200)]
WordTimes = Annotated[bool | None, Field(description="false: no word times, which is faster.")]
StartS = Annotated[float | None, Field(description="Begin here, in seconds.", ge=0)]
EndS = Annotated[float | None, Field(description="End here, in seconds.", gt=0)]
NumSpeakers = Annotated[int | None, Field(description="Exact number, if known.", ge=1, le=64)]
MinSpeakers = Annotated[int | None, Field(ge=1, le=64)]
MaxSpeakers = Annotated[int | None, Field(ge=1, le=64)]
WaitS = Annotated[float, Field(description="Answer after this many seconds even if not done.", ge=0, le=50)]
Force = Annotated[bool, Field(description="Do the work again.")]
Segments = Annotated[
    dict[str, Any] | list[dict[str, Any]] | None,
    Field(description="WhisperX form: [{start, end, text}, …]; for small or foreign transcripts."),
]
ForeignText = Annotated[
    str | None, Field(description="Transcript as text: srt, vtt, …, or plain, with times or without.")
]
TranscriptPath = Annotated[str | None, Field(description="Absolute path of a transcript's file.")]
Speaker = Annotated[str | None, Field(description="Only this speaker: label or name.")]
CursorText = Annotated[str | None, Field(description="next_cursor of the last page.")]
IncludeWords = Annotated[bool | None, Field(description="Every word with its times.")]
FormatName = Annotated[Format | None, Field(description="Default segments.")]
MaxChars = Annotated[int, Field(description="Size of a page.", ge=500, le=40_000)]


Query = Annotated[str, Field(description='Words, or "a phrase"; exact: the quote to check.', max_length=2000)]
Exact = Annotated[bool, Field(description="Only these very words in this order, with their times.")]
Labels = Annotated[
    dict[str, str] | None,
    Field(description="{SPEAKER_00: name}; an empty name removes one. Leave out to see the evidence."),
]
Evidence = Annotated[str | None, Field(description="Why: a quote with its time, or who told you.")]
Remember = Annotated[
    bool, Field(description="Keep these voices for later meetings; only if the user agrees.")
]
VoiceName = Annotated[str, Field(description="Name or voice_id.")]
OnlyIn = Annotated[str | None, Field(description="Only this transcript.")]
FromDate = Annotated[str | None, Field(description="First day, 2026-11-20.")]
ToDate = Annotated[str | None, Field(description="Last day.")]
Limit = Annotated[int, Field(ge=1, le=50)]
Offset = Annotated[int, Field(ge=0)]

READ = {"read_only_hint": True, "open_world_hint": False}
WORK = {
    "read_only_hint": False,
    "destructive_hint": False,
    "idempotent_hint": True,
    "open_world_hint": False,
}
REMOVE = {**WORK, "destructive_hint": True}


def tool(fn: Any, title: str, hints: dict[str, bool], description: str) -> StrictTool:
    """A tool with its title and hints."""
    return StrictTool.of(fn, description, ToolAnnotations(title=title, **hints))


class StrictTool(Tool):
    """A tool whose unknown arguments are errors, and whose errors are text that says what to do next.

    This is the one place where exceptions become results.
    """

    elsewhere: dict[str, str] = Field(
        {}, exclude=True, description="Arguments of other tools, and whose they are."
    )

    @classmethod
    def of(cls, fn: Callable[..., Any], description: str, annotations: ToolAnnotations) -> StrictTool:
        """The tool that ``fn`` is; an argument that it does not take is refused."""
        tool = cls.from_function(fn, description=" ".join(description.split()), annotations=annotations)
        loose = tool.fn_metadata.arg_model
        config = ConfigDict(extra="forbid", arbitrary_types_allowed=True)
        strict = type(loose.__name__, (loose,), {"model_config": config, "__module__": loose.__module__})
        tool.fn_metadata.arg_model = strict
        tool.parameters = plain(strict.model_json_schema(by_alias=True))
        tool.fn_metadata.output_schema = undescribed(plain(tool.fn_metadata.output_schema))
        return tool

    async def run(self, arguments: dict[str, Any], context: Context, convert_result: bool = False) -> Any:
        """As :meth:`Tool.run`, with every failure as a result."""
        try:
            return await super().run(arguments, context, convert_result)
        except ToolError as error:
            return failure(self._coded(error))

    def _coded(self, error: ToolError) -> TranscriptionError:
        cause = error.__cause__
        if isinstance(cause, TranscriptionError):
            return cause
        if isinstance(cause, ValidationError) and not isinstance(error, UnexpectedToolError):
            return self._refusal(cause)
        return defect(cause if isinstance(cause, Exception) else error)

    def _refusal(self, error: ValidationError) -> InvalidArgument:
        """Names of arguments and what is wrong with them, without their values."""
        known = list(self.parameters["properties"])
        problems = [self._problem(detail, known) for detail in error.errors(include_url=False)]
        return InvalidArgument(
            f"{self.name}: {'; '.join(dict.fromkeys(problems))}.",
            hint=f"{self.name} takes: {', '.join(known)}.",
        )

    def _problem(self, detail: ErrorDetails, known: list[str]) -> str:
        name = str(detail["loc"][0]) if detail["loc"] else "arguments"
        match detail["type"]:
            case "extra_forbidden":
                return f"there is no argument {name!r}{self._instead(name, known)}"
            case "missing":
                return f"{name!r} is missing"
        return f"{name!r}: {detail['msg']}"

    def _instead(self, name: str, known: list[str]) -> str:
        near = get_close_matches(name, [*known, *self.elsewhere], n=1)
        if not near:
            return ""
        owner = "" if near[0] in known else f" of {self.elsewhere[near[0]]}"
        return f"; did you mean {near[0]!r}{owner}?"


def introduce(tools: list[StrictTool]) -> list[StrictTool]:
    """Lets each tool know what the others take, so that it can say whose an argument is."""
    owners = {name: tool.name for tool in reversed(tools) for name in tool.parameters["properties"]}
    for tool in tools:
        own = tool.parameters["properties"]
        tool.elsewhere = {name: owner for name, owner in owners.items() if name not in own}
    return tools


def plain(schema: Any) -> Any:
    """A JSON schema without what says nothing to a reader: titles, and null where leaving out means the same."""
    if isinstance(schema, list):
        return [plain(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    kept = {
        key: value for key, value in schema.items() if key != "title" and (key, value) != ("default", None)
    }
    options = [option for option in kept.get("anyOf", ()) if option != {"type": "null"}]
    if len(options) == 1:
        kept = {**options[0], **{key: value for key, value in kept.items() if key != "anyOf"}}
    return {key: _plain_part(key, value) for key, value in kept.items() if key != "title"}


_IN_FILES_ONLY = frozenset({"chars", "phones", "Char", "Phone"})
"""Fields, and their types, that no page holds (:func:`mcp_server.views.slim`)."""


def undescribed(schema: Any) -> Any:
    """A JSON schema without descriptions: answers are read, their schema is only checked against.

    The described ones are in ``schemas/json``, and so is what only files hold.
    """
    if isinstance(schema, list):
        return [undescribed(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    return {
        key: {name: undescribed(part) for name, part in value.items() if name not in _IN_FILES_ONLY}
        if key in ("properties", "$defs")
        else undescribed(value)
        for key, value in schema.items()
        if key != "description"
    }


def _plain_part(key: str, value: Any) -> Any:
    if key in ("properties", "$defs"):  # names, not keywords
        return {name: plain(part) for name, part in value.items()}
    return value if key in ("const", "default", "enum", "required") else plain(value)
