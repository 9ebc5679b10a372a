"""What is usual in a series: daily and weekly cycle, level and spread, all by medians.

Axis letters: ``N`` objects (rows), ``T`` reporting periods of a regular grid.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from cellhive.core.types import Floats

Counts = npt.NDArray[np.int64]

DAY_S = 86400.0
DAYS_FOR_DAILY = 4
"""Whole days needed before a daily cycle is removed."""
DAYS_FOR_WEEKLY = 21
"""Whole days needed before a weekly cycle is removed."""
DAYS_FOR_SPREAD = 10
"""Whole days needed before the spread may differ by time of day."""
SMALL_COUNT = 100
"""Typical count below which its Poisson spread matters."""
WIDE = 3
"""Ratio of the 90 to the 10 % point from which the logarithm is taken."""
ROWS_TO_POOL = 4
"""Objects needed before one borrows strength from the others."""
OWN_SHAPE = 0.25
"""Weight of a row's own daily shape of the spread beside the panel's."""
TINY = 1e-6
MAD_TO_SIGMA = 1.4826
"""Standard deviation of a Gaussian over its median absolute deviation."""


@dataclass(frozen=True)
class Panel:
    """One KPI of many objects on one regular time grid."""

    kpi: str
    objects: tuple[str, ...]
    start_s: float
    """Start of the first period, seconds since the epoch [s]."""
    step_s: float
    """Length of a period [s]."""
    values: Floats
    """Values, (N, T); NaN where there is none."""
    unit: str = ""

    @property
    def periods(self) -> int:
        """Number of periods T of the grid."""
        return int(self.values.shape[1])


@dataclass(frozen=True)
class Usual:
    """A panel with its cycles taken out, on a scale where the spread is even."""

    residual: Floats
    """What the cycle does not explain, in units of the row's usual spread, (N, T)."""
    cycle: Floats
    """The cycle, on the transformed scale, (N, T)."""
    spread: Floats
    """Usual spread (robust sigma) on the transformed scale, by time of day, (N, T)."""
    transform: Transform
    weak: npt.NDArray[np.bool_]
    """Rows whose spread is the practical floor: they hardly vary at all, (N,)."""
    removed: tuple[str, ...]
    """Which cycles were removed: "daily", "weekly"."""


@dataclass(frozen=True)
class Transform:
    """A monotone scale on which the spread does not follow the level."""

    name: str
    """"identity", "log" (log(1 + x/offset)) or "root" (2 sqrt(x + 3/8), Anscombe 1948)."""
    offset: Floats
    """Offset of each row, (N, 1)."""

    def forward(self, values: Floats) -> Floats:
        """Return values on the transformed scale, (N, T)."""
        if self.name == "log":
            return np.log1p(np.maximum(values, 0.0) / self.offset)
        if self.name == "root":
            return 2.0 * np.sqrt(np.maximum(values, 0.0) + 0.375)
        return values

    def inverse(self, values: Floats, row: int) -> Floats:
        """Return transformed values of one row in the unit of the KPI."""
        if self.name == "log":
            return np.asarray(np.maximum(np.expm1(values), 0.0) * self.offset[row, 0])
        if self.name == "root":
            return np.asarray(np.maximum(np.square(values / 2.0) - 0.375, 0.0))
        return values


def quantiles(values: Floats, shares: tuple[float, ...]) -> Floats:
    """Return quantiles of each row without its NaN (lower neighbour), (Q, N); NaN if empty."""
    ordered = np.sort(values, axis=1)
    return quantiles_of_ordered(ordered, np.sum(~np.isnan(ordered), axis=1), shares)


def quantiles_of_ordered(
    ordered: Floats, count: Counts, shares: tuple[float, ...], *, from_top: bool = False
) -> Floats:
    """Return quantiles of rows that are in rising order, NaN last, (Q, N); NaN if empty.

    Args:
        ordered: The rows, (N, T).
        count: Values of each row that are not NaN, (N,).
        shares: Between 0 and 1.
        from_top: Whether a share counts from the largest value down.
    """
    rows = np.arange(ordered.shape[0])
    out = np.empty((len(shares), ordered.shape[0]))
    last = np.maximum(count - 1, 0)
    for index, share in enumerate(shares):
        at = np.clip(np.floor(share * (count - 1) + 0.5).astype(np.int64), 0, last)
        out[index] = ordered[rows, last - at if from_top else at]
    return out


