"""Turns tables of KPIs (CSV, spreadsheets, Parquet) into measurements.

What each column is (time, object, label, number) is found from its heading and its values,
unless a mapping says it. Nothing is filled, averaged or dropped without a finding.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import polars as pl

from cellhive.adapters.inputs import NotMeasurements
from cellhive.adapters.tabular import table_times as clock
from cellhive.adapters.tabular.grids import Grid
from cellhive.adapters.tabular.mapping import Mapping, apply_mapping, describe, needs_unit
from cellhive.adapters.tabular.opening import OpenTable, find_times, open_table
from cellhive.adapters.tabular.sheets import read_grids
from cellhive.adapters.tabular.table_numbers import (
    Numbers,
    decimal_mark,
    lost_precision,
    numbers_of,
)
from cellhive.adapters.tabular.table_objects import ObjectColumns, find_objects
from cellhive.adapters.tabular.vocabulary import IDENTITIES, words_of
from cellhive.adapters.unpacking.packings import DEFAULT_LIMITS, Limits
from cellhive.core.errors import BadInput
from cellhive.core.measurements import (
    OBJECT,
    PERIOD_S,
    SUSPECT,
    TIME,
    TIME_TYPE,
    ColumnInfo,
    Finding,
    Findings,
    Measurements,
    Role,
    Severity,
)
from cellhive.core.schema import QUANTITIES

_NUMERIC_SHARE = 0.8
"""Share of the values of a column that must be numbers for it to be one of numbers."""
_NUMBERING = re.compile(
    r"^(index|idx|no|no\.|nr|nr\.|#|s/?n|sl\.? ?no\.?|row|line|record)$", re.IGNORECASE
)
"""Headings of columns that number the rows."""
_WHOLE_PERCENT = 1.5
"""A share above this can only be per cent."""
_AS_FOUND = " (as found)"
"""Added to a heading that would be taken for one of our key columns."""


def measure_grid(grid: Grid, mapping: Mapping, findings: Findings) -> Measurements:
    """Return what a grid measured.

    Raises:
        BadInput: It has no rows, or no column of numbers.
    """
    if grid.frame.height == 0:
        raise BadInput(
            place=grid.place, expected="rows of measurements", found="headings only", remedy=""
        )
    table = open_table(grid, mapping, findings)
    times = find_times(table)
    objects = _find_objects(table, times)
    period = _period(table, times)
    numbers, labels = _split_columns(table, objects)
    if all(info.role is Role.ATTRIBUTE for _, info in numbers):
        raise NotMeasurements(
            place=grid.place,
            expected="at least one column of measured numbers",
            found=f"the columns {', '.join(map(table.shown, range(len(table.names[:12]))))}",
            remedy="check that this is a table of measurements, not of sites or settings",
        )
    height = grid.frame.height
    names = _object_names(table, objects)
    if times is not None and mapping.time_zone and times.zone == mapping.time_zone:
        values = clock.with_repeated(times.values, names, times.zone, grid.file, findings)
        times = replace(times, values=values)
    keys = [
        names,
        pl.Series(TIME, [None] * height, TIME_TYPE) if times is None else times.values.alias(TIME),
        period.alias(PERIOD_S),
        pl.Series(SUSPECT, [False] * height),
    ]
    frame = pl.DataFrame([*keys, *labels, *(values for values, _ in numbers)])
    _note_units(table, numbers)
    infos = with_shares([info for _, info in numbers], frame.get_column)
    frame = frame.sort([OBJECT, TIME], maintain_order=True)
    measured = Measurements(
        name=Path(grid.file).name + (f" / {grid.sheet}" if grid.sheet else ""),
        frame=frame,
        columns={info.name: info for info in infos},
        labels=tuple(label.name for label in labels),
        object_class=objects.object_class,
        time_zone="" if times is None else times.zone,
        sources=(grid.file,),
    )
    return apply_mapping(measured, mapping)


def key_headings(grid: Grid, mapping: Mapping) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the headings of the columns of time and of those that name the object.

    Args:
        grid: Some rows of a table.
        mapping: What a person says about the columns.

    Raises:
        BadInput: A heading of the mapping is not there.
    """
    table = open_table(grid, mapping, Findings())
    times = find_times(table)
    objects = _find_objects(table, times)
    headings = [grid.headers[index] for index in (() if times is None else times.columns)]
    return tuple(headings), tuple(grid.headers[index] for index in objects.columns)


