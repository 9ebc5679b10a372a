"""Statistics a period at a time: those of all periods, weighted, cells' levels taken off."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from linear_models import names_of, random_model, samples_of

from cellhive.causal.live.running import Running, advanced, completed, empty_running
from cellhive.causal.statistics import statistics_of
from cellhive.core.errors import BadInput
from cellhive.core.types import Floats


def run(panel: Floats, *, lags: int = 0, within_cells: bool = True, keep: float = 1.0) -> Running:
    """Return statistics after all periods of a panel."""
    running = empty_running(
        names_of(panel.shape[2]), panel.shape[1], lags=lags, within_cells=within_cells
    )
    for values in panel:
        running, _ = advanced(running, values, keep=keep)
    return running


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2), st.booleans(), st.floats(0.5, 1.0), st.integers(0, 99))
def test_a_period_at_a_time_is_all_of_them_weighted(
    lags: int, within_cells: bool, keep: float, seed: int
) -> None:
    """Scatter and mean are those of a weighted sum over the whole history, kept nowhere."""
    rng = np.random.default_rng(seed)
    panel = rng.standard_normal((9, 4, 2)) @ rng.standard_normal((2, 2)) + 7.0
    found = run(panel, lags=lags, within_cells=within_cells, keep=keep).statistics
    rows = np.concatenate([panel[lags - lag : 9 - lag] for lag in range(lags + 1)], axis=2)
    weights = keep ** np.arange(len(rows) - 1.0, -1.0, -1.0)
    level = np.einsum("t,tcd->cd", weights, rows) / weights.sum()
    if not within_cells:
        level = np.broadcast_to(level.mean(axis=0), level.shape)
    apart = rows - level
    np.testing.assert_allclose(
        found.scatter, np.einsum("t,tcd,tce->de", weights, apart, apart), rtol=1e-8, atol=1e-10
    )
    np.testing.assert_allclose(found.mean, level.mean(axis=0), rtol=1e-9)
    used = (weights**2).sum() / weights.sum() if within_cells else 0.0
    assert found.weight == pytest.approx(4 * (weights.sum() - used))


def test_without_forgetting_it_is_the_panel_within_cells() -> None:
    """Weight, scatter and correlations of a long panel agree with those taken at once."""
    rng = np.random.default_rng(1)
    panel = rng.standard_normal((20, 6, 3)) + 10 * rng.standard_normal((6, 3))
    found = run(panel).statistics
    whole = statistics_of(panel, names_of(3), within_cells=True)
    assert found.weight == pytest.approx(whole.weight) == 19 * 6
    np.testing.assert_allclose(found.correlation(), whole.correlation(), atol=1e-12)


def test_missing_values_follow_what_was_learnt() -> None:
    """Values lost depending on another variable bias neither spread nor slope for long."""
    rng = np.random.default_rng(2)
    a = rng.standard_normal((60, 100))
    panel = np.stack([a, 2.0 * a + 0.5 * rng.standard_normal(a.shape)], axis=2)
    panel[5:][a[5:] > 0.5, 1] = np.nan
    found = run(panel, within_cells=False, keep=0.95).statistics
    covariance = found.scatter / found.weight
    assert covariance[0, 1] / covariance[0, 0] == pytest.approx(2.0, abs=0.1)
    assert covariance[1, 1] == pytest.approx(4.25, rel=0.15)
    assert found.weight < run(np.nan_to_num(panel), within_cells=False, keep=0.95).statistics.weight


def test_gaps_at_low_values_shift_no_cell() -> None:
    """Where low values of y are missing, its cells' levels are those of y, not of what is left."""
    rng = np.random.default_rng(31)
    x = rng.standard_normal((400, 8, 1)) + np.linspace(-2.0, 2.0, 8)[:, None]
    y = 3.0 * x + 0.5 * rng.standard_normal(x.shape)
    panel = np.concatenate([x, y], axis=2)
    panel[:, :, 1] = np.where(x[:, :, 0] < -1.0, np.nan, panel[:, :, 1])
    found = run(panel, lags=1, keep=0.99)
    weights = 0.99 ** np.arange(len(panel) - 2.0, -1.0, -1.0)
    lasting = np.einsum("t,tcv->cv", weights / weights.sum(), np.stack([x, y], 2)[1:, :, :, 0])
    assert np.abs(np.nanmean(panel, axis=0)[:, 1] - lasting[:, 1]).max() > 2.0
    np.testing.assert_allclose(found.level[:, :2], lasting, atol=1.2)
    seen = found.statistics
    slopes = np.linalg.solve(seen.scatter[:, [0, 2, 3]][[0, 2, 3]], seen.scatter[[0, 2, 3], 1])
    assert (np.abs(slopes - [3.0, 0.0, 0.0]) < [0.3, 0.4, 0.15]).all()


