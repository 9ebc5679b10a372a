"""What would have been: residuals stay, set variables listen no more, sums are exact."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from linear_models import names_of, random_model

from cellhive.causal.effects import Mechanisms, drawn_mechanisms
from cellhive.causal.graph import Edge, Knowledge
from cellhive.causal.posterior import Settings, discover
from cellhive.causal.queries.contributions import contributions
from cellhive.causal.queries.whatif import counterfactual
from cellhive.causal.statistics import statistics_of
from cellhive.core.errors import BadInput, NotFound
from cellhive.core.types import Floats

VARIABLES, LAGS = 6, 1


@cache
def lagged() -> tuple[Mechanisms, Floats]:
    """Return drawn models of six variables that remember a period, and their data."""
    rng = np.random.default_rng(1)
    model = random_model(VARIABLES, 3.0, rng)
    data = np.zeros((80, VARIABLES))
    for k in range(1, len(data)):
        noise = rng.standard_normal(VARIABLES) + 0.4 * np.roll(data[k - 1], 1)
        data[k] = noise @ np.linalg.inv(np.eye(VARIABLES) - model)
    data *= np.arange(1.0, VARIABLES + 1)
    seen = statistics_of(data, names_of(VARIABLES), lags=LAGS)
    found = discover(seen, rng, settings=Settings(graphs=30, starts=4))
    return drawn_mechanisms(found, rng), data


def weights_of(mechanisms: Mechanisms, draw: int) -> Floats:
    """Return the coefficients of a drawn model in the data's units, [lag, cause, effect]."""
    posterior = mechanisms.posterior
    weights = np.zeros((posterior.statistics.columns, VARIABLES))
    for node, slot in np.argwhere(mechanisms.coefficients[draw]):
        column = posterior.candidates[node, slot]
        weights[column, node] = mechanisms.coefficients[draw, node, slot]
    scale = posterior.statistics.deviation[:VARIABLES]
    shaped = weights.reshape(LAGS + 1, VARIABLES, VARIABLES)
    return np.asarray(shaped * scale[None, None, :] / scale[None, :, None])


def by_abduction(mechanisms: Mechanisms, draw: int, seen: Floats, sets: dict[int, float]) -> Floats:
    """Return the counterfactual of a drawn model by its three steps, one variable at a time."""
    weights, order = weights_of(mechanisms, draw), mechanisms.order[draw]
    left = seen.copy()
    for t in range(len(seen)):  # what nothing explains; before the first period all is as it was
        left[t] -= seen[t] @ weights[0]
        if t:
            left[t] -= seen[t - 1] @ weights[1]
    other = np.zeros_like(seen)
    for t in range(len(seen)):
        for node in order:
            value = left[t, node] + other[t] @ weights[0][:, node]
            value += other[t - 1] @ weights[1][:, node] if t else 0.0
            other[t, node] = sets.get(int(node), value)
    return other


def test_three_steps_by_hand() -> None:
    """Abduction, action and prediction, spelt out for every drawn model, give the same mean."""
    mechanisms, data = lagged()
    seen, sets = data[10:14], {"x1": 3.0, "x4": -2.0}
    answer = counterfactual(mechanisms, seen, sets)
    sets_at = {int(name[1]): value for name, value in sets.items()}
    draws = [by_abduction(mechanisms, draw, seen, sets_at) for draw in range(60)]
    np.testing.assert_allclose(answer.mean, np.mean(draws, axis=0), atol=1e-9)
    np.testing.assert_allclose(answer.mean[:, [1, 4]], [[3.0, -2.0]] * 4)
    spread = np.array(draws) - seen
    expected = np.quantile(spread, [0.05, 0.95], axis=0, method="nearest")
    np.testing.assert_allclose([answer.low[1], answer.high[1]], expected, atol=1e-9)
    low, mean, high = answer.of("x2", period=3)
    assert low <= mean <= high


def test_the_past_stays_and_what_is_not_measured_is_not_needed() -> None:
    """Nothing differs before the first change; gaps elsewhere leave differences as they are."""
    mechanisms, data = lagged()
    whole = counterfactual(mechanisms, data[10:14], {"x1": 3.0}, since=2, until=3)
    assert not whole.difference[:2].any()
    assert whole.mean[2, 1] == pytest.approx(3.0)
    gaps = data[10:14].copy()
    gaps[:, [0, 2, 3, 4, 5]] = np.nan
    with_gaps = counterfactual(mechanisms, gaps, {"x1": 3.0}, since=2, until=3)
    np.testing.assert_array_equal(with_gaps.difference, whole.difference)
    assert np.isnan(with_gaps.mean[0, 0])
    assert whole.reach["x1"] == pytest.approx(
        (3.0 - data[1:, 1].mean()) / data[1:, 1].std(), abs=0.1
    )


