"""The set-ups of TR 38.901 table 7.8-1 at 6 GHz: where antennas stand, and where users are.

What table 7.8-1 leaves to tables 7.2-1 and 7.2-2 (heights, rooms) is taken from there.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from cellhive.core.errors import NotFound
from cellhive.core.types import Bools, Floats
from cellhive.ran.layout import SECTOR_AZIMUTHS_DEG, SiteDesign, hex_grid
from cellhive.ran.propagation import (
    HIGH_LOSS_SIGMA_DB,
    LOW_LOSS_SIGMA_DB,
    USER_HEIGHT_M,
    Environment,
    building_entry_loss_db,
)

OFFICE_M = (120.0, 50.0)
"""The room of the indoor set-up, table 7.2-2 [m]."""
OFFICE_USER_M = 1.0
"""Height of users in it, table 7.2-2 [m]."""
FLOOR_M, FEWEST_FLOORS, MOST_FLOORS = 3.0, 4, 8
"""Height of a floor [m] and floors of a building, table 7.2-1 and note 1 (TR 36.873)."""
DEEPEST_M = 25.0
"""Longest way inside a building, §7.4.3.1 [m]."""
HIGH_LOSS_SHARE = 0.5
"""Share of buildings with coated glass, table 7.8-1."""
_HEX_SITES = 19
_WRAPS = ((0, 0), (5, -2), (2, 3), (-3, 5), (-5, 2), (-2, -3), (3, -5))
"""Where the cluster of 19 sites repeats, in steps along two axes 60° apart."""
_HEX_NORMALS_DEG = (0.0, 60.0, 120.0)
"""Bearings of the neighbours of a site."""


@dataclass(frozen=True)
class SetUp:
    """One column of table 7.8-1."""

    name: str
    """As the companies' table has it."""
    title: str
    environment: Environment
    site_distance_m: float
    height_m: float
    """Height of the antennas [m]."""
    power_dbm: float
    nearest_m: float
    """Least distance on the ground between users and sites [m]."""
    tilt_deg: float
    """Electrical downtilt [deg]: 12 is the zenith angle of 102 that the table states."""
    indoor_share: float
    """Share of users in buildings that signals must enter."""
    carrier_hz: float = 6e9
    bandwidth_hz: float = 20e6

    @property
    def office(self) -> bool:
        """Whether antennas and users share one room."""
        return self.environment == Environment.InH


SETUPS = {
    "UMa": SetUp(
        "UMa-6GHz", "Urban macro, 6 GHz", Environment.UMa, 500.0, 25.0, 49.0, 35.0, 12.0, 0.8
    ),
    "UMi": SetUp(
        "UMi-6GHz", "Urban micro, 6 GHz", Environment.UMi, 200.0, 10.0, 44.0, 10.0, 12.0, 0.8
    ),
    "InH": SetUp(
        "Indoor-6GHz", "Open office, 6 GHz", Environment.InH, 20.0, 3.0, 24.0, 0.0, 20.0, 0.0
    ),
}
"""The set-ups by scenario."""


def setups_named(names: Sequence[str]) -> list[SetUp]:
    """Return the set-ups of scenarios, each once; all of them where none is named."""
    for name in names:
        if name not in SETUPS:
            message = f"--scenario: expected one of {', '.join(SETUPS)}, found {name!r}"
            raise NotFound(message)
    return [setup for name, setup in SETUPS.items() if not names or name in names]


class Users(NamedTuple):
    """Users as they are dropped, one entry per user in every array, (U,)."""

    x_m: Floats
    y_m: Floats
    height_m: Floats
    indoors: Bools
    """Whether signals must enter a building."""
    inside_m: Floats
    """Way inside the building, 0 outdoors [m]."""
    entry_db: Floats
    """Loss through walls and inside, 0 outdoors [dB]."""


def sites(setup: SetUp) -> Floats:
    """Return where the sites of a set-up stand, east and north [m], (S, 2).

    The office has two rows of six, 10 m from the short and 15 m from the long walls.
    """
    if setup.office:
        east = setup.site_distance_m * (np.arange(6.0) + 0.5)
        north = OFFICE_M[1] / 2.0 + setup.site_distance_m * np.array([-0.5, 0.5])
        return np.stack(np.meshgrid(east, north), axis=-1).reshape(-1, 2)
    design = SiteDesign(environment=setup.environment.name, height_m=setup.height_m)
    network = hex_grid(_HEX_SITES, setup.site_distance_m, design)
    count = len(SECTOR_AZIMUTHS_DEG)
    return np.stack([network.x_m[::count], network.y_m[::count]], axis=1)


