"""Records as JSON lines, one a line: what people write by hand and what scripts exchange.

    {"id": "cell-7/09:00", "vector": [0.1, 0.9], "metadata": {"region": "north"}}

Read back, a written file gives the same records to the last bit: numbers keep their type,
vectors are written as decimals that name their float32 exactly, or packed in base64. A line
``{"declare": {...}}`` declares a namespace for those after it.
"""

from __future__ import annotations

import base64
import binascii
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

import msgspec
import numpy as np

from cellhive.core.errors import BadInput
from cellhive.core.records import Metric, Namespace, Record, RecordKind, Scalar, Storage
from cellhive.core.types import Floats32

LONGEST_LINE_BYTES = 256 << 20
FIELDS = "namespace, id, kind, vector, metadata, text, payload, time_s, origin"


class _Line(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    """A record as it stands in a line."""

    id: str = ""
    namespace: str = ""
    kind: RecordKind = RecordKind.RESULT
    vector: list[float] | str | None = None
    metadata: dict[str, bool | int | float | str | list[str] | None] = msgspec.field(
        default_factory=dict
    )
    text: str = ""
    payload: str = ""
    time_s: float = 0.0
    origin: str = ""
    declare: _Declared | None = None


class _Declared(msgspec.Struct, forbid_unknown_fields=True):
    """A namespace as it stands in a line."""

    name: str
    dimension: int
    metric: Metric = Metric.COSINE
    storage: Storage = Storage.FLOAT32
    features: list[str] = msgspec.field(default_factory=list)


_DECODER = msgspec.json.Decoder(_Line)


def read_lines(
    file: BinaryIO, *, place: str, namespace: str = "", origin: str = ""
) -> Iterator[Namespace | Record]:
    """Yield what the lines of a file say, in order.

    Args:
        file: JSON lines in UTF-8; blank lines do not matter.
        place: What to call it in messages.
        namespace: Where records go that do not say it themselves.
        origin: Who remembers, for records that do not say it themselves.

    Raises:
        BadInput: A line is none of a record; the message has its number.
    """
    number = 0
    while data := file.readline(LONGEST_LINE_BYTES + 1):
        number += 1
        if not data.strip():
            continue
        where = f"{place}, line {number}"
        if len(data) > LONGEST_LINE_BYTES:
            raise BadInput(
                place=where, expected=f"at most {LONGEST_LINE_BYTES >> 20} MiB a line", found="more"
            )
        yield _parsed(data, where, namespace, origin)


def _parsed(data: bytes, where: str, namespace: str, origin: str) -> Namespace | Record:
    try:
        line = _DECODER.decode(data)
    except (msgspec.DecodeError, RecursionError, UnicodeError) as error:
        raise BadInput(
            place=where, expected=f"a JSON object with {FIELDS}", found=str(error)
        ) from error
    if line.declare is not None:
        told = line.declare
        return Namespace(told.name, told.dimension, told.metric, told.storage, tuple(told.features))
    if not line.id:
        raise BadInput(place=where, expected="an id", found="none")
    space = line.namespace or namespace
    if not space:
        raise BadInput(
            place=where, expected="a namespace", found="none",
            remedy="write it into the line, or give --namespace",
        )  # fmt: skip
    metadata: dict[str, Scalar | tuple[str, ...]] = {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in line.metadata.items()
    }
    return Record(
        namespace=space, id=line.id, kind=line.kind, vector=_vector(line.vector, where),
        metadata=metadata, text=line.text, payload=_unpacked(line.payload, f"{where}, payload"),
        time_s=line.time_s, origin=line.origin or origin,
    )  # fmt: skip


def _unpacked(text: str, where: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise BadInput(place=where, expected="base64", found=str(error)) from error


def _vector(value: list[float] | str | None, where: str) -> Floats32 | None:
    if value is None:
        return None
    if isinstance(value, str):
        data = _unpacked(value, f"{where}, vector")
        if len(data) % 4:
            raise BadInput(
                place=f"{where}, vector", expected="float32 in base64", found=f"{len(data)} bytes"
            )
        return np.frombuffer(data, "<f4").astype(np.float32)
    wide = np.array(value, np.float64)
    with np.errstate(over="ignore"):
        vector = wide.astype(np.float32)
    if not np.isfinite(vector).all():
        raise BadInput(
            place=f"{where}, vector", expected="numbers that float32 can hold",
            found=f"{wide[~np.isfinite(vector)][0]:g}",
        )  # fmt: skip
    return vector


def parse_vector(text: str, place: str) -> Floats32:
    """Return a vector written as a JSON list, or as float32 in base64 between quotes.

    Raises:
        BadInput: It is something else.
    """
    try:
        value = msgspec.json.decode(text, type=list[float] | str)
    except (msgspec.DecodeError, UnicodeError) as error:
        raise BadInput(
            place=place, expected="a JSON list of numbers such as [0.1, 0.9]", found=str(error)
        ) from error
    vector = _vector(value, place)
    if vector is None or not vector.size:
        raise BadInput(place=place, expected="at least one number", found="none")
    return vector


def write_namespace(namespace: Namespace) -> bytes:
    """Return the line that declares a namespace."""
    told = _Declared(
        namespace.name, namespace.dimension, namespace.metric, namespace.storage,
        list(namespace.features),
    )  # fmt: skip
    return msgspec.json.encode({"declare": told}) + b"\n"


def as_plain(record: Record, *, packed: bool = False) -> dict[str, object]:
    """Return a record as JSON has it; what is empty is left out.

    Args:
        record: The record.
        packed: Whether its vector is written in base64, in a third of the room.
    """
    vector: object = None
    if record.vector is not None:
        little = record.vector.astype("<f4")
        vector = base64.b64encode(little.tobytes()).decode() if packed else little.tolist()
    found = {
        "namespace": record.namespace,
        "id": record.id,
        "kind": record.kind.value,
        "vector": vector,
        "metadata": dict(record.metadata),
        "text": record.text,
        "payload": base64.b64encode(record.payload).decode(),
        "time_s": float(record.time_s),
        "origin": record.origin,
    }
    return {name: value for name, value in found.items() if value not in (None, "", {}, 0.0)}


def write_lines(records: Iterable[Record], *, packed: bool = False) -> Iterator[bytes]:
    """Yield the line of each record; see ``as_plain``."""
    encoder = msgspec.json.Encoder()
    for record in records:
        yield encoder.encode(as_plain(record, packed=packed)) + b"\n"


def write_lines_file(
    path: Path, namespaces: Sequence[Namespace], records: Iterable[Record], *, packed: bool = False
) -> int:
    """Write namespaces and records to a file, whole or not at all; return how many records.

    Raises:
        BadInput: The file cannot be written.
    """
    partial = path.with_name(f".{path.name}.partial")
    count = 0
    try:
        with partial.open("wb") as file:
            for namespace in namespaces:
                file.write(write_namespace(namespace))
            for count, line in enumerate(write_lines(records, packed=packed), 1):  # noqa: B007
                file.write(line)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise BadInput(
            place=str(path), expected="a path that can be written",
            found=error.strerror or str(error), remedy="make room or choose another path",
        ) from error  # fmt: skip
    return count
