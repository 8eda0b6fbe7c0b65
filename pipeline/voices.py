"""Voices across recordings: people enrolled with a name, and recognised in later recordings.

    voices, model = voices_of(transcript), transcript.embedding_model    # diarized with speaker_embeddings=True
    profile = enrol(None, "Ana", voices[0], model, source="transcript 12")      # a VoiceProfile, to be kept
    profile = enrol(profile, "Ana", voice_of_another_meeting, model)            # the same person once more
    for match in match_voices(voices_of_a_third_meeting, model, [profile, …]):
        match.speaker, match.verdict, match.person, match.score, match.runner_up, match.clean_s

The caller keeps profiles (they are plain data) and decides what to do with a verdict: ``named`` is sure enough
to be written without asking, where that was asked for; ``suggested`` and ``too_short`` want a person's yes,
best after listening to the voice's ``samples``. Nothing here is stored. Light enough for the server's process:
numpy and scipy, inside the functions.

A voice's score is its cosine to the mean of a profile's voices, weighted by their seconds. Each person gets at
most one speaker of a recording, and each speaker one person, so that the sum of scores is highest (Hungarian
method); who is second for a speaker must be a margin behind. Thresholds belong to an embedding model and stand
here beside its name (``docs/voices.md`` says what they rest on, ``bench/voices.py`` measures them); scores of
different models, or of different weights of one, are never compared.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from schemas.errors import VoiceNotUsable
from schemas.voices import Candidate, EnrolledVoice, Verdict, Voice, VoiceMatch, VoiceProfile

if TYPE_CHECKING:
    import numpy as np

    from schemas.transcript import Transcript

LEAST_S = 10.0  # of clean speech, to be enrolled or named
LEAST_PURITY = 0.8
MOST_VOICES = 20  # of a profile; the longest are kept
CANDIDATES = 3


@dataclass(frozen=True)
class Thresholds:
    """Cosines of one embedding model: from which a name is suggested, from which it is sure."""

    suggest: float
    name: float
    margin: float


THRESHOLDS = {"campplus": Thresholds(suggest=0.55, name=0.65, margin=0.10)}


def voices_of(transcript: Transcript) -> tuple[Voice, ...]:
    """The transcript's voices with their embeddings, where it holds those."""
    vectors = transcript.speaker_embeddings or {}
    return tuple(v.model_copy(update={"embedding": vectors.get(v.speaker)}) for v in transcript.voices)


def thresholds_of(embedding_model: str) -> Thresholds | None:
    """Those of ``name@revision``; none where nobody has measured them."""
    return THRESHOLDS.get(embedding_model.partition("@")[0])


def enrol(
    profile: VoiceProfile | None,
    person: str,
    voice: Voice,
    embedding_model: str,
    source: str | None = None,
) -> VoiceProfile:
    """``profile`` (none: a new one for ``person``) with ``voice`` in it.

    A voice from a ``source`` that the profile has already takes the place of the earlier one.
    Raises :class:`VoiceNotUsable` for a voice without an embedding, with less than ``LEAST_S`` seconds of clean
    speech, of more than one person by its purity, or of another embedding model than the profile's.
    """
    _check_usable(voice)
    if profile is None:
        profile_voices: tuple[EnrolledVoice, ...] = ()
    elif profile.embedding_model != embedding_model:
        raise VoiceNotUsable(
            f"the profile was made with {profile.embedding_model}, the voice with {embedding_model}",
            hint="diarize with the profile's model, or enrol the person anew with this one",
        )
    else:
        profile_voices = profile.voices
    kept = [known for known in profile_voices if source is None or known.source != source]
    kept.append(EnrolledVoice(embedding=voice.embedding, clean_s=voice.clean_s, source=source))
    kept = sorted(kept, key=lambda known: -known.clean_s)[:MOST_VOICES]
    return VoiceProfile(person=person, embedding_model=embedding_model, voices=tuple(kept))


def _check_usable(voice: Voice) -> None:
    if voice.embedding is None:
        raise VoiceNotUsable(
            f"{voice.speaker} has no embedding", hint="diarize again with speaker_embeddings=true"
        )
    if voice.clean_s < LEAST_S:
        raise VoiceNotUsable(
            f"{voice.speaker} talks alone for {voice.clean_s:.1f} s; a profile needs {LEAST_S:g} s",
            hint="enrol from a recording in which this person says more",
        )
    if voice.purity is not None and voice.purity < LEAST_PURITY:
        raise VoiceNotUsable(
            f"only {voice.purity:.0%} of what {voice.speaker} says is of one voice",
            hint="listen to the samples; diarize again with the number of speakers if two people were merged",
        )


