"""Where a series departs from what is usual for it: spikes, level shifts and drifts.

The method, for every object and KPI:

1. Cycles are removed and values expressed in units of the row's usual spread
   (``diagnose.cycles``).
2. Contrasts are scanned over a geometric ladder of lengths: a *bump* (mean of a window
   minus the mean of what lies before and after) and a *step* (mean after minus mean
   before). The spread of each contrast is measured on the series itself, by its
   median absolute deviation over all positions, so autocorrelated noise, and even a random
   walk, brings its own yardstick with it.
3. Few independent positions make that yardstick uncertain: it is moderated over the
   objects of the panel (Smyth 2004) and judged with Student's t. Windows of up to three
   periods must also beat a generalised Pareto tail fitted to the panel's own 90 to 99 %
   points (an exponential tail where there is too little data for that); for longer windows
   single values are limited to four spreads, so that no single value makes a level shift.
4. p-values are multiplied by the number of positions and contrasts that were looked at
   (Bonferroni) within a series; over series, the caller controls the false
   discovery rate (``discoveries``).
5. The strongest departure is taken out of the series and the scan repeated.

Axis letters: ``N`` objects (rows), ``T`` reporting periods.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import special, stats

from cellhive.core.types import Bools, Floats
from cellhive.diagnose.cycles import Usual, quantiles, robust_sigma

Indices = npt.NDArray[np.int64]

SHORTEST = 12
"""Values a series needs before it is judged at all."""
FLANK = 8
"""Periods of usual behaviour wanted on each side of a short bump."""
MOST_PER_SERIES = 12
"""Departures looked for in one series."""
SHORT = 3
"""Longest spike, in periods; only in windows up to here a single value counts in full."""
LIMIT = 4.0
"""Spreads that a single value is limited to in windows longer than a spike."""
SHARE_VALID = 0.6
"""Share of a window that must have values."""


@dataclass(frozen=True)
class Departure:
    """One stretch of one series that is not as usual."""

    row: int
    kind: str
    """"spike" (up to three periods), "level shift" or "drift"."""
    first: int
    """First period."""
    last: int
    """One past the last period."""
    sigmas: float
    """Mean departure in usual spreads of the series, signed."""
    p_value: float
    """Probability of something as strong anywhere in this series without a cause."""
    open_start: bool = False
    """It was already so at the start of the data."""
    open_end: bool = False
    """It is still so at the end of the data."""


@dataclass(frozen=True)
class Contrast:
    """One statistic of the scan: a window of a length against what lies around it."""

    kind: str
    """"bump" or "step"."""
    length: int
    """Periods in the window."""

    @property
    def flank(self) -> int:
        """Periods compared with on each side."""
        return self.length if self.kind == "step" else max(FLANK, self.length)

    @property
    def short(self) -> bool:
        """Whether it looks for spikes: windows of a few periods."""
        return self.kind == "bump" and self.length <= SHORT

    @property
    def support(self) -> int:
        """Periods after which two positions share no value."""
        return self.length + (self.flank if self.kind == "step" else 2 * self.flank)


@dataclass(frozen=True)
class _Tail:
    """Generalised Pareto law of the outermost tenth of a contrast, in its own scales."""

    start: float
    width: float
    shape: float

    def p_values(self, size: Floats) -> Floats:
        """Return the probability of exceeding a size, one-sided; 1 inside the tail's start."""
        beyond = np.maximum(size - self.start, 0.0) / self.width
        return np.where(size > self.start, 0.1 * stats.genpareto.sf(beyond, self.shape), 1.0)


@dataclass(frozen=True)
class _Yardstick:
    """The spread of one contrast in each row, and how well it is known."""

    scale: Floats
    freedom: Floats
    """Degrees of freedom of the scale, (N,)."""
    weak: Bools
    """Rows whose scale is the practical floor, (N,)."""
    upper: _Tail | None = None
    lower: _Tail | None = None


def contrasts(periods: int) -> list[Contrast]:
    """Return the ladder of contrasts that a series of a length can support."""
    ladder: list[int] = []
    length = 1
    while length <= periods // 8:
        ladder.append(length)
        length = max(length + 1, round(length * 1.4))
    ladder = ladder or [1]
    steps = [n for n in ladder if n >= 3]
    return [Contrast("bump", n) for n in ladder] + [Contrast("step", n) for n in steps]


