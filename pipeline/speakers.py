"""Words to speakers: whose turn each word falls into, and segments cut where the speaker changes.

WhisperX labels whole segments by majority and leaves untimed words without a speaker. Here every word is
decided by itself, on the turns that do not overlap, and text is moved, never changed.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import accumulate, groupby, pairwise

from schemas.diarization import Diarization, SpeakerTurn
from schemas.transcript import Char, Segment, Speaker, Word

NEAREST_S = 1.0  # a word outside every turn goes to the nearest one, if it is not farther away
WORD_S = 1.5  # of a longer word only this much counts: aligners stretch words over the pause behind them
EQUAL_S = 1e-6  # shares of a word that differ by less are equal
FLIP_S = 0.4  # one shorter word of another speaker inside somebody's flow is the turn's edge being off
PAUSE_S = 0.2  # ... unless there is a pause beside it
OVERLAP_SHARE = 0.5  # a word is overlapped when another speaker talks during this much of it


def assign(segments: Sequence[Segment], diarization: Diarization) -> tuple[Segment, ...]:
    """The segments with a speaker for each word, cut where the speaker changes, numbered anew.

    A timed word goes to the speaker who has most of it in the exclusive turns (of equals, as where people talk
    at once and no turn is exclusive, the one who was speaking goes on), else to the nearest turn within a second;
    other words go with their neighbours of the segment. Segments without such words are labelled as a
    whole, or not at all far from every turn. A word's ``speaker_score`` is the share of it in the speaker's turns
    (by nearness: less than half) times the turn's confidence. Speakers, scores and names from an earlier
    diarization are replaced. No text is lost: the texts of the parts of a segment, in order, are the segment's
    text, white space at the cuts aside; words and their times are as they were.
    """
    exclusive = _Turns(diarization.exclusive_turns or diarization.turns)
    everyone = _Turns(diarization.turns)
    spoken = _without_flips(_timed_words(segments, exclusive))
    by_word = {(word.segment, word.word): word for word in spoken}
    parts = []
    for number, segment in enumerate(segments):
        own = [by_word.get((number, i)) for i in range(len(segment.words))]
        parts += _split(_labelled(segment, own, exclusive, everyone))
    return tuple(part.model_copy(update={"id": number}) for number, part in enumerate(parts))


def speakers_of(segments: Sequence[Segment], turns: Sequence[SpeakerTurn]) -> tuple[Speaker, ...]:
    """Everyone who has a turn or a segment, in the labels' order, with seconds of speech and segments.

    Seconds are those of the turns (which may overlap), or of the segments for a label that has no turn.
    """
    labels = sorted({turn.speaker for turn in turns} | {s.speaker for s in segments if s.speaker})
    return tuple(_speaker(label, segments, turns) for label in labels)


def _speaker(label: str, segments: Sequence[Segment], turns: Sequence[SpeakerTurn]) -> Speaker:
    own = [segment for segment in segments if segment.speaker == label]
    spans = [turn for turn in turns if turn.speaker == label] or own
    return Speaker(
        id=label,
        name=next((segment.speaker_name for segment in own if segment.speaker_name), None),
        speech_s=round(sum(max(0.0, span.end - span.start) for span in spans), 3),
        segments=len(own),
    )


class _Turns:
    """Turns by time: which of them touch a stretch, without going through all."""

    def __init__(self, turns: Sequence[SpeakerTurn]) -> None:
        self.turns = sorted(turns, key=lambda turn: (turn.start, turn.end, turn.speaker))
        self._starts = [turn.start for turn in self.turns]
        self._ends = list(accumulate((turn.end for turn in self.turns), max))  # sorted even with overlaps

    def near(self, start: float, end: float, margin: float = 0.0) -> list[SpeakerTurn]:
        """Turns that come within ``margin`` seconds of the stretch."""
        first = bisect_left(self._ends, start - margin)
        last = bisect_right(self._starts, end + margin)
        return [turn for turn in self.turns[first:last] if turn.end >= start - margin]

    def overlap(self, start: float, end: float) -> dict[str, float]:
        """Seconds of the stretch per speaker, in the order of their turns."""
        seconds: dict[str, float] = {}
        for turn in self.near(start, end):
            shared = min(end, turn.end) - max(start, turn.start)
            if shared > 0:
                seconds[turn.speaker] = seconds.get(turn.speaker, 0.0) + shared
        return seconds

    def speaker(self, start: float, end: float, before: str | None = None) -> tuple[str | None, float | None]:
        """Who has most of the stretch, else the nearest within a second, else nobody; and how sure that is.

        Of equals it is ``before``, else who has the earlier turn.
        """
        if seconds := self.overlap(start, end):
            speaker = max(seconds, key=seconds.__getitem__)
            if before in seconds and seconds[before] > seconds[speaker] - EQUAL_S:
                speaker = before
            share = min(1.0, seconds[speaker] / (end - start))
            return speaker, share * self._confidence(start, end, speaker)
        near = self.near(start, end, NEAREST_S)
        if not near:
            return None, None
        turn = min(near, key=lambda turn: _distance(turn, start, end))
        away = _distance(turn, start, end)
        share = 0.5 * (1 - away / NEAREST_S) if away else 1.0
        return turn.speaker, share * _sure(turn)

    def _confidence(self, start: float, end: float, speaker: str) -> float:
        """The least of the speaker's turns in the stretch."""
        own = (turn for turn in self.near(start, end) if turn.speaker == speaker)
        return min(map(_sure, own))

    def others(self, start: float, end: float, speaker: str | None) -> tuple[str, ...]:
        """Who else talks during at least half of the stretch."""
        enough = OVERLAP_SHARE * (end - start)
        seconds = self.overlap(start, end)
        return tuple(sorted(s for s, shared in seconds.items() if s != speaker and shared >= enough))


