"""The contrasts that are scanned for, and the yardstick each is judged by.

Axis letters: ``N`` objects (rows), ``T`` reporting periods.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy import special

from cellhive.core.types import Bools, Floats
from cellhive.diagnose.cycles import quantiles, quantiles_of_ordered
from cellhive.diagnose.kernels import (
    contrast_everywhere,
    contrast_strongest,
    distance_quantiles,
    running_sums,
)
from cellhive.diagnose.rhythm.weeks import ROWS_TO_POOL

Indices = npt.NDArray[np.int64]

FLANK = 8
"""Periods of usual behaviour wanted on each side of a short bump."""
SHORT = 3
"""Longest spike, in periods; only in windows up to here a single value counts in full."""
LIMIT = (4.0, 6.0)
"""Spreads that a single value is limited to in windows longer than a spike: in series of 200
values and more, and in those of up to 100, whose few windows meet fewer extremes by chance."""
VALUES_FOR_TAIL = 100
"""Values a row needs to inform the shape of the panel's tail."""
FREEDOM_OF_FEW = 10.0
"""Degrees of freedom of rows that are nearly always the same: of the few values that are not."""
HEAVY = 0.2
"""Shape that the tail of a panel is drawn towards: that of Student's t with five degrees."""
FEWEST_BEYOND = 3
"""Values of a row beyond the outermost point that the panel's tail is fitted to."""
BEYOND = 6
"""Values of a row beyond the quantile that tells how heavy its own tails are."""
FEWEST_MIDNIGHTS = 8
"""Contrasts at midnights that tell how far levels jump there."""
MOST_PRIOR = 60.0
"""Most degrees of freedom that the other objects lend."""


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
class Tail:
    """Generalised Pareto law of the outermost values of a contrast, in its own scales."""

    share: float
    """Share of the values that it describes, on one side."""
    start: float
    width: float
    shape: float

    def p_values(self, size: Floats) -> Floats:
        """Return the probability of exceeding a size, one-sided; 1 inside the tail's start."""
        beyond = np.maximum(size - self.start, 0.0) / self.width
        if self.shape < 0:  # the law ends
            beyond = np.minimum(beyond, -1 / self.shape)
        outside = self.share * special.inv_boxcox(-beyond, -self.shape)
        return np.where(size > self.start, outside, 1.0)

    def quantile(self, share: float) -> float:
        """Return what a share of the sizes lies beyond, two-sided; the start if it is more."""
        times = max(np.log(2 * self.share / share), 0.0)
        grown = np.expm1(self.shape * times) / self.shape if self.shape else times
        return float(self.start + self.width * grown)


@dataclass(frozen=True)
class Yardstick:
    """The spread of one contrast in each row, and how well it is known."""

    scale: Floats
    freedom: Floats
    """Degrees of freedom of the scale, (N,)."""
    weak: Bools
    """Rows whose scale is the practical floor, (N,)."""
    weight: Floats
    """What the contrast counts at each position: less where it is less steady, (T,)."""
    upper: Tail | None = None
    lower: Tail | None = None


def limit_of(periods: int) -> float:
    """Return the spreads that a single value is limited to in windows longer than a spike."""
    return float(np.interp(periods, (100, 200), LIMIT[::-1]))


def contrasts(periods: int) -> list[Contrast]:
    """Return the ladder of contrasts that a series of a length can support."""
    ladder: list[int] = []
    length = 1
    while length <= periods // 8:
        ladder.append(length)
        length = max(length + 1, round(length * 1.4))
    ladder = ladder or [1]
    steps = [n for n in ladder if n >= SHORT]
    return [Contrast("bump", n) for n in ladder] + [Contrast("step", n) for n in steps]


@dataclass(frozen=True)
class Sums:
    """Running sums of values and of counts, (N, T + 1)."""

    value: Floats
    count: Floats

    @classmethod
    def of(cls, values: Floats, limit: Floats | None = None) -> Sums:
        """Return the running sums of rows with NaN, each value limited to a size, (N,)."""
        rows, periods = values.shape
        made = cls(np.empty((rows, periods + 1)), np.empty((rows, periods + 1)))
        most = np.full(rows, np.inf) if limit is None else limit
        running_sums(np.ascontiguousarray(values), most, made.value, made.count)
        return made


def pair_of_sums(values: Floats, limit: Floats) -> dict[bool, Sums]:
    """Return running sums for short windows (values as they are) and for long (limited)."""
    return {True: Sums.of(values), False: Sums.of(values, limit)}


def scan(sums: Sums, contrast: Contrast) -> Floats:
    """Return a contrast at every start position, (N, T); NaN where too little is known."""
    rows, columns = sums.value.shape
    out = np.empty((rows, columns - 1))
    step = contrast.kind == "step"
    contrast_everywhere(sums.value, sums.count, contrast.length, contrast.flank, step, out)
    return out


