"""Prompts: what a user can pick from a menu, written as the request that gets it done well."""

from __future__ import annotations

from typing import Annotated

from mcp.server import MCPServer
from mcp.server.mcpserver.prompts import Prompt
from pydantic import Field

Source = Annotated[str, Field(description="Path of a recording, or a transcript_id.")]

_READ = """\
The recording or transcript: {source}
If that is a path, call transcribe_diarized with it and follow next_action until status is completed; if it \
is a transcript_id, call get_transcript. Follow next_action until you have read every page. Name the \
speakers with label_speakers where the evidence or I name them.
"""
_HONEST = """\
Check each quote with search_transcripts (exact=true) before you use it, and put its time beside it. Leave \
out what the transcript does not say. Mark what lies in stretches reported as doubtful.
"""


def minutes(source: Source) -> str:
    """Minutes of a meeting: topics, decisions, action items, with who said it and when."""
    return (
        "Write the minutes of this meeting.\n\n"
        + _READ.format(source=source)
        + "Then write: date and length if known; who took part; the topics in order, each in a few "
        "sentences; "
        "decisions, with who made them; action items as a table of who, what, by when; open questions.\n"
        + _HONEST
    )


def action_items(source: Source) -> str:
    """Who promised to do what by when."""
    return (
        "List the action items of this recording.\n\n"
        + _READ.format(source=source)
        + "An action item is something that somebody took on or was given and did not turn down. Answer "
        "with a "
        "table: who, what, by when, the quote with its time. Say so where who or when was left open.\n"
        + _HONEST
    )


def name_speakers(source: Source) -> str:
    """Finds out who the speakers are, with evidence."""
    return (
        "Find out who speaks in this recording.\n\n"
        + _READ.format(source=source)
        + "Call label_speakers without labels to see where names fall. Somebody who is called usually "
        "speaks next; "
        "somebody who is thanked has usually just spoken; “I'm …” names its own speaker. Show me a table "
        "of label, "
        "name, evidence with its time and how sure you are; then call label_speakers with the names that "
        "are sure, "
        "and ask me about the others, suggested names included.\n"
    )


def check_quotes(
    source: Source, text: Annotated[str, Field(description="The text whose quotes are checked.")]
) -> str:
    """Checks whether the quotes in a text were really said."""
    return (
        "Check whether the quotes in the text below were really said.\n\n"
        + _READ.format(source=source)
        + "For each quote call search_transcripts with exact=true and the transcript_id. Answer with a "
        "table: the "
        "quote, exact or not, who said it, the time; where it was not said, what comes closest.\n\nThe "
        "text:\n" + text
    )


def add_prompts(server: MCPServer) -> None:
    """All prompts, with titles for menus."""
    titles = {
        minutes: "Minutes of a meeting",
        action_items: "Action items",
        name_speakers: "Name the speakers",
        check_quotes: "Check quotes",
    }
    for fn, title in titles.items():
        server.add_prompt(Prompt.from_function(fn, title=title))
