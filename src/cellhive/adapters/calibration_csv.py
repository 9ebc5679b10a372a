"""The companies' calibration results as a table: every percentile instead of the eleven kept.

One row per set-up and percentile, with mean, smallest and largest value of each quantity and
how many companies gave it, as HandoverLab distributes R1-165974.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from cellhive.adapters.files import Table, parse_number, read_table
from cellhive.core.errors import BadInput
from cellhive.ran.validation import PERCENT, QUANTITIES, SETUPS, Spread

MOST_ROWS = 100_000
_PLACE, _SHARE = "scenario", "cdf_percent"
_STATISTICS = ("mean", "min", "max", "n")


def read_companies(path: Path) -> dict[tuple[str, str], Spread]:
    """Return what the companies found, by scenario and quantity.

    Args:
        path: The table. Set-ups other than those that are run here are passed over.

    Raises:
        NotFound: There is no such file.
        BadInput: It lacks a column, a set-up or a checked percentile, or holds no number.
    """
    table = read_table(path, max_rows=MOST_ROWS)
    wanted = [_PLACE, _SHARE, *(f"{q}_{each}" for q in QUANTITIES for each in _STATISTICS)]
    missing = [name for name in wanted if name not in table.header]
    if missing:
        raise BadInput(
            place=table.place, expected=f"the column {missing[0]}",
            found=f"{', '.join(table.header[:4])}, ...",
            remedy="take the table of R1-165974 as HandoverLab has it",
        )  # fmt: skip
    at = {name: table.header.index(name) for name in wanted}
    found = {}
    for key, setup in SETUPS.items():
        rows = [
            index for index, row in enumerate(table.rows) if row[at[_PLACE]].strip() == setup.name
        ]
        rows.sort(key=lambda index: _number(table, index, at[_SHARE]))
        percent = tuple(_number(table, index, at[_SHARE]) for index in rows)
        _complete(table.place, setup.name, percent)
        for quantity in QUANTITIES:
            mean, low, high, companies = (
                tuple(_number(table, index, at[f"{quantity}_{each}"]) for index in rows)
                for each in _STATISTICS
            )
            found[key, quantity] = Spread(round(max(companies)), percent, mean, low, high)
    return found


def _number(table: Table, index: int, column: int) -> float:
    text = table.rows[index][column]
    try:
        return parse_number(text, decimal_comma=table.decimal_comma)
    except ValueError:
        raise BadInput(
            place=f"{table.place}, {table.counted} {table.lines[index]}, {table.header[column]}",
            expected="a number", found=repr(text[:30]),
        ) from None  # fmt: skip


def _complete(place: str, name: str, percent: Iterable[float]) -> None:
    """Refuse a set-up in which a checked percentile is missing or stands twice."""
    held = list(percent)
    for wanted in PERCENT:
        if held.count(wanted) != 1:
            raise BadInput(
                place=place, expected=f"one row of {name} at {wanted:g} %",
                found=f"{held.count(wanted)}",
            )  # fmt: skip
