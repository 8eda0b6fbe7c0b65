"""``whisperx-mlx AUDIO [AUDIO ...]``, ``align AUDIO TRANSCRIPT``, ``models ...``, ``doctor``, ``bench``.

Exit status: 0 done; 2 wrong usage; 3 a recording or a request is at fault; 4 a model or a package is missing;
5 a failure while working; 130 interrupted. With several recordings the highest status of them all.
"""

from __future__ import annotations

import json
import logging
import os
import signal
import sys
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain, product
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from schemas.batch import FileReport
from schemas.errors import InputError, InvalidArgument, NotFound, SetupError, TranscriptionError, from_dict
from schemas.report import Warning_

if TYPE_CHECKING:
    from pipeline._cli_flags import Settings
    from pipeline._cli_progress import Screen
    from pipeline.batch import Task

OK, USAGE, INPUT, SETUP, FAILURE, INTERRUPTED = 0, 2, 3, 4, 5, 130


def main(argv: list[str] | None = None) -> int:
    """Runs the command line; returns the exit status."""
    argv = sys.argv[1:] if argv is None else argv
    command = _COMMANDS.get(argv[0]) if argv and not Path(argv[0]).is_file() else None
    try:
        return command(argv[1:]) if command else _transcribe(argv)
    except KeyboardInterrupt:
        print("interrupted; finished stages are kept, the same command goes on behind them", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:
        os.dup2(
            os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno()
        )  # nobody reads: no second error at exit
        return FAILURE


def status_of(error: TranscriptionError) -> int:
    """The exit status for an error."""
    if isinstance(error, InvalidArgument):
        return USAGE
    if isinstance(error, InputError | NotFound):
        return INPUT
    return SETUP if isinstance(error, SetupError) else FAILURE


def _align(argv: list[str]) -> int:
    return _transcribe(argv, align=True)


def _transcribe(argv: list[str], *, align: bool = False) -> int:
    from pipeline import _cli_inputs as inputs
    from pipeline._cli_flags import parse
    from pipeline._cli_progress import Screen

    screen = Screen()
    try:
        settings = parse(argv, align=align)
        with inputs.spooled(settings.audio) as named:
            tasks = _tasks(settings, _recordings(settings, named))
            screen = Screen(verbose=settings.verbose, print_progress=settings.print_progress)
            return _work(settings, named, tasks, screen)
    except TranscriptionError as error:
        screen.error(None, error)
        return status_of(error)


def _recordings(settings: Settings, named: Sequence[str]) -> tuple[str, ...]:
    """The files that are there now; while watching, the folders' come later."""
    from pipeline import _cli_inputs as inputs

    if settings.watch is None:
        return inputs.recordings(named)
    folders = [name for name in named if Path(name).expanduser().is_dir()]
    if not folders:
        raise InvalidArgument("--watch needs a folder", hint="name the folder that recordings come into")
    return tuple(name for name in named if name not in folders)


def _work(settings: Settings, named: Sequence[str], tasks: Sequence[Task], screen: Screen) -> int:
    from pipeline import _cli_inputs as inputs

    _quiet_libraries(settings.log_level)
    for warning in (*settings.warnings, *_prepared(settings)):
        screen.warning(warning)
    signal.signal(signal.SIGTERM, _stop)
    if settings.watch is None:
        return _all_files(settings, tasks, screen)
    folders = [Path(name).expanduser() for name in named if Path(name).expanduser().is_dir()]
    screen.say(f"watching {', '.join(map(str, folders))}; Ctrl-C ends it")
    arriving = (_task(settings, path) for path in inputs.arriving(folders, settings.watch))
    return _all_files(settings, chain(tasks, arriving), screen)


def _prepared(settings: Settings) -> Iterator[Warning_]:
    """What libraries read from the environment when they are first imported."""
    from pipeline.machine import use_gpu

    if settings.hf_token:
        os.environ["HF_TOKEN"] = settings.hf_token
    if settings.options.asr.threads:
        os.environ["OMP_NUM_THREADS"] = str(settings.options.asr.threads)
    if settings.device_index and not use_gpu(settings.device_index):
        yield Warning_(
            code="flag_ignored",
            message="--device_index has no effect: it numbers NVIDIA GPUs, and there are none",
        )


def _all_files(settings: Settings, tasks: Iterable[Task], screen: Screen) -> int:
    """Does the tasks, here or on a cluster, and says how each went; returns the highest status."""
    worst, out = OK, sys.stdout
    for report in _reports(settings, tasks, screen):
        screen.done(report)
        if settings.json:
            print(json.dumps(report.compact(), ensure_ascii=False), file=out, flush=True)
        if report.error is not None:
            worst = max(worst, status_of(from_dict(report.error)))
    return worst


def _reports(settings: Settings, tasks: Iterable[Task], screen: Screen) -> Iterator[FileReport]:
    from pipeline.cluster import spread

    if settings.ray is None:
        yield from _one_by_one(settings, tasks, screen)
        return
    todo = []
    for task in tasks:
        if settings.skip_existing and task.is_done:
            yield FileReport(file=task.path, status="skipped")
        else:
            todo.append(task)
    yield from spread(todo, settings.ray or None, settings.workers)


def _one_by_one(settings: Settings, tasks: Iterable[Task], screen: Screen) -> Iterator[FileReport]:
    from pipeline import batch
    from pipeline.cache import Cache
    from pipeline.pool import ModelPool

    pool, cache = ModelPool(), Cache()
    try:
        for task in tasks:
            if settings.skip_existing and task.is_done:
                yield FileReport(file=task.path, status="skipped")
                continue
            try:
                with screen.progress(Path(task.path).name) as report:
                    done = batch.do(task, pool, cache, report)
            except Exception as error:
                done = batch.failed(task.path, error)
            yield done
    finally:
        pool.unload()


def _task(settings: Settings, path: str) -> Task:
    from pipeline.batch import Task

    return Task(
        path=path,
        stem=Path(path).stem,
        operation=settings.operation,
        options=settings.options,
        output_dir=settings.output_dir,
        formats=settings.formats,
        subtitles=settings.subtitles,
        transcript=settings.transcript,
        no_cache=settings.no_cache,
    )


def _tasks(settings: Settings, recordings: Sequence[str]) -> list[Task]:
    """Each recording once, with the name of its results.

    Raises :class:`InvalidArgument` where results would fall on each other or on a recording, and for several
    recordings to one transcript.
    """
    tasks = [_task(settings, path) for path in dict.fromkeys(recordings)]
    if settings.transcript and (len(tasks) != 1 or settings.watch is not None):
        raise InvalidArgument(
            "a transcript belongs to one recording", hint="name the recording, not a folder"
        )
    for stem, count in Counter(task.stem.casefold() for task in tasks).items():
        if count > 1:
            raise InvalidArgument(
                f"{count} recordings are named {stem!r}: their results would replace each other",
                hint="transcribe them one by one, each with its own --output_dir",
            )
    for task in tasks:
        for target, source in product(task.targets, task.sources):
            if target.exists() and source.exists() and target.samefile(source):
                raise InvalidArgument(f"the result would replace {source}", hint="use --output_dir")
    return tasks


def _quiet_libraries(level: str | None) -> None:
    if level is None:
        warnings.simplefilter("ignore")
        logging.basicConfig(level=logging.CRITICAL, stream=sys.stderr)
    else:
        logging.basicConfig(level=level.upper(), stream=sys.stderr)


def _stop(signum: int, _frame: object) -> NoReturn:
    sys.exit(128 + signum)


def _models(argv: list[str]) -> int:
    from pipeline.models_cli import main as models

    return models(argv)


def _doctor(argv: list[str]) -> int:
    from pipeline import doctor
    from pipeline._cli_flags import parse
    from pipeline._cli_progress import Screen

    try:
        as_json = "--json" in argv
        settings = parse([word for word in argv if word != "--json"], needs_audio=False)
        found = doctor.report(settings.options)
    except TranscriptionError as error:
        Screen().error(None, error)
        return status_of(error)
    print(json.dumps(found, indent=2) if as_json else doctor.render(found))
    return OK if all(found["plan"].values()) else SETUP


def _bench(argv: list[str]) -> int:
    from pipeline import bench
    from pipeline._cli_flags import underscored
    from pipeline._cli_progress import Screen

    asked = bench.parser().parse_args([underscored(word) for word in argv])
    screen = Screen()
    _quiet_libraries("error")
    try:
        print(bench.run(asked, screen.say), end="")
    except TranscriptionError as error:
        screen.error(None, error)
        return status_of(error)
    return OK


_COMMANDS: dict[str, Callable[[list[str]], int]] = {
    "align": _align,
    "models": _models,
    "doctor": _doctor,
    "bench": _bench,
}


if __name__ == "__main__":
    sys.exit(main())
