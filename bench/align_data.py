"""Speech whose words have known times, for ``bench/align.py``.

Labelled: the shipped synthetic recording (exact), and, where the folder of recordings with references is there, a
hand-labelled sentence and the AMI clips (their own forced alignment, in which a word reaches up to the next one
whatever pause is between: only the beginnings of words are counted). Synthesised: voices and sentences that no
aligner here was trained on (flite's ``rms``; espeak-ng's ``m8``, ``f5`` and ``edward``), the same sentences under
each condition. Seeds are fixed.

Chinese is read from pinyin and counts by characters, as aligners place it. Japanese is read from kana and counts
by words: one begins with its first character and ends with its last. (Of single characters a synthesiser tells no
times: a long vowel belongs to two of them.)
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

import numpy as np
from align_texts import ENGLISH, OTHERS, READINGS
from recordings import SHIPPED, shared_folder
from scipy.signal import butter, fftconvolve, sosfilt

from pipeline import audio
from pipeline.align._words import written_together
from pipeline.recording import SAMPLE_RATE, Recording
from schemas.options import AudioOptions
from schemas.transcript import Segment, Word
from schemas.whisperx import read_transcript
from tools.synthesis import Spoken, Unit, espeak, flite

CALIBRATED_S = 15.4  # cross_attention's lag is measured on the shipped recording's beginning
AMI = ("ES2003a", "ES2003b", "EN2003a", "EN2006a", "EN2006b")
CONDITIONS = ("clean", "10 dB", "3 dB", "reverberant", "phone band", "0.8x", "1.4x")
LANGUAGES = {
    language: {"zh": "cmn-Latn-pinyin"}.get(language, language)
    for language in ("es", "fr", "de", "it", "pt", "nl", "pl", "ru", "tr", "hi", "zh", "ja")
}
"""With the names of espeak-ng's voices, which read under each of the conditions."""
VARIANTS = ("m8", "f5", "edward")
OTHERS_CONDITIONS = ("clean", "10 dB")
_PAUSE_S = 0.5


@dataclass(frozen=True)
class Labelled:
    """Recordings with segments that hold the true times of their words."""

    name: str
    parts: tuple[tuple[Recording, tuple[Segment, ...]], ...]
    language: str = "en"
    ends_count: bool = True


def all_sets(workdir: Path, wanted: Callable[[str], bool] = bool) -> Iterator[Labelled]:
    """Every set there is whose name is ``wanted``; those of a synthesiser only where its library is."""
    yield from (data for data in labelled(workdir) if wanted(data.name))
    yield from synthesised(wanted)


def synthesised(wanted: Callable[[str], bool] = bool) -> Iterator[Labelled]:
    for condition in CONDITIONS:
        if not wanted(f"en, {condition}"):
            continue
        stretch = {"0.8x": 1 / 0.8, "1.4x": 1 / 1.4}.get(condition, 1.0)
        spoken = [flite.speak(text, "rms", stretch) for text in ENGLISH]
        yield Labelled(f"en, {condition}", (_joined(spoken, condition),))
    for language in LANGUAGES:
        for condition in OTHERS_CONDITIONS:
            if wanted(f"{language}, {condition}"):
                yield Labelled(f"{language}, {condition}", (_joined(_read(language), condition),), language)


def _read(language: str) -> list[Spoken]:
    """Each sentence by each voice, with its words as they are written."""
    lines = OTHERS[language].strip().splitlines()
    readings = READINGS.get(language, OTHERS[language]).strip().splitlines()
    found = []
    for variant in VARIANTS:
        for line, reading in zip(lines, readings, strict=True):
            spoken = espeak.speak(reading, f"{LANGUAGES[language]}+{variant}")
            words = [replace(word, text=text) for text, word in zip(line.split(), spoken.words, strict=True)]
            found.append(replace(spoken, words=tuple(words)))
    return found


def own(folder: Path, workdir: Path) -> Labelled:
    """The recordings of a folder, English sentences ``NAME.wav`` with ``NAME.words.json`` beside them."""
    files = sorted(path for path in folder.glob("*.wav") if path.with_suffix(".words.json").is_file())
    return Labelled(f"labelled in {folder.name}", tuple(_sentence(path, workdir) for path in files))


def labelled(workdir: Path) -> Iterator[Labelled]:
    flite_words = _opened(SHIPPED / "syn_en_flite_words.flac", workdir)
    sentences = tuple(s for s in _segments(SHIPPED / "syn_en_flite_words") if s.start > CALIBRATED_S)
    yield Labelled("shipped, by sentences", ((flite_words, sentences),))
    yield Labelled("shipped, one 20 s segment", ((flite_words, (_as_one(sentences),)),))
    folder = shared_folder()
    if folder is None:
        return
    bobby = _sentence(folder / "single/en_praat_bobby.wav", workdir)
    yield Labelled("hand-labelled sentence", (bobby,))
    clips = [folder / f"multi/ami_{name}" for name in AMI]
    parts = tuple((_opened(clip.with_suffix(".flac"), workdir), _of_speakers(clip)) for clip in clips)
    yield Labelled("AMI meetings, beginnings", parts, ends_count=False)


