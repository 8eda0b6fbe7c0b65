"""Speakers of one recording as data: whose voice, how pure, where to listen, what to doubt."""

from __future__ import annotations

import numpy as np
import pytest

from pipeline.diarization_core import frames
from pipeline.voice_evidence import Windows, with_evidence
from schemas.diarization import Diarization, SpeakerTurn

A, B, C = "SPEAKER_00", "SPEAKER_01", "SPEAKER_02"
MODEL = "campplus@1"
ANA, BEN, EVA, OTHER = np.eye(8)[:4]


def turns(*rows: tuple[float, float, str]) -> tuple[SpeakerTurn, ...]:
    return tuple(SpeakerTurn(start=a, end=b, speaker=speaker) for a, b, speaker in rows)


def windows(spoken: list[tuple[float, float, np.ndarray]], length_s: float, noise=0.05) -> Windows:
    """What the networks would find: each voice is a local speaker of its own in every window it falls into."""
    count = max(1, int(length_s) - 9)
    rng = np.random.default_rng(0)
    activity = np.zeros((count, frames.WINDOW_FRAMES, 3), np.uint8)
    embeddings = np.full((count, 3, 8), np.nan, np.float32)
    for window in range(count):
        people = list(
            {tuple(vector): vector for a, b, vector in spoken if a < window + 10 and b > window}.values()
        )
        for local, vector in enumerate(people[:3]):
            for start, end, whose in spoken:
                if whose is vector:
                    first, last = ((t - window) / frames.FRAME_STEP_S for t in (start, end))
                    activity[window, max(0, round(first)) : max(0, round(last)), local] = 1
            embeddings[window, local] = 3.0 * (vector + noise * rng.standard_normal(8))
    return Windows(embeddings, activity)


def described(found, heard, model) -> Diarization:
    return with_evidence(Diarization(turns=found, exclusive_turns=found), heard, model)


def describe(found, heard, model):
    made = described(found, heard, model)
    return made.voices, made.similar_voices, made.speaker_count


TALK = [(0.0, 12.0, ANA), (12.5, 26.0, BEN), (26.5, 40.0, ANA)]
TURNS = turns((0.0, 12.0, A), (12.5, 26.0, B), (26.5, 40.0, A))


def test_each_speaker_gets_the_voice_of_their_own_turns():
    voices, similar, count = describe(TURNS, windows(TALK, 40), MODEL)
    assert [voice.speaker for voice in voices] == [A, B]
    for voice, person in zip(voices, (ANA, BEN), strict=True):
        assert np.dot(voice.embedding, person) > 0.98
        assert np.linalg.norm(voice.embedding) == pytest.approx(1, abs=1e-3)
        assert voice.purity == 1.0
    assert [voice.clean_s for voice in voices] == [25.5, 13.5]
    assert similar == ()
    assert (count.found, count.clear, count.most_at_once) == (2, 2, 1)
    assert (count.may_be_one, count.may_be_more) == (0, 0)


def test_an_embedding_of_two_speakers_at_once_is_nobodys():
    """Where the segmentation takes both for one local speaker, the embedding says nothing about either."""
    heard = windows(TALK, 40)
    heard.activity[5:8] = (1, 0, 0)
    heard.embeddings[5:8, 0] = 3.0 * OTHER
    voices, _, _ = describe(TURNS, heard, MODEL)
    assert all(abs(np.dot(voice.embedding, OTHER)) < 0.05 for voice in voices)


@pytest.mark.parametrize("model", [MODEL, "resnet34@1"])
def test_two_people_under_one_label_show_in_its_purity(model):
    merged = turns((0.0, 26.0, A), (26.5, 40.0, A))
    (voice,), _, count = describe(merged, windows(TALK, 40), model)
    assert 0.5 <= voice.purity < 0.8
    assert (count.found, count.clear, count.may_be_more) == (1, 0, 1)


def test_the_more_of_another_voice_is_mixed_in_the_less_pure():
    """Ben sounds a little like Ana: two halves of the mix are alike, and still it is a mix."""
    near = 0.6 * ANA + 0.8 * BEN
    found = []
    for share in (0.0, 0.2, 0.5):
        talk = [(0.0, 60 * (1 - share), ANA), (60 * (1 - share), 60.0, near)]
        (voice,), _, _ = describe(turns((0.0, 60.0, A)), windows(talk, 60, noise=0.1), MODEL)
        found.append(voice.purity)
    assert found[0] == 1.0 > found[1] > found[2] > 0.5


