"""What a transaction will write: stamps, rows, change numbers and winners, worked out beforehand.

Pure: from what was submitted and what the tables hold (read under the writers' lock).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any

from cellhive.adapters.postgres.rows import Packed
from cellhive.core.errors import BadInput, Conflict
from cellhive.core.records import Version
from cellhive.memory.versions import HybridClock

Key = tuple[int, bytes]
"""Number of a namespace and digest of an id."""


@dataclass(slots=True, eq=False)
class Submission:
    """Records that are written together or not at all, and who waits for it."""

    items: Sequence[Packed]
    new: bool = False
    """Refuse the whole where one of the ids is taken."""
    covers: Mapping[str, int] = field(default_factory=dict)
    """What is known of each writer once the records are there."""
    done: Future[Any] = field(default_factory=Future)
    counts: bool = False
    """Answer with the number of records that changed something, not with versions."""


@dataclass(frozen=True, slots=True)
class Standing:
    """What the table holds under a key."""

    row_no: int
    version: tuple[int, str, int]
    alive: bool
    stored: bool
    """Whether the row is in the table, and not only in this transaction."""


@dataclass(slots=True)
class State:
    """What the tables hold of all that a transaction touches."""

    last_change: int
    last_hlc: int
    sequence: int
    """Of our own writer."""
    standing: dict[Key, Standing]
    last_rows: dict[int, int]
    """Namespace to its highest row."""
    known: dict[str, int]
    """Writer to the sequence up to which all is known."""
    ahead: dict[str, set[int]]
    """Writer to what is known beyond that."""


@dataclass(slots=True)
class Plan:
    """What to write, and what to answer."""

    added: dict[Key, tuple[Packed, int, int, Version]] = field(default_factory=dict)
    """Key to record, row, change number and version, where the key is new."""
    changed: dict[Key, tuple[Packed, int, int, Version]] = field(default_factory=dict)
    """The same where the key has a row."""
    answers: list[object] = field(default_factory=list)
    """Versions, a count or an error, one for each submission."""


@dataclass(slots=True)
class _Writing:
    """A plan in the making; ``state`` is moved on as it grows."""

    state: State
    clock: HybridClock
    writer: str
    plan: Plan = field(default_factory=Plan)

    def submit(self, submission: Submission) -> object:
        """Plan one submission and return its answer."""
        if self._forged(submission):
            return BadInput(
                expected=f"only what the writer {self.writer} has written under its name",
                found=f"more than its {self.state.sequence} writes",
                remedy="find out who else uses this node's name",
            )
        try:
            for item in submission.items:
                record = item.record
                self.clock.must_accept(record.version.time_hlc, f"{record.namespace}/{record.id}")
        except BadInput as error:
            return error
        taken = self._taken(submission) if submission.new else None
        if taken is not None:
            record = taken.record
            return Conflict(
                f"expected new ids in {record.namespace}, found {record.id!r} there already or "
                "twice; upsert what may exist"
            )
        versions: list[Version] = []
        count = 0
        for item in submission.items:
            version = item.record.version
            if not version.written:
                self.state.sequence += 1
                version = Version(self.clock.tick(), self.writer, self.state.sequence)
            versions.append(version)
            count += self._place(item, version)
        for writer, sequence in submission.covers.items():
            self._cover(writer, sequence)
        return count if submission.counts else versions

    def _forged(self, submission: Submission) -> bool:
        """Return whether a submission claims to hold what we have never written."""
        claimed = [item.record.version.sequence for item in submission.items
                   if item.record.version.writer == self.writer]  # fmt: skip
        claimed.append(submission.covers.get(self.writer, 0))
        return max(claimed) > self.state.sequence

    def _taken(self, submission: Submission) -> Packed | None:
        twice: set[Key] = set()
        for item in submission.items:
            key = item.namespace_id, item.key
            standing = self.state.standing.get(key)
            if key in twice or (standing is not None and standing.alive):
                return item
            twice.add(key)
        return None

    def _place(self, item: Packed, version: Version) -> bool:
        """Give a record its row and change number, unless what is there is later."""
        state, key = self.state, (item.namespace_id, item.key)
        if version.writer != self.writer:
            self.clock.observe(version.time_hlc)
            if version.sequence > state.known.get(version.writer, 0):
                state.ahead.setdefault(version.writer, set()).add(version.sequence)
                self._cover(version.writer, 0)
        order = version.time_hlc, version.writer, version.sequence
        standing = state.standing.get(key)
        if standing is not None and standing.version >= order:
            return False
        if standing is None:
            row_no = state.last_rows[item.namespace_id] = state.last_rows[item.namespace_id] + 1
        else:
            row_no = standing.row_no
        stored = standing is not None and standing.stored
        state.last_change += 1
        state.standing[key] = Standing(row_no, order, not item.record.deleted, stored)
        placed = self.plan.changed if stored else self.plan.added
        placed.pop(key, None)  # rows go in in the order of their changes
        placed[key] = item, row_no, state.last_change, version
        return True

    def _cover(self, writer: str, sequence: int) -> None:
        """Take in that all of a writer up to a sequence is known, and close gaps."""
        upto = max(self.state.known.get(writer, 0), sequence)
        beyond = self.state.ahead.get(writer, set())
        while upto + 1 in beyond:
            upto += 1
        self.state.known[writer] = upto
        if beyond:
            self.state.ahead[writer] = {number for number in beyond if number > upto}


def make_plan(
    group: Sequence[Submission], state: State, writer: str, now_ms: Callable[[], int]
) -> Plan:
    """Plan what a group of submissions writes, one after the other.

    Args:
        group: What was submitted, in order.
        state: What the tables hold; moved on to what they will hold.
        writer: Our own writer.
        now_ms: Wall clock [ms]; stamps are later than ``state.last_hlc`` whatever it says.
    """
    writing = _Writing(state, HybridClock(now_ms, last=state.last_hlc), writer)
    writing.plan.answers = [writing.submit(submission) for submission in group]
    state.last_hlc = writing.clock.last
    return writing.plan
