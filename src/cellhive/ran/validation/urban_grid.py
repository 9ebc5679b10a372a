"""The street grid in which ns-3 was run on event A3: buildings, sites, radio map, vehicles.

The study used the urban grid of TR 37.885 with 2 x 2 blocks and seven sites on its streets.
``a3_study`` runs the twin there; ``docs/validation-handover.md`` gives the reason for every
choice made here.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from cellhive.core.compiled import Scalar, compiled
from cellhive.core.types import Bools, Floats, Floats32, Network
from cellhive.ran.layout import with_relations
from cellhive.ran.propagation import (
    SHADOWING,
    USER_HEIGHT_M,
    Environment,
    draw_field,
    field_filter,
    path_loss_db,
)
from cellhive.ran.radio_map import Grid, RadioMap
from cellhive.ran.users import STREET, USER, Ground

BLOCK_EAST_M, BLOCK_NORTH_M = 433.0, 250.0
"""Distance between street centres, TR 37.885 annex A (433 m by 250 m)."""
STREET_WIDTH_M = 20.0
"""Street with its sidewalks, from building to building, TR 37.885 annex A."""
BLOCKS_EAST, BLOCKS_NORTH = 2, 2
PIXEL_M = 1.0
"""Distance between the points of the map [m]: a tenth of the decorrelation distance of UMi
line of sight, and 433 m and 250 m are whole numbers of it, so streets lie on points."""

CARRIER_HZ, BANDWIDTH_HZ = 3.5e9, 10e6
"""The study's carrier."""
SITE_HEIGHT_M = 10.0
"""UMi street canyon, TR 38.901 table 7.2-1."""
CAR_LOSS_DB = (9.0, 5.0)
"""Mean and sigma of the loss into a car, TR 38.901 §7.4.3.2 [dB]."""
CAR_SPEEDS_M_S = (30 / 3.6, 120 / 3.6)
"""Speeds at which ns-3 takes a user for one in a car [m/s]."""

_EAST_M, _NORTH_M = BLOCKS_EAST * BLOCK_EAST_M / 2, BLOCKS_NORTH * BLOCK_NORTH_M / 2


@dataclass(frozen=True, slots=True)
class Place:
    """A grid with its sites, and the shadowing of one seed."""

    network: Network
    radio_map: RadioMap = field(repr=False)


# ------------------------------------------------------------------ the place


def site_positions(site_distance_m: float) -> Floats:
    """Return the seven sites on the street centres [m], (7, 2): three rows along the streets."""
    d, up = float(site_distance_m), BLOCK_NORTH_M
    return np.array([
        (0.0, 0.0), (d, 0.0), (-d, 0.0),
        (d / 2, up), (-d / 2, up), (d / 2, -up), (-d / 2, -up),
    ])  # fmt: skip


def buildings() -> Floats:
    """Return west, south, east and north edge of every building [m], (B, 4)."""
    half = STREET_WIDTH_M / 2
    wests = [-_EAST_M + BLOCK_EAST_M * i for i in range(BLOCKS_EAST)]
    souths = [-_NORTH_M + BLOCK_NORTH_M * j for j in range(BLOCKS_NORTH)]
    return np.array([
        (w + half, s + half, w + BLOCK_EAST_M - half, s + BLOCK_NORTH_M - half)
        for w in wests for s in souths
    ])  # fmt: skip


