"""From segments with text to segments with words on the clock, whatever the backend.

The audio of a segment is cut with a margin that does not reach into its neighbours and never past the
recording's end; cuts of like length go to the backend together; what it could not place is estimated. Only the
samples of the cuts at hand are in memory.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, TypeVar

import numpy as np

from pipeline.align import WINDOW_S, Aligner, Cut, Heard, WordTime
from pipeline.align._long import place_long
from pipeline.align._silence import trimmed
from pipeline.align._times import checked, later, settled
from pipeline.align._words import own_words, split_words, written_together
from pipeline.align.even import spread
from pipeline.encoder_output import FRAME_S, EncodedWindow, EncoderOutput
from pipeline.machine import usable_cores
from pipeline.recording import Recording
from schemas.errors import FailedToAlign
from schemas.options import AlignOptions
from schemas.report import Warning_
from schemas.transcript import Char, Phone, Segment, Word

_WINDOWS_AT_ONCE = 8  # or two a core: 15 MB of audio, 12 MB of Whisper base's output
_SHORTEST_CUT_S = 0.03
_BEYOND_S = 1.0  # how far a segment may reach beyond the recording before that is worth a word
_PLACES = 3  # decimals of a second, as WhisperX writes them

_Part = TypeVar("_Part", Char, Phone)


@dataclass(frozen=True)
class _Task:
    """Segment number ``index``: its words, its own bounds and those of its cut, in seconds of the recording.

    ``own`` are the words as the segment has them, none if they come from its text. With a ``window`` that has
    heard it, the cut begins at a frame of that.
    """

    index: int
    texts: tuple[str, ...]
    own: tuple[Word, ...]
    language: str
    start: float
    end: float
    low: float
    high: float
    window: EncodedWindow | None = None

    @property
    def first_frame(self) -> int:
        """The window's frame at which the cut begins, just before ``low`` where it has one there."""
        assert self.window is not None
        return max(0, int((self.low - self.window.start) / FRAME_S + 1e-6))

    @property
    def cut_start(self) -> float:
        """Second at which the cut begins."""
        return self.low if self.window is None else self.window.start + self.first_frame * FRAME_S

    @property
    def length_s(self) -> float:
        return self.high - self.low


def align_segments(
    aligner: Aligner,
    recording: Recording,
    segments: Sequence[Segment],
    language: str,
    *,
    options: AlignOptions,
    progress: Callable[[float], None],
    heard: EncoderOutput | None = None,
) -> tuple[tuple[Segment, ...], tuple[Warning_, ...]]:
    """The segments with a start, an end, a score and the origin of the time at each word.

    Words are those that the segment has, where they spell its text, else its text's; none is lost, none
    overlaps the next, and each lies inside the recording. A segment then reaches from its first word to its
    last. ``language`` holds where a segment names none. ``progress`` takes a fraction and may raise to cancel.
    What ``heard`` has of the segments is not encoded again by an aligner that reads the same encoder.

    Raises what the backend raises, :class:`schemas.errors.BackendUnavailable` for a language it does not know.
    """
    tasks = _tasks(segments, recording, language, aligner.margin_s)
    if heard is not None and heard.model is not None and heard.model == getattr(aligner, "encoder", None):
        tasks = [_in_window(task, heard) for task in tasks]
    run = _Run(aligner, recording, options, progress, sum(task.length_s for task in tasks), heard)
    aligned = list(segments)
    for task, times in run.placed(tasks):
        aligned[task.index] = run.finished(segments[task.index], task, times)
    progress(1.0)
    beyond = sum(segment.end > recording.duration_s + _BEYOND_S for segment in segments)
    return tuple(aligned), run.warnings(beyond)


