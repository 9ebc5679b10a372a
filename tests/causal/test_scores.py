"""Scores of parents: against predictions one sample at a time, and against each other."""

from __future__ import annotations

import math
from itertools import combinations

import numpy as np
import pytest
from bge import local_by_prediction
from linear_models import names_of, random_model, samples_of

from cellhive.causal.scores import (
    Prior,
    best_subsets,
    parent_set_scores,
    score_of,
    subset_sums,
)
from cellhive.causal.statistics import Statistics, statistics_of
from cellhive.core.errors import BadInput
from cellhive.core.types import Floats


def standardised(nodes: int, count: int, seed: int) -> tuple[Floats, Statistics]:
    """Return samples with mean 0 and variance 1, and their statistics."""
    rng = np.random.default_rng(seed)
    data = samples_of(random_model(nodes, 2.0, rng), count, rng)
    data = (data - data.mean(axis=0)) / data.std(axis=0)
    return data, statistics_of(data, names_of(nodes))


@pytest.mark.parametrize("prior", [Prior.UNIT, Prior.ISOTROPIC])
@pytest.mark.parametrize("parents", [(), (1,), (3, 0), (0, 1, 3)])
def test_bge_is_the_probability_of_the_data(prior: Prior, parents: tuple[int, ...]) -> None:
    """The closed form equals the product of predictions under the same prior."""
    data, seen = standardised(4, 30, 1)
    scale = 0.5 * np.eye(4) if prior is Prior.ISOTROPIC else seen.correlation()
    expected = local_by_prediction(data, scale, 6.0, 2, parents)
    assert score_of(seen, prior, fair=False).local(2, parents) == pytest.approx(expected, abs=1e-8)


def test_bic_is_likelihood_less_half_log_n_a_parent() -> None:
    """The criterion of a regression, by least squares."""
    data, seen = standardised(4, 50, 2)
    left = data[:, 0] - data[:, 1:3] @ np.linalg.lstsq(data[:, 1:3], data[:, 0], rcond=None)[0]
    variance = float((left**2).mean())
    likelihood = -0.5 * 50 * (math.log(2 * math.pi * variance) + 1.0)
    score = score_of(seen, Prior.BIC, fair=False)
    assert score.local(0, (1, 2)) == pytest.approx(likelihood - math.log(50))


@pytest.mark.parametrize("prior", list(Prior))
@pytest.mark.parametrize("fair", [True, False])
def test_equivalent_graphs_score_alike(prior: Prior, fair: bool) -> None:
    """A chain and a fork score alike, a collider does not; and so do all orders of a clique."""
    score = score_of(standardised(4, 200, 3)[1], prior, fair=fair)
    chain = score.local(0, ()) + score.local(1, (0,)) + score.local(2, (1,))
    back = score.local(2, ()) + score.local(1, (2,)) + score.local(0, (1,))
    fork = score.local(1, ()) + score.local(0, (1,)) + score.local(2, (1,))
    collider = score.local(0, ()) + score.local(2, ()) + score.local(1, (0, 2))
    assert chain == pytest.approx(back)
    assert chain == pytest.approx(fork)
    assert chain != pytest.approx(collider)
    one = score.local(3, ()) + score.local(1, (3,)) + score.local(0, (1, 3))
    other = score.local(0, ()) + score.local(3, (0,)) + score.local(1, (0, 3))
    assert one == pytest.approx(other)


def test_units_do_not_matter() -> None:
    """The scores are the same when a variable is given in other units and from another zero."""
    rng = np.random.default_rng(4)
    data = samples_of(random_model(3, 2.0, rng), 100, rng)
    other = data * [1.0, 1000.0, 0.01] + [3.0, -7.0, 0.0]
    for prior in Prior:
        scores = [
            score_of(statistics_of(x, names_of(3)), prior).local(0, (1, 2)) for x in (data, other)
        ]
        assert scores[0] == pytest.approx(scores[1])


