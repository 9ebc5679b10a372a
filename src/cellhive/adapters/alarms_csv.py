"""Alarm logs as tables: what, where and when; and which places are joined.

Column names differ between systems, so each field is known under several; a person may name
the columns instead. Links come as a table of two columns.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from cellhive.adapters.files import Table, parse_number, read_table
from cellhive.causal.events import Events, events_of
from cellhive.core.errors import BadInput

MOST_ROWS = 2_000_000
_KNOWN = {
    "name": ("alarm_id", "alarm_name", "alarm", "name", "specific_problem", "type", "event"),
    "place": ("device_id", "device", "site", "site_id", "ne", "ne_name", "managed_object", "node"),
    "start": ("start_timestamp", "start", "start_time", "event_time", "raised", "time"),
}


@dataclass(frozen=True)
class AlarmColumns:
    """Headers of an alarm table; None where the usual names will do."""

    name: str | None = None
    place: str | None = None
    start: str | None = None


def read_alarms(
    path: Path, *, links: Path | None = None, columns: AlarmColumns | None = None
) -> Events:
    """Return the alarms of a table, in order of time.

    When an alarm ended is not read. Times are seconds from any origin, or ISO 8601; without
    a zone they count as UTC.

    Args:
        path: The table, with a header.
        links: A table whose first two columns name places that are joined.
        columns: Headers, where they are unusual.

    Raises:
        NotFound: There is no such file.
        BadInput: It lacks a column, or a field is empty or no time; the message says where.
    """
    table = read_table(path, max_rows=MOST_ROWS)
    asked = columns or AlarmColumns()
    name, place, start = (
        _column(table, field, getattr(asked, field)) for field in ("name", "place", "start")
    )
    rows = []
    for index, row in enumerate(table.rows):
        what, where = row[name].strip(), row[place].strip()
        if not what or not where:
            blank = table.header[place] if what else table.header[name]
            raise BadInput(place=_at(table, index, blank), expected="a name", found="nothing")
        rows.append((what, where, _time_s(table, index, start)))
    return events_of(rows, _pairs(links) if links is not None else ())


def _column(table: Table, field: str, named: str | None) -> int:
    """Return where a field stands."""
    plain = [header.strip().lower().replace(" ", "_") for header in table.header]
    wanted = _KNOWN[field] if named is None else (named.strip().lower().replace(" ", "_"),)
    for each in wanted:
        if each in plain:
            return plain.index(each)
    raise BadInput(
        place=table.place, expected=f"a column of the alarm's {field}: {', '.join(wanted)}",
        found=", ".join(table.header[:8]), remedy="name the column",
    )  # fmt: skip


def _at(table: Table, index: int, header: str) -> str:
    return f"{table.place}, {table.counted} {table.lines[index]}, {header}"


def _time_s(table: Table, index: int, column: int) -> float:
    text = table.rows[index][column].strip()
    try:
        return parse_number(text, decimal_comma=table.decimal_comma)
    except ValueError:
        pass
    try:
        when = datetime.fromisoformat(text)
    except ValueError:
        raise BadInput(
            place=_at(table, index, table.header[column]),
            expected="seconds, or a time such as 2026-03-01T12:00:00", found=repr(text[:30]),
        ) from None  # fmt: skip
    return (when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp()


def _pairs(path: Path) -> Sequence[tuple[str, str]]:
    table = read_table(path, max_rows=MOST_ROWS)
    if len(table.header) < 2:  # noqa: PLR2004
        raise BadInput(
            place=table.place, expected="two columns of places that are joined",
            found=f"one, {table.header[0]!r}",
        )  # fmt: skip
    pairs = [(row[0].strip(), row[1].strip()) for row in table.rows]
    for index, pair in enumerate(pairs):
        if not all(pair):
            raise BadInput(
                place=_at(table, index, table.header[0]), expected="two places", found=repr(pair)
            )  # fmt: skip
    return pairs
