"""Are people recognised in a later meeting by their voices, and is nobody given another's name?

    python bench/voices.py [--backend auto] [--people N] [--keep FOLDER] [--voices FOLDER]

Open-set: simulated meetings of LibriSpeech voices (see ``simulate_meetings.py``). Three out of five people are
enrolled from what the diarizer makes of a first meeting with three people, each in a room of its own; everybody is
met in a second meeting with four people in another room. Each person's speech is cut in two: what is enrolled is
never heard again. Both halves are of one session, so microphones are the same: real meetings on other days are
harder. Diarization errors are part of the measure: a speaker is whoever has most of the label's speech.
Every speaker is compared with all profiles. ``--keep`` keeps what was diarized and goes on from there.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from simulate_meetings import Clip, Meeting, Plan, load_voices, meeting

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from recordings import WHY_ABSENT, shared_folder  # noqa: E402

from pipeline import backends, voices  # noqa: E402
from pipeline.machine import probe  # noqa: E402
from pipeline.plan import plan as plan_of  # noqa: E402
from pipeline.recording import Recording  # noqa: E402
from schemas.diarization import Diarization, SpeakerTurn  # noqa: E402
from schemas.errors import VoiceNotUsable  # noqa: E402
from schemas.options import Options  # noqa: E402
from schemas.voices import Voice, VoiceProfile  # noqa: E402

HALF_S = 4.0  # of speech, at least, to be in the test
ENROLLED = 0.6
LEAST_SHARE = 0.6  # of a label's speech from one person, to say who it is

Diarize = Callable[[Meeting], Diarization]


@dataclass(frozen=True)
class Case:
    """A speaker of a second meeting: who it is, whether enrolled, and the voice."""

    person: str
    known: bool
    meeting: int
    voice: Voice


def halves(clips: Sequence[Clip]) -> tuple[Clip, Clip] | None:
    """A person's speech before and behind the pause nearest to its middle; none where either is short."""
    clip = max(clips, key=lambda clip: clip.speech_s)
    best = None
    for number in range(1, len(clip.regions)):
        first, second = clip.regions[:number], clip.regions[number:]
        parts = Clip(clip.samples, first), Clip(clip.samples, second)
        shorter = min(part.speech_s for part in parts)
        if shorter >= HALF_S and (best is None or shorter > min(part.speech_s for part in best)):
            best = parts
    return best


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


def run(
    people: dict[str, tuple[Clip, Clip]], diarize: Diarize
) -> tuple[list[VoiceProfile], list[Case], str, int]:
    """Profiles of the first meetings, cases of the second ones, the embedding model, who could not be enrolled."""
    order = [str(p) for p in np.random.default_rng(7).permutation(sorted(people))]
    known = order[: round(ENROLLED * len(order))]
    profiles, refused, model = [], 0, ""
    for made in meetings(known, {p: people[p][0] for p in known}, 3, 3000, 90.0):
        found = diarize(made)
        model = found.embedding_model or model
        for person, voice in longest_of_each(found, made.turns).items():
            try:
                profiles.append(voices.enrol(None, person, voice, model))
            except VoiceNotUsable:
                refused += 1
    enrolled = {profile.person for profile in profiles}
    mixed = [str(p) for p in np.random.default_rng(8).permutation(order)]
    cases = []
    for number, made in enumerate(meetings(mixed, {p: people[p][1] for p in mixed}, 4, 4000, 120.0)):
        found = diarize(made)
        named = who(found, made.turns)
        cases += [
            Case(named[voice.speaker], named[voice.speaker] in enrolled, number, voice)
            for voice in found.voices
            if voice.speaker in named and voice.embedding is not None
        ]
    return profiles, cases, model, refused


