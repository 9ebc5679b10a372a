"""The rows of a site list, read field by field, with every bad one named."""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import dataclass, replace

import numpy as np

from cellhive.adapters.files import Table, rearmed
from cellhive.adapters.sites.site_fields import (
    Column,
    find_columns,
    read_environment,
    read_flag,
    read_frequency,
    read_number,
)
from cellhive.core.errors import BadInput
from cellhive.core.types import Floats

SHOWN = 5
"""How many offending rows a message names."""

SAME_PLACE_DEG = 1e-5
"""Positions closer than this are one point [deg]: about a metre."""

_NUMBERS = ("azimuth", "height", "power", "bandwidth", "electrical_tilt", "mechanical_tilt", "tilt")
_CARRIERS = ("frequency", "arfcn", "band")
_FLAGS = ("coverage", "protected", "omni")
_FAR_DEG, _NEAR_DEG = 3.0, 1.0
"""How far from the middle of the list a row with swapped coordinates lies, and how near to it
once they are swapped back [deg]."""


@dataclass(frozen=True, slots=True)
class Row:
    """One row of a site list; NaN, "" and None mean that the file does not say."""

    line: int
    cell: str
    """Name of the cell, or of whatever the list has one row for."""
    site: str
    lat: float
    lon: float
    numbers: dict[str, float]
    """Azimuth, height, power, ... in the unit of the file; a height of 0 m is not known."""
    carrier_hz: float
    environment: str
    flags: dict[str, bool | None]
    seen: str

    def settings(self) -> tuple[object, ...]:
        """Return all that makes two rows say the same."""
        numbers = tuple(None if math.isnan(v) else v for v in self.numbers.values())
        carrier = None if math.isnan(self.carrier_hz) else self.carrier_hz
        place = (round(self.lat / SAME_PLACE_DEG), round(self.lon / SAME_PLACE_DEG))
        flags = tuple(self.flags.values())
        return (self.cell, self.site, place, numbers, carrier, self.environment, flags)


@dataclass(frozen=True, slots=True)
class Rows:
    """All rows of a site list and how they were read."""

    table: Table
    columns: dict[str, Column]
    rows: tuple[Row, ...]
    named_by: str
    """Field that names the rows: "cell", "id", "site" or "" if nothing does."""

    def with_rows(self, rows: list[Row]) -> Rows:
        """Return the same list with other rows."""
        return Rows(self.table, self.columns, tuple(rows), self.named_by)


def read_rows(table: Table) -> Rows:
    """Return the rows of a table.

    Raises:
        BadInput: A column is missing, or some rows have bad values; the message names the
            first of them and counts the rest.
    """
    columns = find_columns(table)
    named_by = next((field for field in ("cell", "id", "site") if field in columns), "")
    problems: list[str] = []
    parsed: list[Row] = []
    for index, line in enumerate(table.lines):
        try:
            parsed.append(_read_row(table, columns, index, named_by))
        except ValueError as error:
            problems.append(f"{table.counted} {line}: {error}")
    _check_swapped(table, columns)
    refuse(problems, table, "latitude, longitude and other values that can be")
    outside = [
        f"{table.counted} {row.line}: latitude {row.lat:g}, longitude {row.lon:g}"
        for row in parsed
        if abs(row.lat) > 90 or abs(row.lon) > 180  # noqa: PLR2004 - degrees
    ]
    refuse(outside, table, "latitudes from -90 to 90 and longitudes from -180 to 180")
    return Rows(table, columns, tuple(parsed), named_by)


def refuse(problems: list[str], table: Table, expected: str) -> None:
    """Raise one error that names the first problems and counts the rest."""
    if problems:
        rest = len(problems) - SHOWN
        more = f"; and {rest:,} more" if rest > 0 else ""
        raise BadInput(
            place=table.place,
            expected=expected,
            found="; ".join(problems[:SHOWN]) + more,
            remedy="correct or remove these rows",
        )


def one_row_each(rows: Rows) -> tuple[Rows, list[str]]:
    """Return the rows without repetitions, and notes on what was left out.

    Rows that say the same are merged. Where the rows of one cell contradict one another
    the latest is kept (of several that are, the first) if the list has dates; without
    dates that is an error. Rows named by
    their site may differ in what makes them sectors of it, not in where the site is.
    """
    merged = list({row.settings(): row for row in reversed(rows.rows)}.values())[::-1]
    notes = []
    if len(merged) < len(rows.rows):
        notes.append(f"{len(rows.rows) - len(merged):,} repeated rows were merged")
    if not rows.named_by:
        return rows.with_rows(merged), notes
    groups: dict[str, list[Row]] = defaultdict(list)
    for row in merged:
        groups[row.cell].append(row)
    dated = len({row.seen for row in merged}) > 1
    kept: list[Row] = []
    problems: list[str] = []
    dropped, widest_deg = 0, 0.0
    for name, group in groups.items():
        latest = _agreeing(group, rows.named_by, dated=dated)
        if not latest:
            lines = ", ".join(str(row.line) for row in group[:SHOWN])
            problems.append(f"{name!r} differs in {rows.table.counted}s {lines}")
            continue
        dropped += len(group) - len(latest)
        if len(latest) < len(group):
            widest_deg = max(widest_deg, _spread_deg(group))
        kept += latest
    refuse(problems, rows.table, f"one row for each {rows.columns[rows.named_by].header}")
    if dropped:
        header = rows.columns["seen"].header
        notes.append(
            f"{dropped:,} rows contradicted a later one of the same name and were left out "
            f"(latest {header!r} kept; positions differed by up to {widest_deg * 111.2:.1f} km)"
        )
    return rows.with_rows(kept), notes


