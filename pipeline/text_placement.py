"""A text without times, laid over what speech recognition heard in the recording.

Both may be wrong: the text lacks sentences or has some that nobody says, recognition mishears. What they share
anchors the text (Moreno et al., "A recursive algorithm for the forced alignment of very long audio segments",
1998); what lies between anchors gets the time between them; what has no room there was not said. Only words are
held in memory, so hours are no matter. The aligner then places the words of each piece exactly.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate, pairwise

from pipeline import sentences, stages
from pipeline._anchors import anchors
from pipeline.align import WINDOW_S
from pipeline.align._times import natural_s
from pipeline.align._words import words_of, written_together
from pipeline.speakers import share_chars
from pipeline.spoken import spoken_forms
from schemas.errors import SetupError, StageFailed
from schemas.report import Warning_
from schemas.transcript import Segment, Transcript, Word

_LONGEST_S = 20.0
_LONGEST_WORDS = 60
_ENDS = tuple(".!?…。！？")
_ROOM = 0.35  # share of their natural time that words need at least, or they were not said
_SLOW = 2.0  # words without an anchor take up to so many times their natural time, and
_SLACK_S = 0.5
_PAUSE_S = 4.0  # between anchored neighbours; a piece does not reach over more
_NOT_HEARD = "Words of the text have no room in what is heard; they stand where they would have been said."


@dataclass
class _Given:
    """A word of the text, where it comes from, and the time of its anchors."""

    word: Word
    segment: int
    start: float | None = None
    end: float | None = None

    @property
    def natural_s(self) -> float:
        return natural_s(self.word.word)


def align_untimed(job: stages.Job, transcript: Transcript) -> tuple[tuple[Segment, ...], str]:
    """The aligned sentences of a transcript without times, and the language that they are in.

    Where nothing is heard, or nothing alike, the text is aligned from beginning to end in one go. Raises what
    :func:`pipeline.stages.align` raises.
    """
    asr = job.options.asr.model_copy(update={"language": transcript.language})
    listening = replace(job, options=job.options.model_copy(update={"asr": asr}))
    try:
        speech = stages.transcribe(listening, stages.find_speech(listening))
    except (SetupError, StageFailed) as error:
        job.warn("stage_skipped", f"The text was not looked for by recognition: {error.message}")
        speech = stages.Speech()
    language = transcript.language or speech.language or "en"
    duration_s = job.source.duration_s
    heard = [word for segment in stages.align(job, speech.segments, language) for word in segment.words]
    pieces, lost = place_text(transcript.segments, heard, language, duration_s)
    if heard and lost < sum(len(piece.words) for piece in pieces):
        if lost:
            job.warnings.append(Warning_(code="text_not_heard", message=_NOT_HEARD, count=lost))
        return stages.align(job, pieces, language), language
    (whole,) = stages.align(job, [in_one(transcript.segments, duration_s)], language)
    return sentences.split(taken_apart(whole, transcript.segments), language), language


def place_text(
    segments: Sequence[Segment], heard: Sequence[Word], language: str, duration_s: float
) -> tuple[tuple[Segment, ...], int]:
    """The text of ``segments`` in pieces with times, and how many of its words have no room in the recording.

    ``heard`` are recognised words in order, with times in seconds. Pieces without room begin and end where their
    place would be. No word is lost; a piece never mixes two segments.
    """
    words = [_Given(word, n) for n, segment in enumerate(segments) for word in words_of(segment)]
    _anchor(words, [word for word in heard if word.start is not None], language)
    pieces = list(_pieces(words))
    spans = _spans(pieces, duration_s)
    lost = sum(len(piece) for piece, (start, end) in zip(pieces, spans, strict=True) if end <= start)
    placed = [
        _segment(segments[piece[0].segment], piece, start, end)
        for piece, (start, end) in zip(pieces, spans, strict=True)
    ]
    return tuple(placed), lost


def in_one(segments: Sequence[Segment], duration_s: float) -> Segment:
    """The whole text as one segment over the whole recording, for want of anchors."""
    words = [word for segment in segments for word in words_of(segment)]
    return Segment(start=0.0, end=duration_s, text=_text(words), words=tuple(words))


def taken_apart(whole: Segment, segments: Sequence[Segment]) -> tuple[Segment, ...]:
    """The aligned words of :func:`in_one` in the segments that they came from."""
    ends = list(accumulate((len(words_of(segment)) for segment in segments), initial=0))
    owned = [(segment, whole.words[a:b]) for segment, (a, b) in zip(segments, pairwise(ends), strict=True)]
    parts = [(segment, own) for segment, own in owned if own]
    chars = share_chars(whole.chars, [_text(own) for _, own in parts]) if parts else []
    return tuple(
        segment.model_copy(
            update={"start": own[0].start or 0.0, "end": own[-1].end or 0.0, "words": own, "chars": part}
        )
        for (segment, own), part in zip(parts, chars, strict=True)
    )


def _anchor(words: Sequence[_Given], heard: Sequence[Word], language: str) -> None:
    """Gives words the times of what was heard alike: numerals, abbreviations and all compared as they are said."""
    said = _units([given.word.word for given in words], language)
    recognised = _units([word.word for word in heard], language)
    pairs = anchors([unit for unit, _ in said], [unit for unit, _ in recognised])
    for ours, theirs in pairs:
        given, source = words[said[ours][1]], heard[recognised[theirs][1]]
        given.start = source.start if given.start is None else given.start
        given.end = source.end if source.end is not None else source.start


def _units(texts: Sequence[str], language: str) -> list[tuple[str, int]]:
    """What is said, each with the number of its word: the likeliest spoken form, without apostrophes."""
    forms = spoken_forms(texts, language)
    return [
        (spoken.replace("'", ""), number)
        for number, ways in enumerate(forms)
        if ways
        for spoken in ways[0].words
    ]


def _pieces(words: Sequence[_Given]) -> Iterator[list[_Given]]:
    """Sentences of one segment, cut where words are missing in the recording, or the recording's in the text."""
    for sentence in _sentences(words):
        piece: list[_Given] = []
        for run, said in _runs(sentence):
            if not said and piece:
                yield piece
                piece = []
            for given in run:
                if piece and _is_torn(piece, given):
                    yield piece
                    piece = []
                piece.append(given)
            if not said:
                yield piece
                piece = []
        if piece:
            yield piece


