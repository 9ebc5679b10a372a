"""Says what a table is: measurements, a drive test, cells and their settings, or relations."""

from __future__ import annotations

from dataclasses import replace
from enum import StrEnum

import polars as pl

from cellhive.adapters.cm.tables import (
    cell_column,
    has_identity,
    identity_columns,
    key_of,
    position_columns,
    relation_ends,
)
from cellhive.adapters.drive.surveyed import is_drive_log
from cellhive.adapters.files import Table
from cellhive.adapters.tabular.grids import Grid
from cellhive.adapters.tabular.mapping import Mapping, describe
from cellhive.adapters.tabular.opening import find_times, open_table
from cellhive.adapters.tabular.reshape import VENDOR_ID
from cellhive.adapters.tabular.table_numbers import numbers_of
from cellhive.core.errors import BadInput
from cellhive.core.measurements import Findings, Role

_ONE_ROW = 0.9
"""Share of different names from which a table has one row per cell."""
_MOST_LIST_ROWS = 300_000
_SAMPLE = 5000
"""Rows that are looked at."""


class Purpose(StrEnum):
    """What a file, or a table in it, was taken for."""

    MEASUREMENTS = "measurements"
    DRIVE_TEST = "drive test"
    CELLS = "cells and their settings"
    RELATIONS = "neighbour relations"
    BOTH = "measurements with positions"
    NONE = ""
    """Not taken for anything."""


def purpose_of(grid: Grid, mapping: Mapping) -> Purpose:
    """Return what a table is for.

    Args:
        grid: The table.
        mapping: What a person says; a table with a column that it names is one of measurements.
    """
    part = replace(grid, frame=grid.frame.head(_SAMPLE))
    rules = (mapping.rule_for(header) for header in grid.headers if header.strip())
    if any(rule is not None and not rule.inferred for rule in rules):
        return Purpose.MEASUREMENTS
    if is_drive_log(part):
        return Purpose.DRIVE_TEST
    keys = [key_of(header) for header in grid.headers]
    ends, cell = relation_ends(keys), cell_column(keys)
    if (ends is None and cell is None) or not 0 < grid.frame.height <= _MOST_LIST_ROWS:
        return Purpose.MEASUREMENTS
    timed = _has_times(part)
    if ends is not None:
        return Purpose.MEASUREMENTS if timed else Purpose.RELATIONS
    placed = bool(position_columns(keys))
    if _has_kpis(part) or (timed and not _one_row_each(grid, cell)):
        return Purpose.BOTH if placed and has_identity(keys) else Purpose.MEASUREMENTS
    return Purpose.CELLS if placed or not timed else Purpose.MEASUREMENTS


def _has_times(grid: Grid) -> bool:
    try:
        return find_times(open_table(grid, Mapping(), Findings())) is not None
    except BadInput:
        return False


def _one_row_each(grid: Grid, cell: int | None) -> bool:
    names = grid.frame.get_column(str(cell)).drop_nulls()
    return names.n_unique() >= _ONE_ROW * max(names.len(), 1)


def _has_kpis(grid: Grid) -> bool:
    """Return whether a column of numbers behaves like a count, a ratio or a KPI that is known."""
    for index, header in enumerate(grid.headers):
        info = describe(header.strip())
        counted = info.role in {Role.COUNTER, Role.RATIO} or VENDOR_ID.match(header.strip())
        if info.quantity is None and not counted:
            continue
        column = grid.frame.get_column(str(index))
        if column.dtype != pl.String:
            return True
        parsed = numbers_of(column, "")
        if parsed.values.count() and not parsed.odd:
            return True
    return False


def table_of(grid: Grid, *, once: bool = False) -> Table:
    """Return a grid as rows of text.

    Args:
        grid: The grid.
        once: Keep of each cell the first row, and of the columns what the cell is and where.
    """
    frame = grid.frame.select(pl.all().cast(pl.String, strict=False).fill_null(""))
    keys = [key_of(header) for header in grid.headers]
    header = [name.strip() for name in grid.headers]
    cell = cell_column(keys)
    lines = pl.Series("line", range(grid.first_row, grid.first_row + frame.height), pl.Int64)
    frame = frame.with_columns(lines)
    if once and cell is not None:
        kept = identity_columns(keys)
        frame = frame.unique(str(cell), keep="first", maintain_order=True)
        frame = frame.select(*(str(index) for index in kept), "line")
        header = [header[index] for index in kept]
    rows = tuple(frame.drop("line").iter_rows())
    # the separator stands for a comma being the decimal mark, which a cell here may hold
    return Table(grid.place, tuple(header), rows, tuple(frame["line"].to_list()), ";", "row")
