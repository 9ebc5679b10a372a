"""Moves of the sampler: what they keep up to date is what would be found anew."""

from __future__ import annotations

import math

import numpy as np
import pytest
from linear_models import names_of, random_model, samples_of

from cellhive.causal.graph import Knowledge, constraints_of
from cellhive.causal.growing import search_of
from cellhive.causal.order import grown_orders
from cellhive.causal.posterior import candidate_parents, problem_of
from cellhive.causal.sampling import Problem, State, exchange, run_moves, settle, turn_edges
from cellhive.causal.scores import Prior, score_of
from cellhive.causal.statistics import statistics_of

NODES = 12


def started(knowledge: Knowledge, most: int) -> tuple[Problem, State]:
    """Return scores of few samples, and two rungs with an order each."""
    rng = np.random.default_rng(3)
    seen = statistics_of(samples_of(random_model(NODES, 3.0, rng), 80, rng), names_of(NODES),
                         lags=1)  # fmt: skip
    known = constraints_of(knowledge, names_of(NODES), 1)
    score = score_of(seen, Prior.UNIT)
    search = search_of(
        score, NODES, allowed=known.allowed, required=known.required, tiers=known.tiers
    )
    values, orders, graphs = grown_orders(search, 2, rng)
    candidates = candidate_parents(score, known, values, graphs, most)
    problem = problem_of(score, known, candidates, search)
    place, possible, chosen, start = (np.zeros((2, NODES), np.int32) for _ in range(4))
    state = State(
        orders, place, possible, chosen, np.zeros((2, 2)), start, np.arange(2, dtype=np.uint64)
    )
    for rung in range(2):
        settle(problem, state, rung)
    return problem, state


def parents_in_order(problem: Problem, node: int, members: int) -> list[int]:
    """Return the nodes of a set of candidates, without lagged columns."""
    held = [c for k, c in enumerate(problem.candidates[node]) if members >> k & 1]
    return [int(c) for c in held if c < NODES]


def check(problem: Problem, state: State, rung: int) -> None:
    """Compare a rung with what its order and its graph alone say."""
    order = [int(v) for v in state.order[rung]]
    assert sorted(order) == list(range(NODES))
    assert [order[k] for k in state.place[rung]] == list(range(NODES))
    total, log_order = 0.0, 0.0
    for node in range(NODES):
        before = set(order[: state.place[rung, node]])
        possible = sum(
            1 << k for k, c in enumerate(problem.candidates[node])
            if c >= NODES or (c >= 0 and int(c) in before)
        )  # fmt: skip
        chosen = int(state.chosen[rung, node])
        assert state.possible[rung, node] == possible
        assert chosen & ~possible == 0
        total += float(problem.sums[node, possible])
    placed: set[int] = set()
    for k, node in enumerate(order):
        ready = [
            v for v in range(NODES)
            if v not in placed and problem.low[v] <= k
            and set(parents_in_order(problem, v, int(state.chosen[rung, v]))) <= placed
        ]  # fmt: skip
        assert node in ready
        log_order -= math.log(len(ready))
        placed.add(node)
    assert state.fit[rung, 0] == pytest.approx(total, abs=1e-3)
    assert state.fit[rung, 1] == pytest.approx(log_order)


@pytest.mark.parametrize("most", [3, 7])
@pytest.mark.parametrize("tiers", [{}, {"x1": 0, "x4": 0, "x7": 2}])
def test_what_moves_keep_is_what_would_be_found_anew(most: int, tiers: dict[str, int]) -> None:
    """Places, sets that are possible, and both parts of the target, after every few moves."""
    named = {name: tiers.get(name, 1) for name in names_of(NODES)} if tiers else {}
    problem, state = started(Knowledge(tiers=named), most)
    swaps, moved = np.zeros(2), 0
    for _ in range(60):
        for rung, beta in enumerate((1.0, 0.5)):
            before = state.order[rung].copy()
            run_moves(problem, state, rung, beta, 7)
            moved += int((before != state.order[rung]).any())
        for rung in range(2):
            check(problem, state, rung)
        turn_edges(problem, state, 0, 10)
        exchange(state, np.array([1.0, 0.5]), swaps)
        for rung in range(2):
            check(problem, state, rung)
    assert moved > 60
    assert swaps[0] > 0
