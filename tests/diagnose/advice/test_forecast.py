"""Forecasts of synthetic series whose growth is known."""

import numpy as np
import pytest

from cellhive.core.types import Floats
from cellhive.diagnose.advice.forecast import SHIFT_RATIO, draw, fit, without_odd_days

DAYS, AHEAD = 120, 60


def series(count: int, wander: float, seed: int) -> Floats:
    """Return daily loads with a trend, a week and a wandering level, (N, DAYS + AHEAD)."""
    rng = np.random.default_rng(seed)
    day = np.arange(DAYS + AHEAD)
    week = rng.normal(0, 0.03, (count, 7))
    shocks = rng.normal(0, 0.02 * np.sqrt(wander), (count, day.size))
    values: Floats = 0.4 + rng.normal(0, 0.001, (count, 1)) * day + np.cumsum(shocks, axis=1)
    values += week[:, day % 7] + rng.normal(0, 0.02, values.shape)
    values[rng.random(values.shape) < 0.03] = np.nan
    return values


@pytest.mark.parametrize("wander", [0.0, 0.01, 0.1])
def test_intervals_hold_what_they_promise_on_days_not_seen(wander: float) -> None:
    """Half of the days ahead lie in the 50 % interval and nine of ten in the 90 % one."""
    values = series(80, wander, seed=3)
    fitted = fit(values[:, :DAYS])
    rng = np.random.default_rng(1)
    inside = {0.5: [], 0.9: []}  # type: dict[float, list[float]]
    for row in range(len(values)):
        drawn = draw(fitted, row, AHEAD, 300, rng).values(DAYS % 7, rng)
        truth = values[row, DAYS:]
        for share, hits in inside.items():
            low, high = np.quantile(drawn, [0.5 - share / 2, 0.5 + share / 2], axis=0)
            known = np.isfinite(truth)
            hits.append(float(((truth >= low) & (truth <= high))[known].mean()))
    assert np.mean(inside[0.5]) == pytest.approx(0.5, abs=0.07)
    assert np.mean(inside[0.9]) == pytest.approx(0.9, abs=0.05)


def test_a_level_shift_is_seen_with_its_day_and_a_wandering_level_is_none() -> None:
    """Five standard deviations up ten days before the end."""
    rng = np.random.default_rng(5)
    steady = 0.4 + rng.normal(0, 0.02, (40, DAYS))
    shifted = steady.copy()
    shifted[:, -10:] += 0.1
    assert (fit(shifted).shift > SHIFT_RATIO).all()
    assert (np.abs(fit(shifted).shift_day - (DAYS - 10)) <= 1).all()
    assert (fit(steady).shift > SHIFT_RATIO).sum() == 0
    assert (fit(series(40, 0.1, seed=7)[:, :DAYS]).shift > SHIFT_RATIO).mean() < 0.1


def test_the_slope_of_a_straight_line_is_found_with_its_sign() -> None:
    """By hand: 0.002 a day over 120 days with noise of 0.02; its standard error is 5.3e-5."""
    rng = np.random.default_rng(2)
    up = 0.3 + 0.002 * np.arange(DAYS) + rng.normal(0, 0.02, (20, DAYS))
    fitted = fit(up)
    assert (fitted.towards(1.0) > 0.99).all()
    np.testing.assert_allclose(fitted.towards(1.0) + fitted.towards(-1.0), 1.0)
    slopes = [float(np.median(draw(fitted, k, 1, 400, rng).slope)) for k in range(20)]
    assert np.mean(slopes) == pytest.approx(0.002, abs=1e-4)


def test_a_single_outage_is_left_out_and_a_trend_is_not() -> None:
    """One day at zero among a steep line."""
    rng = np.random.default_rng(4)
    line = 0.2 + 0.004 * np.arange(DAYS)[None, :] + rng.normal(0, 0.01, (1, DAYS))
    line[0, 50] = 0.0
    clean, odd = without_odd_days(line)
    assert np.flatnonzero(odd[0]).tolist() == [50]
    assert np.isnan(clean[0, 50])
