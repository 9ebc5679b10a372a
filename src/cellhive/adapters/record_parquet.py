"""Records as Parquet, for tools that read tables: one row a record, namespaces in the footer.

Read back, a file gives the same records to the last bit.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import msgspec
import numpy as np
import polars as pl

from cellhive.core.errors import BadInput, NotFound
from cellhive.core.records import Metadata, Metric, Namespace, Record, RecordKind, Storage

SCHEMA: dict[str, pl.DataType] = {
    "namespace": pl.String(), "id": pl.String(), "kind": pl.String(),
    "vector": pl.List(pl.Float32), "metadata": pl.String(), "text": pl.String(),
    "payload": pl.Binary(), "time_s": pl.Float64(), "origin": pl.String(),
}  # fmt: skip
"""Columns; metadata is a JSON object."""
FOOTER = "cellhive.namespaces"
_BATCH = 4_000


class _Space(msgspec.Struct):
    name: str
    dimension: int
    metric: Metric
    storage: Storage
    features: list[str]


def write_parquet(path: Path, namespaces: Sequence[Namespace], records: Iterable[Record]) -> int:
    """Write records to a file and return how many; all of them are in memory meanwhile.

    Raises:
        BadInput: The file cannot be written.
    """
    frames = [_frame(batch) for batch in _batches(records)]
    table = pl.concat(frames) if frames else pl.DataFrame(schema=SCHEMA)
    spaces = [
        _Space(each.name, each.dimension, each.metric, each.storage, list(each.features))
        for each in namespaces
    ]
    partial = path.with_name(f".{path.name}.partial")
    try:
        table.write_parquet(partial, metadata={FOOTER: msgspec.json.encode(spaces).decode()})
        partial.replace(path)
    except (OSError, pl.exceptions.PolarsError) as error:
        partial.unlink(missing_ok=True)
        raise BadInput(
            place=str(path), expected="a path that can be written", found=str(error)
        ) from error
    return len(table)


def _batches(records: Iterable[Record]) -> Iterator[list[Record]]:
    batch: list[Record] = []
    for record in records:
        batch.append(record)
        if len(batch) == _BATCH:
            yield batch
            batch = []
    if batch:
        yield batch


def _frame(records: list[Record]) -> pl.DataFrame:
    vectors = [
        None if r.vector is None else pl.Series(r.vector.astype(np.float32)) for r in records
    ]
    return pl.DataFrame(
        {
            "namespace": [r.namespace for r in records],
            "id": [r.id for r in records],
            "kind": [r.kind.value for r in records],
            "vector": pl.Series(vectors, dtype=pl.List(pl.Float32)),
            "metadata": [msgspec.json.encode(dict(r.metadata)).decode() for r in records],
            "text": [r.text for r in records],
            "payload": [r.payload for r in records],
            "time_s": [float(r.time_s) for r in records],
            "origin": [r.origin for r in records],
        },
        schema=SCHEMA,
    )


def read_parquet(path: Path) -> Iterator[Namespace | Record]:
    """Yield the namespaces and records of a file that ``write_parquet`` has written.

    Raises:
        NotFound: There is no such file.
        BadInput: It has other columns, or cannot be read.
    """
    if not path.exists():
        message = f"{path}: there is no such file"
        raise NotFound(message)
    try:
        footer = pl.read_parquet_metadata(path).get(FOOTER, "[]")
        schema = pl.read_parquet_schema(path)
    except (OSError, pl.exceptions.PolarsError) as error:
        raise BadInput(
            place=str(path), expected="a Parquet file of records", found=str(error)
        ) from error
    if dict(schema) != SCHEMA:
        raise BadInput(
            place=str(path), expected=f"the columns {', '.join(SCHEMA)}",
            found=", ".join(f"{name} ({kind})" for name, kind in schema.items()),
            remedy="write other tables as JSON lines; see cellhive memory add --help",
        )  # fmt: skip
    try:
        for space in msgspec.json.decode(footer, type=list[_Space]):
            yield Namespace(
                space.name, space.dimension, space.metric, space.storage, tuple(space.features)
            )
        yield from _rows(path)
    except (msgspec.DecodeError, ValueError, pl.exceptions.PolarsError) as error:
        raise BadInput(
            place=str(path), expected="records as export writes them", found=str(error)
        ) from error


def _rows(path: Path) -> Iterator[Record]:
    table = pl.read_parquet(path)
    for start in range(0, len(table), _BATCH):
        part = table.slice(start, _BATCH)
        vectors = part["vector"]
        for index, row in enumerate(part.drop("vector").iter_rows(named=True)):
            vector = vectors[index]
            yield Record(
                row["namespace"], row["id"], RecordKind(row["kind"]),
                None if vector is None else vector.to_numpy().astype(np.float32),
                _metadata(row["metadata"]), row["text"] or "", row["payload"] or b"",
                row["time_s"] or 0.0, row["origin"] or "",
            )  # fmt: skip


def _metadata(text: str | None) -> Metadata:
    facts = msgspec.json.decode(
        text or "{}", type=dict[str, bool | int | float | str | list[str] | None]
    )
    return {name: tuple(v) if isinstance(v, list) else v for name, v in facts.items()}
