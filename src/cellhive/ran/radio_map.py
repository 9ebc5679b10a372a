"""How strongly every cell is received at every pixel, and what follows from it.

Path gain (distance, line of sight, shadowing) does not depend on tilt and is drawn once;
the antenna comes on top of it and is computed again when a tilt changes. All masts of a
site and scenario share the fields of shadowing and line of sight, whatever the carrier;
different sites are independent (TR 38.901 §7.4.4, §7.6.3.3).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import NormalDist
from typing import NamedTuple

import numpy as np

from cellhive.core.compiled import Scalar, compiled
from cellhive.core.errors import BadInput
from cellhive.core.types import Bools, Floats, Floats32, Ints, Network

from .antenna import Beam, beam_gain_dbi, make_beam
from .link import NOISE_RE_MW
from .propagation import (
    SHADOWING,
    USER_HEIGHT_M,
    Environment,
    FieldFilter,
    breakpoint_m,
    draw_field,
    environment_code,
    field_filter,
    los_probability,
    path_loss_db,
    resource_blocks,
    soft_los,
)

PADDING_DB = -300.0
"""Gain of the cells that only fill a row up to a whole number of vectors."""
CELL_STEP = 16
"""Rows of a gain matrix hold a multiple of this many cells."""
NOTHING_DBM = -200.0
"""RSRP where no cell is awake."""
_CERTAINTY = 1e-6
_SAME_PLACE_M = 1.0


class Grid(NamedTuple):
    """A raster of pixels; the index of a pixel is row times columns plus column."""

    x0_m: float
    """Easting of the centre of pixel 0 [m]."""
    y0_m: float
    """Northing of the centre of pixel 0 [m]."""
    pixel_m: float
    rows: int
    """Pixels to the north."""
    columns: int
    """Pixels to the east."""


@dataclass(frozen=True)
class Raster:
    """One value per pixel, for maps."""

    x0_m: float
    """Easting of the centre of pixel (0, 0) [m]."""
    y0_m: float
    """Northing of the centre of pixel (0, 0) [m]."""
    pixel_m: float
    values: Floats32
    """(rows, columns), rows to the north."""


@dataclass(frozen=True)
class RadioMap:
    """Path gain of a network over a grid, usually without antennas."""

    x0_m: float
    """Easting of the centre of pixel (0, 0) [m]."""
    y0_m: float
    """Northing of the centre of pixel (0, 0) [m]."""
    pixel_m: float
    rows: int
    columns: int
    path_gain_db: Floats32
    """Minus path loss plus shadowing, one row per distinct mast and carrier, (G, P)."""
    path_of: Ints
    """Row of ``path_gain_db`` that each cell uses, (C,)."""
    with_antennas: bool = False
    """Whether the gains are complete, as a measurement or a ray tracer gives them: no antenna is
    added, and tilt changes nothing."""

    @property
    def grid(self) -> Grid:
        """Where the pixels are."""
        return Grid(self.x0_m, self.y0_m, self.pixel_m, self.rows, self.columns)

    @property
    def pixels(self) -> int:
        """Number of pixels P."""
        return self.rows * self.columns

    def raster(self, values: Floats32) -> Raster:
        """Return one value per pixel, (P,), as a raster."""
        shaped = np.asarray(values, dtype=np.float32).reshape(self.rows, self.columns)
        return Raster(self.x0_m, self.y0_m, self.pixel_m, shaped)


class _Mast(NamedTuple):
    """Everything path gain depends on besides the place of the user."""

    x_m: float
    y_m: float
    height_m: float
    carrier_hz: float
    environment: int
    sigma_los_db: float
    sigma_los_far_db: float
    sigma_nlos_db: float


class _Sector(NamedTuple):
    x_m: float
    y_m: float
    rise_m: float
    """Height of the user above the antenna [m]; negative."""
    east: float
    north: float
    """Components of the bearing."""
    beam: Beam


# ------------------------------------------------------------------ building


def build_radio_map(
    network: Network,
    rng: np.random.Generator,
    *,
    pixel_m: float = 10.0,
    margin_m: float | None = None,
    bounds: tuple[float, float, float, float] | None = None,
) -> RadioMap:
    """Return the path gain of every cell over a grid, for users at street level.

    Line of sight is soft (after §7.6.3.3): the state between 0 and 1 weighs path loss and
    shadowing with and without line of sight, in dB (the clause weighs amplitudes). Pixels
    wider than a quarter of the decorrelation distance smooth the shadowing in between.

    Args:
        network: The network.
        rng: Source of shadowing and line of sight; sites draw from children of it.
        pixel_m: Distance between pixels [m].
        margin_m: Ground around the outermost sites [m]; None means the median distance
            from a site to its nearest.
        bounds: West, south, east and north edge [m], in place of a margin.
    """
    if not pixel_m > 0:
        raise BadInput(place="pixel_m", expected="a number above 0", found=f"{pixel_m:g}")
    if not bool(np.all(network.height_m > USER_HEIGHT_M)):
        raise BadInput(
            place="height_m",
            expected=f"antennas above the users at {USER_HEIGHT_M} m",
            found=f"{np.min(network.height_m):g} m",
        )
    grid = _make_grid(network, pixel_m, margin_m, bounds)
    masts, path_of = _masts(network)
    sites = list(dict.fromkeys(network.site_ids))
    streams = dict(zip(sites, rng.spawn(len(sites)), strict=True))
    sharing: dict[tuple[str, int], list[int]] = {}
    for row, (site, mast) in enumerate(masts):
        sharing.setdefault((site, mast.environment), []).append(row)
    scenes = {code: _scene(code, grid, masts) for code in {code for _, code in sharing}}
    path_gain = np.empty((len(masts), grid.rows * grid.columns), np.float32)
    for (site, code), rows in sharing.items():
        scene, shape = scenes[code], (grid.rows, grid.columns)
        fields = np.stack([draw_field(f, shape, streams[site]) for f in scene.filters])
        for row in rows:
            _fill_path(path_gain[row], grid, masts[row][1], fields, scene.los_quantile)
    return RadioMap(*grid, path_gain_db=path_gain, path_of=path_of)


def _make_grid(
    network: Network,
    pixel_m: float,
    margin_m: float | None,
    bounds: tuple[float, float, float, float] | None,
) -> Grid:
    if bounds is None:
        margin = site_distance_m(network) if margin_m is None else margin_m
        bounds = (
            float(network.x_m.min()) - margin,
            float(network.y_m.min()) - margin,
            float(network.x_m.max()) + margin,
            float(network.y_m.max()) + margin,
        )
    west, south, east, north = bounds
    if not (east > west and north > south):
        raise BadInput(place="bounds", expected="west < east and south < north", found=str(bounds))
    columns = math.ceil((east - west) / pixel_m - 1e-9) + 1
    rows = math.ceil((north - south) / pixel_m - 1e-9) + 1
    return Grid(float(west), float(south), float(pixel_m), rows, columns)


def site_distance_m(network: Network, *, alone_m: float = 1000.0) -> float:
    """Return the median distance from a site to its nearest [m].

    Args:
        network: The network.
        alone_m: What to return for a site without others [m].
    """
    first = np.unique(np.array(network.site_ids), return_index=True)[1]
    x, y = network.x_m[first], network.y_m[first]
    nearest = []
    for place in range(len(first)):
        distance = np.hypot(x - x[place], y - y[place])
        apart = distance[distance > _SAME_PLACE_M]
        nearest.append(float(apart.min()) if apart.size else alone_m)
    return float(np.median(nearest))


def _masts(network: Network) -> tuple[list[tuple[str, _Mast]], Ints]:
    """Return the distinct (site, mast) pairs and which of them each cell uses."""
    rows: dict[tuple[str, _Mast], int] = {}
    path_of = np.empty(network.cells, np.int32)
    for cell in range(network.cells):
        environment = environment_code(network.environment[cell])
        shadowing = SHADOWING[environment]
        mast = _Mast(
            float(network.x_m[cell]),
            float(network.y_m[cell]),
            float(network.height_m[cell]),
            float(network.carrier_hz[cell]),
            int(environment),
            shadowing.sigma_los_db,
            shadowing.sigma_los_far_db,
            shadowing.sigma_nlos_db,
        )
        path_of[cell] = rows.setdefault((network.site_ids[cell], mast), len(rows))
    return list(rows), path_of


class _Scene(NamedTuple):
    """What the masts of one environment share."""

    filters: tuple[FieldFilter, FieldFilter, FieldFilter]
    """Of the line-of-sight state, and of shadowing with and without line of sight."""
    los_quantile: Floats
    """Normal quantile of the line-of-sight probability at every metre."""


def _scene(environment: int, grid: Grid, masts: list[tuple[str, _Mast]]) -> _Scene:
    shape, shadowing = (grid.rows, grid.columns), SHADOWING[Environment(environment)]
    filters = (
        # Streets and corners make line of sight come in whole patches: a rough field would
        # let it flicker within metres.
        field_filter(shape, grid.pixel_m, shadowing.los_state_m, smooth=True),
        field_filter(shape, grid.pixel_m, shadowing.decorrelation_los_m),
        field_filter(shape, grid.pixel_m, shadowing.decorrelation_nlos_m),
    )
    east_m = grid.x0_m + grid.pixel_m * grid.columns
    north_m = grid.y0_m + grid.pixel_m * grid.rows
    reach_m = max(
        math.hypot(
            max(abs(mast.x_m - grid.x0_m), abs(mast.x_m - east_m)),
            max(abs(mast.y_m - grid.y0_m), abs(mast.y_m - north_m)),
        )
        for _, mast in masts
    )
    normal = NormalDist()
    quantile = [
        normal.inv_cdf(min(max(chance, _CERTAINTY), 1.0 - _CERTAINTY))
        for metre in range(math.ceil(reach_m) + 2)
        for chance in [los_probability(environment, float(metre), USER_HEIGHT_M)]
    ]
    return _Scene(filters, np.array(quantile))


@compiled
def _fill_path(
    path_gain: Floats32, grid: Grid, mast: _Mast, fields: Floats32, quantile: Floats
) -> None:
    """Write the path gain of one mast into a row, (P,)."""
    turn = breakpoint_m(mast.environment, mast.height_m, USER_HEIGHT_M, mast.carrier_hz)
    for row in range(grid.rows):
        north = grid.y0_m + row * grid.pixel_m - mast.y_m
        for column in range(grid.columns):
            east = grid.x0_m + column * grid.pixel_m - mast.x_m
            ground = math.hypot(east, north)
            whole = int(ground)
            part = ground - whole
            margin = quantile[whole] * (1.0 - part) + quantile[whole + 1] * part
            los = soft_los(margin + fields[0, row, column])
            clear, blocked = path_loss_db(
                mast.environment, ground, mast.height_m, USER_HEIGHT_M, mast.carrier_hz
            )
            sigma = mast.sigma_los_db if ground <= turn else mast.sigma_los_far_db
            clear -= sigma * fields[1, row, column]
            blocked -= mast.sigma_nlos_db * fields[2, row, column]
            path_gain[row * grid.columns + column] = -(los * clear + (1.0 - los) * blocked)


# ------------------------------------------------------------------ antennas on top


def cell_gain_db(
    radio_map: RadioMap, network: Network, cell: int, electrical_tilt_deg: float
) -> Floats32:
    """Return path and antenna gain of one cell at every pixel [dB], (P,).

    Args:
        radio_map: Path gain of the network.
        network: The network.
        cell: Index of the cell.
        electrical_tilt_deg: Electrical downtilt of the cell [deg].
    """
    path_gain: Floats32 = radio_map.path_gain_db[radio_map.path_of[cell]]
    if radio_map.with_antennas:
        return path_gain.copy()
    gain = np.empty(radio_map.pixels, np.float32)
    _fill_gain(gain, radio_map.grid, path_gain, _sector(network, cell, electrical_tilt_deg))
    return gain


def total_gain_db(radio_map: RadioMap, network: Network, electrical_tilt_deg: Floats) -> Floats32:
    """Return path and antenna gain of all cells, pixel by pixel [dB], (P, Cp).

    Cp is the number of cells rounded up to a multiple of 16; what is added has -300 dB.

    Args:
        radio_map: Path gain of the network.
        network: The network.
        electrical_tilt_deg: Electrical downtilt of each cell [deg], (C,).
    """
    width = -(-network.cells // CELL_STEP) * CELL_STEP
    gain = np.empty((radio_map.pixels, width), np.float32)
    for first in range(0, width, CELL_STEP):  # a cache line of cells at a time
        block = np.full((CELL_STEP, radio_map.pixels), PADDING_DB, np.float32)
        for cell in range(first, min(first + CELL_STEP, network.cells)):
            block[cell - first] = cell_gain_db(
                radio_map, network, cell, float(electrical_tilt_deg[cell])
            )
        gain[:, first : first + CELL_STEP] = block.T
    return gain


def interpolate_gain(radio_map: RadioMap, gain_db: Floats32, x_m: float, y_m: float) -> Floats32:
    """Return the gain of every cell at a place, bilinear in dB between pixels, (Cp,).

    Places beyond the outermost pixels count as on the edge.

    Args:
        radio_map: The map that the gain is of.
        gain_db: Gain pixel by pixel [dB], (P, Cp).
        x_m: Easting [m].
        y_m: Northing [m].
    """
    across = np.clip((x_m - radio_map.x0_m) / radio_map.pixel_m, 0, radio_map.columns - 1)
    along = np.clip((y_m - radio_map.y0_m) / radio_map.pixel_m, 0, radio_map.rows - 1)
    column = min(int(across), radio_map.columns - 2)
    row = min(int(along), radio_map.rows - 2)
    right, up = np.float32(across - column), np.float32(along - row)
    first = row * radio_map.columns + column
    above = first + radio_map.columns
    low = (1 - right) * gain_db[first] + right * gain_db[first + 1]
    high = (1 - right) * gain_db[above] + right * gain_db[above + 1]
    return np.asarray((1 - up) * low + up * high, dtype=np.float32)


def _sector(network: Network, cell: int, electrical_tilt_deg: float) -> _Sector:
    bearing = math.radians(float(network.azimuth_deg[cell]))
    omni = network.omnidirectional is not None and bool(network.omnidirectional[cell])
    return _Sector(
        float(network.x_m[cell]),
        float(network.y_m[cell]),
        USER_HEIGHT_M - float(network.height_m[cell]),
        math.sin(bearing),
        math.cos(bearing),
        make_beam(electrical_tilt_deg, float(network.mechanical_tilt_deg[cell]), omni),
    )


@compiled
def _fill_gain(gain: Floats32, grid: Grid, path_gain: Floats32, sector: _Sector) -> None:
    """Write path and antenna gain of one cell at every pixel, (P,)."""
    for row in range(grid.rows):
        north = grid.y0_m + row * grid.pixel_m - sector.y_m
        for column in range(grid.columns):
            east = grid.x0_m + column * grid.pixel_m - sector.x_m
            distance = math.sqrt(east * east + north * north + sector.rise_m * sector.rise_m)
            scale = 1.0 / max(distance, 1.0)
            antenna = beam_gain_dbi(
                sector.beam,
                (east * sector.east + north * sector.north) * scale,
                (east * sector.north - north * sector.east) * scale,
                sector.rise_m * scale,
            )
            pixel = row * grid.columns + column
            gain[pixel] = path_gain[pixel] + antenna


# ------------------------------------------------------------------ who serves where


def reference_power_dbm(
    network: Network, power_dbm: Floats, asleep: Bools | None = None
) -> Floats32:
    """Return the power of one resource element of each cell [dBm], (C,).

    Args:
        network: The network.
        power_dbm: Total power of each cell [dBm], (C,).
        asleep: Cells that are switched off, (C,); None means none.
    """
    blocks = np.array([resource_blocks(float(bandwidth)) for bandwidth in network.bandwidth_hz])
    power = np.asarray(power_dbm, dtype=np.float64) - 10.0 * np.log10(12.0 * blocks)
    if asleep is not None:
        power = np.where(asleep, PADDING_DB, power)
    return power.astype(np.float32)


def best_server_rsrp_dbm(
    radio_map: RadioMap, gain_db: Floats32, element_power_dbm: Floats32
) -> Raster:
    """Return the RSRP of the strongest cell [dBm].

    Args:
        radio_map: The map that the gain is of.
        gain_db: Gain pixel by pixel [dB], (P, Cp).
        element_power_dbm: From ``reference_power_dbm``, (C,).
    """
    load = np.zeros(element_power_dbm.size, np.float32)
    return radio_map.raster(_serve(gain_db, element_power_dbm, load, _one_carrier(load))[1])


def best_server_cell(radio_map: RadioMap, gain_db: Floats32, element_power_dbm: Floats32) -> Raster:
    """Return the index of the strongest cell.

    Args:
        radio_map: The map that the gain is of.
        gain_db: Gain pixel by pixel [dB], (P, Cp).
        element_power_dbm: From ``reference_power_dbm``, (C,).
    """
    load = np.zeros(element_power_dbm.size, np.float32)
    return radio_map.raster(_serve(gain_db, element_power_dbm, load, _one_carrier(load))[0])


def sinr_db_raster(
    radio_map: RadioMap,
    network: Network,
    gain_db: Floats32,
    element_power_dbm: Floats32,
    load: Floats,
) -> Raster:
    """Return the SINR of the strongest cell [dB] against its carrier's loaded cells and noise.

    Args:
        radio_map: The map that the gain is of.
        network: The network.
        gain_db: Gain pixel by pixel [dB], (P, Cp).
        element_power_dbm: From ``reference_power_dbm``, (C,).
        load: Share of resource blocks in use in each cell, (C,).
    """
    busy = np.asarray(load, dtype=np.float32)
    return radio_map.raster(_serve(gain_db, element_power_dbm, busy, network.carrier_index)[2])


def _one_carrier(load: Floats32) -> Ints:
    return np.zeros(load.size, np.int32)


@compiled
def _serve(
    gain_db: Floats32, element_power_dbm: Floats32, load: Floats32, carrier: Ints
) -> tuple[Floats32, Floats32, Floats32]:
    """Return strongest cell, its RSRP [dBm] and its SINR [dB] at every pixel, each (P,)."""
    pixels, cells = gain_db.shape[0], element_power_dbm.size
    cell = np.zeros(pixels, np.float32)
    rsrp = np.empty(pixels, np.float32)
    sinr = np.empty(pixels, np.float32)
    for pixel in range(pixels):
        best, level = 0, np.float32(-1e9)
        for c in range(cells):
            here = gain_db[pixel, c] + element_power_dbm[c]
            if here > level:
                best, level = c, here
        noise = NOISE_RE_MW
        for c in range(cells):
            if c != best and load[c] > 0.0 and carrier[c] == carrier[best]:
                noise += load[c] * 10.0 ** (0.1 * (gain_db[pixel, c] + element_power_dbm[c]))
        cell[pixel] = best
        rsrp[pixel] = level if level > NOTHING_DBM else NOTHING_DBM
        sinr[pixel] = rsrp[pixel] - 10.0 * math.log10(noise)
    return cell, rsrp, sinr


# ------------------------------------------------------------------ neighbours


def neighbour_relations(
    gain_db: Floats32,
    network: Network,
    power_dbm: Floats,
    *,
    within_db: float = 6.0,
    max_per_cell: int = 32,
) -> tuple[Ints, Ints]:
    """Return source and target cell of the neighbour relations, each (R,).

    Two cells are neighbours where one serves, as the strongest of its carrier, and the
    other is received at most ``within_db`` weaker, on at least 0.2 % of the pixels that
    the first serves above -120 dBm; cells of one site always are. Relations go both ways.
    The most important pairs come first until a cell has its full number; the result is
    ordered by source, then by importance.

    Args:
        gain_db: Gain pixel by pixel [dB], (P, Cp).
        network: The network.
        power_dbm: Total power of each cell [dBm], (C,).
        within_db: How much weaker a neighbour may be [dB].
        max_per_cell: Most relations out of one cell.
    """
    element_power = reference_power_dbm(network, power_dbm)
    counts = np.zeros((network.cells, network.cells))
    for carrier in range(int(network.carrier_index.max()) + 1):
        layer = network.carrier_index == carrier
        _overlap(counts, gain_db, element_power, layer, np.float32(within_db))
    share = counts / np.maximum(np.diag(counts), 1.0)[:, None]
    share[share < _MIN_SHARE] = 0.0
    importance = np.maximum(share, share.T)
    sites = np.unique(np.array(network.site_ids), return_inverse=True)[1].reshape(-1)
    importance += 2.0 * (sites[:, None] == sites[None, :])
    first, second = np.nonzero(np.triu(importance, 1))
    weight = importance[first, second]
    room = np.full(network.cells, max_per_cell)
    relations = []
    for pair in np.lexsort((second, first, -weight)):
        i, j = int(first[pair]), int(second[pair])
        if room[i] > 0 and room[j] > 0:
            room[[i, j]] -= 1
            relations += [(i, -float(weight[pair]), j), (j, -float(weight[pair]), i)]
    relations.sort()
    source = np.array([i for i, _, _ in relations], dtype=np.int32)
    target = np.array([j for _, _, j in relations], dtype=np.int32)
    return source, target


_MIN_SHARE = 0.002
_SERVED_DBM = -120.0


@compiled
def _overlap(
    counts: Floats,
    gain_db: Floats32,
    element_power_dbm: Floats32,
    layer: Bools,
    within_db: Scalar,
) -> None:
    """Count where cells of one carrier serve, and beside whom.

    Args:
        counts: Added to: pixels that the first serves with the second at most so much
            weaker; on the diagonal all pixels that a cell serves, (C, C).
        gain_db: Gain pixel by pixel [dB], (P, Cp).
        element_power_dbm: Power of one resource element [dBm], (C,).
        layer: Cells of the carrier, (C,).
        within_db: How much weaker the second may be [dB].
    """
    for pixel in range(gain_db.shape[0]):
        best, level = -1, np.float32(_SERVED_DBM)
        for c in range(layer.size):
            here = gain_db[pixel, c] + element_power_dbm[c]
            if layer[c] and here > level:
                best, level = c, here
        if best >= 0:
            floor = level - within_db
            for c in range(layer.size):
                if gain_db[pixel, c] + element_power_dbm[c] >= floor:
                    counts[best, c] += 1.0
