"""How right is the whole path, recording by recording?

    python bench/quality.py [--asr faster_whisper mlx ...] [--model base] [--diarize auto] [--only NAME ...]

Word error rate of every recording with a reference text for each speech-to-text backend, then, for those with
speakers, diarization error rate (no collar, overlap counted; and pyannote's collar of 0.25, which forgives 0.125 s
to each side), speakers found, and words by speaker (cpWER) with the first backend. Everything runs as a job runs
it, without earlier results. Recordings: those that ship, and the folder that ``WHISPERX_MLX_AUDIO`` names (else
``../shared/audio``). All of it is public or synthetic audio that models may have seen: compare, do not claim.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests"), str(ROOT / "tests" / "accuracy")]

from recordings import SHIPPED, entries, shared_folder  # noqa: E402
from speaker_scores import Der, cpwer, der, texts_of  # noqa: E402

from pipeline import rttm  # noqa: E402
from pipeline.cache import Cache  # noqa: E402
from pipeline.pool import ModelPool  # noqa: E402
from pipeline.run import run  # noqa: E402
from pipeline.word_errors import Score, pooled, score  # noqa: E402
from schemas.jobs import JobRequest  # noqa: E402
from schemas.options import Options  # noqa: E402
from schemas.transcript import Transcript  # noqa: E402

# Base is useless in Hindi; the normaliser writes "one two three" as 123; two people at once.
UNFIT = {"hi_fleurs", "en_uberi", "en_stereo_2ch_2spk"}


@dataclass(frozen=True)
class Item:
    """A recording with its reference: the text, and where there are speakers, ``stem.rttm`` and its lines."""

    name: str
    path: Path
    language: str
    text: str

    @property
    def has_speakers(self) -> bool:
        return self.path.with_suffix(".rttm").exists()

    @property
    def lines(self) -> dict[str, str]:
        """What each speaker said."""
        said: dict[str, list[str]] = {}
        for line in json.loads(self.path.with_suffix(".segments.json").read_text("utf-8")):
            said.setdefault(line["speaker"], []).append(line["text"])
        return {speaker: " ".join(texts) for speaker, texts in said.items()}


def items() -> Iterator[Item]:
    """All that can be scored; those that ship come from the tests."""
    folder = shared_folder()
    found = {e["id"]: e for e in entries(folder, "single", "multi") if e["id"] not in UNFIT}
    for path in sorted(SHIPPED.glob("syn_*.segments.json")):
        name = path.name.removesuffix(".segments.json")
        audio = next(p for p in SHIPPED.glob(f"{name}.*") if p.suffix in (".flac", ".opus"))
        text = " ".join(line["text"] for line in json.loads(path.read_text("utf-8")))
        yield Item(name, audio, name.split("_")[1], text)
        found.pop(name, None)
    for name, entry in found.items():
        if entry.get("text"):
            yield Item(name, folder / entry["file"], entry["lang"], entry["text"])


class Runner:
    """Runs jobs with models kept warm and no earlier results."""

    def __init__(self, folder: Path, model: str, diarize: str) -> None:
        self.pool, self.cache = ModelPool(), Cache(folder)
        self.options = {"model": model, "device": "cpu", "diarize_backend": diarize}

    def __call__(self, item: Item, operation: str, **options) -> Transcript:
        asked = Options.from_flat(**self.options, language=item.language, **options)
        request = JobRequest(operation=operation, path=str(item.path), options=asked)
        return run(request, pool=self.pool, cache=self.cache)


def word_errors(found: Sequence[Item], backends: Sequence[str], runner: Runner) -> None:
    """The table of word error rates, pooled at its foot."""
    columns = {name: [heard(item, name, runner) for item in found] for name in backends}
    print("| recording | language | words |" + "".join(f" {name} WER % (D, I) |" for name in backends))
    print("|---|---|---|" + "---|" * len(backends))
    for number, item in enumerate(found):
        scores = [column[number] for column in columns.values()]
        print(row(item.name, item.language, scores))
    for group, english in (("English", True), ("other languages", False)):
        members = [number for number, item in enumerate(found) if (item.language == "en") == english]
        sums = [pooled(column[number] for number in members) for column in columns.values()]
        print(row(f"**{group}, pooled**", "", sums), flush=True)


def heard(item: Item, backend: str, runner: Runner) -> Score:
    transcript = runner(item, "transcribe", backend=backend, no_align=True)
    found = score(item.text, " ".join(segment.text for segment in transcript.segments), item.language)
    print(f"{backend} {item.name} {cell(found)}", file=sys.stderr, flush=True)
    return found


def row(name: str, language: str, scores: Sequence[Score]) -> str:
    return f"| {name} | {language} | {scores[0].words} | " + " | ".join(map(cell, scores)) + " |"


def cell(scored: Score) -> str:
    return f"{100 * scored.rate:.1f} ({scored.deletions}, {scored.insertions})"


def speakers(found: Sequence[Item], backend: str, runner: Runner) -> None:
    """The table of diarization and of words by speaker."""
    print(
        "\n| recording | DER % | miss | false alarm | confusion | DER %, collar 0.25 | speakers | cpWER % |"
    )
    print("|---|---|---|---|---|---|---|---|")
    whole, forgiving = Der(), Der()
    for item in found:
        transcript = runner(item, "transcribe_diarized", backend=backend)
        (truth,) = rttm.read(item.path.with_suffix(".rttm").read_text("utf-8")).values()
        duration_s = transcript.media.duration_s
        strict = der(truth, transcript.turns, duration_s)
        loose = der(truth, transcript.turns, duration_s, 0.25)
        whole, forgiving = whole + strict, forgiving + loose
        words = cpwer(item.lines, texts_of(transcript.segments), item.language)
        true_count = len({turn.speaker for turn in truth})
        print(
            f"| {item.name} | {shares(strict)} | {100 * loose.rate:.1f} | "
            f"{len(transcript.speakers)} of {true_count} | {100 * words.rate:.1f} |",
            flush=True,
        )
    print(f"| **pooled** | {shares(whole)} | {100 * forgiving.rate:.1f} | | |")


def shares(found: Der) -> str:
    parts = (found.missed, found.false_alarm, found.confusion)
    return f"{100 * found.rate:.1f} | " + " | ".join(f"{100 * s / found.speech:.1f}" for s in parts)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--asr", nargs="+", default=["faster_whisper", "mlx"])
    parser.add_argument("--model", default="base")
    parser.add_argument("--diarize", default="auto")
    parser.add_argument("--only", nargs="*", default=[], help="parts of recordings' names")
    parser.add_argument("--no-words", action="store_true", help="leave the first table out")
    args = parser.parse_args()
    found = [item for item in items() if not args.only or any(part in item.name for part in args.only)]
    began = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        runner = Runner(Path(folder), args.model, args.diarize)
        if not args.no_words:
            word_errors(found, args.asr, runner)
        speakers([item for item in found if item.has_speakers], args.asr[0], runner)
        runner.pool.unload()
    print(f"\n{len(found)} recordings, {time.perf_counter() - began:.0f} s", file=sys.stderr)


if __name__ == "__main__":
    main()