def _sentences(words: Sequence[_Given]) -> Iterator[list[_Given]]:
    sentence: list[_Given] = []
    for given in words:
        ends = sentence and (
            given.segment != sentence[-1].segment
            or sentence[-1].word.word.rstrip("\"'”’»)」』").endswith(_ENDS)
            or len(sentence) >= _LONGEST_WORDS
        )
        if ends:
            yield sentence
            sentence = []
        sentence.append(given)
    if sentence:
        yield sentence


def _runs(sentence: Sequence[_Given]) -> Iterator[tuple[list[_Given], bool]]:
    """Stretches of the sentence; false for words between two anchors that leave no room for them."""
    run: list[_Given] = []
    last: float | None = None
    for given in sentence:
        if given.start is None:
            run.append(given)
            continue
        if run:
            room = None if last is None else given.start - last
            yield run, room is None or len(run) < 3 or room >= _ROOM * sum(word.natural_s for word in run)
            run = []
        yield [given], True
        last = given.end
    if run:
        yield run, True


def _is_torn(piece: Sequence[_Given], given: _Given) -> bool:
    """Whether a piece ends before ``given``: it grows too long, or something else is said in between."""
    first = next((word.start for word in piece if word.start is not None), None)
    if given.start is None or first is None:
        return False
    between = list(reversed(piece))
    behind = next(n for n, word in enumerate(between) if word.end is not None)
    room = given.start - (between[behind].end or 0.0)
    needed = _SLOW * sum(word.natural_s for word in between[:behind]) + _PAUSE_S
    return room > needed or (given.end or given.start) - first > _LONGEST_S


def _spans(pieces: Sequence[Sequence[_Given]], duration_s: float) -> list[tuple[float, float]]:
    """Start and end of each piece, in order and without overlap."""
    firsts = [next((word.start for word in piece if word.start is not None), None) for piece in pieces]
    spans: list[tuple[float, float]] = []
    floor = 0.0
    number = 0
    while number < len(pieces):
        stop = number
        while stop < len(pieces) and firsts[stop] is None:
            stop += 1
        ceiling = firsts[stop] if stop < len(pieces) else duration_s
        if stop > number:
            spans += _shared(pieces[number:stop], floor, ceiling, last=stop == len(pieces))
            floor = max(floor, spans[-1][1])
        if stop < len(pieces):
            following = next((start for start in firsts[stop + 1 :] if start is not None), duration_s)
            spans.append(_span(pieces[stop], floor, max(floor, following)))
            floor = spans[-1][1]
        number = stop + 1
    return spans


def _shared(
    pieces: Sequence[Sequence[_Given]], floor: float, ceiling: float, *, last: bool
) -> list[tuple[float, float]]:
    """The time between two anchors for the pieces that stand there without one, if there is room for them."""
    needs = [sum(word.natural_s for word in piece) for piece in pieces]
    room = max(0.0, ceiling - floor)
    if room < _ROOM * sum(needs):
        return [(floor, floor)] * len(pieces)
    # Behind the last anchor, and before the first, nobody knows how much else is said.
    length = min(room, _SLOW * sum(needs) + _SLACK_S) if last or floor == 0.0 else room
    begin = ceiling - length if floor == 0.0 and not last else floor
    spans = []
    for need in needs:
        share = length * need / sum(needs)
        spans.append((begin, begin + min(share, WINDOW_S)))
        begin += share
    return spans


def _span(piece: Sequence[_Given], floor: float, ceiling: float) -> tuple[float, float]:
    """From the first anchor to the last, with time for the words before and behind them."""
    known = [number for number, word in enumerate(piece) if word.start is not None]
    lead = sum(word.natural_s for word in piece[: known[0]])
    tail = sum(word.natural_s for word in piece[known[-1] + 1 :])
    start, end = piece[known[0]].start or 0.0, piece[known[-1]].end or 0.0
    start = max(floor, start - (_SLOW * lead + _SLACK_S if lead else 0.0))
    end = min(max(ceiling, end), end + (_SLOW * tail + _SLACK_S if tail else 0.0))
    return start, max(start, end)


def _segment(source: Segment, piece: Sequence[_Given], start: float, end: float) -> Segment:
    words = tuple(given.word.model_copy(update={"start": None, "end": None}) for given in piece)
    return source.model_copy(
        update={"start": round(start, 3), "end": round(end, 3), "text": _text(words), "words": words}
    )


def _text(words: Sequence[Word]) -> str:
    text = words[0].word if words else ""
    for before, word in pairwise(words):
        text += ("" if written_together(before.word, word.word) else " ") + word.word
    return text
