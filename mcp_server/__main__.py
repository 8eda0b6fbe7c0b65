"""``whisperx-mlx-mcp``, or ``python -m mcp_server``: serves MCP over stdin and stdout; and its few commands."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from schemas.errors import InvalidArgument


def main(argv: Sequence[str] | None = None) -> None:
    """Until stdin closes, or SIGTERM or SIGINT comes; the worker process ends with the server."""
    argv = sys.argv[1:] if argv is None else list(argv)
    if argv and argv[0] in _COMMANDS:
        from mcp_server.commands import COMMANDS

        sys.exit(COMMANDS[argv[0]](argv[1:]))
    parser = _parser()
    given = parser.parse_args(argv)
    if given.version:
        from mcp_server.version import VERSION

        print(VERSION)
        return
    with _quiet_stdout():
        from mcp_server.serve import serve
        from mcp_server.settings import Settings, folders_from_environment
        from schemas.options import Options

        try:
            defaults = dict(map(_option, given.option))
            Options.from_flat(**defaults)
        except InvalidArgument as error:
            parser.error(f"--option: {error.message}" + (f" ({error.hint})" if error.hint else ""))
        settings = Settings(
            allow_dirs=tuple(given.allow_dir) or folders_from_environment(),
            defaults=defaults,
            idle_s=given.idle_s,
            keep_days=given.keep_days,
        )
    serve(settings)


_COMMANDS = ("config", "models", "doctor")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="whisperx-mlx-mcp",
        description="Transcribes recordings on this computer for MCP clients. Speaks MCP over stdin and stdout; "
        "a client starts it.",
        epilog="whisperx-mlx-mcp config CLIENT [--write] prints or writes a client's settings; whisperx-mlx-mcp "
        "models pull fetches the models; whisperx-mlx-mcp doctor tells what is missing, and its fix.",
    )
    parser.add_argument(
        "--allow-dir",
        metavar="DIR",
        nargs="+",
        action="extend",
        default=[],
        help="recordings may be read from this folder; repeatable (default: WHISPERX_MLX_ALLOW_DIRS, else the "
        "home folder without its hidden folders)",
    )
    parser.add_argument(
        "--option",
        metavar="NAME=VALUE",
        action="append",
        default=[],
        help="default of every request, such as model=large-v3 or batch_size=16; repeatable",
    )
    parser.add_argument(
        "--idle-s",
        metavar="SECONDS",
        type=float,
        default=600.0,
        help="give the models' memory back after this time without a job (default: 600)",
    )
    parser.add_argument(
        "--keep-days",
        metavar="DAYS",
        type=float,
        help="delete transcripts, and what is known of their jobs, this many days after they were made (default: "
        "keep them)",
    )
    parser.add_argument("--version", action="store_true", help="print the version and end")
    return parser


def _option(text: str) -> tuple[str, Any]:
    """``batch_size=16`` as a name and a JSON value; what is no JSON is a string."""
    name, equals, value = text.partition("=")
    if not equals:
        raise InvalidArgument(f"{text!r} is not NAME=VALUE")
    try:
        return name, json.loads(value)
    except ValueError:
        return name, value


@contextmanager
def _quiet_stdout() -> Iterator[None]:
    """What is printed while modules are imported goes to stderr: stdout belongs to the protocol."""
    sys.stdout.flush()
    real = os.dup(1)
    os.dup2(2, 1)
    try:
        yield
    finally:
        sys.stdout.flush()
        os.dup2(real, 1)
        os.close(real)


if __name__ == "__main__":
    main()
