"""What the Whisper backends share: batches of windows, fallback, and going back for speech that was left out.

A backend encodes a batch of windows and decodes rows of it at a temperature; the rest is here.

The fallback is that of Whisper's paper (Radford et al., 2022, section 4.5) and ``whisper/transcribe.py``. Text
is decoded with timestamps, as there: a batch cannot seek, so speech (of the VAD) that no timestamped text covers
is decoded once more as a window of its own. On 18 minutes of readings and meetings (Whisper base, int8, beam 5,
2,701 words) that has a word error rate of 9.6 %; without going back it has 13.3 %, and without timestamps 9.1 %,
where the text is a block per chunk and nothing shows what was skipped.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Protocol

import numpy as np

from pipeline.asr import ChunkText, Keep
from pipeline.asr._guards import guarded
from pipeline.encoder_output import FRAME_S
from pipeline.recording import SAMPLE_RATE, Recording
from pipeline.vad import WINDOW_S, Chunk, SpeechRegion, windows
from pipeline.whisper_mlx.windows import compression_ratio
from schemas.options import AsrOptions
from schemas.report import Warning_
from schemas.transcript import Segment

WINDOW_SAMPLES = round(WINDOW_S * SAMPLE_RATE)
SECONDS_PER_TIMESTAMP = 0.02
SURE_OF_LANGUAGE = 0.5  # for a chunk to have another language than its recording
MOST_TOKENS = 224  # that Whisper writes for a window: half of its context

_LEFT_OUT_S = 1.0  # speech without text that is worth another window
_SLACK_S = 0.3  # timestamps are that inexact
_MARGIN_S = 0.2
_TIMES_BACK = 2
_MISSING_S = 2.0  # speech without text that is worth a warning
# What the model says of a doubtful chunk counts above this average, and below this probability of no speech. On
# noise, music and breaths just under a VAD's threshold Whisper base writes "you" at -1.0 to -1.7 and 0.57 to 0.91.
_SURE_LOGPROB = -0.7
_SURE_NO_SPEECH = 0.5


@dataclass(frozen=True)
class Utterance:
    """Text between two timestamps, in seconds from the window's beginning."""

    start: float
    end: float
    text: str


@dataclass(frozen=True)
class Decoded:
    """What a window says. ``avg_logprob`` is per token; it is NaN where the model's numbers broke down.

    ``language`` is the window's own, where it is not that of the recording.
    """

    utterances: tuple[Utterance, ...]
    avg_logprob: float
    no_speech_prob: float
    temperature: float
    language: str | None = None

    @cached_property
    def text(self) -> str:
        """All of it."""
        return " ".join(utterance.text.strip() for utterance in self.utterances)

    @cached_property
    def compression_ratio(self) -> float:
        """Bytes over compressed bytes: high where words repeat."""
        return compression_ratio(self.text)


@dataclass(frozen=True)
class Fallback:
    """When a window is decoded again, hotter. A threshold of none is not tested."""

    temperatures: tuple[float, ...]
    compression_ratio: float | None
    logprob: float | None
    no_speech: float | None

    @classmethod
    def of(cls, options: AsrOptions) -> Fallback:
        """The fallback asked for."""
        return cls(
            options.temperatures,
            options.compression_ratio_threshold,
            options.logprob_threshold,
            options.no_speech_threshold,
        )

    def is_silence(self, decoded: Decoded) -> bool:
        """The model hears no speech, and does not believe its own text."""
        if self.no_speech is None or not decoded.no_speech_prob > self.no_speech:
            return False
        return self.logprob is None or not decoded.avg_logprob > self.logprob

    def fails(self, decoded: Decoded) -> bool:
        """Text that repeats itself, that the model does not believe, or that came of numbers that broke down."""
        if math.isnan(decoded.avg_logprob):
            return True
        if self.is_silence(decoded):
            return False
        if self.compression_ratio is not None and decoded.compression_ratio > self.compression_ratio:
            return True
        return self.logprob is not None and decoded.avg_logprob < self.logprob

    def best(self, tried: Sequence[Decoded]) -> Decoded:
        """The last one if it is good; else, of those that do not repeat themselves, the likeliest."""
        if not self.fails(tried[-1]):
            return tried[-1]
        limit = math.inf if self.compression_ratio is None else self.compression_ratio
        sound = [decoded for decoded in tried if not math.isnan(decoded.avg_logprob)]
        varied = [decoded for decoded in sound if decoded.compression_ratio <= limit]
        return max(varied or sound or tried, key=lambda decoded: decoded.avg_logprob)


class WindowDecoder(Protocol):
    """A Whisper model with its language, task and prompt set."""

    batch_size: int

    def encode(self, waveforms: Sequence[np.ndarray]) -> Any:
        """Whatever :meth:`decode` wants of a batch of waveforms (samples,), each at most 30 s."""
        ...

    def features(self, encoded: Any) -> np.ndarray:
        """The encoder's output (rows, frames, state), every 20 ms, out of what :meth:`encode` gave."""
        ...

    def decode(self, encoded: Any, rows: Sequence[int], temperature: float, seed: int) -> list[Decoded]:
        """The text of these rows; above temperature 0 it is sampled, and the seed makes it repeatable."""
        ...


