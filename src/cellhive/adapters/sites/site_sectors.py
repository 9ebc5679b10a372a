"""The cells that the rows of a site list stand for: which site, which direction, how many."""

from __future__ import annotations

import itertools
import math
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from scipy.spatial import cKDTree

from cellhive.adapters.files import parse_number
from cellhive.adapters.sites.site_rows import SAME_PLACE_DEG, Row, Rows
from cellhive.core.errors import BadInput
from cellhive.core.types import Floats
from cellhive.ran.layout import EARTH_RADIUS_M, SECTOR_AZIMUTHS_DEG, local_xy

MAX_CELLS = 400
"""Largest number of cells that one twin is built of."""
MAX_EXTENT_M = 60_000.0
"""Largest side of the area that one twin covers [m]."""
SUGGESTED_CELLS = 120
"""About how many cells a suggested box holds."""

_ECI_CELLS_PER_NODE = 256
_ECI_MAX = 2**28


@dataclass(frozen=True, slots=True)
class BoundingBox:
    """A box on the map; sites on its border belong to it."""

    min_lon: float
    min_lat: float
    max_lon: float
    max_lat: float

    @classmethod
    def parse(cls, text: str) -> BoundingBox:
        """Return the box that "min_lon,min_lat,max_lon,max_lat" says [deg].

        Raises:
            BadInput: It does not say four numbers that make a box.
        """
        form = "four degrees: min_lon,min_lat,max_lon,max_lat"
        try:
            values = [parse_number(part) for part in text.split(",")]
            box = cls(*values)
        except (ValueError, TypeError) as error:
            raise BadInput(place="bbox", expected=form, found=repr(text)) from error
        if max(abs(box.min_lat), abs(box.max_lat)) > 90:  # noqa: PLR2004 - degrees
            raise BadInput(
                place="bbox",
                expected=form,
                found=f"{text!r}, whose latitudes are beyond 90",
                remedy="longitude comes first",
            )
        if box.min_lon >= box.max_lon or box.min_lat >= box.max_lat:
            raise BadInput(
                place="bbox",
                expected=form,
                found=f"{text!r}, whose maximum is not above its minimum",
            )
        return box

    def holds(self, lat: float, lon: float) -> bool:
        """Return whether a point is in the box."""
        return self.min_lat <= lat <= self.max_lat and self.min_lon <= lon <= self.max_lon

    def __str__(self) -> str:
        """Return the box as ``parse`` reads it."""
        corners = (self.min_lon, self.min_lat, self.max_lon, self.max_lat)
        return ",".join(f"{value:.6f}".rstrip("0").rstrip(".") for value in corners)


@dataclass(frozen=True, slots=True)
class Sector:
    """One cell to be: a row, its name, its site and where it points."""

    row: Row
    cell: str
    site: str
    azimuth_deg: float
    omni: bool


def inside_box(rows: Rows, bbox: BoundingBox) -> Rows:
    """Return the rows in a box.

    Raises:
        BadInput: There are none; the message says where the rows are.
    """
    inside = [row for row in rows.rows if bbox.holds(row.lat, row.lon)]
    if inside:
        return rows.with_rows(inside)
    lats, lons = [row.lat for row in rows.rows], [row.lon for row in rows.rows]
    extent = BoundingBox(min(lons), min(lats), max(lons), max(lats))
    if any(bbox.holds(row.lon, row.lat) for row in rows.rows):
        raise BadInput(
            place=rows.table.place,
            expected=f"sites in the box {bbox}",
            found="none, but some once latitude and longitude are swapped",
            remedy="swap the columns of the file",
        )
    raise BadInput(
        place=rows.table.place,
        expected=f"sites in the box {bbox}",
        found=f"none; the {len(rows.rows):,} rows of the file lie in {extent}",
        remedy="give a box within that, as min_lon,min_lat,max_lon,max_lat",
    )