def table(profiles: Sequence[VoiceProfile], cases: Sequence[Case], model: str) -> Iterator[str]:
    """What each threshold for naming would give; the one in use is marked."""
    used = voices.thresholds_of(model)
    enough = [case for case in cases if case.voice.clean_s >= voices.LEAST_S]
    known, unknown = [c for c in enough if c.known], [c for c in enough if not c.known]
    yield f"{len(profiles)} profiles; met with 10 s of clean speech: {len(known)} enrolled, {len(unknown)} unknown"
    yield "| name from | margin | identified | another's name | unknown people named |"
    yield "|---|---|---|---|---|"
    limits = [
        voices.Thresholds(0.5, t, m) for t in (0.55, 0.6, 0.65, 0.7, 0.75) for m in (0.0, 0.05, 0.1, 0.15)
    ]
    for limit in limits:
        right, wrong, strangers = outcomes(profiles, enough, model, limit)
        mark = " (in use)" if used and (used.name, used.margin) == (limit.name, limit.margin) else ""
        yield (
            f"| {limit.name:.2f}{mark} | {limit.margin:.2f} | {right / max(1, len(known)):.1%} "
            f"| {wrong} | {strangers / max(1, len(unknown)):.1%} ({strangers}) |"
        )


def outcomes(
    profiles: Sequence[VoiceProfile], cases: Sequence[Case], model: str, limits: voices.Thresholds
) -> tuple[int, int, int]:
    """Enrolled people named rightly, named wrongly, and unknown people named."""
    counts: Counter[str] = Counter()
    before = voices.THRESHOLDS
    voices.THRESHOLDS = {model.partition("@")[0]: limits}
    for number in {case.meeting for case in cases}:
        here = [case for case in cases if case.meeting == number]
        found = voices.match_voices([case.voice for case in here], model, profiles)
        for case, match in zip(here, found, strict=True):
            if match.verdict == "named":
                counts[
                    "stranger" if not case.known else "right" if match.person == case.person else "wrong"
                ] += 1
    voices.THRESHOLDS = before
    return counts["right"], counts["wrong"], counts["stranger"]


def scores(profiles: Sequence[VoiceProfile], cases: Sequence[Case]) -> Iterator[str]:
    """How alike one person is to oneself and to others."""
    means = {profile.person: voices.mean_of(profile) for profile in profiles}
    same, other = [], []
    for case in cases:
        for person, mean in means.items():
            score = float(np.dot(mean, case.voice.embedding))
            (same if person == case.person else other).append(score)
    for name, found in (("the same person", same), ("different people", other)):
        low, middle, high = np.quantile(found, [0.01, 0.5, 0.99])
        yield f"{name}: median {middle:.2f}, 1 % below {low:.2f}, 1 % above {high:.2f} ({len(found)} pairs)"


def diarizer(backend: str, keep: Path | None) -> Diarize:
    """The diarizer of that name; what it found before, where ``keep`` has it."""
    options = Options.from_flat(diarize_backend=backend)
    choice = plan_of(probe(), options).diarize[0]
    loaded = backends.load("diarize", choice, options)

    def diarize(made: Meeting) -> Diarization:
        kept = keep and keep / f"{choice.backend}_{made.name}.json"
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
    parser.add_argument("--backend", default="auto")
    parser.add_argument("--people", type=int, default=1000, help="at most")
    parser.add_argument("--keep", type=Path)
    parser.add_argument("--voices", type=Path, help="default: voices/ of the folder of recordings")
    args = parser.parse_args()
    shared = shared_folder()
    folder = args.voices or (shared and shared / "voices")
    if folder is None:
        sys.exit(WHY_ABSENT)
    everyone = {person: halves(clips) for person, clips in load_voices(folder).items()}
    people = {person: parts for person, parts in sorted(everyone.items()) if parts}
    people = dict(list(people.items())[: args.people])
    profiles, cases, model, refused = run(people, diarizer(args.backend, args.keep))
    print(f"{len(people)} people, {model}; not enrolled for too little or mixed speech: {refused}")
    print("\n".join([*scores(profiles, cases), *table(profiles, cases, model)]))


if __name__ == "__main__":
    main()
