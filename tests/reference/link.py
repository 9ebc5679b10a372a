"""Slow and obvious twin of the link abstraction, in float64 NumPy."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]

# -174 dBm/Hz over 15 kHz with a noise figure of 9 dB.
NOISE_MW = 10 ** ((-174 + 10 * np.log10(15_000) + 9) / 10)
# 12 subcarriers of 15 kHz, less 14 % overhead (TS 38.306 §4.1.2), in Mbit per bit/s/Hz.
MBIT_PER_PRB = 12 * 15_000 * (1 - 0.14) / 1e6


def spectral_efficiency(sinr: float) -> float:
    """Return 0.93 log2(1 + SINR/1.3), at most MCS 27 of table 5.1.3.1-2 (8 x 948/1024)."""
    return float(min(0.93 * np.log2(1 + sinr / 1.3), 7.4063))


def harmonic(count: int) -> float:
    """Return 1 + 1/2 + ... + 1/count; 1 for a count below 1."""
    return float(sum(1 / k for k in range(1, max(count, 1) + 1)))


def sinr(rsrp_dbm: Floats, cell: int, weights: Floats) -> float:
    """Return the linear SINR in a cell.

    Args:
        rsrp_dbm: RSRP of all cells [dBm], (C,).
        cell: The cell that would serve.
        weights: Share of its power with which each cell interferes, (C,).
    """
    power = 10 ** (rsrp_dbm / 10)
    others = np.arange(rsrp_dbm.size) != cell
    return float(power[cell] / (np.sum((power * weights)[others]) + NOISE_MW))


def water_filling(needs: Floats, available: float) -> Floats:
    """Return min(need, level) with the level at which the shares add up to what there is.

    The level is found from the sorted needs: with the k smallest served in full, the
    rest is split evenly; the right k is the first at which nobody else's need lies below.
    """
    if needs.sum() <= available:
        return needs.astype(float)
    ordered = np.sort(needs.astype(float))
    for served in range(ordered.size):
        level = (available - ordered[:served].sum()) / (ordered.size - served)
        if ordered[served] >= level:
            return np.minimum(needs, level)
    message = "unreachable: some need exceeds the level when the sum exceeds what there is"
    raise AssertionError(message)
