"""Normal scores: no monotone change of scale matters, and one step can be told in units."""

from __future__ import annotations

import numpy as np
import pytest
from linear_models import names_of, random_model, samples_of
from scipy import stats

from cellhive.causal.effects import drawn_mechanisms, total_effects
from cellhive.causal.graph import Edge, Knowledge, average_precision
from cellhive.causal.posterior import Settings, discover
from cellhive.causal.ranks import marginals_of, normal_scores
from cellhive.causal.statistics import statistics_of
from cellhive.core.errors import BadInput, NotFound


def test_scores_are_those_of_ranks() -> None:
    """Five values with a tie: quantiles of the normal distribution at mean ranks."""
    scores, marginals = normal_scores(np.array([[3.0], [1.0], [9.0], [3.0], [np.nan]]), ["a"])
    by_hand = stats.norm.ppf((stats.rankdata([3.0, 1.0, 9.0, 3.0]) - 0.5) / 4)
    np.testing.assert_allclose(scores[:4, 0], by_hand)
    assert np.isnan(scores[4, 0])
    np.testing.assert_allclose(marginals.values(scores[:4]), [[3.0], [1.0], [9.0], [3.0]])
    assert marginals.scores(np.array([100.0]))[0] == scores.max(initial=-9.0, where=scores > -9.0)


def test_scale_and_outliers_do_not_matter() -> None:
    """Exponentials and wild values: scores find the graph that plain statistics lose."""
    rng = np.random.default_rng(1)
    model = random_model(8, 2.5, rng, 0.5)
    data = samples_of(model, 800, rng)
    bent = np.sinh(2.5 * data / data.std(axis=0))
    bent[rng.integers(0, 800, 8), rng.integers(0, 8, 8)] = 1e6
    score, _ = normal_scores(bent, names_of(8))
    straight, _ = normal_scores(data, names_of(8))
    assert np.median(np.abs(score - straight)) < 0.02
    precision = []
    for values in (data, score, bent):
        seen = statistics_of(values, names_of(8))
        found = discover(seen, np.random.default_rng(2), settings=Settings(graphs=150))
        joined = found.edge_probability()[0]
        truth = (model != 0) | (model.T != 0)
        precision.append(average_precision(np.triu(joined + joined.T, 1), np.triu(truth, 1)))
    assert precision[1] > 0.95 * precision[0]
    assert precision[2] < 0.8 * precision[1]


def test_a_step_can_be_told_in_units() -> None:
    """From one value of the cause to another, at one value of the effect, as the model says."""
    rng = np.random.default_rng(3)
    x = rng.standard_normal(6000)
    y = 0.8 * x + 0.6 * rng.standard_normal(6000)
    panel = np.stack([x**3, np.exp(y)], axis=1)
    score, marginals = normal_scores(panel, ["x", "y"])
    found = discover(
        statistics_of(score, ["x", "y"]), rng, settings=Settings(graphs=200),
        knowledge=Knowledge(required=[Edge("x", "y")]),
    )  # fmt: skip
    effect = total_effects(drawn_mechanisms(found, rng)).interval("x", "y")
    assert effect[0] < 0.8 < effect[2]
    low, middle, high = marginals.change(effect, "x", "y", before=0.0, after=1.0, at=2.0)
    truth = np.exp(np.log(2.0) + 0.8) - 2.0
    assert low < middle < high
    assert middle == pytest.approx(truth, rel=0.06)
    back = marginals.change(effect, "x", "y", before=1.0, after=0.0, at=2.0)
    assert back[0] < back[1] < back[2] < 0.0
    half = marginals.change(effect, "x", "y", before=0.0, after=1.0)
    assert half[1] == pytest.approx(np.exp(0.8) - 1.0, rel=0.08)
    with pytest.raises(BadInput, match="beyond what was seen"):
        marginals.change(effect, "x", "y", before=0.0, after=1e4)
    with pytest.raises(BadInput, match="values of 'y'"):
        marginals.change(effect, "x", "y", before=0.0, after=1.0, at=-1.0)
    with pytest.raises(NotFound, match="'moon'"):
        marginals.change(effect, "moon", "y", before=0.0, after=1.0)


def test_many_values_are_kept_as_few() -> None:
    """Of 50,000 different values 512 stay, and scores differ from exact ones by little."""
    rng = np.random.default_rng(4)
    data = rng.standard_exponential((50_000, 1))
    score, marginals = normal_scores(data, ["a"])
    exact = stats.norm.ppf((stats.rankdata(data[:, 0]) - 0.5) / 50_000)
    assert len(marginals.knots[0]) <= 512
    assert np.abs(score[:, 0] - exact).max() < 0.02


def test_what_does_not_vary_is_refused() -> None:
    """A constant has no ranks, and a wrong number of variables no meaning."""
    with pytest.raises(BadInput, match="1 of 'a'"):
        marginals_of(np.ones((5, 1)), ["a"])
    marginals = marginals_of(np.arange(6.0).reshape(3, 2), ["a", "b"])
    with pytest.raises(BadInput, match="2 variables on the last axis"):
        marginals.scores(np.zeros(3))
