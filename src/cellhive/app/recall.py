"""Puts memory and runs together: what a run starts with, and what a memory takes from it."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from cellhive.core.errors import BadInput
from cellhive.core.records import PRIVACY, PRIVATE, Metadata, Namespace, Record, RecordKind
from cellhive.flows.decide import Optimizer
from cellhive.flows.recall.experiences import Ledger
from cellhive.flows.recall.history import episodes, lessons_of
from cellhive.flows.recall.optimizer import Recall, RecallSettings
from cellhive.flows.recall.situations import CELLS, FEATURES, RELATIONS
from cellhive.flows.trial import RunRecord
from cellhive.flows.watch import Scoring
from cellhive.memory.patterns import (
    Pattern,
    PatternRules,
    Patterns,
    from_record,
    namespace_of,
    to_record,
)
from cellhive.memory.store import Memory

ROOMS = (CELLS, RELATIONS)
_PAGE = 1000
_CROWDED = 2
"""Times the patterns that are kept at which a memory is condensed."""


@dataclass(frozen=True)
class Remembered:
    """What a run starts with."""

    patterns: tuple[Pattern, ...]
    now_s: float
    """Time that evidence is weighed at, seconds since the epoch."""
    notes: tuple[str, ...] = ()
    """What of the memory could not be used."""

    def around(self, optimizer: Optimizer, scoring: Scoring, explore: float = 0.0) -> Recall:
        """Return an optimiser with this memory around another one."""
        rules = PatternRules()
        rooms = {room: Patterns(room, rules, self.patterns, self.now_s) for room in ROOMS}
        ledger = Ledger(scoring, now_s=self.now_s)
        return Recall(optimizer, rooms, ledger, RecallSettings(explore=explore))


def declare(memory: Memory) -> None:
    """Declare the namespaces of patterns; raise Conflict where others have taken their names."""
    for room in ROOMS:
        memory.declare(room_namespace(room))


def room_namespace(room: str) -> Namespace:
    """Return the namespace of a room."""
    return namespace_of(room, FEATURES[room])


def recall_patterns(memory: Memory, now_s: float) -> Remembered:
    """Return the patterns of a memory that are worth most, near-duplicates pooled."""
    declare(memory)  # also says so where the memory holds something else under these names
    rules = PatternRules()
    best: list[Pattern] = []
    notes: list[str] = []
    for room in ROOMS:
        found, bad = _readable(_records(memory, room))
        notes += [f"not recalled: {reason}" for reason in bad]
        patterns = Patterns(room, rules, found.values(), now_s)
        patterns.trim(now_s)
        best += patterns.all
    return Remembered(tuple(best), now_s, tuple(notes))


def _readable(records: Iterable[Record]) -> tuple[dict[str, Pattern], list[str]]:
    """Return patterns by the ids of their records, and why others could not be read."""
    found: dict[str, Pattern] = {}
    bad: list[str] = []
    for record in records:
        try:
            found[record.id] = from_record(record)
        except BadInput as error:  # one bad record must not cost all the others
            bad.append(str(error))
    return found, bad


def _records(memory: Memory, room: str) -> Iterator[Record]:
    after = 0
    while True:
        rows, records = memory.scan(room, kind=RecordKind.PATTERN, after_row=after, limit=_PAGE)
        if not records:
            return
        yield from records
        after = int(rows[-1])


@dataclass(frozen=True)
class Learnt:
    """What a memory took from a run."""

    run_id: str
    plans: int
    """Plans with a verdict that taught something."""
    experiences: int
    patterns: int
    """Patterns that they were pooled to."""
    known: bool = False
    """Whether the memory had learnt from this run before; then it took nothing."""

    @property
    def told(self) -> str:
        """What the memory took, in words."""
        if self.known:
            return f"has learnt from {self.run_id} before: nothing taken"
        return (
            f"took {self.experiences} experiences of {self.run_id} as {self.patterns} patterns, "
            f"and {self.plans} plans with their outcomes"
        )


def learn(memory: Memory, record: RunRecord, *, private: bool = False) -> Learnt:
    """Write what a run taught into a memory, in one commit; a run teaches only once.

    Args:
        memory: Where to.
        record: The run.
        private: Whether its patterns must never be shared with other memories.
    """
    declare(memory)
    receipt = f"run/{record.run_id}"
    if memory.get(CELLS, [receipt])[0] is not None:
        return Learnt(record.run_id, 0, 0, 0, known=True)
    now_s = dt.datetime.fromisoformat(record.started).timestamp()
    rooms = {room: Patterns(room, PatternRules(), now_s=now_s) for room in ROOMS}
    told: list[Record] = []
    experiences = 0
    for lesson in lessons_of(record, now_s=now_s, private=private):
        for pattern in lesson.experiences:
            rooms[pattern.room].add(pattern)
        experiences += len(lesson.experiences)
        told += episodes(lesson, record.run_id, record)
    found = [pattern for room in ROOMS for pattern in rooms[room].all]
    plans = len({r.metadata["plan"] for r in told})
    facts: Metadata = {"scenario": record.scenario, "seed": record.seed, "plans": plans,
             "experiences": experiences, "patterns": len(found), PRIVACY: PRIVATE}  # fmt: skip
    memory.upsert(
        [
            *(to_record(pattern, record.run_id) for pattern in found),
            *told,
            Record(CELLS, receipt, RecordKind.RESULT, metadata=facts, time_s=now_s,
                   origin=record.run_id, text=f"learnt from run {record.run_id}"),
        ]
    )  # fmt: skip
    if any(memory.count(room, kind=RecordKind.PATTERN) > _CROWDED * PatternRules().most
           for room in ROOMS):  # fmt: skip
        condense(memory, now_s)
    return Learnt(record.run_id, plans, experiences, len(found))


def condense(memory: Memory, now_s: float) -> tuple[int, int]:
    """Pool near-duplicates and forget what is worth least; return patterns before and after.

    One commit. Of several replicas of a memory only one should do it at a time: two that
    pool the same patterns at once would count their evidence twice.
    """
    before = after = 0
    for room in ROOMS:
        held, _ = _readable(_records(memory, room))
        patterns = Patterns(room, PatternRules(), held.values())
        patterns.trim(now_s)
        new = {record.id: record for record in (to_record(p) for p in patterns.all)}
        gone = [
            Record(room, id_, RecordKind.PATTERN, deleted=True) for id_ in held if id_ not in new
        ]
        memory.upsert([*gone, *(record for id_, record in new.items() if id_ not in held)])
        before, after = before + len(held), after + len(new)
    return before, after
