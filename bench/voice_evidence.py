"""Is what is said about the speakers of a recording true: how pure, whether two are one person, how many?

    python bench/voice_evidence.py [--sets tuning reporting public] [--rounds 1] [--mode exact] [--keep FOLDER]

Simulated meetings (see ``simulate_meetings.py``; ``--rounds`` times eight a set) and the public recordings, each
diarized as it is, and with one or two speakers too few and too many: then people are mixed and divided on purpose.
A speaker's true purity is the share of the person heard most in the speaker's clean speech, where the reference
has one person at a time; "mixed" is less than ``LEAST_PURITY`` of it. A pair of speakers is one person where both
are mostly that person's. ``--keep`` keeps what the networks found, so that formulas can be tried without them.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests"), str(ROOT / "bench")]

from recordings import WHY_ABSENT, shared_folder  # noqa: E402
from simulate_meetings import load_voices, meeting, of_set, plans  # noqa: E402

from pipeline import backends, rttm, voice_evidence  # noqa: E402
from pipeline.audio import load_waveform  # noqa: E402
from pipeline.diarization_core import core  # noqa: E402
from pipeline.diarization_core.clustering import Bounds  # noqa: E402
from pipeline.diarize._core import CoreDiarizer  # noqa: E402
from pipeline.plan import Choice  # noqa: E402
from pipeline.recording import SAMPLE_RATE, Recording  # noqa: E402
from pipeline.voices import LEAST_PURITY  # noqa: E402
from schemas.diarization import Diarization, SpeakerTurn  # noqa: E402
from schemas.options import Options  # noqa: E402

PUBLIC = ("multi/ami_*.flac", "multi/en_falcon_3spk.flac", "multi/real_mix_4spk.flac")
OFF = (None, -2, -1, 1, 2)  # speakers more than there are; none: as many as are found
LEAST_CLEAN_S = 2.0  # of a speaker, to be scored
FRAME_S = 0.01


@dataclass(frozen=True)
class Heard:
    """What the networks found in a recording, and who truly speaks when."""

    activity: np.ndarray
    embeddings: np.ndarray
    turns: tuple[SpeakerTurn, ...]
    seconds: float


@dataclass(frozen=True)
class Speaker:
    """A speaker found: the reported and the true purity, whose voice it mostly is, seconds of clean speech."""

    purity: float | None
    truth: float
    person: str
    clean_s: float


@dataclass(frozen=True)
class Pair:
    """Two speakers of a recording: whether they are one person, and whether they are said to be."""

    one: bool
    hinted: bool


def labelled(which: str, rounds: int, folder: Path) -> Iterator[tuple[str, Callable]]:
    """Names of a set's recordings, and what makes each: () -> (waveform, true turns)."""
    if which == "public":
        for path in sorted(path for pattern in PUBLIC for path in folder.glob(pattern)):
            yield path.stem, lambda path=path: (load_waveform(path), _reference(path))
        return
    people: dict = {}
    for number in range(rounds):
        for plan in plans(which):
            made = replace(plan, name=f"{plan.name}_{number}", seed=plan.seed + 100 * number)
            yield made.name, lambda made=made: _meeting(made, which, people, folder)


def _reference(path: Path) -> tuple[SpeakerTurn, ...]:
    (turns,) = rttm.read(path.with_suffix(".rttm").read_text("utf-8")).values()
    return turns


def _meeting(plan, which: str, people: dict, folder: Path) -> tuple[np.ndarray, tuple[SpeakerTurn, ...]]:
    if not people:
        people.update(of_set(load_voices(folder / "voices"), which))
    made = meeting(plan, people)
    return made.waveform, made.turns


def heard(name: str, make: Callable, diarizer: CoreDiarizer, mode: str, keep: Path | None) -> Heard:
    """What the networks find, out of ``keep`` where that has it."""
    file = keep and keep / f"{mode}_{name}.npz"
    if file and file.exists():
        kept = np.load(file)
        (turns,) = rttm.read(str(kept["turns"])).values()
        return Heard(kept["activity"], kept["embeddings"], turns, float(kept["seconds"]))
    waveform, turns = make()
    recording = Recording.from_array(waveform)
    found = core.diarize(recording, diarizer.pipeline, Bounds(), mode=mode, progress=lambda fraction: None)
    seconds = len(waveform) / SAMPLE_RATE
    if file:
        keep.mkdir(parents=True, exist_ok=True)
        np.savez_compressed(
            file,
            activity=found.activity,
            embeddings=found.embeddings,
            turns=rttm.write(turns, name),
            seconds=seconds,
        )
    print(name, file=sys.stderr)
    return Heard(found.activity, found.embeddings, turns, seconds)


def evidence(recording: Heard, diarizer: CoreDiarizer, mode: str, speakers: int | None) -> Diarization:
    """The diarization with its evidence, as the backend makes it."""
    pipeline = diarizer.pipeline if mode == "exact" else core.constrained(diarizer.pipeline)
    bounds = Bounds() if speakers is None else Bounds(speakers, speakers, speakers)
    found = core.answer(recording.activity, recording.embeddings, pipeline, bounds, recording.seconds)
    windows = voice_evidence.Windows(found.embeddings, found.activity, pipeline.step_s)
    turns = Diarization(turns=found.turns, exclusive_turns=found.exclusive_turns)
    return voice_evidence.with_evidence(turns, windows, diarizer._embedding_model)


