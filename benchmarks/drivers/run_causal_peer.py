"""Runs one peer on data sets: edge scores, total effects and its time into a file for each.

A class of graphs gives 1 to directed and ½ to each direction of undirected edges. Effects are
least squares along a graph, and their mean over graphs drawn from the class (as IDA lists
them: Maathuis and others 2009); the time is that of the search alone.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from time import process_time
from typing import Any

import lingam
import numpy as np
import numpy.typing as npt
import pandas as pd
from causallearn.search.ConstraintBased.PC import pc as pc_search
from causallearn.search.PermutationBased.BOSS import boss as boss_search
from causallearn.search.PermutationBased.GRaSP import grasp as grasp_search
from causallearn.search.ScoreBased.GES import ges as ges_search
from causallearn.utils.PDAG2DAG import pdag2dag
from graph_class import drawn_from_class, effects_of

warnings.simplefilter("ignore")

Floats = npt.NDArray[Any]
Answer = Callable[[], tuple[Floats, Floats]]
"""Makes edge scores and effects of what was found."""


def of_class(graph: Any, data: Floats) -> tuple[Floats, Floats]:
    """Return edge scores and effects of causal-learn's graph of a class."""

    def arrows(matrix: Floats) -> Floats:
        pointed: Floats = (matrix == -1) & (matrix.T == 1)
        return pointed

    matrix = graph.graph
    directed = arrows(matrix)
    undirected = ((matrix == -1) & (matrix.T == -1)) | ((matrix == 1) & (matrix.T == 1))
    graphs = drawn_from_class(arrows(pdag2dag(graph).graph), np.random.default_rng(1))
    effects = np.mean([effects_of(one, data) for one in graphs], axis=0)
    return directed + 0.5 * undirected, effects


def boss(data: Floats) -> Answer:
    """Run causal-learn's BOSS with BIC."""
    graph = boss_search(data, score_func="local_score_BIC_from_cov", verbose=False)
    return lambda: of_class(graph, data)


def grasp(data: Floats) -> Answer:
    """Run causal-learn's GRaSP with BIC."""
    graph = grasp_search(data, score_func="local_score_BIC_from_cov", verbose=False)
    return lambda: of_class(graph, data)


def ges(data: Floats) -> Answer:
    """Run causal-learn's GES with BIC."""
    graph = ges_search(data, score_func="local_score_BIC_from_cov")["G"]
    return lambda: of_class(graph, data)


def hill_climbing(data: Floats) -> Answer:
    """Run pgmpy's hill climbing with BIC and its defaults; its class is that of its graph."""
    from pgmpy.causal_discovery import HillClimbSearch  # noqa: PLC0415  # seconds to import

    size = data.shape[1]
    search = HillClimbSearch(scoring_method="bic-g", return_type="dag", show_progress=False)
    search.fit(pd.DataFrame(data, columns=[f"x{k}" for k in range(size)]))

    def answer() -> tuple[Floats, Floats]:
        edges = np.zeros((size, size), bool)
        for cause, effect in search.causal_graph_.edges():
            edges[int(cause[1:]), int(effect[1:])] = True
        graphs = drawn_from_class(edges, np.random.default_rng(1))
        scores: Floats = np.mean(graphs, axis=0)
        return scores, np.mean([effects_of(one, data) for one in graphs], axis=0)

    return answer


def pc(data: Floats) -> Answer:
    """Run causal-learn's PC with Fisher's z at 1 %.

    Its graph may have no extension without cycles, on which ``pdag2dag`` never ends: what is
    undirected points to the later column for effects.
    """
    matrix = pc_search(data, alpha=0.01, show_progress=False).G.graph
    directed = (matrix == -1) & (matrix.T == 1)
    undirected = (matrix == matrix.T) & (matrix != 0)
    scores = directed + 0.5 * undirected
    return lambda: (scores, effects_of(directed | np.triu(undirected), data))


def direct_lingam(data: Floats) -> Answer:
    """Run DirectLiNGAM, made for noise that is not Gaussian."""
    model = lingam.DirectLiNGAM()
    model.fit(data)
    weights = model.adjacency_matrix_.T
    size = len(weights)
    effects = np.linalg.inv(np.eye(size) - weights) - np.eye(size)
    return lambda: (np.abs(weights), effects)


def main() -> None:
    """Run a peer on the samples of a folder, one after another, until its time is used."""
    name, folder, budget_s = sys.argv[1:]
    run = {f.__name__: f for f in (boss, grasp, ges, pc, direct_lingam, hill_climbing)}[name]
    which, used = 0, 0.0
    while (source := Path(folder) / f"{which}.npy").exists() and used < float(budget_s):
        data = np.load(source)
        if which == 0:
            run(data[:200, :5])  # whatever is made the first time
        np.random.seed(1)  # noqa: NPY002  # the peers know no other source of chance
        begin = process_time()
        answer = run(data)
        cpu_s = process_time() - begin
        scores, effects = answer()
        draft = source.with_suffix(".part.npz")
        np.savez(draft, scores=scores, effects=effects, cpu_s=cpu_s)
        draft.rename(source.with_suffix(".npz"))
        which, used = which + 1, used + cpu_s


if __name__ == "__main__":
    main()
