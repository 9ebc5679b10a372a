"""The posterior over graphs: against summing over all graphs, and told when chains disagree."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from bge import exact_edge_probability
from linear_models import names_of, random_model, samples_of

from cellhive.causal.convergence import Convergence, edge_errors, effective_draws, r_hat
from cellhive.causal.graph import Edge, Knowledge, average_precision, is_acyclic
from cellhive.causal.posterior import Settings, best_graph, discover
from cellhive.causal.scores import Prior, score_of
from cellhive.causal.statistics import Statistics, statistics_of
from cellhive.core.errors import BadInput
from cellhive.core.types import Bools

LONG = Settings(starts=4, graphs=8000, betas=(1.0, 0.5))


def weak(nodes: int, seed: int, count: int = 60, lags: int = 0) -> Statistics:
    """Return statistics that leave much open."""
    rng = np.random.default_rng(seed)
    data = samples_of(random_model(nodes, 2.0, rng), count, rng)
    if lags:  # make what was a period ago matter
        for k in range(1, count):
            data[k] += 0.4 * np.roll(data[k - 1], 1)
    return statistics_of(data, names_of(nodes), lags=lags)


@pytest.mark.parametrize("prior", list(Prior))
def test_edge_probabilities_are_those_of_summing_over_all_graphs(prior: Prior) -> None:
    """Over the 29,281 graphs of five nodes; orders alone would be off by up to 0.14."""
    seen = weak(5, 21)
    exact = exact_edge_probability(5, score_of(seen, prior).local)
    found = discover(seen, np.random.default_rng(1), settings=replace(LONG, prior=prior))
    assert np.median(exact[exact > 0]) > 0.04
    np.testing.assert_allclose(found.edge_probability()[0], exact, atol=0.015)


def test_knowledge_changes_the_sum() -> None:
    """Tiers, required, forbidden and encouraged edges, against the sum over what is left."""
    seen = weak(4, 12)
    knowledge = Knowledge(
        tiers={"x0": 0, "x1": 0, "x2": 1, "x3": 1}, forbidden=[Edge("x0", "x3")],
        required=[Edge("x1", "x2")], encouraged={Edge("x2", "x3"): 1.5, Edge("x0", "x1"): -1.0},
    )  # fmt: skip
    score = score_of(seen, Prior.UNIT)
    odds = np.zeros((4, 4))
    odds[2, 3], odds[0, 1] = 1.5, -1.0

    def local(node: int, parents: tuple[int, ...]) -> float:
        return score.local(node, parents) + float(odds[list(parents), node].sum())

    def possible(edges: Bools) -> bool:
        return bool(edges[1, 2] and not edges[0, 3] and not edges[2:, :2].any())

    exact = exact_edge_probability(4, local, possible)
    found = discover(seen, np.random.default_rng(2), knowledge=knowledge, settings=LONG)
    np.testing.assert_allclose(found.edge_probability()[0], exact, atol=0.015)
    assert found.edge_probability()[0, 1, 2] == 1.0


def test_lagged_causes_stand_in_no_order() -> None:
    """Edges from a period ago and within the period, against the sum over both."""
    seen = weak(3, 13, count=80, lags=1)
    exact = exact_edge_probability(3, score_of(seen, Prior.UNIT).local, always=(3, 4, 5))
    found = discover(seen, np.random.default_rng(3), settings=LONG)
    probability = found.edge_probability()
    assert probability.shape == (2, 3, 3)
    np.testing.assert_allclose(probability.reshape(6, 3), exact, atol=0.015)


@pytest.mark.parametrize("lags", [0, 1])
def test_what_is_drawn_are_graphs(lags: int) -> None:
    """No drawn graph has a cycle, nor has the best one, and none beats the best."""
    found = discover(weak(8, 14, lags=lags), np.random.default_rng(4), settings=Settings(graphs=50))
    graphs = [found.graph(k) for k in range(100)]
    assert all(is_acyclic(graph[0]) for graph in [*graphs, found.best_graph()])
    np.testing.assert_allclose(np.mean(graphs, axis=0), found.edge_probability())
    score = score_of(found.statistics, found.prior)

    def value(graph: Bools) -> float:
        flat = graph.reshape(-1, 8)
        return sum(score.local(v, tuple(np.flatnonzero(flat[:, v]).tolist())) for v in range(8))

    np.testing.assert_allclose([value(g) for g in graphs], found.log_score, atol=0.01)
    assert value(found.best_graph()) >= found.log_score.max() - 0.01


def test_a_chance_is_its_seed_and_nothing_else() -> None:
    """The same seed gives the same posterior; nobody else's random numbers are touched."""
    seen = weak(6, 15)
    before = np.random.get_state()[1].copy()  # noqa: NPY002
    first, again, other = (
        discover(seen, np.random.default_rng(seed), settings=Settings(graphs=60))
        for seed in (5, 5, 6)
    )
    assert (first.chosen == again.chosen).all()
    assert first.convergence == again.convergence
    assert not (first.chosen == other.chosen).all()
    assert (np.random.get_state()[1] == before).all()  # noqa: NPY002


def test_true_edges_are_found() -> None:
    """Fifteen variables, a thousand samples: nearly every true edge ranks above every other."""
    rng = np.random.default_rng(16)
    model = random_model(15, 3.0, rng)
    seen = statistics_of(samples_of(model, 1000, rng), names_of(15))
    found = discover(seen, rng, settings=Settings(graphs=200))
    assert average_precision(found.edge_probability()[0], model != 0) > 0.9
    assert found.convergence.reached
    quick = best_graph(seen, rng)[0]
    assert (quick | quick.T).sum() == pytest.approx(2 * (model != 0).sum(), abs=3)


