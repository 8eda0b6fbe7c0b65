"""The open-set bench of voices counts what it says it counts."""

from __future__ import annotations

import numpy as np
import pytest
from bench_modules import loaded

from pipeline.voices import THRESHOLDS, Thresholds, enrol
from schemas.voices import Voice

bench = loaded("voices")

MODEL = "campplus@1"
STRICT, LAX = Thresholds(0.5, 0.9, 0.1), Thresholds(0.1, 0.2, 0.0)
PEOPLE = 6


def heard(person: int, label: int, like: int | None = None) -> Voice:
    """A person's own voice, or one half way to somebody else's."""
    vector = np.eye(PEOPLE)[person] + (0 if like is None else np.eye(PEOPLE)[like])
    return Voice(speaker=f"SPEAKER_0{label}", clean_s=30.0, embedding=tuple(vector.tolist()))


@pytest.fixture
def profiles():
    return {str(n): enrol(None, str(n), heard(n, 0), MODEL) for n in range(PEOPLE)}


@pytest.fixture
def second():
    """Two meetings; in the other one somebody sounds half like a person who is not there."""
    return [
        bench.Met((heard(0, 0), heard(1, 1)), ("0", "1")),
        bench.Met((heard(2, 0, like=3),), ("2",)),
    ]


def test_people_are_looked_for_with_and_without_their_profiles(profiles, second):
    having, lacking = bench.libraries(profiles, second, None)
    assert [{p.person for p in library} for _, library in having] == [set(profiles)] * 2
    assert [{p.person for p in library} for _, library in lacking] == [set("2345"), set("01345")]
    having, lacking = bench.libraries(profiles, second, 3)
    assert len(having) == len(lacking) == 2 * bench.DRAWS
    for (met, with_them), (_, without) in zip(having, lacking, strict=True):
        assert len(with_them) == 3
        assert set(met.people) <= {p.person for p in with_them}
        assert not set(met.people) & {p.person for p in without}


def test_the_bound_is_the_binomials():
    """None of 59 named leaves a share of which 59 are missed one time in twenty."""
    bound = bench.Counts(strangers=59).most_false_named
    assert (1 - bound) ** 59 == pytest.approx(0.05)
    pooled = bench.Counts(strangers=50, named=1) + bench.Counts(strangers=50)
    assert (pooled.strangers, pooled.named) == (100, 1)
    assert 0.01 < pooled.most_false_named < 0.05


def test_who_is_named_rightly_wrongly_and_as_a_stranger_is_counted(profiles, second):
    having, lacking = bench.libraries(profiles, second, None)
    strict = bench.count(having, lacking, MODEL, STRICT)
    assert (strict.known, strict.right, strict.wrong) == (3, 2, 0)
    assert (strict.strangers, strict.named) == (3, 0)
    assert strict.suggested == 1
    lax = bench.count(having, lacking, MODEL, LAX)
    assert (lax.right, lax.wrong, lax.named) == (3, 0, 1)
    assert (lax.identified, lax.false_named) == (1.0, pytest.approx(1 / 3))
    assert THRESHOLDS["campplus"].name > LAX.name  # those in use are in use again