def strongest(sums: Sums, contrast: Contrast, weight: Floats) -> tuple[Floats, Indices]:
    """Return the largest weighted contrast of each row, NaN where there is none, and its place."""
    out = np.empty((2, sums.value.shape[0]))
    step = contrast.kind == "step"
    contrast_strongest(sums.value, sums.count, contrast.length, contrast.flank, step, weight, out)
    return out[0], out[1].astype(np.int64)


EXPONENTIAL = Tail(0.1, 1.5657, 0.9728, 0.0)
"""The tail of a Laplace law whose median absolute deviation is that of a unit Gaussian."""
OF_FEW = Tail(0.1, 1.5657, 0.9728, 0.1)
"""The tail of rows that are nearly always the same, where there are several such."""


def _tail(points: Floats, share: float, independent: float) -> Tail:
    """Return the tail beyond a share of a contrast, from three points in steps of sqrt(10).

    With the points that ``share``, its 3.2th and its tenth lie beyond, each a median over
    rows, the shape of the generalised Pareto law is closed-form (as in Pickands 1975); it is
    drawn towards ``HEAVY`` with a weight of the values that inform it.
    """
    start, middle, end = points
    if not (end > middle > start):
        return EXPONENTIAL
    shape = np.log(max((end - start) / (middle - start) - 1, 0.3)) / np.log(np.sqrt(10))
    variance = 1.5 / max(0.1 * share * independent, 1e-9)
    shape = (shape / variance + HEAVY / 0.0225) / (1 / variance + 1 / 0.0225)
    shape = float(np.clip(shape, -0.1, 0.5))
    shape = shape or 1e-9
    grown = np.expm1(shape * np.log(10)) / shape
    return Tail(share, float(start), float((end - start) / grown), shape)


def moderate(scale: Floats, freedom: Floats) -> tuple[Floats, Floats]:
    """Return scales drawn towards those of the other rows, and their degrees of freedom.

    Smyth 2004 (Linear models and empirical Bayes), section 6.2: log variances are
    matched to a scaled F law by their first two moments. Rows without a scale, and
    panels of fewer than four rows, stay as they are.
    """
    good = (scale > 0) & np.isfinite(scale) & (freedom > 0)
    if np.sum(good) < ROWS_TO_POOL:
        return scale, freedom
    half = freedom[good] / 2
    raw = 2 * np.log(scale[good]) - special.digamma(half) + np.log(half)
    centre = float(np.median(raw))
    spread = float(np.square(1.4826 * np.median(np.abs(raw - centre))))
    excess = spread - float(np.mean(special.polygamma(1, half)))
    prior = min(2 * _inverse_trigamma(max(excess, 1e-4)), MOST_PRIOR)
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


def memory_of(residual: Floats) -> Floats:
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


def yardstick_of(
    statistic: Floats, contrast: Contrast, memory: Floats, weak: Bools, midnights: Indices
) -> Yardstick:
    """Return the yardstick of a contrast from its values at all positions, (N, T).

    The values are put in order, in place: they serve nothing else.

    Args:
        statistic: The contrast of each row at all positions, (N, T).
        contrast: Which it is.
        memory: Periods that each row remembers, (N,).
        weak: Rows that are nearly always the same, (N,).
        midnights: Periods with which days begin; none where days are periods.
    """
    periods = statistic.shape[1]
    between = statistic[:, midnights]
    statistic.sort(axis=1)
    count = np.sum(~np.isnan(statistic), axis=1)
    typical = max(float(np.median(count)), 1.0)
    q05, middle, q95 = quantiles_of_ordered(statistic, count, (0.05, 0.5, 0.95))
    # A departure of a window's length stands out at twice as many positions, or a little more.
    outer = float(np.clip(max(BEYOND, 4 * contrast.length) / typical, 0.005, 0.1))
    distance = np.empty((count.size, 2))
    distance_quantiles(statistic, count, middle, np.array([0.5, 1 - outer]), distance)
    scale, far = distance[:, 0] / 0.6745, distance[:, 1]
    more = _more_between_days(between - middle[:, None], np.where(weak, 0.0, scale))
    weight = _weight(contrast, midnights, periods, more)
    independent = count / np.maximum(memory, contrast.support / 2)
    # The median absolute deviation is 37 % as efficient as the standard deviation.
    freedom = np.maximum(0.37 * independent, 0.0)
    # No contrast is known better than that of independent values at the row's usual spread,
    # which is at least what matters in practice.
    parts = 1 / contrast.length + 1 / (contrast.flank * (1 if contrast.kind == "step" else 2))
    least = float(np.sqrt(parts))
    fallback = np.maximum((q95 - q05) / 3.29, least)
    drawn, total = moderate(np.where(weak, 0.0, scale), freedom)
    # A yardstick shorter than the row's own is believed only half.
    scale = np.where(weak, fallback, np.maximum(np.maximum(drawn, 0.5 * (scale + drawn)), least))
    freedom = np.where(weak, FREEDOM_OF_FEW, total)
    if not contrast.short:
        if 4 * contrast.length <= 0.1 * typical:
            of_law = np.asarray(-special.stdtrit(np.maximum(freedom, 1.0), outer / 2), np.float64)
            scale = _stretched(scale, far, of_law)
        return Yardstick(scale, freedom, weak, weight)
    usable = ~weak & (count >= VALUES_FOR_TAIL)
    points, amount = statistic[usable] / scale[usable, None], float(np.sum(independent[usable]))
    upper, lower = _tails(points, count[usable], amount)
    common = max(upper.quantile(outer), lower.quantile(outer))
    scale = _stretched(scale, far, np.where(weak, EXPONENTIAL.quantile(outer), common))
    return Yardstick(scale, freedom, weak, weight, upper, lower)


