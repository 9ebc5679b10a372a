"""Plans as tables for people and spreadsheets, written and read back.

One row per change. Numbers are written so that they come back exactly; text that a
spreadsheet would run as a formula is disarmed with an apostrophe, which reading takes
away again. What a plan expects and its evidence do not fit such a table and are left
out; ``cm_xml`` keeps them.
"""

from __future__ import annotations

import csv
import io
import math
from pathlib import Path
from typing import BinaryIO

from cellhive.adapters.files import (
    UNKNOWN,
    Table,
    check_text,
    disarmed,
    parse_number,
    read_table,
    rearmed,
    write_whole,
)
from cellhive.adapters.plans.cm_xml import check_key
from cellhive.core.errors import BadInput
from cellhive.core.schema import PARAMETERS, QUANTITIES
from cellhive.core.types import Change, Network, Plan

COLUMNS = (
    "plan_id", "function", "time_s", "cell", "target", "parameter",
    "before", "after", "unit", "reason",
)  # fmt: skip
"""Columns of a plan table, in order."""

MAX_ROWS = 100_000
"""Largest number of changes in one table."""

_REQUIRED = ("cell", "parameter", "after")


def write_plan_csv(plan: Plan, out: Path | BinaryIO) -> None:
    """Write a plan as RFC 4180 text in UTF-8; a path is written whole or not at all.

    Args:
        plan: What to write; at least one change.
        out: A path, or a stream of bytes.

    Raises:
        BadInput: The plan is empty or holds text that a file cannot carry.
    """
    if not plan.changes:
        raise BadInput(
            place=f"plan {plan.plan_id}", expected="at least one change", found="an empty plan"
        )
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\r\n")
    writer.writerow(COLUMNS)
    for change in plan.changes:
        quantity = QUANTITIES.get(change.parameter)
        row = (
            _text(plan.plan_id, "plan_id"),
            _text(plan.function, "function"),
            _written(plan.time_s),
            _text(change.cell, "cell"),
            _text(change.target or "", "target"),
            _text(change.parameter, "parameter"),
            _written(change.before),
            _written(change.after),
            quantity.unit if quantity is not None else "",
            _text(change.reason, "reason"),
        )
        writer.writerow(row)
    data = text.getvalue().encode("utf-8")
    if isinstance(out, Path):
        write_whole(out, data)
    else:
        out.write(data)


def read_plan_csv(path: Path, network: Network, *, now_s: float = 0.0) -> Plan:
    """Return the plan that a table holds.

    Understands what spreadsheets make of such a table: other separators, decimal commas,
    a byte order mark, columns in another order. Only cell, parameter and after must be
    there; a value before that is not given is NaN.

    Args:
        path: The table.
        network: The network the plan is for.
        now_s: Time of a plan whose table gives none [s].

    Raises:
        NotFound: There is no such file.
        BadInput: Anything else that keeps the table from being one plan for this network;
            the message names line and column.
    """
    table = read_table(path, max_rows=MAX_ROWS)
    columns = _columns(table)
    changes: list[Change] = []
    seen: dict[tuple[str, str | None, str], int] = {}
    for index, line in enumerate(table.lines):
        change = _read_change(_Row(table, index, columns), network)
        key = (change.cell, change.target, change.parameter)
        if key in seen:
            raise BadInput(
                place=f"{table.place}, line {line}",
                expected=f"one change of {change.parameter} on {change.object_id}",
                found=f"a second one; the first is on line {seen[key]}",
            )
        seen[key] = line
        changes.append(change)
    first = _Row(table, 0, columns)
    return Plan(
        plan_id=_same_everywhere(table, columns, "plan_id")
        or f"import-{path.name.partition('.')[0]}",
        function=_same_everywhere(table, columns, "function") or "operator",
        time_s=first.number("time_s", now_s) if _same_everywhere(table, columns, "time_s")
        else now_s,
        changes=tuple(changes),
    )  # fmt: skip


