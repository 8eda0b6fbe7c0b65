"""Meetings with known speaker turns, made of LibriSpeech voices in simulated rooms.

    python bench/simulate_meetings.py OUT [--set tuning|reporting|both] [--voices FOLDER]

Writes ``OUT/tuning/*.wav`` and ``OUT/reporting/*.wav``, 16 kHz mono, each with its RTTM: two minutes, two to six
people, overlaps, short replies, rooms of several sizes, noise. Seeds are fixed: the same voices give the same
files. Nobody is in both sets, so what is tuned on one is reported on people never heard. The truth is Silero's
speech regions on each clean source. Most voices have 10 to 17 s of speech, which comes back in turn, cut at other
pauses: easier for the voice and harder for nothing else. Read speech: no laughter, no hesitation.

Rooms: the image-source method, Allen and Berkley, "Image method for efficiently simulating small-room acoustics",
J. Acoust. Soc. Am. 65 (1979), with absorption by Sabine's formula (the decay measured is up to 1.4 times longer).
"""

from __future__ import annotations

import argparse
import os
import sys
import wave
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

ROOT = Path(__file__).parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from recordings import WHY_ABSENT, shared_folder  # noqa: E402

from pipeline import audio, backends, rttm  # noqa: E402
from pipeline.plan import Choice  # noqa: E402
from pipeline.recording import SAMPLE_RATE, Recording  # noqa: E402
from schemas.diarization import SpeakerTurn  # noqa: E402
from schemas.options import Options  # noqa: E402

SOUND_M_S = 343.0
LEAST_SPEECH_S = 6.0  # a voice with less is left out
REPLY_S = (0.4, 0.9)
HEARD_SHARE = 0.6  # of a word, for a listener to know it
JOIN_S = 0.1  # pauses up to this belong to a turn


@dataclass(frozen=True)
class SpokenWord:
    """A word and when it is said, in seconds; whose it is."""

    word: str
    start: float
    end: float
    speaker: str = ""


@dataclass(frozen=True)
class Clip:
    """Speech of one person: samples (n,), its speech regions in seconds, and its words where they are known."""

    samples: np.ndarray
    regions: tuple[tuple[float, float], ...]
    words: tuple[SpokenWord, ...] = ()

    @property
    def speech_s(self) -> float:
        return sum(end - start for start, end in self.regions)


Voices = Mapping[str, Sequence[Clip]]


@dataclass(frozen=True)
class Plan:
    """What a meeting is like. ``overlap`` is how often the next one does not wait for the end."""

    name: str
    speakers: int
    seed: int
    seconds: float = 120.0
    overlap: float = 0.2
    replies: float = 0.12
    snr_db: float = 25.0
    rt60_s: float = 0.3


@dataclass(frozen=True)
class Meeting:
    """Samples (n,) float32 at 16 kHz, who speaks when, and who says which words (in order of their starts)."""

    name: str
    waveform: np.ndarray
    turns: tuple[SpeakerTurn, ...]
    words: tuple[SpokenWord, ...] = ()


#        speakers  overlap  snr_db  rt60_s
_KINDS = (
    (2, 0.25, 30.0, 0.20),
    (2, 0.50, 15.0, 0.40),
    (3, 0.30, 25.0, 0.25),
    (3, 0.60, 20.0, 0.30),
    (4, 0.40, 25.0, 0.20),
    (4, 0.60, 15.0, 0.45),
    (5, 0.40, 20.0, 0.30),
    (6, 0.50, 25.0, 0.30),
)


def plans(which: str) -> tuple[Plan, ...]:
    """The eight meetings of ``tuning`` or ``reporting``."""
    first = {"tuning": 1000, "reporting": 2000}[which]
    return tuple(
        Plan(f"{which}_{n}_{people}spk", people, first + n, 120.0, overlap, snr_db=snr, rt60_s=rt60)
        for n, (people, overlap, snr, rt60) in enumerate(_KINDS)
    )