@dataclass
class _Run:
    """One call of :func:`align_segments`, and what its warnings will say."""

    aligner: Aligner
    recording: Recording
    options: AlignOptions
    progress: Callable[[float], None]
    total_s: float
    heard: EncoderOutput | None = None
    done_s: float = 0.0
    words: int = 0
    estimated: int = 0
    characters: int = 0
    phones: int = 0
    failures: Counter[str] = field(default_factory=Counter)

    def placed(self, tasks: Sequence[_Task]) -> Iterator[tuple[_Task, list[WordTime | None]]]:
        """Each task with the times of its words in seconds of the recording, in any order."""
        for task in tasks:
            if task.length_s < _SHORTEST_CUT_S:
                yield task, self._or_even(task, FailedToAlign("there is no audio at their time"))
        for batch in _batches([task for task in tasks if _SHORTEST_CUT_S <= task.length_s <= WINDOW_S]):
            yield from zip(batch, self._place(batch), strict=True)
            self._tick(sum(task.length_s for task in batch))
            self.done_s += sum(task.length_s for task in batch)
        for task in tasks:
            if task.length_s > WINDOW_S:
                bounds, cut_between = (task.low, task.high), partial(self._cut, task.language)
                found = place_long(self.aligner, cut_between, task.texts, bounds, self._tick)
                yield task, self._or_even(task, found)
                self.done_s += task.length_s

    def finished(self, segment: Segment, task: _Task, found: list[WordTime | None]) -> Segment:
        """The segment with its words on the clock."""
        times = settled(task.texts, found, task.low, task.high, self.options.interpolate_method)
        self.words += len(times)
        if self.options.return_char_alignments:
            self.characters += sum(len(time.chars) for time in times if time is not None)
        if self.options.return_phone_alignments:
            self.phones += sum(len(time.phones) for time in times if time is not None)
        self.estimated += sum(
            (time is None or time.timing == "interpolated") and any(c.isalnum() for c in text)
            for text, time in zip(task.texts, times, strict=True)
        )
        words = _timed(task, times, segment.speaker)
        if self.options.return_phone_alignments:
            words = tuple(_with_phones(word, time) for word, time in zip(words, times, strict=True))
        known = [word for word in words if word.start is not None]
        return segment.model_copy(
            update={
                "start": known[0].start if known else task.start,
                "end": known[-1].end if known else task.end,
                "words": words,
                "chars": _chars(words, times) if self.options.return_char_alignments else None,
            }
        )

    def warnings(self, beyond: int) -> tuple[Warning_, ...]:
        """What a reader should know; ``beyond`` segments end after the recording does."""
        found = [
            (
                "outside_recording",
                "Segments end after the recording does, and their words were moved inside: the transcript may "
                "belong to another recording.",
                beyond,
            )
        ]
        found += [
            (
                "words_interpolated",
                f"Segments could not be aligned ({reason}); their words are spread over them by length.",
                count,
            )
            for reason, count in sorted(self.failures.items())
        ]
        asked = (
            ("return_char_alignments", "characters", self.options.return_char_alignments, self.characters),
            ("return_phone_alignments", "phones", self.options.return_phone_alignments, self.phones),
        )
        found += [
            ("flag_ignored", f"{flag}: this aligner places words, not {things}.", 1)
            for flag, things, wanted, placed in asked
            if wanted and self.words and not placed
        ]
        how = "no times" if self.options.interpolate_method == "ignore" else "estimated times"
        found.append(("words_interpolated", f"Words have {how}, out of {self.words}.", self.estimated))
        return tuple(Warning_(code=code, message=text, count=n) for code, text, n in found if n)

    def _place(self, batch: Sequence[_Task]) -> list[list[WordTime | None]]:
        windows = {task.window: self.heard.read(task.window) for task in batch if task.window and self.heard}
        cuts = [
            self._cut(
                task.language,
                task.cut_start,
                task.high,
                task.texts,
                task.window and Heard(task.window.start, windows[task.window], task.first_frame),
            )
            for task in batch
        ]
        results = self.aligner.align(cuts)
        placed = []
        for task, cut, found in zip(batch, cuts, results, strict=True):
            if not isinstance(found, FailedToAlign):
                found = trimmed(cut.words, checked(cut, found), cut.loudness)
                begin = task.cut_start
                found = [later(time, begin) for time in found]
            placed.append(self._or_even(task, found))
        return placed

    def _cut(
        self, language: str, start: float, end: float, words: Sequence[str], heard: Heard | None = None
    ) -> Cut:
        waveform = self.recording.view(start, end)
        wanted = self.options.return_char_alignments, self.options.return_phone_alignments
        return Cut(waveform, tuple(words), language, heard, *wanted)

    def _or_even(self, task: _Task, found: list[WordTime | None] | FailedToAlign) -> list[WordTime | None]:
        """The times, or the words spread over their segment where there are none."""
        if isinstance(found, FailedToAlign):
            self.failures[found.message] += 1
        elif any(time is not None for time in found):
            return found
        return list(spread(task.texts, task.start, task.end))

    def _tick(self, seconds: float) -> None:
        self.progress(min(1.0, (self.done_s + seconds) / self.total_s))


def _tasks(segments: Sequence[Segment], recording: Recording, language: str, margin_s: float) -> list[_Task]:
    """One per segment that has words. Bounds lie inside the recording."""
    duration = int(recording.duration_s * 10**_PLACES) / 10**_PLACES
    before, after = _free_space(segments, duration)
    tasks = []
    for index, segment in enumerate(segments):
        own = own_words(segment)
        texts = tuple(word.word for word in own) or split_words(segment.text)
        if not texts:
            continue
        start = min(max(0.0, round(segment.start, _PLACES)), duration)
        end = min(max(start, round(segment.end, _PLACES)), duration)
        # The margin shrinks where it would make the cut longer than a window.
        most = margin_s if end - start > WINDOW_S else min(margin_s, (WINDOW_S - (end - start)) / 2)
        low = max(0.0, start - min(most, before[index] / 2))
        high = min(duration, end + min(most, after[index] / 2))
        tasks.append(_Task(index, texts, own, segment.language or language, start, end, low, high))
    return tasks