def _distance(turn: SpeakerTurn, start: float, end: float) -> float:
    return max(turn.start - end, start - turn.end, 0.0)


def _sure(turn: SpeakerTurn) -> float:
    return 1.0 if turn.confidence is None else turn.confidence


@dataclass(frozen=True)
class _Timed:
    """A word with a time: which one, the stretch that decides about it, whose it is and how surely."""

    segment: int
    word: int
    start: float
    end: float
    speaker: str | None
    score: float | None


def _timed_words(segments: Sequence[Segment], turns: _Turns) -> list[_Timed]:
    timed: list[_Timed] = []
    for i, segment in enumerate(segments):
        for j, word in enumerate(segment.words):
            if span := _span(word):
                before = timed[-1].speaker if timed else None
                timed.append(_Timed(i, j, *span, *turns.speaker(*span, before)))
    return timed


def _span(word: Word) -> tuple[float, float] | None:
    """The stretch that decides about a word, or none where it has no time."""
    start = word.end if word.start is None else word.start
    if start is None:
        return None
    end = start if word.end is None else max(start, word.end)
    return start, min(end, start + WORD_S)


def _without_flips(words: Sequence[_Timed]) -> list[_Timed]:
    """Single short words of another speaker, with no pause beside them, given to the speaker around them."""
    settled = list(words[:1])
    for here, after in pairwise(words[1:]):
        flip = _is_flip(settled[-1], here, after)
        settled.append(_flipped(here, after.speaker) if flip else here)
    return settled + list(words[1:][-1:])


def _is_flip(before: _Timed, here: _Timed, after: _Timed) -> bool:
    return (
        before.speaker is not None
        and before.speaker == after.speaker != here.speaker
        and here.end - here.start < FLIP_S
        and here.start - before.end < PAUSE_S
        and after.start - here.end < PAUSE_S
    )


def _flipped(word: _Timed, speaker: str | None) -> _Timed:
    return replace(word, speaker=speaker, score=None if word.score is None else 1.0 - word.score)


