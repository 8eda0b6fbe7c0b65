"""Are people recognised in a later meeting by their voices, and is nobody given another's name?

    python bench/voices.py [--set tuning|reporting|both] [--backend auto] [--mode auto] [--keep FOLDER]

Open-set: simulated meetings of LibriSpeech voices (see ``simulate_meetings.py``). Everybody is enrolled from what
the diarizer makes of a first meeting with three people, each in a room of its own, and met in a second meeting
with four people in another room. Each person's speech is cut in two: what is enrolled is never heard again. Every
second meeting is asked about twice: with its people among those remembered, and with none of them; whoever is
named then is a stranger given somebody's name. People with too little speech for two halves are met as strangers
only, as are those of the public recordings; of whom too little was heard is met once more, in company of one. Once
everybody of the set is remembered, once 15 of them.

Nobody is in both sets: thresholds are chosen on ``tuning`` and reported on ``reporting``. Both halves of a voice
are of one session, so microphones are the same, which flatters; each half has 4 to 8 s that come back in turn,
which does not. Diarization errors are part of the measure: a speaker is whoever has most of the label's speech.
``--keep`` keeps what was diarized and goes on from there.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import astuple, dataclass
from pathlib import Path

import numpy as np
from simulate_meetings import Clip, Meeting, Plan, load_voices, meeting, of_set

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from recordings import WHY_ABSENT, shared_folder  # noqa: E402

from pipeline import backends, voices  # noqa: E402
from pipeline.audio import load_waveform  # noqa: E402
from pipeline.machine import probe  # noqa: E402
from pipeline.plan import plan as plan_of  # noqa: E402
from pipeline.recording import Recording  # noqa: E402
from pipeline.voices import Thresholds  # noqa: E402
from schemas.diarization import Diarization, SpeakerTurn  # noqa: E402
from schemas.errors import VoiceNotUsable  # noqa: E402
from schemas.options import Options  # noqa: E402
from schemas.voices import Voice, VoiceMatch, VoiceProfile  # noqa: E402

SETS = {"tuning": 3000, "reporting": 5000}
"""Seeds of the first meetings; strangers' are 500 higher, those of people met once more 700, second ones' 1000."""
HALF_S = 4.0  # of speech, at least, to be in the test
LEAST_SHARE = 0.6  # of a label's speech from one person, to say who it is
LIBRARY = 15  # people remembered
DRAWS = 20  # of such libraries
FIRST_S, SECOND_S, MORE_S = 75.0, 100.0, 60.0
PUBLIC = {  # nobody is in two of them
    "tuning": ("multi/ami_EN2003a.flac", "multi/ami_ES2003a.flac"),
    "reporting": ("multi/ami_EN2006a.flac", "multi/en_falcon_3spk.flac", "multi/real_mix_4spk.flac"),
}

Diarize = Callable[[Meeting], Diarization]


@dataclass(frozen=True)
class Met:
    """A second meeting: voices with 10 s of clean speech or more, and whose they are."""

    heard: tuple[Voice, ...]
    people: tuple[str, ...]


@dataclass
class Counts:
    """What became of people who are remembered, and of strangers."""

    known: int = 0
    right: int = 0
    wrong: int = 0
    strangers: int = 0
    named: int = 0
    suggested: int = 0

    @property
    def identified(self) -> float:
        """Share of those remembered who were given their name."""
        return self.right / max(1, self.known)

    @property
    def false_named(self) -> float:
        """Share of strangers who were given a name."""
        return self.named / max(1, self.strangers)

    @property
    def most_false_named(self) -> float:
        """Upper end of the exact (Clopper-Pearson) 95 % interval, one-sided; for strangers met once each."""
        from scipy.stats import beta

        return float(beta.ppf(0.95, self.named + 1, self.strangers - self.named))

    def __add__(self, other: Counts) -> Counts:
        return Counts(*map(sum, zip(astuple(self), astuple(other), strict=True)))


def halves(clips: Sequence[Clip]) -> tuple[Clip, Clip] | None:
    """A person's speech before and behind the pause nearest to its middle; none where either is short."""
    clip, best = longest(clips), None
    for number in range(1, len(clip.regions)):
        first, second = clip.regions[:number], clip.regions[number:]
        parts = Clip(clip.samples, first), Clip(clip.samples, second)
        shorter = min(part.speech_s for part in parts)
        if shorter >= HALF_S and (best is None or shorter > min(part.speech_s for part in best)):
            best = parts
    return best


