"""Records that are known but not durable yet, searched beside the index."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from cellhive.core.ports import RecordLog
from cellhive.core.records import Metric, Namespace, Record, Rows
from cellhive.core.types import Bools, Floats32
from cellhive.memory.filters import Condition, matches

from .index import VectorIndex
from .scan import nearest_of


class Tail:
    """The noted records of a namespace, the latest of each id."""

    def __init__(self, space: Namespace, log: RecordLog) -> None:
        """Begin empty."""
        self._space, self._log = space, log
        self._records: dict[str, Record] = {}
        self._changes = 0
        """Counts changes of the records."""
        self._view: tuple[int, tuple[Record, ...], Floats32] = (0, (), np.empty((0, 0), np.float32))
        """At which change, records with a vector that are not deleted, vectors as compared."""

    def __bool__(self) -> bool:
        """Return whether anything is noted."""
        return bool(self._records)

    def note(self, records: Sequence[Record]) -> None:
        """Take stamped records in, unless something later of an id is known."""
        fresh = [record.id for record in records if record.id not in self._records]
        durable = dict(zip(fresh, self._log.get(self._space.name, fresh), strict=True))
        for record in records:
            known = self._records.get(record.id) or durable.get(record.id)
            if known is None or known.version < record.version:
                self._records[record.id] = record
        self._changes += 1

    def forget_known(self) -> None:
        """Drop what the log has by now."""
        if not self._records:
            return
        seen = self._log.seen()
        open_ = {name: record for name, record in self._records.items()
                 if record.version.sequence > seen.get(record.version.writer, 0)}  # fmt: skip
        durable = self._log.get(self._space.name, list(open_))
        self._records = {
            name: record
            for (name, record), known in zip(open_.items(), durable, strict=True)
            if known is None or known.version < record.version
        }
        self._changes += 1

    def _look(self) -> tuple[tuple[Record, ...], Floats32]:
        """Return what can be found and its vectors, made anew where records have changed.

        Many threads may look while one notes: each gets what was there when it began.
        """
        changes, (at, shown, vectors) = self._changes, self._view
        if at == changes:
            return shown, vectors
        shown = tuple(record for record in dict(self._records).values()
                      if record.vector is not None and not record.deleted)  # fmt: skip
        vectors = np.array([record.vector for record in shown], np.float32)
        vectors = vectors.reshape(len(shown), self._space.dimension)
        if self._space.metric is Metric.COSINE and shown:
            vectors = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
        self._view = changes, shown, vectors
        return shown, vectors

    def searched(
        self,
        queries: Floats32,
        k: int,
        condition: Condition | None,
        index: VectorIndex,
        mask: Bools | None,
    ) -> tuple[Rows, Floats32, tuple[Record, ...]]:
        """Return what index and tail have to offer together.

        Args:
            queries: Validated, (B, D).
            k: How many.
            condition: Which noted records may be found.
            index: Of the durable records.
            mask: Which of those may be found, by row.

        Returns:
            Rows and scores, (B, k), and the records that rows from -2 downwards mean.
        """
        shown, vectors = self._look()
        replaced = dict(self._records)
        durable, near = index.search(queries, k + len(replaced), mask)
        allowed = np.array([condition is None or matches(condition, record) for record in shown])
        own = -2 - np.arange(len(shown))
        rows = np.full((len(queries), k), -1, np.int64)
        scores = np.full((len(queries), k), -np.inf, np.float32)
        for b, query in enumerate(queries):
            valid = np.flatnonzero(durable[b] >= 0)
            records = self._log.read(self._space.name, durable[b, valid])
            kept = [place for place, record in zip(valid, records, strict=True)
                    if record is not None and record.id not in replaced]  # fmt: skip
            turned = query
            if self._space.metric is Metric.COSINE:
                turned = query / np.linalg.norm(query)
            beside = nearest_of(turned, vectors, self._space.metric)
            every = np.concatenate([durable[b, kept], own[allowed]] if shown
                                   else [durable[b, kept]])  # fmt: skip
            value = np.concatenate([near[b, kept], beside[allowed]] if shown
                                   else [near[b, kept]])  # fmt: skip
            order = np.argsort(-value, kind="stable")[:k]
            rows[b, : len(order)], scores[b, : len(order)] = every[order], value[order]
        return rows, scores, shown
