"""Many records of one kind of frame, column by column.

Records of one namespace, writer and origin, with vectors of one dimension and no tombstone
among them, as most batches are. Their vectors are one array, and each other value of all of
them lies together, so that neither end works record by record.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate, pairwise, repeat
from typing import Annotated, NamedTuple, cast

import msgspec
import numpy as np

from cellhive.core.errors import ProtocolError
from cellhive.core.records import Metadata, Record, RecordKind, Version
from cellhive.core.types import Floats32
from cellhive.memory import messages as m
from cellhive.memory.batches.faults import (
    MOST_COMPONENTS,
    MOST_ID_CHARACTERS,
    MOST_METADATA_ENTRIES,
    MOST_TEXT_CHARACTERS,
    columns_are_fine,
    fault,
    together_fine,
    weight_of_columns,
)
from cellhive.memory.batches.together import Together

FEWEST = 4
"""Records from which columns are used."""
KINDS = {1: RecordKind.PATTERN, 2: RecordKind.RESULT, 3: RecordKind.ACTION,
         4: RecordKind.OUTCOME, 5: RecordKind.MODEL}  # fmt: skip
CODE_OF_KIND = {kind._value_: code for code, kind in KINDS.items()}  # an enum hashes slowly
FLOATS = np.dtype("<f4")

Id = Annotated[str, msgspec.Meta(max_length=MOST_ID_CHARACTERS)]
Text = Annotated[str, msgspec.Meta(max_length=MOST_TEXT_CHARACTERS)]
Facts = Annotated[dict[m.Name, bool | int | float | str | tuple[str, ...] | None],
                  msgspec.Meta(max_length=MOST_METADATA_ENTRIES)]  # fmt: skip

_TIMES, _NUMBERS, _SIZES = np.dtype("<f8"), np.dtype("<u8"), np.dtype("<u4")
_LIMIT = 1 << 63


class Columns(msgspec.Struct, array_like=True, gc=False):
    """Records without vectors and payloads; numbers are little-endian."""

    namespace: m.Name
    writer: m.Name
    origin: m.Name
    components: Annotated[int, msgspec.Meta(ge=1, le=MOST_COMPONENTS)]
    ids: Annotated[list[Id], msgspec.Meta(min_length=1, max_length=m.MOST_RECORDS)]
    kinds: bytes
    """One byte each."""
    payload_bytes: bytes
    """Size of each payload, unsigned, of 32 bits."""
    metadata: Annotated[list[Facts], msgspec.Meta(max_length=m.MOST_RECORDS)]
    """Empty where no record has any."""
    texts: Annotated[list[Text], msgspec.Meta(max_length=m.MOST_RECORDS)]
    """Empty where no record has one."""
    times_s: bytes
    """Floats of 64 bits."""
    times_hlc: bytes
    """Unsigned, of 64 bits, as are the sequences."""
    sequences: bytes


class Fields(NamedTuple):
    """What records hold, field by field, in the order of a record."""

    namespaces: list[str]
    ids: list[str]
    kinds: list[RecordKind]
    vectors: list[Floats32 | None]
    metadata: list[Metadata]
    texts: list[str]
    payloads: list[bytes]
    times_s: list[float]
    origins: list[str]
    versions: list[Version]
    deleted: list[bool]

    @classmethod
    def of(cls, records: Sequence[Record]) -> Fields:
        """Take records apart."""
        return cls(
            [x.namespace for x in records], [x.id for x in records], [x.kind for x in records],
            [x.vector for x in records], [x.metadata for x in records],
            [x.text for x in records], [x.payload for x in records],
            [x.time_s for x in records], [x.origin for x in records],
            [x.version for x in records], [x.deleted for x in records],
        )  # fmt: skip


Apart = tuple[Columns, bytes, list[bytes]]
"""Records as columns, their vectors and their payloads."""


def columns_of(records: Sequence[Record], *, checked: bool) -> Apart | None:
    """Return records as columns, their vectors and their payloads.

    None where they are few, not alike, or one has a fault.

    Args:
        records: At most ``MOST_RECORDS``.
        checked: Whether they are known to have no ``fault``, as those are that are ``Together``.
    """
    if not isinstance(records, Together):
        return _columns_of(records, checked=checked)
    if records.apart is None:
        records.apart = _columns_of(records, checked=True)
    return cast(Apart | None, records.apart)


def _columns_of(records: Sequence[Record], *, checked: bool) -> Apart | None:
    if len(records) < FEWEST:
        return None
    if any(x.deleted for x in records) or not _alike(records):
        return None
    if not checked and together_fine(records) is None and any(map(fault, records)):
        return None
    fields = Fields.of(records)
    times_hlc = [x.time_hlc for x in fields.versions]
    sequences = [x.sequence for x in fields.versions]
    if min(times_hlc) < 0 or max(times_hlc) >= _LIMIT:
        return None
    if min(sequences) < 0 or max(sequences) >= _LIMIT:
        return None
    vectors = cast(list[Floats32], fields.vectors)
    matrix = np.concatenate(vectors).reshape(len(records), len(vectors[0]))
    return _apart(fields, matrix, fields.versions[0].writer, times_hlc, sequences)


def set_apart(
    lot: Together, fields: Fields, matrix: Floats32, writer: str, times_hlc: Sequence[int],
    sequences: Sequence[int],
) -> None:  # fmt: skip
    """Keep with a lot what it is as columns.

    Args:
        lot: Records of one namespace, origin and writer, none of them deleted.
        fields: What they hold.
        matrix: Their vectors, (N, D).
        writer: Who wrote them.
        times_hlc: When each was written.
        sequences: Number of each write.
    """
    lot.apart = _apart(fields, matrix, writer, times_hlc, sequences)
    lot.weight_bytes = weight_of_columns(
        len(lot), matrix.nbytes + sum(map(len, fields.payloads)), fields.texts, fields.metadata
    )


def _apart(
    fields: Fields, matrix: Floats32, writer: str, times_hlc: Sequence[int],
    sequences: Sequence[int],
) -> Apart:  # fmt: skip
    metadata, texts = fields.metadata, fields.texts
    columns = Columns(
        namespace=fields.namespaces[0],
        writer=writer,
        origin=fields.origins[0],
        components=matrix.shape[1],
        ids=fields.ids,
        kinds=bytes([CODE_OF_KIND[kind._value_] for kind in fields.kinds]),
        payload_bytes=np.array([*map(len, fields.payloads)], _SIZES).tobytes(),
        metadata=metadata if any(metadata) else [],  # type: ignore[arg-type]  # encoded as it is
        texts=texts if any(texts) else [],
        times_s=np.array(fields.times_s, _TIMES).tobytes(),
        times_hlc=np.array(times_hlc, _NUMBERS).tobytes(),
        sequences=np.array(sequences, _NUMBERS).tobytes(),
    )
    return columns, matrix.astype(FLOATS, copy=False).tobytes(), fields.payloads


def records_of(columns: Columns, vectors: bytes, payloads: bytes) -> Together:
    """Return the records in columns; raise ProtocolError where they cannot be."""
    ids, count = columns.ids, len(columns.ids)
    must_match = (
        (len(columns.kinds), (count,)),
        (len(columns.payload_bytes), (4 * count,)),
        (len(columns.metadata), (0, count)),
        (len(columns.texts), (0, count)),
        (len(columns.times_s), (8 * count,)),
        (len(columns.times_hlc), (8 * count,)),
        (len(columns.sequences), (8 * count,)),
        (len(vectors), (4 * count * columns.components,)),
    )
    sizes = [found for found, _ in must_match]
    if any(found not in expected for found, expected in must_match):
        raise ProtocolError(expected=f"columns of {count} records", found=f"sizes {sizes}")
    ends = [0, *accumulate(np.frombuffer(columns.payload_bytes, _SIZES).tolist())]
    if ends[-1] != len(payloads):
        raise ProtocolError(
            expected=f"{ends[-1]} bytes of payloads", found=f"{len(payloads)}"
        )  # fmt: skip
    loose = [payloads[a:b] for a, b in pairwise(ends)] if payloads else []
    if not set(columns.kinds) <= KINDS.keys():
        raise ProtocolError(expected="records of known kinds", found=str(set(columns.kinds)))
    matrix = np.frombuffer(vectors, FLOATS).reshape(count, columns.components)
    if matrix.dtype != np.float32:
        matrix = matrix.astype(np.float32)
    times_s: list[float] = np.frombuffer(columns.times_s, _TIMES).tolist()
    metadata = columns.metadata or [{} for _ in ids]
    versions = map(
        Version, np.frombuffer(columns.times_hlc, _NUMBERS).tolist(), repeat(columns.writer),
        np.frombuffer(columns.sequences, _NUMBERS).tolist(),
    )  # fmt: skip
    records = Together(map(
        Record, repeat(columns.namespace), ids, map(KINDS.__getitem__, columns.kinds), matrix,
        metadata, columns.texts or repeat(""), loose or repeat(b""), times_s,
        repeat(columns.origin), versions, repeat(False),
    ))  # fmt: skip
    if not _surely_fine(columns, matrix, metadata, times_s):
        for record in records:
            if found := fault(record):
                raise ProtocolError(expected="a record that replicas can take", found=found)
    records.apart = columns, vectors, loose
    records.weight_bytes = weight_of_columns(
        count, len(vectors) + len(payloads), columns.texts, columns.metadata
    )
    return records


class Outline(NamedTuple):
    """What records in columns are as a whole: consecutive writes of one writer."""

    namespace: str
    writer: str
    components: int
    first: int
    """Number of the first write."""
    time_hlc: int
    """The latest of their times."""
    directed: bool
    """Whether no vector is all zeros."""


def outline(records: Sequence[Record]) -> Outline | None:
    """Return what records are as a whole; None where they came in no columns, or are no run."""
    if not isinstance(records, Together) or records.apart is None:
        return None
    columns, floats, _ = cast(Apart, records.apart)
    numbers = np.frombuffer(columns.sequences, _NUMBERS)
    if not (numbers[1:] - numbers[:-1] == 1).all():
        return None
    matrix = np.frombuffer(floats, FLOATS).reshape(len(records), columns.components)
    return Outline(
        columns.namespace, columns.writer, columns.components, int(numbers[0]),
        int(np.frombuffer(columns.times_hlc, _NUMBERS).max()),
        bool(matrix[:, 0].all() or matrix.any(axis=1).all()),
    )  # fmt: skip


def _surely_fine(
    columns: Columns, matrix: Floats32, metadata: Sequence[Facts], times_s: Sequence[float]
) -> bool:
    """Whether no record in columns has a fault; False is no proof. Payloads fit their frame."""
    numbers = np.frombuffer(columns.times_hlc + columns.sequences, _NUMBERS)
    words = (columns.namespace, columns.origin, columns.writer)
    return (
        int(numbers.max()) < _LIMIT
        and columns_are_fine(words, columns.ids, metadata, columns.texts, (), times_s)
        and bool(np.isfinite(matrix).all())
    )


def _alike(records: Sequence[Record]) -> bool:
    """Whether checked records can be columns: of one name, one origin, one writer, one shape."""
    first = records[0]
    origin, space, writer = first.origin, first.namespace, first.version.writer
    return (
        all(x.namespace == space and x.origin == origin for x in records)
        and all(x.version.writer == writer for x in records)
        and len({None if x.vector is None else len(x.vector) for x in records}) == 1
        and first.vector is not None
    )
