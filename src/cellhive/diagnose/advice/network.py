"""Who stands beside whom: sites, layers and neighbours, from files or from names.

A configuration says it; where there is none, the names of cells do, by the patterns that are in
use: a site, a separator, a sector, and a word for the layer. What came from names is an
assumption, and is told as one.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from cellhive.diagnose.audit.configuration import Configuration

CO_SECTOR_DEG = 30.0
"""Largest difference in bearing of cells of one site that cover the same ground [deg]."""

_BAND = re.compile(
    r"(?:^|[-_ ./])(?P<rat>[LNF]|LTE|NR|G|B|BAND)?[-_ ]?"
    r"(?P<mhz>700|800|850|900|1500|1800|1900|2100|2300|2600|3500|3700)(?=$|[-_ ./])",
    re.IGNORECASE,
)
_LAYERED = re.compile(r"^(?P<site>.+?)[-_/](?P<sector>\d{1,2}|[A-F])(?P<layer>[a-z])?$")
_PREFIXED = re.compile(r"^(?P<site>.+?)[-_/](?P<layer>[A-Z])(?P<sector>\d)$")


@dataclass(frozen=True)
class Place:
    """Where a cell belongs."""

    site: str
    sector: str
    """Cells of a site and a sector cover the same ground; "" where it is not known."""
    layer: float
    """The lower, the farther it reaches: a frequency [MHz], or the order of names; NaN where it
    is not known."""


@dataclass(frozen=True)
class Surroundings:
    """Places of cells and their neighbours."""

    places: Mapping[str, Place]
    neighbours: Mapping[str, tuple[str, ...]]
    """Of each cell, nearest or most used first; empty where no file says."""
    assumption: str
    """Where it comes from, in words."""

    def covering(self, cell: str) -> tuple[str, ...]:
        """Return the cells of lower layers that cover the ground of a cell."""
        mine = self.places.get(cell)
        if mine is None or not mine.sector or not np.isfinite(mine.layer):
            return ()
        return tuple(
            name for name, other in self.places.items()
            if name != cell and other.site == mine.site and other.sector == mine.sector
            and np.isfinite(other.layer) and other.layer < mine.layer
        )  # fmt: skip

    def same_ground(self, cell: str) -> tuple[str, ...]:
        """Return the cells of the same site and sector on other layers."""
        mine = self.places.get(cell)
        if mine is None or not mine.sector:
            return ()
        return tuple(
            name for name, other in self.places.items()
            if name != cell and (other.site, other.sector) == (mine.site, mine.sector)
        )  # fmt: skip

    def beside(self, cell: str) -> tuple[str, ...]:
        """Return the neighbours of a cell: by file, or the other cells of its site."""
        if self.neighbours.get(cell):
            listed = self.neighbours[cell]
            return (*(n for n in self.same_ground(cell) if n not in listed), *listed)
        mine = self.places.get(cell)
        if mine is None or not mine.site:
            return ()
        return tuple(n for n, p in self.places.items() if n != cell and p.site == mine.site)


def surroundings(cells: Sequence[str], conf: Configuration | None = None) -> Surroundings:
    """Return what is known of the places of cells.

    Args:
        cells: Names of measured cells.
        conf: Configuration from files, if there is one; it counts for the cells that it has.
    """
    named = {cell: place_of(cell) for cell in cells}
    told: dict[str, Place] = {}
    neighbours: dict[str, tuple[str, ...]] = {}
    if conf is not None:
        told = _told(conf, set(cells))
        neighbours = _neighbours(conf, set(cells))
    places = {**{cell: place for cell, place in named.items() if place is not None}, **told}
    guessed = len([cell for cell in places if cell not in told])
    words = []
    if told:
        words.append(f"sites and layers of {len(told)} cells by the configuration")
    if guessed:
        words.append(
            f"sites, sectors and layers of {guessed} cells by their names (an assumption: cells of "
            "one site and sector cover the same ground, and the lowest layer covers it alone)"
        )
    return Surroundings(places, neighbours, "; ".join(words) or "no places are known")


def place_of(cell: str) -> Place | None:
    """Return the place that a cell's name speaks of, or None if it follows no known pattern."""
    name = cell.strip()
    band = None
    for found in _BAND.finditer(name):
        band = found
    if band is not None:
        rest = (name[: band.start()] + name[band.end() :]).strip("-_ ./")
        split = re.match(r"^(?P<site>.+?)[-_ ./]+(?P<sector>\d{1,2}|[A-F])$", rest)
        if split:
            return Place(split["site"], split["sector"], float(band["mhz"]))
        return Place(rest, "", float(band["mhz"])) if rest else None
    layered = _LAYERED.match(name)
    if layered:
        layer = layered["layer"]
        rank = 1.0 + ord(layer) - ord("a") if layer else 0.0
        return Place(layered["site"], layered["sector"], rank)
    prefixed = _PREFIXED.match(name)
    if prefixed:
        return Place(prefixed["site"], prefixed["sector"], float("nan"))
    return None


