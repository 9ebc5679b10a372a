"""Injected faults are found where they are; noise alone is left in peace."""

import numpy as np
import pytest
from scipy.signal import lfilter

from cellhive.core.types import Floats
from cellhive.diagnose.cycles import Panel, remove_cycles
from cellhive.diagnose.detection import Departure, discoveries, judge
from cellhive.diagnose.drifts import drifts
from cellhive.diagnose.yardstick import Contrast, Sums, memory_of, scan, yardstick_of

RATE = 0.05
HOURS = np.arange(720)


def ar1(rng: np.random.Generator, rows: int, periods: int, memory: float = 0.0) -> Floats:
    """Return AR(1) noise of unit spread."""
    noise = rng.standard_normal((rows, periods + 200))
    return np.asarray(lfilter([1.0], [1.0, -memory], noise, axis=1)[:, 200:]) * np.sqrt(
        1 - memory**2
    )


def panel(values: Floats, step_s: float = 3600.0, unit: str = "") -> Panel:
    """Return values as a panel."""
    names = tuple(f"cell-{row}" for row in range(values.shape[0]))
    return Panel("kpi", names, 0.0, step_s, values, unit)


def found(values: Floats, step_s: float = 3600.0) -> list[Departure]:
    """Return the departures of a panel at the false discovery rate of the tests."""
    judged = judge(remove_cycles(panel(values, step_s)))
    cut = discoveries(judged.p_values, RATE)
    return [one for one in judged.departures if one.p_value <= cut]