@pytest.mark.parametrize("prior", list(Prior))
def test_tables_hold_every_set(prior: Prior) -> None:
    """Every entry is the plain score plus preferences, -inf where a required one is missing."""
    score = score_of(standardised(5, 80, 5)[1], prior)
    candidates = np.array([[1, 2, 3, 4], [0, 2, -1, -1]], np.int32)
    preference = np.array([[0.5, -1.0, 0.0, 2.0], [0.0, 0.25, 9.0, 9.0]])
    table = parent_set_scores(
        score, candidates, preference=preference, required=np.array([0b0100, 0], np.int32),
        prune=np.inf,
    )  # fmt: skip
    for node, members in np.ndindex(2, 16):
        slots = [k for k in range(4) if members >> k & 1]
        parents = tuple(int(candidates[node, k]) for k in slots)
        if -1 in parents or (node == 0 and 3 not in parents):
            assert table[node, members] == -np.inf
        else:
            expected = score.local(node, parents) + preference[node, slots].sum()
            assert table[node, members] == pytest.approx(expected)


def test_sums_and_maxima_over_subsets() -> None:
    """Both transforms agree with visiting every subset."""
    rng = np.random.default_rng(6)
    table = rng.uniform(-30.0, 0.0, (2, 16))
    table[0, [1, 4, 7]] = -np.inf
    sums, best = subset_sums(table), best_subsets(table)
    for node, members in np.ndindex(2, 16):
        subsets = [s for s in range(16) if s & members == s]
        assert sums[node, members] == pytest.approx(np.logaddexp.reduce(table[node, subsets]))
        assert table[node, best[node, members]] == max(table[node, subsets])
        assert best[node, members] in subsets


def test_pruning_drops_only_what_a_subset_beats() -> None:
    """A set goes exactly if some subset of it is better by more than the threshold."""
    score = score_of(standardised(5, 300, 17)[1], Prior.UNIT)
    candidates = np.array([[1, 2, 3, 4]], np.int32)
    options = {"preference": np.zeros((1, 4)), "required": np.zeros(1, np.int32)}
    full = parent_set_scores(score, candidates, **options, prune=np.inf)[0]
    table = parent_set_scores(score, candidates, **options, prune=3.0)[0]
    gone = 0
    for members in range(16):
        best = max(full[s] for s in range(16) if s & members == s)
        assert np.isfinite(table[members]) == (full[members] >= best - 3.0)
        gone += not np.isfinite(table[members])
    assert 0 < gone < 15


def test_fair_prior_gives_every_number_of_parents_the_same_chance() -> None:
    """Summed over the sets of a size, the prior is the same for every size."""
    seen = standardised(5, 100, 8)[1]
    fair, flat = score_of(seen, Prior.UNIT), score_of(seen, Prior.UNIT, fair=False)
    totals = [
        sum(math.exp(fair.local(0, p) - flat.local(0, p)) for p in combinations(range(1, 5), size))
        for size in range(5)
    ]
    np.testing.assert_allclose(totals, 1.0)


def test_too_few_samples_need_a_real_prior() -> None:
    """More columns than samples: the unit prior is refused, the isotropic one works."""
    data = np.random.default_rng(9).standard_normal((6, 8))
    seen = statistics_of(data, names_of(8))
    with pytest.raises(BadInput, match="isotropic"):
        score_of(seen, Prior.UNIT)
    assert math.isfinite(score_of(seen, Prior.ISOTROPIC).local(0, tuple(range(1, 8))))


def test_absurd_numbers_of_candidates_are_refused() -> None:
    """A table of 2^21 sets a node is not begun."""
    score = score_of(standardised(4, 30, 10)[1], Prior.UNIT)
    wide = np.full((1, 21), -1, np.int32)
    with pytest.raises(BadInput, match="at most 20"):
        parent_set_scores(
            score, wide, preference=np.zeros(wide.shape), required=np.zeros(1, np.int32)
        )
