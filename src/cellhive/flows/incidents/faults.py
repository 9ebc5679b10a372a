"""Faults that no parameter shows: what breaks in the field while the configuration stays.

A fault is data; ``inject`` writes it into the state of one twin, from the next period on.
The parameters that the twin reports are those that were configured, so whoever looks for
the cause has counters and configuration only. Settings that are wrong are no faults of this
kind: they are plain changes. A later plan may overwrite what a fault did, so a twin with
faults is for watching.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from enum import StrEnum

import numpy as np

from cellhive.core.errors import BadInput, NotFound
from cellhive.core.types import Floats, Floats32, Network
from cellhive.ran.plant import NO_RELATION_DB, OFF_DBM
from cellhive.ran.radio_map import RadioMap, cell_gain_db
from cellhive.ran.simulator import Simulator, Twin

_WEDGE_DEG = 40.0
"""Half the width of what an obstruction shades."""
_SHADE_FROM_M = 60.0
"""Distance of an obstruction from the antenna [m]."""
_INTERFERER_LOSS_DB = (38.0, 32.0)
"""Path loss of a source of interference at street level: at 1 m, and per decade of distance."""
_NEAREST_M = 20.0


class FaultKind(StrEnum):
    """What breaks."""

    TILT_UP = "tilt up"
    """The antenna looks further up than configured; ``amount`` in degrees."""
    TILT_DOWN = "tilt down"
    """It looks further down; degrees."""
    AZIMUTH = "azimuth"
    """It looks another way; degrees clockwise."""
    OBSTRUCTION = "obstruction"
    """Something new in front of it shades a wedge of the sector; dB."""
    POWER = "power"
    """The amplifier radiates less, and draws less; dB."""
    OUTAGE = "outage"
    """It transmits nothing."""
    BARRED = "barred"
    """A sleeping cell: it transmits, and lets nobody in."""
    PRBS = "prbs"
    """Part of the resource blocks is gone; share that is left."""
    NEIGHBOUR = "neighbour"
    """No handover from the cell to any cell of the site of ``target`` is started."""
    INTERFERENCE = "interference"
    """Somebody else transmits in the band, at a distance ahead of the cell; dBm per resource
    element. ``target`` is the distance [m]."""
    SURGE = "surge"
    """The users of a hot spot are busier; factor. ``target`` is the number of the group."""


@dataclass(frozen=True)
class Fault:
    """One thing that breaks."""

    kind: FaultKind
    cell: str
    amount: float = 0.0
    """How much, see the kinds."""
    target: str = ""


def inject(twin: Twin, fault: Fault) -> None:
    """Break something in a twin, from now on; branch it first to keep the sound one.

    Raises:
        NotFound: If there is no such cell.
        BadInput: If the twin has no place for it, or the amount means nothing.
    """
    if fault.cell not in twin.network.cell_index:
        message = f"expected a cell of {twin.network.name}, found {fault.cell!r}"
        raise NotFound(message)
    cell = twin.network.cell_index[fault.cell]
    simulator, kind = twin.simulator, fault.kind
    if kind in _NEW_GAIN:
        _replace_gain(simulator, cell, _faulty_gain(simulator, cell, fault))
    elif kind is FaultKind.POWER:
        _weaken(simulator, cell, fault.amount)
    elif kind is FaultKind.OUTAGE:
        simulator.plant.power_dbm[0, cell] = OFF_DBM
    elif kind is FaultKind.BARRED:
        simulator.plant.closing[0, cell] = 1
    elif kind is FaultKind.PRBS:
        _take_prbs(simulator, cell, fault.amount)
    elif kind is FaultKind.NEIGHBOUR:
        _forget_site(simulator, cell, fault.target)
    elif kind is FaultKind.INTERFERENCE:
        _add_interferer(simulator, cell, fault)
    else:
        _surge(twin, fault)


# ------------------------------------------------------------------ what the antenna covers

_NEW_GAIN = frozenset(
    {FaultKind.TILT_UP, FaultKind.TILT_DOWN, FaultKind.AZIMUTH, FaultKind.OBSTRUCTION}
)


def _faulty_gain(simulator: Simulator, cell: int, fault: Fault) -> Floats32:
    """Return the gain of a cell whose antenna is not as configured [dB], (P,)."""
    world, tilt = simulator.world, simulator.parameters(0).electrical_tilt_deg[cell]
    network = world.network
    if fault.kind is FaultKind.AZIMUTH:
        azimuth = network.azimuth_deg.copy()
        azimuth[cell] = (azimuth[cell] + fault.amount) % 360.0
        turned = replace(network, azimuth_deg=azimuth)
        return cell_gain_db(world.radio_map, turned, cell, float(tilt))
    turn = {FaultKind.TILT_UP: -fault.amount, FaultKind.TILT_DOWN: fault.amount}
    gain = cell_gain_db(world.radio_map, network, cell, float(tilt + turn.get(fault.kind, 0.0)))
    if fault.kind is FaultKind.OBSTRUCTION:
        distance_m, off_deg = _seen_from(world.radio_map, network, cell)
        shaded = (distance_m > _SHADE_FROM_M) & (np.abs(off_deg) < _WEDGE_DEG)
        gain[shaded] -= np.float32(fault.amount)
    return gain


def _seen_from(radio_map: RadioMap, network: Network, cell: int) -> tuple[Floats, Floats]:
    """Return distance [m] and angle off the boresight [deg] of every pixel, each (P,)."""
    row, column = np.divmod(np.arange(radio_map.pixels), radio_map.columns)
    east = radio_map.x0_m + column * radio_map.pixel_m - network.x_m[cell]
    north = radio_map.y0_m + row * radio_map.pixel_m - network.y_m[cell]
    bearing = np.degrees(np.arctan2(east, north))
    off = (bearing - network.azimuth_deg[cell] + 180.0) % 360.0 - 180.0
    return np.hypot(east, north), off


def _replace_gain(simulator: Simulator, cell: int, gain_db: Floats32) -> None:
    gain = simulator.plant.gain_db.copy()
    gain[simulator.plant.gain_of[0], :, cell] = gain_db
    simulator.override(simulator.plant._replace(gain_db=gain), simulator.site)


# ------------------------------------------------------------------ what the cell does


def _weaken(simulator: Simulator, cell: int, loss_db: float) -> None:
    """Let the amplifier radiate and draw less."""
    simulator.plant.power_dbm[0, cell] -= np.float32(loss_db)
    simulator.plant.watts[0, cell, 1] *= 10 ** (-loss_db / 10)


def _take_prbs(simulator: Simulator, cell: int, left: float) -> None:
    if not 0.0 < left <= 1.0:
        raise BadInput(expected="a share of resource blocks above 0", found=f"{left:g}")
    prbs = simulator.site.prbs.copy()
    prbs[cell] = max(round(prbs[cell] * left), 1)
    simulator.override(simulator.plant, simulator.site._replace(prbs=prbs))


def _forget_site(simulator: Simulator, cell: int, target: str) -> None:
    network = simulator.world.network
    if target not in network.site_ids:
        message = f"expected a site of {network.name}, found {target!r}"
        raise NotFound(message)
    away = [k for k, site in enumerate(network.site_ids) if site == target]
    simulator.plant.offset_db[0, cell, away] = NO_RELATION_DB


def _add_interferer(simulator: Simulator, cell: int, fault: Fault) -> None:
    """Let a column that only pads the rows transmit; nobody can be served by it."""
    plant, site, world = simulator.plant, simulator.site, simulator.world
    free = np.flatnonzero(site.carrier < 0)
    if not free.size:
        raise BadInput(
            expected="a network whose number of cells is no multiple of 16",
            found=f"{world.network.cells} cells", remedy="take another number of sites",
        )  # fmt: skip
    column, network, radio_map = int(free[0]), world.network, world.radio_map
    bearing, distance_m = math.radians(network.azimuth_deg[cell]), float(fault.target)
    place = (
        network.x_m[cell] + distance_m * math.sin(bearing),
        network.y_m[cell] + distance_m * math.cos(bearing),
    )
    row, across = np.divmod(np.arange(radio_map.pixels), radio_map.columns)
    away_m = np.hypot(
        radio_map.x0_m + across * radio_map.pixel_m - place[0],
        radio_map.y0_m + row * radio_map.pixel_m - place[1],
    )
    at_1_m, per_decade = _INTERFERER_LOSS_DB
    gain = plant.gain_db.copy()
    gain[plant.gain_of[0], :, column] = -(
        at_1_m + per_decade * np.log10(np.maximum(away_m, _NEAREST_M))
    )
    carrier, prbs = site.carrier.copy(), site.prbs.copy()
    carrier[column], prbs[column] = site.carrier[cell], 1.0
    simulator.override(plant._replace(gain_db=gain), site._replace(carrier=carrier, prbs=prbs))
    # A cell without load interferes as with the idle load only.
    plant.power_dbm[0, column] = fault.amount - 10 * math.log10(site.idle_load)
    plant.closing[0, column] = 1


# ------------------------------------------------------------------ what users do


def _surge(twin: Twin, fault: Fault) -> None:
    group, usual = int(fault.target), twin.activity

    def busier(time_s: float) -> Floats:
        rates = usual(time_s).copy()
        rates[group] *= fault.amount
        return rates

    if not 0 <= group < usual(twin.time_s).size:
        raise BadInput(expected="a group of users", found=fault.target)
    twin.activity = busier
