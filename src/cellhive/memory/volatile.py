"""A log of records that is lost with the process: for tests and for short-lived agents.

Dictionaries only. It is for one thread: whoever shares it among threads locks around it.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from itertools import compress

import numpy as np
from msgspec import structs

from cellhive.core.errors import CellHiveError, Conflict, NotFound
from cellhive.core.records import Changes, Delta, Namespace, Record, RecordKind, Rows, Version
from cellhive.core.types import Floats32
from cellhive.memory.checks.validation import check_versions
from cellhive.memory.versions import HybridClock

_WORD = re.compile(r"\w+")
_BM25_SATURATION, _BM25_LENGTH = 1.2, 0.75
"""k1 and b of Robertson and Zaragoza (2009), as SQLite's FTS5 has them."""


@dataclass(slots=True)
class _Shelf:
    """The records of one namespace: row r is ``records[r - 1]``."""

    namespace: Namespace
    records: list[Record] = field(default_factory=list)
    row_of: dict[str, int] = field(default_factory=dict)
    changed: dict[int, int] = field(default_factory=dict)
    """Row to the number of its last change, in the order of the changes."""


@dataclass(slots=True)
class _Seen:
    """What is known of one writer: everything up to a sequence, and some beyond it."""

    upto: int = 0
    beyond: set[int] = field(default_factory=set)

    def add(self, sequence: int) -> None:
        if sequence > self.upto:
            self.beyond.add(sequence)
            self.cover(self.upto)

    def cover(self, sequence: int) -> None:
        self.upto = max(self.upto, sequence)
        while self.upto + 1 in self.beyond:
            self.upto += 1
        self.beyond = {number for number in self.beyond if number > self.upto}


