"""Weekends have a shape of their own, holidays are Sundays, and faults are neither."""

import numpy as np
import pytest

from cellhive.core.types import Floats
from cellhive.diagnose.cycles import Panel, remove_cycles
from cellhive.diagnose.rhythm.weeks import weekly_cycle
from cellhive.diagnose.search import Known, find_incidents

HOURS = np.arange(24 * 28)
DAY = HOURS // 24


def offices(rows: int = 12, holiday: int | None = None, noise: float = 0.05) -> Floats:
    """Return four weeks of cells that are busy at noon on workdays and flat on weekends."""
    weekend = DAY % 7 >= 5
    if holiday is not None:
        weekend = weekend | (holiday == DAY)
    noon = np.exp(-(((HOURS % 24) - 12) ** 2) / 16)
    load = np.where(weekend, 0.3, noon)
    size = np.linspace(0.8, 1.2, rows)[:, None]
    return size * load + noise * np.random.default_rng(1).standard_normal((rows, HOURS.size))


def test_the_shape_of_weekends_is_found() -> None:
    """Truth by construction: what is left is the noise of 0.05, not the 0.7 of a weekend's noon."""
    values = offices()
    week = weekly_cycle(values, 0, 24, own=True)
    rest = values - week.cycle
    noon = HOURS % 24 == 12
    weekend = rest[:, noon & (DAY % 7 >= 5)].mean()
    assert weekend == pytest.approx(rest[:, noon & (DAY % 7 < 5)].mean(), abs=0.06)
    assert week.holidays == {}


def test_a_holiday_is_taken_for_a_weekend_day_and_an_outage_is_not() -> None:
    """Wednesday of the third week is like a Sunday; that the others are silent is not."""
    week = weekly_cycle(offices(holiday=16), 0, 24, own=True)
    assert week.holidays == {16: 5}
    values = offices()
    values[:, 16 * 24 : 17 * 24] = -2.0
    assert weekly_cycle(values, 0, 24, own=True).holidays == {}


def test_noise_has_no_week() -> None:
    """What a few weeks of noise seem to say is not believed: less than a tenth of its spread."""
    values = np.random.default_rng(3).standard_normal((20, HOURS.size))
    assert np.abs(weekly_cycle(values, 0, 24, own=True).cycle).mean() < 0.1


def test_two_weeks_of_like_objects_are_enough() -> None:
    """A cell's own odd day does not become its week."""
    values = offices()[:, : 24 * 14]
    values[3, 24 * 8 : 24 * 9] += 3.0
    panel = Panel("k", tuple(f"c{i}" for i in range(12)), 345600.0, 3600.0, values, "dB")
    usual = remove_cycles(panel)
    assert usual.removed == ("daily", "weekly")
    fault = np.median((usual.residual * usual.spread)[3, 24 * 8 : 24 * 9])
    assert fault == pytest.approx(3.0, abs=0.3)
    assert np.abs(np.median((usual.residual * usual.spread)[3, 24:48])) < 0.3


def test_what_a_cell_does_in_both_of_two_weeks_is_its_habit() -> None:
    """The cell that is busy on both Saturdays is so by habit; the one that is on one is not."""
    values = offices()[:, : 24 * 14]
    for day in (5, 12):
        values[3, 24 * day + 14 : 24 * day + 20] += 0.8
    values[4, 24 * 12 + 14 : 24 * 12 + 20] += 0.8
    rest = values - weekly_cycle(values, 0, 24, own=False).cycle
    match = slice(24 * 12 + 14, 24 * 12 + 20)
    shape = rest[:, match].mean(axis=1) - rest[:, 24 * 12 : 24 * 13].mean(axis=1)
    assert abs(shape[3]) < 0.15
    assert shape[4] == pytest.approx(0.8 * 0.75, abs=0.15)


def test_a_holiday_that_one_kpi_shows_is_one_for_all() -> None:
    """Where only one cell of twelve is full, its throughput on a holiday is no incident."""
    users = offices(holiday=16)
    speed = 0.05 * np.random.default_rng(5).standard_normal(users.shape)
    speed[0] -= users[0]
    names = tuple(f"c{i}" for i in range(users.shape[0]))
    panels = [Panel(kpi, names, 345600.0, 3600.0, values, "dB")
              for kpi, values in (("users", users), ("speed", speed))]  # fmt: skip
    assert len(find_incidents(panels[1:]).incidents) > 0
    found = find_incidents(panels, known=Known(load=("users",)))
    assert found.incidents == ()
    assert found.holidays == (345600.0 + 16 * 86400.0,)
    assert tuple(found.calendar) == found.holidays