def load_voices(folder: Path) -> dict[str, tuple[Clip, ...]]:
    """Every speaker's clips, by LibriSpeech's ``speaker-chapter-utterance.flac``; those with little speech out."""
    vad = backends.load("vad", Choice("silero", "cpu"), Options())
    voices: dict[str, list[Clip]] = {}
    for path in sorted(folder.glob("*/**/*.flac")):
        samples = audio.load_waveform(path)
        regions = vad.speech_regions(Recording.from_array(samples), lambda fraction: None)
        clip = Clip(samples, tuple((region.start, region.end) for region in regions))
        voices.setdefault(path.name.split("-")[0], []).append(clip)
    return {
        speaker: tuple(clips)
        for speaker, clips in voices.items()
        if sum(clip.speech_s for clip in clips) >= LEAST_SPEECH_S
    }


def of_set(voices: Voices, which: str) -> dict[str, Sequence[Clip]]:
    """The people of ``tuning`` or ``reporting``: every other one."""
    own = sorted(voices)[("tuning", "reporting").index(which) :: 2]
    return {speaker: voices[speaker] for speaker in own}


def meeting(plan: Plan, voices: Voices, people: Sequence[str] | None = None) -> Meeting:
    """``plan.speakers`` of the voices, or ``people``, talking in one room."""
    rng = np.random.default_rng(plan.seed)
    people = people or [str(p) for p in rng.choice(sorted(voices), plan.speakers, replace=False)]
    room = rng.uniform((3.5, 3.0, 2.4), (7.0, 5.5, 3.2))
    microphone = room * (0.5, 0.5, 0.3) + rng.uniform(-0.4, 0.4, 3)
    seats = {p: microphone + _away(rng) for p in people}
    responses = {p: room_response(room, seats[p], microphone, plan.rt60_s, rng) for p in people}
    levels = {p: 0.08 * 10 ** (rng.uniform(-4, 4) / 20) for p in people}
    total = round(plan.seconds * SAMPLE_RATE)
    sound = np.zeros(total, np.float32)
    turns: list[SpeakerTurn] = []
    words: list[SpokenWord] = []
    for person, start_s, clip in _talk(plan, {p: voices[p] for p in people}, rng):
        turns += [SpeakerTurn(start=start_s + a, end=start_s + b, speaker=person) for a, b in clip.regions]
        words += [SpokenWord(w.word, start_s + w.start, start_s + w.end, person) for w in clip.words]
        _add(
            sound, round(start_s * SAMPLE_RATE), clip.samples * _gain(clip, levels[person]), responses[person]
        )
    sound += _noise(total, rng) * np.sqrt(np.mean(sound**2)) * 10 ** (-plan.snr_db / 20)
    sound *= 0.9 / max(0.9, float(np.abs(sound).max()))
    words.sort(key=lambda word: word.start)
    return Meeting(plan.name, sound, _joined(turns), tuple(words))


def _away(rng: np.random.Generator) -> np.ndarray:
    """From the microphone to somebody at the table, 0.5 to 1.4 m."""
    angle, distance = rng.uniform(0, 2 * np.pi), rng.uniform(0.5, 1.4)
    return np.array([distance * np.cos(angle), distance * np.sin(angle), rng.uniform(0.2, 0.5)])


