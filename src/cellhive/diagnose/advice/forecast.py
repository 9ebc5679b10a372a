"""Forecasts of daily values with intervals: a level that wanders, a trend, the days of the week.

y(t) = level(t) + slope t + weekday + noise, level(t) = level(t-1) + shock: the local level model
with drift and a seasonal regression (Harvey 1989, "Forecasting, structural time series models and
the Kalman filter"). Every series of a batch goes through one augmented Kalman filter (de Jong
1991), which gives generalised least squares with missing days exactly. The ratio q of the
variances of shock and noise is not chosen but averaged over, by its restricted likelihood: with
q = 0 it is a straight line, with a large one a random walk, and the width of an interval comes
out between. The noise variance is integrated out as well, so few days make wide intervals, and
levels ahead have heavier tails than the history: networks are rebuilt.

Axis letters: ``N`` series, ``D`` days, ``Q`` ratios, ``K`` regressors, ``M`` draws, ``H`` days
ahead.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.special import stdtr

from cellhive.core.types import Floats
from cellhive.diagnose.cycles import MAD_TO_SIGMA

RATIOS = np.array([0.0, 3e-4, 1e-3, 3e-3, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0])
"""Shock variance over noise variance."""
WEEK = 7
FEWEST_DAYS = 42
"""Days with a value, from which a trend is told from the week: six weeks."""
FEWEST_SHARE = 0.7
"""Share of the days that must have a value."""
USUAL_SLOPE = 0.05
"""Standard deviation of the slopes that are expected before the data, in standard deviations of the
noise a day: growth by one and a half of them in a month. It hardly moves a slope that the data
know well, and keeps one that they do not from carrying a forecast away: on the first 238 days of
real sites held-out errors were 4 % below those without it. A fifth of it would have made them
another 1 % smaller there, but takes some of a growth that is really there away."""
TAILS = 5.0
"""Degrees of freedom of Student's distribution that levels ahead are drawn from: the level of a
real site also jumps, which no wandering within the history foretells. Chosen so that 90 %
intervals held 90 % of held-out days among the first 238 of real sites, 86 % if drawn from a
normal distribution; judged on the days after (``analyse_forecast`` among the benchmarks)."""
SHIFT_WITHIN = tuple(range(3, 29))
"""Days before the end at which a level shift is looked for."""
SHIFT_RATIO = 16.0
"""Twice the log likelihood ratio from which a shift is certain (chi square with one degree of
freedom, 26 places looked at that depend on each other: below 0.1 % of steady series)."""

_SLOPE = 1
_REGRESSORS = 8
_ODD = 4.5
_WINDOW = 15
_CHUNK = 256
_LEAST = 1e-6


@dataclass(frozen=True)
class Fitted:
    """A batch of series, fitted."""

    weight: Floats
    """Posterior of each ratio, (N, Q)."""
    coefficients: Floats
    """Level at the first day, slope, six weekdays less the first day's, (N, Q, K)."""
    covariance: Floats
    """Of the coefficients over the noise variance, (N, Q, K, K)."""
    scatter: Floats
    """Sum of squares of the standardised innovations, (N, Q)."""
    freedom: Floats
    """Degrees of freedom, (N,)."""
    level: Floats
    """What the filter has at the last day: of the series, and of each regressor, (N, Q, 1 + K)."""
    level_variance: Floats
    """Over the noise variance, (N, Q)."""
    shift: Floats
    """Largest twice log likelihood ratio of a recent level shift, (N,)."""
    shift_day: npt.NDArray[np.int64]
    """Day of that shift, counted from the first, (N,)."""
    days: int
    first_weekday: int
    odd: npt.NDArray[np.bool_]
    """Days left out as odd, (N, D)."""

    def towards(self, sign: float) -> Floats:
        """Return the probability that the slope has a sign, (N,)."""
        spread = np.sqrt(
            self.covariance[..., _SLOPE, _SLOPE] * self.scatter / self.freedom[:, None]
        )
        ratio = sign * self.coefficients[..., _SLOPE] / np.maximum(spread, 1e-300)
        return np.asarray((self.weight * stdtr(self.freedom[:, None], ratio)).sum(axis=1))


def without_odd_days(values: Floats) -> tuple[Floats, npt.NDArray[np.bool_]]:
    """Return daily values without single days far from their neighbours, and which they were.

    A day is odd if it is 4.5 robust standard deviations from the running median of fifteen days,
    after the median of its weekday is taken off: an outage, a holiday, a counting error.

    Args:
        values: (N, D), NaN where missing.
    """
    weekday = np.arange(values.shape[1]) % WEEK
    flat = values - _running_median(values)
    for day in range(WEEK):
        own = flat[:, weekday == day]
        if own.shape[1]:
            flat[:, weekday == day] = own - _median(own)[:, None]
    spread = MAD_TO_SIGMA * _median(np.abs(flat))
    with np.errstate(invalid="ignore"):
        odd = np.abs(flat) > _ODD * np.where(spread > 0, spread, np.inf)[:, None]
    return np.where(odd, np.nan, values), odd


