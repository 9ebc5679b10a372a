"""The headroom: three runs per city, and what is made of them over cities."""

from __future__ import annotations

import numpy as np
import pytest

from cellhive.flows.decide import Silent
from cellhive.flows.headroom import (
    CityResult,
    HeadroomSettings,
    HeadroomStudy,
    Surroundings,
    city_headroom,
    headroom_rows,
    moments_of,
)
from cellhive.flows.tuning import SearchSettings
from cellhive.ran.guard import Guard
from cellhive.ran.layout import SiteDesign
from cellhive.ran.scenarios import HOUR_S, HexLayout, Scenario
from cellhive.ran.son import Rules

TINY = Scenario(
    "tiny", "One site with two carriers that hardly anybody needs.", ("power_w",),
    HexLayout(1, 500.0, SiteDesign(carrier_hz=1.8e9, capacity_carrier_hz=2.6e9)),
    users_per_cell=2, hours=1.0, start_h=2.0,
)  # fmt: skip
QUICK = HeadroomSettings(observed_s=20.0, moments=2, search=SearchSettings(evaluations=12, batch=2))


def city(seed: int, nothing: float, rules: float, best: float) -> CityResult:
    """Return a city of which only the objective and the power matter."""
    arms = [{"objective": value, "power_w": 200 - value} for value in (nothing, rules, best)]
    return CityResult(seed, *arms, promised=0.0, evaluations=1, steps=())


def test_gains_and_share_by_hand() -> None:
    """Gains 2 and 4 of headrooms 8 and 10: the rules reach 6/18 of it.

    Without the first city the share is 4/10, without the second 2/8; the jackknife error is
    sqrt(1/2 * 2 * 0.075^2) = 0.075, and Student's t with one degree of freedom 12.706.
    """
    objective, power = headroom_rows([city(1, 100, 102, 108), city(2, 90, 94, 100)], ["power_w"])
    assert (objective.nothing, objective.rules, objective.best) == (95, 98, 104)
    assert objective.rules_gain.mean == 3
    assert objective.headroom.mean == 9
    assert objective.headroom.high == pytest.approx(9 + 12.706 * 1, abs=1e-3)
    assert objective.beyond.mean == 6
    assert objective.reached is not None
    assert objective.reached.mean == pytest.approx(1 / 3)
    assert objective.reached.high == pytest.approx(1 / 3 + 12.706 * 0.075, abs=1e-3)
    assert power.headroom.mean == -9
    assert power.reached is not None
    assert power.reached.mean == pytest.approx(1 / 3), "less power is better"


def test_no_share_is_stated_of_a_headroom_that_is_not_clear() -> None:
    """Headrooms +1 and -1 are none, and neither is one on the wrong side."""
    (row,) = headroom_rows([city(1, 100, 101, 101), city(2, 100, 101, 99)], [])
    assert row.reached is None
    (row,) = headroom_rows([city(1, 100, 101, 98), city(2, 100, 101, 98.1)], [])
    assert row.reached is None


def test_moments_are_middles_of_equal_parts() -> None:
    """Four hours from 20 h in two parts: 21 h and 23 h."""
    scenario = Scenario("a", "", (), TINY.network, 1, start_h=20.0)
    assert moments_of(scenario, 4.0, 2) == (21 * HOUR_S, 23 * HOUR_S)


def test_a_city_has_three_runs_on_the_same_users() -> None:
    """Rules that propose nothing equal doing nothing; the best setting is searched for."""
    result = city_headroom(TINY, 3, QUICK, Surroundings(Silent, Guard))
    assert result.seed == 3
    assert result.rules == result.nothing
    assert 12 <= result.evaluations <= 20
    assert result.promised >= 0
    if result.steps:
        assert result.best != result.nothing
    again = city_headroom(TINY, 3, QUICK, Surroundings(Silent, Guard))
    assert again == result


def test_rules_act_in_their_run() -> None:
    """In the quietest hours of two carriers the rules put cells to sleep: less power."""
    result = city_headroom(TINY, 3, QUICK, Surroundings(Rules, Guard))
    assert result.rules["power_w"] < result.nothing["power_w"]


def test_a_study_grows_city_by_city() -> None:
    """A city is known once it was added, replaced when run again, and kept in order."""
    study = HeadroomStudy("abc", 10, 20.0, None, {})
    assert not study.has("tiny", 2)
    grown = study.with_city("tiny", city(2, 1, 2, 3)).with_city("tiny", city(1, 1, 2, 3))
    grown = grown.with_city("tiny", city(2, 5, 6, 7))
    assert [one.seed for one in grown.cities["tiny"]] == [1, 2]
    assert grown.cities["tiny"][1].best["objective"] == 7
    assert grown.has("tiny", 2)
    assert grown.same_terms(study)
    assert not grown.same_terms(HeadroomStudy("abd", 10, 20.0, None, {}))
    assert np.isfinite(headroom_rows(grown.cities["tiny"], [])[0].headroom.mean)
