"""The twin as a picture: radio quality on the ground, load of the sectors, and the users."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from cellhive.core.canvas import HEAT, NIGHT, Picture, coloured, stamp, wedge_mask
from cellhive.core.types import Bools, Floats, Ints, Network
from cellhive.ran.radio_map import sinr_db_raster, site_distance_m
from cellhive.ran.simulator import Simulator, World
from cellhive.ran.users import BLOCKED, IDLE, LOST

SINR_DB = (-5.0, 25.0)
"""Range of the ground's colours [dB]."""

WAITING, SERVED, CUT_OFF = (118, 128, 140), (255, 255, 255), (255, 70, 160)
"""Colours of users: without a session, served, without a link."""
ASLEEP = (36, 40, 52)
"""Colour of a sector that is switched off."""
_MOST_RATIO = 5.0
_HALF_WIDTH_RAD = np.radians(28.0)
_SAME_BEARING_DEG = 20.0
_EDGE = np.array((12, 14, 20), np.uint8)


class MapPicture:
    """Draws one place; what does not change is worked out once."""

    def __init__(self, world: World, size_px: int = 720) -> None:
        """Prepare to draw.

        Args:
            world: The place.
            size_px: Length of the longer side [pixels].
        """
        ground, network = world.ground, world.network
        wide, high = ground.east_m - ground.west_m, ground.north_m - ground.south_m
        high = max(high, wide / _MOST_RATIO)  # a road alone would be a thread
        self._west_m, middle_m = ground.west_m, (ground.north_m + ground.south_m) / 2
        self._north_m = middle_m + high / 2
        self.px_per_m = size_px / max(wide, high)
        self.columns = max(1, round(wide * self.px_per_m))
        self.rows = max(1, round(high * self.px_per_m))
        self._world = world
        radio_map = world.radio_map
        east_m = ground.west_m + (np.arange(self.columns) + 0.5) / self.px_per_m
        north_m = self._north_m - (np.arange(self.rows) + 0.5) / self.px_per_m
        across = np.rint((east_m - radio_map.x0_m) / radio_map.pixel_m)
        along = np.rint((north_m - radio_map.y0_m) / radio_map.pixel_m)
        self._across = np.clip(across, 0, radio_map.columns - 1).astype(int)
        self._along = np.clip(along, 0, radio_map.rows - 1).astype(int)
        self._wedges = [self._wedge(network, cell) for cell in range(network.cells)]

    def draw(self, simulator: Simulator, e: int = 0, ground: Picture | None = None) -> Picture:
        """Return the picture of one network of a batch as it stands.

        Args:
            simulator: The batch; its place is this one.
            e: Which network.
            ground: What to draw on; None means the ground as it stands, too.
        """
        network, plant = self._world.network, simulator.plant
        cells = network.cells
        picture = self.ground(simulator, e) if ground is None else ground.copy()
        load = plant.load[e, :cells].astype(np.float64)
        colours = coloured(load, HEAT)
        colours[simulator.parameters(e).asleep] = ASLEEP
        for cell, (corner, fill, edge) in enumerate(self._wedges):
            view = picture[corner[0] : corner[0] + fill.shape[0],
                           corner[1] : corner[1] + fill.shape[1]]  # fmt: skip
            view[fill] = colours[cell]
            view[edge] = _EDGE
        self._draw_users(picture, plant.users[e])
        return picture

    def ground(self, simulator: Simulator, e: int = 0) -> Picture:
        """Return the ground alone, coloured by the SINR that users would have there."""
        return coloured(ground_share(simulator, e)[self._along][:, self._across], NIGHT)

    def place(self, x_m: Floats, y_m: Floats) -> tuple[Floats, Floats]:
        """Return row and column of places on the ground."""
        return (self._north_m - y_m) * self.px_per_m, (x_m - self._west_m) * self.px_per_m

    def _draw_users(self, picture: Picture, users: npt.NDArray[np.void]) -> None:
        looks = user_looks(users)
        rows, columns = self.place(users["x_m"].astype(float), users["y_m"].astype(float))
        for look, (radius, colour) in enumerate(((0.6, WAITING), (1.6, SERVED), (3.0, CUT_OFF))):
            chosen = looks == look
            stamp(picture, rows[chosen], columns[chosen], radius, np.array(colour, np.uint8))

    def _wedge(self, network: Network, cell: int) -> tuple[tuple[int, int], Bools, Bools]:
        """Return where a sector is drawn: upper left corner, and its inside and edge."""
        outer = 0.26 * site_distance_m(network, alone_m=500.0) * self.px_per_m
        layer, layers = layer_of(network, cell)
        radii = (outer * layer / layers, outer * (layer + 1) / layers)
        row, column = self.place(network.x_m[cell : cell + 1], network.y_m[cell : cell + 1])
        top, left = max(0, int(row[0] - outer) - 1), max(0, int(column[0] - outer) - 1)
        bottom = min(self.rows, int(row[0] + outer) + 2)
        right = min(self.columns, int(column[0] + outer) + 2)
        rows, columns = np.mgrid[top:bottom, left:right]
        rows, columns = rows - row[0], columns - column[0]
        omni = network.omnidirectional is not None and bool(network.omnidirectional[cell])
        half = np.pi if omni else _HALF_WIDTH_RAD
        bearing = np.radians(network.azimuth_deg[cell])
        fill = wedge_mask(rows, columns, radii, bearing, half)
        shrunk = fill.copy()
        for shift in ((1, 0), (-1, 0), (0, 1), (0, -1)):
            shrunk &= np.roll(fill, shift, (0, 1))
        return (top, left), fill, fill & ~shrunk


def ground_share(simulator: Simulator, e: int = 0) -> Floats:
    """Return the SINR on the ground as a share of ``SINR_DB``, (rows, columns) of the radio map.

    The first row lies furthest south.
    """
    world, plant = simulator.world, simulator.plant
    cells = world.network.cells
    raster = sinr_db_raster(
        world.radio_map, world.network, plant.gain_db[plant.gain_of[e]],
        plant.power_dbm[e, :cells], plant.load[e, :cells].astype(np.float64),
    )  # fmt: skip
    low, high = SINR_DB
    share: Floats = np.clip((raster.values.astype(np.float64) - low) / (high - low), 0.0, 1.0)
    return share


def user_looks(users: npt.NDArray[np.void]) -> npt.NDArray[np.int8]:
    """Return how each user is shown, (U,): 0 without a session, 1 served, 2 without a link."""
    idle, cut_off = users["state"] == IDLE, np.isin(users["state"], (LOST, BLOCKED))
    return np.where(idle, 0, np.where(cut_off, 2, 1)).astype(np.int8)


def layer_of(network: Network, cell: int) -> tuple[int, int]:
    """Return the rank of a cell among those of its site and bearing, and how many they are."""
    bearing = network.azimuth_deg - network.azimuth_deg[cell]
    apart = np.abs((bearing + 180.0) % 360.0 - 180.0)
    here = np.array([site == network.site_ids[cell] for site in network.site_ids])
    together: Ints = np.flatnonzero(here & (apart < _SAME_BEARING_DEG)).astype(np.int32)
    return int(np.flatnonzero(together == cell)[0]), together.size