class VolatileLog:
    """A RecordLog in dictionaries."""

    def __init__(
        self, writer: str = "volatile~1", *, now_ms: Callable[[], int] | None = None
    ) -> None:
        """Begin empty.

        Args:
            writer: Name of this life of this log, never used before.
            now_ms: Wall clock [ms since the epoch]; without one, versions only count, and no
                record's time is too far ahead.
        """
        self._writer = writer
        self._clock = HybridClock(now_ms or (lambda: 0))
        self._timeless = now_ms is None
        self._sequence = 0
        self._change = 0
        self._shelves: dict[str, _Shelf] = {}
        self._seen: dict[str, _Seen] = {}

    @property
    def writer(self) -> str:
        """Name of this life of this log."""
        return self._writer

    def namespaces(self) -> Mapping[str, Namespace]:
        """Return what is declared, by name."""
        return {name: shelf.namespace for name, shelf in self._shelves.items()}

    def declare(self, namespace: Namespace) -> None:
        """Declare a namespace; raise Conflict where it exists and differs."""
        shelf = self._shelves.setdefault(namespace.name, _Shelf(namespace))
        if shelf.namespace != namespace:
            message = (
                f"expected namespace {namespace.name} as it was declared, {shelf.namespace}, "
                f"found {namespace}; take another name"
            )
            raise Conflict(message)

    def put(self, records: Sequence[Record], *, new: bool = False) -> list[Version]:
        """Write records and tombstones and return their versions."""
        shelves = self._shelves_of(records)
        if new:
            self._refuse_known(records)
        versions = []
        for shelf, record in zip(shelves, records, strict=True):
            stamped = record
            if not record.version.written:
                self._sequence += 1
                version = Version(self._clock.tick(), self._writer, self._sequence)
                stamped = structs.replace(record, version=version)
            self._take(shelf, stamped)
            versions.append(stamped.version)
        return versions

    def submit(self, records: Sequence[Record]) -> Future[list[Version]]:
        """Write at once; the result is there when this returns."""
        done: Future[list[Version]] = Future()
        try:
            done.set_result(self.put(records))
        except CellHiveError as error:
            done.set_exception(error)
        return done

    def get(self, namespace: str, ids: Sequence[str]) -> list[Record | None]:
        """Return records by id; None for what is not there or deleted."""
        shelf = self._shelf(namespace)
        return [self._living(shelf, shelf.row_of.get(name, 0)) for name in ids]

    def read(self, namespace: str, rows: Rows) -> list[Record | None]:
        """Return records by row; None for what is deleted."""
        shelf = self._shelf(namespace)
        return [self._living(shelf, int(row)) for row in rows]

    def scan(
        self, namespace: str, *, kind: RecordKind | None = None, after_row: int = 0, limit: int
    ) -> tuple[Rows, list[Record]]:
        """Return records that are not deleted in order of their rows, at most ``limit``."""
        rows: list[int] = []
        records: list[Record] = []
        for row, record in self._each(namespace, kind, after_row):
            if len(rows) == limit:
                break
            rows.append(row)
            records.append(record)
        return np.array(rows, np.int64), records

    def count(self, namespace: str, *, kind: RecordKind | None = None) -> int:
        """Return how many records are not deleted."""
        return sum(1 for _ in self._each(namespace, kind, 0))

    def last_change(self) -> int:
        """Return the number of the last change."""
        return self._change

    def changes(self, namespace: str, *, after: int, limit: int) -> Changes:
        """Return what changed after a change number, each row once, as it stands now."""
        shelf = self._shelf(namespace)
        rows: list[int] = []
        for row in reversed(shelf.changed):
            if shelf.changed[row] <= after:
                break
            rows.append(row)
        rows = rows[::-1][:limit]
        dimension = shelf.namespace.dimension
        vectors = np.zeros((len(rows), dimension), np.float32)
        records = [shelf.records[row - 1] for row in rows]
        for position, record in enumerate(records):
            if record.vector is not None:
                vectors[position] = record.vector
        return Changes(
            rows=np.array(rows, np.int64),
            deleted=np.array([record.deleted for record in records], np.bool_),
            vectors=vectors,
            with_vector=np.array([record.vector is not None for record in records], np.bool_),
            last=shelf.changed[rows[-1]] if rows else after,
        )

    def keyword(self, namespace: str, text: str, limit: int) -> tuple[Rows, Floats32]:
        """Return rows whose text has any of the words, best first by BM25, and their scores."""
        wanted = set(_words(text))
        counts = {row: Counter(_words(record.text))
                  for row, record in self._each(namespace, None, 0) if record.text}  # fmt: skip
        lengths = {row: sum(words.values()) for row, words in counts.items()}
        mean = sum(lengths.values()) / max(1, len(lengths))
        scores: dict[int, float] = {}
        for word in sorted(wanted):
            having = [row for row, words in counts.items() if word in words]
            rarity = math.log(1 + (len(counts) - len(having) + 0.5) / (len(having) + 0.5))
            for row in having:
                often = counts[row][word]
                length = 1 - _BM25_LENGTH + _BM25_LENGTH * lengths[row] / mean
                gain = often * (_BM25_SATURATION + 1) / (often + _BM25_SATURATION * length)
                scores[row] = scores.get(row, 0.0) + rarity * gain
        best = sorted(scores, key=lambda row: (-scores[row], row))[:limit]
        return np.array(best, np.int64), np.array([scores[row] for row in best], np.float32)

    def seen(self) -> Mapping[str, int]:
        """Return the version vector."""
        return {writer: seen.upto for writer, seen in self._seen.items() if seen.upto}

    def since(self, known: Mapping[str, int], *, limit: int) -> Delta:
        """Return what a replica lacks, by writer and sequence, at most ``limit`` records.

        What is known beyond a gap comes last, as far as there is room, and is not covered.
        """
        covers = dict(self.seen())
        every = sorted(
            (
                record
                for shelf in self._shelves.values()
                for record in shelf.records
                if record.version.sequence > known.get(record.version.writer, 0)
            ),
            key=lambda record: (record.version.writer, record.version.sequence),
        )
        inside = [x.version.sequence <= covers.get(x.version.writer, 0) for x in every]
        lacking = list(compress(every, inside))
        beyond = [record for record, known_all in zip(every, inside, strict=True) if not known_all]
        for record in reversed(lacking[limit:]):
            writer, sequence = record.version.writer, record.version.sequence
            covers[writer] = min(covers.get(writer, 0), sequence - 1)
        covers = {
            writer: sequence
            for writer, sequence in covers.items()
            if sequence > known.get(writer, 0)
        }
        told = tuple([*lacking, *beyond][:limit])
        return Delta(told, covers, complete=len(lacking) <= limit)

    def absorb(self, delta: Delta) -> Future[int]:
        """Take a delta of another replica: its records and what they cover."""
        done: Future[int] = Future()
        try:
            shelves = self._shelves_of(delta.records)
            check_versions(delta.records)
        except CellHiveError as error:
            done.set_exception(error)
            return done
        taken = sum(
            self._take(shelf, record) for shelf, record in zip(shelves, delta.records, strict=True)
        )
        for writer, sequence in delta.covers.items():
            self._seen.setdefault(writer, _Seen()).cover(sequence)
        done.set_result(taken)
        return done

    def close(self) -> None:
        """Do nothing: there is nothing to let go."""

    def _shelf(self, namespace: str) -> _Shelf:
        shelf = self._shelves.get(namespace)
        if shelf is None:
            declared = ", ".join(sorted(self._shelves)) or "none"
            message = (
                f"expected a declared namespace ({declared}), found {namespace!r}; declare it first"
            )
            raise NotFound(message)
        return shelf

    def _shelves_of(self, records: Sequence[Record]) -> list[_Shelf]:
        """Return where each record belongs, or raise where one of them cannot be taken."""
        shelves = [self._shelf(record.namespace) for record in records]
        for record in () if self._timeless else records:
            self._clock.must_accept(record.version.time_hlc, f"{record.namespace}/{record.id}")
        return shelves

    def _refuse_known(self, records: Sequence[Record]) -> None:
        keys = {record.key for record in records}
        for record in records:
            shelf = self._shelves[record.namespace]
            if self._living(shelf, shelf.row_of.get(record.id, 0)) is not None or (
                len(keys) < len(records)
            ):
                message = (
                    f"expected new ids in {record.namespace}, found {record.id!r} there already "
                    "or twice; upsert what may exist"
                )
                raise Conflict(message)

    def _take(self, shelf: _Shelf, record: Record) -> bool:
        """Let a stamped record in if it is later than what is there; count it as seen."""
        self._clock.observe(record.version.time_hlc)
        self._seen.setdefault(record.version.writer, _Seen()).add(record.version.sequence)
        row = shelf.row_of.get(record.id, 0)
        if row and shelf.records[row - 1].version >= record.version:
            return False
        if record.vector is not None:
            kept = np.array(record.vector, np.float32)
            kept.setflags(write=False)
            record = structs.replace(record, vector=kept)
        if row:
            shelf.records[row - 1] = record
        else:
            shelf.records.append(record)
            row = shelf.row_of[record.id] = len(shelf.records)
        self._change += 1
        shelf.changed.pop(row, None)
        shelf.changed[row] = self._change
        return True

    def _each(
        self, namespace: str, kind: RecordKind | None, after_row: int
    ) -> Iterator[tuple[int, Record]]:
        shelf = self._shelf(namespace)
        for row in range(max(after_row, 0) + 1, len(shelf.records) + 1):
            record = self._living(shelf, row)
            if record is not None and kind in {None, record.kind}:
                yield row, record

    @staticmethod
    def _living(shelf: _Shelf, row: int) -> Record | None:
        if not 0 < row <= len(shelf.records):
            return None
        record = shelf.records[row - 1]
        return None if record.deleted else record


def _words(text: str) -> list[str]:
    return _WORD.findall(text.lower())
