"""Power drawn by base stations: the EARTH model."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cellhive.core.types import Floats, Network


@dataclass(frozen=True, slots=True)
class PowerModel:
    """Linear power model of one type of base station, per cell.

    P = N_TRX P0 + slope * P_out while awake, N_TRX P_sleep asleep
    (Auer et al., "How much energy is needed to run a wireless network?", IEEE Wireless
    Communications 2011, table 2).
    """

    transceivers: int
    idle_w: float
    """P0 of one transceiver [W]."""
    slope: float
    """Watts drawn per watt radiated."""
    sleep_w: float
    """Draw of one sleeping transceiver [W]."""


# The table gives six transceivers for a three-sector macro site, so two per cell.
MACRO = PowerModel(transceivers=2, idle_w=130.0, slope=4.7, sleep_w=75.0)
MICRO = PowerModel(transceivers=2, idle_w=56.0, slope=2.6, sleep_w=39.0)

WAKE_UP_J = 2 * 130.0 * 30.0
"""Charged once per wake-up [J]: half a minute of idling before the cell can serve
(a design choice; TR 38.864 has transitions of up to 10 s for its deepest category)."""


def power_coefficients(network: Network) -> tuple[Floats, Floats, Floats]:
    """Return (idle [W], slope [W/W], sleep [W]) of every cell, each (C,)."""
    models = [MICRO if name == "UMi" else MACRO for name in network.environment]
    return (
        np.array([m.transceivers * m.idle_w for m in models]),
        np.array([m.slope for m in models]),
        np.array([m.transceivers * m.sleep_w for m in models]),
    )
