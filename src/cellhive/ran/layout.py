"""Where sites stand: hexagonal grids, highways, and site lists on the map.

Networks are made without neighbour relations; ``radio_map.neighbour_relations`` finds
them and ``with_relations`` adds them.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from cellhive.core.errors import BadInput
from cellhive.core.types import Floats, Ints, Network

from .propagation import environment_code, resource_blocks

EARTH_RADIUS_M = 6_371_008.8
"""Mean radius of the earth (IUGG)."""
SECTOR_AZIMUTHS_DEG = (30.0, 150.0, 270.0)
"""Bearings of the calibration set-up: between the nearest neighbour sites."""


@dataclass(frozen=True)
class SiteDesign:
    """What every site of a generated network is built like."""

    carrier_hz: float = 3.5e9
    """Centre frequency of the coverage layer [Hz]."""
    bandwidth_hz: float = 20e6
    """Channel bandwidth of the coverage layer [Hz]."""
    height_m: float = 25.0
    """Antenna height above ground [m]."""
    environment: str = "UMa"
    """TR 38.901 scenario: "UMa", "UMi", "RMa" or "InH"."""
    mechanical_tilt_deg: float = 0.0
    """Mechanical downtilt of every antenna [deg]."""
    capacity_carrier_hz: float | None = None
    """Centre frequency of a second, co-sited layer that may sleep [Hz]; None means none."""
    capacity_bandwidth_hz: float | None = None
    """Channel bandwidth of that layer [Hz]; None means that of the coverage layer."""


@dataclass(frozen=True)
class _Sector:
    site: str
    number: int
    x_m: float
    y_m: float
    azimuth_deg: float


def hex_grid(
    sites: int, inter_site_distance_m: float, design: SiteDesign | None = None, *, name: str = ""
) -> Network:
    """Return three-sector sites on a hexagonal grid, ring by ring around the origin.

    Cells are called S01-1 to S01-3 and so on, with "b" appended on the capacity layer.

    Args:
        sites: How many; 1, 7, 19, 37 and so on are whole rings.
        inter_site_distance_m: Distance between neighbouring sites [m].
        design: What the sites are built like; None means the default design.
        name: Name of the network; empty means one made from the numbers.
    """
    if sites < 1:
        raise BadInput(place="sites", expected="at least 1", found=str(sites))
    _require_positive("inter_site_distance_m", inter_site_distance_m)
    sectors = [
        _Sector(f"S{index:02d}", number, x, y, azimuth)
        for index, (x, y) in enumerate(_hex_sites(sites, inter_site_distance_m), 1)
        for number, azimuth in enumerate(SECTOR_AZIMUTHS_DEG, 1)
    ]
    return _network(name or f"hex-{sites}x{inter_site_distance_m:g}m", sectors, design)


def highway(
    sites: int,
    spacing_m: float,
    design: SiteDesign | None = None,
    *,
    offset_m: float = 50.0,
    name: str = "",
) -> Network:
    """Return two-sector sites on alternating sides of a straight road along the x axis.

    The sectors look along the road, east (90°) and west (270°); the road is y = 0 and
    its middle x = 0.

    Args:
        sites: Number of sites, at least 1.
        spacing_m: Distance between sites along the road [m].
        design: What the sites are built like; None means 35 m masts in RMa.
        offset_m: Distance of the sites from the road [m].
        name: Name of the network; empty means one made from the numbers.
    """
    if sites < 1:
        raise BadInput(place="sites", expected="at least 1", found=str(sites))
    _require_positive("spacing_m", spacing_m)
    sectors = [
        _Sector(
            f"S{index + 1:02d}",
            number,
            (index - (sites - 1) / 2) * spacing_m,
            offset_m if index % 2 == 0 else -offset_m,
            azimuth,
        )
        for index in range(sites)
        for number, azimuth in enumerate((90.0, 270.0), 1)
    ]
    rural = SiteDesign(environment="RMa", height_m=35.0)
    return _network(name or f"highway-{sites}x{spacing_m:g}m", sectors, design or rural)


def with_relations(network: Network, source: Ints, target: Ints) -> Network:
    """Return the network with these neighbour relations in place of its own.

    Args:
        network: The network.
        source: Serving cell index of each relation, (R,).
        target: Target cell index of each relation, (R,).
    """
    source = np.asarray(source, dtype=np.int32)
    target = np.asarray(target, dtype=np.int32)
    both = np.concatenate([source, target])
    pairs = {*zip(source.tolist(), target.tolist(), strict=True)}
    if both.size and not 0 <= both.min() <= both.max() < network.cells:
        raise BadInput(
            place="neighbour relations",
            expected=f"cell indices 0 to {network.cells - 1}",
            found=f"{both.min()} to {both.max()}",
        )
    if len(pairs) != source.size or bool((source == target).any()):
        raise BadInput(
            place="neighbour relations",
            expected="each ordered pair of different cells at most once",
            found="a repeated pair or a cell beside itself",
        )
    return replace(network, relation_source=source, relation_target=target)


def local_xy(
    lat_deg: Floats, lon_deg: Floats, origin: tuple[float, float]
) -> tuple[Floats, Floats]:
    """Return metres east and north of an origin, equirectangular on a sphere.

    The scale east is that of the origin's latitude: at 45°, distances east are off by
    0.2 % at 10 km and 1.6 % at 100 km north of it; the ellipsoid adds up to 0.5 %.

    Args:
        lat_deg: Latitude [deg], (N,).
        lon_deg: Longitude [deg], (N,).
        origin: Latitude and longitude of the origin [deg].
    """
    east = np.asarray(lon_deg, dtype=np.float64) - origin[1]
    east = (east + 180.0) % 360.0 - 180.0
    x = np.radians(east) * EARTH_RADIUS_M * math.cos(math.radians(origin[0]))
    y = np.radians(np.asarray(lat_deg, dtype=np.float64) - origin[0]) * EARTH_RADIUS_M
    return x, y


def lat_lon(x_m: Floats, y_m: Floats, origin: tuple[float, float]) -> tuple[Floats, Floats]:
    """Return latitude and longitude [deg]; undoes ``local_xy``."""
    lat = origin[0] + np.degrees(np.asarray(y_m, dtype=np.float64) / EARTH_RADIUS_M)
    scale = EARTH_RADIUS_M * math.cos(math.radians(origin[0]))
    lon = origin[1] + np.degrees(np.asarray(x_m, dtype=np.float64) / scale)
    return lat, (lon + 180.0) % 360.0 - 180.0


def _hex_sites(sites: int, distance_m: float) -> list[tuple[float, float]]:
    """Return site positions, ring by ring, each clockwise from north."""
    rings = next(n for n in itertools.count() if 1 + 3 * n * (n + 1) >= sites)
    found = []
    for q in range(-rings, rings + 1):
        for r in range(max(-rings, -q - rings), min(rings, -q + rings) + 1):
            ring = max(abs(q), abs(r), abs(q + r))
            x, y = distance_m * math.sqrt(0.75) * q, distance_m * (r + q / 2)
            bearing = round(math.degrees(math.atan2(x, y)) % 360.0, 6)
            found.append((ring, bearing, x, y))
    return [(x, y) for _, _, x, y in sorted(found)[:sites]]


def _network(name: str, sectors: Sequence[_Sector], design: SiteDesign | None) -> Network:
    design = design or SiteDesign()
    _check(design)
    layers = [("", design.carrier_hz, design.bandwidth_hz)]
    if design.capacity_carrier_hz is not None:
        bandwidth = design.capacity_bandwidth_hz or design.bandwidth_hz
        layers.append(("b", design.capacity_carrier_hz, bandwidth))
    cells = [(sector, layer) for layer in layers for sector in sectors]
    count = len(cells)
    return Network(
        name=name,
        cell_ids=tuple(f"{sector.site}-{sector.number}{layer[0]}" for sector, layer in cells),
        site_ids=tuple(sector.site for sector, _ in cells),
        x_m=np.array([sector.x_m for sector, _ in cells]),
        y_m=np.array([sector.y_m for sector, _ in cells]),
        height_m=np.full(count, design.height_m),
        azimuth_deg=np.array([sector.azimuth_deg for sector, _ in cells]),
        mechanical_tilt_deg=np.full(count, design.mechanical_tilt_deg),
        carrier_hz=np.array([layer[1] for _, layer in cells]),
        bandwidth_hz=np.array([layer[2] for _, layer in cells]),
        environment=(design.environment,) * count,
        coverage_cell=np.array([layer[0] == "" for _, layer in cells]),
        protected=np.zeros(count, dtype=np.bool_),
        relation_source=np.zeros(0, dtype=np.int32),
        relation_target=np.zeros(0, dtype=np.int32),
    )


def _check(design: SiteDesign) -> None:
    environment_code(design.environment)
    resource_blocks(design.bandwidth_hz)
    resource_blocks(design.capacity_bandwidth_hz or design.bandwidth_hz)
    _require_positive("height_m", design.height_m)
    _require_positive("carrier_hz", design.carrier_hz)
    if design.capacity_carrier_hz is not None:
        _require_positive("capacity_carrier_hz", design.capacity_carrier_hz)


def _require_positive(place: str, value: float) -> None:
    if not (value > 0 and math.isfinite(value)):
        raise BadInput(place=place, expected="a number above 0", found=f"{value:g}")
