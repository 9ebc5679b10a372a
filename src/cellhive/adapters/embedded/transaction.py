"""What one commit does: stamps local writes, lets the last writer win, and keeps the books."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import repeat
from typing import Any

from cellhive.adapters.embedded import keywords
from cellhive.adapters.embedded.group_commit import Submission
from cellhive.adapters.embedded.rows.encoded import NOTHING, Encoded, joined
from cellhive.adapters.embedded.rows.sums import checksums
from cellhive.adapters.embedded.schema import (
    LOOKED_UP_TOGETHER,
    RECORD_COLUMNS,
    ROW_BITS,
    in_parts,
    marks,
    number_in,
    set_seen,
    set_state,
    set_tally,
    tally_in,
    writer_in,
)
from cellhive.core.errors import BadInput, CellHiveError, Conflict
from cellhive.core.records import NOT_WRITTEN, Version
from cellhive.memory.versions import HybridClock

_Key = tuple[str, str]
"""Namespace and id."""

_WRITTEN_TOGETHER = (128, 16, 1)
"""Rows of one statement. Python lets other threads in once per statement, and waits its turn
for 5 ms where one of them computes: fewer statements, fewer waits."""
_WIDTH = len(RECORD_COLUMNS)
_ROW = f"({marks(_WIDTH)})"
# OR FAIL, for the transaction is rolled back whole where anything fails: SQLite then keeps no
# copies of pages to take back one statement, which cost more than a third of the writing.
_INSERT = f"INSERT OR FAIL INTO records ({', '.join(RECORD_COLUMNS)}) VALUES "  # noqa: S608  # ours
_UPDATE = (
    "UPDATE OR FAIL records SET "  # noqa: S608  # our names
    + ", ".join(f"{name}=new.column{place}" for place, name in enumerate(RECORD_COLUMNS, 1)
                if name not in ("row", "namespace", "id"))
    + " FROM (VALUES {}) AS new WHERE records.row=new.column1"
)  # fmt: skip


@dataclass(slots=True)
class _Held:
    """What is in the database under a key."""

    row: int
    version: Version
    alive: bool
    kind: int
    text: str | None


def _version(time_hlc: object, writer: object, sequence: object) -> Version:
    """Return the version of a record, or one that loses where it is no longer readable."""
    if isinstance(time_hlc, int) and isinstance(writer, str) and isinstance(sequence, int):
        return Version(time_hlc, writer, sequence)
    return Version()


@dataclass(slots=True)
class Commit:
    """One transaction, from its first look to what it tells the callers.

    Use it once, between BEGIN IMMEDIATE and COMMIT.
    """

    connection: sqlite3.Connection
    own: str
    """Writer of this opening."""
    clock: HybridClock
    spaces: Mapping[str, int]
    """Number of each namespace."""
    words_in_file: bool
    told: list[Callable[[], None]] = field(default_factory=list)
    """To be called once the transaction is durable."""
    _before: int = 0
    """Sequence of the own writer when it began."""
    _sequence: int = 0
    _held: dict[_Key, _Held] = field(default_factory=dict)
    _all: Encoded = field(default_factory=lambda: NOTHING)
    """The records of all submissions, one after the other."""
    _versions: list[Version] = field(default_factory=list)
    """Theirs, once they are taken."""
    _staged: dict[_Key, int] = field(default_factory=dict)
    """What is to be written of each key: its place among all, later ones higher."""
    _arrived: dict[str, list[int]] = field(default_factory=dict)
    _covered: dict[str, int] = field(default_factory=dict)
    _numbers: dict[str, int] = field(default_factory=dict)

    def write(self, group: Sequence[Submission]) -> None:
        """Take in a group of submissions; those refused change nothing and are told so."""
        self.clock.observe(number_in(self.connection, "last_hlc"))
        self._sequence = self._before = self._seen_of(self.own)
        self._all = joined([x.records for x in group])
        self._look_up()
        for submission in group:
            start = len(self._versions)
            try:
                self._check(submission)
                self._take(submission, start)
            except CellHiveError as error:
                self._tell(submission.future.set_exception, error)
                self._versions[start:] = [NOT_WRITTEN] * len(submission.records)
        if self._sequence > self._before:
            self._covered[self.own] = self._sequence
        self._write_rows()
        self._write_seen()

    def _tell(self, call: Callable[[Any], None], answer: object) -> None:
        self.told.append(lambda: call(answer))

    # --- what is there --------------------------------------------------------------------

    def _look_up(self) -> None:
        wanted: dict[str, list[str]] = {}
        for namespace, id_ in dict.fromkeys(self._all.keys):
            wanted.setdefault(namespace, []).append(id_)
        text = "text" if self.words_in_file else "NULL"
        for namespace, ids in wanted.items():
            number = self.spaces[namespace]
            for part in in_parts(ids, LOOKED_UP_TOGETHER):
                found = self.connection.execute(
                    f"SELECT id, row, hlc, name, sequence, deleted, kind, {text} FROM records "  # noqa: S608  # marks only
                    "LEFT JOIN writers ON writers.number = records.writer "
                    f"WHERE namespace=? AND id IN ({marks(len(part))})", (number, *part),
                )  # fmt: skip
                for id_, row, hlc, writer, sequence, deleted, kind, words in found:
                    self._held[namespace, id_] = _Held(
                        row, _version(hlc, writer, sequence), not deleted, kind,
                        words if isinstance(words, str) else None,
                    )  # fmt: skip

    def _seen_of(self, writer: str) -> int:
        self._numbers[writer], seen = writer_in(self.connection, writer)
        return seen

    def _alive(self, key: _Key) -> bool:
        if key in self._staged:
            return not self._all.deleted[self._staged[key]]
        return key in self._held and self._held[key].alive

    # --- who wins -------------------------------------------------------------------------

    def _take(self, submission: Submission, start: int) -> None:
        """Stage what wins of a submission, whose records begin at a place among all."""
        encoded, own, first = submission.records, self.own, self.clock.tick()
        count, changed = len(encoded), len(encoded)
        if encoded.stamped_here:
            sequences = range(self._sequence + 1, self._sequence + 1 + count)
            versions = list(map(Version, range(first, first + count), repeat(own), sequences))
            self._sequence += count
            self._staged.update(zip(encoded.keys, range(start, start + count), strict=True))
            self.clock.observe(first + count)
        else:
            versions, changed = self._compared(encoded, start, first)
        self._versions += versions
        for writer, upto in (submission.covers or {}).items():
            self._covered[writer] = max(upto, self._covered.get(writer, 0))
        answer = versions if submission.covers is None else changed
        self._tell(submission.future.set_result, answer)

    def _compared(self, encoded: Encoded, start: int, time_hlc: int) -> tuple[list[Version], int]:
        """Stage what is later than what is there; return all versions, and how many were."""
        if (new := self._all_new(encoded)) is not None:
            latest = max([x.time_hlc for x in new])
            for writer in {x.writer for x in new}:
                arrived = [x.sequence for x in new if x.writer == writer]
                self._arrived.setdefault(writer, []).extend(arrived)
            self._staged.update(zip(encoded.keys, range(start, start + len(new)), strict=True))
            self.clock.observe(max(time_hlc, latest + 1))
            return new, len(new)
        versions: list[Version] = []
        staged, own, changed = self._staged, self.own, 0
        for place, (key, version) in enumerate(
            zip(encoded.keys, encoded.versions, strict=True), start
        ):
            if version is None:
                self._sequence += 1
                version = Version(time_hlc, own, self._sequence)  # noqa: PLW2901  # stamped
                time_hlc += 1
            else:
                self.clock.observe(version.time_hlc)
                self._arrived.setdefault(version.writer, []).append(version.sequence)
                if version <= self._latest(key, versions, start):
                    versions.append(version)
                    continue
                time_hlc = max(time_hlc, version.time_hlc + 1)
            staged[key] = place
            versions.append(version)
            changed += 1
        self.clock.observe(time_hlc)
        return versions, changed

    def _all_new(self, encoded: Encoded) -> list[Version] | None:
        """Return the versions of a batch of which each has one and nothing is there yet."""
        versions, keys = [x for x in encoded.versions if x is not None], set(encoded.keys)
        if not versions or len(versions) < len(encoded) or len(keys) < len(encoded):
            return None
        new = keys.isdisjoint(self._staged) and keys.isdisjoint(self._held)
        return versions if new else None

    def _latest(self, key: _Key, versions: Sequence[Version], start: int) -> Version:
        """Return the version of a key so far, those from a place on being given."""
        place = self._staged.get(key)
        if place is not None:
            return versions[place - start] if place >= start else self._versions[place]
        return self._held[key].version if key in self._held else Version()

    def _check(self, submission: Submission) -> None:
        encoded, claimed = submission.records, [(submission.covers or {}).get(self.own, 0)]
        stamped = [x for x in encoded.versions if x is not None]
        claimed += [x.sequence for x in stamped if x.writer == self.own]
        if max([x.time_hlc for x in stamped], default=0) > self.clock.last:
            for (namespace, id_), version in zip(encoded.keys, encoded.versions, strict=True):
                if version is not None:
                    self.clock.must_accept(version.time_hlc, f"{namespace}/{id_}")
        if submission.new:
            taken: set[_Key] = set()
            for key in encoded.keys:
                if key in taken or self._alive(key):
                    message = (
                        f"expected an id that is not taken in {key[0]}, found a record "
                        f"{key[1]!r}; choose another id, or upsert"
                    )
                    raise Conflict(message)
                taken.add(key)
        if max(claimed) > self._sequence:
            raise BadInput(
                expected=f"of the writer {self.own} only what it has written",
                found=f"a write {max(claimed)}, after its last one, {self._sequence}",
                remedy="two replicas must not have one name: find out who else writes under it",
            )  # fmt: skip

    # --- the books ------------------------------------------------------------------------

    def _write_rows(self) -> None:
        if not self._staged:
            return
        winners = sorted(self._staged.values())  # the order of the changes is that of what wins
        records, versions = self._all, self._versions
        if len(winners) < len(records):
            records = records.taken(winners)
            versions = [versions[i] for i in winners]
        last_change = number_in(self.connection, "last_change")
        changes = range(last_change + 1, last_change + 1 + len(winners))
        spaces = [self.spaces[namespace] for namespace, _ in records.keys]
        held = [self._held.get(key) for key in records.keys]
        rows = self._rows(spaces, held)
        columns = self._columns(records, versions, (spaces, rows, changes))
        gone = [(x.row, x.text) for x in held if x is not None and x.text is not None]
        if self.words_in_file:
            keywords.forget(self.connection, gone)
        fresh = [i for i, x in enumerate(held) if x is None]
        if len(fresh) == len(held):
            self._write(_INSERT + "{}", columns)
        else:
            replaced = [i for i, x in enumerate(held) if x is not None]
            self._write(_INSERT + "{}", [[x[i] for i in fresh] for x in columns])
            self._write(_UPDATE, [[x[i] for i in replaced] for x in columns])
        if self.words_in_file:
            texts = zip(rows, records.texts, strict=True)
            keywords.enter(self.connection, [x for x in texts if x[1]])
        self._count(records, spaces, held)
        set_state(self.connection, last_change=changes[-1], last_hlc=self.clock.last)

    def _rows(self, spaces: Sequence[int], held: Sequence[_Held | None]) -> list[int]:
        """Return the key of the row of each record; those that are new get new ones."""
        known = dict(self.connection.execute("SELECT number, rows FROM namespaces"))
        if len(set(spaces)) == 1 and not any(held):
            first = (spaces[0] << ROW_BITS) + known[spaces[0]] + 1
            known[spaces[0]] += len(spaces)
            rows = list(range(first, first + len(spaces)))
        else:
            rows = []
            for space, there in zip(spaces, held, strict=True):
                if there is None:
                    known[space] += 1
                rows.append((space << ROW_BITS) + known[space] if there is None else there.row)
        self.connection.executemany(
            "UPDATE namespaces SET rows=? WHERE number=?", [(known[x], x) for x in set(spaces)]
        )
        return rows

    def _columns(
        self, records: Encoded, versions: Sequence[Version],
        place: tuple[Sequence[int], Sequence[int], Sequence[int]],
    ) -> list[Sequence[Any]]:  # fmt: skip
        """Return ``RECORD_COLUMNS`` of what is to be written.

        Args:
            records: What is to be written.
            versions: Of each.
            place: Namespace, row and change of each.
        """
        spaces, rows, changes = place
        numbers = {name: self._number(name) for name in {x.writer: None for x in versions}}
        return [
            rows, spaces, [id_ for _, id_ in records.keys],
            [x.time_hlc for x in versions], [numbers[x.writer] for x in versions],
            [x.sequence for x in versions], changes, *records.columns,
            checksums(records, rows, changes, versions),
        ]  # fmt: skip

    def _write(self, statement: str, columns: Sequence[Sequence[Any]]) -> None:
        """Run a statement over rows, some of them at a time."""
        values: list[Any] = [None] * (_WIDTH * len(columns[0]))
        for place, column in enumerate(columns):
            values[place::_WIDTH] = column
        for part in in_parts(values, [_WIDTH * x for x in _WRITTEN_TOGETHER]):
            rows = ", ".join([_ROW] * (len(part) // _WIDTH))
            self.connection.execute(statement.format(rows), part)

    def _count(self, records: Encoded, spaces: Sequence[int], held: Sequence[_Held | None]) -> None:
        """Note how many records of each kind there are now."""
        tally = Counter(
            (space, kind) for space, kind, gone
            in zip(spaces, records.kinds, records.deleted, strict=True) if not gone
        )  # fmt: skip
        tally.subtract(
            (space, there.kind) for space, there in zip(spaces, held, strict=True)
            if there is not None and there.alive
        )  # fmt: skip
        before = {space: tally_in(self.connection, space) for space, _ in tally}
        for (space, kind), more in tally.items():
            if more:
                set_tally(self.connection, space, kind, before[space].get(kind, 0) + more)

    def _number(self, writer: str) -> int:
        if writer not in self._numbers:
            self._seen_of(writer)
        return self._numbers[writer]

    def _write_seen(self) -> None:
        for writer in sorted(self._covered.keys() | self._arrived.keys()):
            before = self._before if writer == self.own else self._seen_of(writer)
            number = self._numbers[writer]
            upto = max(before, self._covered.get(writer, 0))
            beyond = {x for x in self._arrived.get(writer, ()) if x > upto}
            if beyond or writer != self.own:  # nothing of its own is ever out of turn
                upto = self._advance(number, upto, beyond)
            if upto > before:
                set_seen(self.connection, number, writer, upto)
                if writer != self.own:
                    self.connection.execute(
                        "DELETE FROM ahead WHERE writer=? AND sequence<=?", (number, upto)
                    )
            self.connection.executemany(
                "INSERT OR IGNORE INTO ahead VALUES (?, ?)",
                [(number, x) for x in sorted(beyond) if x > upto],
            )

    def _advance(self, number: int, upto: int, beyond: set[int]) -> int:
        """Return up to where all is known, with what has just come and what came out of turn."""
        earlier = self.connection.execute(
            "SELECT sequence FROM ahead WHERE writer=? AND sequence>? ORDER BY sequence",
            (number, upto),
        )
        waiting = next(earlier, (0,))[0]
        while True:
            while 0 < waiting <= upto:
                waiting = next(earlier, (0,))[0]
            if upto + 1 in beyond or upto + 1 == waiting:
                upto += 1
            else:
                earlier.close()
                return upto
