"""What tools answer, taken apart and checked."""

import json

from schemas.errors import CODES


def body(result):
    assert not result.is_error, result.content[0].text
    return result.structured_content


def error(result):
    """The error's fields; it is text alone, a line to read and a line of JSON."""
    assert result.is_error
    assert result.structured_content is None
    (block,) = result.content
    line, data = block.text.split("\n")
    fields = json.loads(data)["error"]
    assert line.startswith(f"{fields['code']}: ")
    assert fields["code"] in CODES
    assert isinstance(fields["retryable"], bool)
    return fields


async def transcribed(client, path, tool="transcribe", **arguments):
    return body(await client.call_tool(tool, {"file_path": str(path), **arguments}))
