"""Tables of cells and of neighbour relations: delimited text or JSON with an object per row.

A table with a source and a target column is one of relations; else it is one of cells.
Numeric columns that mean nothing else are parameters of the cells.
"""

from __future__ import annotations

import math
import re
from pathlib import Path

from cellhive.adapters.cm.stated import Stated, StatedCell, StatedRelation, pci_of
from cellhive.adapters.files import UNKNOWN, Table, parse_number
from cellhive.adapters.sites.site_fields import HEADERS, load_rows
from cellhive.core.errors import BadInput
from cellhive.core.measurements import Finding, Severity

_SOURCE = (
    "source", "sourcecell", "from", "fromcell", "serving", "servingcell", "localcell",
    "localcellname", "localcellid", "cella", "sourcecellid", "sourcecellname",
)  # fmt: skip
_TARGET = (
    "target", "targetcell", "to", "tocell", "neighbour", "neighbor", "neighbourcell",
    "neighborcell", "adjacentcell", "cellb", "targetcellid", "targetcellname", "neighbourcellname",
    "neighborcellname", "neighbourcellid", "neighborcellid",
)  # fmt: skip
_ALLOWED = ("ishoallowed", "hoallowed", "handoverallowed", "allowed")
_BARRED = ("nohoflag", "blacklisted", "blocklisted", "barred", "excluded")
_WEIGHT = (
    "handovers", "hoattempts", "hosuccesses", "attempts", "successes", "hoatt", "hosucc", "count",
    "mmhoexeinterattnci", "mmhoexeintersuccnci",
)  # fmt: skip
_PCI = ("pci", "physicalcellid", "phycellid", "nrpci", "physicalcellidentity")
_YES, _NO = {"true", "yes", "1", "y"}, {"false", "no", "0", "n"}
_PLACE = ("lat", "lon", "azimuth")
_CARRIER = ("arfcn", "frequency", "band")
_COUNTED = re.compile(r"(n|no|nr|num|nof|number|count|total|index|#)([ _.]|$)", re.IGNORECASE)
"""Headings of columns that count or number the rows."""
_LIMIT = {"lat": 90.0, "lon": 180.0, "azimuth": 360.0}


def read_configuration_table(path: Path, into: Stated) -> int:
    """Add the cells or relations of a table; return how many rows were taken.

    Raises:
        NotFound: There is no such file.
        BadInput: It is no table, or has no column that names cells.
    """
    return take_table(load_rows(path), path, into)


def take_table(table: Table, path: Path, into: Stated) -> int:
    """Add the cells or relations of a table that was read; return how many rows were taken.

    Raises:
        BadInput: It has no column that names cells.
    """
    keys = [key_of(header) for header in table.header]
    ends = relation_ends(keys)
    if ends is not None:
        return _relations(table, keys, ends, into)
    return _cells(table, keys, path, into)


def key_of(header: str) -> str:
    """Return a heading in lower case without blanks and marks."""
    return re.sub(r"[^a-z0-9]", "", header.lower())


def relation_ends(keys: list[str]) -> tuple[int, int] | None:
    """Return the columns of the source and the target of relations, by simplified headings."""
    source, target = _column(keys, _SOURCE), _column(keys, _TARGET)
    return None if source is None or target is None else (source, target)


def cell_column(keys: list[str]) -> int | None:
    """Return the column that names cells, by simplified headings."""
    return _column(keys, (*HEADERS["cell"], "nodeid", "id", "name", *HEADERS["site"]))


def position_columns(keys: list[str]) -> list[int]:
    """Return the columns of positions, bearings and physical identities."""
    both = all(_column(keys, HEADERS[field]) is not None for field in ("lat", "lon"))
    names = (*(HEADERS["lat"] + HEADERS["lon"] if both else ()), *HEADERS["azimuth"], *_PCI)
    return [keys.index(name) for name in names if name in keys]


def has_identity(keys: list[str]) -> bool:
    """Return whether a column holds the physical cell identity, by simplified headings."""
    return _column(keys, _PCI) is not None


def identity_columns(keys: list[str]) -> list[int]:
    """Return the columns that say what a cell is and where, but not how it is set or does."""
    fields = (_column(keys, HEADERS[field]) for field in ("site", *_CARRIER))
    found = {cell_column(keys), *fields, *position_columns(keys)}
    return sorted(index for index in found if index is not None)


def _column(keys: list[str], names: tuple[str, ...]) -> int | None:
    """Return the column of the best of several names."""
    return next((keys.index(name) for name in names if name in keys), None)


