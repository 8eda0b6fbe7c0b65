"""People recognised by their voices: who may be enrolled, who is named, and who must not be."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.voices import LEAST_S, MOST_VOICES, THRESHOLDS, enrol, match_voices, mean_of, voices_of
from schemas.errors import VoiceNotUsable
from schemas.transcript import Media, Transcript
from schemas.voices import Voice, VoiceProfile

MODEL = "campplus@1"
LIMITS = THRESHOLDS["campplus"]
ANA, BEN, EVA = np.eye(6)[:3]
NOBODY = np.eye(6)[5]


def voice(vector, speaker="SPEAKER_00", clean_s=30.0, purity=1.0) -> Voice:
    embedding = None if vector is None else tuple(float(x) for x in vector)
    return Voice(speaker=speaker, speech_s=clean_s, clean_s=clean_s, purity=purity, embedding=embedding)


def like(person, cosine: float) -> np.ndarray:
    """A voice at that cosine to ``person`` and like nobody else."""
    return cosine * person + np.sqrt(1 - cosine**2) * NOBODY


def profile(person: str, vector, model=MODEL, clean_s=30.0) -> VoiceProfile:
    return enrol(None, person, voice(vector, clean_s=clean_s), model)


def verdicts(*voices: Voice, profiles=None, model=MODEL) -> list[tuple[str, str | None]]:
    profiles = profiles or [profile("Ana", ANA), profile("Ben", BEN)]
    return [(match.verdict, match.person) for match in match_voices(voices, model, profiles)]


@pytest.mark.parametrize(
    ("cosine", "expected"),
    [
        (LIMITS.name + 0.01, ("named", "Ana")),
        (LIMITS.name - 0.01, ("suggested", "Ana")),
        (LIMITS.suggest + 0.01, ("suggested", "Ana")),
        (LIMITS.suggest - 0.01, ("unknown", None)),
    ],
)
def test_a_name_takes_a_higher_score_than_a_suggestion(cosine, expected):
    assert verdicts(voice(like(ANA, cosine))) == [expected]


def test_somebody_who_sounds_like_two_people_is_not_named():
    between = 0.72 * ANA + 0.66 * BEN + 0.2 * NOBODY
    (match,) = match_voices([voice(between)], MODEL, [profile("Ana", ANA), profile("Ben", BEN)])
    assert (match.verdict, match.person) == ("suggested", "Ana")
    assert 0 < match.score - match.runner_up < LIMITS.margin


@pytest.mark.parametrize("fields", [{"clean_s": LEAST_S - 0.1}, {"purity": 0.6}])
def test_little_or_mixed_speech_names_nobody(fields):
    ((verdict, person),) = verdicts(voice(ANA, **fields))
    assert (verdict, person) == ("too_short" if "clean_s" in fields else "suggested", "Ana")


def test_one_person_gets_one_speaker():
    """Both sound like Ana; the nearer one is, and the other is told what it was compared with."""
    near, far = voice(like(ANA, 0.95), "SPEAKER_00"), voice(like(ANA, 0.8), "SPEAKER_01")
    first, second = match_voices([far, near], MODEL, [profile("Ana", ANA), profile("Ben", BEN)])
    assert (first.speaker, first.verdict, first.person) == ("SPEAKER_01", "unknown", None)
    assert first.candidates[0].person == "Ana"
    assert (second.speaker, second.verdict, second.person) == ("SPEAKER_00", "named", "Ana")


def test_more_speakers_than_profiles_leave_some_unknown():
    heard = [voice(like(NOBODY, 1.0), "SPEAKER_00"), voice(ANA, "SPEAKER_01")]
    assert verdicts(*heard, profiles=[profile("Ana", ANA)]) == [("unknown", None), ("named", "Ana")]


def test_profiles_of_another_model_or_revision_are_never_compared():
    others = [profile("Ana", ANA, "campplus@2"), profile("Ana", ANA, "resnet34@1")]
    (match,) = match_voices([voice(ANA)], MODEL, others)
    assert (match.verdict, match.person, match.score) == ("unknown", None, None)


def test_a_model_whose_thresholds_nobody_measured_names_nobody():
    (match,) = match_voices([voice(ANA)], "resnet34@1", [profile("Ana", ANA, "resnet34@1")])
    assert (match.verdict, match.person) == ("unmeasured", None)
    assert match.score == pytest.approx(1.0)


def test_a_match_tells_scores_and_seconds_of_both_sides():
    heard = voice(like(ANA, 0.9), clean_s=42.0)
    (match,) = match_voices([heard], MODEL, [profile("Ana", ANA, clean_s=25.0), profile("Ben", BEN)])
    assert (match.score, match.runner_up) == (pytest.approx(0.9, abs=1e-4), pytest.approx(0.0, abs=1e-4))
    assert (match.clean_s, match.profile_s) == (42.0, 25.0)
    assert [c.person for c in match.candidates] == ["Ana", "Ben"]


def test_a_speaker_without_an_embedding_is_unknown_and_keeps_its_place():
    heard = [voice(None, "SPEAKER_00"), voice(BEN, "SPEAKER_01")]
    assert verdicts(*heard) == [("unknown", None), ("named", "Ben")]
    assert verdicts(voice(None)) == [("unknown", None)]


@pytest.mark.parametrize(
    "unusable", [voice(None), voice(ANA, clean_s=LEAST_S - 0.1), voice(ANA, purity=0.79)]
)
def test_short_mixed_or_absent_voices_cannot_be_enrolled(unusable):
    with pytest.raises(VoiceNotUsable) as caught:
        enrol(None, "Ana", unusable, MODEL)
    assert caught.value.code == "voice_not_usable"
    assert caught.value.hint


def test_a_voice_of_another_model_cannot_join_a_profile():
    with pytest.raises(VoiceNotUsable, match="campplus@2"):
        enrol(profile("Ana", ANA), "Ana", voice(ANA), "campplus@2")


def test_a_profile_grows_and_longer_speech_weighs_more():
    known = enrol(profile("Ana", ANA, clean_s=10.0), "Ana", voice(BEN, clean_s=30.0), MODEL)
    assert known.clean_s == 40.0
    assert mean_of(known)[:2] == pytest.approx(np.array([1, 3]) / np.sqrt(10))


def test_the_same_source_replaces_itself_and_the_longest_voices_stay():
    known = None
    for seconds in (20.0, 25.0):
        known = enrol(known, "Ana", voice(ANA, clean_s=seconds), MODEL, source="t1")
    assert [v.clean_s for v in known.voices] == [25.0]
    for number in range(MOST_VOICES + 5):
        known = enrol(known, "Ana", voice(ANA, clean_s=30.0 + number), MODEL, source=f"m{number}")
    assert len(known.voices) == MOST_VOICES
    assert min(v.clean_s for v in known.voices) == 35.0


def test_a_transcripts_voices_get_their_embeddings_back():
    heard = (voice(None, "SPEAKER_00"), voice(None, "SPEAKER_01"))
    made = Transcript(media=Media(duration_s=1), voices=heard, speaker_embeddings={"SPEAKER_01": (1.0, 0.0)})
    assert [v.embedding for v in voices_of(made)] == [None, (1.0, 0.0)]
    assert [v.embedding for v in voices_of(made.model_copy(update={"speaker_embeddings": None}))] == [
        None
    ] * 2


numbers = st.integers(0, 2**32 - 1)


@given(numbers, st.integers(0, 5), st.integers(0, 5))
def test_nobody_is_given_twice_and_every_speaker_gets_an_answer(seed, speakers, people):
    rng = np.random.default_rng(seed)
    base = rng.standard_normal(8)
    heard = [voice(base + 0.7 * rng.standard_normal(8), f"S{i}") for i in range(speakers)]
    known = [profile(f"P{i}", base + 0.7 * rng.standard_normal(8)) for i in range(people)]
    found = match_voices(heard, MODEL, known)
    assert [match.speaker for match in found] == [v.speaker for v in heard]
    given_names = [match.person for match in found if match.person]
    assert len(given_names) == len(set(given_names))
    for match in found:
        if match.verdict == "named":
            assert match.score >= LIMITS.name
            assert match.runner_up is None or match.score - match.runner_up >= LIMITS.margin
