"""A cycle that changes size or phase and a noise that grows are found where they are."""

import numpy as np
import pytest

from cellhive.core.types import Floats
from cellhive.diagnose.cycles import Panel, Usual, remove_cycles
from cellhive.diagnose.detection import Departure
from cellhive.diagnose.rhythm.changes import Rhythm, rhythm

PERIODS = 24 * 28
HOURS = np.arange(PERIODS)
FIRST, LAST = 24 * 14 + 7, 24 * 20 + 5


def waves(seed: int = 0, rows: int = 12, late_h: float = 0.0, size: float = 1.0) -> Floats:
    """Return four weeks of daily waves with noise; the first row has another between times."""
    noise = np.random.default_rng(seed).standard_normal((rows, PERIODS))
    inside = (HOURS >= FIRST) & (HOURS < LAST)
    hour = HOURS - np.where(inside, late_h, 0.0)
    values = 50 + 8 * np.sin(2 * np.pi * HOURS / 24) + noise
    values[0] = 50 + 8 * np.where(inside, size, 1.0) * np.sin(2 * np.pi * hour / 24) + noise[0]
    return values


def looked_at(values: Floats, found: tuple[Departure, ...] = ()) -> tuple[Rhythm, Usual]:
    """Return the changes of rhythm of values."""
    names = tuple(f"c{i}" for i in range(values.shape[0]))
    panel = Panel("k", names, 0.0, 3600.0, values, "dB")
    usual = remove_cycles(panel)
    return rhythm(panel, usual, found), usual


@pytest.mark.parametrize(
    ("late_h", "size", "aspect", "amount"),
    [(2.0, 1.0, "delay", 2.0), (-2.0, 1.0, "delay", -2.0), (0.0, 0.3, "size", 0.3)],
)
def test_a_cycle_that_changes(late_h: float, size: float, aspect: str, amount: float) -> None:
    """Amount within 25 % and borders within eight hours of the truth; no other row has one."""
    found, _ = looked_at(waves(late_h=late_h, size=size))
    (one,) = [c for c in found.changes if c.departure.p_value < 1e-4]
    assert (one.departure.row, one.departure.kind, one.aspect) == (0, "seasonality break", aspect)
    assert one.amount == pytest.approx(amount, rel=0.25)
    assert abs(one.departure.first - FIRST) <= 8
    assert abs(one.departure.last - LAST) <= 8


def test_a_noise_that_grows() -> None:
    """Three times the noise for six days."""
    values = waves()
    more = np.random.default_rng(9).standard_normal(LAST - FIRST)
    values[0, FIRST:LAST] = 50 + 8 * np.sin(2 * np.pi * HOURS[FIRST:LAST] / 24) + 3 * more
    found, _ = looked_at(values)
    (one,) = [c for c in found.changes if c.departure.p_value < 1e-4]
    assert (one.departure.row, one.departure.kind) == (0, "variance change")
    assert 1.8 < one.amount < 3.5
    assert abs(one.departure.first - FIRST) <= 8


def test_nothing_changes_in_noise() -> None:
    """Of 20 networks of 12 healthy series 0.24 p-values below 0.001 are expected."""
    low = 0
    for seed in range(20):
        p = looked_at(waves(seed))[0].p_values
        low += int(np.sum(p < 1e-3))
    assert low <= 2


def test_an_outage_is_no_change_of_the_cycle() -> None:
    """A day at nothing is an outage; the days around it keep their cycle."""
    values = waves()
    values[0, 400:424] = 0.0
    outage = Departure(0, "level shift", 400, 424, -50.0, 1e-9)
    found, _ = looked_at(values, (outage,))
    assert [c for c in found.changes if c.departure.p_value < 0.01] == []


def test_too_few_days_are_not_judged() -> None:
    """Six days say nothing of what a day usually is."""
    found, _ = looked_at(waves()[:, :144])
    assert found.changes == ()
    assert np.isnan(found.p_values).all()