def robust_sigma(values: Floats) -> Floats:
    """Return the scaled median absolute deviation of each row, (N,)."""
    centre = quantiles(values, (0.5,))[0]
    return np.asarray(MAD_TO_SIGMA * quantiles(np.abs(values - centre[:, None]), (0.5,))[0])


def practical_floor(unit: str, level: Floats, transform: str) -> Floats:
    """Return the spread below which a difference means nothing to anybody, (N,).

    0.05 points of a percentage (0.0005 of a ratio), 0.05 dB, the Poisson spread of
    a count, and half a per cent of the level for anything else.
    """
    if transform == "root":
        return np.ones_like(level)
    if transform == "log":
        return np.full_like(level, 0.005)
    fixed = {"%": 0.05, "ratio": 0.0005, "dB": 0.05, "dBm": 0.05}.get(unit)
    if fixed is not None:
        return np.full_like(level, fixed)
    return np.maximum(0.005 * np.abs(level), 1e-12)


def choose_transform(panel: Panel) -> Transform:
    """Return the scale on which the spread of a panel is about even.

    Shares and decibels stay as they are; small counts take the square root, other
    quantities that are never negative and vary by more than a factor of three the
    logarithm.
    """
    rows = panel.values.shape[0]
    plain = Transform("identity", np.ones((rows, 1)))
    if panel.unit in {"%", "ratio", "dB", "dBm"} or not np.isfinite(panel.values).any():
        return plain
    if np.nanmin(panel.values) < 0:
        return plain
    low, middle, high = quantiles(panel.values, (0.1, 0.5, 0.9))
    typical = float(np.nanmedian(middle))
    finite = panel.values[np.isfinite(panel.values)]
    if typical < SMALL_COUNT and bool(np.all(finite == np.rint(finite))):
        return Transform("root", np.ones((rows, 1)))
    with np.errstate(divide="ignore", invalid="ignore"):
        span = float(np.nanmedian(np.where(middle > 0, high / np.maximum(low, 1e-9 * middle), 1.0)))
    if span < WIDE:
        return plain
    offset = np.where(np.isfinite(low) & (low > 0.01 * middle), low, 0.01 * middle)
    overall = float(np.nanmean(finite)) if finite.size else 1.0
    offset = np.where(np.isfinite(offset) & (offset > 0), offset, 0.01 * overall or 1.0)
    return Transform("log", offset[:, None])