@dataclass(frozen=True)
class _Sums:
    """Running sums of values and of counts, (N, T + 1)."""

    value: Floats
    count: Floats

    @classmethod
    def of(cls, values: Floats) -> _Sums:
        """Return the running sums of rows with NaN."""
        known = ~np.isnan(values)
        zero = np.zeros((values.shape[0], 1))
        value = np.cumsum(np.where(known, values, 0.0), axis=1)
        count = np.cumsum(known, axis=1, dtype=np.float64)
        return cls(np.hstack([zero, value]), np.hstack([zero, count]))

    def window(self, first: Indices, last: Indices) -> tuple[Floats, Floats]:
        """Return sum and count of the windows [first, last), clipped to the grid."""
        top = self.value.shape[1] - 1
        a, b = np.clip(first, 0, top), np.clip(last, 0, top)
        return self.value[:, b] - self.value[:, a], self.count[:, b] - self.count[:, a]


def _pair_of_sums(values: Floats, limit: Floats) -> dict[bool, _Sums]:
    """Return running sums for short windows (values as they are) and for long (limited)."""
    clipped = np.clip(values, -limit[:, None], limit[:, None])
    return {True: _Sums.of(values), False: _Sums.of(clipped)}


def _mean(total: Floats, count: Floats, wanted: float) -> Floats:
    enough = count >= np.maximum(wanted, 1)
    return np.where(enough, total / np.where(enough, count, 1.0), np.nan)


def scan(sums: _Sums, contrast: Contrast) -> Floats:
    """Return a contrast at every start position, (N, T); NaN where too little is known."""
    at = np.arange(sums.value.shape[1] - 1, dtype=np.int64)
    length, flank = contrast.length, contrast.flank
    inside = _mean(*sums.window(at, at + length), SHARE_VALID * length)
    inside[:, at + length > at.size] = np.nan
    before_sum, before_count = sums.window(at - flank, at)
    if contrast.kind == "step":
        return inside - _mean(before_sum, before_count, SHARE_VALID * flank)
    after_sum, after_count = sums.window(at + length, at + length + flank)
    both = _mean(before_sum + after_sum, before_count + after_count, SHARE_VALID * 2 * flank)
    few = np.minimum(before_count, after_count) < 0.25 * flank
    return np.where(few, np.nan, inside - both)


EXPONENTIAL = _Tail(1.5657, 0.9728, 0.0)
"""The tail of a Laplace law whose median absolute deviation is that of a unit Gaussian."""


def _tail(points: Floats, independent: float) -> _Tail:
    """Return the tail through a contrast's 90, 96.84 and 99 % points, each a median over rows.

    With those points the shape of the generalised Pareto law is closed-form; it is drawn
    towards 0.1 with a weight of the 1 % of the values that inform it.
    """
    start, middle, end = points
    if not (end > middle > start):
        return EXPONENTIAL
    shape = np.log(max((end - start) / (middle - start) - 1, 0.3)) / np.log(np.sqrt(10))
    variance = 3 / max(0.01 * independent, 1e-9)
    shape = (shape / variance + 0.1 / 0.0225) / (1 / variance + 1 / 0.0225)
    shape = float(np.clip(shape, -0.1, 0.5))
    grown = np.expm1(shape * np.log(10)) / shape if abs(shape) > 1e-6 else np.log(10)
    return _Tail(float(start), float((end - start) / grown), shape)


def moderate(scale: Floats, freedom: Floats) -> tuple[Floats, Floats]:
    """Return scales drawn towards those of the other rows, and their degrees of freedom.

    Smyth 2004 (Linear models and empirical Bayes), section 6.2: log variances are
    matched to a scaled F law by their first two moments. Rows without a scale, and
    panels of fewer than four rows, stay as they are.
    """
    good = (scale > 0) & np.isfinite(scale) & (freedom > 0)
    if np.sum(good) < 4:
        return scale, freedom
    half = freedom[good] / 2
    raw = 2 * np.log(scale[good]) - special.digamma(half) + np.log(half)
    centre = float(np.median(raw))
    spread = float(np.square(1.4826 * np.median(np.abs(raw - centre))))
    excess = spread - float(np.mean(special.polygamma(1, half)))
    prior = 1e4 if excess <= 1e-4 else 2 * _inverse_trigamma(excess)
    prior = min(prior, 60.0)
    variance = np.exp(centre + special.digamma(prior / 2) - np.log(prior / 2))
    total = freedom + prior
    drawn = np.sqrt((freedom * np.square(scale) + prior * variance) / total)
    return np.where(good, drawn, scale), np.where(good, total, freedom)


