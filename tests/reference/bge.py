"""Slow and obvious twins for causal graphs: a marginal likelihood by prediction, all DAGs.

The BGe score of a complete graph is the probability of the data under a normal-Wishart
prior. Here that is a product of predictions: each sample's Student t density given all
samples before it, with the prior updated one sample at a time (DeGroot 1970, section 9.10).
Nothing is shared with the closed form.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator
from functools import cache

import numpy as np
from scipy import stats

from cellhive.core.types import Bools, Floats


def sequential_log_likelihood(data: Floats, mean: Floats, scale: Floats, freedom: float) -> float:
    """Return the log probability of all data under a normal-Wishart prior.

    Args:
        data: (N, D).
        mean: Prior mean, worth one sample, (D,).
        scale: Prior scale matrix T of the Wishart, (D, D).
        freedom: Its degrees of freedom.
    """
    dimensions, total, worth = data.shape[1], 0.0, 1.0
    for sample in data:
        left = freedom - dimensions + 1.0
        shape = scale * (worth + 1.0) / (worth * left)
        total += float(stats.multivariate_t(mean, shape, df=left).logpdf(sample))
        apart = sample - mean
        scale = scale + worth / (worth + 1.0) * np.outer(apart, apart)
        mean = mean + apart / (worth + 1.0)
        worth += 1.0
        freedom += 1.0
    return total


def local_by_prediction(
    data: Floats, scale: Floats, freedom: float, node: int, parents: tuple[int, ...]
) -> float:
    """Return p(node and parents) / p(parents), each as a product of predictions.

    Args:
        data: Standardised, (N, D).
        scale: Prior scale matrix of all columns, (D, D).
        freedom: Degrees of freedom for all columns.
        node: Column that is explained.
        parents: Columns that explain it.
    """

    def joint(columns: list[int]) -> float:
        if not columns:
            return 0.0
        some = data[:, columns]
        less = freedom - data.shape[1] + len(columns)
        inner = scale[np.ix_(columns, columns)]
        return sequential_log_likelihood(some, some.mean(axis=0), inner, less)

    return joint([node, *parents]) - joint(list(parents))


@cache
def all_dags(nodes: int) -> tuple[Bools, ...]:
    """Return every directed acyclic graph over so many nodes, as truth values [cause, effect]."""
    return tuple(_dags(nodes))


def _dags(nodes: int) -> Iterator[Bools]:
    pairs = list(itertools.combinations(range(nodes), 2))
    for kinds in itertools.product(range(3), repeat=len(pairs)):
        edges = np.zeros((nodes, nodes), np.bool_)
        for (first, second), kind in zip(pairs, kinds, strict=True):
            if kind == 1:
                edges[first, second] = True
            elif kind == 2:
                edges[second, first] = True
        power = edges.astype(np.int64)
        walks = power.copy()
        for _ in range(nodes - 1):
            walks = walks @ power
        if not walks.any():  # no walk of as many steps as nodes: no cycle
            yield edges


def exact_edge_probability(
    nodes: int,
    local: Callable[[int, tuple[int, ...]], float],
    possible: Callable[[Bools], bool] = lambda edges: True,
    always: tuple[int, ...] = (),
) -> Floats:
    """Return the posterior probability of every edge by summing over all graphs.

    Args:
        nodes: How many.
        local: Score of a node and its parents.
        possible: Whether a graph counts.
        always: Columns that may be parents besides the nodes; every subset counts.

    Returns:
        (nodes + len(always), nodes).
    """
    extra = [tuple(s) for k in range(len(always) + 1) for s in itertools.combinations(always, k)]
    known: dict[tuple[int, tuple[int, ...]], tuple[float, Floats]] = {}

    def summed(node: int, parents: tuple[int, ...]) -> tuple[float, Floats]:
        if (node, parents) not in known:
            values = np.array([local(node, parents + more) for more in extra])
            top = float(values.max())
            weights = np.exp(values - top)
            shares = [
                sum(w for w, more in zip(weights, extra, strict=True) if column in more)
                for column in always
            ]
            total = float(weights.sum())
            known[node, parents] = top + math.log(total), np.array(shares) / total
        return known[node, parents]

    scores, graphs = [], []
    for edges in all_dags(nodes):
        if not possible(edges):
            continue
        parts = [summed(v, tuple(int(u) for u in np.flatnonzero(edges[:, v])))
                 for v in range(nodes)]  # fmt: skip
        scores.append(sum(score for score, _ in parts))
        shares = np.array([share for _, share in parts]).reshape(nodes, len(always)).T
        graphs.append(np.vstack([edges.astype(np.float64), shares]))
    weights = np.exp(np.array(scores) - max(scores))
    probability: Floats = np.tensordot(weights / weights.sum(), np.array(graphs), 1)
    return probability
