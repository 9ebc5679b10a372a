"""Incidents with known causes: made, told apart and explained."""

from __future__ import annotations

import numpy as np
import pytest

from cellhive.flows.incidents.cases import CAUSES, Case, Recipe, incident_cases
from cellhive.flows.incidents.causes import (
    FEATURES,
    Learned,
    case_evidence,
    causes_of,
    expected_features,
    learned_causes,
)
from cellhive.flows.incidents.panel import VARIABLES, panel_of, settings_changed, weights_of

FEW = ("power loss", "sleeping cell", "ping-pong", "lost capacity", "downlink interference")
QUICK = Recipe(users_per_cell=20.0, before=10, during=3, observed_s=60.0)


@pytest.fixture(scope="module")
def cities() -> list[list[Case]]:
    """Return a few incidents in each of three cities."""
    return [incident_cases(QUICK, seed, FEW) for seed in (31, 32, 33)]


@pytest.fixture(scope="module")
def learned(cities: list[list[Case]]) -> Learned:
    """Return what the first two cities teach."""
    return learned_causes(cities[:2], np.random.default_rng(1))


def test_causes_are_found_in_a_city_not_learned_from(
    cities: list[list[Case]], learned: Learned
) -> None:
    """Clear faults, at most one of five wrong, the cell with them, explained with numbers."""
    right = 0
    for case in cities[2]:
        found = causes_of(
            learned, case.network, case.before, case.during,
            (case.configured_before, case.configured),
        )  # fmt: skip
        name, cell, share = found.best
        assert found.ranking.probability.sum() == pytest.approx(1.0)
        right += (name, cell) == (case.cause, case.cell)
        assert f"{name} at {cell}, probability {share:.2f}" in found.explain()
    assert right >= len(FEW) - 1


def test_a_case_differs_from_its_past_by_the_fault_only(cities: list[list[Case]]) -> None:
    """Cases of a city share their sound periods; hidden faults leave the configuration."""
    power, sleeping, ping_pong = cities[0][:3]
    assert power.before is sleeping.before
    hidden = settings_changed(power.network, power.configured_before, power.configured)
    assert np.abs(hidden).max() <= 0.5  # harmless changes at most
    cell = ping_pong.network.cell_index[ping_pong.cell]
    shown = settings_changed(ping_pong.network, ping_pong.configured_before, ping_pong.configured)
    assert shown[cell, 0] < -3.0


def test_the_same_seed_makes_the_same_incidents(cities: list[list[Case]]) -> None:
    """Cells, severities and counters."""
    again = incident_cases(QUICK, 31, FEW[:1])[0]
    assert (again.cell, again.detail) == (cities[0][0].cell, cities[0][0].detail)
    np.testing.assert_array_equal(again.during[-1].values, cities[0][0].during[-1].values)


def test_evidence_has_the_features_it_names(cities: list[list[Case]], learned: Learned) -> None:
    """One column for each name, finite, with a mechanism that departs where it broke."""
    case = cities[2][0]
    evidence = case_evidence(learned.mechanisms, case)
    features = evidence.features()
    assert features.shape == (case.network.cells, len(FEATURES))
    assert np.isfinite(features).all()
    cell = case.network.cell_index[case.cell]
    drawn = features[:, FEATURES.index("power drawn")]
    assert int(np.argmin(drawn)) == cell
    panel = panel_of(case.network, case.before, case.before)
    assert panel.shape == (QUICK.before, case.network.cells, len(VARIABLES))
    weights = weights_of(case.network, case.before)
    assert weights.sum(axis=1) == pytest.approx(1.0)
    assert not weights.diagonal().any()


def test_every_class_has_a_pattern_to_expect() -> None:
    """No two classes are expected to look the same."""
    expected = expected_features(tuple(CAUSES))
    values = np.array(list(expected.values()))
    apart = np.abs(values[:, None] - values).sum(axis=2)
    assert (apart[~np.eye(len(values), dtype=bool)] > 0).all()
