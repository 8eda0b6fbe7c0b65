"""``whisperx-mlx AUDIO [AUDIO ...]``, ``whisperx-mlx align AUDIO TRANSCRIPT``, ``models ...``, ``doctor``.

Exit status: 0 done; 2 wrong usage; 3 a recording or a request is at fault; 4 a model or a package is missing;
5 a failure while working; 130 interrupted. With several recordings the highest status of them all.
"""

from __future__ import annotations

import json
import logging
import os
import signal
import sys
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import chain, product
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from schemas.errors import InputError, InvalidArgument, NotFound, SetupError, TranscriptionError

if TYPE_CHECKING:
    from pipeline._cli_flags import Settings
    from pipeline._cli_progress import Screen
    from schemas.jobs import OutputFile
    from schemas.transcript import Transcript

OK, USAGE, INPUT, SETUP, FAILURE, INTERRUPTED = 0, 2, 3, 4, 5, 130


def main(argv: list[str] | None = None) -> int:
    """Runs the command line; returns the exit status."""
    argv = sys.argv[1:] if argv is None else argv
    command = _COMMANDS.get(argv[0]) if argv and not Path(argv[0]).exists() else None
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
            stems = _stems(settings, _recordings(settings, named))
            screen = Screen(verbose=settings.verbose, print_progress=settings.print_progress)
            return _work(settings, named, stems, screen)
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


def _work(settings: Settings, named: Sequence[str], stems: dict[str, str], screen: Screen) -> int:
    from pipeline import _cli_inputs as inputs

    _quiet_libraries(settings.log_level)
    if settings.hf_token:
        os.environ["HF_TOKEN"] = settings.hf_token
    for warning in settings.warnings:
        screen.warning(warning)
    signal.signal(signal.SIGTERM, _stop)
    files: Iterable[tuple[str, str]] = stems.items()
    if settings.watch is not None:
        folders = [Path(name).expanduser() for name in named if Path(name).expanduser().is_dir()]
        screen.say(f"watching {', '.join(map(str, folders))}; Ctrl-C ends it")
        arriving = inputs.arriving(folders, settings.watch)
        files = chain(files, ((path, Path(path).stem) for path in arriving))
    return _all_files(settings, files, screen)


def _all_files(settings: Settings, files: Iterable[tuple[str, str]], screen: Screen) -> int:
    from pipeline.cache import Cache
    from pipeline.pool import ModelPool

    worst, pool, cache = OK, ModelPool(), Cache()
    try:
        for path, stem in files:
            if settings.skip_existing and _is_done(settings, path, stem):
                screen.skipped(Path(path).name)
                _tell(settings, {"file": path, "status": "skipped"})
                continue
            try:
                _one_file(settings, path, stem, pool, cache, screen)
            except Exception as error:
                coded = error if isinstance(error, TranscriptionError) else _defect(error)
                screen.error(path, coded)
                _tell(settings, {"file": path, "status": "failed", "error": coded.to_dict()})
                worst = max(worst, status_of(coded))
    finally:
        pool.unload()
    return worst


def _is_done(settings: Settings, path: str, stem: str) -> bool:
    """Whether every result is there and no older than the recording."""
    try:
        changed = Path(path).expanduser().stat().st_mtime
        return all(target.stat().st_mtime >= changed for target in _targets(settings, stem))
    except OSError:
        return False


def _targets(settings: Settings, stem: str) -> Iterator[Path]:
    from pipeline.writers import EXTENSIONS

    return (settings.output_dir / f"{stem}.{EXTENSIONS[name]}" for name in settings.formats)


def _one_file(settings: Settings, path: str, stem: str, pool, cache, screen: Screen) -> None:
    from pipeline.run import run
    from pipeline.writers import write_files
    from schemas.jobs import JobRequest

    name = Path(path).name
    started = time.perf_counter()
    request = JobRequest(
        operation=settings.operation,
        path=str(Path(path).expanduser().absolute()),
        transcript_path=settings.transcript,
        options=settings.options,
    )
    with screen.progress(name) as report:
        transcript = run(request, pool=pool, cache=cache, report=report)
    files = write_files(
        transcript,
        settings.output_dir,
        stem,
        settings.formats,
        overwrite=True,
        subtitles=settings.subtitles,
    )
    seconds = time.perf_counter() - started
    screen.done(name, transcript, files, seconds)
    _tell(settings, _summary(path, transcript, files, seconds))


def _summary(path: str, transcript: Transcript, files: Sequence[OutputFile], seconds: float) -> dict:
    """What `--json` says of a file. Nothing that was said is in it."""
    duration = transcript.media.duration_s
    return {
        "file": path,
        "status": "done",
        "duration_s": duration,
        "seconds": round(seconds, 3),
        "rtfx": round(duration / seconds, 2) if seconds > 0 else None,
        "language": transcript.language,
        "speakers": len(transcript.speakers),
        "segments": len(transcript.segments),
        "stages": {name: report.compact() for name, report in transcript.stages.items()},
        "warnings": [warning.compact() for warning in transcript.warnings],
        "files": [file.path for file in files],
    }


def _tell(settings: Settings, facts: dict) -> None:
    if settings.json:
        print(json.dumps(facts, ensure_ascii=False), flush=True)


def _stems(settings: Settings, recordings: Sequence[str]) -> dict[str, str]:
    """Each recording once, with the name of its results.

    Raises :class:`InvalidArgument` where results would fall on each other or on a recording.
    """
    stems = {path: Path(path).stem for path in recordings}
    for stem, count in Counter(stem.casefold() for stem in stems.values()).items():
        if count > 1:
            raise InvalidArgument(
                f"{count} recordings are named {stem!r}: their results would replace each other",
                hint="transcribe them one by one, each with its own --output_dir",
            )
    for path, stem in stems.items():
        for target, given in product(_targets(settings, stem), filter(None, (path, settings.transcript))):
            if target.exists() and Path(given).exists() and target.samefile(given):
                raise InvalidArgument(f"the result would replace {given}", hint="use --output_dir")
    return stems


def _defect(error: Exception) -> TranscriptionError:
    """An error that has no code is a defect; its message may quote anything, so only its place is shown."""
    last = error.__traceback__
    while last is not None and last.tb_next is not None:
        last = last.tb_next
    where = f"{Path(last.tb_frame.f_code.co_filename).name}:{last.tb_lineno}" if last else "unknown place"
    logging.getLogger(__name__).debug("defect", exc_info=error)
    return TranscriptionError(
        f"{type(error).__name__} in {where}", hint="--log_level debug shows more; please report it"
    )


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


_COMMANDS: dict[str, Callable[[list[str]], int]] = {"align": _align, "models": _models, "doctor": _doctor}


if __name__ == "__main__":
    sys.exit(main())