def _median(values: Floats) -> Floats:
    known = np.isfinite(values).any(axis=1)
    out = np.full(len(values), np.nan)
    if known.any():
        out[known] = np.nanmedian(values[known], axis=1)
    return out


def _running_median(values: Floats) -> Floats:
    half = _WINDOW // 2
    padded = np.pad(values, ((0, 0), (half, half)), constant_values=np.nan)
    windows = np.lib.stride_tricks.sliding_window_view(padded, _WINDOW, axis=1)
    flat = windows.reshape(-1, _WINDOW)
    return _median(flat).reshape(values.shape)


def fit(values: Floats, first_weekday: int = 0) -> Fitted:
    """Fit daily series; each needs ``FEWEST_DAYS`` values.

    Args:
        values: On a scale where noise is even, (N, D), NaN where missing.
        first_weekday: Weekday of the first column, 0 to 6.
    """
    clean, odd = without_odd_days(values)
    parts = [_fit(clean[at : at + _CHUNK], first_weekday) for at in range(0, len(clean), _CHUNK)]
    joined = {
        name: np.concatenate([part[name] for part in parts])
        for name in parts[0]
    }  # fmt: skip
    shift_day = joined.pop("shift_day").astype(np.int64)
    return Fitted(
        **joined, shift_day=shift_day, days=values.shape[1], first_weekday=first_weekday, odd=odd
    )


def _regressors(days: int, first_weekday: int) -> Floats:
    """Return level, slope, six weekdays and recent steps, (D, K + S)."""
    day = np.arange(days)
    columns = [np.ones(days), day.astype(np.float64)]
    columns += [((day + first_weekday) % WEEK == k).astype(np.float64) for k in range(1, WEEK)]
    columns += [(day >= days - back).astype(np.float64) for back in SHIFT_WITHIN]
    return np.stack(columns, axis=1)


def _fit(values: Floats, first_weekday: int) -> dict[str, Floats]:
    series, days = values.shape
    regressors = _regressors(days, first_weekday)
    (products, squares), log_f, state, variance = _filtered(values, regressors)
    keep = slice(1, 1 + _REGRESSORS)
    gram, cross = products[..., keep, keep], products[..., keep, 0]
    # a weekday without a value, or a level that never was, has no equation of its own
    ridge = np.full(_REGRESSORS, 1e-9)
    ridge[_SLOPE] = USUAL_SLOPE**-2
    gram = gram + np.diag(ridge)
    inverse: Floats = np.asarray(np.linalg.inv(gram), np.float64)
    coefficients = (inverse @ cross[..., None])[..., 0]
    scatter: Floats = np.maximum(products[..., 0, 0] - (coefficients * cross).sum(axis=-1), 1e-12)
    count = np.isfinite(values).sum(axis=1).astype(np.float64)
    freedom: Floats = np.maximum(count - _REGRESSORS, 1.0)
    log_det = np.linalg.slogdet(gram)[1]
    loglik: Floats = -0.5 * (freedom[:, None] * np.log(scatter) + log_f + log_det)
    weight = np.exp(loglik - loglik.max(axis=1, keepdims=True))
    weight /= weight.sum(axis=1, keepdims=True)
    steady: Floats = 2.0 * loglik  # but for what the step adds
    shift, shift_day = _shifts(
        (products, squares), inverse, coefficients, (scatter, freedom, steady), days
    )
    level = state[..., : 1 + _REGRESSORS]
    return {
        "weight": weight, "coefficients": coefficients, "covariance": inverse,
        "scatter": scatter, "freedom": freedom, "level": level, "level_variance": variance,
        "shift": shift, "shift_day": shift_day.reshape(series),
    }  # fmt: skip


def _filtered(
    values: Floats, regressors: Floats
) -> tuple[tuple[Floats, Floats], Floats, Floats, Floats]:
    """Return sums of products of innovations, of log variances, and the last state.

    Column 0 is the series, the others are the regressors, steps last. Products are of each column
    with the series and the regressors without steps, and of each with itself: (N, Q, C, 1 + K),
    (N, Q, C); then (N, Q), (N, Q, C) and (N, Q).
    """
    series, days = values.shape
    columns = 1 + regressors.shape[1]
    ratios = np.broadcast_to(RATIOS, (series, RATIOS.size))
    products = np.zeros((series, RATIOS.size, columns, 1 + _REGRESSORS))
    squares = np.zeros((series, RATIOS.size, columns))
    log_f = np.zeros((series, RATIOS.size))
    state = np.zeros((series, RATIOS.size, columns))
    variance = np.zeros((series, RATIOS.size))
    for day in range(days):
        if day:
            variance = variance + ratios
        there = np.isfinite(values[:, day])
        now = np.empty((series, 1, columns))
        now[:, 0, 0] = np.where(there, values[:, day], 0.0)
        now[:, 0, 1:] = regressors[day]
        spread = variance + 1.0
        innovation = now - state
        weight = np.where(there[:, None], 1.0 / spread, 0.0)
        scaled = innovation * weight[..., None]
        products += scaled[..., :, None] * innovation[..., None, : 1 + _REGRESSORS]
        squares += scaled * innovation
        log_f += np.where(there[:, None], np.log(spread), 0.0)
        gain = variance * weight
        state += gain[..., None] * innovation
        variance = variance * (1.0 - gain)
    return (products, squares), log_f, state, variance