@pytest.mark.parametrize(("share", "near"), [(0.5, 0.7), (0.9, 2.2)])
def test_most_of_it_may_be_missing(share: float, near: float) -> None:
    """However few values come, and whichever come first, levels end about where they should."""
    rng = np.random.default_rng(32)
    panel = rng.standard_normal((300, 6, 2)) @ np.array([[1.0, 2.0], [0.0, 1.0]])
    panel[:, :, 1] = np.where(rng.random((300, 6)) < share, np.nan, panel[:, :, 1])
    found = run(panel, lags=1)
    np.testing.assert_allclose(found.level[:, :2], 0.0, atol=near)
    assert np.isfinite(found.statistics.scatter).all()


def test_what_is_missing_is_filled_alike_from_either_side() -> None:
    """Through the inverse or the covariance: expectation and uncertainty are those by hand."""
    rng = np.random.default_rng(3)
    covariance = np.cov(samples_of(random_model(5, 3.0, rng), 500, rng).T)
    rows = rng.standard_normal((2, 5))
    known = np.array([[True, True, True, True, False], [False, True, False, False, False]])
    filled, uncertain = completed(rows, known, covariance, np.array([2.0, 0.5]))
    total = np.zeros((5, 5))
    for row, there, weight in zip(rows, known, (2.0, 0.5), strict=True):
        k, u = np.flatnonzero(there), np.flatnonzero(~there)
        slopes = covariance[np.ix_(u, k)] @ np.linalg.inv(covariance[np.ix_(k, k)])
        left = covariance[np.ix_(u, u)] - slopes @ covariance[np.ix_(k, u)]
        total[np.ix_(u, u)] += weight * left
        expected = row.copy()
        expected[u] = slopes @ row[k]
        np.testing.assert_allclose(filled[0 if weight == 2.0 else 1], expected, atol=1e-6)
    np.testing.assert_allclose(uncertain, total, atol=1e-6)


def test_gaps_and_dead_cells_add_nothing() -> None:
    """A period that never came, and a cell that never answers, leave the rest as it is."""
    rng = np.random.default_rng(4)
    panel = rng.standard_normal((12, 5, 2))
    dead = np.concatenate([panel, np.full((12, 3, 2), np.nan)], axis=1)
    found, with_dead = run(panel, lags=1).statistics, run(dead, lags=1).statistics
    np.testing.assert_allclose(with_dead.scatter, found.scatter)
    assert with_dead.weight == pytest.approx(found.weight)
    gap = panel.copy()
    gap[6] = np.nan
    assert run(gap, lags=1).statistics.weight == pytest.approx((11 - 2 - 1) * 5)


@pytest.mark.parametrize(
    ("values", "found"),
    [(np.zeros((3, 2)), "shape"), (np.full((4, 2), np.inf), "infinite")],
)
def test_what_is_no_period_is_refused(values: Floats, found: str) -> None:
    """Another number of cells, and infinities, are named."""
    with pytest.raises(BadInput, match=found):
        advanced(empty_running(["a", "b"], 4), values)


def test_what_cannot_be_begun_is_refused() -> None:
    """No names, doubled ones, no cells and too many lags."""
    for names, cells, lags in [([], 1, 0), (["a", "a"], 1, 0), (["a"], 0, 0), (["a"], 1, 4)]:
        with pytest.raises(BadInput):
            empty_running(names, cells, lags=lags)