def _period(table: OpenTable, times: clock.Times | None) -> pl.Series:
    """Return the length of each row's period [s]: stated, or the usual step between times."""
    height = table.grid.frame.height
    unknown = pl.Series(PERIOD_S, [None] * height, pl.Float64)
    if times is None:
        return unknown
    if times.period_s is not None:
        return times.period_s
    steps = times.values.drop_nulls().unique().sort().diff().drop_nulls()
    if steps.is_empty():
        return unknown
    seconds = steps.dt.total_microseconds() / 1e6
    usual = seconds.value_counts(sort=True)
    length, count = float(usual[seconds.name][0]), int(usual["count"][0])
    if count < 0.5 * steps.len():
        return unknown
    table.say(Severity.INFO, "period-inferred", expected="a column with the granularity",
              found=f"{count} of {steps.len()} steps between times are {length:g} s",
              action="taken as the length of the period")  # fmt: skip
    return pl.Series(PERIOD_S, [length], pl.Float64).new_from_index(0, height)


# -- object


def _find_objects(table: OpenTable, times: clock.Times | None) -> ObjectColumns:
    moments = None if times is None else times.values
    named = tuple(table.named(table.mapping.object))
    if named:
        return ObjectColumns(named, describe_class(table, named))
    candidates = table.open
    found = find_objects(
        [table.names[index] for index in candidates],
        [table.text(index) for index in candidates],
        moments,
    )
    chosen = replace(found, columns=tuple(candidates[index] for index in found.columns))
    if chosen.guessed:
        table.say(Severity.INFO, "object-guessed", chosen.columns[-1],
                  expected="a heading that names the cell or site", found="none that is known",
                  action="taken as the name, as it tells the rows of one time apart; "
                  "object in a mapping settles it")  # fmt: skip
    elif not chosen.columns:
        table.say(Severity.INFO, "no-object", expected="a column that names the cell or site",
                  found="none", action="the table is one object, called like the file")  # fmt: skip
    elif len(chosen.columns) > 1 and not chosen.relation:
        both = " and ".join(f"'{table.shown(index)}'" for index in chosen.columns)
        table.say(Severity.INFO, "object-combined", expected="one column that names the object",
                  found=f"rows that only {both} tell apart", action="both name it")  # fmt: skip
    if not chosen.unique and moments is not None:
        table.say(Severity.INFO, "rows-not-unique", expected="one row per object and time",
                  found="several", action="all are read; the duplicate and conflicting rows say "
                  "what became of them")  # fmt: skip
    return chosen


def describe_class(table: OpenTable, columns: tuple[int, ...]) -> str:
    """Return the class of object that named columns stand for."""
    texts = [table.text(index) for index in columns]
    return find_objects([table.names[index] for index in columns], texts, None).object_class


def _object_names(table: OpenTable, objects: ObjectColumns) -> pl.Series:
    height = table.grid.frame.height
    if not objects.columns:
        stem = Path(table.grid.file).name.split(".")[0]
        name = f"{stem} / {table.grid.sheet}" if table.grid.sheet else stem
        return pl.Series(OBJECT, [name]).new_from_index(0, height)
    parts = [table.text(index).fill_null("") for index in objects.columns]
    names = parts[0]
    for part in parts[1:]:
        names = names + ("->" if objects.relation else "/") + part
    unnamed = int((names.str.strip_chars("->/ ") == "").sum())
    if unnamed:
        table.say(Severity.WARNING, "object-unknown", objects.columns[0],
                  expected="a name in every row", found="none", count=unnamed,
                  action="those rows are called '(unnamed)'")  # fmt: skip
        names = names.set(names.str.strip_chars("->/ ") == "", "(unnamed)")
    return names.alias(OBJECT)


# -- numbers and labels


