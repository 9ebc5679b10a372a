"""The columns of a site list: which header means what, and what one field says."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cellhive.adapters.files import UNKNOWN, Table, parse_number, parse_table, read_bounded
from cellhive.adapters.sites.bands import frequency_hz
from cellhive.core.errors import BadInput

MAX_ROWS = 300_000
"""Largest number of rows in one site list."""

HEADERS: dict[str, tuple[str, ...]] = {
    "cell": (
        "cell", "cellid", "cellname", "eci", "ecgi", "cgi", "nci", "ncgi", "cid",
        "sector", "sectorid", "sectorname", "cellidentity",
    ),
    "site": (
        "site", "siteid", "sitename", "enb", "enbid", "gnb", "gnbid", "enodeb", "enodebid",
        "gnodeb", "gnodebid", "bs", "bsid", "basestation", "basestationid", "bts", "btsid",
        "aggregatedbsid", "nodeid", "node", "station",
    ),
    "id": ("id", "name", "identifier"),
    "lat": ("lat", "latitude", "latwgs84"),
    "lon": ("lon", "lng", "long", "longitude", "lonwgs84"),
    "azimuth": ("azimuth", "azi", "az", "bearing", "dir", "direction", "heading", "orientation"),
    "height": ("height", "hba", "agl", "antennaheight", "heightagl", "hagl", "antennaheightagl"),
    "power": (
        "power", "txpower", "transmitpower", "pwr", "outputpower", "maxtxpower",
        "configuredmaxtxpower",
    ),
    "frequency": (
        "frequency", "freq", "carrierfrequency", "centrefrequency", "centerfrequency",
        "dlfrequency", "frequencydl", "carrierhz", "carriermhz", "carrierghz",
    ),
    "arfcn": (
        "earfcn", "nrarfcn", "arfcn", "earfcndl", "dlearfcn", "nrarfcndl", "arfcndl", "channel",
        "downlinkearfcn", "downlinknarfcn", "ssbarfcn",
    ),
    "band": ("band", "carrier", "freqband", "frequencyband", "operatingband", "layer"),
    "bandwidth": ("bandwidth", "bw", "channelbandwidth", "dlbandwidth", "bschannelbwdl"),
    "electrical_tilt": ("etilt", "electricaltilt", "edt", "ret", "electricaldowntilt"),
    "mechanical_tilt": ("mtilt", "mechanicaltilt", "mdt", "mechanicaldowntilt"),
    "tilt": ("tilt", "downtilt", "totaltilt"),
    "environment": ("environment", "env", "scenario", "clutter", "morphology", "area"),
    "coverage": ("coverage", "coveragecell"),
    "protected": ("protected",),
    "omni": ("omni", "omnidirectional"),
    "seen": ("updated", "lastseen", "changed", "modified", "created", "date"),
}  # fmt: skip
"""What headers are called, in lower case without blanks and marks, the best name first."""

_UNITS = ("degrees", "degree", "deg", "metres", "meters", "dbm", "watts", "watt", "mw", "ghz",
          "mhz", "khz", "hz", "w", "m")  # fmt: skip

ENVIRONMENTS = {
    "uma": "UMa", "umi": "UMi", "rma": "RMa",
    "urbanmacro": "UMa", "urbanmicro": "UMi", "ruralmacro": "RMa",
    "urban": "UMa", "denseurban": "UMa", "suburban": "UMa", "rural": "RMa", "open": "RMa",
    "microcell": "UMi", "smallcell": "UMi", "street": "UMi",
}  # fmt: skip
"""TR 38.901 scenario of what site lists call an environment."""

LIMITS: dict[str, tuple[float, float, str]] = {
    "azimuth": (-360.0, 360.0, "deg"),
    "height": (0.0, 500.0, "m"),
    "electrical_tilt": (0.0, 15.0, "deg"),
    "mechanical_tilt": (-20.0, 30.0, "deg"),
    "tilt": (0.0, 15.0, "deg"),
}
"""Smallest and largest value of a field, and its unit."""

_TRUE = frozenset({"1", "true", "yes", "y", "x", "t"})
_FALSE = frozenset({"0", "false", "no", "n", "f"})


@dataclass(frozen=True, slots=True)
class Column:
    """Where a field stands and what its header says of it."""

    index: int
    header: str
    unit: str = ""


def load_rows(path: Path) -> Table:
    """Return the rows of a site list: delimited text, or JSON with one object per row.

    Raises:
        NotFound: There is no such file.
        BadInput: It is neither, or too large.
    """
    data = read_bounded(path)
    if data.lstrip(b"\xef\xbb\xbf \t\r\n")[:1] in {b"{", b"["}:
        return _json_table(data, str(path))
    return parse_table(data, place=str(path), max_rows=MAX_ROWS)


def find_columns(table: Table) -> dict[str, Column]:
    """Return the column of each field that the header has.

    Raises:
        BadInput: There is no latitude or no longitude.
    """
    found: dict[str, tuple[int, Column]] = {}
    for index, header in enumerate(table.header):
        key = re.sub(r"[^a-z0-9]", "", header.lower())
        for name, unit in _readings(key):
            field = next((f for f, names in HEADERS.items() if name in names), None)
            if field is None:
                continue
            rank = HEADERS[field].index(name)
            if field not in found or rank < found[field][0]:
                found[field] = (rank, Column(index, header, unit))
            break
    columns = {field: column for field, (_, column) in found.items()}
    for field, meaning in (("lat", "latitude"), ("lon", "longitude")):
        if field not in columns:
            raise BadInput(
                place=f"{table.place}, header",
                expected=f"a column with the {meaning}, such as {', '.join(HEADERS[field][:3])}",
                found=", ".join(table.header)[:200] or "no columns",
                remedy="rename the column that holds it",
            )
    if _is_grid_mapping(table, columns):
        del columns["cell"]
    return columns


def read_number(text: str, field: str, *, decimal_comma: bool) -> float:
    """Return a number; NaN where the field says that it is not known.

    Raises:
        ValueError: It is no number, or out of the field's range; the message says which.
    """
    if text.strip().lower() in UNKNOWN:
        return math.nan
    try:
        value = parse_number(text, decimal_comma=decimal_comma)
    except ValueError:
        message = f"{field} {text.strip()[:30]!r} is not a number"
        raise ValueError(message) from None
    low, high, unit = LIMITS.get(field, (-math.inf, math.inf, ""))
    if not low <= value <= high:
        message = f"{field} {value:g} is not {low:g} to {high:g} {unit}".rstrip()
        raise ValueError(message)
    return value


def read_frequency(text: str, field: str, unit: str) -> float:
    """Return a carrier frequency [Hz]; NaN where the field says that it is not known.

    Raises:
        ValueError: It is no band, channel or frequency that is known.
    """
    if text.strip().lower() in UNKNOWN:
        return math.nan
    try:
        return frequency_hz(text, meaning=field, unit=unit if unit.endswith("hz") else "")
    except (ValueError, OverflowError):
        message = f"{field} {text.strip()[:30]!r} is no band, channel or frequency that is known"
        raise ValueError(message) from None


def read_environment(text: str) -> str:
    """Return "UMa", "UMi" or "RMa"; "" where the field says that it is not known.

    Raises:
        ValueError: It is another word.
    """
    key = re.sub(r"[^a-z]", "", text.lower())
    if text.strip().lower() in UNKNOWN:
        return ""
    if key not in ENVIRONMENTS:
        message = f"environment {text.strip()[:30]!r} is not UMa, UMi or RMa"
        raise ValueError(message)
    return ENVIRONMENTS[key]


def read_flag(text: str, field: str) -> bool | None:
    """Return yes or no; None where the field says that it is not known.

    Raises:
        ValueError: It is another word.
    """
    word = text.strip().lower()
    if word in UNKNOWN:
        return None
    if word not in _TRUE | _FALSE:
        message = f"{field} {text.strip()[:30]!r} is not yes or no"
        raise ValueError(message)
    return word in _TRUE


def _readings(key: str) -> list[tuple[str, str]]:
    """Return a header as it stands, and without the unit at its end."""
    readings = [(key, _unit_at_end(key) if key.startswith("carrier") else "")]
    for unit in _UNITS:
        if key.endswith(unit) and len(key) > len(unit):
            readings.append((key[: -len(unit)], unit))
    return readings


def _unit_at_end(key: str) -> str:
    return next((unit for unit in _UNITS if key.endswith(unit) and unit.endswith("hz")), "")


def _is_grid_mapping(table: Table, columns: Mapping[str, Column]) -> bool:
    """Return whether the cell column numbers grid squares that base stations are mapped to.

    Lists such as those made from OpenCellID for the Milan grid have one row per square
    and station: ``cellId`` is the square, ``distance`` that from the station to it.
    """
    names = {re.sub(r"[^a-z0-9]", "", header.lower()) for header in table.header}
    return "cell" in columns and "site" in columns and "distance" in names


# ------------------------------------------------------------------------------ JSON


def _json_table(data: bytes, place: str) -> Table:
    try:
        document = json.loads(data.decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise BadInput(
            place=place, expected="delimited text or JSON in UTF-8", found=f"broken JSON: {error}"
        ) from error
    if isinstance(document, dict):
        lists = [value for value in document.values() if isinstance(value, list)]
        document = lists[0] if len(lists) == 1 else [document]
    if not document or not all(isinstance(item, dict) for item in document):
        raise BadInput(
            place=place,
            expected="a JSON list with one object per site or cell",
            found="another structure",
        )
    if len(document) > MAX_ROWS:
        raise BadInput(place=place, expected=f"at most {MAX_ROWS:,} rows", found=f"{len(document)}")
    rows = [_flat(item) for item in document]
    header = tuple(dict.fromkeys(name for row in rows for name in row))
    return Table(
        place,
        header,
        tuple(tuple(row.get(name, "") for name in header) for row in rows),
        tuple(range(1, len(rows) + 1)),
        counted="item",
    )


def _flat(item: Mapping[str, Any]) -> dict[str, str]:
    """Return the plain values of an object and of the objects right below it, as text."""
    row: dict[str, str] = {}
    for name, value in item.items():
        if isinstance(value, dict):
            row |= {key: _plain(inner) for key, inner in value.items() if _is_plain(inner)}
        elif _is_plain(value):
            row[name] = _plain(value)
    return row


def _is_plain(value: object) -> bool:
    return value is None or isinstance(value, str | int | float)


def _plain(value: object) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value)
