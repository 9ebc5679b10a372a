"""When a limit will be exceeded: loads whose future is known."""

import numpy as np
import pytest

from cellhive.core.types import Floats
from cellhive.diagnose.advice.busy_hour import daily
from cellhive.diagnose.advice.capacity import State, capacity_advice, forecasts
from cellhive.diagnose.advice.recommendation import Limits, Seen

DAY_S = 86400.0
DAYS = 120


def seen(values: Floats, step_s: float = DAY_S) -> Seen:
    """Return PRB utilisation of cells c0, c1, ..."""
    names = tuple(f"c{k}" for k in range(len(values)))
    return Seen(names, 0.0, step_s, {"prb_utilisation_ratio": values})


def noise(rows: int, seed: int = 1) -> Floats:
    """Return daily noise of two points, (rows, DAYS)."""
    return np.random.default_rng(seed).normal(0, 0.02, (rows, DAYS))


def one(values: Floats, limits: Limits | None = None, step_s: float = DAY_S):  # type: ignore[no-untyped-def]
    """Return the forecast of a single cell."""
    rng = np.random.default_rng(3)
    return forecasts(seen(values[None, :], step_s), limits or Limits(), rng)[0]


def test_a_straight_line_reaches_its_limit_on_the_day_that_a_ruler_says() -> None:
    """By hand: 0.44 + 0.002 a day is 0.8 on day 180, 60 days after the last."""
    found = one(0.44 + 0.002 * np.arange(DAYS) + noise(1)[0])
    days = (np.array(found.dates_s) - DAYS * DAY_S) / DAY_S
    assert found.state is State.WILL
    # the busiest of seven weekdays is taken, which by chance lies a little above the mean
    assert days[2] == pytest.approx(58, abs=6)
    assert days[0] < days[1] <= days[2] <= days[3] < days[4]
    assert found.slope_per_month == pytest.approx(0.06, abs=0.004)


def test_no_date_without_a_trend_after_a_shift_or_with_a_short_history() -> None:
    """What cannot be foretold is refused with its reason."""
    steady = one(0.6 + noise(1)[0])
    assert steady.state is State.NO_TREND
    shifted = 0.4 + noise(1)[0]
    shifted[-12:] += 0.15
    told = one(shifted)
    assert told.state is State.SHIFTED
    assert "12 days" in told.words
    short = one(0.6 + 0.002 * np.arange(30) + noise(1)[0, :30])
    assert short.state is State.SHORT
    assert "30 of 30 days" in short.words


def test_a_limit_that_is_set_is_the_one_that_counts() -> None:
    """The same cell is full at 55 % and far from it at 95 %."""
    values = 0.6 + noise(1)[0]
    assert one(values, Limits(prb_utilisation_ratio=0.55)).state is State.FULL
    assert one(values, Limits(prb_utilisation_ratio=0.95)).state is State.NO_TREND


def test_the_busy_hour_is_the_largest_hour_of_a_whole_day() -> None:
    """Two days by hand: 18 o'clock has 0.9, the second day lacks most of its hours."""
    hours = np.full((1, 48), 0.2)
    hours[0, 18] = 0.9
    hours[0, 30:] = np.nan
    days = daily(seen(hours, 3600.0), "prb_utilisation_ratio")
    assert days is not None
    np.testing.assert_array_equal(days.values, [[0.9, np.nan]])
    assert days.busy_hour is not None
    assert days.busy_hour.tolist() == [18]
    assert days.first_weekday == 3  # 1 January 1970 was a Thursday


def test_advice_says_how_sure_it_is_and_how_to_verify() -> None:
    """A full cell, a growing one and a steady one: two recommendations, each with its reason."""
    values = np.stack([0.9 + noise(3)[0], 0.44 + 0.002 * np.arange(DAYS) + noise(3)[1],
                       0.4 + noise(3)[2]])  # fmt: skip
    measured = seen(values)
    found = forecasts(measured, Limits(), np.random.default_rng(3))
    full, will = capacity_advice(found, measured)
    assert full.objects == ("c0",)
    assert full.effect is not None
    assert full.effect.mean == pytest.approx(12.5, abs=1.0)  # 0.9 / 0.8 less 1
    assert will.objects == ("c1",)
    assert will.effect is not None
    assert will.effect.low_90 < will.effect.mean < will.effect.high_90
    assert will.confidence > 0.95
    assert will.verify is not None
    assert will.verify.periods >= 7
    assert will.is_order
