"""Orders found by relocation: paths are what growing anew gives, no move is left to make."""

from __future__ import annotations

import numpy as np
import pytest
from linear_models import names_of, random_model, samples_of

from cellhive.causal import growing
from cellhive.causal.graph import Edge, Knowledge, constraints_of
from cellhive.causal.growing import Search, search_of
from cellhive.causal.order import grown_orders, random_order
from cellhive.causal.scores import Prior, Score, score_of
from cellhive.causal.statistics import statistics_of
from cellhive.core.types import Bools, Ints


def problem(
    nodes: int, count: int, seed: int, knowledge: Knowledge | None = None, lags: int = 0
) -> tuple[Score, Search, Bools]:
    """Return a score, a search with it, and the graph that the data come from."""
    rng = np.random.default_rng(seed)
    model = random_model(nodes, 3.0, rng)
    seen = statistics_of(samples_of(model, count, rng), names_of(nodes), lags=lags)
    known = constraints_of(knowledge or Knowledge(), names_of(nodes), lags)
    score = score_of(seen, Prior.UNIT)
    search = search_of(
        score, nodes, allowed=known.allowed, required=known.required, tiers=known.tiers
    )
    return score, search, model != 0


def grow_shrink(score: Score, search: Search, node: int, reach: list[int]) -> tuple[float, set]:
    """Return score and parents of a node, growing and shrinking with plain scores."""
    allowed = [c for c in reach if search.allowed[c, node]]
    parents: list[int] = [c for c in allowed if search.required[c, node]]
    forced = set(parents)
    value = score.local(node, tuple(parents))
    while len(parents) < len(allowed):
        options = [(score.local(node, (*parents, c)), c) for c in allowed if c not in parents]
        best, column = max(options)
        if best <= value:
            break
        value = best
        parents.append(column)
    while set(parents) - forced:
        options = [
            (score.local(node, tuple(p for p in parents if p != c)), c)
            for c in parents if c not in forced
        ]  # fmt: skip
        best, column = max(options)
        if best < value:
            break
        value = best
        parents.remove(column)
    return value, set(parents)


def total(score: Score, search: Search, order: Ints) -> float:
    """Return the score of the graph of an order."""
    nodes, columns = len(order), len(score.matrix)
    lagged = list(range(nodes, columns))
    return sum(
        grow_shrink(score, search, int(v), lagged + [int(u) for u in order[:k]])[0]
        for k, v in enumerate(order)
    )


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("lags", [0, 1])
def test_no_relocation_improves_what_was_found(seed: int, lags: int) -> None:
    """The slow twin grows every node anew for every order one move away, and finds none better."""
    score, search, _ = problem(7, 150, seed, lags=lags)
    values, orders, graphs = grown_orders(search, 2, np.random.default_rng(seed))
    for order, graph in zip(orders, graphs, strict=True):
        reached = total(score, search, order)
        for at in range(7):
            for to in range(7):
                moved = np.insert(np.delete(order, at), to, order[at])
                assert total(score, search, moved) <= reached + 1e-6
        for k, node in enumerate(order):
            reach = [*range(7, 7 * (lags + 1)), *(int(u) for u in order[:k])]
            expected = grow_shrink(score, search, int(node), reach)[1]
            assert set(np.flatnonzero(graph[:, node]).tolist()) == expected
    apart = [total(score, search, order) for order in orders]
    assert values[0] - values[1] == pytest.approx(apart[0] - apart[1])


def test_searches_that_forget_what_has_grown_find_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Trees that have to be grown anew in every trial lead to the same graphs."""
    _, search, _ = problem(9, 300, 5, lags=1)
    kept = grown_orders(search, 3, np.random.default_rng(0))
    monkeypatch.setattr(growing, "_SPARE_FORKS", 0)
    monkeypatch.setattr(growing, "_SPARE_OPTIONS", 0)
    anew = grown_orders(search, 3, np.random.default_rng(0))
    for mine, other in zip(kept, anew, strict=True):
        assert (mine == other).all()


def test_strong_data_give_the_true_graph() -> None:
    """With many samples and known tiers the graph is the one the data come from."""
    rng = np.random.default_rng(7)
    model = random_model(15, 3.0, rng)
    depth = np.zeros(15, int)
    for _ in range(15):
        depth = np.array([1 + max((depth[u] for u in np.flatnonzero(model[:, v])), default=-1)
                          for v in range(15)])  # fmt: skip
    tiers = {f"x{v}": int(depth[v]) for v in range(15)}
    seen = statistics_of(samples_of(model, 4000, rng), names_of(15))
    known = constraints_of(Knowledge(tiers=tiers), names_of(15), 0)
    search = search_of(
        score_of(seen, Prior.UNIT), 15,
        allowed=known.allowed, required=known.required, tiers=known.tiers,
    )  # fmt: skip
    _, orders, graphs = grown_orders(search, 1, rng)
    assert (graphs[0] == (model != 0)).all()
    assert (np.diff(depth[orders[0]]) >= 0).all()


def test_required_and_forbidden_edges_are_kept() -> None:
    """Edges that must be are there although the data know nothing of them, in every start."""
    knowledge = Knowledge(
        required=[Edge("x5", "x0"), Edge("x0", "x3")], forbidden=[Edge("x1", "x2")]
    )
    _, search, _ = problem(8, 100, 3, knowledge)
    _, orders, graphs = grown_orders(search, 5, np.random.default_rng(1))
    assert graphs[:, 5, 0].all()
    assert graphs[:, 0, 3].all()
    assert not graphs[:, 1, 2].any()
    place = np.argsort(orders, axis=1)
    assert (place[:, 5] < place[:, 0]).all()
    assert (place[:, 0] < place[:, 3]).all()
    drawn = np.argsort([random_order(search, np.random.default_rng(k)) for k in range(20)], axis=1)
    assert (drawn[:, 5] < drawn[:, 0]).all()