def _shifts(
    sums: tuple[Floats, Floats], inverse: Floats, coefficients: Floats,
    without: tuple[Floats, Floats, Floats], days: int,
) -> tuple[Floats, Floats]:  # fmt: skip
    """Return the largest twice log likelihood ratio of a recent step, and its day, (N,) each.

    With the step the best ratio of variances is taken, and without it, too: a level that wanders
    much needs no step to explain where it is.
    """
    keep = slice(1, 1 + _REGRESSORS)
    products, squares = sums
    scatter, freedom, steady = without
    likely = steady.max(axis=1)
    best = np.full(len(scatter), -np.inf)
    where = np.zeros(len(scatter))
    for k, back in enumerate(SHIFT_WITHIN):
        at = 1 + _REGRESSORS + k
        to_base = products[..., at, keep]
        own = squares[..., at] - (to_base * (inverse @ to_base[..., None])[..., 0]).sum(axis=-1)
        with_series = products[..., at, 0] - (to_base * coefficients).sum(axis=-1)
        gain = np.where(own > _LEAST, with_series**2 / np.maximum(own, _LEAST), 0.0)
        left = np.maximum(scatter - gain, 1e-12)
        stepped = steady + freedom[:, None] * (np.log(scatter) - np.log(left))
        ratio = stepped.max(axis=1) - likely
        better = ratio > best
        best = np.where(better, ratio, best)
        where = np.where(better, float(days - back), where)
    return best, where


@dataclass(frozen=True)
class Drawn:
    """Draws of the days ahead."""

    level: Floats
    """Level with trend, without weekday and noise, (M, H)."""
    weekday: Floats
    """What each weekday adds, (M, 7), by weekday from 0."""
    noise: Floats
    """Standard deviation of single days, (M,)."""
    slope: Floats
    """Per day, (M,)."""

    def values(self, first_weekday: int, rng: np.random.Generator) -> Floats:
        """Return draws of the days themselves, (M, H)."""
        ahead = np.arange(self.level.shape[1])
        season = self.weekday[:, (first_weekday + ahead) % WEEK]
        draws: Floats = (
            self.level + season + self.noise[:, None] * rng.standard_normal(self.level.shape)
        )
        return draws


def draw(fitted: Fitted, row: int, ahead: int, draws: int, rng: np.random.Generator) -> Drawn:
    """Return draws of what one series does in the days ahead.

    Args:
        fitted: The batch.
        row: Which series.
        ahead: Days after the last H.
        draws: M.
        rng: Where chance comes from.
    """
    which = rng.choice(RATIOS.size, size=draws, p=fitted.weight[row])
    freedom = float(fitted.freedom[row])
    variance = fitted.scatter[row][which] / rng.chisquare(freedom, draws)
    sigma = np.sqrt(variance)
    beta = np.empty((draws, _REGRESSORS))
    for ratio in np.unique(which).tolist():
        mine = which == ratio
        root = np.linalg.cholesky(fitted.covariance[row, ratio])
        normal = rng.standard_normal((int(mine.sum()), _REGRESSORS))
        beta[mine] = fitted.coefficients[row, ratio] + sigma[mine, None] * (normal @ root.T)
    state = fitted.level[row][which]
    wandered = state[:, 0] - (state[:, 1:] * beta).sum(axis=1)
    wandered += sigma * np.sqrt(fitted.level_variance[row][which]) * rng.standard_normal(draws)
    shocks = rng.standard_normal((draws, ahead)) * (sigma * np.sqrt(RATIOS[which]))[:, None]
    day = fitted.days + np.arange(ahead)
    level = (beta[:, 0] + wandered)[:, None] + beta[:, 1:2] * day + np.cumsum(shocks, axis=1)
    middle = np.median(level, axis=0)
    level = middle + (level - middle) * np.sqrt(TAILS / rng.chisquare(TAILS, draws))[:, None]
    weekday = np.concatenate([np.zeros((draws, 1)), beta[:, 2:]], axis=1)
    return Drawn(level, weekday, sigma, beta[:, _SLOPE])
