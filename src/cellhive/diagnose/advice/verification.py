"""How long a change must be watched before its effect can be told from the noise of the KPI."""

from __future__ import annotations

import math

import numpy as np

from cellhive.core.types import Floats
from cellhive.diagnose.advice.recommendation import Verification
from cellhive.diagnose.cycles import DAY_S, MAD_TO_SIGMA

_Z_TEST, _Z_POWER = 1.6448536269514722, 0.8416212335729143
"""One-sided 5 % level, 80 % power."""
_MOST_DAYS = 60.0
_MOST_BEFORE_DAYS = 28.0
_FEWEST = 14
_WHOLE = 0.75


def noise_of(series: Floats, step_s: float) -> tuple[float, float]:
    """Return the robust spread of a series about its cycles and how far it follows itself.

    Each value is compared with the same time a week before (a day, where there is less than
    three weeks): a difference has twice the variance of the noise. The dependence is the
    lag-1 correlation of the differences.

    Args:
        series: Values in time order, NaN where missing, (T,).
        step_s: Length of a period [s].

    Returns:
        Spread [unit of the series] and correlation; NaN and 0 with too few values.
    """
    week = max(round(7 * DAY_S / step_s), 1)
    lag = week if series.size >= 3 * week else max(round(DAY_S / step_s), 1)
    apart = series[lag:] - series[:-lag] if series.size > lag else np.zeros(0)
    known = np.isfinite(apart)
    if known.sum() < _FEWEST:
        return math.nan, 0.0
    centre = apart[known] - np.median(apart[known])
    spread = MAD_TO_SIGMA * float(np.median(np.abs(centre))) / math.sqrt(2.0)
    spread = spread or float(centre.std()) / math.sqrt(2.0)
    both = known[1:] & known[:-1]
    if both.sum() < _FEWEST or spread == 0.0:
        return spread, 0.0
    now, before = apart[1:][both], apart[:-1][both]
    ends = np.quantile(apart[known], [0.02, 0.98])
    now, before = np.clip(now, *ends), np.clip(before, *ends)
    if now.std() == 0.0 or before.std() == 0.0:
        return spread, 0.0
    return spread, float(np.clip(np.corrcoef(now, before)[0, 1], 0.0, 0.95))


def periods_to_see(effect: float, spread: float, follows: float, before: int) -> int:
    """Return after how many periods a change of a mean can be told from chance, 0 if never.

    A two-sample comparison of means, one-sided at 5 % with a power of 80 %; a series that
    follows itself by r counts as (1 - r) / (1 + r) of as many independent values.

    Args:
        effect: Change of the mean.
        spread: Of the noise.
        follows: Lag-1 correlation of the noise.
        before: Periods before the change to compare with.
    """
    if not (math.isfinite(effect) and math.isfinite(spread)) or effect == 0.0 or before < 1:
        return 0
    share = (1.0 - follows) / (1.0 + follows)
    wanted = (effect / ((_Z_TEST + _Z_POWER) * spread)) ** 2 if spread > 0 else math.inf
    left = wanted * share - 1.0 / before
    return math.ceil(1.0 / left) if left > 0 else 0


def least_seen(spread: float, follows: float, before: int, after: int) -> float:
    """Return the smallest change of a mean that as many periods can tell from chance."""
    share = (1.0 - follows) / (1.0 + follows)
    return (_Z_TEST + _Z_POWER) * spread * math.sqrt((1.0 / before + 1.0 / after) / share)


def verification(
    kpi: str, unit: str, series: Floats, step_s: float, effect: float
) -> Verification | None:
    """Return how to verify an expected change of a KPI; None where its noise is not known.

    Args:
        kpi: Name of the KPI.
        unit: Of it; changes of a "ratio" are told in points.
        series: Its values before the change, (T,).
        step_s: Length of a period [s].
        effect: Expected change of a period's value; NaN where unknown, then a week is planned with.
    """
    if unit == "ratio":
        series, effect, unit = 100.0 * series, 100.0 * effect, "points"
    series, step_s = _by_day(series, step_s)
    spread, follows = noise_of(series, step_s)
    if not math.isfinite(spread):
        return None
    before = int(min(np.isfinite(series).sum(), _MOST_BEFORE_DAYS * DAY_S / step_s))
    most = int(_MOST_DAYS * DAY_S / step_s)
    week = max(round(7 * DAY_S / step_s), 1)
    periods = periods_to_see(effect, spread, follows, before)
    if math.isfinite(effect) and 0 < periods <= most:
        periods = max(periods, week)  # a change must be seen on every day of the week
        least = least_seen(spread, follows, before, periods)
        signed = f"{effect:+.3g}".replace("-", "−")
        words = (
            f"compare the mean of {kpi} over {_long(periods, step_s)} after the change with the "
            f"{_long(before, step_s)} before: it should move by {signed} {unit}; its own "
            f"noise is {spread:.3g} {unit}, so {least:.3g} can be told from chance"
        )
        return Verification(kpi, unit, least, periods, step_s, words)
    least = least_seen(spread, follows, before, 4 * week)
    seen = (
        f"no effect is foretold; four weeks of {kpi} show a change of {least:.3g} {unit}"
        if not math.isfinite(effect) else
        f"the expected {effect:+.3g} {unit} is too small beside the noise of {kpi} "
        f"({spread:.3g} {unit}): four weeks show {least:.3g}; judge it over several cells together"
    )  # fmt: skip
    return Verification(kpi, unit, least, 0, step_s, seen)


def _by_day(series: Floats, step_s: float) -> tuple[Floats, float]:
    """Return a series as means of whole days, where there are enough of them.

    Hours of one day go up and down together: counted one by one they promise too much.
    """
    per_day = round(DAY_S / step_s) if step_s > 0 else 1
    days = series.size // per_day if per_day > 1 else 0
    if days < _FEWEST + 7:
        return series, step_s
    folded = series[-days * per_day :].reshape(days, per_day)
    known = np.isfinite(folded)
    count = known.sum(axis=1)
    total = np.where(known, folded, 0.0).sum(axis=1)
    whole = count >= _WHOLE * per_day
    daily: Floats = np.where(whole, total / np.maximum(count, 1), np.nan)
    return daily, DAY_S


def _long(periods: int, step_s: float) -> str:
    days = periods * step_s / DAY_S
    if days >= 1:
        text = f"{days:.0f} day{'s' if round(days) != 1 else ''}"
    else:
        text = f"{periods * step_s / 3600:.0f} h"
    return text
