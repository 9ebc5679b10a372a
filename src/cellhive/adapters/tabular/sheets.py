"""Grids out of spreadsheets and Parquet files."""

from __future__ import annotations

import zipfile
from datetime import date, datetime, time, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import python_calamine as calamine

from cellhive.adapters.inputs import DEFAULT_LIMITS, Limits
from cellhive.adapters.tabular.grids import (
    HEAD_ROWS,
    Grid,
    find_header,
    headers_of,
    note_titles,
    read_csv_grid,
    without_noise,
)
from cellhive.core.errors import BadInput
from cellhive.core.measurements import Finding, Findings, Severity


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
            grids = [read_csv_grid(path, findings, limits)]
        case "spreadsheet":
            grids = read_sheet_grids(path, findings, limits)
        case _:
            grids = [read_parquet_grid(path)]
    if not grids:
        raise BadInput(place=str(path), expected="a sheet with a table", found="empty sheets")
    return grids


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


def read_sheet_grids(path: Path, findings: Findings, limits: Limits = DEFAULT_LIMITS) -> list[Grid]:
    """Return a grid per sheet of a spreadsheet that holds a table.

    Raises:
        BadInput: It cannot be opened, or is too large when unpacked.
    """
    _check_archive(path, limits)
    try:
        book = calamine.CalamineWorkbook.from_path(str(path))
        names = list(book.sheet_names)
        sheets = [(name, book.get_sheet_by_name(name)) for name in names]
        tables = [(name, sheet.to_python(skip_empty_area=False)) for name, sheet in sheets]
    except (calamine.CalamineError, OSError, ValueError) as error:
        raise BadInput(
            place=str(path),
            expected="a spreadsheet",
            found=f"one that cannot be opened ({error})",
            remedy="open it and save it again, or export it as CSV",
        ) from error
    grids = []
    for name, table in tables:
        grid = _sheet_grid(str(path), name, [[_cell(cell) for cell in row] for row in table])
        if grid is None:
            findings.add(
                Finding(
                    Severity.INFO, "empty-sheet", expected="a table", found="no cells",
                    action="left out", file=str(path), where=f"sheet '{name}'",
                )
            )  # fmt: skip
            continue
        note_titles(grid[0], grid[1], grid[2], findings)
        grids.append(without_noise(grid[0], findings))
    return grids


def _sheet_grid(file: str, name: str, rows: list[list[str]]) -> tuple[Grid, int, int] | None:
    while rows and not any(cell.strip() for cell in rows[-1]):
        rows.pop()
    if not rows:
        return None
    at, count = find_header(rows[:HEAD_ROWS])
    headers = headers_of(rows[at : at + count]) if count else tuple("" for _ in rows[at])
    body = rows[at + count :]
    columns = [list(column) for column in zip(*body, strict=True)] or [[] for _ in headers]
    frame = pl.DataFrame(
        [pl.Series(str(index), column, pl.String) for index, column in enumerate(columns)]
    )
    return Grid(file, name, headers, frame, at + count + 1), at, count


def _check_archive(path: Path, limits: Limits) -> None:
    """Refuse archives that unpack to far more than they should."""
    try:
        with zipfile.ZipFile(path) as archive:
            total = sum(entry.file_size for entry in archive.infolist())
    except (zipfile.BadZipFile, OSError, NotImplementedError, ValueError):
        return  # not an archive: an old .xls, or damaged, which the opening will say
    packed = max(path.stat().st_size, 1)
    bomb = total > limits.ratio_from_bytes and total > packed * limits.ratio
    if total > limits.whole_bytes or bomb:
        raise BadInput(
            place=str(path),
            expected=f"a spreadsheet of at most {limits.whole_bytes >> 20} MiB unpacked",
            found=f"one of {total >> 20} MiB ({total // packed} times its size)",
            remedy="export it as CSV or Parquet",
        )


def read_parquet_grid(path: Path) -> Grid:
    """Return the grid of a Parquet file.

    Raises:
        BadInput: It cannot be read.
    """
    try:
        frame = pl.read_parquet(path)
    except (pl.exceptions.PolarsError, OSError) as error:
        found = str(error).splitlines()[0][:120]
        raise BadInput(
            place=str(path), expected="a Parquet file", found=f"one that cannot be read ({found})",
            remedy="fetch or write it again",
        ) from error  # fmt: skip
    headers = tuple(frame.columns)
    return Grid(str(path), "", headers, frame.rename({h: str(i) for i, h in enumerate(headers)}))
