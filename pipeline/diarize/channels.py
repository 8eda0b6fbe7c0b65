"""One speaker a channel, as call recorders leave it: speech regions of each channel are that speaker's turns.

Exact where people talk at once, and without any model of voices. Crosstalk is left out: a channel speaks only
where its level, against its own loud frames, is not far below that of another one with speech, now or an echo's
delay before.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from pipeline.channels import FRAME_S, LEAD_DB, ChannelLevels, relative
from pipeline.recording import SAMPLE_RATE, Recording
from pipeline.vad import Vad
from schemas.diarization import Diarization, SpeakerTurn
from schemas.errors import InvalidArgument, StageFailed
from schemas.options import DiarizeOptions, Options
from schemas.report import Warning_

if TYPE_CHECKING:
    from pipeline.models import ModelFiles
    from pipeline.plan import Choice

REQUIRES = ("faster_whisper", "numba", "onnx", "threadpoolctl")
DEVICES = ("cpu",)
VERSION = 2
MODEL_KIND = "vad"
MODEL_FORMATS = ("onnx",)

LEAST_SPEECH_S = 0.5  # of a channel, to be a speaker's
_SMOOTH_FRAMES = 7  # 0.35 s: levels are compared over a syllable or two
_ECHO_FRAMES = 5  # 0.25 s: crosstalk may come with an echo's delay
_PAUSE_S = 0.3  # shorter ones belong to a turn
_SHORTEST_S = 0.15
_BLOCK_SAMPLES = 60 * SAMPLE_RATE


def weights(choice: Choice, options: Options) -> tuple[ModelFiles, ...]:
    """Silero's. Raises :class:`schemas.errors.ModelNotFound` where faster-whisper lacks the file."""
    from pipeline.vad import silero

    return silero.weights(choice, options)


def load(choice: Choice, options: Options) -> ChannelDiarizer:
    """Raises :class:`schemas.errors.ModelNotFound` where faster-whisper lacks Silero's file."""
    from pipeline.vad import silero

    return ChannelDiarizer(silero.load(choice, options))


class ChannelDiarizer:
    """As :class:`pipeline.diarize.Diarizer`."""

    device = "cpu"

    def __init__(self, vad: Vad) -> None:
        self._vad = vad
        self.model, self.revision = vad.model, vad.revision
        self.cache_key = f"channels({vad.cache_key})"

    def diarize(
        self, recording: Recording, options: DiarizeOptions, progress: Callable[[float], None]
    ) -> Diarization:
        """Turns of every channel in which somebody speaks, labels in order of first appearance.

        Raises :class:`InvalidArgument` for a recording with one channel, or without a file, and
        :class:`StageFailed` where fewer than two channels hold speech of their own.
        """
        count = recording.channels.count
        if recording.one_channel is None or count < 2:
            raise InvalidArgument(
                "the recording has one channel, which cannot be split by speaker", hint="use channels=mix"
            )
        spoken, levels = [], []
        for number in range(count):
            with recording.one_channel(number) as channel:
                regions = self._vad.speech_regions(
                    channel, lambda f, n=number: progress(min(1.0, (n + f) / count))
                )
                spoken.append([(region.start, region.end) for region in regions])
                levels.append(_levels(channel))
        length = min(map(len, levels))
        loudness = relative(np.stack([_smoothed(one[:length]) for one in levels], axis=1))
        speech = _frames_of(spoken, length)
        active = speech & (loudness > _of_others(np.where(speech, loudness, -np.inf)) - LEAD_DB)
        found = {n: _turns(active[:, n], spoken[n]) for n in range(count)}
        own = {n: turns for n, turns in found.items() if sum(b - a for a, b in turns) >= LEAST_SPEECH_S}
        if len(own) < 2:
            raise StageFailed(
                f"{len(own)} of {count} channels holds speech of its own", hint="use channels=mix"
            )
        progress(1.0)
        return _diarization(own, loudness, options)


def _levels(channel: Recording) -> np.ndarray:
    """Levels in dB of each 50 ms (frames,)."""
    collected = ChannelLevels()
    for block in channel.blocks(_BLOCK_SAMPLES):
        collected.add(block[None], SAMPLE_RATE)
    return collected.levels()[:, 0].astype(np.float32)


def _frames_of(spoken: Sequence[Sequence[tuple[float, float]]], count: int) -> np.ndarray:
    """Which frames are in a channel's regions, (frames, channels) bool."""
    active = np.zeros((count, len(spoken)), bool)
    for number, regions in enumerate(spoken):
        for start, end in regions:
            active[int(start / FRAME_S) : int(np.ceil(end / FRAME_S)), number] = True
    return active


