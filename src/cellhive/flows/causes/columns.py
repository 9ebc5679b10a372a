"""Columns of any table: polars, pandas, or a mapping of lists, read as numbers, times, names."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from cellhive.core.errors import BadInput
from cellhive.core.types import Floats, Ints

Column = npt.NDArray[Any]

_ONE, _TABLE = 1, "a polars or pandas frame, or a mapping of columns"
_DATES = (dt.date, dt.timedelta)


def columns_of(table: Any) -> dict[str, Column]:
    """Return the columns of a table by name, all as long.

    Args:
        table: A polars or pandas frame, or a mapping of columns.

    Raises:
        BadInput: If it is no table, has no rows, or two columns have the same name.
    """
    if hasattr(table, "collect"):  # a query of polars that has not been run
        table = table.collect()
    if not hasattr(table, "columns") and not isinstance(table, Mapping):
        raise BadInput(expected=_TABLE, found=type(table).__name__)
    keys = list(table.columns) if hasattr(table, "columns") else list(table)
    names = [str(key) for key in keys]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise BadInput(
            expected="columns of different names", found=f"{', '.join(twice)} more than once",
            remedy="rename one of them, or leave it out",
        )  # fmt: skip
    columns = {name: np.asarray(table[key]) for name, key in zip(names, keys, strict=True)}
    single = [name for name, column in columns.items() if not column.ndim]
    if single:
        raise BadInput(expected=_TABLE, found=f"a single value in {single[0]!r}")
    lengths = {len(column) for column in columns.values()}
    if len(lengths) > 1:
        found = f"{min(lengths)} to {max(lengths)} rows"
        raise BadInput(expected="columns of the same length", found=found)
    if not lengths or lengths == {0}:
        raise BadInput(expected="a table with rows", found="an empty one")
    return columns


def numbers_of(columns: Mapping[str, Column]) -> tuple[dict[str, Floats], list[tuple[str, str]]]:
    """Return the columns that are numbers, NaN where missing, and the others with the reason.

    Args:
        columns: By name.
    """
    numbers: dict[str, Floats] = {}
    left_out = []
    for name, column in columns.items():
        try:
            found = _floats(column)
        except (TypeError, ValueError, OverflowError):
            left_out.append((name, "holds words, not numbers; give a column for each value"))
            continue
        if found is None or found.ndim > _ONE:
            left_out.append((name, "holds times or several values in a row, not a number"))
        else:
            numbers[name] = np.where(np.isfinite(found), found, np.nan)
    return numbers, left_out


def _floats(column: Column) -> Floats | None:
    if column.ndim > _ONE or column.dtype.kind in "MmcV":
        return None
    if column.dtype.kind != "O":
        return np.asarray(column, np.float64)
    values = [np.nan if is_missing(value) else value for value in column.tolist()]
    if any(isinstance(value, _DATES) for value in values):
        return None
    return np.asarray(values, np.float64)


def is_missing(value: object) -> bool:
    """Return whether a value stands for none: None, NaN, NaT or pandas' NA."""
    return value is None or (not isinstance(value, str) and str(value) in {"nan", "NaT", "<NA>"})


def labels_of(column: Column, name: str) -> npt.NDArray[np.str_]:
    """Return the values of a column as names.

    Args:
        column: Of words or numbers.
        name: Of the column, for what is said of it.

    Raises:
        BadInput: If one is missing.
    """
    values = column.tolist()
    _refuse_missing(sum(is_missing(value) for value in values), name)
    return np.array([str(value) for value in values])


def times_of(column: Column, name: str) -> tuple[Floats, bool]:
    """Return times as numbers that can be set in turn, and whether they are seconds since 1970.

    Args:
        column: Numbers, dates, or text as ISO 8601 writes dates; without a zone: UTC.
        name: Of the column, for what is said of it.

    Raises:
        BadInput: If one is missing or no time.
    """
    if column.dtype.kind == "M":
        _refuse_missing(int(np.isnat(column).sum()), name)
        return column.astype("datetime64[us]").astype(np.int64) / 1e6, True
    values = column.tolist()
    _refuse_missing(sum(is_missing(value) for value in values), name)
    try:
        numbers = np.array(values, np.float64)
    except (TypeError, ValueError, OverflowError):
        return np.array([_second(value, name) for value in values]), True
    _refuse_missing(int((~np.isfinite(numbers)).sum()), name)
    return numbers, False


def _second(value: object, name: str) -> float:
    try:
        moment = value if isinstance(value, dt.date) else dt.datetime.fromisoformat(str(value))
    except ValueError as problem:
        raise BadInput(
            expected=f"numbers, dates, or text such as 2026-05-01T10:00 in {name!r}",
            found=repr(value)[:60],
        ) from problem  # fmt: skip
    if not isinstance(moment, dt.datetime):
        moment = dt.datetime.combine(moment, dt.time())
    return (moment if moment.tzinfo else moment.replace(tzinfo=dt.UTC)).timestamp()


def _refuse_missing(count: int, name: str) -> None:
    if count:
        raise BadInput(
            expected=f"a value of {name!r} in every row", found=f"{count} missing",
            remedy="leave these rows out",
        )  # fmt: skip


def places_in_time(times: Floats, most_between: int) -> Ints:
    """Return the place of each time on a grid, so that a gap does not make neighbours.

    Periods are as long as most are. A gap is kept as far as it matters to lags.

    Args:
        times: Different ones, in turn.
        most_between: Empty places to leave in a gap.
    """
    apart = np.diff(times)
    if not len(apart):
        return np.zeros(len(times), np.int32)
    missing = np.clip(np.round(apart / np.median(apart)) - 1.0, 0.0, most_between)
    return np.concatenate([[0], np.cumsum(1 + missing.astype(np.int32))]).astype(np.int32)