def busy(rng: np.random.Generator, rows: int, memory: float = 0.3) -> Floats:
    """Return a month of hourly traffic with daily and weekly cycle and 8 % noise."""
    daily = 1 + 0.6 * np.sin(2 * np.pi * HOURS / 24)
    weekly = 1 + 0.15 * ((HOURS // 24) % 7 < 5)
    return np.asarray(100 * daily * weekly * np.exp(0.08 * ar1(rng, rows, 720, memory)))


@pytest.mark.parametrize(
    ("periods", "step_s", "memory", "tails"),
    [
        (720, 3600.0, 0.0, "gaussian"),
        (720, 3600.0, 0.9, "gaussian"),
        (720, 3600.0, 0.0, "laplace"),
        (60, 86400.0, 0.5, "gaussian"),
        (30, 86400.0, 0.9, "gaussian"),
        (30, 86400.0, 0.0, "laplace"),
    ],
)
def test_noise_alone_raises_an_alarm_at_most_at_the_stated_rate(
    periods: int, step_s: float, memory: float, tails: str
) -> None:
    """Of 40 analyses of 8 healthy series, about 2 may raise an alarm; 6 has odds below 2 %."""
    rng = np.random.default_rng(7)
    alarms = 0
    for _ in range(40):
        if tails == "laplace":
            values = rng.laplace(size=(8, periods))
        else:
            values = ar1(rng, 8, periods, memory)
        usual = remove_cycles(panel(100 + 5 * values, step_s))
        judged = judge(usual, RATE / 2)
        cut = discoveries(judged.p_values, RATE / 2)
        kept = tuple(d for d in judged.departures if d.p_value <= cut)
        slow = drifts(usual, kept, max(round(86400 / step_s), 1) if periods > 30 else 1)
        alarms += bool(kept) or discoveries(slow.p_values, RATE / 2) > 0
    assert alarms < 6


@pytest.mark.parametrize(
    ("name", "factor", "length", "recall"),
    [
        ("dead cell", 0.0, 48, 0.9),
        ("a day at +40 %", 1.4, 24, 0.9),
        ("four days at -30 %", 0.7, 96, 0.9),
        ("one hour at three times the traffic", 3.0, 1, 0.9),
        ("for good at -35 %", 0.65, 720, 0.9),
    ],
)
def test_injected_faults_are_found_in_place(
    name: str, factor: float, length: int, recall: float
) -> None:
    """Nearly all of 10 faults in 60 cells are found with their borders, and no healthy cell."""
    rng = np.random.default_rng(11)
    values = busy(rng, 60)
    truth = {}
    for row in range(0, 60, 6):
        start = int(rng.integers(150, 450))
        end = min(start + length, 720)
        values[row, start:end] *= factor
        truth[row] = (start, end)
    events = found(values)
    hits = 0
    for row, (start, end) in truth.items():
        best = 0.0
        for one in events:
            if one.row == row:
                shared = min(end, one.last) - max(start, one.first)
                best = max(best, shared / (max(end, one.last) - min(start, one.first)))
        hits += best >= 0.7
    wrong = {one.row for one in events} - set(truth)
    assert hits >= recall * len(truth), name
    assert len(wrong) <= 1, name


def test_daily_and_weekly_cycles_are_no_incidents() -> None:
    """A network that does the same every week has nothing to report."""
    rng = np.random.default_rng(3)
    assert found(busy(rng, 40)) == []


def test_a_fault_hits_all_cells_at_once_and_is_found_in_most() -> None:
    """What happens everywhere is not taken for usual."""
    rng = np.random.default_rng(4)
    values = busy(rng, 30)
    values[:, 300:324] *= 0.5
    rows = {one.row for one in found(values) if one.first <= 303 and one.last >= 321}
    assert len(rows) >= 27


def test_drift_is_found_and_steady_cells_are_not() -> None:
    """Cells that lose 60 % over two months drift; the others do not."""
    rng = np.random.default_rng(5)
    days = np.arange(60)
    values = 100 * np.exp(0.05 * ar1(rng, 24, 60))
    values[::6] *= np.exp(-0.9 * days / 60)
    usual = remove_cycles(panel(values, 86400.0))
    slow = drifts(usual, (), 1)
    cut = discoveries(slow.p_values, RATE)
    rows = {one.row for one in slow.departures if one.p_value <= cut}
    assert rows == {0, 6, 12, 18}
    assert all(one.sigmas < 0 for one in slow.departures if one.row in rows)


def test_missing_values_are_not_zeros() -> None:
    """Scattered and contiguous gaps alone are no departure."""
    rng = np.random.default_rng(6)
    values = busy(rng, 20)
    values[rng.random(values.shape) < 0.1] = np.nan
    values[3, 200:260] = np.nan
    assert found(values) == []


def test_short_and_constant_series_are_not_judged() -> None:
    """A refusal says why."""
    values = np.vstack([np.full(30, 5.0), np.r_[np.arange(8.0), np.full(22, np.nan)]])
    judged = judge(remove_cycles(panel(values, 86400.0)))
    assert judged.departures == ()
    assert judged.refused == ("it never changes", "8 values; at least 12 are needed")
    assert np.isnan(judged.p_values).all()


def test_benjamini_hochberg_by_hand() -> None:
    """Of p = 0.001, 0.02, 0.03, 0.2 at 5 %: limits 0.0125, 0.025, 0.0375, 0.05, so three pass."""
    assert discoveries(np.array([0.2, 0.02, np.nan, 0.001, 0.03]), 0.05) == 0.03
    assert discoveries(np.array([0.2, 0.9]), 0.05) == 0.0
    assert discoveries(np.zeros(0), 0.05) == 0.0


def test_a_drift_has_a_beginning() -> None:
    """Level for 60 of 120 days, then six spreads down: found, and begun within 15 days of it."""
    rng = np.random.default_rng(8)
    values = 100 + ar1(rng, 12, 120)
    values[3, 60:] -= np.linspace(0, 6, 60)
    slow = drifts(remove_cycles(panel(values, 86400.0)), (), 1)
    assert {one.row for one in slow.departures if one.p_value < 1e-3} == {3}
    (one,) = [one for one in slow.departures if one.row == 3]
    assert abs(one.first - 60) <= 15
    assert one.sigmas == pytest.approx(-6, abs=1.5)
    assert (one.open_start, one.open_end) == (False, True)


def test_a_stretch_far_below_has_both_its_ends_in_a_short_series() -> None:
    """What taking out a step has left stretches nothing, and its other end is believed."""
    wrong = []
    for seed in range(20):
        values = 30.0 + np.random.default_rng(seed).standard_normal((2, 400))
        first = 60 + 15 * seed
        values[0, first : first + 30] -= 15.0
        ends = [(one.first, one.last) for one in found(values) if one.row == 0 and one.sigmas < -8]
        if len(ends) != 1 or np.abs(np.subtract(ends[0], (first, first + 30))).max() > 5:
            wrong.append((seed, ends))
    assert not wrong


def test_a_contrast_is_as_steady_at_midnight_as_at_any_time() -> None:
    """Quarters of an hour, each day at a level of its own: by construction levels jump there.

    Contrasts over a few hours meet a midnight at few of their positions, so that their usual
    spread, taken over all of them, says nothing of it.
    """
    rng = np.random.default_rng(11)
    days = np.repeat(rng.standard_normal((40, 14)), 96, axis=1)
    usual = remove_cycles(panel(50 + ar1(rng, 40, 14 * 96, 0.9) + days, 900.0, "dB"))
    midnights = np.array(usual.midnights)
    assert midnights.tolist() == list(range(0, 14 * 96, 96))
    for contrast in (Contrast("step", 12), Contrast("bump", 10)):
        every = scan(Sums.of(usual.residual), contrast)
        stick = yardstick_of(
            every.copy(), contrast, memory_of(usual.residual), usual.weak, midnights
        )
        at, away = midnights[1:-1], midnights[1:-1] + 48
        assert np.std(every[:, at]) > 1.3 * np.std(every[:, away])
        weighted = every * stick.weight
        assert np.std(weighted[:, at]) == pytest.approx(np.std(weighted[:, away]), rel=0.2)


def test_a_step_at_midnight_is_still_found() -> None:
    """A level that moves by four times what days do, at the start of a day."""
    rng = np.random.default_rng(12)
    values = 50 + ar1(rng, 8, 14 * 96, 0.9) + np.repeat(0.6 * rng.standard_normal((8, 14)), 96, 1)
    values[2, 7 * 96 :] += 6.0
    (one,) = found(values, 900.0)
    assert (one.row, one.kind, one.open_end) == (2, "level shift", True)
    assert abs(one.first - 7 * 96) <= 4
