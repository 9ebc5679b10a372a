"""The memory: records found by what they resemble, say and were, over a log that is the truth."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from msgspec import structs

from cellhive.core.errors import BadInput, NotFound
from cellhive.core.ports import DerivedFiles, RecordLog
from cellhive.core.records import (
    NOT_WRITTEN,
    Namespace,
    Record,
    RecordKind,
    Rows,
    Storage,
    Version,
    buried,
)
from cellhive.core.types import Bools, Floats32

from .checks.validation import check_k, check_namespace, check_queries, check_records
from .filters import Condition, matches, parse
from .indexes.columns import Columns
from .indexes.index import IndexSettings, VectorIndex
from .indexes.tail import Tail
from .ranking import Candidate, Ranking, contributions, fused, ordered, similarities

_PAGE = 8_192
_SPOT_CHECKS = 16


@dataclass(frozen=True, slots=True, eq=False)
class Hits:
    """What a batch of ``B`` searches found, nearest first."""

    namespace: str
    rows: Rows
    """Row of each hit, (B, k); -1 where fewer than k records matched, and from -2 downwards
    for records that were noted and have no row yet."""
    scores: Floats32
    """Nearness under the metric of the namespace, higher is nearer, (B, k)."""
    log: RecordLog = field(repr=False)
    noted: tuple[Record, ...] = ()
    """Records without a row; row -2 is the first of them."""

    def records(self, query: int = 0) -> list[Record]:
        """Return the records one query of the batch found, read from the log now."""
        return [record for record, _ in self.pairs(query)]

    def ids(self, query: int = 0) -> list[str]:
        """Return the ids one query of the batch found."""
        return [record.id for record, _ in self.pairs(query)]

    def pairs(self, query: int = 0) -> list[tuple[Record, float]]:
        """Return the records one query of the batch found, with their scores."""
        rows = self.rows[query]
        found = iter(self.log.read(self.namespace, rows[rows >= 0]))
        records = [self.noted[-2 - row] if row < -1 else next(found) for row in rows if row != -1]
        scores = [float(score) for row, score in zip(rows, self.scores[query], strict=True)
                  if row != -1]  # fmt: skip
        return [(record, score) for record, score in zip(records, scores, strict=True)
                if record is not None]  # fmt: skip


@dataclass(frozen=True, slots=True, eq=False)
class Match:
    """One record found."""

    record: Record
    score: float
    """What the results are ordered by, higher is better."""
    similarity: float | None = None
    """Nearness under the metric of the namespace; None without a vector on either side."""
    contributions: Mapping[str, float] = field(default_factory=dict)
    """Part of each named feature in the similarity; they add up to it. Empty without names."""


@dataclass(slots=True)
class _Room:
    """What this process has derived from one namespace of the log."""

    space: Namespace
    index: VectorIndex
    columns: Columns
    tail: Tail
    checked: int = -1
    """Number of the log's last change when the log was last asked."""