def _told(conf: Configuration, wanted: set[str]) -> dict[str, Place]:
    """Return the places that a configuration states: sectors are groups of like bearings."""
    by_site: dict[str, list[int]] = defaultdict(list)
    for index, (cell, site) in enumerate(zip(conf.cell_ids, conf.site_ids, strict=True)):
        if site and cell in wanted:
            by_site[site].append(index)
    out = {}
    for site, members in by_site.items():
        for index in members:
            azimuth = float(conf.azimuth_deg[index])
            sector = _sector(conf, members, index) if np.isfinite(azimuth) else ""
            out[conf.cell_ids[index]] = Place(site, sector, _megahertz(conf.carrier[index]))
    return out


def _sector(conf: Configuration, members: Sequence[int], index: int) -> str:
    """Return the first cell of a site with about the same bearing: the name of the sector."""
    for other in members:
        turn = abs(float(conf.azimuth_deg[other] - conf.azimuth_deg[index])) % 360.0
        if min(turn, 360.0 - turn) <= CO_SECTOR_DEG:
            return conf.cell_ids[other]
    return conf.cell_ids[index]


_E_UTRA_MHZ = (
    (0, 2110), (600, 1930), (1200, 1805), (1950, 2110), (2400, 869), (2750, 2620), (3450, 925),
    (3800, 1845), (4150, 2110), (4750, 1476), (5010, 729), (5180, 746), (5280, 758), (5730, 734),
    (6150, 791), (6450, 1496), (6600, 3510), (9210, 758), (9920, 462), (37750, 2570), (38250, 1880),
    (38650, 2300), (39650, 2496), (41590, 3400), (43590, 3600),
)  # fmt: skip
"""First downlink EARFCN of E-UTRA bands and its frequency [MHz], TS 36.101 table 5.7.3-1."""


def _megahertz(carrier: str) -> float:
    """Return the frequency that a carrier's text speaks of [MHz]; NaN where none is told.

    A number up to 65535 with no unit is an EARFCN, a larger one an NR-ARFCN (TS 38.104 5.4.2.1) or
    hertz; numbers of known bands in MHz are what they are.
    """
    found = re.search(r"\d+(?:\.\d+)?", carrier)
    if not found:
        return float("nan")
    value = float(found.group())
    if value > 1e7:  # noqa: PLR2004  # hertz
        return value / 1e6
    if re.search(r"mhz|band", carrier, re.IGNORECASE) or _BAND.search(carrier):
        return value
    if value > 65535:  # noqa: PLR2004  # an NR-ARFCN
        return value * 0.005 if value < 600000 else 3000.0 + (value - 600000) * 0.015  # noqa: PLR2004
    first, mhz = max((pair for pair in _E_UTRA_MHZ if pair[0] <= value), default=(0, 2110))
    return mhz + 0.1 * (value - first)


def _neighbours(conf: Configuration, wanted: set[str]) -> dict[str, tuple[str, ...]]:
    """Return the neighbours of each cell: the most used first, else the nearest."""
    ranked: dict[str, list[tuple[float, str]]] = defaultdict(list)
    for r in np.flatnonzero(conf.handover_allowed).tolist():
        a, b = int(conf.relation_source[r]), int(conf.relation_target[r])
        source, target = conf.cell_ids[a], conf.cell_ids[b]
        if a == b or source not in wanted or target not in wanted:
            continue
        if conf.relation_weight is not None:
            key = -float(np.nan_to_num(conf.relation_weight[r]))
        else:
            key = float(np.hypot(*(conf.plane_m[a] - conf.plane_m[b])))
        ranked[source].append((key if np.isfinite(key) else 0.0, target))
    return {source: tuple(name for _, name in sorted(pairs)) for source, pairs in ranked.items()}