def decode_with_fallback(
    decoder: WindowDecoder, encoded: Any, count: int, fallback: Fallback, seed: int = 0
) -> list[Decoded]:
    """One answer for each of ``count`` encoded waveforms. Only rows that fail go on to the next temperature."""
    tried: list[list[Decoded]] = [[] for _ in range(count)]
    rows = list(range(count))
    for temperature in fallback.temperatures:
        for row, decoded in zip(rows, decoder.decode(encoded, rows, temperature, seed), strict=True):
            tried[row].append(decoded)
        rows = [row for row in rows if fallback.fails(tried[row][-1])]
        if not rows:
            break
    return [fallback.best(answers) for answers in tried]


def frames_of(span: Chunk) -> int:
    """How many frames of Whisper's encoder hear a stretch of at most 30 s."""
    return int(round(min(span.end - span.start, WINDOW_S) / FRAME_S, 3)) + 1


@dataclass(frozen=True)
class Window:
    """A stretch of a chunk, at most 30 s; ``back`` counts how often its speech was gone back for.

    ``after`` is the text that such a stretch follows: it often begins within a sentence.
    """

    index: int
    span: Chunk
    back: int = 0
    after: str = ""


@dataclass
class _Open:
    """A chunk of which some windows are not decoded yet."""

    chunk: Chunk
    waiting: int
    segments: list[Segment] = field(default_factory=list)
    warnings: list[Warning_] = field(default_factory=list)


class Schedule:
    """Which windows are to be decoded, and the chunks that come of them."""

    def __init__(
        self, recording: Recording, chunks: Iterable[tuple[int, Chunk]], options: AsrOptions
    ) -> None:
        self.recording = recording
        self.options = options
        self.fallback = Fallback.of(options)
        self._source = iter(chunks)
        self._waiting: deque[Window] = deque()
        self._opened: dict[int, _Open] = {}

    def take(self, count: int) -> list[Window]:
        """At most ``count`` windows to decode next. None may mean that :meth:`put` has to make more."""
        while len(self._waiting) < count and (following := next(self._source, None)):
            self._waiting += self.open(*following)
        return [self._waiting.popleft() for _ in range(min(count, len(self._waiting)))]

    def open(self, index: int, chunk: Chunk) -> list[Window]:
        """A chunk's windows."""
        spans = windows(chunk, self.recording)
        self._opened[index] = _Open(chunk, len(spans))
        return [Window(index, span) for span in spans]

    def before(self, window: Window) -> tuple[int, ...]:
        """Text tokens that the window is read after."""
        return ()

    def heard(self, window: Window, tokens: Sequence[int]) -> None:
        """The window's text tokens, as soon as they are there; none where they are not to be trusted."""

    def put(self, window: Window, decoded: Decoded) -> list[ChunkText]:
        """What a window says; returns its chunk where that is done now."""
        owner = self._opened[window.index]
        again = _take(owner, window, decoded, self.fallback)
        self._waiting.extendleft(reversed(again))
        owner.waiting += len(again) - 1
        if owner.waiting:
            return []
        return [_finished(window.index, self._opened.pop(window.index), self.options)]


def transcribe_chunks(
    decoder: WindowDecoder,
    recording: Recording,
    chunks: Iterable[tuple[int, Chunk]],
    options: AsrOptions,
    keep: Keep | None = None,
) -> Iterator[ChunkText]:
    """Each chunk's text as soon as it is there. Only the audio of the batch at hand is read.

    ``keep`` needs a decoder that has ``features``.
    """
    schedule = Schedule(recording, chunks, options)
    while batch := schedule.take(decoder.batch_size):
        waveforms = [recording.seconds(w.span.start, w.span.end)[:WINDOW_SAMPLES] for w in batch]
        encoded = decoder.encode(waveforms)
        if keep is not None:
            for window, features in zip(batch, decoder.features(encoded), strict=True):
                keep(window.span.start, features[: frames_of(window.span)])
        answers = decode_with_fallback(decoder, encoded, len(batch), schedule.fallback, seed=batch[0].index)
        for window, decoded in zip(batch, answers, strict=True):
            yield from schedule.put(window, decoded)


def _take(owner: _Open, window: Window, decoded: Decoded, fallback: Fallback) -> list[Window]:
    """Adds a window's text to its chunk; returns the windows for the speech that it left out."""
    if math.isnan(decoded.avg_logprob):
        owner.warnings.append(
            Warning_(
                code="low_confidence",
                message="The model's numbers broke down at every temperature; a stretch was left out.",
            )
        )
        return []
    if fallback.is_silence(decoded):
        if decoded.text.strip():
            owner.warnings.append(
                Warning_(
                    code="hallucination_removed",
                    message="Text where the model itself hears no speech was left out.",
                )
            )
        return []
    if owner.chunk.doubtful and not _is_sure(decoded, fallback):
        if decoded.text.strip():
            owner.warnings.append(
                Warning_(
                    code="speech_missed", message="Sounds near to speech could not be read with confidence."
                )
            )
        return []
    offset = window.span.start
    owner.segments += [_segment(utterance, decoded, offset) for utterance in decoded.utterances]
    if fallback.fails(decoded):
        owner.warnings.append(
            Warning_(
                code="low_confidence",
                message="Some stretches stayed repetitive or unlikely at every temperature.",
            )
        )
        return []
    return _left_out(window, decoded)


