"""Slow drifts: what is left when spikes and level shifts have been taken out.

Axis letters: ``N`` objects (rows), ``T`` reporting periods.
"""

from __future__ import annotations

import numpy as np
from scipy import stats

from cellhive.diagnose.cycles import Usual, robust_sigma
from cellhive.diagnose.detection import SHORTEST, Departure, Judged

LEVEL = 0.05
"""Largest p-value of interest."""


def drifts(usual: Usual, departures: tuple[Departure, ...], periods_per_block: int) -> Judged:
    """Return slow drifts: a straight line through block medians, once departures are out.

    The slope's standard error is widened by (1 + r) / (1 - r) with r the lag-one
    correlation of the block medians about the line, corrected for its bias in short
    series (after Kendall 1954) and raised by its standard error. The total change must also
    be three times what a random walk with the same changes would wander.
    """
    values = np.array(usual.residual)
    for one in sorted(departures, key=lambda departure: departure.first):
        if one.open_end:
            values[one.row, one.first :] -= one.sigmas
        else:
            values[one.row, one.first : one.last] = np.nan
    rows, periods = values.shape
    blocks = periods // periods_per_block
    smallest = np.full(rows, np.nan)
    if blocks < SHORTEST:
        return Judged((), smallest, ("too short for a drift",) * rows)
    folded = values[:, : blocks * periods_per_block].reshape(rows, blocks, periods_per_block)
    ordered = np.sort(folded, axis=2)
    count = np.sum(~np.isnan(folded), axis=2)
    middle = np.take_along_axis(ordered, np.maximum((count - 1) // 2, 0)[:, :, None], axis=2)
    line = middle[:, :, 0]
    known = ~np.isnan(line)
    n = known.sum(axis=1)
    t = np.where(known, np.arange(blocks, dtype=np.float64), np.nan)
    good = (n >= SHORTEST) & ~usual.weak
    if not good.any():
        return Judged((), smallest, ("too short for a drift",) * rows)
    sub, when, n = line[good], t[good], n[good].astype(np.float64)
    when = when - np.nanmean(when, axis=1, keepdims=True)
    centred = sub - np.nanmean(sub, axis=1, keepdims=True)
    weight = np.nansum(np.square(when), axis=1)
    slope = np.nansum(when * centred, axis=1) / weight
    rest = centred - slope[:, None] * when
    power = np.nansum(np.square(rest), axis=1)
    r = np.nansum(rest[:, 1:] * rest[:, :-1], axis=1) / np.where(power > 0, power, 1.0)
    r = np.clip(r + (2 + 4 * r) / n + np.sqrt((1 - r * r) / n), 0.0, 0.97)
    error = np.sqrt(power / (n - 2) / weight * (1 + r) / (1 - r))
    freedom = np.maximum((n - 2) * (1 - r) / (1 + r), 1.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        p = 2 * stats.t.sf(np.abs(slope) / np.where(error > 0, error, np.inf), freedom)
    lag = max(1, blocks // 6)
    wander = robust_sigma(sub[:, lag:] - sub[:, :-lag]) * np.sqrt(blocks / lag)
    far = np.abs(slope) * (blocks - 1) > 3 * np.nan_to_num(wander, nan=np.inf)
    smallest[good] = np.where(np.isfinite(p) & far, p, 1.0)
    out = [
        Departure(int(row), "drift", 0, periods, float(s * (blocks - 1)), float(q), True, True)
        for row, s, q in zip(np.flatnonzero(good), slope, smallest[good], strict=True)
        if q <= LEVEL and abs(s * (blocks - 1)) >= 1.0
    ]
    return Judged(tuple(out), smallest, ("",) * rows)
