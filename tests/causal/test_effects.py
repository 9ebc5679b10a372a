"""Effects with intervals: by hand, by least squares, and covering the truth as often as said."""

from __future__ import annotations

import numpy as np
import pytest
from linear_models import names_of, random_model, samples_of
from scipy import stats

from cellhive.causal.effects import direct_effects, drawn_mechanisms, total_effects
from cellhive.causal.graph import Edge, Knowledge
from cellhive.causal.posterior import Posterior, Settings, discover
from cellhive.causal.statistics import statistics_of
from cellhive.core.errors import BadInput, NotFound
from cellhive.core.types import Floats


def chain_posterior(count: int, graphs: int = 2000) -> tuple[Posterior, Floats]:
    """Return the posterior of a -> b -> c, with its graph required, and the data."""
    rng = np.random.default_rng(1)
    model = np.array([[0.0, 2.0, 0.0], [0.0, 0.0, -0.5], [0.0, 0.0, 0.0]])
    data = samples_of(model, count, rng) * [1.0, 10.0, 0.1]
    knowledge = Knowledge(
        required=[Edge("a", "b"), Edge("b", "c")], forbidden=[Edge("a", "c")],
    )  # fmt: skip
    found = discover(
        statistics_of(data, ["a", "b", "c"]), rng, knowledge=knowledge,
        settings=Settings(graphs=graphs // 2),
    )  # fmt: skip
    return found, data


def test_an_edge_is_a_regression() -> None:
    """Mean and interval of a single edge are those of least squares, in the data's units."""
    found, data = chain_posterior(40, 8000)
    effects = direct_effects(drawn_mechanisms(found, np.random.default_rng(2)))
    fit = stats.linregress(data[:, 0], data[:, 1])
    half = stats.t(38).ppf(0.95) * fit.stderr
    low, mean, high = effects.interval("a", "b")
    assert mean == pytest.approx(fit.slope, abs=0.05 * half)
    assert low == pytest.approx(fit.slope - half, abs=0.08 * half)
    assert high == pytest.approx(fit.slope + half, abs=0.08 * half)
    assert effects.interval("a", "c") == (0.0, 0.0, 0.0)
    inner = effects.interval("a", "b", level=0.5)
    assert low < inner[0] < mean < inner[2] < high


def test_paths_multiply() -> None:
    """The total effect along a chain is the product of its edges, and nothing flows back."""
    found, data = chain_posterior(50_000)
    effects = total_effects(drawn_mechanisms(found, np.random.default_rng(3)))
    assert effects.mean[0, 0, 1] == pytest.approx(20.0, rel=0.01)
    assert effects.mean[1, 0, 2] == pytest.approx(-0.005, rel=0.01)
    assert effects.mean[0, 0, 2] == pytest.approx(-0.1, rel=0.01)
    assert not effects.mean[2].any()
    np.testing.assert_array_equal(effects.probability[:, 0], [[0, 1, 1], [0, 0, 1], [0, 0, 0]])
    some = total_effects(drawn_mechanisms(found, np.random.default_rng(3)), causes=["b"])
    np.testing.assert_array_equal(some.mean[0], effects.mean[1])
    assert len(data) == 50_000


def test_draws_of_a_model_are_its_linear_algebra() -> None:
    """Total effects of every drawn model are the entries of (I - B)^-1, less the identity."""
    rng = np.random.default_rng(4)
    seen = statistics_of(samples_of(random_model(6, 3.0, rng), 100, rng), names_of(6))
    found = discover(seen, rng, settings=Settings(graphs=40))
    mechanisms = drawn_mechanisms(found, rng)
    expected = np.zeros((6, 6))
    for draw in range(80):
        weights = np.zeros((6, 6))
        for node, slot in np.argwhere(mechanisms.coefficients[draw]):
            weights[found.candidates[node, slot], node] = mechanisms.coefficients[draw, node, slot]
        assert ((weights != 0) == found.graph(draw)[0]).all()
        expected += np.linalg.inv(np.eye(6) - weights) - np.eye(6)
    unit = seen.deviation[None, :] / seen.deviation[:, None]
    found_mean = total_effects(mechanisms).mean[:, 0]
    np.testing.assert_allclose(found_mean, expected / 80 * unit, atol=1e-5)


def test_effects_travel_through_time() -> None:
    """A pulse in x: y follows a period later, and fades as y remembers itself."""
    rng = np.random.default_rng(5)
    x, y = np.zeros(20_000), np.zeros(20_000)
    for k in range(1, 20_000):
        x[k] = rng.standard_normal()
        y[k] = 2.0 * x[k - 1] + 0.5 * y[k - 1] + rng.standard_normal()
    seen = statistics_of(np.stack([x, y], axis=1), ["x", "y"], lags=2)
    found = discover(seen, rng, settings=Settings(graphs=100))
    effects = total_effects(drawn_mechanisms(found, rng), horizons=4)
    np.testing.assert_allclose(effects.mean[0, :, 1], [0.0, 2.0, 1.0, 0.5], atol=0.05)
    np.testing.assert_allclose(effects.mean[1, :, 1], [0.0, 0.5, 0.25, 0.125], atol=0.03)
    assert np.abs(effects.mean[1, :, 0]).max() < 0.02
    direct = direct_effects(drawn_mechanisms(found, rng))
    np.testing.assert_allclose(direct.mean[:, 1, 1], [2.0, 0.5], atol=0.05)


def test_intervals_cover_what_they_say() -> None:
    """Of the true effects that are not zero, about nine in ten lie in the 90 % intervals.

    Over 120 such models 0.883 +- 0.014 do; the bounds leave room for the sampling of 30.
    """
    inside, count = 0, 0
    for seed in range(30):
        rng = np.random.default_rng(1000 + seed)
        model = random_model(8, 2.5, rng)
        seen = statistics_of(samples_of(model, 500, rng), names_of(8))
        found = discover(seen, rng, settings=Settings(graphs=200))
        effects = total_effects(drawn_mechanisms(found, rng), levels=[0.9])
        truth = np.linalg.inv(np.eye(8) - model) - np.eye(8)
        there = np.abs(truth) > 1e-9
        held = (effects.low[0, :, 0] <= truth) & (truth <= effects.high[0, :, 0])
        inside, count = inside + int(held[there].sum()), count + int(there.sum())
    assert count >= 300
    assert 0.85 <= inside / count <= 0.95


def test_few_samples_give_wide_intervals() -> None:
    """Eight samples of ten variables: intervals hold zero, and are finite."""
    rng = np.random.default_rng(6)
    seen = statistics_of(rng.standard_normal((8, 10)), names_of(10))
    found = discover(seen, rng, settings=Settings(graphs=200))
    effects = total_effects(drawn_mechanisms(found, rng), levels=[0.9])
    off = ~np.eye(10, dtype=bool)
    assert np.isfinite(effects.mean).all()
    assert ((effects.low[0, :, 0] <= 0.0) & (effects.high[0, :, 0] >= 0.0))[off].mean() > 0.9


def test_wrong_questions_are_refused() -> None:
    """Unknown variables, levels and horizons are named."""
    mechanisms = drawn_mechanisms(chain_posterior(100, 20)[0], np.random.default_rng(7))
    effects = total_effects(mechanisms)
    with pytest.raises(NotFound, match="'moon'"):
        total_effects(mechanisms, causes=["moon"])
    with pytest.raises(NotFound, match="'moon'"):
        effects.interval("a", "moon")
    with pytest.raises(BadInput, match=r"a level among 0.5, 0.9, found 0.8"):
        effects.interval("a", "b", level=0.8)
    with pytest.raises(BadInput, match="a horizon of 0 to 0"):
        effects.interval("a", "b", horizon=1)
    with pytest.raises(BadInput, match="at least 1 horizon"):
        total_effects(mechanisms, horizons=0)
