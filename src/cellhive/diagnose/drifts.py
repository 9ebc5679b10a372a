"""Slow drifts: what is left when spikes and level shifts have been taken out.

Axis letters: ``N`` objects (rows), ``T`` reporting periods.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import stats

from cellhive.core.types import Floats
from cellhive.diagnose.cycles import Usual, robust_sigma
from cellhive.diagnose.detection import SHORTEST, Departure, Judged

LEVEL = 0.05
"""Largest p-value of interest."""
KNEES = (0.0, 0.125, 0.25, 0.375, 0.5)
"""Shares of the data after which a drift may begin."""


def drifts(usual: Usual, departures: tuple[Departure, ...], periods_per_block: int) -> Judged:
    """Return slow drifts: a line through block medians, once departures are out.

    The line may be level up to a knee in the first half of the data; p-values are multiplied
    by the knees that are tried. The slope's standard error is widened by (1 + r) / (1 - r)
    with r the lag-one correlation of the block medians about the line, corrected for its bias
    in short series (after Kendall 1954) and raised by its standard error. The total change
    must also be three times what a random walk with the same changes would wander, and more
    where few blocks tell how much that is.
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
    good = (n >= SHORTEST) & ~usual.weak
    if not good.any():
        return Judged((), smallest, ("too short for a drift",) * rows)
    sub, n = line[good], n[good].astype(np.float64)
    best = _best_hinge(sub, n)
    error = best.error
    with np.errstate(divide="ignore", invalid="ignore"):
        p = 2 * stats.t.sf(np.abs(best.slope) / np.where(error > 0, error, np.inf), best.freedom)
    p = np.minimum(p * len(KNEES), 1.0)
    lag = max(1, blocks // 6)
    change = best.slope * (blocks - 1 - best.knee)
    after = np.maximum(np.arange(blocks)[None, :] - best.knee[:, None], 0.0)
    wander = (
        1.3 * _wander(sub - best.slope[:, None] * after, lag) * np.sqrt((blocks - best.knee) / lag)
    )
    far = np.abs(change) > 3 * (1 + 10 / n) * np.nan_to_num(wander, nan=np.inf)
    smallest[good] = np.where(np.isfinite(p) & far, p, 1.0)
    out = [
        Departure(int(row), "drift", int(k) * periods_per_block, periods, float(s), float(q),
                  int(k) == 0, True)
        for row, k, s, q in zip(np.flatnonzero(good), best.knee, change, smallest[good],
                                strict=True)
        if q <= LEVEL and abs(s) >= 1.0
    ]  # fmt: skip
    return Judged(tuple(out), smallest, ("",) * rows)


def _wander(line: Floats, lag: int) -> Floats:
    """Return how far a random walk with the same changes gets in some blocks, (N,).

    It is measured on what the line leaves, and raised by what the line took of it. Changes are
    of the means of so many blocks, which tells a walk from noise; two thirds of a
    walk's variance are left in them.
    """
    zero = np.zeros((line.shape[0], 1))
    total = np.hstack([zero, np.cumsum(np.nan_to_num(line), axis=1)])
    number = np.hstack([zero, np.cumsum(~np.isnan(line), axis=1)])
    within = number[:, lag:] - number[:, :-lag]
    mean = np.where(within > 0, (total[:, lag:] - total[:, :-lag]) / np.maximum(within, 1), np.nan)
    return np.asarray(robust_sigma(mean[:, lag:] - mean[:, :-lag]) * np.sqrt(1.5))


@dataclass(frozen=True)
class _Hinge:
    """A level and, from a knee on, a straight line; each (N,)."""

    knee: Floats
    """Block from which it climbs or falls."""
    slope: Floats
    """Per block."""
    error: Floats
    """Standard error of the slope, widened by the correlation of what the fit leaves."""
    freedom: Floats
    power: Floats
    """Sum of squares that the fit leaves."""


def _best_hinge(line: Floats, n: Floats) -> _Hinge:
    """Return the hinge that leaves least of each row, of a few knees in its first half."""
    blocks = line.shape[1]
    tried = [_hinge(line, n, round(share * blocks)) for share in KNEES]
    choice = np.argmin(np.stack([one.power for one in tried]), axis=0)
    rows = np.arange(line.shape[0])

    def chosen(name: str) -> Floats:
        return np.asarray(np.stack([getattr(one, name) for one in tried])[choice, rows])

    return _Hinge(*(chosen(name) for name in ("knee", "slope", "error", "freedom", "power")))


def _hinge(line: Floats, n: Floats, knee: int) -> _Hinge:
    blocks = line.shape[1]
    known = ~np.isnan(line)
    when = np.where(known, np.maximum(np.arange(blocks) - float(knee), 0.0), np.nan)
    when = when - np.nanmean(when, axis=1, keepdims=True)
    centred = line - np.nanmean(line, axis=1, keepdims=True)
    weight = np.maximum(np.nansum(np.square(when), axis=1), 1e-12)
    slope = np.nansum(when * centred, axis=1) / weight
    rest = centred - slope[:, None] * when
    power = np.nansum(np.square(rest), axis=1)
    r = np.nansum(rest[:, 1:] * rest[:, :-1], axis=1) / np.where(power > 0, power, 1.0)
    r = np.clip(r + (2 + 4 * r) / n + np.sqrt((1 - r * r) / n), 0.0, 0.97)
    error = np.sqrt(power / (n - 2) / weight * (1 + r) / (1 - r))
    freedom = np.maximum((n - 2) * (1 - r) / (1 + r), 1.0)
    return _Hinge(np.full(n.size, float(knee)), slope, error, freedom, power)
