"""The memory: records that can be found by what they resemble, over a log that is the truth."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from cellhive.core.errors import BadInput, NotFound
from cellhive.core.ports import DerivedFiles, RecordLog
from cellhive.core.records import Metric, Namespace, Record, RecordKind, Rows, Version
from cellhive.core.types import Floats32

_PAGE = 4096


@dataclass(frozen=True, slots=True, eq=False)
class Hits:
    """What a batch of ``B`` searches found, nearest first."""

    namespace: str
    rows: Rows
    """Row number of each hit, (B, k); -1 where fewer than k records matched."""
    scores: Floats32
    """Nearness under the metric of the namespace, higher is nearer, (B, k)."""
    log: RecordLog

    def records(self, query: int = 0) -> list[Record]:
        """Return the records one query of the batch found, read from the log."""
        rows = self.rows[query]
        found = self.log.read(self.namespace, rows[rows >= 0])
        return [record for record in found if record is not None]

    def ids(self, query: int = 0) -> list[str]:
        """Return the ids one query of the batch found."""
        return [record.id for record in self.records(query)]


@dataclass(frozen=True, slots=True, eq=False)
class Match:
    """One record found."""

    record: Record
    score: float
    """What the results are ordered by, higher is better."""
    similarity: float | None = None
    """Nearness under the metric of the namespace; None without a query vector."""
    contributions: Mapping[str, float] | None = None
    """Share of each named feature in the similarity; they add up to it."""


class Memory:
    """Records over a log, searchable by vector, words and metadata.

    For one thread; committed writes of other processes are seen by the next search.
    """

    def __init__(self, log: RecordLog, files: DerivedFiles | None = None) -> None:
        """Open a memory.

        Args:
            log: The truth.
            files: Where indexes are kept between starts; None keeps them in memory only.
        """
        self.log = log
        self._files = files
        self._noted: dict[tuple[str, str], Record] = {}

    def declare(self, namespace: Namespace) -> None:
        """Declare a namespace; raise Conflict where it exists and differs."""
        self.log.declare(namespace)

    def add(self, records: Sequence[Record]) -> list[Version]:
        """Write records that must be new; return their versions once they are durable."""
        return self.log.put(records, new=True)

    def upsert(self, records: Sequence[Record]) -> list[Version]:
        """Write records over what is there; return their versions once they are durable."""
        return self.log.put(records)

    def delete(self, namespace: str, ids: Sequence[str]) -> int:
        """Delete records by id; return how many were there."""
        found = [record for record in self.log.get(namespace, ids) if record is not None]
        self.log.put([Record(namespace, record.id, record.kind, deleted=True) for record in found])
        return len(found)

    def get(self, namespace: str, ids: Sequence[str]) -> list[Record | None]:
        """Return records by id; None for what is not there."""
        return self.log.get(namespace, ids)

    def scan(
        self, namespace: str, *, kind: RecordKind | None = None, after_row: int = 0, limit: int
    ) -> tuple[Rows, list[Record]]:
        """Return records in order of their rows, at most ``limit``."""
        return self.log.scan(namespace, kind=kind, after_row=after_row, limit=limit)

    def count(self, namespace: str, *, kind: RecordKind | None = None) -> int:
        """Return how many records there are."""
        return self.log.count(namespace, kind=kind)

    def note(self, records: Sequence[Record]) -> None:
        """Make records that carry a version searchable before they are durable."""
        for record in records:
            known = self._noted.get(record.key)
            if known is None or known.version < record.version:
                self._noted[record.key] = record

    def search(
        self,
        namespace: str,
        vectors: Floats32,
        k: int,
        *,
        where: Mapping[str, Any] | None = None,
        kind: RecordKind | None = None,
    ) -> Hits:
        """Return the k nearest records of each query, (B, D) or (D,)."""
        space = self._space(namespace)
        if where:
            raise BadInput(expected="no filter yet", found="one", place="where")
        queries = np.atleast_2d(np.asarray(vectors, np.float32))
        rows, stored = self._vectors(namespace, kind)
        scores = _scores(queries, stored, space.metric)
        best = np.argsort(-scores, axis=1, kind="stable")[:, :k]
        shape = (len(queries), k)
        out, values = np.full(shape, -1, np.int64), np.full(shape, -np.inf, np.float32)
        out[:, : best.shape[1]] = rows[best]
        values[:, : best.shape[1]] = np.take_along_axis(scores, best, axis=1)
        return Hits(namespace, out, values, self.log)

    def find(
        self,
        namespace: str,
        *,
        vector: Floats32 | None = None,
        k: int = 10,
        kind: RecordKind | None = None,
    ) -> list[Match]:
        """Return the records that fit best."""
        if vector is None:
            raise BadInput(expected="a vector", found="none", place="find")
        hits = self.search(namespace, vector, k, kind=kind)
        return [
            Match(record, float(score), float(score))
            for record, score in zip(hits.records(), hits.scores[0], strict=False)
        ]

    def save(self) -> None:
        """Keep the indexes for the next start."""

    def close(self) -> None:
        """Let go of the indexes; the log stays open."""

    def _space(self, namespace: str) -> Namespace:
        spaces = self.log.namespaces()
        if namespace not in spaces:
            message = f"expected a declared namespace, found {namespace!r}; declare it first"
            raise NotFound(message)
        return spaces[namespace]

    def _vectors(self, namespace: str, kind: RecordKind | None) -> tuple[Rows, Floats32]:
        rows: list[int] = []
        vectors: list[Floats32] = []
        after = 0
        while True:
            page, records = self.log.scan(namespace, kind=kind, after_row=after, limit=_PAGE)
            if not records:
                break
            after = int(page[-1])
            for row, record in zip(page, records, strict=True):
                if record.vector is not None:
                    rows.append(int(row))
                    vectors.append(record.vector)
        dimension = self._space(namespace).dimension
        stacked = np.array(vectors, np.float32).reshape(len(vectors), dimension)
        return np.array(rows, np.int64), stacked


def _scores(queries: Floats32, stored: Floats32, metric: Metric) -> Floats32:
    if metric is Metric.L2:
        squares: Floats32 = ((queries[:, None, :] - stored[None, :, :]) ** 2).sum(axis=2)
        return -squares
    if metric is Metric.COSINE:
        queries = queries / np.linalg.norm(queries, axis=1, keepdims=True)
        stored = stored / np.linalg.norm(stored, axis=1, keepdims=True)
    products: Floats32 = queries @ stored.T
    return products
