"""Graphs, what is known beforehand, equivalence classes, and comparisons."""

from __future__ import annotations

import numpy as np
import pytest
from bge import all_dags

from cellhive.causal.graph import (
    Edge,
    Knowledge,
    average_precision,
    constraints_of,
    equivalence_class,
    is_acyclic,
    reached,
    structural_distance,
    topological_order,
)
from cellhive.core.errors import BadInput, NotFound
from cellhive.core.types import Bools

NAMES = ("tilt", "signal", "load", "drops")


def edges_of(nodes: int, *pairs: tuple[int, int]) -> Bools:
    """Return a graph within a period with these edges."""
    edges = np.zeros((1, nodes, nodes), np.bool_)
    for cause, effect in pairs:
        edges[0, cause, effect] = True
    return edges


def test_tiers_forbid_within_a_period_only_unless_told() -> None:
    """Parameters that follow what was seen a period ago are possible causes' effects."""
    tiers = {"tilt": 0, "signal": 1, "load": 2, "drops": 3}
    free = constraints_of(Knowledge(tiers=tiers), NAMES, 1)
    assert free.allowed[0, 3]
    assert not free.allowed[3, 0]
    assert free.allowed[4 + 3, 0]
    assert not free.allowed[:4].diagonal().any()
    assert free.allowed[4:].diagonal().all()
    bound = constraints_of(Knowledge(tiers=tiers, tiers_bind_lags=True), NAMES, 1)
    assert not bound.allowed[4 + 3, 0]
    assert bound.allowed[4 + 0, 3]


def test_edges_hold_at_the_lags_they_name() -> None:
    """Without a lag a forbidden edge is forbidden at all, and a required one is at lag 0."""
    known = constraints_of(
        Knowledge(
            forbidden=[Edge("tilt", "load"), Edge("load", "load", 1)],
            required=[Edge("signal", "drops"), Edge("drops", "drops", 1)],
            encouraged={Edge("load", "drops", 0): 2.0, Edge("load", "drops"): 1.0},
        ),
        NAMES, 1,
    )  # fmt: skip
    assert not known.allowed[[0, 4], 2].any()
    assert not known.allowed[4 + 2, 2]
    assert np.argwhere(known.required).tolist() == [[1, 3], [7, 3]]
    assert known.preference[2, 3] == 3.0
    assert known.preference[4 + 2, 3] == 1.0
    assert known.preference.sum() == 4.0


@pytest.mark.parametrize(
    ("knowledge", "error", "found"),
    [
        (Knowledge(tiers={"tlit": 0}), NotFound, "tlit"),
        (Knowledge(forbidden=[Edge("tilt", "moon")]), NotFound, "moon"),
        (Knowledge(required=[Edge("tilt", "load", 2)]), BadInput, "0 to 1"),
        (
            Knowledge(required=[Edge("tilt", "load"), Edge("load", "tilt")]),
            BadInput, "a cycle through tilt, load",
        ),
        (Knowledge(required=[Edge("tilt", "tilt")]), BadInput, "'tilt' -> 'tilt'"),
        (
            Knowledge(tiers={"load": 0, "tilt": 1}, required=[Edge("tilt", "load")]),
            BadInput, "'tilt' -> 'load'",
        ),
    ],
)  # fmt: skip
def test_contradictions_are_refused(
    knowledge: Knowledge, error: type[Exception], found: str
) -> None:
    """Unknown names, impossible lags, cycles and clashes are named."""
    with pytest.raises(error, match=found):
        constraints_of(knowledge, NAMES, 1)


def test_paths_orders_and_cycles() -> None:
    """A path is followed to its end, an order puts causes first, a cycle is found."""
    chain = edges_of(4, (2, 0), (0, 3), (3, 1))[0]
    assert reached(chain)[2].tolist() == [True, True, False, True]
    assert topological_order(chain).tolist() == [2, 0, 3, 1]
    assert is_acyclic(chain)
    chain[1, 2] = True
    assert not is_acyclic(chain)
    with pytest.raises(BadInput, match="cycle"):
        topological_order(chain)


def signature(edges: Bools) -> bytes:
    """Return skeleton and unshielded colliders, which say what class a graph is of."""
    nodes = len(edges)
    joined = edges | edges.T
    colliders = [
        (a, c, b) for c in range(nodes) for a in range(nodes) for b in range(a)
        if edges[a, c] and edges[b, c] and not joined[a, b]
    ]  # fmt: skip
    return joined.tobytes() + repr(sorted(colliders)).encode()


def test_equivalence_classes_of_all_graphs_of_four_nodes() -> None:
    """An edge is directed in the class exactly if all its 543 members' graphs agree on it."""
    classes: dict[bytes, list[Bools]] = {}
    graphs = all_dags(4)
    for edges in graphs:
        classes.setdefault(signature(edges), []).append(edges)
    assert (len(graphs), len(classes)) == (543, 185)
    for members in classes.values():
        common = np.logical_and.reduce(members)
        either = np.logical_or.reduce(members) & ~common
        for edges in members[:3]:
            found = equivalence_class(NAMES, edges[None])
            assert (found.directed[0] == common).all()
            assert (found.undirected == (either & either.T)).all()


def test_knowledge_directs_edges_and_what_follows_from_them() -> None:
    """Tiers direct an edge of a chain, and with it the rest of the chain."""
    chain = edges_of(4, (0, 1), (1, 2), (2, 3))
    assert equivalence_class(NAMES, chain).undirected.sum() == 6
    known = constraints_of(Knowledge(forbidden=[Edge("signal", "tilt")]), NAMES, 0)
    found = equivalence_class(NAMES, chain, known)
    assert (found.directed == chain).all()
    assert not found.undirected.any()
    required = constraints_of(Knowledge(required=[Edge("signal", "load")]), NAMES, 0)
    half = equivalence_class(NAMES, chain, required)
    assert np.argwhere(half.directed[0]).tolist() == [[1, 2], [2, 3]]
    assert np.argwhere(half.undirected).tolist() == [[0, 1], [1, 0]]


def test_an_earlier_period_directs_what_it_touches() -> None:
    """x yesterday -> x, x - y: y is not joined with yesterday's x, so x -> y."""
    edges = np.zeros((2, 2, 2), np.bool_)
    edges[1, 0, 0] = edges[0, 0, 1] = True
    found = equivalence_class(("x", "y"), edges)
    assert (found.directed == edges).all()
    assert not found.undirected.any()


def test_distance_counts_pairs() -> None:
    """Missing, extra and reversed edges count once each."""
    truth = edges_of(4, (0, 1), (1, 2), (2, 3))
    other = edges_of(4, (1, 0), (1, 2), (0, 3))
    assert structural_distance(other, truth) == 3
    lagged = np.concatenate([truth, truth])
    assert structural_distance(lagged, np.concatenate([other, other])) == 3 + 4


def test_average_precision_by_hand() -> None:
    """Hits at ranks 1 and 3: (1 + 2/3) / 2; ties are one threshold; no edges give 0."""
    truth = np.array([True, False, True, False])
    assert average_precision(np.array([0.9, 0.8, 0.7, 0.1]), truth) == pytest.approx(5 / 6)
    assert average_precision(np.array([0.5, 0.5, 0.5, 0.5]), truth) == pytest.approx(0.5)
    assert average_precision(np.array([0.5, 0.1]), np.array([False, False])) == 0.0
