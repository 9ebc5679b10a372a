"""The plain form: a column ``time_s`` and one column of RSRP per cell."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from cellhive.adapters.drive.following import changes_in, stretch_of
from cellhive.adapters.drive.rows import Rows
from cellhive.core.errors import BadInput
from cellhive.ran.trace import DriveLog

TIME, SERVING = "time_s", "serving"
FORM = "table of RSRP, one column per cell"
NOTES = ("All cells are taken as being on one carrier and interfere with one another.",)
MOST_CELLS = 512
SHORTEST_S = 0.04
_LOWEST_DBM, _HIGHEST_DBM = -200.0, 50.0
_MOST_SAMPLES = 4_000_000


def read_plain(path: Path) -> Iterator[DriveLog]:
    """Give the one run of a file.

    Columns: ``time_s`` [s], ascending; ``serving`` (may be missing), the name of the column of
    the cell that served; every other column is a cell, with its RSRP [dBm], empty where it was
    not measured.

    Raises:
        BadInput: A row cannot be what it should be.
    """
    rows = Rows(path)
    cells: list[str] = []
    read: list[tuple[float, str, dict[str, float]]] = []
    for row in rows:
        cells = cells or _cells(rows.header, path)
        time_s = row.number(TIME)
        if time_s is None or (read and time_s <= read[-1][0]):
            raise BadInput(
                place=f"{row.place}, column {TIME}", expected="times [s] that ascend",
                found=repr(row.fields[TIME].strip()),
            )  # fmt: skip
        levels: dict[str, float] = {}
        for name in cells:
            level = row.number(name)
            if level is not None:
                if not _LOWEST_DBM < level < _HIGHEST_DBM:
                    raise BadInput(
                        place=f"{row.place}, column {name}", found=f"{level:g}",
                        expected="a level from -200 to 50 dBm, empty where there is none",
                    )  # fmt: skip
                levels[name] = level
        serving = row.text(SERVING)
        if serving and serving not in cells:
            raise BadInput(
                place=f"{row.place}, column {SERVING}", found=repr(serving[:40]),
                expected="the name of one of the columns of cells, or nothing",
            )  # fmt: skip
        read.append((time_s, serving, levels))
    if len(read) < 2 or not any(levels for _, _, levels in read):  # noqa: PLR2004 - a stretch
        raise BadInput(place=str(path), expected="two rows or more with levels", found="fewer")
    yield _log(path, read, rows.notes())


def _log(
    path: Path, read: list[tuple[float, str, dict[str, float]]], notes: tuple[str, ...]
) -> DriveLog:
    """Return rows as a run on an even grid of the usual time between them."""
    times_s = np.array([time_s for time_s, _, _ in read])
    dt_s = max(float(np.median(np.diff(times_s))), SHORTEST_S)
    if (times_s[-1] - times_s[0]) / dt_s > _MOST_SAMPLES:
        raise BadInput(
            place=str(path), expected=f"at most {_MOST_SAMPLES:,} samples {dt_s:g} s apart",
            found=f"{times_s[-1] - times_s[0]:g} s", remedy="cut out the long pause",
        )  # fmt: skip
    stretch = stretch_of(read, dt_s)
    uneven = bool(np.any(np.abs(np.diff(times_s) / dt_s - 1) > 0.01))  # noqa: PLR2004 - 1 %
    told = (f"rows are not evenly spaced; each stands at the nearest multiple of {dt_s:g} s",)
    hold_s = max(3.0 * dt_s, 1.0)
    return DriveLog(
        name=path.name.partition(".")[0], dt_s=dt_s, join_s=hold_s, hold_s=hold_s,
        duration_s=stretch.serving.size * dt_s, stretches=(stretch,),
        events=tuple(changes_in(stretch, dt_s)), notes=(*notes, *(told if uneven else ())),
    )  # fmt: skip


def _cells(header: tuple[str, ...], path: Path) -> list[str]:
    """Return the names of the columns that are cells."""
    cells = [name for name in header if name not in (TIME, SERVING)]
    if not 0 < len(cells) <= MOST_CELLS or "" in cells or len(set(header)) < len(header):
        raise BadInput(
            place=f"{path}, line 1",
            expected=f"1 to {MOST_CELLS} columns of cells, each named once",
            found=f"{len(cells)}: {', '.join(cells[:8])}",
        )  # fmt: skip
    return cells