def longest(clips: Sequence[Clip]) -> Clip:
    """The one with the most speech."""
    return max(clips, key=lambda clip: clip.speech_s)


def meetings(
    people: Sequence[str], clips: dict[str, Clip], size: int, seed: int, seconds: float
) -> Iterator[Meeting]:
    """Everybody once, ``size`` at a time, each group in a room of its own."""
    rng = np.random.default_rng(seed)
    for number, first in enumerate(range(0, len(people), size)):
        group = people[first : first + size]
        made = Plan(
            f"m{seed}_{number}",
            len(group),
            seed + number,
            seconds,
            overlap=0.3,
            snr_db=float(rng.uniform(15, 30)),
            rt60_s=float(rng.uniform(0.15, 0.4)),
        )
        yield meeting(made, {person: (clips[person],) for person in group}, group)


def who(found: Diarization, truth: Sequence[SpeakerTurn]) -> dict[str, str]:
    """The person of each label, where one has most of its speech."""
    named = {}
    for label in found.speakers:
        seconds: Counter[str] = Counter()
        for turn in found.turns:
            if turn.speaker == label:
                for true in truth:
                    seconds[true.speaker] += max(0.0, min(turn.end, true.end) - max(turn.start, true.start))
        if seconds and seconds.most_common(1)[0][1] >= LEAST_SHARE * sum(seconds.values()):
            named[label] = seconds.most_common(1)[0][0]
    return named


def longest_of_each(found: Diarization, truth: Sequence[SpeakerTurn]) -> dict[str, Voice]:
    """Each person's label with the most clean speech."""
    named, chosen = who(found, truth), {}
    for voice in sorted(found.voices, key=lambda voice: voice.clean_s):
        if voice.speaker in named and voice.embedding is not None:
            chosen[named[voice.speaker]] = voice
    return chosen


def order_of(people: Iterable[str], seed: int) -> list[str]:
    """Everybody, mixed."""
    return [str(person) for person in np.random.default_rng(seed).permutation(sorted(people))]


def enrolled(
    people: dict[str, tuple[Clip, Clip]], diarize: Diarize, seed: int
) -> tuple[dict[str, VoiceProfile], str]:
    """Profiles by person out of the first meetings, and the embedding model."""
    profiles, model = {}, ""
    first = {person: parts[0] for person, parts in people.items()}
    for made in meetings(order_of(people, seed), first, 3, seed, FIRST_S):
        found = diarize(made)
        model = found.embedding_model or model
        for person, voice in longest_of_each(found, made.turns).items():
            try:
                profiles[person] = voices.enrol(None, person, voice, model)
            except VoiceNotUsable:
                continue
    return profiles, model


def met(
    people: dict[str, Clip], diarize: Diarize, seed: int, size: int = 4, seconds: float = SECOND_S
) -> list[Met]:
    """Later meetings."""
    found = []
    for made in meetings(order_of(people, seed), people, size, seed, seconds):
        heard = diarize(made)
        named = who(heard, made.turns)
        clear = tuple(
            voice
            for voice in heard.voices
            if voice.speaker in named and voice.embedding is not None and voice.clean_s >= voices.LEAST_S
        )
        found.append(Met(clear, tuple(named[voice.speaker] for voice in clear)))
    return found


