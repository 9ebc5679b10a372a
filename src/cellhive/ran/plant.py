"""What the kernel works on: a place, the state of many networks there, and of one."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from cellhive.core.compiled import Word
from cellhive.core.types import Floats, Floats32, Ints
from cellhive.ran.handover import Timers
from cellhive.ran.users import Ground

OFF_DBM = -300.0
"""Power of a cell that does not transmit [dBm]: far below any noise, yet finite."""
ON_DBM = np.float32(-200.0)
"""A cell with more power than this per resource element transmits [dBm]."""
IDLE_LOAD = 0.05
"""Load as which a cell without traffic interferes: synchronisation, broadcast, pilots."""
NO_RELATION_DB = -1000.0
"""Offset that keeps a cell from ever being a handover target [dB]."""


class Site(NamedTuple):
    """What all networks of a batch share: the ground, the cells, the settings."""

    west_m: float
    """Easting of the centre of pixel (0, 0) [m]."""
    south_m: float
    pixel_m: float
    rows: int
    columns: int
    carrier: Ints
    """Carrier of each cell, (Cp,); -1 for padding."""
    carriers: int
    prbs: Floats
    """Resource blocks of each cell, (Cp,)."""
    relation: Ints
    """Index of the relation from source to target or -1, (Cp, Cp)."""
    ground: Ground
    traffic: Floats
    """``users.traffic_values``, (5,)."""
    timers: Timers
    diversity_users: float
    """Most users over which a proportional fair scheduler gains; 1 is round robin."""
    idle_load: float
    """Load as which a cell without traffic interferes."""


class Plant(NamedTuple):
    """The state and the settings of E networks, one array each, leading axis E."""

    seed: npt.NDArray[np.uint32]
    gain_db: Floats32
    """Path and antenna gain, (M, P, Cp)."""
    gain_of: Ints
    """Which of the M gain maps a network uses, (E,)."""
    users: npt.NDArray[np.void]
    """USER records, (E, U)."""
    l3_dbm: Floats32
    """Filtered RSRP, (E, U, Cp)."""
    trigger: Floats32
    """Steps for which event A3 has been entered, -1 when it has not, (E, U, Cp)."""
    power_dbm: Floats32
    """Power per resource element, (E, Cp); OFF_DBM while asleep."""
    offset_db: Floats32
    """CIO plus carrier offset of every pair, source to target, (E, Cp, Cp)."""
    bias_db: Floats32
    """Cell selection offset, (E, Cp)."""
    a3_db: Floats32
    """A3 offset plus hysteresis of the serving cell, (E, Cp)."""
    trigger_steps: Floats32
    """Time to trigger in steps, (E, Cp)."""
    l3_weight: Floats32
    """Weight of a new sample in the layer-3 filter, (E, Cp)."""
    closing: Ints
    """1 while a cell hands its users over before it sleeps, (E, Cp)."""
    watts: Floats
    """Idle draw, watts per watt radiated times full power, sleeping draw: (E, Cp, 3)."""
    activity: Floats
    """Session rate factor of each group of users, (E, G)."""
    load: Floats32
    """PRB utilisation in the last step, (E, Cp)."""
    sharing: Floats32
    """Best-effort users sharing a cell in the last step, (E, Cp)."""
    connected: Floats32
    """RRC connected users in the last step, (E, Cp)."""
    cells: Floats
    """Accumulators of ``counters``, (E, Cp, A)."""
    relations: Floats
    """Accumulators of relations, (E, R, B)."""


class Net(NamedTuple):
    """One network of a ``Plant``: the same arrays without the leading axis."""

    seed: Word
    gain_db: Floats32
    users: npt.NDArray[np.void]
    l3_dbm: Floats32
    trigger: Floats32
    power_dbm: Floats32
    offset_db: Floats32
    bias_db: Floats32
    a3_db: Floats32
    trigger_steps: Floats32
    l3_weight: Floats32
    closing: Ints
    watts: Floats
    activity: Floats
    load: Floats32
    sharing: Floats32
    connected: Floats32
    cells: Floats
    relations: Floats
