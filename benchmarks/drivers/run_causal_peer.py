"""Runs one peer on one data set: edge scores and total effects into a file, its time to stdout.

A class of graphs gives 1 to directed and ½ to each direction of undirected edges; effects come
from least squares along one graph of the class.
"""

from __future__ import annotations

import json
import sys
import warnings
from time import process_time
from typing import Any

import lingam
import numpy as np
import numpy.typing as npt
from causallearn.search.ConstraintBased.PC import pc as pc_search
from causallearn.search.PermutationBased.BOSS import boss as boss_search
from causallearn.search.PermutationBased.GRaSP import grasp as grasp_search
from causallearn.search.ScoreBased.GES import ges as ges_search
from causallearn.utils.PDAG2DAG import pdag2dag

warnings.simplefilter("ignore")

Floats = npt.NDArray[Any]


def effects_of(edges: Floats, data: Floats) -> Floats:
    """Return total effects along a graph [cause, effect], coefficients by least squares."""
    size = len(edges)
    covariance = np.cov(data.T)
    weights = np.zeros((size, size))
    for node in range(size):
        parents = np.flatnonzero(edges[:, node])
        if len(parents):
            inner = covariance[np.ix_(parents, parents)]
            weights[parents, node] = np.linalg.solve(inner, covariance[parents, node])
    total: Floats = np.linalg.inv(np.eye(size) - weights) - np.eye(size)
    return total


def of_class(graph: Any, data: Floats) -> tuple[Floats, Floats]:
    """Return edge scores and effects of causal-learn's graph of a class."""

    def arrows(matrix: Floats) -> Floats:
        pointed: Floats = (matrix == -1) & (matrix.T == 1)
        return pointed

    matrix = graph.graph
    directed = arrows(matrix)
    undirected = ((matrix == -1) & (matrix.T == -1)) | ((matrix == 1) & (matrix.T == 1))
    return directed + 0.5 * undirected, effects_of(arrows(pdag2dag(graph).graph), data)


def boss(data: Floats) -> tuple[Floats, Floats]:
    """Run causal-learn's BOSS with BIC."""
    return of_class(boss_search(data, score_func="local_score_BIC_from_cov", verbose=False), data)


def grasp(data: Floats) -> tuple[Floats, Floats]:
    """Run causal-learn's GRaSP with BIC."""
    return of_class(grasp_search(data, score_func="local_score_BIC_from_cov", verbose=False), data)


def ges(data: Floats) -> tuple[Floats, Floats]:
    """Run causal-learn's GES with BIC."""
    return of_class(ges_search(data, score_func="local_score_BIC_from_cov")["G"], data)


def pc(data: Floats) -> tuple[Floats, Floats]:
    """Run causal-learn's PC with Fisher's z at 1 %.

    Its graph may have no extension without cycles, on which ``pdag2dag`` never ends: what is
    undirected points to the later column for effects.
    """
    matrix = pc_search(data, alpha=0.01, show_progress=False).G.graph
    directed = (matrix == -1) & (matrix.T == 1)
    undirected = (matrix == matrix.T) & (matrix != 0)
    scores = directed + 0.5 * undirected
    return scores, effects_of(directed | np.triu(undirected), data)


def direct_lingam(data: Floats) -> tuple[Floats, Floats]:
    """Run DirectLiNGAM, made for noise that is not Gaussian."""
    model = lingam.DirectLiNGAM()
    model.fit(data)
    weights = model.adjacency_matrix_.T
    size = len(weights)
    return np.abs(weights), np.linalg.inv(np.eye(size) - weights) - np.eye(size)


def main() -> None:
    """Run a peer on a file of samples, write its answers to another."""
    name, source, target = sys.argv[1:]
    run = {f.__name__: f for f in (boss, grasp, ges, pc, direct_lingam)}[name]
    data = np.load(source)
    run(data[:200, :5])  # whatever is made the first time
    np.random.seed(1)  # noqa: NPY002  # the peers know no other source of chance
    begin = process_time()
    scores, effects = run(data)
    used = process_time() - begin
    np.savez(target, scores=scores, effects=effects)
    print(json.dumps({"cpu_s": used}))


if __name__ == "__main__":
    main()