def grid(turns: Sequence[SpeakerTurn], names: Sequence[str], seconds: float) -> np.ndarray:
    """Who of ``names`` speaks in each 10 ms, (names, frames) bool."""
    speaking = np.zeros((len(names), round(seconds / FRAME_S) + 1), bool)
    for turn in turns:
        speaking[names.index(turn.speaker), round(turn.start / FRAME_S) : round(turn.end / FRAME_S)] = True
    return speaking


def scored(recording: Heard, found: Diarization) -> dict[str, Speaker]:
    """The speakers of whom enough is heard."""
    people = sorted({turn.speaker for turn in recording.turns})
    truth, said = (
        grid(turns, names, recording.seconds)
        for turns, names in ((recording.turns, people), (found.turns, found.speakers))
    )
    alone, single = said.sum(axis=0) == 1, truth.sum(axis=0) == 1
    speakers = {}
    for row, voice in zip(said, found.voices, strict=True):
        frames = (truth & single & alone & row).sum(axis=1)
        if frames.sum() * FRAME_S >= LEAST_CLEAN_S:
            speakers[voice.speaker] = Speaker(
                voice.purity, frames.max() / frames.sum(), people[frames.argmax()], voice.clean_s
            )
    return speakers


def paired(speakers: dict[str, Speaker], found: Diarization) -> Iterator[Pair]:
    """All pairs of speakers who are each mostly one person."""
    hinted = {pair.speakers for pair in found.similar_voices}
    for (one, first), (other, second) in combinations(speakers.items(), 2):
        if min(first.truth, second.truth) >= LEAST_PURITY:
            yield Pair(first.person == second.person, bool({(one, other), (other, one)} & hinted))


def purity_row(name: str, speakers: Sequence[Speaker]) -> str:
    """A line of the first table."""
    from scipy.stats import spearmanr

    known = [speaker for speaker in speakers if speaker.purity is not None]
    said = np.array([speaker.purity for speaker in known])
    truth = np.array([speaker.truth for speaker in known])
    rank = spearmanr(said, truth).statistic if len(set(said)) > 1 and len(set(truth)) > 1 else np.nan
    mixed, flagged = truth < LEAST_PURITY, said < LEAST_PURITY
    both = int((mixed & flagged).sum())
    return (
        f"| {name} | {len(known)} of {len(speakers)} | {np.abs(said - truth).mean():.3f} | {rank:.2f} "
        f"| {mixed.sum()} | {both} of {flagged.sum()} | {both} of {mixed.sum()} |"
    )


def pair_row(name: str, pairs: Sequence[Pair]) -> str:
    """A line of the second table."""
    one, two = ([pair.hinted for pair in pairs if pair.one == same] for same in (True, False))
    return f"| {name} | {sum(one)} of {len(one)} | {sum(two)} of {len(two)} |"


def count_row(name: str, found: Sequence[tuple[Diarization, int]]) -> str:
    """A line of the third table: what the evidence says where the count is right, too low, too high."""
    cells = []
    for sign in (0, -1, 1):
        of_sign = [
            one.speaker_count for one, true in found if np.sign(one.speaker_count.found - true) == sign
        ]
        more = sum(count.may_be_more > 0 for count in of_sign)
        fewer = sum(count.may_be_one > 0 for count in of_sign)
        cells.append(f"{len(of_sign)}: {more}, {fewer}")
    return f"| {name} | {' | '.join(cells)} |"


def tables(name: str, recordings: Sequence[Heard], diarizer: CoreDiarizer, mode: str) -> Iterator[str]:
    """All that is asked about one set."""
    rows: list[list[str]] = [[], [], []]
    for off in OFF:
        speakers, pairs, counts = [], [], []
        for recording in recordings:
            true = len({turn.speaker for turn in recording.turns})
            if off is not None and true + off < 1:
                continue
            found = evidence(recording, diarizer, mode, None if off is None else true + off)
            of_recording = scored(recording, found)
            speakers += of_recording.values()
            pairs += paired(of_recording, found)
            counts.append((found, true))
        how = "as found" if off is None else f"{abs(off)} too {'few' if off < 0 else 'many'}"
        rows[0].append(purity_row(how, speakers))
        rows[1].append(pair_row(how, pairs))
        rows[2].append(count_row(how, counts))
    yield f"\n### {name}, {mode}: {len(recordings)} recordings"
    for head, lines in zip(HEADS, rows, strict=True):
        yield "\n" + "\n".join([head, "|" + "---|" * (head.count("|") - 1), *lines])


HEADS = (
    "| number of speakers | with a purity | mean error | rank correlation | truly mixed "
    "| mixed of those said to be | said to be of the mixed |",
    "| number of speakers | one person: hinted | two people: hinted |",
    "| number of speakers | right count: may be more, may be one | too few | too many |",
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sets", nargs="+", choices=("tuning", "reporting", "public"), default=["reporting"])
    parser.add_argument("--rounds", type=int, default=1, help="of eight simulated meetings each")
    parser.add_argument("--mode", choices=("exact", "fast"), default="exact")
    parser.add_argument("--backend", choices=("torch", "mlx"), default="torch")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--keep", type=Path)
    args = parser.parse_args()
    folder = shared_folder()
    if folder is None:
        sys.exit(WHY_ABSENT)
    diarizer = backends.load("diarize", Choice(args.backend, args.device), Options())
    for name in args.sets:
        recordings = [
            heard(each, make, diarizer, args.mode, args.keep)
            for each, make in labelled(name, args.rounds, folder)
        ]
        print("\n".join(tables(name, recordings, diarizer, args.mode)), flush=True)


if __name__ == "__main__":
    main()
