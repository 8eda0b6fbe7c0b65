"""How many words get the wrong speaker, or none: ours beside WhisperX's assign_word_speakers on the same turns.

    python bench/words_to_speakers.py [--backend auto] [--no-diarize]

Words with true times and speakers: five AMI excerpts and a synthetic conversation (all in the folder of recordings
with references; the synthetic one is shipped). Turns are the reference's, and what the diarizer finds. A word is
wrong when its label is not the one matched to its speaker, or when it has none. Where people talk at once turns
cannot tell whose the word is; the AMI excerpts EN2006a and EN2006b hold most of that.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests"), str(ROOT / "tests" / "accuracy")]

from recordings import SHIPPED, entries, shared_folder  # noqa: E402
from speaker_scores import wrong_words  # noqa: E402

from pipeline import rttm, speakers  # noqa: E402
from schemas.diarization import Diarization  # noqa: E402
from schemas.transcript import Segment, Word  # noqa: E402

PAUSE_S = 0.5  # ends a segment
Assign = Callable[[Sequence[Segment], Diarization], list[Word]]


def recordings() -> list[tuple[Path, list[dict]]]:
    """Sound files with their words."""
    folder = shared_folder() or SHIPPED
    found = [
        (folder / entry["file"], json.loads((folder / entry["words"]).read_text("utf-8")))
        for entry in entries(folder)
        if "words" in entry and entry.get("category") == "multi"
    ]
    return [(path, [word for word in words if word.get("speaker")]) for path, words in found]


def segments_of(words: Sequence[dict]) -> list[Segment]:
    """The words, cut at pauses as speech to text would give them."""
    rows = [Word(word=w["word"], start=w["start"], end=w["end"]) for w in words]
    cuts = [0, *(i for i, (a, b) in enumerate(pairwise(rows), 1) if b.start - a.end > PAUSE_S), len(rows)]
    return [_segment(rows[first:last]) for first, last in pairwise(cuts)]


def _segment(words: Sequence[Word]) -> Segment:
    text = " ".join(word.word for word in words)
    end = max(word.end for word in words)
    return Segment(start=words[0].start, end=max(words[0].start, end), text=text, words=tuple(words))


def ours(segments: Sequence[Segment], found: Diarization) -> list[Word]:
    return [word for part in speakers.assign(segments, found) for word in part.words]


def whisperx(fill_nearest: bool) -> Assign:
    """WhisperX's own, on the same turns."""

    def assign(segments: Sequence[Segment], found: Diarization) -> list[Word]:
        import pandas
        from whisperx.diarize import assign_word_speakers

        table = pandas.DataFrame(
            [(t.start, t.end, t.speaker) for t in found.turns], columns=["start", "end", "speaker"]
        )
        result = assign_word_speakers(
            table, {"segments": [segment.compact() for segment in segments]}, fill_nearest=fill_nearest
        )
        return [
            Word(word=word["word"], speaker=word.get("speaker"))
            for segment in result["segments"]
            for word in segment["words"]
        ]

    return assign


SYSTEMS: dict[str, Assign] = {
    "ours": ours,
    "WhisperX": whisperx(False),
    "WhisperX, fill_nearest": whisperx(True),
}


def reference(path: Path) -> Diarization:
    (turns,) = rttm.read(path.with_suffix(".rttm").read_text("utf-8")).values()
    return Diarization(turns=turns)


def diarized(backend: str) -> Callable[[Path], Diarization]:
    """What the diarizer finds."""
    import pipeline

    return lambda path: pipeline.diarize(str(path), diarize_backend=backend, channels="mix")


def row(
    name: str, turns: Sequence[Diarization], data: Sequence[tuple[Path, list[dict]]], assign: Assign
) -> str:
    wrong = nobodys = total = 0
    for (_, words), found in zip(data, turns, strict=True):
        made = assign(segments_of(words), found)
        errors, unlabelled = wrong_words([word["speaker"] for word in words], made)
        wrong, nobodys, total = wrong + errors, nobodys + unlabelled, total + len(words)
    return f"| {name} | {wrong / total:.2%} | {nobodys / total:.2%} |"


def confident(turns: Sequence[Diarization], data: Sequence[tuple[Path, list[dict]]]) -> str:
    """Whether scores mean something: wrong words among the surer and the less sure half."""
    scored: list[tuple[float, bool]] = []
    for (_, words), found in zip(data, turns, strict=True):
        made = ours(segments_of(words), found)
        people = [word["speaker"] for word in words]
        best = _names(people, made)
        scored += [
            (word.speaker_score or 0.0, best.get(word.speaker) != person)
            for word, person in zip(made, people, strict=True)
        ]
    scored.sort()
    half = len(scored) // 2
    low, high = (sum(bad for _, bad in part) / len(part) for part in (scored[:half], scored[half:]))
    return f"wrong words: {low:.1%} in the half with the lower speaker_score, {high:.1%} in the other"


def _names(people: Sequence[str], words: Sequence[Word]) -> dict[str | None, str]:
    """The person whom each label was matched to."""
    import numpy as np
    from scipy.optimize import linear_sum_assignment

    everyone, labels = sorted(set(people)), sorted({word.speaker for word in words if word.speaker})
    counts = np.zeros((len(labels), len(everyone)))
    for person, word in zip(people, words, strict=True):
        if word.speaker:
            counts[labels.index(word.speaker), everyone.index(person)] += 1
    return {labels[i]: everyone[j] for i, j in zip(*linear_sum_assignment(-counts), strict=True)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--backend", default="auto")
    parser.add_argument("--no-diarize", action="store_true", help="true turns only")
    args = parser.parse_args()
    data = recordings()
    kinds = {
        "turns of the reference": [reference(path) for path, _ in data],
    }
    if not args.no_diarize:
        find = diarized(args.backend)
        kinds["turns found"] = [find(path) for path, _ in data]
    for kind, turns in kinds.items():
        print(
            f"\n| {kind}, {sum(len(words) for _, words in data)} words | wrong or none | none |\n|---|---|---|"
        )
        for name, assign in SYSTEMS.items():
            print(row(name, turns, data, assign))
    if "turns found" in kinds:
        print("\n" + confident(kinds["turns found"], data))


if __name__ == "__main__":
    main()