def room_response(
    room: np.ndarray, source: np.ndarray, microphone: np.ndarray, rt60_s: float, rng: np.random.Generator
) -> np.ndarray:
    """Impulse response (n,) of a box ``room`` (3,) in metres, the direct sound at sample 0 with a gain of 1."""
    x, y, z = room
    absorption = min(0.95, 0.161 * x * y * z / (2 * (x * y + y * z + x * z)) / rt60_s)
    reflection = np.sqrt(1 - absorption)
    most = np.ceil(rt60_s * SOUND_M_S / (2 * room)).astype(int)
    axes = [_images(room[i], source[i], microphone[i], most[i]) for i in range(3)]
    squares = sum(np.ix_(*(away**2 for away, _ in axes)))
    bounces = sum(np.ix_(*(count for _, count in axes)))
    distance = np.sqrt(squares).ravel()
    direct = np.linalg.norm(source - microphone)
    distance += np.where(
        distance > direct + 1e-6, rng.uniform(-0.08, 0.08, distance.size), 0
    )  # no comb filter
    late = np.rint((distance - direct) / SOUND_M_S * SAMPLE_RATE).astype(int)
    kept = (late >= 0) & (late < round(rt60_s * SAMPLE_RATE))
    gain = reflection ** bounces.ravel()[kept] * direct / np.maximum(distance[kept], 0.1)
    return np.bincount(late[kept], gain).astype(np.float32)


def _images(length: float, source: float, microphone: float, most: int) -> tuple[np.ndarray, np.ndarray]:
    """Along one axis: where the images lie from the microphone, and how many walls each met."""
    order = np.arange(-most, most + 1)
    away = np.concatenate((2 * order * length + source, 2 * order * length - source)) - microphone
    return away, np.concatenate((np.abs(2 * order), np.abs(2 * order - 1)))


def _talk(plan: Plan, voices: Voices, rng: np.random.Generator) -> Iterator[tuple[str, float, Clip]]:
    """Who says what from when, in order, until the time is up."""
    people = list(voices)
    lively = {
        p: 0.5 / len(people) + 0.5 * share for p, share in zip(people, _shares(rng, people), strict=True)
    }
    supply = {p: _pieces(voices[p], rng) for p in people}
    free_s = dict.fromkeys(people, 0.0)  # nobody talks over their own voice
    now, last = 0.5, None
    while True:
        others = [p for p in people if p != last] or people
        weights = np.array([lively[p] for p in others])
        person = others[rng.choice(len(others), p=weights / weights.sum())]
        clip = next(supply[person])
        if rng.random() < plan.replies:
            clip = _cut(clip, 0.0, rng.uniform(*REPLY_S))
        length_s = len(clip.samples) / SAMPLE_RATE
        start = now
        if last is not None and rng.random() < plan.overlap:
            start = max(0.5, now - min(rng.uniform(0.2, 1.5), 0.8 * length_s))
        start = max(start, free_s[person] + 0.1)
        if start + length_s > plan.seconds:
            return
        if clip.regions:
            yield person, start, clip
        free_s[person] = start + length_s
        now, last = max(now, start + length_s) + rng.exponential(0.35), person


def _shares(rng: np.random.Generator, people: Sequence[str]) -> np.ndarray:
    shares = rng.gamma(2.0, size=len(people))
    return shares / shares.sum()


def _pieces(clips: Sequence[Clip], rng: np.random.Generator) -> Iterator[Clip]:
    """Endless stretches of 0.8 to 7 s and more, cut at pauses."""
    while True:
        for number in rng.permutation(len(clips)):
            clip, done = clips[number], 0
            while done < len(clip.regions):
                wanted, first = rng.uniform(0.8, 7.0), done
                while done < len(clip.regions) and clip.regions[done][1] - clip.regions[first][0] < wanted:
                    done += 1
                done = max(done, first + 1)
                yield _cut(clip, clip.regions[first][0] - 0.02, clip.regions[done - 1][1] + 0.02)


def _cut(clip: Clip, start_s: float, end_s: float) -> Clip:
    first, last = max(0, round(start_s * SAMPLE_RATE)), round(end_s * SAMPLE_RATE)
    samples = clip.samples[first:last].copy()
    edge = np.linspace(0, 1, min(80, len(samples)), dtype=np.float32)
    samples[: len(edge)] *= edge
    samples[len(samples) - len(edge) :] *= edge[::-1]
    begin, length = first / SAMPLE_RATE, len(samples) / SAMPLE_RATE
    inside = ((max(0.0, a - begin), min(length, b - begin)) for a, b in clip.regions)
    regions = tuple((a, b) for a, b in inside if b - a > 0.05)
    return Clip(samples, regions, tuple(_inside(clip.words, begin, length)))