def all_met(
    people: dict[str, tuple[Clip, Clip]], never_enrolled: dict[str, Clip], diarize: Diarize, seed: int
) -> list[Met]:
    """Everybody, those of whom too little was heard once more."""
    later = {person: both[1] for person, both in people.items()}
    found = met(later, diarize, seed + 1000) + met(never_enrolled, diarize, seed + 500)
    heard = {person for one in found for person in one.people}
    left = {person: clip for person, clip in {**later, **never_enrolled}.items() if person not in heard}
    return found + met(left, diarize, seed + 700, 2, MORE_S)


def met_in_public(paths: Sequence[Path], diarize: Diarize) -> Iterator[Met]:
    """The speakers of real recordings, whom nobody remembers."""
    for path in paths:
        found = diarize(Meeting(path.stem, load_waveform(path), ()))
        clear = tuple(v for v in found.voices if v.embedding is not None and v.clean_s >= voices.LEAST_S)
        yield Met(clear, tuple(f"{path.stem} {voice.speaker}" for voice in clear))


@contextmanager
def using(model: str, limits: Thresholds) -> Iterator[None]:
    """Other thresholds than those in use."""
    name = model.partition("@")[0]
    before = voices.THRESHOLDS.get(name)
    voices.THRESHOLDS[name] = limits
    try:
        yield
    finally:
        if before is not None:
            voices.THRESHOLDS[name] = before


Library = tuple[Met, Sequence[VoiceProfile]]


def libraries(
    profiles: dict[str, VoiceProfile], second: Sequence[Met], size: int | None
) -> tuple[list[Library], list[Library]]:
    """Meetings with libraries that hold their people, and with libraries that hold none of them.

    ``size`` none: everybody else of the set, once.
    """
    rng = np.random.default_rng(9)
    having, lacking = [], []
    for later in second:
        here = [profiles[person] for person in dict.fromkeys(later.people) if person in profiles]
        others = [profile for person, profile in sorted(profiles.items()) if person not in later.people]
        for _ in range(1 if size is None else DRAWS):
            drawn = [others[k] for k in rng.permutation(len(others))[:size]]
            having.append((later, [*here, *drawn][:size]))
            lacking.append((later, drawn))
    return having, lacking


def count(having: Sequence[Library], lacking: Sequence[Library], model: str, limits: Thresholds) -> Counts:
    """What the thresholds do with them."""
    counts = Counts()
    with using(model, limits):
        for later, library in having:
            there = {profile.person for profile in library}
            for match, person in _answers(later, model, library):
                if person in there:
                    counts.known += 1
                    counts.right += match.verdict == "named" and match.person == person
                    counts.wrong += match.verdict == "named" and match.person != person
        for later, library in lacking:
            for match, _ in _answers(later, model, library):
                counts.strangers += 1
                counts.named += match.verdict == "named"
                counts.suggested += match.verdict in ("named", "suggested")
    return counts


def _answers(later: Met, model: str, library: Sequence[VoiceProfile]) -> Iterator[tuple[VoiceMatch, str]]:
    return zip(voices.match_voices(later.heard, model, library), later.people, strict=True)


def table(profiles: dict[str, VoiceProfile], second: Sequence[Met], model: str) -> Iterator[str]:
    """What each threshold would give; those in use are marked."""
    used = voices.thresholds_of(model)
    suggest = used.suggest if used else 0.5
    grid = [Thresholds(suggest, name, margin) for name in NAMES for margin in MARGINS]
    if used is not None and used not in grid:
        grid.append(used)
    for size in (None, LIBRARY):
        having, lacking = libraries(profiles, second, size)
        yield f"\n{size or len(profiles)} people remembered"
        yield "| sure from | margin | identified | another's name | strangers named | strangers suggested |"
        yield "|---|---|---|---|---|---|"
        for limits in grid:
            found = count(having, lacking, model, limits)
            mark = " (in use)" if limits == used else ""
            yield (
                f"| {limits.name:.2f}{mark} | {limits.margin:.2f} | {found.identified:.1%} of {found.known} "
                f"| {found.wrong / max(1, found.known):.1%} | {found.false_named:.1%} of {found.strangers} "
                f"| {found.suggested / max(1, found.strangers):.1%} |"
            )