class Memory:
    """Records over a log, searchable by vector, words and metadata.

    Any number of threads may search while one writes, if a lock is given: it is held while
    changes are taken in from the log, not while searching. What other processes have written
    is seen by the next search.
    """

    def __init__(
        self,
        log: RecordLog,
        files: DerivedFiles | None = None,
        *,
        settings: IndexSettings | None = None,
        lock: AbstractContextManager[Any] | None = None,
    ) -> None:
        """Open a memory.

        Args:
            log: The truth.
            files: Where indexes are kept between starts; None keeps them in memory only.
            settings: When indexes change their ways.
            lock: Something like ``threading.RLock()``; needed when threads share the memory.
        """
        self.log = log
        self._files = files
        self._settings = settings
        self._lock = lock or nullcontext()
        self._rooms: dict[str, _Room] = {}
        self._spaces: dict[str, Namespace] = {}

    # ------------------------------------------------------------------ writing and reading

    def declare(self, namespace: Namespace) -> None:
        """Declare a namespace; raise Conflict where it exists and differs."""
        check_namespace(namespace)
        self.log.declare(namespace)

    def add(self, records: Sequence[Record]) -> list[Version]:
        """Write records that must be new; return their versions once they are durable."""
        self._check(records)
        return self.log.put(records, new=True)

    def upsert(self, records: Sequence[Record]) -> list[Version]:
        """Write records over what is there; return their versions once they are durable."""
        self._check(records)
        return self.log.put(records)

    def delete(self, namespace: str, ids: Sequence[str]) -> int:
        """Delete records by id; return how many were there."""
        self._space(namespace)
        found = [record for record in self.log.get(namespace, ids) if record is not None]
        tombstones = {
            record.id: structs.replace(buried(record), version=NOT_WRITTEN) for record in found
        }
        self.log.put(list(tombstones.values()))
        return len(tombstones)

    def get(self, namespace: str, ids: Sequence[str]) -> list[Record | None]:
        """Return records by id; None for what is not there."""
        self._space(namespace)
        return self.log.get(namespace, ids)

    def scan(
        self, namespace: str, *, kind: RecordKind | None = None, after_row: int = 0, limit: int
    ) -> tuple[Rows, list[Record]]:
        """Return records in order of their rows, at most ``limit``."""
        self._space(namespace)
        return self.log.scan(namespace, kind=kind, after_row=after_row, limit=limit)

    def count(
        self,
        namespace: str,
        *,
        kind: RecordKind | None = None,
        where: Mapping[str, Any] | None = None,
    ) -> int:
        """Return how many records there are, or how many fulfil a filter."""
        condition = parse(where, kind)
        if not where or condition is None:
            self._space(namespace)
            return self.log.count(namespace, kind=kind)
        room = self._caught_up(namespace)
        with self._lock:
            return int(room.columns.mask(condition).sum())

    def note(self, records: Sequence[Record], *, checked: bool = False) -> None:
        """Make records that carry a version searchable before they are durable.

        They are forgotten once the log has them, or something later of the same id.
        ``checked`` says that they are known to be valid in their namespaces.
        """
        if not checked:
            self._check(records)
        with self._lock:
            for namespace in {record.namespace: None for record in records}:
                self._room(namespace).tail.note([x for x in records if x.namespace == namespace])

    # ------------------------------------------------------------------ searching

    def search(
        self,
        namespace: str,
        vectors: Floats32,
        k: int,
        *,
        where: Mapping[str, Any] | None = None,
        kind: RecordKind | None = None,
    ) -> Hits:
        """Return the k nearest records of each query.

        Args:
            namespace: Where to look.
            vectors: One query, (D,), or a batch, (B, D).
            k: How many; fewer are returned only where fewer match.
            where: A filter, see ``filters``.
            kind: Of records to look at; None for all.

        Raises:
            NotFound: The namespace is not declared.
            BadInput: A query, k or the filter is not what it should be.
        """
        room = self._caught_up(namespace)
        queries, k = check_queries(vectors, room.space), check_k(k)
        condition = parse(where, kind) if where or kind else None
        mask = self._mask(room, condition)
        if room.tail:
            rows, scores, noted = room.tail.searched(queries, k, condition, room.index, mask)
            return Hits(namespace, rows, scores, self.log, noted)
        rows, scores = room.index.search(queries, k, mask)
        return Hits(namespace, rows, scores, self.log)

    def find(  # noqa: PLR0913  # each is one question, all but the first by name
        self,
        namespace: str,
        *,
        vector: Floats32 | None = None,
        text: str = "",
        k: int = 10,
        where: Mapping[str, Any] | None = None,
        kind: RecordKind | None = None,
        ranking: Ranking | None = None,
    ) -> list[Match]:
        """Return the k records that fit best, by vector, words, age, outcome and diversity.

        With a vector and words the two orders are fused by reciprocal rank. Age, outcome and
        diversity order a pool of the best by these (``Ranking.pool``).

        Args:
            namespace: Where to look.
            vector: What the situation looks like, (D,).
            text: Words; a record with any of them is a candidate.
            k: How many.
            where: A filter, see ``filters``.
            kind: Of records to look at; None for all.
            ranking: How to order; by nearness alone where None.

        Raises:
            BadInput: Neither a vector nor words are given, or something is not right with them.
        """
        ranking, k = ranking or Ranking(), check_k(k)
        if vector is None and not text.strip():
            raise BadInput(expected="a vector or words", found="neither", place="find")
        room = self._caught_up(namespace)
        plain = ranking == Ranking()
        pool = ranking.pool or (k if plain and not text.strip() else max(5 * k, 50))
        lists: list[list[tuple[Record, float]]] = []
        query = None
        if vector is not None:
            query = check_queries(vector, room.space)[0]
            hits = self.search(namespace, query, max(pool, k), where=where, kind=kind)
            lists.append(hits.pairs())
        if text.strip():
            lists.append(self._worded(room, text, max(pool, k), parse(where, kind)))
        candidates = _candidates(lists, query, room.space)
        return [_match(candidate, query, room.space)
                for candidate in ordered(candidates, k, ranking, room.space.metric)]  # fmt: skip

    def _worded(
        self, room: _Room, text: str, limit: int, condition: Condition | None
    ) -> list[tuple[Record, float]]:
        """Return records with the words, best first; ask for more where a filter takes many."""
        asked = limit
        while True:
            rows, scores = self.log.keyword(room.space.name, text, asked)
            records = self.log.read(room.space.name, rows)
            found = [
                (record, float(score)) for record, score in zip(records, scores, strict=True)
                if record is not None and (condition is None or matches(condition, record))
            ]  # fmt: skip
            if len(found) >= limit or len(rows) < asked:
                return found[:limit]
            asked *= 4

    # ------------------------------------------------------------------ indexes

    def index(self, namespace: str) -> VectorIndex:
        """Return the index of a namespace, up to date: to look at, not to change."""
        return self._caught_up(namespace).index

    def save(self) -> None:
        """Keep the indexes for the next start."""
        if self._files is None:
            return
        with self._lock:
            for name, room in self._rooms.items():
                self._files.save(_file_name(name, "index"), room.index.snapshot())

    def close(self) -> None:
        """Save the indexes and let go of them; the log stays open."""
        self.save()
        self._rooms.clear()

    def _space(self, namespace: str) -> Namespace:
        space = self._spaces.get(namespace)
        if space is None:
            self._spaces |= self.log.namespaces()  # a declaration never changes
            space = self._spaces.get(namespace)
        if space is None:
            message = f"expected a declared namespace, found {namespace!r:.90}; declare it first"
            raise NotFound(message)
        return space

    def _check(self, records: Sequence[Record]) -> None:
        check_records(records, self._space)

    def _mask(self, room: _Room, condition: Condition | None) -> Bools | None:
        if condition is None:
            return None
        with self._lock:
            return room.columns.mask(condition)

    def _caught_up(self, namespace: str) -> _Room:
        """Return what is derived from a namespace, with all that is committed taken in."""
        room = self._rooms.get(namespace)
        latest = self.log.last_change()
        if room is not None and room.checked == latest:
            return room
        with self._lock:
            room = self._room(namespace)
            if room.checked < latest:
                renewed = self._catch_up(room)
                room.checked = latest
                if renewed:
                    self._keep(room)
            return room

    def _room(self, namespace: str) -> _Room:
        room = self._rooms.get(namespace)
        if room is None:
            space = self._space(namespace)
            index = self._restored(space) or self._empty(space)
            tail = Tail(space, self.log)
            room = _Room(space, index, Columns(self.log, namespace), tail)
            self._rooms[namespace] = room
        return room

    def _catch_up(self, room: _Room) -> bool:
        """Take in what is new; return whether the index was made anew."""
        _read_on(self.log, room.index, room.columns.keep_up)
        room.tail.forget_known()
        return room.index.settle()

    def _keep(self, room: _Room) -> None:
        """Save an index just made."""
        if self._files is not None:
            self._files.save(_file_name(room.space.name, "index"), room.index.snapshot())

    def _empty(self, space: Namespace) -> VectorIndex:
        compressed = space.storage in {Storage.BINARY, Storage.PRODUCT}
        file = None
        if self._files is not None and compressed:
            file = self._files.floats(_file_name(space.name, "floats"), space.dimension)
        return VectorIndex(space, file, self._settings)

    def _restored(self, space: Namespace) -> VectorIndex | None:
        """Return the saved index of a namespace if it is one of this log."""
        if self._files is None:
            return None
        arrays = self._files.load(_file_name(space.name, "index"))
        index = self._empty(space)
        if arrays is None or not index.restore(arrays, self.log.last_change()):
            return None
        _read_on(self.log, index)
        index.settle()
        return index if self._is_true(space, index) else None

    def _is_true(self, space: Namespace, index: VectorIndex) -> bool:
        """Compare some vectors of a restored index with the log: files may be of another one."""
        if len(index) == 0:
            return True
        rows = index.sample(_SPOT_CHECKS)
        records = self.log.read(space.name, rows)
        vectors = [record.vector for record in records if record is not None]
        present = [vector for vector in vectors if vector is not None]
        if len(present) < len(rows):
            return False
        return index.holds(rows, np.array(present, np.float32))


