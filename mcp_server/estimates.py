"""How long a job will take, from what the stages took on this machine before."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

from mcp_server.database import Database
from schemas.transcript import Transcript

KEPT = 8
LIVE_AFTER_S = 2.0


class Estimates:
    """Seconds of work by seconds of audio, a few measurements per stage and plan."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def learn(self, plan: str, transcript: Transcript, resumed: frozenset[str] = frozenset()) -> None:
        """Takes down what each stage took; not what came from the cache or was only finished here."""
        rows = [
            (plan, name, transcript.media.duration_s, stage.seconds, time.time())
            for name, stage in transcript.stages.items()
            if not stage.cached and name not in resumed and transcript.media.duration_s > 0
        ]
        with self._database.writing() as db:
            db.executemany("INSERT INTO measurements VALUES (?, ?, ?, ?, ?)", rows)
            db.execute(
                "DELETE FROM measurements WHERE rowid IN (SELECT rowid FROM (SELECT rowid, row_number() OVER"
                " (PARTITION BY plan, stage ORDER BY at DESC) AS place FROM measurements) WHERE place > ?)",
                (KEPT,),
            )

    def expected(self, plan: str, stages: Sequence[str], duration_s: float | None) -> dict[str, float]:
        """Seconds by stage for so much audio; a stage that was never measured here is left out.

        Measurements of the same plan count, else the last ones with other models.
        """
        if duration_s is None:
            return {}
        found = {}
        with self._database.reading() as db:
            for stage in stages:
                rows = db.execute(
                    "SELECT audio_s, seconds FROM measurements WHERE stage = ? AND plan = coalesce((SELECT plan"
                    " FROM measurements WHERE stage = ? ORDER BY plan = ? DESC, at DESC LIMIT 1), '')"
                    " ORDER BY at DESC LIMIT ?",
                    (stage, stage, plan, KEPT),
                ).fetchall()
                if rows:
                    found[stage] = _predicted([tuple(row) for row in rows], duration_s)
        return found


def _predicted(measured: Sequence[tuple[float, float]], x: float) -> float:
    """Least squares through ``(audio_s, seconds)``; neither the fixed part (loading) nor the speed below zero."""
    n = len(measured)
    mean_x, mean_y = sum(a for a, _ in measured) / n, sum(s for _, s in measured) / n
    spread = sum((a - mean_x) ** 2 for a, _ in measured)
    slope = sum((a - mean_x) * (s - mean_y) for a, s in measured) / spread if spread > mean_x else 0.0
    fixed = mean_y - slope * mean_x
    if slope <= 0 or fixed < 0:
        slope, fixed = mean_y / mean_x, 0.0
    return fixed + slope * x


def left(
    expected: Mapping[str, float],
    stages: Sequence[str],
    stage: str,
    done: float,
    took_s: float,
    done_live: float,
) -> float | None:
    """Seconds left at ``done`` (0 to 1) of ``stage``, ``took_s`` after the stage did the first of ``done_live``.

    The stage's own speed counts more the longer it was watched; none where neither is known.
    """
    later = stages[list(stages).index(stage) + 1 :] if stage in stages else ()
    if any(name not in expected for name in later):
        return None
    live = (1.0 - done) * took_s / done_live if took_s >= LIVE_AFTER_S and done_live > 0 else None
    planned = expected.get(stage)
    if planned is not None:
        planned = max(planned * (1.0 - done) - (took_s if done_live <= 0 else 0.0), 0.05 * planned)
    if live is None and planned is None:
        return None
    here = _blended(live, planned, took_s)
    return here + sum(expected[name] for name in later)


def _blended(live: float | None, planned: float | None, took_s: float) -> float:
    if live is None or planned is None:
        return live if planned is None else planned
    trust = min(1.0, took_s / max(10.0, 0.2 * (took_s + planned)))
    return trust * live + (1.0 - trust) * planned