def _split_columns(
    table: OpenTable, objects: ObjectColumns
) -> tuple[list[tuple[pl.Series, ColumnInfo]], list[pl.Series]]:
    texts = [table.columns[i] for i in table.open if table.columns[i].dtype == pl.String]
    mark = decimal_mark(texts)
    numbers: list[tuple[pl.Series, ColumnInfo]] = []
    labels: list[pl.Series] = []
    for index in table.open:
        column, name = table.columns[index], table.names[index]
        if index in objects.columns:
            labels.append(_identity(table, index))
            continue
        if _is_running_number(table, index):
            continue
        info = replace(describe(name), header=table.grid.headers[index] or name)
        if info.role is Role.ATTRIBUTE and words_of(name) & IDENTITIES:
            labels.append(_identity(table, index))
        elif column.dtype.is_numeric():
            numbers.append((column.cast(pl.Float64).fill_nan(None).alias(name), info))
        elif column.dtype == pl.String:
            parsed = numbers_of(column, mark)
            known = column.len() - parsed.missing
            if known and parsed.odd <= known * (1 - _NUMERIC_SHARE):
                _note_numbers(table, index, parsed)
                if parsed.percent and not info.unit:
                    info = replace(info, unit="%", role=Role.RATIO)
                numbers.append((parsed.values.alias(name), info))
            else:
                _note_mixed(table, index, parsed, known)
                labels.append(table.text(index).alias(name))
        else:
            labels.append(column.cast(pl.String, strict=False).alias(name))
    return numbers, labels


def _is_running_number(table: OpenTable, index: int) -> bool:
    """Return whether a column only numbers the rows, and say that it is left out."""
    if not _NUMBERING.match(table.names[index]):
        return False
    values = table.columns[index].cast(pl.String, strict=False).cast(pl.Float64, strict=False)
    if values.null_count() or values.len() < 2 or not bool((values.diff().drop_nulls() > 0).all()):  # noqa: PLR2004
        return False
    table.say(Severity.INFO, "running-number", index, expected="measured values",
              found="the number of the row", action="left out")  # fmt: skip
    return True


def _identity(table: OpenTable, index: int) -> pl.Series:
    """Return a column of identities as text, and say where a spreadsheet has spoilt them."""
    values = table.text(index)
    lost = lost_precision(values)
    if lost:
        first = values.filter(values.str.contains(r"[eE]|^\d{16,}$").fill_null(value=False))
        table.say(Severity.WARNING, "identity-rounded", index, expected="whole identities",
                  found=repr(first.head(1).to_list()), count=lost,
                  action="kept as written; different objects may look the same")  # fmt: skip
    whole = values.str.contains(r"^\d+\.0+$").fill_null(value=False)
    if bool(whole.any()):
        table.say(Severity.INFO, "identity-as-number", index, expected="an identity as text",
                  found=repr(values.filter(whole).head(1).to_list()), count=int(whole.sum()),
                  action="the decimals are left out")  # fmt: skip
        values = values.str.replace(r"^(\d+)\.0+$", "$1")
    return values.alias(table.names[index])


def _note_units(table: OpenTable, numbers: Sequence[tuple[pl.Series, ColumnInfo]]) -> None:
    """Say which columns were taken for a quantity whose size nothing states."""
    for _, info in numbers:
        known = QUANTITIES.get(info.quantity or "")
        said = table.mapping.rule_for(info.header or info.name)
        if known is None or info.unit or said is not None or not needs_unit(known):
            continue
        table.say(Severity.WARNING, "unit-missing", table.names.index(info.name),
                  expected=f"the unit of {known.name} in the heading", found="none",
                  action=f"taken as {known.unit}; unit in a mapping settles it")  # fmt: skip


def _note_numbers(table: OpenTable, index: int, parsed: Numbers) -> None:
    column = table.columns[index]
    if parsed.missing:
        words = " or ".join(repr(word) for word in parsed.missing_words) or "empty cells"
        table.say(Severity.INFO, "value-missing", index, expected="a number", found=words,
                  action="the values are null", count=parsed.missing)  # fmt: skip
    if parsed.odd:
        table.say(Severity.WARNING, "value-not-a-number", index, expected="a number",
                  found=repr(str(column[parsed.first_odd])[:60]), action="the values are null",
                  count=parsed.odd, row=parsed.first_odd)  # fmt: skip
    if parsed.ambiguous:
        table.say(Severity.WARNING, "ambiguous-number", index,
                  expected="a decimal mark that can be told from a thousands separator",
                  found=repr(column.drop_nulls().head(1).to_list()),
                  action="the comma is taken as a thousands separator")  # fmt: skip


