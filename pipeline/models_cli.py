"""``models list | pull NAME... | path NAME``: what is here, fetching what is not, and where it lies."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from contextlib import contextmanager
from difflib import get_close_matches
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, TextColumn, TimeRemainingColumn, TransferSpeedColumn
from rich.progress import Progress as Bars

from pipeline import models
from pipeline.model_files import ModelFiles, Progress
from pipeline.model_places import Places, located
from pipeline.model_table import KINDS, TABLE, Entry, Hub, Wheels
from schemas.errors import InvalidArgument, ModelNotFound, TranscriptionError

STARTER = "starter"


def main(argv: list[str]) -> int:
    """Runs ``models`` with its arguments; returns the exit status of :mod:`pipeline.cli`."""
    from pipeline._cli_progress import Screen
    from pipeline.cli import OK, status_of

    arguments = _parser().parse_args(argv)
    try:
        arguments.run(arguments)
    except TranscriptionError as error:
        Screen().error(None, error)
        return status_of(error)
    return OK


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="whisperx-mlx models", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="list | pull | path")
    where = argparse.ArgumentParser(add_help=False)
    where.add_argument("--kind", choices=KINDS, metavar="KIND", help=f"which is meant: {', '.join(KINDS)}")
    where.add_argument("--model_dir", help="another folder for models")
    which = argparse.ArgumentParser(add_help=False)
    which.add_argument("--format", help="ctranslate2 or mlx, for Whisper (default: what this machine uses)")

    listing = commands.add_parser("list", parents=[where], help="every known model, and where it is")
    listing.add_argument("--here", action="store_true", help="only what is on this machine")
    listing.add_argument("--json", action="store_true", help="as JSON")
    listing.set_defaults(run=_list)

    pull = commands.add_parser("pull", parents=[where, which], help="fetch models")
    pull.add_argument(
        "names",
        nargs="*",
        metavar="NAME",
        help=f"a name, a hub repository, or {STARTER!r} (default: what this machine's plan needs)",
    )
    pull.add_argument("--language", help="fetch the alignment model of this language code")
    pull.set_defaults(run=_pull)

    path = commands.add_parser("path", parents=[where, which], help="print where a model is")
    path.add_argument("name", metavar="NAME")
    path.set_defaults(run=_path)
    return parser


def _list(arguments: argparse.Namespace) -> None:
    places = Places.of(arguments.model_dir)
    rows = [_row(entry, places) for entry in TABLE if arguments.kind in (None, entry.kind)]
    if arguments.here:
        rows = [row for row in rows if row["here"]]
    if arguments.json:
        print(json.dumps(rows, indent=2))
        return
    table = [("NAME", "KIND", "SIZE", "LICENCE", "WHERE")]
    table += [
        (r["name"], _kind(r), _size(r["bytes"]), r["licence"] or "see its page", _where(r)) for r in rows
    ]
    widths = [max(len(row[i]) for row in table) for i in range(4)]
    for row in table:
        print("  ".join([*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[4]]))


def _row(entry: Entry, places: Places) -> dict[str, Any]:
    here = []
    for format in models.FORMATS[entry.kind]:
        try:
            files = located(entry, (format,), places)
        except ModelNotFound as error:
            here.append({"format": format, "damaged": error.message})
            continue
        if files is not None:
            here.append({"format": format, "path": str(files.path), "revision": files.revision})
    return {
        "name": entry.name,
        "kind": entry.kind,
        "bytes": max(source.bytes for source in entry.sources),
        "parameters": entry.parameters,
        "licence": entry.licence,
        "aliases": list(entry.aliases),
        "sources": [_source(source) for source in entry.sources],
        "here": here,
        "about": entry.about,
    }


def _source(source: object) -> str:
    match source:
        case Hub():
            return source.repository
        case Wheels():
            return " ".join(source.requirements)
    return type(source).__name__.lower()


def _kind(row: dict[str, Any]) -> str:
    return f"align {row['about']}".rstrip() if row["kind"] == "align" else row["kind"]


def _where(row: dict[str, Any]) -> str:
    if not row["here"]:
        return f"not here: whisperx-mlx models pull {row['name']}"
    places = (
        f"{place['path']} ({place['format']})"
        if "path" in place
        else f"damaged: whisperx-mlx models pull {row['name']}"
        for place in row["here"]
    )
    return ", ".join(places)


def _size(count: int) -> str:
    if count < 1e6:
        return f"{count / 1e3:.0f} kB"
    return f"{count / 1e6:.0f} MB" if count < 1e9 else f"{count / 1e9:.1f} GB"


def _pull(arguments: argparse.Namespace) -> None:
    wanted = [(_kind_of(name, arguments.kind), name) for name in arguments.names]
    if arguments.language:
        name = models.align_model(arguments.language)
        if name is None:
            raise InvalidArgument(
                f"no alignment model is known for the language {arguments.language!r}",
                hint="name a wav2vec2 repository with --kind align",
            )
        wanted.append(("align", name))
    if not wanted:
        _pull_plan(arguments)
        return
    formats = (arguments.format,) if arguments.format else None
    with _progress() as (console, progress):
        for kind, name in wanted:
            if kind == STARTER:
                found = models.pull_starters(model_dir=arguments.model_dir, progress=progress)
            else:
                _check_format(kind, formats)
                options = {"model_dir": arguments.model_dir, "progress": progress}
                found = (models.pull(kind, name, formats=formats, **options),)
            for files in found:
                console.print(_line(files))


def _pull_plan(arguments: argparse.Namespace) -> None:
    """What this machine's plan wants first, each model for itself: one that fails costs no other.

    Raises the last failure. Alignment models belong to languages and are fetched with ``--language``.
    """
    failure: TranscriptionError | None = None
    with _progress() as (console, progress):
        for kind, name, formats in needed():
            try:
                options = {"model_dir": arguments.model_dir, "progress": progress}
                console.print(_line(models.pull(kind, name, formats=formats, **options)))
            except TranscriptionError as error:
                console.print(f"{kind} {name}: {error.message}")
                failure = error
    if failure is not None:
        raise failure


def needed() -> list[tuple[str, str, tuple[str, ...]]]:
    """Kind, name and formats of the weights that the first choice of each stage reads on this machine."""
    from pipeline import backends
    from pipeline.machine import probe
    from pipeline.plan import plan
    from schemas.options import Options

    chosen, found = plan(probe(), Options()), {}
    for room in backends.ROOMS:
        for choice in getattr(chosen, room)[:1]:
            backend = backends.module(room, choice.backend)
            if backend.MODEL_KIND in (None, "align"):
                continue
            name = choice.model or models.DEFAULTS.get(backend.MODEL_KIND)
            if name is not None:
                found[backend.MODEL_KIND, name] = tuple(backend.MODEL_FORMATS)
    return [(kind, name, formats) for (kind, name), formats in found.items()]


def _line(files: ModelFiles) -> str:
    licence = f" ({files.licence})" if files.licence else ""
    return f"{files.kind} {files.name}{licence}: {files.path}"


def _path(arguments: argparse.Namespace) -> None:
    kind = _kind_of(arguments.name, arguments.kind)
    formats = (arguments.format,) if arguments.format else models.FORMATS[kind]
    _check_format(kind, formats)
    files = models.find(kind, arguments.name, formats=formats, required=True, model_dir=arguments.model_dir)
    print(files.path)


def _check_format(kind: str, formats: tuple[str, ...] | None) -> None:
    unknown = set(formats or ()) - set(models.FORMATS[kind])
    if unknown:
        choices = ", ".join(models.FORMATS[kind])
        raise InvalidArgument(f"{kind} models come as {choices}, not as {unknown.pop()}")


def _kind_of(name: str, kind: str | None) -> str:
    """The kind that was given, else that of the table's model of this name."""
    if kind is not None:
        return kind
    if name == STARTER:
        return STARTER
    kinds = list(dict.fromkeys(entry.kind for entry in TABLE if _is_called(entry, name)))
    if len(kinds) == 1:
        return kinds[0]
    if kinds or "/" in name:
        raise InvalidArgument(f"what kind of model is {name!r}?", hint=f"add --kind: {', '.join(KINDS)}")
    near = get_close_matches(name, [entry.name for entry in TABLE], n=3)
    raise ModelNotFound(
        f"there is no model called {name!r}",
        hint=f"did you mean {', '.join(near)}?" if near else "`whisperx-mlx models list` shows the names",
    )


