"""How many words get the wrong speaker, or none: ours beside WhisperX's assign_word_speakers on the same turns.

    python bench/words_to_speakers.py [--sets public tuning reporting] [--heard] [--rounds 1] [--backend auto]
                                      [--mode auto] [--keep FOLDER]

Words with true times and speakers. ``public``: five AMI excerpts and a synthetic conversation (all in the folder
of recordings with references; the synthetic one is shipped). ``tuning`` and ``reporting``: simulated meetings (see
``simulate_meetings.py``; ``--rounds`` times eight), whose words are those that Whisper base hears in each clean
voice before it is mixed, placed by the aligner that is the default there; nobody is in both sets. Turns are the
reference's, and what the diarizer finds.

A word is wrong when its label is not the one matched to its speaker, or when it has none. Where people talk at
once the reference's words are those of both, in the order of their starts, and turns cannot tell whose a word is.
So ``--heard`` gives the words that Whisper base hears in the mixture, with the aligner's times, as users have
them; scored are those that the reference has within half a second. ``--keep`` keeps what was heard and found, and
goes on from there.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests"), str(ROOT / "tests" / "accuracy"), str(ROOT / "bench")]

from recordings import SHIPPED, WHY_ABSENT, entries, shared_folder  # noqa: E402
from simulate_meetings import (  # noqa: E402
    Clip,
    SpokenWord,
    load_voices,
    meeting,
    of_set,
    plans,
)
from speaker_scores import wrong_words  # noqa: E402

from pipeline import rttm, speakers  # noqa: E402
from pipeline.pool import ModelPool  # noqa: E402
from pipeline.run import run_on  # noqa: E402
from schemas.diarization import Diarization, SpeakerTurn  # noqa: E402
from schemas.transcript import Segment, Word  # noqa: E402

PAUSE_S = 0.5  # ends a segment
SAME_S = 0.5  # between a word heard and the reference's, at most
SETS = ("public", "tuning", "reporting")
Assign = Callable[[Sequence[Segment], Diarization], list[Word]]
Sounding = tuple[object, Sequence[SpokenWord], Sequence[SpeakerTurn]]
"""A recording as path or samples, its words and its turns."""


@dataclass(frozen=True)
class Talk:
    """A recording's words and turns, what the diarizer found, and what was heard (where that was asked for)."""

    name: str
    words: tuple[SpokenWord, ...]
    turns: tuple[SpeakerTurn, ...]
    found: Diarization
    heard: tuple[Segment, ...] = ()


@dataclass
class Ears:
    """The product, on the models that it holds, and the folder of what it made before."""

    diarize: dict[str, str]
    keep: Path | None
    heard: bool
    pool: ModelPool

    def transcribe(self, sound: object) -> tuple[Segment, ...]:
        return run_on(sound, "transcribe", {"language": "en", "model": "base"}, pool=self.pool).segments

    def find(self, sound: object) -> Diarization:
        made = run_on(sound, "diarize", {"channels": "mix", **self.diarize}, pool=self.pool)
        return Diarization(turns=made.turns, exclusive_turns=made.exclusive_turns)

    def talk(self, name: str, make: Callable[[], Sounding]) -> Talk:
        """The recording that ``make`` gives as sound, words and turns; out of the folder where that has it."""
        from pydantic import TypeAdapter

        form = TypeAdapter(Talk)
        file = self.keep and self.keep / f"{'_'.join(self.diarize.values())}_{name}.json"
        if file and file.exists():
            kept = form.validate_json(file.read_bytes())
            if kept.heard or not self.heard:
                return kept
        sound, words, turns = make()
        made = Talk(name, tuple(words), tuple(turns), self.find(sound))
        if self.heard:
            made = replace(made, heard=self.transcribe(sound))
        if file:
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(form.dump_json(made))
        print(name, file=sys.stderr)
        return made


def public(ears: Ears) -> Iterator[Talk]:
    """The recordings with words and speakers."""
    folder = shared_folder() or SHIPPED
    for entry in entries(folder):
        if "words" in entry and entry.get("category") == "multi":
            path = folder / entry["file"]
            yield ears.talk(
                path.stem, lambda path=path, words=folder / entry["words"]: _labelled(path, words)
            )


def _labelled(path: Path, words: Path) -> Sounding:
    rows = json.loads(words.read_text("utf-8"))
    (turns,) = rttm.read(path.with_suffix(".rttm").read_text("utf-8")).values()
    said = [SpokenWord(w["word"], w["start"], w["end"], w["speaker"]) for w in rows if w.get("speaker")]
    return str(path), said, turns


def simulated(which: str, rounds: int, ears: Ears) -> Iterator[Talk]:
    """The set's meetings; voices are read and transcribed when the first of them must be made."""
    shared = shared_folder()
    if shared is None:
        sys.exit(WHY_ABSENT)
    voices: dict[str, Sequence[Clip]] = {}
    done: set[str] = set()
    for number in range(rounds):
        for plan in plans(which):
            made = replace(plan, name=f"{plan.name}_{number}", seed=plan.seed + 100 * number)

            def make(plan=made) -> Sounding:
                if not voices:
                    voices.update(of_set(load_voices(shared / "voices"), which))
                people = {turn.speaker for turn in meeting(plan, voices).turns} - done
                voices.update({person: with_words(voices[person], ears) for person in people})
                done.update(people)
                mixed = meeting(plan, voices)
                return mixed.waveform, mixed.words, mixed.turns

            yield ears.talk(made.name, make)


def with_words(clips: Sequence[Clip], ears: Ears) -> tuple[Clip, ...]:
    """A person's clips with the words that are heard in them."""
    return tuple(replace(clip, words=tuple(_spoken(ears.transcribe(clip.samples)))) for clip in clips)