def _note_mixed(table: OpenTable, index: int, parsed: Numbers, known: int) -> None:
    if known and parsed.odd < known:
        table.say(Severity.WARNING, "mixed-column", index, expected="only numbers or only text",
                  found=f"{known - parsed.odd} numbers and {parsed.odd} texts such as "
                  f"{str(table.columns[index][parsed.first_odd])[:40]!r}",
                  action="kept as text")  # fmt: skip


def with_shares(infos: list[ColumnInfo], values_of: Callable[[str], pl.Series]) -> list[ColumnInfo]:
    """Find out which ratios are fractions and which are per cent.

    A column of small values alone cannot tell; the other ratios of the table can.

    Args:
        infos: The columns.
        values_of: Returns the values of a column by its name.
    """
    ratios = [info for info in infos if info.role is Role.RATIO and info.unit in {"%", ""}]
    stats: dict[str, tuple[float, float]] = {}
    for info in ratios:
        values = values_of(info.name).drop_nulls()
        if values.len() and info.quantity != "rlf_per_ue_min":
            top, middle = values.max(), values.median()
            stats[info.name] = (float(top), float(middle))  # type: ignore[arg-type]  # numbers
    percents = any(top > _WHOLE_PERCENT for top, _ in stats.values())
    fractions = any(0.5 < middle <= 1.0 and top <= 1.0 for top, middle in stats.values())  # noqa: PLR2004
    done: list[ColumnInfo] = []
    for info in infos:
        if info.name not in stats:
            done.append(info)
            continue
        top, middle = stats[info.name]
        if top > _WHOLE_PERCENT:
            share = "percent"
        elif middle > 0.5 or (fractions and not percents):  # noqa: PLR2004 (half)
            share = "fraction"
        elif percents and not fractions:
            share = "percent"
        else:
            share = ""
        done.append(_scaled(info, share))
    return done


def _scaled(info: ColumnInfo, share: str) -> ColumnInfo:
    info = replace(info, share=share)
    if info.quantity is None:
        return info
    if share == "":
        return replace(info, confidence=round(info.confidence * 0.6, 2))
    return replace(info, scale=0.01 if share == "percent" else 1.0)


# -- files


def read_table_file(
    path: Path,
    findings: Findings,
    *,
    kind: str,
    mapping: Mapping | None = None,
    limits: Limits = DEFAULT_LIMITS,
) -> list[Measurements]:
    """Return the measurements of a file with tables, one per sheet that holds any.

    Args:
        path: The file.
        findings: Where to say what is wrong with it.
        kind: "text", "spreadsheet" or "parquet".
        mapping: What a person says about the columns.
        limits: How large it may be.

    Raises:
        BadInput: Nothing in it can be read.
    """
    return measure_grids(
        read_grids(path, findings, kind=kind, limits=limits), mapping or Mapping(), findings
    )


def measure_grids(
    grids: Sequence[Grid], mapping: Mapping, findings: Findings
) -> list[Measurements]:
    """Return what tables of one file measured; one that cannot be read stops no other.

    Raises:
        BadInput: None of them can be read.
    """
    measured: list[Measurements] = []
    problems: list[BadInput] = []
    for grid in grids:
        try:
            measured.append(measure_grid(grid, mapping, findings))
        except BadInput as error:
            problems.append(error)
    if not measured:
        raise problems[0]
    for problem in problems:
        findings.add(
            Finding(
                Severity.WARNING,
                "sheet-left-out",
                expected=problem.expected,
                found=problem.found,
                action="the sheet is left out",
                file=grids[0].file,
                where=problem.place.removeprefix(grids[0].file).lstrip(", "),
            )
        )
    return measured