def test_changing_nothing_changes_nothing() -> None:
    """Setting a variable to what it was leaves everything, exactly."""
    mechanisms, data = lagged()
    answer = counterfactual(mechanisms, data[5], {"x3": float(data[5, 3])})
    assert not answer.difference.any()
    assert not answer.low.any()
    assert answer.extrapolated == ()
    assert counterfactual(mechanisms, data[5], {"x3": 1e3, "x1": 0.0}).extrapolated == ("x3",)


@settings(max_examples=25, deadline=None)
@given(
    st.integers(1, 78), st.integers(1, 78), st.integers(0, VARIABLES - 1), st.integers(0, 20)
)  # fmt: skip
def test_contributions_sum_to_the_difference(a: int, b: int, target: int, most: int) -> None:
    """Whatever two periods differ by, origins, last steps and paths each sum to it."""
    mechanisms, data = lagged()
    split = contributions(
        mechanisms, data[a - 1 : a + 1], data[b - 1 : b + 1], f"x{target}", most_paths=most
    )
    difference = data[b, target] - data[a, target]
    assert split.difference == pytest.approx(difference, abs=1e-9)
    for parts in (split.origins, split.last_steps, split.paths):
        assert parts.mean.sum() == pytest.approx(difference, abs=1e-9)
        assert (parts.low <= parts.high).all()
    assert split.words()


def test_a_chain_and_its_side_way() -> None:
    """a -> load -> y and a -> y: what came through load is a's change times both edges."""
    rng = np.random.default_rng(2)
    a = rng.standard_normal(4000)
    load = 2.0 * a + 0.1 * rng.standard_normal(4000)
    y = -0.5 * load + 0.3 * a + 0.1 * rng.standard_normal(4000)
    ways = [Edge("a", "load"), Edge("load", "y"), Edge("a", "y")]
    seen = statistics_of(np.stack([a, load, y], axis=1), ["a", "load", "y"])
    found = discover(seen, rng, knowledge=Knowledge(required=ways), settings=Settings(graphs=100))
    mechanisms = drawn_mechanisms(found, rng)
    before, after = np.array([0.0, 0.0, 0.0]), np.array([2.0, 4.0, -1.3])
    split = contributions(mechanisms, before, after, "y")
    assert split.through.of("load")[1] == pytest.approx(-2.0, abs=0.1)
    assert split.last_steps.of("a")[1] == pytest.approx(0.6, abs=0.1)
    assert split.paths.of("a -> load -> y")[1] == pytest.approx(-2.0, abs=0.1)
    assert split.paths.of("a -> y")[1] == pytest.approx(0.6, abs=0.1)
    assert split.origins.of("a")[1] == pytest.approx(-1.4, abs=0.05)
    assert split.words(1).startswith("Of the 1.3 drop of y, -")
    assert "through load" in split.words(1)
    assert contributions(mechanisms, after, after, "y").words() == "y did not change."


def test_wrong_questions_are_refused() -> None:
    """Unknown names, gaps where values are needed, and periods that do not fit are named."""
    mechanisms, data = lagged()
    with pytest.raises(NotFound, match="'moon'"):
        counterfactual(mechanisms, data[5], {"moon": 1.0})
    with pytest.raises(BadInput, match="6 variables, found shape"):
        counterfactual(mechanisms, data[5, :3], {"x1": 1.0})
    gap = data[5].copy()
    gap[1] = np.nan
    with pytest.raises(BadInput, match=r"values of 'x1'.*found 1 missing"):
        counterfactual(mechanisms, gap, {"x1": 1.0})
    with pytest.raises(BadInput, match="at least one period in which something is set"):
        counterfactual(mechanisms, data[5], {"x1": 1.0}, since=3)
    with pytest.raises(BadInput, match="the period and the 1 before it, found 1"):
        contributions(mechanisms, data[5], data[6], "x1")
    with pytest.raises(BadInput, match="found no value of x1"):
        contributions(mechanisms, np.stack([data[5], gap]), data[6:8], "x0")
    answer = counterfactual(mechanisms, data[5], {"x1": 1.0})
    with pytest.raises(BadInput, match="a level among"):
        answer.of("x1", level=0.3)