def _more_between_days(between: Floats, scale: Floats) -> float:
    """Return by how much a contrast's variance at midnights exceeds its usual one, in its units.

    Days differ as wholes, beyond what one period remembers of another, and weekly patterns are
    not known exactly: levels jump at midnight. Contrasts over a few hours meet one at a few
    of their positions only, so their usual spread does not tell how far it goes.

    Args:
        between: The contrast at midnights, about its middle, (N, M).
        scale: Usual spread of each row; 0 of those that do not count, (N,).
    """
    counted = scale > 0
    sizes = np.abs(between[counted]) / scale[counted, None]
    sizes = sizes[np.isfinite(sizes)]
    if sizes.size < FEWEST_MIDNIGHTS:
        return 0.0
    return max(float(np.square(np.median(sizes) / 0.6745)) - 1.0, 0.0)


def _weight(contrast: Contrast, midnights: Indices, periods: int, more: float) -> Floats:
    """Return what a contrast counts at each position, from its variance there, (T,).

    A jump that lies beside the edge of a window shows in the contrast by the share of the window
    that is on the edge's side of it.
    """
    variance = np.ones(periods)
    if more == 0:
        return variance
    place = np.arange(periods)
    for edge in (0,) if contrast.kind == "step" else (0, contrast.length):
        at = np.searchsorted(midnights, place + edge)
        after = np.abs(midnights[np.minimum(at, midnights.size - 1)] - place - edge)
        before = np.abs(place + edge - midnights[np.maximum(at - 1, 0)])
        share = 1.0 - np.minimum(after, before) / contrast.length
        variance += more * np.square(np.maximum(share, 0.0))
    return np.asarray(1.0 / np.sqrt(variance))


def _stretched(scale: Floats, far: Floats, of_law: Floats) -> Floats:
    """Return scales under which a row's own outer quantile is not beyond that of its law."""
    with np.errstate(divide="ignore", invalid="ignore"):
        longer = np.nan_to_num(far / (scale * of_law), nan=1.0, posinf=1.0)
    return np.asarray(scale * np.maximum(longer, 1.0))


def _tails(points: Floats, count: Indices, amount: float) -> tuple[Tail, Tail]:
    """Return the upper and the lower tail of a contrast over the rows of a panel.

    Args:
        points: Contrasts in usual spreads of their row, in rising order, (N, T).
        count: Of those of each row that are not NaN, (N,).
        amount: Of independent ones in all rows.
    """
    if count.size < ROWS_TO_POOL:
        return EXPONENTIAL, EXPONENTIAL
    share = float(np.clip(10 * FEWEST_BEYOND / points.shape[1], 0.005, 0.1))
    inside = tuple(1 - share / part for part in (1.0, float(np.sqrt(10)), 10.0))
    high = np.median(quantiles_of_ordered(points, count, inside), axis=1)
    low = np.median(-quantiles_of_ordered(points, count, inside, from_top=True), axis=1)
    return _tail(high, share, amount), _tail(low, share, amount)


def p_values(value: Floats, yardstick: Yardstick, rows: Indices) -> Floats:
    """Return two-sided p-values of one value per row, (n,)."""
    scale, freedom = yardstick.scale[rows], yardstick.freedom[rows]
    with np.errstate(divide="ignore", invalid="ignore"):
        size = np.nan_to_num(value / scale)
    p = 2 * special.stdtr(np.maximum(freedom, 1.0), -np.abs(size))  # of Student's t
    if yardstick.upper is not None and yardstick.lower is not None:
        up, down = yardstick.upper.p_values(size), yardstick.lower.p_values(-size)
        of_few = OF_FEW if np.sum(yardstick.weak) >= ROWS_TO_POOL else EXPONENTIAL
        both = of_few.p_values(np.abs(size))
        by_tail = 2 * np.where(yardstick.weak[rows], both, np.where(size > 0, up, down))
        p = np.maximum(p, by_tail)
    p = np.where(freedom < 1.0, 1.0, p)
    return np.where(np.isfinite(p), np.minimum(p, 1.0), 1.0)
