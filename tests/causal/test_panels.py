"""Coefficients of cells: nearer the truth than one cell or all cells alone, as sure as said."""

from __future__ import annotations

import numpy as np
import pytest

from cellhive.causal.dependent.panels import cell_coefficients, cell_mechanisms
from cellhive.causal.effects import total_effects
from cellhive.causal.graph import Edge, Knowledge
from cellhive.causal.posterior import Settings, discover
from cellhive.causal.statistics import statistics_of
from cellhive.core.errors import BadInput, NotFound
from cellhive.core.types import Floats

NAMES = ["a", "b", "y"]


def panel_of(seed: int, cells: int, periods: int, spread: float) -> tuple[Floats, Floats]:
    """Return values (T, C, 3) of a, b -> y, and the coefficients of each cell, (C, 2).

    The site of a cell shifts all of its values; noise and how far causes move differ too.
    """
    rng = np.random.default_rng(seed)
    slopes = np.array([0.8, -0.5]) + spread * rng.standard_normal((cells, 2)) @ [[1, 0.5], [0, 1]]
    causes = rng.standard_normal((periods, cells, 2))
    causes[:, :, 1] += 0.6 * causes[:, :, 0]
    causes *= rng.uniform(0.3, 1.5, (cells, 1))
    noise = np.exp(0.4 * rng.standard_normal(cells)) * rng.standard_normal((periods, cells))
    effect = np.einsum("tcp,cp->tc", causes, slopes) + noise
    site = 5.0 * rng.standard_normal((cells, 1))
    values = np.concatenate([causes, effect[:, :, None]], axis=2) + site
    values[rng.random(values.shape) < 0.04] = np.nan
    return values, slopes


def own_slopes(values: Floats) -> Floats:
    """Return least squares in every cell by itself, (C, 2)."""
    found = []
    for cell in range(values.shape[1]):
        rows = values[np.isfinite(values[:, cell]).all(axis=1), cell]
        rows = rows - rows.mean(axis=0)
        found.append(np.linalg.lstsq(rows[:, :2], rows[:, 2])[0])
    return np.array(found)


def test_cells_help_each_other_and_intervals_cover() -> None:
    """Over 20 panels: nine in ten in 90 %, and less error than no pooling or pooling all."""
    inside, errors = [], []
    for seed in range(20):
        values, slopes = panel_of(seed, 40, 15, 0.3)
        found = cell_coefficients(values, NAMES, 2, [0, 1])
        low, high = found.interval()
        inside.append(float(((low <= slopes) & (slopes <= high)).mean()))
        guesses = (found.mean, own_slopes(values), found.common)
        errors.append([float(((guess - slopes) ** 2).mean()) for guess in guesses])
    shrunk, own, common = np.mean(errors, axis=0)
    assert 0.85 <= np.mean(inside) <= 0.95
    assert shrunk < 0.8 * common
    assert shrunk < 0.5 * own


def test_many_periods_are_least_squares_of_the_cell() -> None:
    """With ten thousand periods a cell keeps its own estimate, and its standard error."""
    values, _ = panel_of(1, 10, 10_000, 0.4)
    found = cell_coefficients(values, NAMES, 2, [0, 1])
    np.testing.assert_allclose(found.mean, own_slopes(values), atol=0.02)
    rows = values[np.isfinite(values[:, 0]).all(axis=1), 0]
    rows = rows - rows.mean(axis=0)
    left = rows[:, 2] - rows[:, :2] @ own_slopes(values)[0]
    spread = (left @ left) / (len(rows) - 3) * np.linalg.inv(rows[:, :2].T @ rows[:, :2])
    np.testing.assert_allclose(found.covariance[0], spread, rtol=0.1, atol=2e-5)
    assert found.noise[0] == pytest.approx(np.sqrt((left @ left) / (len(rows) - 3)), rel=0.03)


def test_the_estimate_of_all_is_unbiased() -> None:
    """Mean and spread between cells are those the cells were drawn with."""
    values, slopes = panel_of(2, 400, 25, 0.3)
    found = cell_coefficients(values, NAMES, 2, [0, 1])
    np.testing.assert_allclose(found.common, slopes.mean(axis=0), atol=0.08)
    np.testing.assert_allclose(found.between, np.cov(slopes.T), atol=0.03)
    assert np.sqrt(found.common_covariance[0, 0]) < 0.05