def _spoken(segments: Sequence[Segment]) -> Iterator[SpokenWord]:
    for segment in segments:
        for word in segment.words:
            if word.start is not None and word.end is not None:
                yield SpokenWord(word.word.strip(), word.start, word.end)


def segments_of(words: Sequence[SpokenWord]) -> list[Segment]:
    """The words, cut at pauses as speech to text would give them."""
    rows = [Word(word=w.word, start=w.start, end=w.end) for w in words]
    cuts = [0, *(i for i, (a, b) in enumerate(pairwise(rows), 1) if b.start - a.end > PAUSE_S), len(rows)]
    return [_segment(rows[first:last]) for first, last in pairwise(cuts)]


def _segment(words: Sequence[Word]) -> Segment:
    text = " ".join(word.word for word in words)
    end = max(word.end for word in words)
    return Segment(start=words[0].start, end=max(words[0].start, end), text=text, words=tuple(words))


def matched(heard: Sequence[Segment], said: Sequence[SpokenWord]) -> list[str | None]:
    """Whose each word heard is: the nearest of the reference with this text, which serves once; else nobody's."""
    free = {number: _bare(word.word) for number, word in enumerate(said)}
    people: list[str | None] = []
    for word in (word for segment in heard for word in segment.words):
        same = [n for n, text in free.items() if text == _bare(word.word) and _apart(word, said[n]) < SAME_S]
        nearest = min(same, key=lambda n: _apart(word, said[n]), default=None)
        people.append(None if nearest is None else said[nearest].speaker)
        free.pop(nearest, None)
    return people


def _bare(text: str) -> str:
    return re.sub(r"[^\w']", "", text.lower())


def _apart(one: Word, other: SpokenWord) -> float:
    """Seconds between the middles."""
    if one.start is None or one.end is None:
        return float("inf")
    return abs(one.start + one.end - other.start - other.end) / 2


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


Case = tuple[Sequence[Segment], Sequence[str | None], Diarization]
"""Segments, whose each of their words is (none: not scored), and turns."""


def cases(talks: Sequence[Talk], heard: bool, found: bool) -> Iterator[Case]:
    for talk in talks:
        turns = talk.found if found else Diarization(turns=talk.turns)
        if heard:
            yield talk.heard, matched(talk.heard, talk.words), turns
        else:
            yield segments_of(talk.words), [word.speaker for word in talk.words], turns


def labelled(case: Case, assign: Assign) -> tuple[list[str], list[Word]]:
    """The people and the labelled words that are scored."""
    segments, people, turns = case
    made = assign(segments, turns)
    kept = [(p, word) for p, word in zip(people, made, strict=True) if p is not None]
    return [p for p, _ in kept], [word for _, word in kept]


def rate(some: Sequence[Case], assign: Assign) -> str:
    """Wrong words, and in brackets those without a speaker, of all."""
    wrong = nobodys = total = 0
    for case in some:
        people, made = labelled(case, assign)
        errors, unlabelled = wrong_words(people, made)
        wrong, nobodys, total = wrong + errors, nobodys + unlabelled, total + len(people)
    return f"{wrong / total:.2%} ({nobodys / total:.1%})"


def count(some: Sequence[Case]) -> int:
    return sum(person is not None for _, people, _ in some for person in people)


SCORES = (0.0, 0.5, 0.7, 0.9, 0.999, 1.1)


def confident(some: Sequence[Case]) -> str:
    """Whether scores mean something: right words by speaker_score."""
    scored: list[tuple[float, bool]] = []
    for case in some:
        people, made = labelled(case, ours)
        best = _names(people, made)
        scored += [
            (word.speaker_score or 0.0, best.get(word.speaker) == person)
            for word, person in zip(made, people, strict=True)
        ]
    parts = []
    for low, high in pairwise(SCORES):
        right = [is_right for score, is_right in scored if low <= score < high]
        if right:
            parts.append(f"{sum(right) / len(right):.0%} of {len(right)} from {low}")
    return "right words by speaker_score: " + ", ".join(parts)


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


def table(which: str, talks: Sequence[Talk], heard: bool) -> Iterator[str]:
    """A row for each kind of words and turns."""
    for from_mixture in (False, True) if heard else (False,):
        for found in (False, True):
            some = list(cases(talks, from_mixture, found))
            words, turns = "heard" if from_mixture else "true", "found" if found else "true"
            rates = " | ".join(rate(some, assign) for assign in SYSTEMS.values())
            yield f"| {which} | {words} | {turns} | {count(some)} | {rates} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sets", nargs="+", choices=SETS, default=list(SETS))
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--heard", action="store_true", help="also the words heard in the mixture")
    parser.add_argument("--backend", default="auto")
    parser.add_argument("--mode", default="auto")
    parser.add_argument("--keep", type=Path)
    asked = parser.parse_args()
    diarize = {"diarize_backend": asked.backend, "diarize_mode": asked.mode}
    ears = Ears(diarize, asked.keep, asked.heard, ModelPool())
    rows, notes = [], []
    for which in asked.sets:
        made = public(ears) if which == "public" else simulated(which, asked.rounds, ears)
        talks = list(made)
        rows += table(which, talks, asked.heard)
        notes.append(f"{which}, turns found: {confident(list(cases(talks, asked.heard, found=True)))}")
    print(f"| set | words | turns | | {' | '.join(SYSTEMS)} |\n|---|---|---|---|{'---|' * len(SYSTEMS)}")
    print("\n".join([*rows, "", *notes]))


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "2")
    main()
