"""Speakers of one recording as data: their voices, how pure they are, where to listen, and what to doubt.

Works on what every diarizer has: turns, the activity of local speakers in windows of 10 s, and an embedding for
each of those. Whose an embedding is follows from the turns that its clean frames fall into, so the answer is about
the turns that are reported, whatever made them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from pipeline.diarization_core import frames
from pipeline.voices import LEAST_PURITY, LEAST_S, thresholds_of
from schemas.diarization import Diarization, SpeakerTurn
from schemas.voices import SimilarVoices, Span, SpeakerCount, Voice

SAMPLES = 3
SAMPLE_S = (3.0, 8.0)
EDGE_S = 0.15  # of a sample, left out at its ends: turns are rarely exact
LEAST_SAMPLE_S = 1.0  # where a speaker has no longer stretch
_LEAST_CLEAN_FRAMES = round(1.0 / frames.FRAME_STEP_S)  # an embedding of less speech says little
_LEAST_SHARE = 0.8  # of an embedding's clean frames in one speaker's turns
# Mean cosine of a speaker's embeddings to their mean where half of the speech and where all of it is one person's;
# of an embedding model.
_COHERENCE = {"campplus": (0.69, 0.93)}
_SPLIT = 0.55  # two halves of a cluster less alike than this may be two people
_SURE_MARGIN = 0.3  # of cosines, a choice: whoever is this much nearer than everybody else is certain
_LEAST_EMBEDDINGS = 4  # to say how pure a voice is
_LEAST_PART = 0.1  # a smaller part of a cluster is chance


@dataclass(frozen=True)
class Windows:
    """Embeddings (windows, speakers, dimension) and activity (windows, frames, speakers), 0 or 1."""

    embeddings: np.ndarray
    activity: np.ndarray
    step_s: float = 1.0


def with_evidence(found: Diarization, windows: Windows | None, embedding_model: str | None) -> Diarization:
    """The diarization with voices, pairs who may be one person, evidence for the count, and confident turns.

    Without ``windows`` voices have no embedding and no purity, turns no confidence, and no pair is found.
    """
    labels = list(found.speakers)
    clean = _alone(found.turns)
    owned: dict[int, _Own] = {}
    exclusive = found.exclusive_turns
    if windows is not None:
        heard = _heard(windows, _grid(clean, labels, windows))
        owned = _owned(heard)
        exclusive = _confident(exclusive, labels, owned, heard, windows)
    voices = tuple(
        _voice(label, found.turns, clean.get(label, []), owned.get(number), embedding_model)
        for number, label in enumerate(labels)
    )
    similar = _similar(voices, embedding_model)
    return found.model_copy(
        update={
            "exclusive_turns": exclusive,
            "voices": voices,
            "embedding_model": embedding_model if owned else None,
            "similar_voices": similar,
            "speaker_count": _count(voices, found.turns, similar),
        }
    )


@dataclass(frozen=True)
class _Heard:
    """One embedding of length 1: whose it is (-1: nobody's), and the recording's frames it was made of."""

    unit: np.ndarray
    number: int
    places: np.ndarray


@dataclass(frozen=True)
class _Own:
    """A speaker's embeddings (n, dimension) of length 1, their clean frames (n,), the middles of those (n,)."""

    units: np.ndarray
    weights: np.ndarray
    middles_s: np.ndarray

    @property
    def mean(self) -> np.ndarray:
        mean = self.weights @ self.units
        return mean / max(float(np.linalg.norm(mean)), 1e-12)


def _alone(turns: Sequence[SpeakerTurn]) -> dict[str, list[tuple[float, float]]]:
    """Per speaker the stretches in which nobody else talks."""
    events = sorted([(t.start, 1, t.speaker) for t in turns] + [(t.end, -1, t.speaker) for t in turns])
    talking: dict[str, int] = {}
    alone: dict[str, list[tuple[float, float]]] = {}
    before = 0.0
    for time, change, speaker in events:
        active = [label for label, depth in talking.items() if depth > 0]
        if len(active) == 1 and time > before:
            own = alone.setdefault(active[0], [])
            if own and own[-1][1] == before:
                own[-1] = own[-1][0], time
            else:
                own.append((before, time))
        talking[speaker] = talking.get(speaker, 0) + change
        before = time
    return alone


def _grid(clean: dict[str, list[tuple[float, float]]], labels: Sequence[str], windows: Windows) -> np.ndarray:
    """Number of the speaker who talks alone in each frame of the recording, -1 for nobody or several."""
    total = frames.frame_count(len(windows.activity), windows.step_s)
    grid = np.full(total, -1, np.int16)
    for number, label in enumerate(labels):
        for start, end in clean.get(label, []):
            grid[round(start / frames.FRAME_STEP_S) : round(end / frames.FRAME_STEP_S)] = number
    return grid


def _heard(windows: Windows, grid: np.ndarray) -> list[_Heard]:
    """All embeddings of enough clean speech; one is somebody's when most of that falls into their turns."""
    found = []
    firsts = frames.first_frames(len(windows.activity), windows.step_s)
    for first, activity, embeddings in zip(firsts, windows.activity, windows.embeddings, strict=True):
        here = grid[first : first + len(activity)]
        alone = (activity[: len(here)] > 0) & (activity[: len(here)].sum(axis=1, keepdims=True) == 1)
        for local in np.flatnonzero(alone.sum(axis=0) >= _LEAST_CLEAN_FRAMES):
            length = float(np.linalg.norm(embeddings[local]))
            if not 0 < length < np.inf:
                continue
            places = np.flatnonzero(alone[:, local])
            counts = np.bincount(here[places] + 1)  # nobody's first
            number = int(counts.argmax()) - 1 if counts.max() >= _LEAST_SHARE * len(places) else -1
            found.append(_Heard(embeddings[local].astype(float) / length, number, first + places))
    return found


def _owned(heard: Sequence[_Heard]) -> dict[int, _Own]:
    """The embeddings of each speaker, by number."""
    numbers = sorted({one.number for one in heard if one.number >= 0})
    own = {number: [one for one in heard if one.number == number] for number in numbers}
    return {
        number: _Own(
            np.array([one.unit for one in ones]),
            np.array([float(len(one.places)) for one in ones]),
            np.array([one.places.mean() * frames.FRAME_STEP_S for one in ones]),
        )
        for number, ones in own.items()
    }


def _confident(
    turns: Sequence[SpeakerTurn],
    labels: Sequence[str],
    owned: dict[int, _Own],
    heard: Sequence[_Heard],
    windows: Windows,
) -> tuple[SpeakerTurn, ...]:
    """Turns with the mean confidence of their frames, where embeddings say anything about them."""
    if len(owned) < 2:
        return tuple(turn.model_copy(update={"confidence": 1.0 if owned else None}) for turn in turns)
    margins, counts = _margins(labels, owned, heard, windows)
    made = []
    for turn in turns:
        number = labels.index(turn.speaker)
        first, last = (round(t / frames.FRAME_STEP_S) for t in (turn.start, turn.end))
        count = counts[first : last + 1].sum()
        margin = margins[number, first : last + 1].sum() / count if count and number in owned else None
        made.append(turn.model_copy(update={"confidence": None if margin is None else _confidence(margin)}))
    return tuple(made)


def _margins(
    labels: Sequence[str], owned: dict[int, _Own], heard: Sequence[_Heard], windows: Windows
) -> tuple[np.ndarray, np.ndarray]:
    """Cosines to a speaker less the best other's, summed per frame (speakers, frames), and their number."""
    means = np.zeros((len(labels), heard[0].unit.size))
    for number, own in owned.items():
        means[number] = own.mean
    total = frames.frame_count(len(windows.activity), windows.step_s)
    margins, counts = np.zeros((len(labels), total), np.float32), np.zeros(total, np.float32)
    for one in heard:
        cosines = means @ one.unit
        best, second = np.sort(cosines)[[-1, -2]]
        margins[:, one.places] += np.where(cosines == best, cosines - second, cosines - best)[:, None]
        counts[one.places] += 1
    return margins, counts


def _confidence(margin: float) -> float:
    """0 to 1 from a difference of cosines."""
    return round(float(np.clip(0.5 + margin / _SURE_MARGIN / 2, 0.0, 1.0)), 3)


def _voice(
    label: str,
    turns: Sequence[SpeakerTurn],
    clean: list[tuple[float, float]],
    own: _Own | None,
    embedding_model: str | None,
) -> Voice:
    return Voice(
        speaker=label,
        speech_s=round(sum(t.end - t.start for t in turns if t.speaker == label), 3),
        clean_s=round(sum(end - start for start, end in clean), 3),
        purity=None if own is None else _purity(own, embedding_model),
        samples=_samples(clean, own),
        embedding=None if own is None else tuple(round(float(x), 5) for x in own.mean),
    )


def _purity(own: _Own, embedding_model: str | None) -> float | None:
    """What share of the speech is probably one person's; none for few embeddings.

    Estimated from how near the embeddings are to their mean, where that was measured for the embedding model
    (``bench/voice_evidence.py``); else see :func:`_larger_part`.
    """
    if len(own.units) < _LEAST_EMBEDDINGS:
        return None
    ends = _COHERENCE.get((embedding_model or "").partition("@")[0])
    if ends is None:
        return _larger_part(own)
    coherence = float(np.average(own.units @ own.mean, weights=own.weights))
    return round(float(np.interp(coherence, ends, (0.5, 1.0))), 3)


def _larger_part(own: _Own) -> float:
    """Share of the larger part where the embeddings fall into two that are unlike, else 1.

    The parts are found by 2-means on the unit vectors, begun along their first principal axis.
    """
    centred = own.units - own.units.mean(axis=0)
    axis = np.linalg.svd(centred, full_matrices=False)[2][0]
    part = centred @ axis > 0
    for _ in range(10):
        if part.all() or not part.any():
            return 1.0
        means = np.stack([own.weights[part] @ own.units[part], own.weights[~part] @ own.units[~part]])
        means /= np.linalg.norm(means, axis=1, keepdims=True)
        nearer = own.units @ means[0] > own.units @ means[1]
        if (nearer == part).all():
            break
        part = nearer
    share = float(own.weights[part].sum() / own.weights.sum())
    share = max(share, 1 - share)
    if float(means[0] @ means[1]) >= _SPLIT or share > 1 - _LEAST_PART:
        return 1.0
    return round(share, 3)


def _samples(clean: list[tuple[float, float]], own: _Own | None) -> tuple[Span, ...]:
    """Stretches of one voice for a person to listen to; the most typical, else the longest, first."""
    least, most = SAMPLE_S
    inner = [(start + EDGE_S, end - EDGE_S) for start, end in clean]
    long = [span for span in inner if span[1] - span[0] >= least]
    if not long:
        longest = max(inner, key=lambda span: span[1] - span[0], default=(0.0, 0.0))
        long = [longest] if longest[1] - longest[0] >= LEAST_SAMPLE_S else []
    ranked = sorted(long, key=lambda span: (-_typical(span, own), span[0] - span[1], span[0]))
    return tuple(
        Span(start=round(start, 3), end=round(min(end, start + most), 3)) for start, end in ranked[:SAMPLES]
    )


def _typical(span: tuple[float, float], own: _Own | None) -> float:
    """Mean cosine to the voice of the embeddings whose speech is around the stretch, to a tenth."""
    if own is None:
        return 0.0
    near = np.abs(own.middles_s - (span[0] + span[1]) / 2) < 5.0
    return round(float((own.units[near] @ own.mean).mean()), 1) if near.any() else 0.0


def _similar(voices: Sequence[Voice], embedding_model: str | None) -> tuple[SimilarVoices, ...]:
    """Pairs as alike as one person is to oneself, the most alike first."""
    limits = thresholds_of(embedding_model) if embedding_model else None
    if limits is None:
        return ()
    pairs = [
        SimilarVoices(
            speakers=(one.speaker, other.speaker),
            similarity=round(float(np.clip(np.dot(one.embedding, other.embedding), -1, 1)), 4),
        )
        for one, other in combinations(voices, 2)
        if one.embedding is not None and other.embedding is not None
    ]
    alike = [pair for pair in pairs if pair.similarity >= limits.suggest]
    return tuple(sorted(alike, key=lambda pair: -pair.similarity))


def _count(
    voices: Sequence[Voice], turns: Sequence[SpeakerTurn], similar: Sequence[SimilarVoices]
) -> SpeakerCount:
    mixed = [voice for voice in voices if voice.purity is not None and voice.purity < LEAST_PURITY]
    return SpeakerCount(
        found=len(voices),
        clear=sum(voice.clean_s >= LEAST_S and voice not in mixed for voice in voices),
        most_at_once=_most_at_once(turns),
        may_be_one=len(similar),
        may_be_more=len(mixed),
    )


def _most_at_once(turns: Sequence[SpeakerTurn]) -> int:
    depth = most = 0
    for _, change in sorted([(t.start, 1) for t in turns] + [(t.end, -1) for t in turns]):
        depth += change
        most = max(most, depth)
    return most
