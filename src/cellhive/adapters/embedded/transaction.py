"""What one commit does: stamps local writes, lets the last writer win, and keeps the books."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from typing import Any

from cellhive.adapters.embedded import keywords
from cellhive.adapters.embedded.group_commit import Submission
from cellhive.adapters.embedded.row_codec import Encoded, checksum
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
from cellhive.core.records import Version
from cellhive.memory.versions import HybridClock

_Key = tuple[str, str]
"""Namespace and id."""

_WRITTEN_TOGETHER = (32, 1)
"""Rows of one statement. Python lets other threads in once per statement, and waits its turn
for 5 ms where one of them computes: fewer statements, fewer waits."""
_INSERT = f"INSERT INTO records ({', '.join(RECORD_COLUMNS)}) VALUES "  # noqa: S608  # our names
_ROW = f"({marks(len(RECORD_COLUMNS))})"
_UPDATE = (
    " ON CONFLICT (row) DO UPDATE SET "
    + ", ".join(f"{x}=excluded.{x}" for x in RECORD_COLUMNS if x not in ("row", "namespace", "id"))
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
    _staged: dict[_Key, tuple[Version, Encoded]] = field(default_factory=dict)
    _arrived: dict[str, list[int]] = field(default_factory=dict)
    _covered: dict[str, int] = field(default_factory=dict)
    _numbers: dict[str, int] = field(default_factory=dict)

    def write(self, group: Sequence[Submission]) -> None:
        """Take in a group of submissions; those refused change nothing and are told so."""
        self.clock.observe(number_in(self.connection, "last_hlc"))
        self._sequence = self._before = self._seen_of(self.own)
        self._look_up(chain.from_iterable(x.records for x in group))
        for submission in group:
            try:
                self._take(submission)
            except CellHiveError as error:
                self._tell(submission.future.set_exception, error)
        if self._sequence > self._before:
            self._covered[self.own] = self._sequence
        self._write_rows()
        self._write_seen()

    def _tell(self, call: Callable[[Any], None], answer: object) -> None:
        self.told.append(lambda: call(answer))

    # --- what is there --------------------------------------------------------------------

    def _look_up(self, records: Iterable[Encoded]) -> None:
        wanted: dict[str, dict[str, None]] = {}
        for record in records:
            wanted.setdefault(record.namespace, {})[record.id] = None
        text = "text" if self.words_in_file else "NULL"
        for namespace, ids in wanted.items():
            number = self.spaces[namespace]
            for part in in_parts(list(ids), LOOKED_UP_TOGETHER):
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
            return not self._staged[key][1].deleted
        return key in self._held and self._held[key].alive

    # --- who wins -------------------------------------------------------------------------

    def _take(self, submission: Submission) -> None:
        self._check(submission)
        versions: list[Version] = []
        staged, own, changed, time_hlc = self._staged, self.own, 0, self.clock.tick()
        for record in submission.records:
            key, version = record[:2], record.version
            if version is None:
                self._sequence += 1
                version = Version(time_hlc, own, self._sequence)
                time_hlc += 1
            else:
                self.clock.observe(version.time_hlc)
                self._arrived.setdefault(version.writer, []).append(version.sequence)
                if version <= self._latest(key):
                    versions.append(version)
                    continue
                time_hlc = max(time_hlc, version.time_hlc + 1)
            if key in staged:  # the order of the changes is that of what wins
                del staged[key]
            staged[key] = version, record
            versions.append(version)
            changed += 1
        self.clock.observe(time_hlc)
        for writer, upto in (submission.covers or {}).items():
            self._covered[writer] = max(upto, self._covered.get(writer, 0))
        answer = versions if submission.covers is None else changed
        self._tell(submission.future.set_result, answer)

    def _latest(self, key: _Key) -> Version:
        if key in self._staged:
            return self._staged[key][0]
        return self._held[key].version if key in self._held else Version()

    def _check(self, submission: Submission) -> None:
        for record in submission.records:
            if record.version is not None:
                self.clock.must_accept(record.version.time_hlc, f"{record.namespace}/{record.id}")
        if submission.new:
            taken: set[_Key] = set()
            for record in submission.records:
                key = record.namespace, record.id
                if key in taken or self._alive(key):
                    message = (
                        f"expected an id that is not taken in {record.namespace}, found a record "
                        f"{record.id!r}; choose another id, or upsert"
                    )
                    raise Conflict(message)
                taken.add(key)
        claimed = [x.version.sequence for x in submission.records
                   if x.version is not None and x.version.writer == self.own]  # fmt: skip
        claimed.append((submission.covers or {}).get(self.own, 0))
        if max(claimed) > self._sequence:
            raise BadInput(
                expected=f"of the writer {self.own} only what it has written",
                found=f"a write {max(claimed)}, after its last one, {self._sequence}",
                remedy="two replicas must not have one name: find out who else writes under it",
            )  # fmt: skip

    # --- the books ------------------------------------------------------------------------

    def _write_rows(self) -> None:
        staged = self._staged.values()
        if not staged:
            return
        fresh: list[tuple[Any, ...]] = []
        replaced: list[tuple[Any, ...]] = []
        gone: list[tuple[int, str]] = []
        texts: list[tuple[int, str]] = []
        tally: dict[tuple[int, int], int] = {}
        change = number_in(self.connection, "last_change")
        rows = dict(self.connection.execute("SELECT number, rows FROM namespaces"))
        spaces = self.spaces
        names = {name: name.encode() for name in dict.fromkeys(x.writer for x, _ in staged)}
        numbers = {name: self._number(name) for name in names}
        for key, (version, record) in self._staged.items():
            change += 1
            space, time_hlc, sequence = spaces[key[0]], version.time_hlc, version.sequence
            held = self._held.get(key)
            if held is None:
                rows[space] += 1
                row = (space << ROW_BITS) + rows[space]
            else:
                row = held.row
                if held.alive:
                    tally[space, held.kind] = tally.get((space, held.kind), 0) - 1
                if held.text is not None:
                    gone.append((row, held.text))
            if not record.deleted:
                tally[space, record.kind] = tally.get((space, record.kind), 0) + 1
                if record.text:
                    texts.append((row, record.text))
            name = names[version.writer]
            columns = (
                row, space, key[1], time_hlc, numbers[version.writer], sequence, change,
                *record.body,
                checksum(record.upper, record.low, (row, change), (time_hlc, sequence), name),
            )  # fmt: skip
            (fresh if held is None else replaced).append(columns)
        if self.words_in_file:
            keywords.forget(self.connection, gone)
        self._insert(fresh, "")
        self._insert(replaced, _UPDATE)
        if self.words_in_file:
            keywords.enter(self.connection, texts)
        self._count(rows, tally)
        set_state(self.connection, last_change=change, last_hlc=self.clock.last)

    def _insert(self, rows: list[tuple[Any, ...]], clause: str) -> None:
        for part in in_parts(rows, _WRITTEN_TOGETHER):
            statement = _INSERT + ", ".join([_ROW] * len(part)) + clause
            self.connection.execute(statement, tuple(chain.from_iterable(part)))

    def _count(self, rows: Mapping[int, int], tally: Mapping[tuple[int, int], int]) -> None:
        spaces = {space for space, _ in tally} | {self.spaces[x] for x, _ in self._staged}
        self.connection.executemany(
            "UPDATE namespaces SET rows=? WHERE number=?", [(rows[x], x) for x in spaces]
        )
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