def match_voices(
    voices: Sequence[Voice], embedding_model: str, profiles: Sequence[VoiceProfile]
) -> tuple[VoiceMatch, ...]:
    """Who each speaker may be, in the order of ``voices``; profiles of other models are passed over.

    Speakers without an embedding are ``unknown`` without candidates.
    """
    profiles = [profile for profile in profiles if profile.embedding_model == embedding_model]
    heard = [voice for voice in voices if voice.embedding is not None]
    if not heard or not profiles:
        return tuple(
            VoiceMatch(speaker=voice.speaker, verdict="unknown", clean_s=voice.clean_s) for voice in voices
        )
    scores = _scores(heard, profiles)
    chosen = _one_each(scores)
    rows = {voice.speaker: (scores[row], chosen.get(row)) for row, voice in enumerate(heard)}
    limits = thresholds_of(embedding_model)
    return tuple(
        _matched(voice, *rows[voice.speaker], profiles, limits)
        if voice.speaker in rows
        else VoiceMatch(speaker=voice.speaker, verdict="unknown", clean_s=voice.clean_s)
        for voice in voices
    )


def _scores(voices: Sequence[Voice], profiles: Sequence[VoiceProfile]) -> np.ndarray:
    """Cosines (voices, profiles)."""
    import numpy as np

    people = np.stack([mean_of(profile) for profile in profiles])
    heard = np.array([voice.embedding for voice in voices], float)
    heard /= np.maximum(np.linalg.norm(heard, axis=1, keepdims=True), 1e-12)
    return np.clip(heard @ people.T, -1.0, 1.0)


def mean_of(profile: VoiceProfile) -> np.ndarray:
    """The profile as one embedding (dimension,) of length 1."""
    import numpy as np

    weights = np.array([voice.clean_s for voice in profile.voices])
    units = np.array([voice.embedding for voice in profile.voices], float)
    units /= np.maximum(np.linalg.norm(units, axis=1, keepdims=True), 1e-12)
    mean = weights @ units
    return mean / max(float(np.linalg.norm(mean)), 1e-12)


def _one_each(scores: np.ndarray) -> dict[int, int]:
    """The profile of each voice, no profile twice; voices without one where there are fewer profiles."""
    from scipy.optimize import linear_sum_assignment

    rows, columns = linear_sum_assignment(scores, maximize=True)
    return dict(zip(rows.tolist(), columns.tolist(), strict=True))


def _matched(
    voice: Voice,
    scores: np.ndarray,
    chosen: int | None,
    profiles: Sequence[VoiceProfile],
    limits: Thresholds | None,
) -> VoiceMatch:
    import numpy as np

    order = np.argsort(-scores, kind="stable")
    candidates = tuple(
        Candidate(person=profiles[i].person, score=round(float(scores[i]), 4)) for i in order[:CANDIDATES]
    )
    score = None if chosen is None else round(float(scores[chosen]), 4)
    rest = np.delete(scores, chosen) if chosen is not None else scores
    runner_up = round(float(rest.max()), 4) if rest.size else None
    verdict = _verdict(voice, score, runner_up, limits)
    sure = verdict not in ("unknown", "unmeasured")
    return VoiceMatch(
        speaker=voice.speaker,
        verdict=verdict,
        person=profiles[chosen].person if sure and chosen is not None else None,
        score=score,
        runner_up=runner_up,
        clean_s=voice.clean_s,
        profile_s=None if chosen is None else round(profiles[chosen].clean_s, 3),
        candidates=candidates,
    )


def _verdict(
    voice: Voice, score: float | None, runner_up: float | None, limits: Thresholds | None
) -> Verdict:
    if limits is None:
        return "unmeasured"
    if score is None or score < limits.suggest:
        return "unknown"
    near = runner_up is not None and score - runner_up < limits.margin
    mixed = voice.purity is not None and voice.purity < LEAST_PURITY
    if score < limits.name or near or mixed:
        return "suggested"
    return "named" if voice.clean_s >= LEAST_S else "too_short"
