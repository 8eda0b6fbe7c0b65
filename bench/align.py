"""How exactly do the aligners place words, and how fast?

    python bench/align.py [--only wav2vec2_mlx PocketSphinx ...] [--sets clean shipped ...] [--clips 4]
                          [--align-model FOLDER] [--model base] [--device cpu] [--precision float32] [--threads 2]
                          [--labelled FOLDER] [--pocketsphinx ENVIRONMENT] [--stable-ts ENVIRONMENT] [--out FILE]

Every aligner of this project, and others where they are installed and have their weights, on speech whose words
have known times (``align_data.py``): each system in a process of its own. Errors are absolute, beginnings and ends
of words together, in milliseconds; a word without a time counts as such, not as an error. RTFx is seconds of
segments per second of work, after a first run that is not counted; peak memory is the process's.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from itertools import chain
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests"), str(ROOT / "bench")]

from align_data import Labelled, all_sets, own  # noqa: E402
from align_systems import (  # noqa: E402
    AFTER,
    PEERS,
    HandedOver,
    NotHere,
    System,
    Times,
    faster_whisper_words,
    ours,
    pocketsphinx,
    stable_ts,
    whisperx_align,
)

from pipeline import backends  # noqa: E402
from pipeline._bench_process import peak_mb  # noqa: E402
from pipeline.align._words import split_words  # noqa: E402
from schemas.errors import TranscriptionError  # noqa: E402
from schemas.transcript import Segment  # noqa: E402

HEADINGS = (
    "system",
    "words of",
    "number",
    "median",
    "mean",
    "90 %",
    "within 20 ms, %",
    "50 ms",
    "100 ms",
    "bias of beginnings",
    "no time",
    "RTFx",
    "peak GB",
)


def system_named(name: str, args: argparse.Namespace) -> System:
    """Raises :class:`NotHere`."""
    if name == PEERS[0]:
        return whisperx_align(args.align_model, args.threads)
    if name == PEERS[1]:
        return whisperx_align(None, args.threads, random_weights=True)
    if name == PEERS[2]:
        return faster_whisper_words(args.model, args.threads)
    if name == PEERS[3]:
        return pocketsphinx(args.pocketsphinx)
    if name == PEERS[4]:
        return stable_ts(args.stable_ts, args.model, args.threads)
    if name in AFTER:
        return HandedOver(AFTER[name], args.device, args.threads)
    model = args.model if backends.module("align", name).MODEL_KIND == "whisper" else args.align_model
    return ours(name, model=model, device=args.device, threads=args.threads, precision=args.precision)


def measure(system: System, data: Labelled) -> list[str]:
    """The cells of a row behind the system's name."""
    errors, missing, seconds, speech = [], 0, 0.0, 0.0
    for recording, segments in data.parts:
        bare = [segment.model_copy(update={"words": ()}) for segment in segments]
        if hasattr(system, "prepare"):
            system.prepare(recording, bare)
        began = time.perf_counter()
        found = system(recording, bare, data.language)
        seconds += time.perf_counter() - began
        speech += sum(segment.end - segment.start for segment in segments)
        for times, segment in zip(found, segments, strict=True):
            for at, word in zip(_of_words(times, segment), segment.words, strict=True):
                missing += at is None
                if at is not None:
                    errors.append((1000 * (at[0] - word.start), 1000 * (at[1] - word.end)))
    if not errors:
        return [data.name, str(missing), *[""] * 7, str(missing), ""]
    signed = np.array(errors)
    off = np.abs(signed if data.ends_count else signed[:, 0])
    if getattr(system, "speed_only", False):
        return [data.name, str(len(errors) + missing), *[""] * 8, f"{speech / seconds:.1f}"]
    return [
        data.name,
        str(len(errors) + missing),
        *(f"{value:.0f}" for value in (np.median(off), off.mean(), np.percentile(off, 90))),
        *(f"{100 * (off <= limit).mean():.0f}" for limit in (20, 50, 100)),
        f"{np.median(signed[:, 0]):+.0f}",
        str(missing),
        f"{speech / seconds:.1f}",
    ]


def _of_words(times: Times, segment: Segment) -> Times:
    """The words' times out of those of their parts: aligners take each Japanese character for a word."""
    parts = iter(times)
    found: Times = []
    for word in segment.words:
        own = [next(parts) for _ in split_words(word.word)]
        found.append((own[0][0], own[-1][1]) if None not in own else None)
    return found


def one(name: str, args: argparse.Namespace) -> None:
    """Measures one system in this process and prints a line of JSON for each row."""
    with tempfile.TemporaryDirectory() as folder:
        try:
            system = system_named(name, args)
            for number, data in enumerate(chosen(Path(folder), args)):
                try:
                    if number == 0:
                        measure(system, data)  # what is loaded or compiled once
                    cells = measure(system, data)
                except (NotHere, TranscriptionError) as error:
                    cells = [data.name, str(error)]
                else:
                    cells.append(f"{peak_mb() / 1e3:.2f}")
                print(json.dumps([name, *cells]), flush=True)
        except (NotHere, ImportError, TranscriptionError) as error:
            print(json.dumps([name, str(error)]), flush=True)


def chosen(folder: Path, args: argparse.Namespace):
    """The sets asked for, each with its first clips only where that was asked."""
    more = [own(args.labelled, folder)] if args.labelled else []
    for data in chain(
        more, all_sets(folder, lambda name: not args.sets or any(part in name for part in args.sets))
    ):
        parts = tuple((recording, segments[: args.clips]) for recording, segments in data.parts)
        yield replace(data, parts=parts)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="*", help="systems whose names hold one of these")
    parser.add_argument("--sets", nargs="*", help="sets whose names hold one of these")
    parser.add_argument("--clips", type=int, help="so many segments of each recording")
    parser.add_argument("--labelled", type=Path, help="folder of sentences: NAME.wav and NAME.words.json")
    parser.add_argument("--model", default="base", help="Whisper whose attention is read")
    parser.add_argument("--align-model", help="wav2vec2 (default: the language's)")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--precision", help="default: int8 for cross_attention on a CPU, else float32")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--pocketsphinx", type=Path, default=Path("pocketsphinx-env"), help="its environment")
    parser.add_argument("--stable-ts", type=Path, default=Path("stable-ts-env"), help="its environment")
    parser.add_argument("--out", type=Path)
    parser.add_argument("--one", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.one:
        one(args.one, args)
        return
    lines = [f"| {' | '.join(HEADINGS)} |", f"|{'---|' * len(HEADINGS)}"]
    print("\n".join(lines))
    for name in (*backends.available("align"), *AFTER, *PEERS):
        if args.only and not any(part in name for part in args.only):
            continue
        process = subprocess.Popen(
            [sys.executable, __file__, *sys.argv[1:], "--one", name],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        for answer in process.stdout:
            if answer.startswith("["):
                cells = json.loads(answer)
                lines.append("| " + " | ".join(cells + [""] * (len(HEADINGS) - len(cells))) + " |")
                print(lines[-1], flush=True)
        if process.wait():
            print(f"| {name} | ended with status {process.returncode} |" + " |" * (len(HEADINGS) - 2))
    if args.out:
        args.out.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