def _relations(table: Table, keys: list[str], ends: tuple[int, int], into: Stated) -> int:
    allowed, barred, weight = (_column(keys, names) for names in (_ALLOWED, _BARRED, _WEIGHT))
    taken = 0
    for row, line in zip(table.rows, table.lines, strict=True):
        source, target = row[ends[0]].strip(), row[ends[1]].strip()
        if source.lower() in UNKNOWN or target.lower() in UNKNOWN:
            _say(into, table, line, "relation-without-end", "a source and a target", "an empty one")
            continue
        go = True
        if allowed is not None:
            go = row[allowed].strip().lower() not in _NO
        if barred is not None and row[barred].strip().lower() in _YES:
            go = False
        counted = math.nan if weight is None else _number(row[weight], table)
        into.relations.append(StatedRelation(source, target, go, counted))
        taken += 1
    return taken


def _cells(table: Table, keys: list[str], path: Path, into: Stated) -> int:
    if "distance" in keys and _column(keys, HEADERS["site"]) is not None:
        raise BadInput(  # one row per square of a grid and station, as lists made of OpenCellID
            place=f"{table.place}, header", expected="a row per cell",
            found="a row per grid square and base station", remedy="give the list of stations",
        )  # fmt: skip
    name = cell_column(keys)
    if name is None:
        raise BadInput(
            place=f"{table.place}, header",
            expected="a column that names cells, such as cell, cellName or nodeId, or columns "
            "source and target for relations",
            found=", ".join(table.header)[:200] or "no columns",
            remedy="rename the column that holds it",
        )
    places = {field: _column(keys, HEADERS[field]) for field in (*_PLACE, "site")}
    if places["site"] == name:
        places["site"] = None
    pci = _column(keys, _PCI)
    carrier = next((c for field in _CARRIER
                    if (c := _column(keys, HEADERS[field])) is not None), None)  # fmt: skip
    spoken = {name, pci, carrier, *places.values()}
    others = [i for i in range(len(keys)) if i not in spoken and _may_be_set(table.header[i])]
    numeric = [i for i in others if _is_numeric(table, i)]
    for row, line in zip(table.rows, table.lines, strict=True):
        called = row[name].strip()
        if called.lower() in UNKNOWN:
            _say(into, table, line, "cell-without-name", "the name of a cell", "an empty one")
            continue
        cell = StatedCell(called, where=f"{path.name}, {table.counted} {line}")
        site = places["site"]
        cell.site = "" if site is None else row[site].strip()
        cell.carrier = "" if carrier is None else row[carrier].strip()
        for field, attribute in (("lat", "latitude_deg"), ("lon", "longitude_deg"),
                                 ("azimuth", "azimuth_deg")):  # fmt: skip
            at = places[field]
            if at is not None:
                setattr(cell, attribute, _within(row[at], field, table, line, into))
        if pci is not None and row[pci].strip().lower() not in UNKNOWN:
            try:
                cell.physical_cell_id = pci_of(row[pci])
            except ValueError as error:
                _say(into, table, line, "pci-not-readable", "a PCI", str(error))
        cell.settings = {table.header[i]: value for i in numeric
                         if not math.isnan(value := _number(row[i], table))}  # fmt: skip
        into.cells.append(cell)
    return len(table.rows)


def _may_be_set(header: str) -> bool:
    """Return whether a heading may be that of a parameter: counts and numbering are none."""
    return bool(header.strip()) and not _COUNTED.match(header.strip())


def _number(text: str, table: Table) -> float:
    try:
        return parse_number(text, decimal_comma=table.decimal_comma)
    except ValueError:
        return math.nan


def _is_numeric(table: Table, column: int) -> bool:
    """Return whether a column holds numbers and nothing else that is known."""
    values = [row[column].strip() for row in table.rows]
    known = [value for value in values if value.lower() not in UNKNOWN]
    return bool(known) and not any(math.isnan(_number(value, table)) for value in known)


def _within(text: str, field: str, table: Table, line: int, into: Stated) -> float:
    if text.strip().lower() in UNKNOWN:
        return math.nan
    value = _number(text, table)
    if not abs(value) <= _LIMIT[field]:
        _say(into, table, line, f"{field}-not-readable", f"{HEADERS[field][1]} in degrees",
             f"{text.strip()[:30]!r}")  # fmt: skip
        return math.nan
    return value


def _say(into: Stated, table: Table, line: int, code: str, expected: str, found: str) -> None:
    into.findings.add(
        Finding(Severity.WARNING, code, expected, found, "left out", file=table.place,
                where=f"{table.counted} {line}")
    )  # fmt: skip
