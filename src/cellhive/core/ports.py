"""All that CellHive asks of the world outside, one Protocol each."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from cellhive.core.errors import CellHiveError
from cellhive.core.models import AliasMove, ModelManifest, Tensors
from cellhive.core.records import Changes, Delta, Namespace, Record, RecordKind, Rows, Version
from cellhive.core.types import Floats32, KpiFrame, Network, Parameters, Plan


class RadioNetwork(Protocol):
    """A network that can be observed and changed: the twin, recorded files, a live one."""

    @property
    def network(self) -> Network:
        """Sites, sectors and relations."""
        ...

    def observe(self) -> KpiFrame:
        """Return the next reporting period, waiting for it or simulating it."""
        ...

    def parameters(self) -> Parameters:
        """Read the parameters back as the network holds them now."""
        ...

    def apply(self, plan: Plan) -> None:
        """Apply every change of a plan, or raise and apply none."""
        ...


Observer = Callable[[object], None]
"""Where algorithms report frozen events; logging and views subscribe."""


class RecordLog(Protocol):
    """The truth of a memory: what has been written, durable, in order.

    Indexes are derived from it and can be made again. Several processes may have one log
    open; each has a ``writer`` of its own. Every method may be called from any thread.
    """

    @property
    def writer(self) -> str:
        """Name of this opening of the log, ``node~epoch``, never used before."""
        ...

    def namespaces(self) -> Mapping[str, Namespace]:
        """Return what is declared, by name."""
        ...

    def declare(self, namespace: Namespace) -> None:
        """Declare a namespace; raise Conflict where it exists and differs."""
        ...

    def put(self, records: Sequence[Record], *, new: bool = False) -> list[Version]:
        """Write records and tombstones and return their versions once they are durable.

        Records without a version are stamped here and replace what they find. Records with
        a version, from other replicas, replace only what is older; else they change nothing
        but count as seen. BadInput where such a version's time is so far ahead of the wall
        clock that it would drag this log's own times along; old ones are always taken.

        Args:
            records: Records of declared namespaces, already validated.
            new: Raise Conflict, and write nothing, where a record of that id exists.
        """
        ...

    def submit(self, records: Sequence[Record]) -> Future[list[Version]]:
        """Queue what ``put`` would write; writes that wait together share one disk sync."""
        ...

    def get(self, namespace: str, ids: Sequence[str]) -> list[Record | None]:
        """Return records by id; None for what is not there or deleted."""
        ...

    def read(self, namespace: str, rows: Rows) -> list[Record | None]:
        """Return records by row; None for what is deleted."""
        ...

    def scan(
        self, namespace: str, *, kind: RecordKind | None = None, after_row: int = 0, limit: int
    ) -> tuple[Rows, list[Record]]:
        """Return records that are not deleted in order of their rows, at most ``limit``."""
        ...

    def count(self, namespace: str, *, kind: RecordKind | None = None) -> int:
        """Return how many records are not deleted."""
        ...

    def last_change(self) -> int:
        """Return the number of the last change by any process, cheaply."""
        ...

    def changes(self, namespace: str, *, after: int, limit: int) -> Changes:
        """Return what changed after a change number, each row once, as it stands now."""
        ...

    def keyword(self, namespace: str, text: str, limit: int) -> tuple[Rows, Floats32]:
        """Return rows whose text has the words, best first, and their scores (higher is better)."""
        ...

    def seen(self) -> Mapping[str, int]:
        """Return the version vector: writer to highest sequence up to which all is known."""
        ...

    def since(self, known: Mapping[str, int], *, limit: int) -> Delta:
        """Return what a replica lacks that has seen ``known``, at most ``limit`` records.

        Records come by writer and sequence, each at its latest version. What arrived before an
        earlier write of its writer, beyond a gap, comes after all the others, as far as there
        is room: it is not covered, so it comes again, and ``complete`` does not wait for it.
        """
        ...

    def absorb(self, delta: Delta) -> Future[int]:
        """Take a delta of another replica: its records and what they cover, in one commit.

        The result counts the records that replaced something older or were not there.
        BadInput where a record has no version, or one too far ahead as for ``put``.
        """
        ...

    def close(self) -> None:
        """Finish what is queued and let go."""
        ...


class DerivedFiles(Protocol):
    """Where an index is kept between starts; may be lost at any time, and is never the truth."""

    def load(self, name: str) -> Mapping[str, npt.NDArray[Any]] | None:
        """Return saved arrays, mapped from disk; None where missing, damaged or half written."""
        ...

    def save(self, name: str, arrays: Mapping[str, npt.NDArray[Any]]) -> None:
        """Replace what is saved under a name, at once or not at all."""
        ...

    def floats(self, name: str, dimension: int) -> VectorFile:
        """Open a file of float32 vectors: only those asked for come into memory."""
        ...


class VectorFile(Protocol):
    """Vectors on disk, by row: read by mapping, so that only what is touched is in memory."""

    def write(self, rows: Rows, vectors: Floats32) -> None:
        """Store vectors, (N, D), at their rows; the file grows as needed."""
        ...

    def take(self, rows: Rows) -> npt.NDArray[np.float32]:
        """Return vectors at rows, (N, D)."""
        ...


class ModelSource(Protocol):
    """Where trained models are read from. Every method may be called from any thread."""

    def names(self) -> list[str]:
        """Return the names of all models, in order."""
        ...

    def models(self, unreadable: list[CellHiveError] | None = None) -> list[ModelManifest]:
        """Return every version, by name and then by version.

        Args:
            unreadable: Takes what is wrong with those that cannot be read; without it the
                first of them is an error.
        """
        ...

    def aliases(self, name: str) -> Mapping[str, int]:
        """Return version by alias; empty where there is no such model."""
        ...

    def manifest(self, name: str, which: int | str) -> ModelManifest:
        """Return the manifest of a version or alias; NotFound where there is none."""
        ...

    def get(self, name: str, which: int | str) -> tuple[ModelManifest, Tensors]:
        """Return manifest and tensors of a version or alias.

        NotFound where there is none; BadInput where a file is not as it was written.
        """
        ...


class ModelStore(ModelSource, Protocol):
    """Where trained models are kept: versions that never change, and aliases that move.

    Several processes may have one store open; readers see all of a version or nothing of it.
    """

    def add(self, manifest: ModelManifest, tensors: Tensors, *, alias: str = "") -> int:
        """Keep a new version and return its number, once it is durable.

        Args:
            manifest: With version 0; the store fills in version, time, digest and size.
            tensors: As the manifest lists them.
            alias: Set to it in the same step; the rules for aliases apply.
        """
        ...

    def set_alias(
        self, name: str, alias: str, version: int, *, before: int | None = None, reason: str = ""
    ) -> AliasMove:
        """Point an alias at a version; 0 takes it away.

        Conflict where the alias is not at ``before``, if that is given (0: nowhere), or where
        the version may not be champion and no reason is given. NotFound where there is no such
        version.
        """
        ...

    def history(self, name: str) -> list[AliasMove]:
        """Return how the aliases of a model were set, oldest first."""
        ...

    def remove(self, name: str, version: int) -> None:
        """Forget a version that no alias points at; its number is not used again."""
        ...

    def last_change(self) -> int:
        """Return a number that grows with every change by any process, cheaply."""
        ...

    def close(self) -> None:
        """Let go."""
        ...