def _labelled(
    segment: Segment, timed: Sequence[_Timed | None], exclusive: _Turns, everyone: _Turns
) -> Segment:
    """The segment with speakers and overlap for its words, and its own speaker where no turn is near them."""
    whole, score = exclusive.speaker(segment.start, max(segment.start, segment.end))
    placed = any(place and place.speaker for place in timed)
    speakers = _filled(timed) if placed else [whole] * len(timed)
    words = tuple(
        word.model_copy(
            update={
                "speaker": speaker,
                "speaker_score": _rounded(place.score if place else None if placed else score),
                "overlap": place and (everyone.others(place.start, place.end, speaker) or None),
            }
        )
        for word, place, speaker in zip(segment.words, timed, speakers, strict=True)
    )
    return segment.model_copy(update={"words": words, "speaker": whole, "speaker_name": None})


def _rounded(score: float | None) -> float | None:
    return None if score is None else round(score, 3)


def _filled(timed: Sequence[_Timed | None]) -> list[str | None]:
    """Words without a speaker of their own take that of the word before, at the beginning of the one behind."""
    speaker = next(place.speaker for place in timed if place and place.speaker)
    speakers = []
    for place in timed:
        speaker = place.speaker if place and place.speaker else speaker
        speakers.append(speaker)
    return speakers


def _split(segment: Segment) -> list[Segment]:
    """The segment cut where the words' speaker changes; as it is where one speaker has all of it."""
    runs = [list(run) for _, run in groupby(segment.words, key=lambda word: word.speaker)]
    if not runs:
        return [segment]
    if len(runs) == 1:
        return [segment.model_copy(update={"speaker": runs[0][0].speaker})]
    texts = _texts(segment.text, runs)
    chars = share_chars(segment.chars, texts)
    return [
        segment.model_copy(
            update={
                "start": start,
                "end": end,
                "text": text,
                "speaker": run[0].speaker,
                "words": tuple(run),
                "chars": part,
            }
        )
        for run, text, part, (start, end) in zip(runs, texts, chars, _times(segment, runs), strict=True)
    ]


def _texts(text: str, runs: Sequence[Sequence[Word]]) -> list[str]:
    """The text of each run: cut before its first word, so that whatever stands between words stays.

    Works with and without spaces between words. Where the words are not those of the text, they are joined.
    """
    cuts, cursor = [], 0
    for run in runs:
        for number, word in enumerate(run):
            at = text.find(word.word.strip(), cursor)
            if at < 0:
                return _joined(text, runs)
            if number == 0:
                cuts.append(at)
            cursor = at + len(word.word.strip())
    *heads, tail = [text[a:b] for a, b in pairwise([0, *cuts[1:], len(text)])]
    return [*(head.rstrip() for head in heads), tail]


def _joined(text: str, runs: Sequence[Sequence[Word]]) -> list[str]:
    space = " " if any(c.isspace() for c in text.strip()) else ""
    return [space.join(word.word.strip() for word in run) for run in runs]


def share_chars(chars: Sequence[Char] | None, texts: Sequence[str]) -> list[tuple[Char, ...] | None]:
    """Each part's characters: as many as its text has, spaces aside; what is left over goes to the last."""
    if chars is None:
        return [None] * len(texts)
    shares, taken = [], 0
    for text in texts[:-1]:
        wanted, first = sum(not c.isspace() for c in text), taken
        while taken < len(chars) and (wanted or chars[taken].char.isspace()):
            wanted -= not chars[taken].char.isspace()
            taken += 1
        shares.append(tuple(chars[first:taken]))
    return [*shares, tuple(chars[taken:])]


def _times(segment: Segment, runs: Sequence[Sequence[Word]]) -> list[tuple[float, float]]:
    """Start and end of each run: those of its timed words, in order; the outer runs keep the segment's edges."""
    times = [(segment.start, segment.start)]
    for run in runs:
        first = next((span[0] for word in run if (span := _span(word))), times[-1][1])
        start = max(times[-1][0], first)
        times.append((start, max([start, *(word.end for word in run if word.end is not None)])))
    del times[0]
    times[0] = (segment.start, max(segment.start, times[0][1]))
    times[-1] = (times[-1][0], max(times[-1][0], segment.end))
    return times
