"""The values of a run as JSON and Parquet, and back without losing a bit."""

from __future__ import annotations

import io
import zlib
from dataclasses import MISSING, fields, is_dataclass
from types import NoneType, UnionType
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

import numpy as np
import polars as pl

from cellhive.core.types import Bools, Floats32

T = TypeVar("T")

ID_COLUMN = "id"
"""First column of a table of cells or relations: what the row is about."""


def from_jsonable(kind: type[T], value: Any) -> T:
    """Return what ``core.types.to_jsonable`` made plain, as the type it was.

    Understands dataclasses, arrays, tuples of one type, dictionaries by name,
    optional values and scalars; null is NaN where a number is expected.

    Raises:
        ValueError: The value does not fit the type.
    """
    try:
        return _decode(kind, value)  # type: ignore[no-any-return]  # checked by construction
    except (TypeError, KeyError, AttributeError, OverflowError) as error:
        message = f"expected {getattr(kind, '__name__', kind)}, found something else ({error})"
        raise ValueError(message) from error


def _decode(kind: Any, value: Any) -> Any:
    origin = get_origin(kind)
    if origin in (Union, UnionType):
        return _optional(kind, value)
    if is_dataclass(kind):
        return _dataclass(kind, value)
    if origin is np.ndarray:
        dtype = get_args(get_args(kind)[1])[0]
        plain = [np.nan if item is None else item for item in value]
        return np.array(plain, dtype=dtype)
    if origin is tuple:
        _expect(value, list)
        return tuple(_decode(get_args(kind)[0], item) for item in value)
    if origin is dict:
        _expect(value, dict)
        return {str(key): _decode(get_args(kind)[1], item) for key, item in value.items()}
    return _scalar(kind, value)


def _optional(kind: Any, value: Any) -> Any:
    inner = [each for each in get_args(kind) if each is not NoneType]
    return None if value is None else _decode(inner[0], value)


def _dataclass(kind: Any, value: Any) -> Any:
    _expect(value, dict)
    hints = get_type_hints(kind)
    given = {}
    for each in fields(kind):
        if each.name in value:
            given[each.name] = _decode(hints[each.name], value[each.name])
        elif each.default is MISSING and each.default_factory is MISSING:
            raise KeyError(each.name)
    return kind(**given)


def _scalar(kind: Any, value: Any) -> Any:
    if kind is Any:
        return value
    if kind is float:
        if value is None:
            return float("nan")
        if isinstance(value, bool):
            raise TypeError(value)
        _expect(value, (int, float))
        return float(value)
    _expect(value, kind)
    return value


def _expect(value: Any, kind: Any) -> None:
    if not isinstance(value, kind):
        message = f"{value!r:.60} is not {kind}"
        raise TypeError(message)


def pack_table(
    ids: tuple[str, ...], columns: tuple[str, ...], values: Floats32, valid: Bools | None
) -> bytes:
    """Return a table of values as Parquet.

    Args:
        ids: What each row is about, length N.
        columns: Name of each column, length K.
        values: (N, K).
        valid: Which values are known, (N, K); None means all. Others become null.
    """
    series = [pl.Series(ID_COLUMN, ids, dtype=pl.String)]
    for index, name in enumerate(columns):
        column = pl.Series(name, np.ascontiguousarray(values[:, index]), dtype=pl.Float32)
        if valid is not None and not valid[:, index].all():
            column = column.scatter(np.flatnonzero(~valid[:, index]), None)
        series.append(column)
    buffer = io.BytesIO()
    pl.DataFrame(series).write_parquet(
        buffer, compression="zstd", compression_level=3, statistics=False
    )
    return buffer.getvalue()


def unpack_table(data: bytes) -> tuple[tuple[str, ...], Floats32, Bools]:
    """Return column names, values (N, K) and validity (N, K); null is NaN and not valid.

    Raises:
        ValueError: It is not such a table.
    """
    try:
        table = pl.read_parquet(io.BytesIO(data)).drop(ID_COLUMN)
    except (pl.exceptions.PolarsError, OSError) as error:
        message = f"expected a Parquet table with the column {ID_COLUMN!r}, found {error}"
        raise ValueError(message) from error
    values = np.empty((table.height, table.width), np.float32)
    valid = np.empty(values.shape, np.bool_)
    for index, column in enumerate(table.iter_columns()):
        values[:, index] = column.fill_null(np.nan).to_numpy()
        valid[:, index] = column.is_not_null().to_numpy()
    return tuple(table.columns), values, valid


def fingerprint(data: bytes) -> str:
    """Return length and checksum, by which a damaged file is told from a whole one."""
    return f"{len(data)}-{zlib.crc32(data):08x}"