def test_more_variables_than_samples_are_answered() -> None:
    """Ten samples of twelve variables: every edge is uncertain, nothing breaks."""
    rng = np.random.default_rng(17)
    seen = statistics_of(rng.standard_normal((10, 12)), names_of(12))
    found = discover(seen, rng, settings=Settings(graphs=100))
    assert found.prior is Prior.ISOTROPIC
    assert found.edge_probability().max() < 0.9


def test_one_variable_has_no_causes() -> None:
    """A single variable has one graph; with a lag it may be its own cause."""
    rng = np.random.default_rng(18)
    data = np.zeros((200, 1))
    for k in range(1, 200):
        data[k] = 0.8 * data[k - 1] + rng.standard_normal(1)
    alone = discover(statistics_of(data, ["a"]), rng, settings=Settings(graphs=10))
    assert not alone.edge_probability().any()
    lagged = discover(statistics_of(data, ["a"], lags=1), rng, settings=Settings(graphs=10))
    assert lagged.edge_probability()[:, 0, 0].tolist() == [0.0, 1.0]


def test_more_required_causes_than_candidates_are_refused() -> None:
    """A variable cannot have five required causes among three candidates."""
    knowledge = Knowledge(required=[Edge(f"x{k}", "x5") for k in range(5)])
    with pytest.raises(BadInput, match="at most 3 required causes"):
        discover(
            weak(6, 19), np.random.default_rng(1), knowledge=knowledge,
            settings=Settings(candidates=3),
        )  # fmt: skip


def test_chains_that_disagree_are_told() -> None:
    """R-hat of equal chains is about 1, of chains around other values far above."""
    rng = np.random.default_rng(20)
    equal = rng.standard_normal((2, 1000))
    assert r_hat(equal) == pytest.approx(1.0, abs=0.01)
    assert r_hat(equal + np.array([[0.0], [3.0]])) > 1.5
    assert r_hat(np.ones((2, 10))) == 1.0
    assert r_hat(np.repeat([[1.0], [2.0]], 10, axis=1)) == np.inf
    assert effective_draws(equal) == pytest.approx(2000, rel=0.15)
    slow = np.zeros((2, 20_000))
    for k in range(1, 20_000):  # autoregression: (1 - 0.9) / (1 + 0.9) of the draws count
        slow[:, k] = 0.9 * slow[:, k - 1] + rng.standard_normal(2)
    assert effective_draws(slow) == pytest.approx(40_000 / 19, rel=0.2)
    bad = Convergence(1.4, 0.5, 0.2, 12.0, (0.5, 0.25), 0.01)
    assert not bad.reached
    assert replace(bad, r_hat=1.0).reached
    assert not replace(bad, r_hat=1.0, error=0.06).reached
    assert str(bad).startswith("NOT converged: R-hat 1.400")
    assert "50%, 25%" in str(bad)


def test_errors_of_edges_are_those_of_chance_where_chains_agree() -> None:
    """Ten thousand independent edges: chance makes no chain look held; errors are what they are."""
    rng = np.random.default_rng(21)
    draws = rng.random((4, 5, 50, 10_000)) < rng.random(10_000)
    share = draws.mean(axis=(0, 1, 2))
    errors = edge_errors(draws.mean(axis=2))
    exact = np.sqrt(share * (1 - share) / 1000)
    assert errors.max() < 0.03
    assert np.sqrt((errors**2).mean() / (exact**2).mean()) == pytest.approx(1.0, abs=0.02)


def test_chains_that_are_held_are_told_among_many_edges() -> None:
    """One edge in 2000 that chains hold at 0.4 and 0.8 has an error of 0.2, others of chance."""
    rng = np.random.default_rng(22)
    chance = np.full((4, 1, 1, 2000), 0.5)
    chance[:2, ..., 7], chance[2:, ..., 7] = 0.4, 0.8
    errors = edge_errors((rng.random((4, 5, 50, 2000)) < chance).mean(axis=2))
    assert errors[7] == pytest.approx(0.2, abs=0.04)
    assert np.delete(errors, 7).max() < 0.04
    assert edge_errors(np.zeros((4, 5, 3))).tolist() == [0.0, 0.0, 0.0]
    stuck = np.repeat([0.0, 0.0, 1.0, 1.0], 5).reshape(4, 5, 1)
    assert edge_errors(stuck).tolist() == [0.5]


def test_edges_that_data_do_not_direct_are_drawn_both_ways() -> None:
    """A tree without colliders: every node may come first, each with the same probability.

    A tree of n nodes has n such graphs; an edge points away from the larger side as often as
    that side has nodes. Relocations alone wander for hundreds of graphs on each side.
    """
    size, rng = 24, np.random.default_rng(23)
    model = np.zeros((size, size))
    for node in range(1, size):
        model[(node - 1) // 2, node] = 1.0
    seen = statistics_of(samples_of(model, 4000, rng), names_of(size))
    found = discover(seen, rng, settings=Settings(graphs=400, betas=(1.0, 0.6)))
    below = np.ones(size)
    for node in range(size - 1, 0, -1):
        below[(node - 1) // 2] += below[node]
    nodes = np.arange(1, size)
    back = found.edge_probability()[0][nodes, (nodes - 1) // 2]
    np.testing.assert_allclose(back, below[1:] / size, atol=0.09)
    assert found.convergence.reached
