"""Curves: splines that add to lines, scores by regression, graphs that lines cannot orient."""

from __future__ import annotations

import numpy as np
import pytest
from linear_models import names_of, random_model, samples_of

from cellhive.causal.posterior import Settings, discover
from cellhive.causal.queries.curves import (
    SCORED,
    Basis,
    basis_of,
    curved_pairs,
    curved_set_scores,
    discover_curved,
)
from cellhive.causal.scores import Prior, parent_set_scores, score_of
from cellhive.causal.statistics import statistics_of
from cellhive.core.errors import BadInput

QUICK = Settings(starts=4, graphs=200)


def bent_basis(count: int = 600) -> Basis:
    """Return the features of x0 -> x1 (curved), x1 -> x2 (straight), x0 -> x2 (straight)."""
    rng = np.random.default_rng(1)
    x = rng.standard_normal((count, 3))
    x[:, 1] = np.abs(x[:, 0]) + 0.5 * x[:, 0] + 0.4 * x[:, 1]
    x[:, 2] = x[:, 1] - 0.5 * x[:, 0] + 0.7 * x[:, 2]
    x *= [1.0, 20.0, 0.1]
    return basis_of(x, statistics_of(x, names_of(3)))


def test_curves_say_only_what_lines_do_not() -> None:
    """Features of a column have unit variance, no mean, and nothing in common with its line."""
    basis = bent_basis()
    curves = basis.curves(1, basis.rows[:, 1])
    beside = np.column_stack([np.ones(len(curves)), basis.rows[:, 1], curves])
    expected = np.eye(beside.shape[1])
    np.testing.assert_allclose(beside.T @ beside / len(curves), expected, atol=1e-6)
    far = basis.curves(1, np.array([40.0, 41.0, 42.0]))
    np.testing.assert_allclose(far[2] - far[1], far[1] - far[0], rtol=1e-6)


def test_curves_are_asked_for_where_something_bends() -> None:
    """Of three edges one is curved; its pair is found, and what is straight stays straight."""
    candidates = np.array([[1, 2], [0, 2], [0, 1]], np.int32)
    curved = curved_pairs(bent_basis(), candidates)
    assert curved[1, 0]
    assert not curved[2, 1]


def test_scores_of_sets_are_regressions() -> None:
    """Every entry is the straight score of the features that raise it, taken one by one."""
    basis = bent_basis()
    score = score_of(basis.statistics, Prior.UNIT)
    candidates = np.array([[1, 2], [0, 2], [0, 1]], np.int32)
    curved = np.array([[True, False], [True, True], [False, False]])
    liked = np.array([[0.5, 0.0], [0.25, 0.0], [0.0, -1.0]])
    table = curved_set_scores(basis, score, candidates, curved, liked)
    straight = parent_set_scores(
        score, candidates, preference=liked, required=np.zeros(3, np.int32), prune=np.inf
    )
    np.testing.assert_allclose(table[2], straight[2], atol=1e-6)
    np.testing.assert_allclose(table[:, 0], straight[:, 0], atol=1e-6)
    fair = score.constant - score_of(basis.statistics, Prior.UNIT, fair=False).constant

    def of_features(node: int, places: list[int]) -> float:
        seen = statistics_of(basis.features[:, [node, *places]], names_of(1 + len(places)))
        plain = score_of(seen, Prior.UNIT, fair=False)
        return plain.local(0, tuple(range(1, 1 + len(places))))

    for node, members in ((0, 1), (0, 3), (1, 1), (1, 2), (1, 3)):
        held = [k for k in (0, 1) if members >> k & 1]
        places = [int(candidates[node, k]) for k in held]
        best = of_features(node, places)
        for k in held:
            more = places + basis.places(int(candidates[node, k])) * int(curved[node, k])
            if of_features(node, more) > best:
                places, best = more, of_features(node, more)
        expected = best + float(fair[len(held)] + liked[node, held].sum())
        assert table[node, members] == pytest.approx(expected, abs=0.01)


def test_a_curve_gives_the_arrow_away() -> None:
    """Lines leave the direction of a pair open, a curve does not."""
    rows = bent_basis().rows[:, :2]
    basis = basis_of(rows, statistics_of(rows, names_of(2)))
    plain = discover(basis.statistics, np.random.default_rng(2), settings=QUICK)
    found = discover_curved(basis, np.random.default_rng(2), settings=QUICK)
    assert 0.3 < plain.edge_probability()[0, 0, 1] < 0.7
    assert found.edge_probability()[0, 0, 1] > 0.95


def test_where_nothing_bends_the_posterior_is_that_of_lines() -> None:
    """On linear data no pair asks for a curve, and the graphs are the same, draw for draw."""
    rng = np.random.default_rng(3)
    data = samples_of(random_model(6, 2.5, rng), 500, rng)
    basis = basis_of(data, statistics_of(data, names_of(6)))
    plain = discover(basis.statistics, np.random.default_rng(4), settings=QUICK)
    found = discover_curved(basis, np.random.default_rng(4), settings=QUICK)
    np.testing.assert_allclose(
        found.edge_probability(), plain.edge_probability(), atol=0.05
    )  # fmt: skip


def test_columns_that_take_few_values_stay_straight() -> None:
    """A switch and a setting of four values have no curves; lags and gaps are lined up."""
    rng = np.random.default_rng(5)
    data = np.column_stack(
        [rng.integers(0, 2, 300), rng.integers(0, 4, 300), rng.standard_normal(300)]
    ).astype(float)
    data[10, 2] = np.nan
    seen = statistics_of(data, ["switch", "step", "free"], lags=1)
    basis = basis_of(data, seen)
    assert basis.places(0) == []
    assert basis.places(1) == []
    assert len(basis.places(2)) == SCORED
    assert len(basis.rows) == 297
    unit = (data[1, [1]] - seen.mean[1]) / seen.deviation[1]
    assert basis.rows[0, 1] == pytest.approx(float(unit[0]))
    assert basis.rows[0, 4] == pytest.approx((data[0, 1] - seen.mean[4]) / seen.deviation[4])


def test_wrong_input_is_refused() -> None:
    """Another panel, or one with hardly a complete row, is named."""
    basis = bent_basis()
    with pytest.raises(BadInput, match="3 variables, found shape"):
        basis_of(np.zeros((10, 4)), basis.statistics)
    with pytest.raises(BadInput, match="more than 5 rows without gaps, found 2"):
        basis_of(np.zeros((2, 3)), basis.statistics)