def _in_window(task: _Task, heard: EncoderOutput) -> _Task:
    """The task with the window that has heard all of its segment, if one has."""
    window = heard.window_over(task.start, task.end) if task.length_s <= WINDOW_S else None
    if window is None:
        return task
    low, high = max(task.low, window.start), min(task.high, window.end + FRAME_S)
    return replace(task, low=low, high=high, window=window)


def _free_space(segments: Sequence[Segment], duration: float) -> tuple[list[float], list[float]]:
    """Seconds between each segment and whatever ends before it, and begins after it; 0 where they overlap."""
    order = sorted(range(len(segments)), key=lambda i: segments[i].start)
    before, after = [0.0] * len(segments), [0.0] * len(segments)
    latest = -2.0 * duration
    for position, index in enumerate(order):
        before[index] = max(0.0, segments[index].start - latest)
        latest = max(latest, segments[index].end)
        following = order[position + 1] if position + 1 < len(order) else None
        next_start = 3.0 * duration if following is None else segments[following].start
        after[index] = max(0.0, next_start - segments[index].end)
    return before, after


def _batches(tasks: Sequence[_Task]) -> Iterator[list[_Task]]:
    """Tasks of like length together, longest first, as much audio as windows (padded to the longest).

    Those that a window has heard come first, window by window.
    """
    windows: dict[EncodedWindow, list[_Task]] = {}
    for task in tasks:
        if task.window is not None:
            windows.setdefault(task.window, []).append(task)
    heard = [windows[window] for window in sorted(windows, key=lambda window: window.start)]
    at_once = max(_WINDOWS_AT_ONCE, 2 * usable_cores())
    for first in range(0, len(heard), at_once):
        yield [task for of_window in heard[first : first + at_once] for task in of_window]
    batch: list[_Task] = []
    unheard = (task for task in tasks if task.window is None)
    for task in sorted(unheard, key=lambda task: task.length_s, reverse=True):
        if batch and (len(batch) + 1) * batch[0].length_s > at_once * WINDOW_S:
            yield batch
            batch = []
        batch.append(task)
    if batch:
        yield batch


def _timed(task: _Task, times: Sequence[WordTime | None], speaker: str | None) -> tuple[Word, ...]:
    """The task's words on the clock, without phones."""
    clocks = _clocks(times)
    if not task.own:
        pairs = zip(task.texts, clocks, strict=True)
        return tuple(Word(word=text, speaker=speaker, **clock) for text, clock in pairs)
    pairs = zip(task.own, clocks, strict=True)
    return tuple(word.model_copy(update={**clock, "phones": None}) for word, clock in pairs)


def _clocks(times: Sequence[WordTime | None]) -> Iterator[dict[str, Any]]:
    """What words have of their times; the score is 0 where nothing speaks for one."""
    rows = np.array([(time.start, time.end, time.score or 0.0) if time else (0.0,) * 3 for time in times])
    rows[:, 2] = rows[:, 2].clip(0.0, 1.0)
    for time, (start, end, score) in zip(times, np.round(rows, _PLACES).tolist(), strict=True):
        if time is None:
            yield {"start": None, "end": None, "score": None, "timing": None}
        else:
            yield {"start": start, "end": end, "score": score, "timing": time.timing}


def _with_phones(word: Word, time: WordTime | None) -> Word:
    """The word with its phones, if the aligner has told of any."""
    if time is None or not time.phones:
        return word
    return word.model_copy(update={"phones": tuple(_inside(phone, word) for phone in time.phones)})


def _chars(words: Sequence[Word], times: Sequence[WordTime | None]) -> tuple[Char, ...]:
    """Characters as WhisperX lists them, a blank without a time between words."""
    chars: list[Char] = []
    for number, (word, time) in enumerate(zip(words, times, strict=True)):
        if number and not written_together(words[number - 1].word, word.word):
            chars.append(Char(char=" "))
        if time is not None and time.chars:
            chars += [_inside(char, word) for char in time.chars]
        else:
            chars += [Char(char=character) for character in word.word]
    return tuple(chars)


def _inside(part: _Part, word: Word) -> _Part:
    if part.start is None or part.end is None or word.start is None or word.end is None:
        return part
    start = min(max(round(part.start, _PLACES), word.start), word.end)
    return part.model_copy(
        update={"start": start, "end": min(max(round(part.end, _PLACES), start), word.end)}
    )
