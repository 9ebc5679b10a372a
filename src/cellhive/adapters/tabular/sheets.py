"""Grids out of spreadsheets and Parquet files."""

from __future__ import annotations

import io
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import replace
from datetime import date, datetime, time, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import python_calamine as calamine

from cellhive.adapters.inputs import whole
from cellhive.adapters.tabular.grids import (
    MOST_COLUMNS,
    Grid,
    note_titles,
    read_csv_grid,
    sections_of,
    without_noise,
)
from cellhive.adapters.tabular.headings import (
    HEAD_ROWS,
    clean,
    find_header,
    headers_of,
    title_of,
)
from cellhive.adapters.tabular.reshape import blocks, reshaped
from cellhive.adapters.unpacking.packings import DEFAULT_LIMITS, Limits
from cellhive.core.errors import BadInput
from cellhive.core.measurements import Finding, Findings, Severity

_MOST_DEFLATED = 1032
"""How much more the content of a ZIP archive can be than its packed size."""


def read_grids(
    path: Path, findings: Findings, *, kind: str, limits: Limits = DEFAULT_LIMITS
) -> list[Grid]:
    """Return the tables of a file.

    Args:
        path: The file.
        findings: Where to say what is wrong with it.
        kind: "text", "spreadsheet" or "parquet".
        limits: How large it may be.

    Raises:
        BadInput: It cannot be read, or holds no table.
    """
    match kind:
        case "text":
            grids = read_csv_grids(path, findings, limits)
        case "spreadsheet":
            grids = read_sheet_grids(path, findings, limits)
        case _:
            grids = [read_parquet_grid(path, findings)]
    if not grids:
        raise BadInput(place=str(path), expected="a sheet with a table", found="empty sheets")
    return [reshaped(grid, findings) for grid in grids]