def test_one_person_under_two_labels_is_pointed_out():
    divided = turns((0.0, 12.0, A), (12.5, 26.0, B), (26.5, 40.0, C))
    _, similar, count = describe(divided, windows(TALK, 40), MODEL)
    assert [pair.speakers for pair in similar] == [(A, C)]
    assert similar[0].similarity > 0.9
    assert (count.found, count.may_be_one) == (3, 1)


def test_without_measured_thresholds_nobody_is_said_to_be_alike():
    divided = turns((0.0, 12.0, A), (12.5, 26.0, B), (26.5, 40.0, C))
    for model in (None, "resnet34@1"):
        assert describe(divided, windows(TALK, 40), model)[1] == ()


def test_overlapped_speech_is_neither_clean_nor_a_sample():
    found = turns((0.0, 10.0, A), (8.0, 20.0, B), (15.0, 16.0, C))
    voices, _, count = describe(found, None, None)
    assert [(v.speech_s, v.clean_s) for v in voices] == [(10.0, 8.0), (12.0, 9.0), (1.0, 0.0)]
    for voice in voices:
        for span in voice.samples:
            others = [t for t in found if t.speaker != voice.speaker]
            assert all(span.end <= t.start or span.start >= t.end for t in others)
            assert 3.0 <= span.end - span.start <= 8.0
    assert voices[2].samples == ()
    assert count.most_at_once == 2


def test_samples_are_at_most_three_and_a_speaker_with_little_gets_the_longest():
    many = turns(*((10.0 * i, 10.0 * i + 4.0 + i, A) for i in range(5)), (60.0, 61.5, B), (63.0, 65.0, B))
    (a, b), _, _ = describe(many, None, None)
    assert [(s.start, s.end) for s in a.samples] == [(40.15, 47.85), (30.15, 36.85), (20.15, 25.85)]
    assert [(s.start, s.end) for s in b.samples] == [(63.15, 64.85)]
    assert a.purity is None
    assert a.embedding is None


def test_the_most_typical_sample_comes_first():
    """The longest stretch sounds unlike the rest, so it is not what a person should judge by."""
    odd = 0.5 * ANA + 0.87 * OTHER
    talk = [(0.0, 12.0, ANA), (30.0, 42.0, ANA), (60.0, 75.0, odd)]
    found = turns((0.0, 12.0, A), (30.0, 42.0, A), (60.0, 75.0, A))
    (voice,), _, _ = describe(found, windows(talk, 80), MODEL)
    assert voice.samples[-1].start > 59


def test_turns_that_touch_count_as_one_stretch():
    (voice,), _, _ = describe(turns((0.0, 2.0, A), (2.0, 5.0, A), (4.0, 6.0, A)), None, None)
    assert voice.clean_s == 6.0
    assert [(s.start, s.end) for s in voice.samples] == [(0.15, 5.85)]


def test_nobody_speaks():
    voices, similar, count = describe((), None, MODEL)
    assert (voices, similar, count.found, count.most_at_once) == ((), (), 0, 0)


def test_a_turn_that_sounds_like_its_speaker_is_sure_and_one_that_does_not_is_not():
    """The last turn is Ana's, and was given to Ben."""
    talk = [*TALK, (41.0, 46.0, ANA)]
    wrong = (*TURNS, *turns((41.0, 46.0, B)))
    scores = [turn.confidence for turn in described(wrong, windows(talk, 50), MODEL).exclusive_turns]
    assert min(scores[:3]) > 0.8
    assert scores[3] < 0.2


def test_without_another_speaker_there_is_nothing_to_doubt():
    found = turns((0.0, 12.0, A), (26.5, 40.0, A))
    talk = [row for row in TALK if row[2] is ANA]
    assert [t.confidence for t in described(found, windows(talk, 40), MODEL).exclusive_turns] == [1.0, 1.0]


def test_without_embeddings_turns_have_no_confidence():
    assert [t.confidence for t in described(TURNS, None, None).exclusive_turns] == [None] * 3