def test_a_cause_that_never_moved_takes_after_other_cells() -> None:
    """A cell whose cause stood still, and one without data, have the mean and wide intervals."""
    values, _ = panel_of(3, 50, 30, 0.3)
    values[:, 0, 0] = 7.0
    values[:, 1] = np.nan
    found = cell_coefficients(values, NAMES, 2, [0, 1])
    wide = np.sqrt(np.diagonal(found.between))
    np.testing.assert_allclose(found.mean[1], found.common, atol=1e-6)
    np.testing.assert_allclose(np.sqrt(np.diagonal(found.covariance[1])), wide, rtol=0.1)
    assert abs(found.mean[0, 0] - found.common[0]) < wide[0]
    assert np.sqrt(found.covariance[0, 0, 0]) > 0.6 * wide[0]


def test_scales_do_not_matter() -> None:
    """In other units of the variables the same coefficients come out in other units."""
    values, _ = panel_of(4, 30, 20, 0.3)
    found = cell_coefficients(values, NAMES, 2, [0, 1])
    scaled = cell_coefficients(values * [1000.0, 0.1, 5.0], NAMES, 2, [0, 1])
    unit = np.array([5.0 / 1000.0, 5.0 / 0.1])
    np.testing.assert_allclose(scaled.mean, found.mean * unit, rtol=1e-6)
    np.testing.assert_allclose(scaled.between, found.between * np.outer(unit, unit), rtol=1e-4)


def test_effects_of_a_cell_are_its_own() -> None:
    """Along a -> b -> c with a lag, the total effect is the product of the cell's slopes."""
    rng = np.random.default_rng(5)
    cells, periods = 30, 80
    first, second = (base + 0.3 * rng.standard_normal(cells) for base in (1.0, 0.7))
    a = rng.standard_normal((periods, cells))
    b = np.zeros_like(a)
    b[1:] = first * a[:-1] + 0.5 * rng.standard_normal((periods - 1, cells))
    c = second * b + 0.5 * rng.standard_normal(a.shape)
    panel = np.stack([a, b, 10.0 * c], axis=2)[1:] + 3.0 * rng.standard_normal((1, cells, 1))
    known = Knowledge(required=[Edge("a", "b", 1), Edge("b", "c")])
    seen = statistics_of(panel, ["a", "b", "c"], lags=1, within_cells=True)
    posterior = discover(seen, rng, knowledge=known, settings=Settings(graphs=150))
    mechanisms = cell_mechanisms(posterior, panel)
    inside, error = 0, []
    for cell in range(cells):
        drawn = mechanisms.drawn(cell, np.random.default_rng(cell))
        effects = total_effects(drawn, causes=["a"], horizons=2)
        low, mean, high = effects.interval("a", "c", horizon=1)
        truth = 10.0 * first[cell] * second[cell]
        inside += low <= truth <= high
        error.append(mean - truth)
    assert inside >= 24
    assert np.sqrt(np.mean(np.square(error))) < 0.25 * np.std(10.0 * first * second)
    again = mechanisms.drawn(3, np.random.default_rng(3)).coefficients
    np.testing.assert_array_equal(again, mechanisms.drawn(3, np.random.default_rng(3)).coefficients)
    with pytest.raises(NotFound, match="a cell of 0 to 29, found 30"):
        mechanisms.drawn(30, rng)


def test_a_variable_without_parents_has_noise_only() -> None:
    """No parents: nothing but each cell's noise, drawn towards that of all."""
    rng = np.random.default_rng(6)
    found = cell_coefficients(rng.standard_normal((10, 50, 1)), ["a"], 0, [])
    assert found.mean.shape == (50, 0)
    assert found.noise.mean() == pytest.approx(1.0, abs=0.1)
    assert found.noise.std() < 0.1


def test_too_little_and_wrong_columns_are_refused() -> None:
    """Too few full rows, a parent that is none, and a wrong level are named."""
    values, _ = panel_of(7, 5, 3, 0.3)
    with pytest.raises(BadInput, match="causes of 'y'"):
        cell_coefficients(values, NAMES, 2, [0, 1])
    with pytest.raises(BadInput, match="among 3 columns"):
        cell_coefficients(values, NAMES, 2, [3])
    with pytest.raises(BadInput, match="none its own"):
        cell_coefficients(values, NAMES, 2, [2])
    enough = cell_coefficients(panel_of(7, 5, 30, 0.3)[0], NAMES, 2, [0])
    with pytest.raises(BadInput, match="a level between 0 and 1"):
        enough.interval(level=1.0)