def _inverse_trigamma(value: float) -> float:
    """Return x with trigamma(x) = value, by Newton's method (Smyth 2004, appendix)."""
    x = 0.5 + 1 / value
    for _ in range(50):
        trigamma = float(special.polygamma(1, x))
        change = trigamma * (1 - trigamma / value) / float(special.polygamma(2, x))
        x += change
        if abs(change) < 1e-8 * x:
            break
    return x


def _memory(residual: Floats) -> Floats:
    """Return about how many periods the noise of each row remembers, (N,).

    (1 + r) / (1 - r) of an AR(1) whose lag-one correlation r follows from the robust
    spread of differences; at most twice the panel's median, because a level shift looks
    like memory.
    """
    change = quantiles(np.abs(np.diff(residual, axis=1)), (0.5,))[0]
    size = quantiles(np.abs(residual), (0.5,))[0]
    with np.errstate(divide="ignore", invalid="ignore"):
        r = 1 - np.square(change / size) / 2
    r = np.clip(np.where(np.isfinite(r), r, 0.0), 0.0, 0.98)
    memory = (1 + r) / (1 - r)
    return np.asarray(np.minimum(memory, 2 * np.median(memory)))


def _yardstick(statistic: Floats, contrast: Contrast, memory: Floats, weak: Bools) -> _Yardstick:
    q05, middle, q95 = quantiles(statistic, (0.05, 0.5, 0.95))
    scale = quantiles(np.abs(statistic - middle[:, None]), (0.5,))[0] / 0.6745
    count = np.sum(~np.isnan(statistic), axis=1)
    independent = count / np.maximum(memory, contrast.support / 2)
    # The median absolute deviation is 37 % as efficient as the standard deviation.
    freedom = np.maximum(0.37 * independent, 0.0)
    fallback = np.maximum((q95 - q05) / 3.29, 1.0)  # hardly varying rows: the practical floor
    drawn, total = moderate(np.where(weak, 0.0, scale), freedom)
    # A yardstick shorter than the row's own is believed only half.
    scale = np.where(weak, fallback, np.maximum(drawn, 0.5 * (scale + drawn)))
    freedom = np.where(weak, 30.0, total)
    if not contrast.short:
        return _Yardstick(scale, freedom, weak)
    usable = ~weak & (count >= 100)
    if np.sum(usable) < 4:
        return _Yardstick(scale, freedom, weak, EXPONENTIAL, EXPONENTIAL)
    unit = statistic[usable] / scale[usable, None]
    amount = float(np.sum(independent[usable]))
    shares = np.array([0.9, 1 - 0.1 / np.sqrt(10), 0.99])
    high = np.median(quantiles(unit, tuple(shares)), axis=1)
    low = np.median(quantiles(-unit, tuple(shares)), axis=1)
    return _Yardstick(scale, freedom, weak, _tail(high, amount), _tail(low, amount))


def _p_values(value: Floats, yardstick: _Yardstick, rows: Indices) -> Floats:
    """Return two-sided p-values of one value per row, (n,)."""
    scale, freedom = yardstick.scale[rows], yardstick.freedom[rows]
    with np.errstate(divide="ignore", invalid="ignore"):
        size = np.nan_to_num(value / scale)
    p = 2 * stats.t.sf(np.abs(size), np.maximum(freedom, 1.0))
    if yardstick.upper is not None and yardstick.lower is not None:
        up, down = yardstick.upper.p_values(size), yardstick.lower.p_values(-size)
        by_tail = 2 * np.where(size > 0, up, down)
        p = np.where(yardstick.weak[rows], p, np.maximum(p, by_tail))
    p = np.where(freedom < 1.0, 1.0, p)
    return np.where(np.isfinite(p), np.minimum(p, 1.0), 1.0)


@dataclass(frozen=True)
class _Best:
    """The strongest contrast of each row."""

    p_value: Floats
    contrast: Indices
    position: Indices
    size: Floats


def _strongest(
    values: Floats, limit: Floats, ladder: list[Contrast], sticks: list[_Yardstick], rows: Indices
) -> _Best:
    """Return the strongest contrast of the rows given; values and limits of those rows only."""
    sums = _pair_of_sums(values, limit)
    best = _Best(
        np.ones(rows.size), np.zeros(rows.size, np.int64), np.zeros(rows.size, np.int64),
        np.zeros(rows.size),
    )  # fmt: skip
    for index, (contrast, stick) in enumerate(zip(ladder, sticks, strict=True)):
        statistic = scan(sums[contrast.short], contrast)
        position = np.argmax(np.nan_to_num(np.abs(statistic), nan=-1.0), axis=1)
        size = statistic[np.arange(rows.size), position]
        p = _p_values(np.nan_to_num(size), stick, rows)
        better = (p < best.p_value) & np.isfinite(size)
        best = _Best(
            np.where(better, p, best.p_value),
            np.where(better, index, best.contrast),
            np.where(better, position, best.position),
            np.where(better, size, best.size),
        )
    return best


