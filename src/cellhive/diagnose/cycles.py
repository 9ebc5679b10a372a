"""What is usual in a series: daily and weekly cycle, level and spread, all by medians.

Axis letters: ``N`` objects (rows), ``T`` reporting periods of a regular grid.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from cellhive.core.types import Bools, Floats
from cellhive.diagnose.rhythm.weeks import ROWS_TO_POOL, fold, median_over, unfold, weekly_cycle

Counts = npt.NDArray[np.int64]

DAY_S = 86400.0
DAYS_FOR_DAILY = 4
"""Whole days needed before a daily cycle is removed."""
DAYS_FOR_WEEKLY = 21
"""Whole days needed before a weekly cycle is removed from objects that are alone."""
DAYS_FOR_WEEKLY_TOGETHER = 14
"""The same for objects whose like can say what a week is."""
DAYS_FOR_SPREAD = 10
"""Whole days needed before the spread may differ by time of day."""
SMALL_COUNT = 100
"""Typical count below which its Poisson spread matters."""
FEW = 0.1
"""Share of the whole up to which a share is one of few, or of few missing."""
WIDE = 3
"""Ratio of the 90 to the 10 % point from which the logarithm is taken."""
OWN_SHAPE = 0.25
"""Weight of a row's own daily shape of the spread beside the panel's."""
MOSTLY = 0.98
"""Share of the values that tell what is usual where extremes must not."""
ALIKE = 0.4
"""Share of values that are one and the same from which a row may be nearly always the same."""
SAME = 0.4
"""Robust over plain spread below which a row is nearly always the same."""
EVENTS_LENT = 10
"""Values that the other rows lend to one that is nearly always the same."""
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
    weak: Bools
    """Rows that are nearly always the same, whose spread is a mean square, (N,)."""
    removed: tuple[str, ...]
    """Which cycles were removed: "daily", "weekly"."""
    holidays: Mapping[float, int] = field(default_factory=dict)
    """Days on which the objects did what they do on another weekday: start [s], and that
    weekday, counted from Thursday, with which the epoch began."""
    midnights: tuple[int, ...] = ()
    """Periods with which days begin, where a day has several and its cycle was removed."""


@dataclass(frozen=True)
class Transform:
    """A monotone scale on which the spread does not follow the level."""

    name: str
    """"identity", "log" (log(1 + x/offset)), "root" (2 sqrt(x + offset), Anscombe 1948) or
    "shortfall" (the same of what is missing to the whole, negative)."""
    offset: Floats
    """Offset of each row, (N, 1)."""
    whole: float = 0.0
    """What a shortfall is missing to: 100 of per cent, 1 of ratios."""

    def forward(self, values: Floats) -> Floats:
        """Return values on the transformed scale, (N, T)."""
        if self.name == "log":
            return np.log1p(np.maximum(values, 0.0) / self.offset)
        if self.name == "root":
            return 2.0 * np.sqrt(np.maximum(values, 0.0) + self.offset)
        if self.name == "shortfall":
            return -2.0 * np.sqrt(np.maximum(self.whole - values, 0.0) + self.offset)
        return values

    def inverse(self, values: Floats, row: int) -> Floats:
        """Return transformed values of one row in the unit of the KPI."""
        offset = self.offset[row, 0]
        if self.name == "log":
            return np.asarray(np.maximum(np.expm1(values), 0.0) * offset)
        if self.name == "root":
            return np.asarray(np.maximum(np.square(np.maximum(values, 0.0) / 2.0) - offset, 0.0))
        if self.name == "shortfall":
            missing = np.square(np.minimum(values, 0.0) / 2.0) - offset
            return np.asarray(self.whole - np.maximum(missing, 0.0))
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


def practical_floor(panel: Panel, transform: Transform) -> Floats:
    """Return the spread below which a difference means nothing to anybody, (N,).

    0.05 points of a percentage (0.0005 of a ratio), 0.05 dB, the Poisson spread of
    a count, and half a per cent of the level for anything else.
    """
    level = quantiles(panel.values, (0.5,))[0]
    fixed = {"%": 0.05, "ratio": 0.0005, "dB": 0.05, "dBm": 0.05}.get(panel.unit)
    if transform.name == "log":
        return np.full_like(level, 0.005)
    if transform.name == "root" and fixed is None:
        return np.ones_like(level)
    if transform.name in {"root", "shortfall"} and fixed is not None:
        lower = level - fixed if transform.name == "shortfall" else level + fixed
        both = transform.forward(np.column_stack([level, lower]))
        return np.maximum(np.abs(np.diff(both, axis=1))[:, 0], 1e-6)
    if fixed is not None:
        return np.full_like(level, fixed)
    return np.asarray(np.maximum(0.005 * np.abs(level), 1e-12))


def choose_transform(panel: Panel) -> Transform:
    """Return the scale on which the spread of a panel is about even.

    Shares take the square root of what is missing to the whole where that is little, and of
    themselves where they are small: both are counts of few over many. Other shares and
    decibels stay as they are; small counts take the square root, other quantities that are
    never negative and vary by more than a factor of three the logarithm.
    """
    rows = panel.values.shape[0]
    plain = Transform("identity", np.ones((rows, 1)))
    if panel.unit in {"dB", "dBm"} or not np.isfinite(panel.values).any():
        return plain
    if np.nanmin(panel.values) < 0:
        return plain
    low, middle, high = quantiles(panel.values, (0.1, 0.5, 0.9))
    typical = float(np.nanmedian(middle))
    if panel.unit in {"%", "ratio"}:
        return _of_shares(panel, typical) or plain
    finite = panel.values[np.isfinite(panel.values)]
    if typical < SMALL_COUNT and bool(np.all(finite == np.rint(finite))):
        return Transform("root", np.full((rows, 1), 0.375))
    with np.errstate(divide="ignore", invalid="ignore"):
        span = float(np.nanmedian(np.where(middle > 0, high / np.maximum(low, 1e-9 * middle), 1.0)))
    if span < WIDE:
        return plain
    offset = np.where(np.isfinite(low) & (low > 0.01 * middle), low, 0.01 * middle)
    overall = float(np.nanmean(finite)) if finite.size else 1.0
    offset = np.where(np.isfinite(offset) & (offset > 0), offset, 0.01 * overall or 1.0)
    return Transform("log", offset[:, None])


def _of_shares(panel: Panel, typical: float) -> Transform | None:
    """Return the scale of shares that are nearly all or nearly nothing; None of others.

    The offset is three eighths of the smallest part that a row counts, about: one of its
    few.
    """
    whole = 100.0 if panel.unit == "%" else 1.0
    if not (typical <= FEW * whole or typical >= (1 - FEW) * whole):
        return None
    upper = typical >= (1 - FEW) * whole
    part = np.maximum(whole - panel.values if upper else panel.values, 0.0)
    smallest = quantiles(np.where(part > 0, part, np.nan), (0.1,))[0]
    offset = np.clip(0.375 * np.nan_to_num(smallest, nan=0.0), 1e-4 * whole, 0.02 * whole)
    return Transform("shortfall" if upper else "root", offset[:, None], whole)


def _daily_cycle(values: Floats, start_s: float, step_s: float) -> Floats:
    per_day = round(DAY_S / step_s)
    lead = int((start_s % DAY_S) // step_s)
    folded = fold(values, lead, per_day)
    level = median_over(folded, 2)
    profile = median_over(folded - level[:, :, None], 1)
    return unfold(profile, lead, values.shape[1])


def _spread_by_time_of_day(residual: Floats, start_s: float, step_s: float) -> Floats:
    """Return how the spread of each row varies over the day, around 1, (N, T).

    A shape known from few days is itself noisy, and a spread that is too small at one hour
    makes false alarms there. The shape is mostly a property of the KPI, so a quarter of
    it (on the log scale) is the row's own and the rest the panel's median; rows that are
    alone use half of their own.
    """
    per_day = round(DAY_S / step_s)
    lead = int((start_s % DAY_S) // step_s)
    size = np.abs(residual)
    size = np.minimum(size, quantiles(size, (MOSTLY,))[0][:, None])
    profile = _mean_over_days(fold(size, lead, per_day))
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
    return unfold(np.clip(shape, 0.5, 4.0), lead, residual.shape[1])


def _mean_over_days(folded: Floats) -> Floats:
    known = ~np.isnan(folded)
    total = np.where(known, folded, 0.0).sum(axis=1)
    return np.asarray(total / np.maximum(known.sum(axis=1), 1))


def _inside(residual: Floats, step_s: float) -> Floats:
    """Return each row about its block medians, (N, T).

    A block is a day, or 14 periods where a period is long: so neither a level shift nor
    a trend inflates the spread that it is later judged by.
    """
    length = int(np.clip(round(DAY_S / step_s), 14, 96))
    folded = fold(residual, 0, length)
    level = median_over(folded, 2)
    rows, periods = residual.shape
    return (folded - level[:, :, None]).reshape(rows, -1)[:, :periods]


def _mean_square(inside: Floats) -> Floats:
    known = ~np.isnan(inside)
    total = np.where(known, np.square(inside), 0.0).sum(axis=1)
    return np.asarray(total / np.maximum(known.sum(axis=1), 1))


def _spread(
    values: Floats, residual: Floats, shape: Floats, floor: Floats, step_s: float
) -> tuple[Floats, Bools]:
    """Return the usual spread of each row, and which rows are nearly always the same.

    Where most values are alike, as shares of 100 % in small cells are, the median says
    nothing of the few that are not. The spread is then the root mean square of the changes
    from period to period over sqrt(2), so that a stretch counts as one of the few, drawn
    towards that of the other such rows as if ten of its values were theirs.

    Args:
        values: As measured, (N, T).
        residual: What the cycles leave, (N, T).
        shape: Of the spread over the day, (N, T).
        floor: Practical floor of the spread, (N,).
        step_s: Length of a period [s].
    """
    unit = residual / shape
    sigma, size = robust_sigma(_inside(unit, step_s)), np.abs(unit)
    most = quantiles(size, (MOSTLY,))[0]
    usual = np.sqrt(_mean_square(np.minimum(size, most[:, None])))
    middle = quantiles(values, (0.5,))[0]
    with np.errstate(invalid="ignore", divide="ignore"):
        alike = np.sum(values == middle[:, None], axis=1) / np.sum(~np.isnan(values), axis=1)
    few = (alike >= ALIKE) & (sigma <= np.maximum(floor, SAME * usual))
    change = np.diff(unit, axis=1)
    square = 0.5 * _mean_square(change)
    events = 0.5 * np.sum(np.abs(change) > np.maximum(floor, 1e-12)[:, None], axis=1)
    if few.sum() >= ROWS_TO_POOL:
        others = float(np.mean(square[few]))
        square = (events * square + EVENTS_LENT * others) / (events + EVENTS_LENT)
    spread = np.where(few, np.maximum(floor, np.sqrt(square)), np.maximum(floor, sigma))
    return spread, few


def _to_midnight(panel: Panel) -> int:
    """Return the periods from the start of a panel to that with which a day begins."""
    return -int((panel.start_s % DAY_S) // panel.step_s) % round(DAY_S / panel.step_s)


def remove_cycles(panel: Panel, holidays: Mapping[float, int] | None = None) -> Usual:
    """Return a panel without its daily and weekly cycle, in units of its usual spread.

    The cycles are medians over days and weeks of what deviates from that day's or
    week's own median, so neither a trend nor an incident in a minority of days
    leaks into them. Weekends have a shape of their own, and a holiday may be a Sunday
    (``diagnose.rhythm.weeks``).

    Args:
        panel: The panel.
        holidays: Days that are known to be like another weekday, in the terms of
            ``Usual.holidays``.
    """
    transform = choose_transform(panel)
    values = transform.forward(panel.values)
    step = panel.step_s
    span_days = panel.periods * step / DAY_S
    cycle = np.zeros_like(values)
    removed: list[str] = []
    found: dict[float, int] = {}
    divides = step < DAY_S and abs(DAY_S / step - round(DAY_S / step)) < TINY
    per_day = max(round(DAY_S / step), 1)
    if divides and per_day > 1 and span_days >= DAYS_FOR_DAILY:
        cycle = cycle + _daily_cycle(values, panel.start_s, step)
        removed.append("daily")
    rows = panel.values.shape[0]
    needed = DAYS_FOR_WEEKLY if rows < ROWS_TO_POOL else DAYS_FOR_WEEKLY_TOGETHER
    if (divides or abs(step - DAY_S) < 1) and span_days >= needed:
        lead = int((panel.start_s % (7 * DAY_S)) // step)
        midnight = panel.start_s - panel.start_s % DAY_S
        known = {round((at - midnight) / DAY_S): like for at, like in (holidays or {}).items()}
        own = span_days >= DAYS_FOR_WEEKLY
        week = weekly_cycle(values - cycle, lead, per_day, own=own, holidays=known)
        found = {midnight + day * DAY_S: like for day, like in week.holidays.items()}
        cycle = cycle + week.cycle
        removed.append("weekly")
    residual = values - cycle
    level = quantiles(residual, (0.5,))[0]
    residual = residual - level[:, None]
    shape = np.ones_like(values)
    if "daily" in removed and span_days >= DAYS_FOR_SPREAD:
        shape = _spread_by_time_of_day(residual, panel.start_s, step)
    floor = practical_floor(panel, transform)
    sigma, same = _spread(panel.values, residual, shape, floor, step)
    spread = sigma[:, None] * shape
    return Usual(
        residual / spread,
        cycle + level[:, None],
        spread,
        transform,
        same,
        tuple(removed),
        found,
        tuple(range(_to_midnight(panel), panel.periods, per_day)) if removed and divides else (),
    )