def grid_network(site_distance_m: float) -> Network:
    """Return seven one-cell sites, all neighbours of one another."""
    xy = site_positions(site_distance_m)
    cells = len(xy)
    names = tuple(f"S{index + 1}" for index in range(cells))
    network = Network(
        name=f"urban-grid-{site_distance_m:g}m",
        cell_ids=names,
        site_ids=names,
        x_m=xy[:, 0].copy(),
        y_m=xy[:, 1].copy(),
        height_m=np.full(cells, SITE_HEIGHT_M),
        azimuth_deg=np.zeros(cells),
        mechanical_tilt_deg=np.zeros(cells),
        carrier_hz=np.full(cells, CARRIER_HZ),
        bandwidth_hz=np.full(cells, BANDWIDTH_HZ),
        environment=("UMi",) * cells,
        coverage_cell=np.ones(cells, np.bool_),
        protected=np.zeros(cells, np.bool_),
        relation_source=np.zeros(0, np.int32),
        relation_target=np.zeros(0, np.int32),
        omnidirectional=np.ones(cells, np.bool_),
    )
    source, target = np.nonzero(~np.eye(cells, dtype=np.bool_))
    return with_relations(network, source.astype(np.int32), target.astype(np.int32))


def grid_ground(*, turn_back: bool = False) -> Ground:
    """Return the streets, of which the outermost are the edge.

    Args:
        turn_back: Whether vehicles may turn round there.
    """
    return Ground(
        west_m=-_EAST_M, south_m=-_NORTH_M, east_m=_EAST_M, north_m=_NORTH_M,
        street_m=BLOCK_EAST_M, road_y_m=0.0, street_north_m=BLOCK_NORTH_M, turn_back=turn_back,
    )  # fmt: skip


def map_grid() -> Grid:
    """Return the points of the map: the streets and all between them."""
    columns, rows = round(2 * _EAST_M / PIXEL_M) + 1, round(2 * _NORTH_M / PIXEL_M) + 1
    return Grid(-_EAST_M, -_NORTH_M, PIXEL_M, rows, columns)


class Corner(NamedTuple):
    """Path loss without shadowing, and where there is line of sight."""

    loss_db: Floats32
    """(7, P)"""
    sight: Bools
    """(7, P)"""


@cache
def corners(site_distance_m: float) -> Corner:
    """Return path loss and line of sight of every site at every point; no seed matters."""
    grid, walls = map_grid(), buildings()
    sites = site_positions(site_distance_m)
    loss_db = np.empty((len(sites), grid.rows * grid.columns), np.float32)
    sight = np.empty(loss_db.shape, np.bool_)
    for index, (x_m, y_m) in enumerate(sites.tolist()):
        _fill_site(loss_db[index], sight[index], grid, (x_m, y_m), walls)
    return Corner(loss_db, sight)


@compiled
def _fill_site(
    loss_db: Floats32, sight: Bools, grid: Grid, site: tuple[float, float], walls: Floats
) -> None:
    """Write path loss and line of sight of one site, each (P,)."""
    for row in range(grid.rows):
        y_m = grid.y0_m + row * grid.pixel_m
        for column in range(grid.columns):
            x_m = grid.x0_m + column * grid.pixel_m
            ground_m = np.hypot(x_m - site[0], y_m - site[1])
            clear, blocked = path_loss_db(
                Environment.UMi, ground_m, SITE_HEIGHT_M, USER_HEIGHT_M, CARRIER_HZ
            )
            pixel = row * grid.columns + column
            sight[pixel] = not hidden(x_m, y_m, site[0], site[1], walls)
            loss_db[pixel] = clear if sight[pixel] else blocked


@compiled
def hidden(x_m: Scalar, y_m: Scalar, site_x_m: Scalar, site_y_m: Scalar, walls: Floats) -> bool:
    """Return whether a building stands between a user and a site.

    Buildings are taller than the sites, so the ground plan decides (Liang-Barsky clipping of
    the straight line against each rectangle).
    """
    dx, dy = site_x_m - x_m, site_y_m - y_m
    for b in range(walls.shape[0]):
        enter, leave = 0.0, 1.0
        for axis in range(2):
            start, way = (x_m, dx) if axis == 0 else (y_m, dy)
            low, high = walls[b, axis], walls[b, axis + 2]
            if way == 0.0:
                if start <= low or start >= high:
                    enter, leave = 1.0, 0.0
            else:
                first, second = (low - start) / way, (high - start) / way
                enter = max(enter, min(first, second))
                leave = min(leave, max(first, second))
        if enter < leave:
            return True
    return False


