"""Turns tables into the one shape that is measured: a row per object and time, a column per KPI.

Exports also come with a row per value (the KPI's name in a column), with a column per day or hour,
with a column per cell, and with several tables on one sheet.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path

import polars as pl

from cellhive.adapters.tabular.grids import Grid
from cellhive.adapters.tabular.headings import (
    CLOCK,
    FEWEST_CLOCKS,
    MISSING_WORDS,
    clean,
    dates_in,
    find_header,
)
from cellhive.adapters.tabular.mapping import describe
from cellhive.adapters.tabular.table_objects import score, spaced
from cellhive.adapters.tabular.table_times import is_hour, looks_like_time
from cellhive.core.measurements import Finding, Findings, Role, Severity

_KPI_WORDS = (
    r"(kpi|kpis|counter|indicator|measure|measurement|metric|statistic|pm|formula|variable)"
)
_NAMES_KPI = re.compile(rf"^{_KPI_WORDS}( ?(name|id|type|code))?$", re.IGNORECASE)
_VALUE = re.compile(rf"^({_KPI_WORDS} ?)?(value|result|val)s?$", re.IGNORECASE)
_UNIT = re.compile(rf"^({_KPI_WORDS} ?)?units?$", re.IGNORECASE)
_MOSTLY_EMPTY = 0.3
"""Share of empty cells from which a name is taken to stand for the rows below it, too."""
_MOST_KPIS = 2000
_FEWEST_DATES = 3
VENDOR_ID = re.compile(
    r"^([A-Z]{0,2}\d{6,}|M\d{3,5}C\d+|(LTE|NR|5G|RNC|BSC|WCEL)_\d+[a-z]?|pm[A-Z]\w*|[A-Z]{1,3}\.\w.*)$"
)
_NO_CELL = re.compile(
    r"^(qci|5qi|qos|slice|plmn|[2-6]g|band|b|n|l|lte|nr|g|u|gsm|umts|week|w|wk|month|m|day|d|q|hour|h|"
    r"p|cqi|mcs|ta|rank|layer|bin|range|level|class|cat)[ _-]?\d*$|^\d+([.,-]\d+)?$",
    re.IGNORECASE,
)
"""Names with numbers that are no cells: services, bands, times, classes, bins."""
_NAMES_ROWS = 45
"""Score of a heading from which the rows have names."""
_GROUPED = 0.8
"""Share of the names that stand above empty cells where a name stands for several rows."""
_ALIKE = 0.8
"""Share of headings of one build from which they are taken for names of cells."""


def blocks(rows: list[list[str]]) -> list[tuple[int, int, list[list[str]]]]:
    """Return the tables on a sheet: their first row and column, and their cells.

    Tables below one another are parted by empty rows and begin with headings of their own;
    tables beside one another by empty columns, and repeat the heading of the time or the name.
    """
    parts: list[tuple[int, int, list[list[str]]]] = []
    for first, part in _below(rows):
        for left, piece in _beside(part):
            parts.append((first, left, piece))
    return parts


def _below(rows: list[list[str]]) -> list[tuple[int, list[list[str]]]]:
    starts = [0]
    empty = [not any(cell.strip() for cell in row) for row in rows]
    for index in range(1, len(rows)):
        if empty[index - 1] and not empty[index] and _begins_table(rows[index:], rows, starts[-1]):
            starts.append(index)
    ends = [*starts[1:], len(rows)]
    return [(a, _without_tail(rows[a:b])) for a, b in zip(starts, ends, strict=True)]


def _without_tail(rows: list[list[str]]) -> list[list[str]]:
    while rows and not any(cell.strip() for cell in rows[-1]):
        rows = rows[:-1]
    return rows


def _begins_table(rest: list[list[str]], rows: list[list[str]], start: int) -> bool:
    """Return whether headings with data below follow, other than those of the table so far."""
    before = rows[start : start + len(rows) - len(rest)]
    if not _has_data(before):
        return False  # still the titles
    end = next((i for i, row in enumerate(rest) if not any(c.strip() for c in row)), len(rest))
    piece = rest[:end]
    at, count = find_header(piece[:12])
    if count == 0 or at > 3 or at + count >= len(piece) or not _has_data(piece):  # noqa: PLR2004
        return False
    words = [clean(cell) for cell in piece[at] if clean(cell)]
    first_at, _ = find_header(before[:40])
    return len(words) > 1 and words != [clean(c) for c in before[first_at] if clean(c)]


def _has_data(rows: list[list[str]]) -> bool:
    """Return whether there is a row of headings with numbers below."""
    at, count = find_header(rows[:40])
    body = rows[at + count :]
    return count > 0 and any(any(c.isdigit() for c in "".join(row)) for row in body[:20])


def _beside(rows: list[list[str]]) -> list[tuple[int, list[list[str]]]]:
    width = max((len(row) for row in rows), default=0)
    used = [any(len(row) > i and row[i].strip() for row in rows) for i in range(width)]
    spans: list[tuple[int, int]] = []
    for i, filled in enumerate(used):
        if filled and (i == 0 or not used[i - 1]):
            spans.append((i, i + 1))
        elif filled:
            spans[-1] = (spans[-1][0], i + 1)
    if len(spans) < 2:  # noqa: PLR2004 (beside one another)
        return [(0, rows)]
    pieces = [(a, [row[a:b] for row in rows]) for a, b in spans]
    keys = [_key_headings(piece) for _, piece in pieces]
    if all(keys) and all(one == keys[0] for one in keys):
        return [(left, _without_tail(piece)) for left, piece in pieces]
    return [(0, rows)]


def _key_headings(rows: list[list[str]]) -> tuple[str, ...]:
    at, count = find_header(rows[:40])
    if not count or len(rows[at]) < 2:  # noqa: PLR2004 (a key and a KPI)
        return ()
    return tuple(
        clean(cell).casefold() for cell in rows[at] if looks_like_time(cell) or score(cell)[0]
    )


def reshaped(grid: Grid, findings: Findings) -> Grid:
    """Return a table with a row per object and time, whatever it was laid out as."""
    if grid.frame.height == 0:
        return grid
    grid = _filled_down(grid, findings)
    headers = [clean(header) for header in grid.headers]
    dates = dates_in(headers)
    clocks = [i for i, header in enumerate(headers) if CLOCK.match(header)]
    if len(clocks) >= FEWEST_CLOCKS and any(looks_like_time(header) for header in headers):
        dates = clocks
    if len(dates) >= _FEWEST_DATES and len(dates) < len(headers):
        grid = _from_days(grid, headers, dates, findings)
        headers = [clean(header) for header in grid.headers]
    elif _is_by_cell(grid, headers):
        return _from_cells(grid, headers, findings)
    else:
        crossed = _crossed(headers)
        if crossed is not None:
            return _from_crossed(grid, headers, crossed, findings)
    return _from_long(grid, headers, findings)


def _filled_down(grid: Grid, findings: Findings) -> Grid:
    """Return a table in which a name or time that stands once for several rows is in each.

    Pivot tables are written so. Only leading columns with names and times are filled; it is said.
    """
    frame, filled = grid.frame, []
    for index, header in enumerate(grid.headers[:-1]):
        named = score(header)[0] >= _NAMES_ROWS or looks_like_time(clean(header))
        column = frame.get_column(str(index))
        if column.dtype != pl.String:
            break
        empty = (column.str.strip_chars() == "").fill_null(value=True)
        share = int(empty.sum()) / max(empty.len(), 1)
        if share == 0.0:
            continue
        heads = ~empty
        above = int((heads & empty.shift(-1, fill_value=False)).sum())
        grouped = above >= _GROUPED * int(heads.sum())
        if not named or share < _MOSTLY_EMPTY or bool(empty[0]) or not grouped:
            break
        frame = frame.with_columns(column.set(empty, None).forward_fill().alias(str(index)))
        filled.append(clean(header))
        findings.add(
            Finding(
                Severity.WARNING, "filled-down", "a name and a time in every row",
                "some that stand once for several rows", "taken for the rows below, too",
                file=grid.file, column=clean(header), count=int(empty.sum()),
            )
        )  # fmt: skip
    return replace(grid, frame=frame) if filled else grid


def _crossed(headers: list[str]) -> dict[int, tuple[str, str]] | None:
    """Return the object and the KPI of each column, where headings are cells over KPIs.

    Each group has the same headings below it, or each KPI the same cells.
    """
    pairs = {i: h.partition(" / ")[::2] for i, h in enumerate(headers) if " / " in h}
    if any(score(h)[0] >= _NAMES_ROWS for i, h in enumerate(headers) if i not in pairs):
        return None  # the rows have a name already
    upper = {up for up, _ in pairs.values()}
    lower = {low for _, low in pairs.values()}
    if min(len(upper), len(lower)) < 2 or len(upper) * len(lower) != len(set(pairs.values())):  # noqa: PLR2004
        return None
    if _are_cells(upper) and all(map(_is_kpi, lower)):
        return dict(pairs)
    if _are_cells(lower) and all(map(_is_kpi, upper)):
        return {i: (low, up) for i, (up, low) in pairs.items()}
    return None


def _are_cells(names: Collection[str]) -> bool:
    """Return whether names are built alike, with a number, and are no KPIs, bands or services."""
    builds = [re.sub(r"[A-Za-z]+", "a", re.sub(r"\d+", "0", name)) for name in names]
    usual = max(set(builds), key=builds.count)
    other = any(
        describe(name).quantity or VENDOR_ID.match(name) or _NO_CELL.match(name) for name in names
    )
    return "0" in usual and builds.count(usual) >= _ALIKE * len(builds) and not other


def _is_kpi(text: str) -> bool:
    about = describe(text)
    return about.quantity is not None or about.role in {Role.COUNTER, Role.RATIO, Role.GAUGE}


def _from_crossed(
    grid: Grid, headers: list[str], crossed: dict[int, tuple[str, str]], findings: Findings
) -> Grid:
    """Return a table with a column per cell and KPI as one with a row per cell."""
    keys = [i for i in range(len(headers)) if i not in crossed]
    frame = _texts(grid.frame)
    kpis = list(dict.fromkeys(kpi for _, kpi in crossed.values()))
    parts = []
    for cell in dict.fromkeys(one for one, _ in crossed.values()):
        columns = {kpi: i for i, (one, kpi) in crossed.items() if one == cell}
        parts.append(
            frame.select(
                *(pl.col(str(i)).alias(f"key {i}") for i in keys),
                pl.lit(cell).alias("cell"),
                *(pl.col(str(columns[kpi])).alias(kpi) for kpi in kpis),
            )
        )
    _say(grid, findings, "column-per-object", f"{len(parts)} objects, each with {len(kpis)} KPIs",
         "turned into rows")  # fmt: skip
    return _named(pl.concat(parts), [*(headers[i] for i in keys), "Cell", *kpis], grid)


def _say(grid: Grid, findings: Findings, code: str, found: str, action: str) -> None:
    where = f"sheet '{grid.sheet}'" if grid.sheet else ""
    findings.add(
        Finding(Severity.INFO, code, "a row per object and time, a column per KPI", found, action,
                file=grid.file, where=where)
    )  # fmt: skip


def _texts(frame: pl.DataFrame) -> pl.DataFrame:
    return frame.select(pl.all().cast(pl.String, strict=False))


def _named(frame: pl.DataFrame, headers: Sequence[str], grid: Grid) -> Grid:
    numbered = frame.rename({name: str(i) for i, name in enumerate(frame.columns)})
    return replace(grid, headers=tuple(headers), frame=numbered)


def _from_days(grid: Grid, headers: list[str], dates: list[int], findings: Findings) -> Grid:
    """Return a table with a column per day as one with a row per day."""
    keys = [i for i in range(len(headers)) if i not in dates]
    frame = _texts(grid.frame)
    long = frame.unpivot(
        on=[str(i) for i in dates], index=[str(i) for i in keys], variable_name="when",
        value_name="value",
    )  # fmt: skip
    when = {str(i): headers[i] for i in dates}
    long = long.with_columns(pl.col("when").replace_strict(when, return_dtype=pl.String))
    _say(grid, findings, "column-per-time", f"{len(dates)} columns with times above them",
         "turned into rows")  # fmt: skip
    named = any(_NAMES_KPI.match(spaced(headers[i])) for i in keys)
    value = "KPI value" if named else _one_kpi(grid)
    called = "Hour" if CLOCK.match(headers[dates[0]]) else "Time"
    return _named(long, [*(headers[i] for i in keys), called, value], grid)


def _one_kpi(grid: Grid) -> str:
    """Return what the only KPI of a table is called: as its title, its sheet or its file."""
    sheet = grid.sheet if describe(grid.sheet).role is not Role.UNKNOWN else ""
    return grid.title or sheet or Path(grid.file).name.partition(".")[0]


def _is_by_cell(grid: Grid, headers: list[str]) -> bool:
    """Return whether all columns but the time are named like cells, under a title that is a KPI."""
    others = [h for h in headers if h and not looks_like_time(h) and not is_hour(h)]
    if not grid.title or len(others) < 2 or len(others) not in {len(headers) - 1, len(headers) - 2}:  # noqa: PLR2004
        return False
    about = describe(grid.title)
    if about.quantity is None and about.role in {Role.UNKNOWN, Role.ATTRIBUTE}:
        return False
    return _are_cells(others)


def _from_cells(grid: Grid, headers: list[str], findings: Findings) -> Grid:
    """Return a table with a column per cell as one with a row per cell."""
    keys = [i for i, h in enumerate(headers) if looks_like_time(h) or is_hour(h) or not h]
    cells = [i for i in range(len(headers)) if i not in keys]
    long = _texts(grid.frame).unpivot(
        on=[str(i) for i in cells], index=[str(i) for i in keys], variable_name="cell",
        value_name="value",
    )  # fmt: skip
    names = {str(i): headers[i] for i in cells}
    long = long.with_columns(pl.col("cell").replace_strict(names, return_dtype=pl.String))
    _say(grid, findings, "column-per-object", f"{len(cells)} columns named like cells",
         f"turned into rows of {grid.title}")  # fmt: skip
    return _named(long, [*(headers[i] for i in keys), "Cell", grid.title], grid)


def _from_long(grid: Grid, headers: list[str], findings: Findings) -> Grid:
    """Return a table with a row per value as one with a column per KPI."""
    words = [spaced(header) for header in headers]
    values = [i for i, text in enumerate(words) if _VALUE.match(text)]
    kpis = [i for i, text in enumerate(words) if _NAMES_KPI.match(text)]
    if len(values) != 1 or not kpis or kpis[0] in values:
        return grid
    name, value = (
        kpis[-1] if len(kpis) > 1 and "name" in words[kpis[-1]].lower() else kpis[0],
        values[0],
    )
    frame = _texts(grid.frame)
    names = frame[str(name)].fill_null("").str.strip_chars()
    distinct = names.unique(maintain_order=True).to_list()
    if not 0 < len(distinct) <= _MOST_KPIS or any(_is_number(one) for one in distinct):
        return grid
    unit = next((i for i, text in enumerate(words) if _UNIT.match(text)), None)
    left_out = {name, value, unit, *(i for i in kpis if i != name)}
    index = [str(i) for i in range(len(headers)) if i not in left_out]
    if not index:
        return grid
    if unit is not None:
        names = names + " (" + frame[str(unit)].fill_null("") + ")"
    frame = frame.with_columns(names.alias(str(name)))
    repeated = frame.select(*index, str(name)).is_duplicated()
    if bool(repeated.any()):
        findings.add(
            Finding(
                Severity.WARNING, "conflicting-rows", "one value per KPI, object and time",
                "several", "the first is kept", file=grid.file, count=int(repeated.sum()),
            )
        )  # fmt: skip
    wide = frame.pivot(
        on=str(name), index=index, values=str(value), aggregate_function="first",
        maintain_order=True,
    )  # fmt: skip
    found = [column for column in wide.columns if column not in index]
    _say(grid, findings, "row-per-value", f"{len(found)} KPIs in rows of their own",
         "turned into columns")  # fmt: skip
    kept = [headers[int(i)] for i in index]
    return _named(wide, [*kept, *(re.sub(r" \(\)$", "", one) for one in found)], grid)


def _is_number(text: str) -> bool:
    if text.casefold() in MISSING_WORDS:
        return True
    try:
        float(text)
    except ValueError:
        return False
    return len(text) < 8  # noqa: PLR2004 (longer ones are ids of counters)