def _read_on(
    log: RecordLog, index: VectorIndex, also: Callable[[Rows], None] = lambda rows: None
) -> None:
    """Take in every change after the last one that an index knows."""
    if len(index) == 0:
        index.reserve(log.count(index.space.name) + 1)
    while True:
        changes = log.changes(index.space.name, after=index.last, limit=_PAGE)
        index.apply(changes)
        also(changes.rows)
        if len(changes.rows) < _PAGE:
            break


def _file_name(namespace: str, what: str) -> str:
    """Return a name of letters and digits that no other namespace has."""
    return f"{what}-{hashlib.sha256(namespace.encode()).hexdigest()[:24]}"


def _candidates(
    lists: Sequence[Sequence[tuple[Record, float]]], query: Floats32 | None, space: Namespace
) -> list[Candidate]:
    """Return every record of the lists once, with its nearness and how well it fits."""
    records = {record.id: record for found in lists for record, _ in found}
    near = _similarity_by_id(list(records.values()), query, space)
    if len(lists) > 1:
        ids = list(records)
        numbers = {name: number for number, name in enumerate(ids)}
        ranks = fused([[numbers[record.id] for record, _ in found] for found in lists])
        return [Candidate(records[ids[number]], near.get(ids[number]), fit)
                for number, fit in ranks.items()]  # fmt: skip
    if query is not None:
        return [Candidate(record, score) for record, score in lists[0]]
    best = max((score for _, score in lists[0]), default=1.0)
    return [Candidate(record, None, score / best) for record, score in lists[0]]


def _similarity_by_id(
    records: Sequence[Record], query: Floats32 | None, space: Namespace
) -> dict[str, float]:
    having = [(record.id, record.vector) for record in records if record.vector is not None]
    if query is None or not having:
        return {}
    near = similarities(query, np.array([vector for _, vector in having]), space.metric)
    return {name: float(score) for (name, _), score in zip(having, near, strict=True)}


def _match(candidate: Candidate, query: Floats32 | None, space: Namespace) -> Match:
    parts: dict[str, float] = {}
    vector = candidate.record.vector
    if space.features and query is not None and vector is not None:
        shares = contributions(query, vector, space.metric)
        parts = {name: float(share) for name, share in zip(space.features, shares, strict=True)}
    return Match(candidate.record, candidate.score, candidate.similarity, parts)
