"""The busy hour of each day: what capacity is planned by."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from cellhive.core.types import Floats, Ints
from cellhive.diagnose.advice.recommendation import Seen
from cellhive.diagnose.cycles import DAY_S

HOUR_S = 3600.0
_WHOLE_DAY = 0.75
"""Share of a day's hours that must be there for it to have a busy hour."""
_MONDAY = 4 * DAY_S
"""The epoch began on a Thursday; the first Monday was the fifth of January."""


@dataclass(frozen=True)
class Daily:
    """One value a day of each object."""

    values: Floats
    """(N, D), NaN where the day is not whole."""
    start_s: float
    """Midnight of the first day, seconds since the epoch [s]."""
    busy_hour: Ints | None
    """Usual hour of the day that is busiest, (N,); None where periods are a day long."""

    @property
    def first_weekday(self) -> int:
        """Weekday of the first day, 0 on Monday."""
        return int(((self.start_s - _MONDAY) // DAY_S) % 7)


def hourly(seen: Seen, quantity: str) -> tuple[Floats, float] | None:
    """Return hour means of a quantity on whole days, (N, D, 24), and midnight of the first day [s].

    None where the quantity is not there or periods are longer than an hour.
    """
    values = seen.get(quantity)
    if values is None or not 0 < seen.step_s <= HOUR_S or HOUR_S % seen.step_s:
        return None
    per_hour = round(HOUR_S / seen.step_s)
    midnight = math.floor(seen.start_s / DAY_S) * DAY_S
    lead = round((seen.start_s - midnight) / seen.step_s)
    per_day = 24 * per_hour
    days = -(-(lead + values.shape[1]) // per_day)
    padded = np.full((values.shape[0], days * per_day), np.nan)
    padded[:, lead : lead + values.shape[1]] = values
    grid = padded.reshape(values.shape[0], days, 24, per_hour)
    known = np.isfinite(grid)
    count = known.sum(axis=3)
    with np.errstate(invalid="ignore"):
        mean = np.where(known, grid, 0.0).sum(axis=3) / np.where(count > 0, count, np.nan)
    return mean, midnight


def daily(seen: Seen, quantity: str, *, worst: str = "high") -> Daily | None:
    """Return the busy hour's value of each day, or the day's own where periods are days.

    Args:
        seen: Measurements.
        quantity: Which.
        worst: "high" takes the largest hour of a day. "low" takes the hour in which PRB
            utilisation is highest, where that is measured, and else the smallest.
    """
    values = seen.get(quantity)
    if values is None:
        return None
    if abs(seen.step_s - DAY_S) < 1.0:
        return Daily(values, seen.start_s, None)
    found = hourly(seen, quantity)
    if found is None:
        return None
    hours, midnight = found
    whole = np.isfinite(hours).sum(axis=2) >= _WHOLE_DAY * 24
    load = hourly(seen, "prb_utilisation_ratio") if worst == "low" else None
    if load is not None and load[0].shape == hours.shape:
        at = np.where(np.isfinite(load[0]) & np.isfinite(hours), load[0], -np.inf).argmax(axis=2)
    else:
        sign = 1.0 if worst == "high" else -1.0
        at = np.where(np.isfinite(hours), sign * hours, -np.inf).argmax(axis=2)
    out = np.take_along_axis(hours, at[..., None], axis=2)[..., 0]
    usual = np.array(
        [np.bincount(row[ok], minlength=24).argmax() for row, ok in zip(at, whole, strict=True)],
        np.int32,
    )
    return Daily(np.where(whole, out, np.nan), midnight, usual)