def _is_sure(decoded: Decoded, fallback: Fallback) -> bool:
    """Text that can be believed where a VAD hears no speech."""
    sure = decoded.avg_logprob >= _SURE_LOGPROB and decoded.no_speech_prob <= _SURE_NO_SPEECH
    return sure and not fallback.fails(decoded)


def _segment(utterance: Utterance, decoded: Decoded, offset: float) -> Segment:
    return Segment(
        start=round(offset + utterance.start, 3),
        end=round(offset + max(utterance.start, utterance.end), 3),
        text=utterance.text,
        language=decoded.language,
        avg_logprob=round(decoded.avg_logprob, 4),
        compression_ratio=round(decoded.compression_ratio, 3),
        no_speech_prob=round(min(1.0, max(0.0, decoded.no_speech_prob)), 4),
        temperature=decoded.temperature,
    )


def _left_out(window: Window, decoded: Decoded) -> list[Window]:
    """Windows for stretches of speech that no utterance covers, where some other utterance was heard."""
    if window.back >= _TIMES_BACK or not decoded.utterances:
        return []
    found = []
    said = [(window.span.start + u.start, window.span.start + u.end) for u in decoded.utterances]
    for start, end in _gaps(said, window.span):
        regions = tuple(
            SpeechRegion(max(start, r.start), min(end, r.end))
            for r in window.span.regions
            if r.end > start and r.start < end
        )
        if _seconds(regions, start + _SLACK_S, end - _SLACK_S) >= _LEFT_OUT_S:
            first, last = max(start, regions[0].start - _MARGIN_S), min(end, regions[-1].end + _MARGIN_S)
            after = " ".join(
                u.text.strip() for u in decoded.utterances if window.span.start + u.start < start
            )
            found.append(Window(window.index, Chunk(first, last, regions), window.back + 1, after))
    return found


def _gaps(said: Iterable[tuple[float, float]], span: Chunk) -> Iterator[tuple[float, float]]:
    """The stretches of a window or chunk between texts, all in seconds of the recording."""
    reached = span.start
    for start, end in sorted(said):
        if start > reached:
            yield reached, start
        reached = max(reached, end)
    if reached < span.end:
        yield reached, span.end


def _seconds(regions: Sequence[SpeechRegion], start: float, end: float) -> float:
    """Speech between two times."""
    return sum(max(0.0, min(end, r.end) - max(start, r.start)) for r in regions)


def _finished(index: int, done: _Open, options: AsrOptions) -> ChunkText:
    prompts = [text for text in (options.initial_prompt, ", ".join(options.vocabulary)) if text]
    ordered = sorted(done.segments, key=lambda segment: (segment.start, segment.end))
    segments, warnings = guarded(ordered, done.chunk, prompts=prompts)
    warnings = [*done.warnings, *warnings]
    return ChunkText(index, tuple(segments), (*warnings, *_missing(done.chunk, segments, warnings)))


def _missing(chunk: Chunk, segments: Sequence[Segment], known: Sequence[Warning_]) -> list[Warning_]:
    """A warning for speech of the VAD that has no text after all, where no other one says so."""
    if known or chunk.doubtful:
        return []
    said = [(segment.start, segment.end) for segment in segments]
    silent = [
        (start, end)
        for start, end in _gaps(said, chunk)
        if _seconds(chunk.regions, start + _SLACK_S, end - _SLACK_S) >= _MISSING_S
    ]
    if not silent:
        return []
    message = "Stretches that sound like speech have no text, although they were decoded again."
    return [Warning_(code="speech_missed", message=message, count=len(silent))]


def utterances(
    tokens: Sequence[int],
    *,
    eot: int,
    timestamp_begin: int,
    duration: float,
    decode: Callable[[list[int]], str],
    room: int = MOST_TOKENS,
) -> tuple[Utterance, ...]:
    """Text tokens cut at timestamp tokens; ``decode`` turns them into a string.

    Text that no timestamp closes ends with the window (``duration``, seconds). Where the model ran out of
    ``room`` (tokens) before it was done, that last text is left for another window, as Whisper's own seeking does.
    """
    found: list[Utterance] = []
    text: list[int] = []
    start = 0.0

    def close(end: float) -> None:
        if text:
            found.append(Utterance(min(start, duration), min(end, duration), decode(text)))
            text.clear()

    for token in tokens:
        if token >= timestamp_begin:
            time = (token - timestamp_begin) * SECONDS_PER_TIMESTAMP
            close(time)
            start = time
        elif token < eot:
            text.append(token)
    if len(tokens) < room or not found:
        close(duration)
    return tuple(found)
