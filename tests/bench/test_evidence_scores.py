"""The bench of what is said about speakers scores it against the reference."""

from __future__ import annotations

import numpy as np
import pytest
from bench_modules import loaded

from schemas.diarization import Diarization, SpeakerTurn
from schemas.voices import SimilarVoices, Voice

bench = loaded("voice_evidence")


def turns(*rows: tuple[float, float, str]) -> tuple[SpeakerTurn, ...]:
    return tuple(SpeakerTurn(start=a, end=b, speaker=speaker) for a, b, speaker in rows)


TRUTH = turns((0, 10, "ana"), (10, 16, "ben"), (14, 20, "ana"), (20, 30, "eva"))
HEARD = bench.Heard(np.zeros(0), np.zeros(0), TRUTH, 30.0)
FOUND = Diarization(
    turns=turns(
        (0, 14, "SPEAKER_00"), (15, 20, "SPEAKER_01"), (20, 29, "SPEAKER_02"), (29, 30, "SPEAKER_03")
    ),
    voices=tuple(Voice(speaker=f"SPEAKER_0{n}", purity=p) for n, p in enumerate((0.7, 1.0, 1.0, 1.0))),
    similar_voices=(SimilarVoices(speakers=("SPEAKER_01", "SPEAKER_02"), similarity=0.6),),
)


def test_purity_is_the_share_of_whoever_is_heard_most_where_one_talks():
    scored = bench.scored(HEARD, FOUND)
    assert list(scored) == ["SPEAKER_00", "SPEAKER_01", "SPEAKER_02"]  # a second is too little
    assert scored["SPEAKER_00"].truth == pytest.approx(10 / 14)
    assert scored["SPEAKER_01"].truth == 1  # without the second in which Ben talks, too
    assert [speaker.person for speaker in scored.values()] == ["ana", "ana", "eva"]
    line = bench.purity_row("x", list(scored.values()))
    assert line.endswith("| 1 | 1 of 1 | 1 of 1 |")


def test_pairs_are_those_of_speakers_who_are_mostly_one_person():
    scored = bench.scored(HEARD, FOUND)
    assert list(bench.paired(scored, FOUND)) == [bench.Pair(one=False, hinted=True)]
    assert bench.pair_row("x", list(bench.paired(scored, FOUND))) == "| x | 0 of 0 | 1 of 1 |"