def _sharpen(row: Floats, first: int, last: int, kind: str) -> tuple[int, int]:
    """Return the window with its edges moved, again and again, to where they explain most."""
    for _ in range(8):
        moved = _move_edges(row, first, last, kind)
        if moved == (first, last):
            break
        first, last = moved
    return first, last


def _move_edges(row: Floats, first: int, last: int, kind: str) -> tuple[int, int]:
    """Return the window near another whose mean differs most from what is around it.

    Least squares: the gain of one level inside and one outside over a common level.
    """
    length = min(last - first, 200)
    reach = max(2, length // 2) if length > 1 else 1
    low = max(0, first - length - FLANK)
    high = min(row.size, (first if kind == "step" else last) + length + FLANK)
    known = ~np.isnan(row[low:high])
    value = np.concatenate([[0.0], np.cumsum(np.where(known, row[low:high], 0.0))])
    count = np.concatenate([[0.0], np.cumsum(known)])
    size = high - low
    starts = np.arange(max(1, first - low - reach), min(size - 1, first - low + reach) + 1)
    ends = np.arange(max(1, last - low - reach), min(size, last - low + reach) + 1)
    if kind == "step":
        ends = np.array([size])
    if starts.size == 0 or ends.size == 0:
        return first, last
    a, b = np.meshgrid(starts, ends, indexing="ij")
    inside_n, inside = count[b] - count[a], value[b] - value[a]
    outside_n, outside = count[-1] - inside_n, value[-1] - inside
    usable = (a < b) & (inside_n > 0) & (outside_n > 0)
    if not usable.any():
        return first, last
    gain = np.square(inside) / np.maximum(inside_n, 1)
    gain += np.square(outside) / np.maximum(outside_n, 1)
    i, j = np.unravel_index(int(np.argmax(np.where(usable, gain, -np.inf))), gain.shape)
    return low + int(a[i, j]), (last if kind == "step" else low + int(b[i, j]))


def _take_out(line: Floats, contrast: Contrast, first: int, last: int) -> float:
    """Remove a departure from a row, in place, and return its mean size.

    A step is judged by as many periods on each side as showed it.
    """
    if contrast.kind == "step":
        width = max(FLANK, contrast.length)
        size = _nanmedian(line[first : first + width])
        size -= _nanmedian(line[max(0, first - width) : first])
        line[first:] -= size
        return size
    width = max(FLANK, last - first)
    around = np.concatenate([line[max(0, first - width) : first], line[last : last + width]])
    size = _nanmedian(line[first:last]) - _nanmedian(around)
    line[first:last] = np.nan
    return size


def _nanmedian(values: Floats) -> float:
    known = values[~np.isnan(values)]
    return float(np.median(known)) if known.size else 0.0


@dataclass(frozen=True)
class Judged:
    """What the detection found in one panel."""

    departures: tuple[Departure, ...]
    """All with a p-value up to the level asked for, strongest first within a row."""
    p_values: Floats
    """Smallest p-value of each series, NaN where it was not judged, (N,)."""
    refused: tuple[str, ...]
    """Why a series was not judged, "" where it was, length N."""


def judge(usual: Usual, level: float = 0.05) -> Judged:
    """Return the departures of every row of a panel whose p-value is at most a level.

    Args:
        usual: The panel without its cycles.
        level: Largest p-value of interest, after correction for the positions of a series.
    """
    values = np.array(usual.residual)
    count = np.sum(~np.isnan(values), axis=1)
    constant = _constant(values)
    refused = tuple(
        f"{n} values; at least {SHORTEST} are needed" if n < SHORTEST
        else ("it never changes" if flat else "")
        for n, flat in zip(count.tolist(), constant.tolist(), strict=True)
    )  # fmt: skip
    rows = np.flatnonzero(np.array([reason == "" for reason in refused], dtype=np.bool_))
    smallest = np.full(values.shape[0], np.nan)
    if rows.size == 0:
        return Judged((), smallest, refused)
    values = values[rows]
    ladder = contrasts(values.shape[1])
    limit = LIMIT * np.maximum(robust_sigma(values), 1.0)
    sums = _pair_of_sums(values, limit)
    memory = _memory(values)
    weak = usual.weak[rows]
    sticks = [_yardstick(scan(sums[one.short], one), one, memory, weak) for one in ladder]
    looks = count[rows] * len(ladder)
    found: list[list[_Found]] = [[] for _ in range(rows.size)]
    active = np.arange(rows.size, dtype=np.int64)
    for turn in range(MOST_PER_SERIES):
        best = _strongest(values[active], limit[active], ladder, sticks, active)
        p = np.minimum(best.p_value * looks[active], 1.0)
        if turn == 0:
            smallest[rows] = p
        keep = p <= level
        for index in np.flatnonzero(keep):
            row = int(active[index])
            contrast = ladder[int(best.contrast[index])]
            first = int(best.position[index])
            line = values[row]
            if not contrast.short:
                line = np.clip(line, -limit[row], limit[row])
            start, end = _sharpen(line, first, first + contrast.length, contrast.kind)
            end = values.shape[1] if contrast.kind == "step" else end
            size = _take_out(values[row], contrast, start, end)
            found[row].append(_Found(contrast.kind, start, end, size, float(p[index])))
        active = active[keep]
        if active.size == 0:
            break
    departures = [
        departure
        for row, items in enumerate(found)
        for departure in _intervals(int(rows[row]), items, values.shape[1])
    ]
    return Judged(tuple(departures), smallest, refused)


def _constant(values: Floats) -> Bools:
    with np.errstate(invalid="ignore"):
        low = np.nanmin(np.where(np.isnan(values), np.inf, values), axis=1)
        high = np.nanmax(np.where(np.isnan(values), -np.inf, values), axis=1)
    return ~(high > low)


@dataclass(frozen=True)
class _Found:
    """A bump or a step of one row, before steps are paired."""

    kind: str
    first: int
    last: int
    size: float
    p_value: float


def _intervals(row: int, items: list[_Found], periods: int) -> list[Departure]:
    """Return the departures of a row: a step and the one that undoes it become one stretch."""
    out: list[Departure] = []
    steps = sorted((item for item in items if item.kind == "step"), key=lambda item: item.first)
    used: set[int] = set()
    for index, step in enumerate(steps):
        if index in used:
            continue
        partner = next(
            (
                other
                for other in range(index + 1, len(steps))
                if other not in used and step.size * steps[other].size < 0
                and 0.5 <= abs(steps[other].size / step.size) <= 2.0
            ),
            None,
        )  # fmt: skip
        last, p_value = periods, step.p_value
        if partner is not None:
            used.add(partner)
            last, p_value = steps[partner].first, min(p_value, steps[partner].p_value)
        out.append(
            Departure(row, _kind(step.first, last), step.first, last, step.size, p_value,
                      open_end=partner is None)
        )  # fmt: skip
    for item in items:
        if item.kind == "bump":
            kind = _kind(item.first, item.last)
            out.append(Departure(row, kind, item.first, item.last, item.size, item.p_value))
    return sorted(_joined(out), key=lambda departure: departure.p_value)


def _joined(items: list[Departure]) -> list[Departure]:
    """Return the departures with neighbours of one sign (at most two periods apart) as one."""
    out: list[Departure] = []
    for item in sorted(items, key=lambda departure: departure.first):
        last = out[-1] if out else None
        if last and item.first <= last.last + 2 and item.sigmas * last.sigmas > 0:
            a, b = last.last - last.first, item.last - item.first
            end = max(last.last, item.last)
            out[-1] = Departure(
                item.row, _kind(last.first, end), last.first, end,
                (a * last.sigmas + b * item.sigmas) / (a + b), min(last.p_value, item.p_value),
                last.open_start, last.open_end or item.open_end,
            )  # fmt: skip
        else:
            out.append(item)
    return out


def _kind(first: int, last: int) -> str:
    return "spike" if last - first <= SHORT else "level shift"


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
        if q <= 0.05 and abs(s * (blocks - 1)) >= 1.0
    ]
    return Judged(tuple(out), smallest, ("",) * rows)


def discoveries(p_values: Floats, rate: float) -> float:
    """Return the largest p-value to accept so that the false discovery rate is at most a rate.

    Benjamini and Hochberg 1995, over all p-values that are not NaN; 0 if none passes.
    """
    known = np.sort(p_values[~np.isnan(p_values)])
    if known.size == 0:
        return 0.0
    passed = known <= rate * np.arange(1, known.size + 1) / known.size
    return float(known[np.flatnonzero(passed)[-1]]) if passed.any() else 0.0