def _of_others(loudness: np.ndarray) -> np.ndarray:
    """How loud the loudest of the other channels is or just was, for each channel (frames, channels)."""
    from scipy.ndimage import maximum_filter1d

    recent = maximum_filter1d(loudness, _ECHO_FRAMES, axis=0, origin=_ECHO_FRAMES // 2, mode="nearest")
    numbers = range(loudness.shape[1])
    return np.stack([np.delete(recent, number, axis=1).max(axis=1) for number in numbers], axis=1)


def _smoothed(levels: np.ndarray) -> np.ndarray:
    """Mean power of the frames around each, in dB."""
    power = 10 ** (levels / 10)
    window = np.ones(_SMOOTH_FRAMES)
    mean = np.convolve(power, window, "same") / np.convolve(np.ones(len(power)), window, "same")
    return 10 * np.log10(np.maximum(mean, 1e-10))


def _turns(active: np.ndarray, spoken: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Runs of frames, cut to the exact edges of the channel's regions; short pauses closed, blips left out."""
    edges = np.flatnonzero(np.diff(active.astype(np.int8), prepend=0, append=0))
    runs = [(float(first) * FRAME_S, float(last) * FRAME_S) for first, last in edges.reshape(-1, 2)]
    cut = [(max(start, a), min(end, b)) for start, end in runs for a, b in spoken if a < end and b > start]
    joined: list[tuple[float, float]] = []
    for start, end in cut:
        if joined and start - joined[-1][1] < _PAUSE_S:
            joined[-1] = joined[-1][0], end
        else:
            joined.append((start, end))
    return [(start, end) for start, end in joined if end - start >= _SHORTEST_S]


def _diarization(
    own: dict[int, list[tuple[float, float]]], loudness: np.ndarray, options: DiarizeOptions
) -> Diarization:
    order = sorted(own, key=lambda number: own[number][0])
    names = {number: f"SPEAKER_{place:02d}" for place, number in enumerate(order)}
    turns = [
        SpeakerTurn(start=round(start, 3), end=round(end, 3), speaker=names[number])
        for number, spans in own.items()
        for start, end in spans
    ]
    turns.sort(key=lambda turn: (turn.start, turn.end, turn.speaker))
    of_speaker = {names[number]: loudness[:, number] for number in own}
    return Diarization(
        turns=tuple(turns),
        exclusive_turns=tuple(exclusive(turns, of_speaker)),
        warnings=(_said(names), *_count_warnings(len(names), options)),
    )


def exclusive(turns: Sequence[SpeakerTurn], loudness: dict[str, np.ndarray]) -> list[SpeakerTurn]:
    """The turns without overlap: where several talk, whoever is the loudest has the frame.

    ``loudness`` has each speaker's smoothed level against their own loud frames, (frames,).
    """
    events = sorted(
        [(turn.start, 1, turn.speaker) for turn in turns] + [(turn.end, -1, turn.speaker) for turn in turns]
    )
    talking: set[str] = set()
    made: list[SpeakerTurn] = []
    before = 0.0
    for time, change, name in events:
        if talking and time > before:
            for start, end, speaker in _loudest(before, time, sorted(talking), loudness):
                if made and made[-1].speaker == speaker and made[-1].end == start:
                    made[-1] = made[-1].model_copy(update={"end": end})
                else:
                    made.append(SpeakerTurn(start=start, end=end, speaker=speaker))
        talking = talking | {name} if change > 0 else talking - {name}
        before = time
    return made


def _loudest(
    start: float, end: float, talking: Sequence[str], loudness: dict[str, np.ndarray]
) -> Iterator[tuple[float, float, str]]:
    """A stretch in which the same people talk, cut where the loudest of them changes."""
    first, last = int(start / FRAME_S), max(int(start / FRAME_S) + 1, int(np.ceil(end / FRAME_S)))
    leaders = np.stack([loudness[name][first:last] for name in talking]).argmax(axis=0)
    changes = np.flatnonzero(np.diff(leaders)) + 1
    edges = [start, *(round(float(first + at) * FRAME_S, 3) for at in changes), end]
    for (begin, until), at in zip(pairwise(edges), [0, *changes], strict=True):
        if until > begin:
            yield begin, until, talking[leaders[at] if len(leaders) else 0]


def _said(names: dict[int, str]) -> Warning_:
    who = ", ".join(f"{name} is channel {number + 1}" for number, name in sorted(names.items()))
    return Warning_(
        code="channels_split",
        message=f"Each channel holds a speaker of its own, so turns come from the channels: {who}. "
        "channels=mix tells speakers apart by their voices instead.",
    )


def _count_warnings(found: int, options: DiarizeOptions) -> tuple[Warning_, ...]:
    least = options.num_speakers or options.min_speakers or 1
    most = options.num_speakers or options.max_speakers or found
    if least <= found <= most:
        return ()
    message = f"Speech is on {found} channels; asked for {least if found < least else most} speakers."
    return (Warning_(code="speaker_limit", message=f"{message} Use channels=mix."),)