def _inside(words: Sequence[SpokenWord], begin_s: float, length_s: float) -> Iterator[SpokenWord]:
    """The words of which ``HEARD_SHARE`` or more lies in a stretch, cut to it, on its clock."""
    for word in words:
        start, end = max(0.0, word.start - begin_s), min(length_s, word.end - begin_s)
        if end - start >= HEARD_SHARE * (word.end - word.start) and end > start:
            yield replace(word, start=start, end=end)


def _gain(clip: Clip, level: float) -> np.float32:
    """What brings the speech to ``level`` (root mean square)."""
    return np.float32(level / np.sqrt(np.mean(clip.samples**2) + 1e-9))


def _add(sound: np.ndarray, first: int, samples: np.ndarray, response: np.ndarray) -> None:
    from scipy.signal import fftconvolve

    heard = fftconvolve(samples, response)[: len(sound) - first]
    sound[first : first + len(heard)] += heard.astype(np.float32)


def _noise(count: int, rng: np.random.Generator) -> np.ndarray:
    """Noise of a room (count,), root mean square 1: falling by 3 dB an octave above 60 Hz."""
    spectrum = np.fft.rfft(rng.standard_normal(count))
    spectrum /= np.sqrt(np.maximum(np.fft.rfftfreq(count, 1 / SAMPLE_RATE), 60.0))
    noise = np.fft.irfft(spectrum, count)
    return (noise / np.sqrt(np.mean(noise**2))).astype(np.float32)


def _joined(turns: Sequence[SpeakerTurn]) -> tuple[SpeakerTurn, ...]:
    """A speaker's turns with shorter pauses than ``JOIN_S`` made one."""
    done: dict[str, list[SpeakerTurn]] = {}
    for turn in sorted(turns, key=lambda turn: turn.start):
        own = done.setdefault(turn.speaker, [])
        if own and turn.start - own[-1].end <= JOIN_S:
            own[-1] = own[-1].model_copy(update={"end": max(own[-1].end, turn.end)})
        else:
            own.append(turn)
    return tuple(sorted((t for own in done.values() for t in own), key=lambda turn: (turn.start, turn.end)))


def save(found: Meeting, folder: Path) -> Path:
    """``folder/name.wav`` (16 bits) and ``folder/name.rttm``."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{found.name}.wav"
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(SAMPLE_RATE)
        file.writeframes((found.waveform * 32767).astype("<i2").tobytes())
    path.with_suffix(".rttm").write_text(rttm.write(found.turns, found.name), "utf-8")
    return path


def write_sets(
    folder: Path, voices: Path, which: Sequence[str] = ("tuning", "reporting")
) -> Iterator[Meeting]:
    """Writes the sets' meetings under ``folder`` and gives them one by one."""
    everyone = load_voices(voices)
    for name in which:
        own = of_set(everyone, name)
        for plan in plans(name):
            made = meeting(plan, own)
            save(made, folder / name)
            yield made


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("--set", choices=("tuning", "reporting", "both"), default="both")
    parser.add_argument("--voices", type=Path, help="default: voices/ of the folder of recordings")
    args = parser.parse_args()
    shared = shared_folder()
    voices = args.voices or (shared and shared / "voices")
    if voices is None:
        sys.exit(WHY_ABSENT)
    which = ("tuning", "reporting") if args.set == "both" else (args.set,)
    for made in write_sets(args.out, voices, which):
        speech = sum(turn.end - turn.start for turn in made.turns)
        people = len({turn.speaker for turn in made.turns})
        print(
            f"{made.name}: {len(made.waveform) / SAMPLE_RATE:.0f} s, {people} people, speech {speech:.0f} s"
        )


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "2")
    main()