def _joined(spoken: Sequence[Spoken], condition: str) -> tuple[Recording, tuple[Segment, ...]]:
    """One after the other with pauses between, each a segment, under the condition."""
    pieces, segments, at = [np.zeros(round(_PAUSE_S * SAMPLE_RATE), np.float32)], [], _PAUSE_S
    for one in spoken:
        words = tuple(
            Word(word=w.text, start=round(at + w.start, 4), end=round(at + w.end, 4)) for w in _written(one)
        )
        text = words[0].word + "".join(
            ("" if written_together(before.word, word.word) else " ") + word.word
            for before, word in pairwise(words)
        )
        end = round(at + one.duration_s, 4)
        segments.append(Segment(start=round(at, 4), end=end, text=text, words=words))
        pieces += [one.samples, pieces[0]]
        at += one.duration_s + _PAUSE_S
    samples = under(np.concatenate(pieces), condition)
    return Recording.from_array(samples), tuple(segments)


def _written(spoken: Spoken) -> list[Unit]:
    """The words as they are written: flite says "it" and "'s"."""
    words: list[Unit] = []
    for word in spoken.words:
        if word.text.startswith("'") and words:
            last = words.pop()
            word = Unit(last.text + word.text, last.start, word.end)
        words.append(word)
    return words


def under(samples: np.ndarray, condition: str) -> np.ndarray:
    """The condition, at the same length and without a delay."""
    rng = np.random.default_rng(0)
    if condition.endswith("dB"):
        noise = fftconvolve(rng.standard_normal(len(samples)), np.exp(-np.arange(40) / 8), "same")
        power = np.mean(samples[np.abs(samples) > 0.01] ** 2)
        wanted = power / 10 ** (float(condition.split()[0]) / 10)
        samples = samples + noise * np.sqrt(wanted / np.mean(noise**2))
    elif condition == "reverberant":
        time = np.arange(round(0.6 * SAMPLE_RATE)) / SAMPLE_RATE
        tail = rng.standard_normal(len(time)) * 10 ** (-3 * time / 0.5)  # 60 dB in half a second
        tail *= 0.5 / np.sqrt(np.sum(tail**2))
        tail[: SAMPLE_RATE // 500] = 0
        tail[0] = 1.0
        samples = fftconvolve(samples, tail)[: len(samples)]
    elif condition == "phone band":
        samples = sosfilt(butter(4, (300, 3400), "bandpass", fs=SAMPLE_RATE, output="sos"), samples)
    return (samples / max(1.0, float(np.abs(samples).max()))).astype(np.float32)


def _opened(path: Path, workdir: Path) -> Recording:
    return audio.open_recording(str(path), AudioOptions(), workdir=Path(tempfile.mkdtemp(dir=workdir)))


def _sentence(path: Path, workdir: Path) -> tuple[Recording, tuple[Segment, ...]]:
    """A recording as one segment, with the words beside it."""
    recording, words = _opened(path, workdir), _words(path.with_suffix(".words.json"))
    text = " ".join(word["word"] for word in words)
    segment = {"start": 0, "end": recording.duration_s, "text": text, "words": words}
    return recording, (Segment.model_validate(segment),)


def _words(path: Path) -> list[dict]:
    labels = json.loads(path.read_text("utf-8"))
    return [{name: label.get(name) for name in ("word", "start", "end", "speaker")} for label in labels]


def _segments(stem: Path) -> list[Segment]:
    """Segments and words of one recording, in the same order."""
    words = iter(_words(stem.with_suffix(".words.json")))
    return [
        Segment.model_validate(
            {**segment.compact(), "words": [{**next(words), "word": text} for text in segment.text.split()]}
        )
        for segment in read_transcript(stem.with_suffix(".segments.json")).segments
    ]


def _of_speakers(stem: Path) -> tuple[Segment, ...]:
    """Segments with the words of their speaker that lie in them."""
    words = _words(stem.with_suffix(".words.json"))
    found = []
    for segment in read_transcript(stem.with_suffix(".segments.json")).segments:
        own = [
            word
            for word in words
            if word["speaker"] == segment.speaker
            and segment.start - 0.02 <= word["start"]
            and word["end"] <= segment.end + 0.02
        ]
        if own:
            text = " ".join(word["word"] for word in own)
            found.append(Segment.model_validate({**segment.compact(), "text": text, "words": own}))
    return tuple(found)


def _as_one(segments: Sequence[Segment]) -> Segment:
    return Segment(
        start=segments[0].start,
        end=segments[-1].end,
        text=" ".join(segment.text for segment in segments),
        words=tuple(word for segment in segments for word in segment.words),
    )