def bearings_deg(setup: SetUp) -> Floats:
    """Return the bearings of the three sectors of every site, clockwise from north [deg].

    The table's 30, 150 and 270 count from the x axis, anticlockwise. On the hexagonal grid,
    whose neighbours then lie on that axis, this is the grid of ``layout`` turned by 30
    degrees; in the office the x axis is the long wall.
    """
    angles = np.array(SECTOR_AZIMUTHS_DEG)
    return (90.0 - angles) % 360.0 if setup.office else angles


def drop_users(setup: SetUp, count: int, rng: np.random.Generator) -> Users:
    """Return users dropped evenly over the cells of a set-up.

    Args:
        setup: The set-up.
        count: Number of users U.
        rng: Source of places, floors and walls.
    """
    if setup.office:
        x, y = rng.uniform(0.0, 1.0, (2, count)) * np.array(OFFICE_M)[:, None]
        none = np.zeros(count)
        return Users(x, y, none + OFFICE_USER_M, np.zeros(count, np.bool_), none, none)
    home = sites(setup)[rng.integers(0, _HEX_SITES, count)]
    offset = _in_hexagon(setup, count, rng)
    indoors = rng.random(count) < setup.indoor_share
    floors = rng.integers(FEWEST_FLOORS, MOST_FLOORS + 1, count)
    floor = rng.integers(1, floors + 1)
    inside = np.where(indoors, rng.uniform(0.0, DEEPEST_M, (2, count)).min(axis=0), 0.0)
    walls = _entry_db(setup, inside, rng)
    return Users(
        home[:, 0] + offset[:, 0],
        home[:, 1] + offset[:, 1],
        USER_HEIGHT_M + np.where(indoors, FLOOR_M * (floor - 1), 0.0),
        indoors,
        inside,
        np.where(indoors, walls, 0.0),
    )


def _in_hexagon(setup: SetUp, count: int, rng: np.random.Generator) -> Floats:
    """Return places nearer to the origin than to any neighbouring site, (count, 2) [m]."""
    angles = np.radians(_HEX_NORMALS_DEG)
    normals = np.stack([np.sin(angles), np.cos(angles)])
    found = np.empty((0, 2))
    while len(found) < count:
        place = rng.uniform(-1.0, 1.0, (2 * count, 2)) * setup.site_distance_m / math.sqrt(3.0)
        near = np.abs(place @ normals).max(axis=1) <= setup.site_distance_m / 2.0
        far = np.hypot(place[:, 0], place[:, 1]) >= setup.nearest_m
        found = np.concatenate([found, place[near & far]])
    return found[:count]


def _entry_db(setup: SetUp, inside_m: Floats, rng: np.random.Generator) -> Floats:
    """Return what walls and the way inside cost in buildings of both kinds [dB], §7.4.3.1."""
    high = rng.random(inside_m.size) < HIGH_LOSS_SHARE
    mean = [
        building_entry_loss_db(setup.carrier_hz, depth, high_loss=coated)
        for depth, coated in zip(inside_m.tolist(), high.tolist(), strict=True)
    ]
    sigma = np.where(high, HIGH_LOSS_SIGMA_DB, LOW_LOSS_SIGMA_DB)
    return np.array(mean) + sigma * rng.standard_normal(inside_m.size)


def ways_m(setup: SetUp, users: Users) -> tuple[Floats, Floats]:
    """Return the ways east and north from every site to every user [m], (U, S) each.

    On the hexagonal grid the cluster repeats all around, and each site counts at its copy
    that is nearest on the ground ("geographical distance based wrapping").
    """
    place = sites(setup)
    wraps = ((0, 0),) if setup.office else _WRAPS
    east = users.x_m[:, None] - place[None, :, 0]
    north = users.y_m[:, None] - place[None, :, 1]
    best = np.full(east.shape, np.inf)
    found = (np.empty_like(east), np.empty_like(north))
    for q, r in wraps:
        x = east - setup.site_distance_m * math.sqrt(0.75) * q
        y = north - setup.site_distance_m * (r + q / 2.0)
        distance = np.hypot(x, y)
        nearer = distance < best
        found[0][nearer], found[1][nearer] = x[nearer], y[nearer]
        best[nearer] = distance[nearer]
    return found