def _is_called(entry: Entry, name: str) -> bool:
    repositories = (s.repository for s in entry.sources if isinstance(s, Hub) and not s.folder)
    return name.lower() in (entry.name.lower(), *entry.aliases) or name.split("@")[0] in repositories


@contextmanager
def _progress() -> Iterator[tuple[Console, Progress]]:
    """A bar per file on a terminal, else a line at the beginning (with the size) and at the end of each."""
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    if not console.is_terminal:
        yield console, _Lines(console)
        return
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    with Bars(*columns, console=console) as bars:
        yield console, _Bar(bars)


class _Bar:
    """Progress as one bar per thing that is fetched."""

    def __init__(self, bars: Bars) -> None:
        self._bars, self._tasks = bars, {}

    def __call__(self, what: str, done: int, total: int) -> None:
        if what not in self._tasks:
            self._tasks[what] = self._bars.add_task(what, total=total)
        self._bars.update(self._tasks[what], completed=done, total=total)


class _Lines:
    """Progress as lines: the size at first, then each quarter."""

    def __init__(self, console: Console) -> None:
        self._console, self._next = console, {}

    def __call__(self, what: str, done: int, total: int) -> None:
        if what not in self._next:
            self._console.print(f"{what}: {_size(total)}")
            self._next[what] = 0.25
        elif total and done / total >= self._next[what]:
            self._console.print(f"{what}: {done / total:.0%}")
            self._next[what] = done / total + 0.25