def at_their_nodes(rows: Rows) -> tuple[Rows, list[str]]:
    """Return rows that are named by E-UTRAN cell identities as cells of their base stations.

    Lists that were measured rather than planned put each cell where it was heard; its
    base station, the identity without its last 8 bits, is put at the median of those
    points. Other lists come back as they are.
    """
    if not _look_like_eci(rows):
        return rows, []
    nodes: dict[str, list[Row]] = defaultdict(list)
    for row in rows.rows:
        nodes[str(int(row.cell) // _ECI_CELLS_PER_NODE)].append(row)
    middles = {
        node: (float(np.median([r.lat for r in group])), float(np.median([r.lon for r in group])))
        for node, group in nodes.items()
    }
    moved = []
    for row in rows.rows:
        node = str(int(row.cell) // _ECI_CELLS_PER_NODE)
        lat, lon = middles[node]
        moved.append(replace(row, site=node, lat=lat, lon=lon))
    note = (
        f"{rows.columns[rows.named_by].header!r} looks like E-UTRAN cell identities: one row is "
        f"one cell, its base station is identity // {_ECI_CELLS_PER_NODE}; each of the "
        f"{len(nodes):,} base stations was put at the median position of its cells"
    )
    return replace(rows, rows=tuple(moved), named_by="cell"), [note]


def make_sectors(rows: Rows) -> tuple[list[Sector], list[str]]:
    """Return the cells that the rows stand for, in their order, and notes on how it was done."""
    groups = _by_site(rows)
    one_row_is_a_cell = rows.named_by == "cell" or "azimuth" in rows.columns
    sectors: list[Sector] = []
    tripled = spread = lone = 0
    for site, group in groups.items():
        aimless = sum(_is_aimless(row) for row in group)
        if len(group) == 1 and aimless and not one_row_is_a_cell:
            tripled += 1
            sectors += _three(group[0], site)
            continue
        alone = len(group) == 1 and aimless == 1
        lone += alone
        spread += 0 if alone else aimless
        sectors += _as_listed(group, site, aimless)
    order = {row.line: index for index, row in enumerate(rows.rows)}
    sectors.sort(key=lambda sector: order[sector.row.line])
    return _named_apart(sectors), _azimuth_notes(rows, tripled, spread, lone)


def _as_listed(group: list[Row], site: str, aimless: int) -> list[Sector]:
    """Return one cell per row of a site; those without a direction are spread evenly."""
    sectors: list[Sector] = []
    bearing = SECTOR_AZIMUTHS_DEG[0]
    for row in group:
        azimuth, omni = row.numbers.get("azimuth", math.nan), bool(row.flags.get("omni"))
        if _is_aimless(row):
            omni = len(group) == 1
            azimuth, bearing = 0.0 if omni else bearing, bearing + 360.0 / aimless
        azimuth = 0.0 if math.isnan(azimuth) else azimuth % 360.0
        sectors.append(Sector(row, row.cell, site, azimuth, omni))
    return sectors


def _is_aimless(row: Row) -> bool:
    """Return whether a list says neither where a cell points nor that it points nowhere."""
    return math.isnan(row.numbers.get("azimuth", math.nan)) and not row.flags.get("omni")


def _azimuth_notes(rows: Rows, tripled: int, spread: int, lone: int) -> list[str]:
    missing = "not in the file" if "azimuth" not in rows.columns else "missing in some rows"
    notes = []
    if tripled:
        angles = ", ".join(f"{angle:g}" for angle in SECTOR_AZIMUTHS_DEG)
        notes.append(
            f"azimuth: {missing}; {tripled:,} sites got three sectors each, at {angles} deg"
        )
    if spread:
        notes.append(f"azimuth: {missing}; {spread:,} cells were spread evenly around their site")
    if lone:
        notes.append(f"azimuth: {missing}; {lone:,} cells alone on their site were made omni")
    return notes


def _look_like_eci(rows: Rows) -> bool:
    """Return whether the rows are named by E-UTRAN cell identities, 28 bits, TS 36.413 §9.2.1.38.

    They are when they are numbers of that size that fall into base stations of a few
    cells each, and neither a site nor an azimuth says otherwise.
    """
    names = [row.cell for row in rows.rows]
    plain = rows.named_by in {"cell", "id"} or (rows.named_by == "site" and len(names) > 1)
    if not plain or "azimuth" in rows.columns or (rows.named_by != "site" and rows.rows[0].site):
        return False
    if not all(name.isascii() and name.isdigit() and int(name) < _ECI_MAX for name in names):
        return False
    nodes = {int(name) // _ECI_CELLS_PER_NODE for name in names}
    largest = max(int(name) for name in names)
    fewest, most = 1.2, 32.0
    return largest > 2**16 and fewest <= len(set(names)) / len(nodes) <= most


def _by_site(rows: Rows) -> dict[str, list[Row]]:
    """Return the rows of each site: by its name, else by the point they share."""
    groups: dict[str, list[Row]] = defaultdict(list)
    points: dict[tuple[int, int], str] = {}
    for index, row in enumerate(rows.rows, 1):
        point = (round(row.lat / SAME_PLACE_DEG), round(row.lon / SAME_PLACE_DEG))
        name = row.site or points.setdefault(point, row.cell or f"site-{index}")
        groups[name].append(row)
    return groups


def _three(row: Row, site: str) -> list[Sector]:
    return [
        Sector(row, f"{row.cell or site}-{number}", site, azimuth, False)
        for number, azimuth in enumerate(SECTOR_AZIMUTHS_DEG, 1)
    ]


def _named_apart(sectors: list[Sector]) -> list[Sector]:
    """Return the cells with a name each: those that share one, or have none, are numbered."""
    uses = Counter(sector.cell for sector in sectors)
    used = {name for name, count in uses.items() if count == 1 and name}
    numbers: dict[str, Iterator[int]] = defaultdict(lambda: itertools.count(1))
    named = []
    for sector in sectors:
        if sector.cell in used and uses[sector.cell] == 1:
            named.append(sector)
            continue
        candidates = (f"{sector.site}-{number}" for number in numbers[sector.site])
        name = next(candidate for candidate in candidates if candidate not in used)
        used.add(name)
        named.append(replace(sector, cell=name))
    return named


def check_size(sectors: list[Sector], place: str) -> None:
    """Refuse more than one twin can be built of, and suggest a box that holds less.

    Raises:
        BadInput: There are too many cells or they lie too far apart.
    """
    lat = np.array([sector.row.lat for sector in sectors])
    lon = np.array([sector.row.lon for sector in sectors])
    x_m, y_m = local_xy(lat, lon, middle(sectors))
    extent_m = max(float(np.ptp(x_m)), float(np.ptp(y_m)))
    if len(sectors) <= MAX_CELLS and extent_m <= MAX_EXTENT_M:
        return
    raise BadInput(
        place=place,
        expected=f"at most {MAX_CELLS} cells within {MAX_EXTENT_M / 1e3:g} km for one twin",
        found=f"{len(sectors):,} cells within {extent_m / 1e3:.1f} km",
        remedy=f"read a part of it, for example the densest: --bbox {_dense_box(lat, lon)}",
    )


def middle(sectors: list[Sector]) -> tuple[float, float]:
    """Return latitude and longitude of the middle of the box around the cells [deg]."""
    lats, lons = [s.row.lat for s in sectors], [s.row.lon for s in sectors]
    return (min(lats) + max(lats)) / 2, (min(lons) + max(lons)) / 2


def _dense_box(lat: Floats, lon: Floats) -> BoundingBox:
    """Return a box around about ``SUGGESTED_CELLS`` cells where they stand closest."""
    squeeze = max(math.cos(math.radians(float(np.median(lat)))), 0.01)
    points = np.stack([lat, lon * squeeze], axis=1)
    tree = cKDTree(points)
    some = points[:: max(1, len(points) // 500)]
    near = min(SUGGESTED_CELLS, len(points))
    reach = np.asarray(tree.query(some, k=[near], p=np.inf)[0])[:, 0]
    best, radius = int(np.argmin(reach)), float(np.min(reach))
    widest = math.degrees(MAX_EXTENT_M / 2.2 / EARTH_RADIUS_M)
    if radius > widest:
        radius = widest
        best = int(np.argmax(tree.query_ball_point(some, radius, p=np.inf, return_length=True)))
    centre = some[best]
    inside = np.max(np.abs(points - centre), axis=1) <= radius
    digits = 4
    scale = 10.0**digits
    south, west = np.floor(points[inside].min(axis=0) / [1, squeeze] * scale) / scale
    north, east = np.ceil(points[inside].max(axis=0) / [1, squeeze] * scale) / scale
    # A single mast has no extent of its own.
    east, north = max(east, west + 1 / scale), max(north, south + 1 / scale)
    return BoundingBox(float(west), float(south), float(east), float(north))