def _agreeing(group: list[Row], named_by: str, *, dated: bool) -> list[Row]:
    """Return the rows of one name that may stand beside each other; none if that is unclear."""
    if len(group) == 1 or (named_by != "cell" and _are_sectors(group)):
        return group
    if _spread_deg(group) <= SAME_PLACE_DEG and len({_but_place(row) for row in group}) == 1:
        return group[:1]
    newest = max(row.seen for row in group)
    return [row for row in group if row.seen == newest][:1] if dated else []


def _but_place(row: Row) -> tuple[object, ...]:
    """Return all that a row says apart from where it is."""
    return replace(row, lat=0.0, lon=0.0).settings()


def _are_sectors(group: list[Row]) -> bool:
    """Return whether rows differ in azimuth or carrier and stand on one point."""
    pointing = {(row.numbers.get("azimuth", math.nan), row.carrier_hz) for row in group}
    return len(pointing) == len(group) and _spread_deg(group) <= 2 * SAME_PLACE_DEG


def _spread_deg(group: list[Row]) -> float:
    """Return the larger side of the box around the rows [deg]."""
    lats, lons = [row.lat for row in group], [row.lon for row in group]
    return max(max(lats) - min(lats), max(lons) - min(lons))


def _read_row(table: Table, columns: dict[str, Column], index: int, named_by: str) -> Row:
    fields = table.rows[index]

    def text(field: str) -> str:
        return fields[columns[field].index].strip() if field in columns else ""

    def number(field: str) -> float:
        return read_number(text(field), field, decimal_comma=table.decimal_comma)

    lat, lon = number("lat"), number("lon")
    if math.isnan(lat) or math.isnan(lon):
        message = "the latitude or longitude is missing"
        raise ValueError(message)
    name = rearmed(text(named_by)) if named_by else ""
    if named_by and not name:
        message = f"the {columns[named_by].header} is missing"
        raise ValueError(message)
    carrier_hz = math.nan
    for field in _CARRIERS:
        if field in columns and math.isnan(carrier_hz):
            carrier_hz = read_frequency(text(field), field, columns[field].unit)
    numbers = {field: number(field) for field in _NUMBERS if field in columns}
    if numbers.get("height") == 0.0:
        numbers["height"] = math.nan
    return Row(
        line=table.lines[index],
        cell=name,
        site=rearmed(text("site")),
        lat=lat,
        lon=lon,
        numbers=numbers,
        carrier_hz=carrier_hz,
        environment=read_environment(text("environment")),
        flags={field: read_flag(text(field), field) for field in _FLAGS if field in columns},
        seen=text("seen"),
    )


def _check_swapped(table: Table, columns: dict[str, Column]) -> None:
    """Refuse rows whose coordinates make sense only the other way round."""
    lat, lon = (_column_of_numbers(table, columns[field]) for field in ("lat", "lon"))
    known = np.isfinite(lat) & np.isfinite(lon)
    if not known.any():
        return
    middle_lat, middle_lon = float(np.median(lat[known])), float(np.median(lon[known]))
    impossible = known & (np.abs(lat) > 90) & (np.abs(lat) <= 180) & (np.abs(lon) <= 90)  # noqa: PLR2004 - degrees
    far = known & (np.hypot(lat - middle_lat, lon - middle_lon) > _FAR_DEG)
    back = np.hypot(lon - middle_lat, lat - middle_lon) < _NEAR_DEG
    for suspects in (impossible & (back | ~far), far & back):
        if suspects.any():
            shown = [
                f"{table.counted} {table.lines[index]}: latitude {lat[index]:g}, "
                f"longitude {lon[index]:g}"
                for index in np.flatnonzero(suspects)
            ]
            refuse(shown, table, "latitude before longitude in rows that look swapped")


def _column_of_numbers(table: Table, column: Column) -> Floats:
    def value(text: str) -> float:
        try:
            return read_number(text, "", decimal_comma=table.decimal_comma)
        except ValueError:
            return math.nan

    return np.array([value(fields[column.index]) for fields in table.rows])
