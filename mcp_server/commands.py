"""``whisperx-mlx-mcp config | models | doctor``: what is done once, before a client starts the server."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable

from mcp_server import clients
from schemas.errors import TranscriptionError


def config(argv: list[str]) -> int:
    """Prints a client's settings for this machine, or writes them; returns the exit status."""
    parser = config_parser()
    given = parser.parse_args(argv)
    launch = clients.Launch.of(given.name, given.allow_dir, given.option)
    try:
        client = clients.client_named(given.client)
        if given.write:
            return _write(client, launch)
    except TranscriptionError as error:
        return _failed(error)
    if client.command is not None:
        print(client.command(launch))
        return 0
    print(f"# {client.title}: {client.path()}", file=sys.stderr)
    print(client.rendered(launch))
    return 0


def config_parser() -> argparse.ArgumentParser:
    """The flags of ``config``."""
    parser = argparse.ArgumentParser(
        prog="whisperx-mlx-mcp config", description="Settings with which a client starts this server."
    )
    parser.add_argument("client", metavar="CLIENT", help=", ".join(clients.CLIENTS))
    parser.add_argument(
        "--write",
        action="store_true",
        help="put them into the client's file; the rest of it stays, backed up",
    )
    parser.add_argument(
        "--name", default="meetings", help="the server's name in the client (default: meetings)"
    )
    parser.add_argument(
        "--allow-dir",
        metavar="DIR",
        nargs="+",
        action="extend",
        default=[],
        help="recordings may be read from this folder; repeatable (default: the home folder)",
    )
    parser.add_argument(
        "--option",
        metavar="NAME=VALUE",
        action="append",
        default=[],
        help="default of every request; repeatable",
    )
    return parser


def _write(client: clients.Client, launch: clients.Launch) -> int:
    backup = clients.write(client, launch)
    print(f"{client.title} starts the server {launch.name!r} by {client.path()}.")
    if backup is not None:
        print(f"The file as it was: {backup}")
    print(client.after)
    return 0


def models(argv: list[str]) -> int:
    """As ``whisperx-mlx models``."""
    from pipeline.models_cli import main

    return main(argv)


def doctor(argv: list[str]) -> int:
    """As ``whisperx-mlx doctor``, with the server's folders and the clients that start it."""
    from mcp_server.access import Access
    from mcp_server.database import Database
    from mcp_server.settings import Settings
    from pipeline.cli import main

    status = main(["doctor", *argv])
    if "--json" in argv:
        return status
    settings = Settings()
    access = Access(settings.allow_dirs)
    print(f"recordings {access.described()}")
    for folder in access.missing:
        print(f"gap       allowed folder: {folder} is not there\n          fix: create it, or name another")
    database = Database(settings)
    try:
        database.open()
        print(f"state     {settings.state_dir}")
    except TranscriptionError as error:
        print(f"gap       {error.code}: {error.message}\n          fix: {error.hint}")
        status = status or 5
    finally:
        database.close()
    for name, client in clients.CLIENTS.items():
        if clients.starts_this(client):
            print(f"client    {client.title} starts this server")
        elif client.path().parent.is_dir():
            print(f"client    {client.title}: whisperx-mlx-mcp config {name} --write")
    return status


def _failed(error: TranscriptionError) -> int:
    from pipeline.cli import status_of

    print(f"error: {error.code}: {error.message}", file=sys.stderr)
    if error.hint:
        print(f"       {error.hint}", file=sys.stderr)
    return status_of(error)


COMMANDS: dict[str, Callable[[list[str]], int]] = {"config": config, "models": models, "doctor": doctor}