def build_place(site_distance_m: float, seed: int, shadowing: float = 1.0) -> Place:
    """Return the grid with the shadowing of one seed.

    Shadowing is that of UMi, tied to places: two users at one place see the same, and a user
    that comes back finds it again. With and without line of sight it is independent.

    Args:
        site_distance_m: Distance between neighbouring sites along a street [m].
        seed: Draws the shadowing.
        shadowing: Factor on its sigma.
    """
    grid, network = map_grid(), grid_network(site_distance_m)
    corner, of_umi = corners(site_distance_m), SHADOWING[Environment.UMi]
    shape = (grid.rows, grid.columns)
    clear = field_filter(shape, grid.pixel_m, of_umi.decorrelation_los_m)
    blocked = field_filter(shape, grid.pixel_m, of_umi.decorrelation_nlos_m)
    gain_db = np.empty_like(corner.loss_db)
    streams = np.random.default_rng([seed, 1]).spawn(network.cells)
    for site, rng in enumerate(streams):
        with_sight = of_umi.sigma_los_db * draw_field(clear, shape, rng).reshape(-1)
        without = of_umi.sigma_nlos_db * draw_field(blocked, shape, rng).reshape(-1)
        shadow_db = shadowing * np.where(corner.sight[site], with_sight, without)
        gain_db[site] = shadow_db - corner.loss_db[site]
    path_of = np.arange(network.cells, dtype=np.int32)
    return Place(network, RadioMap(*grid, gain_db, path_of, with_antennas=True))


# ------------------------------------------------------------------ the vehicles


def place_vehicles(
    count: int, speed_m_s: float, rng: np.random.Generator, *, car_loss: bool = True
) -> npt.NDArray[np.void]:
    """Return vehicles spread evenly over all streets, at one speed: USER records, (U,).

    Args:
        count: How many.
        speed_m_s: Speed of them all [m/s].
        rng: Draws where they start, where they head and the loss into each car.
        car_loss: Whether users at car speeds have that loss.
    """
    ground = grid_ground()
    east_west_m = 2 * _EAST_M * (BLOCKS_NORTH + 1)
    north_south_m = 2 * _NORTH_M * (BLOCKS_EAST + 1)
    along = rng.uniform(size=count) < east_west_m / (east_west_m + north_south_m)
    past_m = rng.uniform(size=count) * np.where(along, 2 * _EAST_M, 2 * _NORTH_M)
    row = rng.integers(BLOCKS_NORTH + 1, size=count)
    column = rng.integers(BLOCKS_EAST + 1, size=count)
    heading = np.where(rng.uniform(size=count) < 0.5, -1.0, 1.0)  # noqa: PLR2004  # either way
    loss_db = CAR_LOSS_DB[0] + CAR_LOSS_DB[1] * rng.standard_normal(count)

    users = np.zeros(count, USER)
    users["x_m"] = ground.west_m + np.where(along, past_m, column * BLOCK_EAST_M)
    users["y_m"] = ground.south_m + np.where(along, row * BLOCK_NORTH_M, past_m)
    users["home_x_m"], users["home_y_m"] = users["x_m"], users["y_m"]
    users["east_m_s"] = np.where(along, heading, 0.0) * speed_m_s
    users["north_m_s"] = np.where(along, 0.0, heading) * speed_m_s
    block_m = np.where(along, BLOCK_EAST_M, BLOCK_NORTH_M)
    behind_m = past_m % block_m
    users["leg_left_m"] = np.where(heading > 0, block_m - behind_m, behind_m)
    if car_loss and CAR_SPEEDS_M_S[0] <= speed_m_s <= CAR_SPEEDS_M_S[1]:
        users["loss_db"] = np.maximum(loss_db, 0.0)
    users["kind"] = STREET
    users["serving"] = users["target"] = users["ho_source"] = users["ho_target"] = -1
    users["stay_from"] = users["lost_in"] = -1
    return users
