"""Frames without the values that cannot be."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from cellhive.core.schema import QUANTITIES
from cellhive.core.types import Bools, KpiFrame


@dataclass(frozen=True)
class Checked:
    """A frame without its impossible values."""

    frame: KpiFrame
    usable: Bools
    """Cells about which anything is known, (C,)."""
    impossible: Bools
    """Values that were reported but cannot be, (C, K)."""


def check_frame(frame: KpiFrame) -> Checked:
    """Return a frame in which values that cannot be are no longer valid.

    A value cannot be if it is not finite or lies outside the range that the schema
    gives its column. A cell without a single valid value is not usable.
    """
    low = np.array([_limits(name)[0] for name in frame.columns], np.float32)
    high = np.array([_limits(name)[1] for name in frame.columns], np.float32)
    with np.errstate(invalid="ignore"):
        possible = np.isfinite(frame.values) & (frame.values >= low) & (frame.values <= high)
    valid = frame.valid & possible
    impossible = frame.valid & ~possible
    if impossible.any():
        values = np.where(valid, frame.values, np.float32(np.nan))
        frame = replace(frame, values=values, valid=valid)
    return Checked(frame, np.asarray(valid.any(axis=1)), impossible)


def _limits(column: str) -> tuple[float, float]:
    quantity = QUANTITIES.get(column)
    if quantity is None:
        return -np.inf, np.inf
    slack = 1e-5 * max(abs(v) for v in (quantity.low, quantity.high, 1.0) if np.isfinite(v))
    return quantity.low - slack, quantity.high + slack
