"""What a memory holds: records of five kinds, their namespaces, and who wrote what when.

Axis letters: ``N`` records, ``D`` vector components.

Records and versions are made in C (msgspec), as there may be many: a fifth of the time of a
frozen dataclass.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

import msgspec
import numpy as np
import numpy.typing as npt
from msgspec import structs

from cellhive.core.types import Bools, Floats32

Rows = npt.NDArray[np.int64]
"""Row numbers of a log."""

Scalar = str | int | float | bool | None
PRIVACY = "privacy"
"""Name of the metadata that say who may have a record."""
SHARED, PRIVATE = "shared", "private"
"""Its values; what is private never leaves its node."""
Metadata = Mapping[str, Scalar | tuple[str, ...]]
"""Typed facts about a record, by name; a tuple holds tags."""


class RecordKind(StrEnum):
    """What a record tells of."""

    PATTERN = "pattern"
    """A situation, what was done in it, and how that went over many times."""
    RESULT = "result"
    """A measurement or an analysis."""
    ACTION = "action"
    """Something that was done."""
    OUTCOME = "outcome"
    """What became of an action."""
    MODEL = "model"
    """A trained model or its parameters."""


class Metric(StrEnum):
    """How near two vectors are; scores are higher for nearer ones under every metric."""

    COSINE = "cosine"
    """Cosine of the angle, -1 to 1."""
    INNER_PRODUCT = "inner product"
    """Sum of products."""
    L2 = "l2"
    """Minus the squared Euclidean distance."""


class Storage(StrEnum):
    """How an index keeps its vectors in memory."""

    FLOAT32 = "float32"
    FLOAT16 = "float16"
    INT8 = "int8"
    PRODUCT = "product"
    """Product quantisation: codes in memory, floats re-ranked from a mapped file."""
    BINARY = "1-bit"
    """One bit per component: codes in memory, floats re-ranked from a mapped file."""


@dataclass(frozen=True, slots=True)
class Namespace:
    """Records whose vectors can be compared with one another."""

    name: str
    dimension: int
    """Components D of every vector."""
    metric: Metric = Metric.COSINE
    storage: Storage = Storage.FLOAT32
    features: tuple[str, ...] = ()
    """Names of the components, length D; empty where they mean nothing by themselves."""


class Version(msgspec.Struct, frozen=True, order=True):
    """Which of two writes of a record is the later one, and which writes a replica has seen.

    Versions are totally ordered, so every replica picks the same winner. ``time_hlc`` is a
    hybrid logical clock (Kulkarni 2014): 48 bits of milliseconds since the epoch, then 16
    bits that count within one millisecond. ``writer`` names one life of one process
    (``node~epoch``): a writer that has crashed never writes again, so the numbers
    ``sequence`` of a writer, which rise by one with each write, are never used twice.
    """

    time_hlc: int = 0
    writer: str = ""
    sequence: int = 0

    @property
    def written(self) -> bool:
        """Whether a log has taken the record."""
        return self.sequence > 0


NOT_WRITTEN = Version()


class Record(msgspec.Struct, frozen=True, eq=False):
    """One thing remembered. A namespace and an id name it; a later version replaces it."""

    namespace: str
    id: str
    kind: RecordKind
    vector: Floats32 | None = None
    """Where it lies among its like, (D,); None for records that are found by id only."""
    metadata: Metadata = msgspec.field(default_factory=dict)
    text: str = ""
    """Words it can be found by."""
    payload: bytes = b""
    """Anything else, opaque to the memory."""
    time_s: float = 0.0
    """When what it tells of happened, seconds since the epoch or since the start of a run."""
    origin: str = ""
    """Who remembers: an agent, a region, a file it was imported from."""
    version: Version = NOT_WRITTEN
    deleted: bool = False
    """A tombstone: the record is gone, and this says so to other replicas.

    A log keeps nothing of its content but a label of privacy: see ``buried``.
    """

    @property
    def key(self) -> tuple[str, str]:
        """Namespace and id."""
        return self.namespace, self.id


def buried(record: Record) -> Record:
    """Return the tombstone of a record: no content, but who may be told that it is gone."""
    label = {name: value for name, value in record.metadata.items() if name == PRIVACY}
    return structs.replace(record, vector=None, metadata=label, text="", payload=b"", deleted=True)


@dataclass(frozen=True, slots=True)
class Changes:
    """Rows of a namespace that changed, each as it stands now, in the order of their changes."""

    rows: Rows
    """Row number of each changed record, (N,); a record keeps its row for life."""
    deleted: Bools
    """Whether the record is gone, (N,)."""
    vectors: Floats32
    """Vectors, (N, D); zeros where there is none."""
    with_vector: Bools
    """Whether the record has a vector, (N,)."""
    last: int
    """Number of the last change told of: ask for what comes after it next time."""


@dataclass(frozen=True, slots=True)
class Delta:
    """Records that another replica lacks, and what it knows once it has them all."""

    records: tuple[Record, ...]
    """Each at its latest version; tombstones included."""
    covers: Mapping[str, int]
    """Writer to sequence: with these records everything of the writer up to it is known."""
    complete: bool
    """Whether nothing is left to send."""