def _fold(values: Floats, lead: int, length: int) -> Floats:
    """Return rows folded into cycles of a length, (N, cycles, length), padded with NaN."""
    rows, periods = values.shape
    cycles = -(-(lead + periods) // length)
    padded = np.full((rows, cycles * length), np.nan)
    padded[:, lead : lead + periods] = values
    return padded.reshape(rows, cycles, length)


def _median_over(values: Floats, axis: int) -> Floats:
    """Return medians along an axis without NaN; 0 where there is no value at all."""
    moved = np.moveaxis(values, axis, -1)
    flat = np.ascontiguousarray(moved).reshape(-1, moved.shape[-1])
    ordered = np.sort(flat, axis=1)
    count = np.sum(~np.isnan(flat), axis=1)
    rows = np.arange(flat.shape[0])
    low = ordered[rows, np.maximum((count - 1) // 2, 0)]
    high = ordered[rows, np.maximum(count // 2, 0) % flat.shape[1]]
    middle = np.where(count > 0, 0.5 * (low + high), 0.0)
    return middle.reshape(moved.shape[:-1])


def _unfold(profile: Floats, lead: int, periods: int) -> Floats:
    """Return a profile of one cycle repeated along the grid, (N, T)."""
    index = (lead + np.arange(periods)) % profile.shape[1]
    return profile[:, index]


def _daily_cycle(values: Floats, start_s: float, step_s: float) -> Floats:
    per_day = round(DAY_S / step_s)
    lead = int((start_s % DAY_S) // step_s)
    folded = _fold(values, lead, per_day)
    level = _median_over(folded, 2)
    profile = _median_over(folded - level[:, :, None], 1)
    return _unfold(profile, lead, values.shape[1])


def _weekly_cycle(values: Floats, start_s: float, step_s: float) -> Floats:
    """Return the offset of each weekday from its week, on the grid, (N, T)."""
    per_day = max(round(DAY_S / step_s), 1)
    lead = int((start_s % (7 * DAY_S)) // step_s)
    folded = _fold(values, lead, 7 * per_day)
    rows, weeks, _ = folded.shape
    days = _median_over(folded.reshape(rows, weeks, 7, per_day), 3)
    empty = np.isnan(folded.reshape(rows, weeks, 7, per_day)).all(axis=3)
    days = np.where(empty, np.nan, days)
    level = _median_over(days, 2)
    profile = _median_over(days - level[:, :, None], 1)
    return _unfold(np.repeat(profile, per_day, axis=1), lead, values.shape[1])


def _spread_by_time_of_day(residual: Floats, start_s: float, step_s: float) -> Floats:
    """Return how the spread of each row varies over the day, around 1, (N, T).

    A shape known from few days is itself noisy, and a spread that is too small at one hour
    makes false alarms there. The shape is mostly a property of the KPI, so a quarter of
    it (on the log scale) is the row's own and the rest the panel's median; rows that are
    alone use half of their own.
    """
    per_day = round(DAY_S / step_s)
    lead = int((start_s % DAY_S) // step_s)
    folded = np.abs(_fold(residual, lead, per_day))
    profile = _median_over(folded, 1)
    reach = max(per_day // 24, 1)
    padded = np.concatenate([profile[:, -reach:], profile, profile[:, :reach]], axis=1)
    sums = np.cumsum(np.concatenate([np.zeros((profile.shape[0], 1)), padded], axis=1), axis=1)
    smooth = (sums[:, 2 * reach + 1 :] - sums[:, : -(2 * reach + 1)]) / (2 * reach + 1)
    middle = np.median(smooth, axis=1, keepdims=True)
    shape = np.where(middle > 0, smooth / np.where(middle > 0, middle, 1.0), 1.0)
    shape = np.log(np.clip(shape, 0.1, 10.0))
    pooled = np.median(shape, axis=0) if shape.shape[0] >= ROWS_TO_POOL else np.zeros(1)
    own = OWN_SHAPE if shape.shape[0] >= ROWS_TO_POOL else 2 * OWN_SHAPE
    shape = np.exp(own * shape + (1 - own) * pooled)
    return _unfold(np.clip(shape, 0.5, 4.0), lead, residual.shape[1])


def _local_sigma(residual: Floats, step_s: float) -> Floats:
    """Return the robust sigma of each row about its block medians, (N,).

    A block is a day, or 14 periods where a period is long: so neither a level shift nor
    a trend inflates the spread that it is later judged by.
    """
    length = int(np.clip(round(DAY_S / step_s), 14, 96))
    folded = _fold(residual, 0, length)
    level = _median_over(folded, 2)
    rows, periods = residual.shape
    return robust_sigma((folded - level[:, :, None]).reshape(rows, -1)[:, :periods])


def remove_cycles(panel: Panel) -> Usual:
    """Return a panel without its daily and weekly cycle, in units of its usual spread.

    The cycles are medians over days and weeks of what deviates from that day's or
    week's own median, so neither a trend nor an incident in a minority of days
    leaks into them. Hour-of-week patterns beyond "hour of day + weekday" are left in.
    """
    transform = choose_transform(panel)
    values = transform.forward(panel.values)
    step = panel.step_s
    span_days = panel.periods * step / DAY_S
    cycle = np.zeros_like(values)
    removed: list[str] = []
    divides = step < DAY_S and abs(DAY_S / step - round(DAY_S / step)) < TINY
    if divides and round(DAY_S / step) > 1 and span_days >= DAYS_FOR_DAILY:
        cycle = cycle + _daily_cycle(values, panel.start_s, step)
        removed.append("daily")
    if (divides or abs(step - DAY_S) < 1) and span_days >= DAYS_FOR_WEEKLY:
        cycle = cycle + _weekly_cycle(values - cycle, panel.start_s, step)
        removed.append("weekly")
    residual = values - cycle
    level = quantiles(residual, (0.5,))[0]
    residual = residual - level[:, None]
    shape = np.ones_like(values)
    if "daily" in removed and span_days >= DAYS_FOR_SPREAD:
        shape = _spread_by_time_of_day(residual, panel.start_s, step)
    sigma = _local_sigma(residual / shape, step)
    floor = practical_floor(panel.unit, quantiles(panel.values, (0.5,))[0], transform.name)
    weak = ~(sigma > floor)
    spread = np.where(weak, floor, sigma)[:, None] * np.where(weak[:, None], 1.0, shape)
    return Usual(residual / spread, cycle + level[:, None], spread, transform, weak, tuple(removed))