class _Row:
    """One row of a table, read by column name."""

    def __init__(self, table: Table, index: int, columns: dict[str, int]) -> None:
        self._table = table
        self._fields = table.rows[index]
        self._line = table.lines[index]
        self._columns = columns

    def place(self, column: str) -> str:
        """Return file, line and column for a message."""
        return f"{self._table.place}, line {self._line}, column {column!r}"

    def text(self, column: str) -> str:
        """Return a text field as it was before it was disarmed; "" without the column."""
        if column not in self._columns:
            return ""
        text = self._fields[self._columns[column]]
        return check_text(rearmed(text), place=self.place(column))

    def number(self, column: str, default: float | None = None) -> float:
        """Return a number; ``default`` where the field says that it is not known."""
        text = self._fields[self._columns[column]] if column in self._columns else ""
        if text.strip().lower() in UNKNOWN and default is not None:
            return default
        try:
            return parse_number(text, decimal_comma=self._table.decimal_comma)
        except ValueError as error:
            raise BadInput(
                place=self.place(column), expected="a number", found=repr(text[:40])
            ) from error


def _columns(table: Table) -> dict[str, int]:
    """Return where each known column is."""
    columns: dict[str, int] = {}
    for index, name in enumerate(table.header):
        key = name.strip().lower()
        if key not in COLUMNS:
            raise BadInput(
                place=f"{table.place}, header",
                expected=f"the columns {', '.join(COLUMNS)}",
                found=f"the column {name[:40]!r}",
                remedy="rename or remove it",
            )
        if key in columns:
            raise BadInput(
                place=f"{table.place}, header", expected="each column once", found=f"{key} twice"
            )
        columns[key] = index
    missing = [name for name in _REQUIRED if name not in columns]
    if missing:
        raise BadInput(
            place=f"{table.place}, header",
            expected=f"the columns {', '.join(_REQUIRED)}",
            found=f"no column {', '.join(missing)}",
        )
    return columns


def _read_change(row: _Row, network: Network) -> Change:
    cell, target = (_known(row.text(name), network) for name in ("cell", "target"))
    parameter = row.text("parameter").strip()
    if parameter not in {quantity.name for quantity in PARAMETERS}:
        raise BadInput(
            place=row.place("parameter"),
            expected=f"one of {', '.join(quantity.name for quantity in PARAMETERS)}",
            found=repr(parameter[:40]),
        )
    check_key((cell, target or None, parameter), network, row.place("cell"))
    unit, expected = row.text("unit").strip(), QUANTITIES[parameter].unit
    if unit and unit != expected:
        raise BadInput(
            place=row.place("unit"),
            expected=f"{parameter} in {expected or 'no unit'}",
            found=repr(unit[:40]),
        )
    after = row.number("after")
    quantity = QUANTITIES[parameter]
    if not quantity.low <= after <= quantity.high:
        raise BadInput(
            place=row.place("after"),
            expected=f"{parameter} from {quantity.low:g} to {quantity.high:g} {expected}".rstrip(),
            found=f"{after:g}",
        )
    return Change(
        cell, parameter, row.number("before", math.nan), after, target or None, row.text("reason")
    )


def _known(name: str, network: Network) -> str:
    """Return a cell name without the blanks around it, unless they are part of the name."""
    return name if name in network.cell_index else name.strip()


def _same_everywhere(table: Table, columns: dict[str, int], name: str) -> str:
    """Return what a column says in every row."""
    first = _Row(table, 0, columns).text(name)
    for index in range(1, len(table.rows)):
        row = _Row(table, index, columns)
        if row.text(name) != first:
            raise BadInput(
                place=row.place(name),
                expected=f"one plan per file: {name} {first[:40]!r}",
                found=repr(row.text(name)[:40]),
                remedy="split the file",
            )
    return first


def _written(value: float) -> str:
    """Return a number that reads back exactly; "" where it is not known."""
    return "" if math.isnan(value) else repr(float(value))


def _text(text: str, column: str) -> str:
    return disarmed(check_text(text, place=f"plan, {column}"))