NAMES = (0.55, 0.60, 0.65, 0.70, 0.75, 0.80)
MARGINS = (0.0, 0.05, 0.10, 0.15, 0.20)


def scores(profiles: dict[str, VoiceProfile], second: Sequence[Met]) -> Iterator[str]:
    """How alike one person is to oneself and to others."""
    means = {person: voices.mean_of(profile) for person, profile in profiles.items()}
    same, other = [], []
    for later in second:
        for voice, met_person in zip(later.heard, later.people, strict=True):
            for person, mean in means.items():
                score = float(np.dot(mean, voice.embedding))
                (same if person == met_person else other).append(score)
    for name, found in (("the same person", same), ("different people", other)):
        low, middle, high = np.quantile(found, [0.01, 0.5, 0.99])
        yield f"{name}: median {middle:.2f}, 1 % below {low:.2f}, 1 % above {high:.2f} ({len(found)} pairs)"


def diarizer(backend: str, mode: str, keep: Path | None) -> Diarize:
    """The diarizer of that name; what it found before, where ``keep`` has it."""
    options = Options.from_flat(diarize_backend=backend, diarize_mode=mode)
    choice = plan_of(probe(), options).diarize[0]
    loaded = backends.load("diarize", choice, options)

    def diarize(made: Meeting) -> Diarization:
        kept = keep and keep / f"{choice.backend}_{mode}_{made.name}.json"
        if kept and kept.exists():
            return Diarization.model_validate_json(kept.read_text("utf-8"))
        found = loaded.diarize(Recording.from_array(made.waveform), options.diarize, lambda fraction: None)
        if kept:
            kept.parent.mkdir(parents=True, exist_ok=True)
            kept.write_text(found.model_dump_json(), "utf-8")
        print(f"{made.name}: {len(found.speakers)} speakers", file=sys.stderr)
        return found

    return diarize


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--set", choices=(*SETS, "both"), default="reporting")
    parser.add_argument("--backend", default="auto")
    parser.add_argument("--mode", default="auto", help="exact or fast, of mlx and torch")
    parser.add_argument("--keep", type=Path)
    parser.add_argument("--voices", type=Path, help="default: voices/ of the folder of recordings")
    args = parser.parse_args()
    shared = shared_folder()
    folder = args.voices or (shared and shared / "voices")
    if folder is None:
        sys.exit(WHY_ABSENT)
    everyone = load_voices(folder)
    diarize = diarizer(args.backend, args.mode, args.keep)
    pooled = Counts()
    for name in SETS if args.set == "both" else (args.set,):
        own = of_set(everyone, name)
        parts = {person: halves(clips) for person, clips in own.items()}
        people = {person: both for person, both in parts.items() if both}
        never_enrolled = {person: longest(clips) for person, clips in own.items() if not parts[person]}
        profiles, model = enrolled(people, diarize, SETS[name])
        second = all_met(people, never_enrolled, diarize, SETS[name])
        if shared:
            second += met_in_public([shared / path for path in PUBLIC[name]], diarize)
        print(
            f"\n{name}: {len(people)} people, {len(profiles)} could be enrolled, {len(never_enrolled)} "
            f"who never are; {model}"
        )
        print("\n".join([*scores(profiles, second), *table(profiles, second, model)]))
        used = voices.thresholds_of(model)
        if used is not None:
            pooled += count(*libraries(profiles, second, None), model, used)
    print(
        f"\nin use, all sets: {pooled.right} of {pooled.known} identified; {pooled.named} of {pooled.strangers} "
        f"strangers named, with 95 % certainty at most {pooled.most_false_named:.1%}"
    )


if __name__ == "__main__":
    main()
