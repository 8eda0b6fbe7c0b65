"""Windows of speech as a microphone hears it, with the phone of every 10 ms.

A job is a voice and what it reads. Its utterances are strung together to windows of 3 to 29 s with pauses between
them; a third of the windows stay clean, the others get noise, an echo or a telephone's band.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
from scipy.signal import butter, fftconvolve, sosfilt

from tools.train_aligner import phones
from tools.train_aligner.voices import RATE, Espeak, Flite, Utterance

FRAME = RATE // 100
UNKNOWN = -100
_SHORT_S = 0.025  # a nameless event shorter than that is part of the phone before it


@dataclass(frozen=True)
class Job:
    """``system`` is ``flite`` or ``espeak``; ``speed`` 1 is the voice's own; ``clean`` leaves out the noise."""

    system: str
    voice: str
    speed: float
    pitch: int
    texts: tuple[str, ...]
    seed: int
    clean: bool = False


@dataclass(frozen=True)
class Window:
    """``samples`` (samples,) and the name of the phone of each 10 ms, "" where it is not certain."""

    samples: np.ndarray
    names: list[str]


def windows(job: Job, name_of: Callable[[str], str | None]) -> list[Window]:
    """The job done. ``name_of`` turns the synthesiser's names of phones into the head's."""
    rng = np.random.default_rng(job.seed)
    found = []
    for spoken in _packed(_said(job, name_of), rng):
        samples = np.concatenate([samples for samples, _ in spoken])
        names = [name for _, part in spoken for name in part]
        found.append(Window(_heard(samples, rng, job.clean), names))
    return found


def _said(job: Job, name_of) -> Iterator[tuple[np.ndarray, list[str]]]:
    if job.system == "flite":
        voice = Flite(job.voice, 1 / job.speed)
    else:
        voice = Espeak(job.voice, round(170 * job.speed), job.pitch)
    for text in job.texts:
        utterance = voice.say(text)
        if len(utterance.samples) < RATE // 2 or any("(" in name for name, _ in utterance.phones):
            continue  # espeak-ng changed to another language
        count = len(utterance.samples) // FRAME
        samples = utterance.samples[: count * FRAME]
        yield samples / (np.abs(samples).max() + 1e-9), _names(utterance, count, name_of)


def _names(utterance: Utterance, count: int, name_of) -> list[str]:
    """The phone at the beginning of each 10 ms."""
    spans, begin = [], 0.0
    for name, end in utterance.phones:
        merged = spans and (name in ("ʲ", "ː") or (not name and end - begin < _SHORT_S))
        known = spans[-1][0] if merged else (phones.PAUSE if not name else name_of(name) or "")
        spans.append((known, end))
        begin = end
    ends = np.array([end for _, end in spans])
    index = np.searchsorted(ends, np.arange(count) * FRAME / RATE, side="right")
    return [spans[i][0] if i < len(spans) else phones.PAUSE for i in index]


def _packed(spoken, rng) -> Iterator[list[tuple[np.ndarray, list[str]]]]:
    """Utterances that make up a window, with pauses between them."""
    window, length, wanted = [], 0, _window_frames(rng)
    for samples, names in spoken:
        pause = int(rng.integers(0, 60))
        if window and length + pause + len(names) > wanted:
            yield window
            window, length, wanted = [], 0, _window_frames(rng)
        window += [(np.zeros(pause * FRAME), [phones.PAUSE] * pause), (samples, names)]
        length += pause + len(names)
        if length > 2950:
            window, length = [], 0
    if window:
        yield window


def _window_frames(rng) -> int:
    return int(rng.integers(300, 2900)) if rng.random() < 0.6 else 2900


def _heard(samples: np.ndarray, rng, clean: bool) -> np.ndarray:
    """Through a room, a telephone and noise, each with its chance; float32 with a peak of 0.05 to 0.9."""
    if not clean and rng.random() < 0.7:
        if rng.random() < 0.4:
            samples = _echoed(samples, rng)
        if rng.random() < 0.25:
            samples = _telephoned(samples)
        if rng.random() < 0.8:
            samples = with_noise(samples, rng.uniform(-2, 20), rng)
    else:
        samples = with_noise(samples, rng.uniform(30, 70), rng)
    return (samples / np.abs(samples).max() * rng.uniform(0.05, 0.9)).astype(np.float32)


def with_noise(samples: np.ndarray, snr_db: float, rng) -> np.ndarray:
    """White or pink noise, or the murmur of the voice itself, backwards and over itself."""
    kind = rng.integers(3)
    noise = rng.standard_normal(len(samples))
    if kind == 1:
        spectrum = np.fft.rfft(noise)
        noise = np.fft.irfft(spectrum / np.sqrt(np.arange(len(spectrum)) + 1.0), len(samples))
    elif kind == 2:
        parts = (np.roll(samples[::-1], rng.integers(len(samples))) for _ in range(5))
        noise = sum(parts) + 0.01 * noise
    gain = np.sqrt(np.mean(samples**2) / (np.mean(noise**2) + 1e-12) / 10 ** (snr_db / 10))
    return samples + gain * noise


def _echoed(samples: np.ndarray, rng) -> np.ndarray:
    """Exponentially falling noise after the direct sound, 0.15 to 0.6 s to fall by 60 dB."""
    length = int(rng.uniform(0.15, 0.6) * RATE)
    response = rng.standard_normal(length) * np.exp(-6.9 * np.arange(length) / length)
    response[0] = rng.uniform(2.0, 6.0)
    return fftconvolve(samples, response / np.sqrt(np.sum(response**2)))[: len(samples)]


def _telephoned(samples: np.ndarray) -> np.ndarray:
    return sosfilt(butter(4, (300, 3400), "bandpass", fs=RATE, output="sos"), samples)
