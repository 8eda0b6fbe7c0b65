"""Words to speakers: whose turn each word falls into, and segments cut where the speaker changes.

WhisperX labels whole segments by majority and leaves untimed words without a speaker. Here the words of a
recording are decided together (:mod:`pipeline.word_speakers`), and text is moved, never changed.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate, groupby, pairwise

from pipeline import sentences
from pipeline.word_speakers import whose
from schemas.diarization import Diarization, SpeakerTurn
from schemas.transcript import Char, Segment, Speaker, Word

WORD_S = 1.5  # of a longer word only this much counts: aligners stretch words over the pause behind them
PAUSE_S = 0.2  # between two words is where speakers change more easily
OVERLAP_SHARE = 0.5  # a word is overlapped when another speaker talks during this much of it


def assign(segments: Sequence[Segment], diarization: Diarization) -> tuple[Segment, ...]:
    """The segments with a speaker for each word, cut where the speaker changes, numbered anew.

    Timed words get the speakers in whose turns most of them lies, with few changes, rather at pauses and ends of
    sentences; where people talk at once, the one who goes on has the word. Words far from every turn go with those
    around them, or to the nearest turn, and have a ``speaker_score`` near 0. Words without times go with their
    neighbours of the segment, segments without any timed word are decided as a whole. Nobody has a word only where
    there are no turns. A word's ``speaker_score`` is the share of it in the speaker's turns, what lies outside at
    half at most, times the turns' confidence. Speakers, scores and names from an earlier diarization are replaced.
    No text is lost: the texts of the parts of a segment, in order, are the segment's text, white space at the cuts
    aside; words and their times are as they were.
    """
    turns = diarization.turns or diarization.exclusive_turns
    everyone = _Turns(turns)
    places = _decided(_places(segments), turns, diarization.exclusive_turns)
    by_word = {(place.segment, place.word): place for place in places}
    parts = []
    for number, segment in enumerate(segments):
        own = [by_word.get((number, i)) for i in range(len(segment.words))]
        parts += _split(_labelled(segment, own, by_word.get((number, None)), everyone))
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

    def overlap(self, start: float, end: float) -> dict[str, float]:
        """Seconds of the stretch per speaker, in the order of their turns."""
        seconds: dict[str, float] = {}
        first, last = bisect_left(self._ends, start), bisect_right(self._starts, end)
        for turn in self.turns[first:last]:
            shared = min(end, turn.end) - max(start, turn.start)
            if shared > 0:
                seconds[turn.speaker] = seconds.get(turn.speaker, 0.0) + shared
        return seconds

    def others(self, start: float, end: float, speaker: str | None) -> tuple[str, ...]:
        """Who else talks during at least half of the stretch."""
        enough = OVERLAP_SHARE * (end - start)
        seconds = self.overlap(start, end)
        return tuple(sorted(s for s, shared in seconds.items() if s != speaker and shared >= enough))


@dataclass(frozen=True)
class _Place:
    """A word with a time, or a segment without any: the stretch that decides about it, and whose it is how surely.

    ``breaks``: a pause or the end of a sentence lies before it.
    """

    segment: int
    word: int | None
    start: float
    end: float
    breaks: bool
    speaker: str | None = None
    score: float | None = None


def _places(segments: Sequence[Segment]) -> Iterator[_Place]:
    """Whatever is to be decided, in order."""
    said, end = "", None
    for i, segment in enumerate(segments):
        language = segment.language or ""
        spans = [_span(word) for word in segment.words]
        if not any(spans):
            yield _Place(i, None, segment.start, max(segment.start, segment.end), breaks=True)
            said, end = segment.text, segment.end
        for j, (word, span) in enumerate(zip(segment.words, spans, strict=True)):
            if span:
                gap = 0.0 if end is None else span[0] - end
                ends = sentences.ends_sentence(said.strip(), word.word.strip(), gap, language)
                yield _Place(i, j, *span, breaks=ends or gap >= PAUSE_S)
                end = span[1]
            said = word.word


def _decided(
    places: Iterable[_Place], turns: Sequence[SpeakerTurn], exclusive: Sequence[SpeakerTurn]
) -> list[_Place]:
    """The places with their speakers and scores."""
    places = list(places)
    spans = [(place.start, place.end) for place in places]
    found = whose(spans, [place.breaks for place in places], turns, exclusive)
    return [
        replace(place, speaker=speaker, score=score)
        for place, (speaker, score) in zip(places, found, strict=True)
    ]


def _span(word: Word) -> tuple[float, float] | None:
    """The stretch that decides about a word, or none where it has no time."""
    start = word.end if word.start is None else word.start
    if start is None:
        return None
    end = start if word.end is None else max(start, word.end)
    return start, min(end, start + WORD_S)


def _labelled(
    segment: Segment, timed: Sequence[_Place | None], whole: _Place | None, everyone: _Turns
) -> Segment:
    """The segment with speakers and overlap for its words; those without times go with their neighbours."""
    speakers = [whole.speaker] * len(timed) if whole else _filled(timed)
    words = tuple(
        word.model_copy(
            update={
                "speaker": speaker,
                "speaker_score": _rounded((place or whole).score if place or whole else None),
                "overlap": place and (everyone.others(place.start, place.end, speaker) or None),
            }
        )
        for word, place, speaker in zip(segment.words, timed, speakers, strict=True)
    )
    own = whole.speaker if whole else speakers[0]
    return segment.model_copy(update={"words": words, "speaker": own, "speaker_name": None})


def _rounded(score: float | None) -> float | None:
    return None if score is None else round(score, 3)


def _filled(timed: Sequence[_Place | None]) -> list[str | None]:
    """Words without a speaker of their own take that of the word before, at the beginning of the one behind."""
    speaker = next(place.speaker for place in timed if place)
    speakers = []
    for place in timed:
        speaker = place.speaker if place else speaker
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
