"""Posteriors over resampled blocks: what is held is gone, and copies of a day are no news."""

from __future__ import annotations

import numpy as np
import pytest

from cellhive.causal.dependent.bagging import BagSettings, adjusted, bagged_effects, resampled
from cellhive.causal.effects import drawn_effects, drawn_mechanisms
from cellhive.causal.graph import Edge, Knowledge
from cellhive.causal.posterior import Settings, discover
from cellhive.causal.statistics import Statistics, statistics_of
from cellhive.core.errors import BadInput, NotFound
from cellhive.core.types import Floats

NAMES = ("weather", "tilt", "load", "speed")
KNOWN = Knowledge(
    tiers={"tilt": 0, "load": 1, "speed": 2},
    required=(Edge("tilt", "load", 0), Edge("tilt", "speed", 0)),
)
QUICK = Settings(graphs=20, chains=1, starts=2)


def days(count: int, length: int, seed: int, *, shared: float = 0.0) -> list[Floats]:
    """Return samples of days on which weather confounds tilt and load, and a day its slope."""
    rng, result = np.random.default_rng(seed), []
    for _ in range(count):
        weather = rng.standard_normal(length)
        tilt = 0.8 * weather + rng.standard_normal(length)
        slope = -0.5 + shared * rng.standard_normal()
        load = slope * tilt + 1.5 * weather + rng.standard_normal(length)
        speed = -0.7 * load + 0.2 * tilt + rng.standard_normal(length)
        result.append(np.column_stack([weather, tilt, load, speed]))
    return result


def blocks(samples: list[Floats]) -> list[Statistics]:
    """Return the statistics of each day."""
    return [statistics_of(one, NAMES) for one in samples]


def test_holding_a_variable_leaves_the_slopes_of_a_regression_that_has_it() -> None:
    """Frisch and Waugh: regression on what is left has the slopes of the full one."""
    data = np.concatenate(days(3, 50, 1))
    left = adjusted(statistics_of(data, NAMES), ["weather"])
    assert left.names == ("tilt", "load", "speed")
    full = np.column_stack([np.ones(len(data)), data[:, :2]])
    wanted = np.linalg.lstsq(full, data[:, 2:], rcond=None)[0][2]
    assert left.scatter[0, 1:] / left.scatter[0, 0] == pytest.approx(wanted, rel=1e-9)
    assert left.weight == pytest.approx(len(data) - 1.0)


def test_holding_copies_and_constants_changes_nothing() -> None:
    """What says nothing new takes nothing away but its sample."""
    data = np.concatenate(days(2, 60, 2))
    more = np.column_stack([data, 1e6 * data[:, 0] + 3.0, np.full(len(data), 7.0)])
    left = adjusted(
        statistics_of(more, (*NAMES, "copy", "constant")), ["weather", "copy", "constant"]
    )
    alone = adjusted(statistics_of(data, NAMES), ["weather"])
    assert left.scatter == pytest.approx(alone.scatter, rel=1e-6)


def test_lags_are_held_with_their_variable() -> None:
    """A variable that is held takes its earlier values along."""
    data = np.concatenate(days(2, 60, 3))
    left = adjusted(statistics_of(data, NAMES, lags=1), ["weather"])
    assert left.columns == 6
    rows = np.concatenate([data[1:], data[:-1]], axis=1)
    held = np.column_stack([np.ones(len(rows)), rows[:, [0, 4]]])
    rest = rows[:, [1, 2, 3, 5, 6, 7]]
    off = rest - held @ np.linalg.lstsq(held, rest, rcond=None)[0]
    assert left.scatter == pytest.approx(off.T @ off, rel=1e-8)


def test_a_resample_has_as_many_days_of_every_city() -> None:
    """Cities are all there are; days within one are chance."""
    cities = [blocks(days(4, 30, 4)), blocks(days(3, 50, 5))]
    seen = {resampled(cities, np.random.default_rng(seed)).mean[0] for seed in range(5)}
    assert len(seen) > 1
    assert resampled(cities, np.random.default_rng(0)).weight == pytest.approx(4 * 30 + 3 * 50)


def test_intervals_know_that_a_day_is_one_piece_of_news() -> None:
    """Where the slope differs from day to day, days count and not samples."""
    samples = days(12, 400, 6, shared=0.3)
    statistics = adjusted(statistics_of(np.concatenate(samples), NAMES), ["weather"])
    rng = np.random.default_rng(7)
    plain = drawn_effects(
        drawn_mechanisms(discover(statistics, rng, knowledge=KNOWN, settings=QUICK), rng), "tilt"
    )
    bagged = bagged_effects(
        [blocks(samples)], ["tilt"], rng, knowledge=KNOWN, held=["weather"],
        settings=BagSettings(16, QUICK),
    )  # fmt: skip
    load = bagged.names.index("load")
    narrow = np.ptp(np.quantile(plain[:, 0, load], [0.05, 0.95]))
    low, high = (end[0, load] for end in bagged.interval())
    # A slope's spread of 0.3 over 12 days is worth +-0.14; 4800 samples would make it +-0.024.
    assert 0.18 < high - low < 0.45
    assert high - low > 4.0 * narrow
    assert low < -0.5 < high
    assert bagged.mean()[0, load] == pytest.approx(-0.5, abs=0.2)


def test_same_seed_same_effects() -> None:
    """Chance comes from the generator alone."""
    strata = [blocks(days(3, 40, 8))]
    first, second = (
        bagged_effects(
            strata, ["tilt"], np.random.default_rng(9), held=["weather"],
            settings=BagSettings(2, QUICK),
        ).draws
        for _ in range(2)
    )  # fmt: skip
    assert (first == second).all()


def test_refuses_what_it_cannot_do() -> None:
    """Single days, unknown names and nothing left are said plainly."""
    one = blocks(days(2, 30, 10))
    with pytest.raises(BadInput, match="blocks"):
        resampled([one, one[:1]], np.random.default_rng(0))
    with pytest.raises(NotFound, match="wether"):
        adjusted(one[0], ["wether"])
    with pytest.raises(BadInput, match="not held"):
        adjusted(one[0], NAMES)
    with pytest.raises(BadInput, match="samples"):
        adjusted(statistics_of(np.eye(4)[:2], NAMES), ["weather", "tilt"])
    with pytest.raises(BadInput, match="resample"):
        BagSettings(0)
    few = BagSettings(1, QUICK)
    bagged = bagged_effects([one], ["tilt"], np.random.default_rng(0), settings=few)
    with pytest.raises(BadInput, match="level"):
        bagged.interval(1.5)