def _cell(value: Any) -> str:
    """Return a spreadsheet cell as text that reads back to the same value."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() and abs(value) < 1e15 else repr(value)  # noqa: PLR2004
    if isinstance(value, datetime):
        return value.isoformat(sep=" ")
    if isinstance(value, date | time):
        return value.isoformat()
    if isinstance(value, timedelta):
        return str(value)
    return str(value)


def read_csv_grids(path: Path, findings: Findings, limits: Limits = DEFAULT_LIMITS) -> list[Grid]:
    """Return the tables of a text: one, or several below one another with empty lines between.

    Raises:
        BadInput: It is empty, binary, or has no columns.
    """
    rows, listing = sections_of(path, limits)
    parts = blocks(rows) if rows else []
    if len(parts) < 2 and not listing:  # noqa: PLR2004 (several)
        return [read_csv_grid(path, findings, limits)]
    grids = []
    for number, (first, _, part) in enumerate(parts, 1):
        grid, at, count = grid_of(str(path), f"table {number}", part, first)
        note_titles(grid, at, count, findings)
        grids.append(without_noise(grid, findings))
    return grids


def read_sheet_grids(path: Path, findings: Findings, limits: Limits = DEFAULT_LIMITS) -> list[Grid]:
    """Return a grid per sheet of a spreadsheet that holds a table.

    Raises:
        BadInput: It cannot be opened, or is too large when unpacked.
    """
    source: Path | io.BytesIO = path if path.exists() else io.BytesIO(whole(path, limits))
    _check_archive(path, source, limits)
    if isinstance(source, io.BytesIO):
        source.seek(0)
    try:
        book = calamine.load_workbook(source)
        shown = [one for one in book.sheets_metadata if _is_shown(one, str(path), findings)]
        sheets = [(one.name, book.get_sheet_by_name(one.name)) for one in shown]
        tables = [
            (name, sheet.to_python(skip_empty_area=False), sheet.merged_cell_ranges or [])
            for name, sheet in sheets
        ]
    except (calamine.CalamineError, OSError, ValueError) as error:
        raise BadInput(
            place=str(path),
            expected="a spreadsheet",
            found=f"one that cannot be opened ({error})",
            remedy="open it and save it again, or export it as CSV",
        ) from error
    grids = []
    for name, table, merged in tables:
        rows = _without_end([[_cell(cell) for cell in row] for row in table])
        _fill_merged(rows, merged)
        if not rows:
            findings.add(
                Finding(
                    Severity.INFO, "empty-sheet", expected="a table", found="no cells",
                    action="left out", file=str(path), where=f"sheet '{name}'",
                )
            )  # fmt: skip
            continue
        parts = blocks(rows)
        for number, (first, left, part) in enumerate(parts, 1):
            called = name if len(parts) == 1 else f"{name}, table {number}"
            grid, at, count = grid_of(str(path), called, part, first)
            if left:
                grid = replace(grid, sheet=f"{called} from column {left + 1}")
            note_titles(grid, at, count, findings)
            grids.append(without_noise(grid, findings))
    return grids


def _is_shown(sheet: calamine.SheetMetadata, path: str, findings: Findings) -> bool:
    """Return whether a sheet is one to read: hidden ones hold what the author put away."""
    if sheet.visible == calamine.SheetVisibleEnum.Visible:
        return bool(sheet.typ == calamine.SheetTypeEnum.WorkSheet)
    findings.add(
        Finding(
            Severity.WARNING, "hidden-sheet", "sheets that are shown", "a hidden one",
            "left out; unhide it if it is to be read", file=path, where=f"sheet '{sheet.name}'",
        )
    )  # fmt: skip
    return False


def _fill_merged(
    rows: list[list[str]], merged: Sequence[tuple[tuple[int, int], tuple[int, int]]]
) -> None:
    """Write what stands in merged cells into each row that they cover, below the headings."""
    at, count = find_header(rows[:HEAD_ROWS]) if rows else (0, 0)
    for (top, left), (bottom, right) in merged:
        if top < at + count or left != right or bottom >= len(rows):
            continue
        for row in range(top + 1, bottom + 1):
            if left < len(rows[row]) and not rows[row][left].strip():
                rows[row][left] = rows[top][left]


def _without_end(rows: list[list[str]]) -> list[list[str]]:
    while rows and not any(cell.strip() for cell in rows[-1]):
        rows.pop()
    return rows


def grid_of(file: str, sheet: str, rows: list[list[str]], first: int = 0) -> tuple[Grid, int, int]:
    """Return rows of cells as a table, and where its headings begin and how many rows they take.

    Args:
        file: The file.
        sheet: Name of the sheet or table.
        rows: Its cells, the same number in each row.
        first: Row of the sheet at which it begins, from 0.
    """
    at, count = find_header(rows[:HEAD_ROWS])
    headers = headers_of(rows[at : at + count]) if count else tuple("" for _ in rows[at])
    body = rows[at + count :]
    columns = [list(column) for column in zip(*body, strict=True)] or [[] for _ in headers]
    frame = pl.DataFrame(
        [pl.Series(str(index), column, pl.String) for index, column in enumerate(columns)]
    )
    title = title_of(rows[:at])
    return Grid(file, sheet, headers, frame, first + at + count + 1, title=title), at, count


def _check_archive(path: Path, source: Path | io.BytesIO, limits: Limits) -> None:
    """Refuse archives that unpack to far more than they should, or than they say."""
    try:
        with zipfile.ZipFile(source) as archive:
            entries = archive.infolist()
            total = sum(entry.file_size for entry in entries)
            packed = max(sum(entry.compress_size for entry in entries), 1)
            if total <= limits.whole_bytes < packed * _MOST_DEFLATED:
                for entry in entries:
                    _check_size(archive, entry)
    except _Longer:
        total = limits.whole_bytes + 1
    except (zipfile.BadZipFile, OSError, NotImplementedError, ValueError, zlib.error):
        return  # not an archive: an old .xls, or damaged, which the opening will say
    bomb = total > limits.ratio_from_bytes and total > packed * limits.ratio
    if total > limits.whole_bytes or bomb:
        raise BadInput(
            place=str(path),
            expected=f"a spreadsheet of at most {limits.whole_bytes >> 20} MiB unpacked",
            found=f"one of {total >> 20} MiB ({total // packed} times its size)",
            remedy="export it as CSV or Parquet",
        )


class _Longer(Exception):
    """An entry holds more than it says."""


def _check_size(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> None:
    """Unpack an entry to see that its size is what the archive says."""
    with archive.open(entry) as stream:
        try:
            while stream.read(1 << 20):
                pass
        except zipfile.BadZipFile as error:  # what it says is all that is read, so the sum is off
            raise _Longer from error


def read_parquet_grid(path: Path, findings: Findings) -> Grid:
    """Return the grid of a Parquet file.

    Raises:
        BadInput: It cannot be read.
    """
    try:
        frame = pl.read_parquet(path if path.exists() else io.BytesIO(whole(path)))
    except (pl.exceptions.PolarsError, OSError) as error:
        found = str(error).splitlines()[0][:120]
        raise BadInput(
            place=str(path), expected="a Parquet file", found=f"one that cannot be read ({found})",
            remedy="fetch or write it again",
        ) from error  # fmt: skip
    if frame.width > MOST_COLUMNS:
        raise BadInput(
            place=str(path), expected=f"at most {MOST_COLUMNS} columns", found=str(frame.width),
            remedy="turn the table, so that objects are rows",
        )  # fmt: skip
    frame = _plain_types(frame, str(path), findings)
    headers = tuple(frame.columns)
    return Grid(str(path), "", headers, frame.rename({h: str(i) for i, h in enumerate(headers)}))


def _plain_types(frame: pl.DataFrame, file: str, findings: Findings) -> pl.DataFrame:
    """Return a frame of numbers, times and text: lengths of time in seconds, no nested values."""
    kept: list[pl.Series] = []
    for column in frame.iter_columns():
        if column.dtype == pl.Duration:
            kept.append((column.dt.total_microseconds() / 1e6).alias(column.name))
        elif column.dtype.is_nested() or column.dtype in {pl.Binary, pl.Object}:
            findings.add(
                Finding(
                    Severity.WARNING, "nested-column", "a number, a time or a text in every row",
                    f"values of type {column.dtype}", "the column is left out", file=file,
                    column=clean(column.name),
                )
            )  # fmt: skip
        else:
            kept.append(column)
    return pl.DataFrame(kept)
