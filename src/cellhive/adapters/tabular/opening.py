"""A table while its columns are being understood, and its times."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

import polars as pl

from cellhive.adapters.tabular import table_times as clock
from cellhive.adapters.tabular.grids import Grid
from cellhive.adapters.tabular.headings import clean
from cellhive.adapters.tabular.mapping import Mapping, plain
from cellhive.adapters.tabular.table_numbers import numbers_of, prepared
from cellhive.core.errors import BadInput
from cellhive.core.measurements import (
    OBJECT,
    PERIOD_S,
    SUSPECT,
    TIME,
    TIME_TYPE,
    Finding,
    Findings,
    Severity,
)

_AS_FOUND = " (as found)"
"""Added to a heading that would be taken for one of our key columns."""


@dataclass
class OpenTable:
    """A grid while its columns are being understood."""

    grid: Grid
    mapping: Mapping
    findings: Findings
    names: list[str]
    columns: list[pl.Series]
    open: list[int] = field(default_factory=list)
    """Columns whose meaning is not settled yet."""

    def say(self, severity: Severity, code: str, column: int = -1, **words: object) -> None:
        """Add a finding about the table or one of its columns."""
        where = [f"sheet '{self.grid.sheet}'"] if self.grid.sheet else []
        row = words.get("row")
        where += [f"row {self.grid.first_row + int(str(row))}"] if row is not None else []
        self.findings.add(
            Finding(
                severity,
                code,
                expected=str(words["expected"]),
                found=str(words["found"]),
                action=str(words["action"]),
                file=self.grid.file,
                where=", ".join(where),
                column=self.shown(column) if column >= 0 else "",
                count=int(str(words.get("count", 1))),
            )
        )

    def shown(self, index: int) -> str:
        """Return the heading of a column as a person finds it in the file."""
        return self.names[index].removesuffix(_AS_FOUND)

    def text(self, index: int) -> pl.Series:
        """Return a column as text, null where there is nothing."""
        column = self.columns[index]
        if column.dtype == pl.String:
            return prepared(column)
        return column.cast(pl.String, strict=False)

    def named(self, headers: Sequence[str]) -> list[int]:
        """Return the columns that a mapping names; none where one that was found does not fit.

        Raises:
            BadInput: The mapping was given for this table, and one of them is not in it.
        """
        own = {plain(name) for name in (*self.grid.headers, *self.names)}
        if self.mapping.found and any(plain(header) not in own for header in headers):
            return []
        return [self.index_of(header) for header in headers]

    def index_of(self, header: str) -> int:
        """Return the column with a heading that a mapping names."""
        wanted = plain(header)
        for index, original in enumerate(self.grid.headers):
            if plain(original) == wanted or plain(self.names[index]) == wanted:
                return index
        raise BadInput(
            place=f"{self.mapping.path or 'mapping'}, {header!r}",
            expected="a heading of the table",
            found=f"none called so in {self.grid.place}",
            remedy=f"the headings are: {', '.join(map(self.shown, range(len(self.names[:40]))))}",
        )


def open_table(grid: Grid, mapping: Mapping, findings: Findings) -> OpenTable:
    """Return a grid with a name for each column, and say which are empty."""
    names: list[str] = []
    for index, header in enumerate(grid.headers):
        name = clean(header) or f"column {index + 1}"
        if name in {OBJECT, TIME, PERIOD_S, SUSPECT}:
            name += _AS_FOUND
        base, number = name, 1
        while name in names:
            number += 1
            name = f"{base} ({number})"
        names.append(name)
    columns = [grid.frame.get_column(str(index)) for index in range(len(names))]
    table = OpenTable(grid, mapping, findings, names, columns)
    for index, column in enumerate(columns):
        empty = table.text(index).null_count() == column.len()
        if empty and clean(grid.headers[index]) == "":
            continue
        if empty:
            table.say(Severity.WARNING, "empty-column", index, expected="values",
                      found="none in any row", action="the column is left out")  # fmt: skip
            continue
        table.open.append(index)
    return table


# -- time


def find_times(table: OpenTable) -> clock.Times | None:
    """Return the times of a table and settle their columns; None where it has none."""
    named = table.named(table.mapping.time)
    wanted = named[:1] or sorted(
        (i for i in table.open if clock.looks_like_time(table.names[i])),
        key=lambda i: (clock.rank(table.names[i]), i),
    )
    wanted += [] if named else [i for i in table.open if i not in wanted][:4]
    found: tuple[pl.Series, str, bool] | None = None
    chosen = -1
    for index in wanted:
        found = _as_times(table, index, sure=bool(named))
        if found is not None:
            chosen = index
            break
    if found is None:
        if named:
            raise BadInput(
                place=f"{table.grid.place}, column '{table.shown(named[0])}'",
                expected="times",
                found=repr(table.text(named[0]).drop_nulls().head(1).to_list()),
                remedy="give time_format in the mapping, in strptime notation",
            )
        _say_no_time(table)
        return None
    values, zone, ambiguous = found
    table.open.remove(chosen) if chosen in table.open else None
    used = [chosen]
    values = _add_hours(table, values, named[1:], used)
    if ambiguous:
        table.say(Severity.WARNING, "ambiguous-date", chosen, expected="an unambiguous date",
                  found=repr(table.text(chosen).drop_nulls().head(1).to_list()),
                  action=_date_order(values, table.text(chosen)))  # fmt: skip
    _note_missing_times(table, chosen, values)
    if zone == "" and table.mapping.time_zone:
        values = clock.in_zone(values, table.mapping.time_zone, table.grid.file, table.findings)
        zone = table.mapping.time_zone
    elif zone == "":
        table.say(Severity.INFO, "time-zone-missing", chosen, expected="a time zone",
                  found="times without one", action="taken as they are written")  # fmt: skip
    return clock.Times(values, tuple(used), zone, _stated_period(table, values))


def _say_no_time(table: OpenTable) -> None:
    """Say that there are no times, and what stands where they should be."""
    for index in table.open:
        texts = table.text(index).drop_nulls()
        if clock.looks_like_time(table.names[index]) and texts.len():
            forms = texts.str.replace_all(r"\d", "0").alias("form")
            kinds = pl.DataFrame([texts.alias("text"), forms]).unique("form", maintain_order=True)
            both = " and ".join(map(repr, kinds["text"].head(2)))
            table.say(Severity.WARNING, "no-time", index, found=both,
                      expected="times that are all written in one known way",
                      action="the rows have no time; see time_format in a mapping")  # fmt: skip
            return
    table.say(Severity.WARNING, "no-time", expected="a column of times", found="none",
              action="the rows have no time")  # fmt: skip


def _date_order(values: pl.Series, texts: pl.Series) -> str:
    text = str(texts.drop_nulls()[0])
    first = values.drop_nulls()[0]
    numbers = re.findall(r"\d+", text)
    order = "day first" if int(numbers[0]) == first.day else "month first"
    return f"read as {order}, because that leaves the smaller gap; time_format settles it"


def _as_times(table: OpenTable, index: int, *, sure: bool) -> tuple[pl.Series, str, bool] | None:
    column = table.columns[index]
    timely = sure or clock.looks_like_time(table.names[index])
    if column.dtype == pl.Datetime:
        zone = getattr(column.dtype, "time_zone", None)
        values = column.dt.convert_time_zone("UTC") if zone else column.dt.replace_time_zone("UTC")
        return values.cast(TIME_TYPE), zone or "", False
    if column.dtype == pl.Date:
        return column.cast(pl.Datetime("us")).dt.replace_time_zone("UTC"), "", False
    if column.dtype != pl.String:
        moments = clock.parse_numbers(column.cast(pl.Float64)) if timely else None
        return None if moments is None else (moments, "UTC", False)
    texts = table.text(index)
    if timely:
        numbers = numbers_of(texts, "")
        if numbers.odd == 0 and numbers.missing < texts.len():
            epochs = clock.parse_numbers(numbers.values)
            if epochs is not None:
                big = float(numbers.values.max() or 0.0) > 1e8  # type: ignore[arg-type]  # noqa: PLR2004
                return epochs, "UTC" if big else "", False
    sample = texts.drop_nulls().head(20)
    if not timely and not bool(sample.str.contains(r"^\d{1,4}[-/.]\d{1,2}[-/.]\d{1,4}").all()):
        return None
    return clock.parse_texts(texts, table.mapping.time_format)


def _add_hours(table: OpenTable, values: pl.Series, named: list[int], used: list[int]) -> pl.Series:
    """Add a column of the time of day to dates."""
    known = values.drop_nulls()
    if bool((known.dt.time() != known.dt.date().cast(pl.Datetime).dt.time()).any()):
        return values
    options = named or [i for i in table.open if clock.is_hour(table.names[i])]
    for index in options:
        seconds = clock.hours_of(table.text(index))
        if seconds is not None:
            used.append(index)
            if index in table.open:
                table.open.remove(index)
            moments: pl.Series = values + (seconds * 1e6).cast(pl.Int64).cast(pl.Duration("us"))
            return moments
    return values


def _note_missing_times(table: OpenTable, index: int, values: pl.Series) -> None:
    missing = values.null_count()
    if missing:
        row = int(values.is_null().arg_true()[0])
        table.say(Severity.WARNING, "time-unknown", index, expected="a time in every row",
                  found=repr(table.columns[index][row]), action="the time is null",
                  row=row, count=missing)  # fmt: skip


def _stated_period(table: OpenTable, values: pl.Series) -> pl.Series | None:
    """Return the period from a column of lengths or of end times, and settle those columns."""
    period: pl.Series | None = None
    for index in list(table.open):
        name = table.names[index]
        if re.search(
            r"granularity|^period|interval|^gp$|duration.?\(?(s|min)", name, re.IGNORECASE
        ):
            stated = clock.periods_of(table.text(index))
            if stated is not None:
                period = stated if period is None else period
                table.open.remove(index)
        elif clock.rank(name) == 3 and clock.looks_like_time(name):  # noqa: PLR2004 (an end)
            ends = _as_times(table, index, sure=False)
            if ends is not None:
                length = (ends[0] - values).dt.total_seconds().cast(pl.Float64)
                period = length if period is None else period
                table.open.remove(index)
    return period
