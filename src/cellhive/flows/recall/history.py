"""What a recorded run teaches: the experiences that its loop made, from its record alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import msgspec
import numpy as np

from cellhive.core.checked import check_frame
from cellhive.core.records import PRIVACY, PRIVATE, Metadata, Record, RecordKind
from cellhive.core.types import Floats32, KpiFrame, Outcome, to_jsonable
from cellhive.flows.recall.experiences import Ledger, place_of, run_token
from cellhive.flows.recall.situations import CELLS, RELATIONS, Situations
from cellhive.flows.replay import RecordedNetwork
from cellhive.flows.trial import RunRecord
from cellhive.flows.watch import Scoring
from cellhive.memory.patterns import Pattern

HISTORY = 16
"""Frames that a loop keeps, and so does this."""

MOST_WORDS = 2000
"""Characters of the reasons of a plan that are kept to find it by."""


@dataclass(frozen=True)
class Lesson:
    """What a run taught in one period."""

    time_s: float
    outcome: Outcome | None
    """The plan it taught by; None for what was left alone."""
    experiences: tuple[Pattern, ...]
    situations: Situations
    """At the end of the period."""


def lessons_of(
    record: RunRecord, *, now_s: float, private: bool = False, scoring: Scoring | None = None
) -> Iterator[Lesson]:
    """Yield the lessons of a run in order; it makes no difference who proposed its plans.

    Args:
        record: The run, in shadow mode too: then only what was left alone teaches.
        now_s: When the run was, seconds since the epoch, for forgetting.
        private: Whether what is learnt must stay in the memory it is written to.
        scoring: How frames become a score; by default as the loop does it.
    """
    ledger = Ledger(
        Scoring() if scoring is None else scoring, now_s=now_s, private=private,
        run=run_token(record.run_id),
    )  # fmt: skip
    radio = RecordedNetwork(record.network, record.initial, record.frames, record.applied)
    frames: list[KpiFrame] = []
    for _ in record.frames:
        frame = check_frame(radio.observe()).frame
        frames = [*frames, frame][-HISTORY:]
        end_s = frame.time_s + frame.period_s
        here = ledger.take(record.network, radio.parameters(), frames, end_s)
        for outcome in record.outcomes:
            if outcome.decided_s == end_s:
                found = tuple(ledger.of(outcome))
                if found:
                    yield Lesson(end_s, outcome, found, here)
        left_alone = tuple(ledger.idle())
        if left_alone:
            yield Lesson(end_s, None, left_alone, here)


def episodes(lesson: Lesson, run_id: str, record: RunRecord) -> tuple[Record, ...]:
    """Return an action and its outcome as records: private, for they name cells.

    One pair for the cells and one for the relations that a plan changed.
    """
    outcome = lesson.outcome
    if outcome is None:
        return ()
    found: list[Record] = []
    for room in (CELLS, RELATIONS):
        mine = [p for p in lesson.experiences if p.room == room]
        changes = [c for c in outcome.plan.changes if place_of(record.network, c)[0] == room]
        if not mine:
            continue
        effect = float(np.mean([p.evidence.mean for p in mine]))
        facts: Metadata = {
            "run": run_id, "plan": outcome.plan.plan_id, "function": outcome.plan.function,
            "changes": len(changes), PRIVACY: PRIVATE,
        }  # fmt: skip
        name, when_s = f"{run_id}/{outcome.plan.plan_id}", mine[0].evidence.last_s
        found.append(
            Record(
                room, f"{name}/action", RecordKind.ACTION, _centre([p.situation for p in mine]),
                facts, "; ".join(c.reason for c in changes)[:MOST_WORDS], _json(outcome.plan),
                when_s, run_id,
            )
        )  # fmt: skip
        judged: Metadata = {**facts, "verdict": outcome.verdict, "effect": effect}
        found.append(
            Record(
                room, f"{name}/outcome", RecordKind.OUTCOME, _centre([p.later for p in mine]),
                judged, outcome.reason, b"", when_s, run_id,
            )
        )  # fmt: skip
    return tuple(found)


def _centre(vectors: Sequence[Floats32]) -> Floats32:
    mean = np.mean(np.stack(vectors), axis=0, dtype=np.float64)
    return np.asarray(mean, np.float32)


def _json(value: object) -> bytes:
    return msgspec.json.encode(to_jsonable(value))
