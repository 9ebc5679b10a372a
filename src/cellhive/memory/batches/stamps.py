"""Versions of what is written here, before the log has it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import repeat

import numpy as np
from msgspec import structs

from cellhive.core.errors import BadInput, NotFound
from cellhive.core.records import NOT_WRITTEN, Metric, Namespace, Record, Version
from cellhive.core.types import Floats32
from cellhive.memory.batches.columns import FEWEST, Fields, set_apart
from cellhive.memory.batches.faults import columns_are_fine, fault, stacked
from cellhive.memory.batches.together import Together
from cellhive.memory.peers import misfit
from cellhive.memory.versions import HybridClock


class Stamps:
    """Stamps records as the writes of one writer."""

    def __init__(
        self, clock: HybridClock, writer: str, namespaces: Mapping[str, Namespace]
    ) -> None:
        """Begin with number 1.

        Args:
            clock: Gives the times.
            writer: Whose writes they are.
            namespaces: What is declared; looked at anew each time.
        """
        self._clock, self._writer, self._namespaces = clock, writer, namespaces
        self.sequence = 0
        """Number of the last write."""

    def stamped(self, records: Sequence[Record]) -> tuple[Record, ...]:
        """Return records with versions; many are ``Together``.

        Raises:
            BadInput: One of them cannot be kept and shared, or has a version; none is stamped.
            NotFound: A namespace is not declared.
        """
        count, first = len(records), self.sequence + 1
        if count == 1:
            return (self._one(records[0]),)
        if count < FEWEST:
            for record in records:
                self._must_fit(record)  # before any is stamped
            return tuple([self._one(record) for record in records])
        fields = Fields.of(records)
        matrix = self._fitting(fields)
        if matrix is None:
            for record in records:
                self._must_fit(record)
        times, numbers = self._clock.ticks(count), range(first, first + count)
        self.sequence += count
        versions = map(Version, times, repeat(self._writer), numbers)
        made = Together(map(Record, *fields[:-2], versions, fields.deleted))
        if matrix is not None and not any(fields.deleted):
            set_apart(made, fields, matrix, self._writer, times, numbers)
        return made

    def _one(self, record: Record) -> Record:
        """Return one record with a version: what ``stamped`` does, for the way to a search."""
        namespace = self._namespaces.get(record.namespace)
        if (
            namespace is None
            or record.version.sequence
            or fault(record)
            or misfit(record, namespace)
        ):
            self._must_fit(record)
        self.sequence += 1
        version = Version(self._clock.tick(), self._writer, self.sequence)
        return structs.replace(record, version=version)

    def _fitting(self, columns: Fields) -> Floats32 | None:
        """Return the vectors where a look at all shows that each may be written; None is no proof.

        Returned, all are of one namespace and one origin.
        """
        count, name, origin = len(columns.ids), columns.namespaces[0], columns.origins[0]
        space = self._namespaces.get(name)
        if space is None or columns.versions.count(NOT_WRITTEN) != count:
            return None
        if columns.namespaces.count(name) != count or columns.origins.count(origin) != count:
            return None
        if not columns_are_fine(
            (name, origin), columns.ids, columns.metadata, [*filter(None, columns.texts)],
            [*filter(None, columns.payloads)], columns.times_s,
        ):  # fmt: skip
            return None
        matrix = stacked(columns.vectors)
        if matrix is None or matrix.shape[1] != space.dimension:
            return None
        fits = space.metric is not Metric.COSINE or bool(np.any(matrix, axis=1).all())
        return matrix if fits else None

    def _must_fit(self, record: Record) -> None:
        namespace = self._namespaces.get(record.namespace)
        if namespace is None:
            message = f"expected a declared namespace, found {record.namespace!r}; declare it first"
            raise NotFound(message)
        found = fault(record) or misfit(record, namespace)
        if found or record.version.written:
            raise BadInput(
                expected="a record that can be kept", found=found or "one with a version",
                place=f"{record.namespace}/{record.id}",
            )  # fmt: skip
