"""The posterior over causal graphs: edge probabilities, graphs drawn from it, the best one.

Statistics and knowledge go in. Searches over orders find good graphs, these name the
candidate parents of every node, tables hold the score of every set of candidates, and
tempered chains draw graphs with their posterior probability (``sampling``: there is no
order bias to correct). What limits it is said beside the result: parents outside the
candidates have no probability, and chains that disagree have not converged.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from cellhive.causal.convergence import Convergence, convergence_of, edge_shares
from cellhive.causal.graph import Constraints, Knowledge, constraints_of
from cellhive.causal.growing import Search, search_of
from cellhive.causal.order import grown_orders
from cellhive.causal.sampling import Problem, State, draw_graphs, near_of, settle
from cellhive.causal.scores import (
    Prior,
    Score,
    best_subsets,
    parent_set_scores,
    restrict,
    score_of,
    subset_sums,
)
from cellhive.causal.statistics import Statistics
from cellhive.core.errors import BadInput
from cellhive.core.types import Bools, Floats, Ints

Tabulate = Callable[[Score, Ints, Floats], Floats]
"""From the score of straight lines, candidates and preferences to scores of sets, (V, 2^K)."""

_SHARE_BY_SCORE = 30.0
_EDGE_WEIGHT = 10.0
_CANDIDATES = 12
_FEWEST_MOVES = 60
_KEPT_ORDERS = 300.0
_DIFFERENT = 1e-6
_FEWEST_GRAPHS = 4
"""Kept of a chain, so that its halves can be compared."""


@dataclass(frozen=True)
class Settings:
    """How hard to look."""

    prior: Prior | None = None
    """None: ``UNIT`` where there are clearly more samples than columns, else ``ISOTROPIC``."""
    starts: int | None = None
    """Random orders to search from; None: fewer the more variables there are."""
    candidates: int | None = None
    """Candidate parents of a node; None: as many as a cache likes."""
    chains: int = 2
    graphs: int = 500
    """Graphs that each chain keeps."""
    moves_per_node: float = 1.5
    """Moves between two kept graphs, per variable and rung; at least 60 on each rung."""
    burn_in: float = 0.4
    """Moves before the first kept graph, as a share of those after it."""
    betas: tuple[float, ...] = (1.0, 0.7, 0.45)
    """Temperatures of a chain's rungs, the posterior first."""


@dataclass(frozen=True)
class Posterior:
    """Graphs drawn with their probability given the data; M graphs, V variables, K candidates."""

    statistics: Statistics
    constraints: Constraints
    prior: Prior
    candidates: Ints
    """Column of each candidate parent, -1 behind the last, (V, K)."""
    chosen: Ints
    """Parents of each variable in each graph, as a set of candidates, (M, V)."""
    log_score: Floats
    """Log of the unnormalised posterior probability of each graph, (M,)."""
    best_chosen: Ints
    """Parents of each variable in the best graph seen, (V,)."""
    convergence: Convergence

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the variables."""
        return self.statistics.names

    def edge_probability(self) -> Floats:
        """Return the probability of every edge, [lag, cause, effect]."""
        size, columns = self.statistics.variables, self.statistics.columns
        probability = edge_shares(self.chosen, self.candidates, columns)
        return probability.reshape(self.statistics.lags + 1, size, size)

    def graph(self, which: int) -> Bools:
        """Return one of the graphs, [lag, cause, effect]."""
        return self._edges(self.chosen[which])

    def best_graph(self) -> Bools:
        """Return the most probable graph seen (MAP), [lag, cause, effect]."""
        return self._edges(self.best_chosen)

    def _edges(self, chosen: Ints) -> Bools:
        size, columns = self.statistics.variables, self.statistics.columns
        share = edge_shares(chosen[None, :], self.candidates, columns)
        edges: Bools = (share > 0).reshape(self.statistics.lags + 1, size, size)
        return edges


@dataclass(frozen=True)
class Trail:
    """Where a search for a posterior ended: a later one on similar statistics goes on from it."""

    orders: Ints
    """Best orders found that differ in score, best first; fewer of more variables, (S, V)."""
    ends: Ints
    """Order of each chain and rung at the end, (C, R, V)."""
    joined: Bools
    """Edges that any drawn graph had, (D, V)."""


def discover(
    statistics: Statistics,
    generator: np.random.Generator,
    *,
    knowledge: Knowledge | None = None,
    settings: Settings | None = None,
    tabulate: Tabulate | None = None,
) -> Posterior:
    """Return the posterior over causal graphs.

    Args:
        statistics: Of the variables and their lags.
        generator: Where chance comes from: the same state gives the same posterior.
        knowledge: What is known beforehand.
        settings: How hard to look.
        tabulate: Scores of sets of parents; None for those of straight lines. Orders to start
            from and candidates are those of straight lines in any case.
    """
    asked = settings or Settings()
    known = constraints_of(knowledge or Knowledge(), statistics.names, statistics.lags)
    return explored(statistics, known, generator, settings=asked, tabulate=tabulate)[0]


def explored(
    statistics: Statistics,
    known: Constraints,
    generator: np.random.Generator,
    *,
    settings: Settings,
    trail: Trail | None = None,
    tabulate: Tabulate | None = None,
) -> tuple[Posterior, Trail]:
    """Return the posterior, and where the search for it ended.

    With a trail from statistics that were much the same, searches begin at its orders too,
    what its graphs joined stays among the candidates, and of the chains all but the first
    go on where they were; the first begins at the best orders anew, so that chains which
    agree do not agree by descent alone.

    Args:
        statistics: Of the variables and their lags.
        known: What is known beforehand.
        generator: Where chance comes from.
        settings: How hard to look; its starts are in addition to those of the trail, and may
            then be 0.
        trail: Where an earlier search ended.
        tabulate: As for ``discover``.
    """
    score, search, prior = _prepared(statistics, known, settings)
    usual = _starts(statistics.variables)
    starts = usual if settings.starts is None else settings.starts
    if trail is None:
        starts = starts or usual
    begin = None if trail is None else trail.orders
    values, orders, graphs = grown_orders(search, starts, generator, begin=begin)
    most = _candidates(statistics, settings)
    if trail is None:
        candidates = candidate_parents(score, known, values, graphs, most)
    else:
        worst = values[-1] - 3.0 * _SHARE_BY_SCORE
        candidates = candidate_parents(
            score,
            known,
            np.append(values, worst),
            np.concatenate([graphs, trail.joined[None]]),
            most,
        )
    problem = problem_of(score, known, candidates, search, tabulate)
    drawn = _draw(
        problem, np.array(settings.betas), _begins(orders, settings, trail), generator, settings
    )
    best = _best(problem, candidates, drawn.chosen, drawn.trace, graphs)
    columns = statistics.columns
    chosen = drawn.chosen.reshape(-1, statistics.variables)
    posterior = Posterior(
        statistics, known, prior, candidates, chosen, drawn.trace.reshape(-1), best,
        convergence_of(drawn.chosen, drawn.trace, drawn.exchanged, candidates, columns),
    )  # fmt: skip
    joined = edge_shares(chosen, candidates, columns) > 0.0
    different = np.append(True, -np.diff(values) > _DIFFERENT)  # alike: equivalent graphs
    few = int(np.clip(round(_KEPT_ORDERS / statistics.variables), 2, 10))
    return posterior, Trail(orders[different][:few], drawn.ends, joined)


def best_graph(
    statistics: Statistics,
    generator: np.random.Generator,
    *,
    knowledge: Knowledge | None = None,
    settings: Settings | None = None,
) -> Bools:
    """Return the best graph that searches over orders find, [lag, cause, effect].

    Quicker than a posterior, and silent about how sure it is.

    Args:
        statistics: Of the variables and their lags.
        generator: Where random starts come from.
        knowledge: What is known beforehand; preferences among edges are not used.
        settings: How hard to look.
    """
    asked = settings or Settings()
    known = constraints_of(knowledge or Knowledge(), statistics.names, statistics.lags)
    _, search, _ = _prepared(statistics, known, asked)
    _, _, graphs = grown_orders(search, asked.starts or _starts(statistics.variables), generator)
    size = statistics.variables
    edges: Bools = graphs[0].reshape(statistics.lags + 1, size, size)
    return edges


def _prepared(
    statistics: Statistics, known: Constraints, asked: Settings
) -> tuple[Score, Search, Prior]:
    _refuse_settings(asked)
    enough = statistics.weight > 2.0 * statistics.columns + 10.0
    prior = asked.prior or (Prior.UNIT if enough else Prior.ISOTROPIC)
    score = score_of(statistics, prior)
    search = search_of(
        score, statistics.variables,
        allowed=known.allowed, required=known.required, tiers=known.tiers,
    )  # fmt: skip
    return score, search, prior


def _refuse_settings(asked: Settings) -> None:
    """Refuse settings that no chain can follow."""
    betas = asked.betas
    rules = (
        (asked.chains >= 1, f"at least 1 chain, found {asked.chains}"),
        (asked.graphs >= _FEWEST_GRAPHS, f"{_FEWEST_GRAPHS} graphs or more, found {asked.graphs}"),
        (asked.starts is None or asked.starts >= 0, f"0 starts or more, found {asked.starts}"),
        (asked.candidates is None or asked.candidates >= 1,
         f"at least 1 candidate, found {asked.candidates}"),
        (0.0 <= asked.moves_per_node < np.inf, f"moves of 0 or more, found {asked.moves_per_node}"),
        (0.0 <= asked.burn_in < np.inf, f"a burn-in of 0 or more, found {asked.burn_in}"),
        (bool(betas) and betas[0] == 1.0 and all(0.0 < beta <= 1.0 for beta in betas),
         f"betas from 1 down to above 0, found {betas}"),
    )  # fmt: skip
    wrong = [words for holds, words in rules if not holds]
    if wrong:
        expected, _, found = wrong[0].partition(", found ")
        raise BadInput(expected=expected, found=found, place="settings")


def _starts(variables: int) -> int:
    return int(np.clip(round(600 / max(variables, 1)), 6, 30))


def _candidates(statistics: Statistics, asked: Settings) -> int:
    most = statistics.columns - 1
    if asked.candidates is not None:
        return min(asked.candidates, most)
    return min(_CANDIDATES, most)


# ------------------------------------------------------------------ candidates and tables


def candidate_parents(
    score: Score, known: Constraints, values: Floats, graphs: Bools, most: int
) -> Ints:
    """Return the columns most worth considering as parents of each node, (V, K).

    First those that good graphs join with the node in either direction, by how good the
    graphs are; then those that would explain most of what the best graph's parents leave, or
    whose partial correlation given all others is largest.

    Args:
        score: The score.
        known: What is allowed and required.
        values: Scores of graphs, best first, (S,).
        graphs: The graphs, (S, D, V).
        most: Candidates of a node.
    """
    size = known.allowed.shape[1]
    weight = np.exp(np.maximum(values - values[0], -20.0 * _SHARE_BY_SCORE) / _SHARE_BY_SCORE)
    joined = np.tensordot(weight, graphs, 1)
    joined[:size] += 0.9 * joined[:size].T
    precision = np.linalg.inv(score.matrix)
    partial = precision**2 / np.outer(np.diag(precision), np.diag(precision))
    candidates = np.full((size, most), -1, np.int32)
    for node in range(size):
        gain = np.maximum(_gains(score.matrix, graphs[0, :, node], node), partial[:, node])
        worth = _EDGE_WEIGHT * joined[:, node] + gain
        worth[known.required[:, node]] = np.inf
        worth[~known.allowed[:, node]] = -1.0
        order = np.argsort(-worth, kind="stable")[:most]
        order = order[worth[order] >= 0.0]
        candidates[node, : len(order)] = order
    missed = [node for node in range(size) if known.required[:, node].sum() > most]
    if missed:
        raise BadInput(
            expected=f"at most {most} required causes of a variable",
            found=f"{int(known.required[:, missed[0]].sum())}",
            remedy="ask for more candidates in the settings",
        )  # fmt: skip
    return candidates


def _gains(matrix: Floats, parents: Bools, node: int) -> Floats:
    """Return the squared partial correlation of every column with a node, given parents, (D,)."""
    held = np.flatnonzero(parents)
    variance, cross = np.diag(matrix).copy(), matrix[:, node].copy()
    residual = float(matrix[node, node])
    if len(held):
        slopes = np.linalg.solve(matrix[np.ix_(held, held)], matrix[held])
        variance -= (matrix[held] * slopes).sum(axis=0)
        cross -= matrix[held, node] @ slopes
        residual -= float(matrix[held, node] @ slopes[:, node])
    safe = variance > 1e-9 * np.diag(matrix)
    gain: Floats = np.where(safe, cross**2 / np.where(safe, variance * residual, 1.0), 0.0)
    return gain


def problem_of(
    score: Score, known: Constraints, candidates: Ints, search: Search,
    tabulate: Tabulate | None = None,
) -> Problem:  # fmt: skip
    """Return the tables that chains look up.

    Args:
        score: The score.
        known: Preferences and required edges.
        candidates: Candidate parents of each node, (V, K).
        search: Which places tiers leave to each node.
        tabulate: Scores of sets of parents; None for those of straight lines.
    """
    size, most = candidates.shape
    nodes = np.arange(size)[:, None]
    real = candidates >= 0
    preference = np.where(real, known.preference[candidates, nodes], 0.0)
    needed = real & known.required[candidates, nodes]
    bits = (1 << np.arange(most)).astype(np.int32)
    required = (needed * bits).sum(axis=1).astype(np.int32)
    if tabulate is None:
        table = parent_set_scores(score, candidates, preference=preference, required=required)
    else:
        table = tabulate(score, candidates, preference)
        restrict(table, required)
    bit = np.full((size, size), -1, np.int32)
    for node, slot in np.argwhere(real & (candidates < size)):
        bit[node, candidates[node, slot]] = slot
    always = ((candidates >= size) * bits).sum(axis=1).astype(np.int32)
    worth = np.isfinite(table).sum(axis=1)
    listed = np.argsort(-table, axis=1, kind="stable")[:, : worth.max() + 1].astype(np.int32)
    listed[np.arange(listed.shape[1])[None, :] >= worth[:, None]] = -1
    logs = np.log(np.maximum(np.arange(size + 1), 1).astype(np.float64))
    sums = subset_sums(table)
    offset = sums[:, -1].copy()
    if not np.isfinite(offset).all():
        raise BadInput(
            expected="required causes that can be told apart",
            found=f"copies among those of {int((~np.isfinite(offset)).sum())} variables",
            remedy="require fewer, or leave copies out of the variables",
        )  # fmt: skip
    return Problem(
        (table - offset[:, None]).astype(np.float32), (sums - offset[:, None]).astype(np.float32),
        offset, bit, bit.T.copy(), near_of(bit), always, candidates, search.low, search.high,
        listed, logs,
    )  # fmt: skip


# ------------------------------------------------------------------ chains


@dataclass(frozen=True)
class _Drawn:
    """What chains kept; C chains, M graphs each."""

    chosen: Ints
    """(C, M, V)."""
    trace: Floats
    """(C, M)."""
    exchanged: Floats
    """Share accepted, by colder rung, (R - 1,)."""
    ends: Ints
    """Order of each rung at the end, (C, R, V)."""


def _begins(orders: Ints, asked: Settings, trail: Trail | None) -> Ints:
    """Return the orders that the rungs of the chains begin with, (C, R, V)."""
    rungs = len(asked.betas)
    which = np.arange(asked.chains)[:, None] + np.arange(rungs)[None, :] * asked.chains
    begins: Ints = orders[which % len(orders)]
    if trail is not None and trail.ends.shape == begins.shape:
        begins[1:] = trail.ends[1:]
    return begins


def _draw(
    problem: Problem, betas: Floats, begins: Ints, generator: np.random.Generator, asked: Settings
) -> _Drawn:
    size, rungs = begins.shape[2], len(betas)
    moves = max(round(asked.moves_per_node * size), _FEWEST_MOVES)
    burn = max(round(asked.burn_in * asked.graphs), 1)
    chosen = np.zeros((asked.chains, asked.graphs, size), np.int32)
    trace, swaps = np.zeros((asked.chains, asked.graphs)), np.zeros(rungs)
    ends = np.zeros_like(begins)
    for chain in range(asked.chains):
        seeds = generator.integers(0, 2**63, rungs).astype(np.uint64)
        place, possible, graph, first = (np.zeros((rungs, size), np.int32) for _ in range(4))
        fit = np.zeros((rungs, 2))
        state = State(begins[chain].astype(np.int32), place, possible, graph, fit, first, seeds)
        for rung in range(rungs):
            settle(problem, state, rung)
        thrown = np.zeros((burn, size), np.int32)
        draw_graphs(problem, state, betas, moves, thrown, np.zeros(burn), np.zeros(rungs))
        draw_graphs(problem, state, betas, moves, chosen[chain], trace[chain], swaps)
        ends[chain] = state.order
    return _Drawn(chosen, trace, swaps[:-1] / (asked.chains * asked.graphs), ends)


def _best(
    problem: Problem, candidates: Ints, chosen: Ints, trace: Floats, graphs: Bools
) -> Ints:  # fmt: skip
    """Return the best graph among those drawn and found, its parents improved once more."""
    size = candidates.shape[0]
    nodes = np.arange(size)
    flat = chosen.reshape(-1, size)
    options: list[Ints] = [flat[int(np.argmax(trace.reshape(-1)))]]
    real = candidates >= 0
    for graph in graphs[:3]:
        held = real & graph[candidates, nodes[:, None]]
        bits = (held << np.arange(candidates.shape[1])).sum(axis=1).astype(np.int32)
        if (held.sum(axis=1) == graph.sum(axis=0)).all():
            options.append(bits)
    best = best_subsets(problem.table)
    refined = [_refined(problem, best, option) for option in options]
    scores = [problem.table[nodes, option].sum() for option in refined]
    return refined[int(np.argmax(scores))]


def _refined(problem: Problem, best: Ints, chosen: Ints) -> Ints:
    """Return the best parents in an order of the graph."""
    size = len(chosen)
    placed = problem.always.copy()
    done = np.zeros(size, np.bool_)
    result = chosen.copy()
    for _ in range(size):
        ready = ~done & ((chosen & ~placed) == 0)
        ready &= problem.low == problem.low[~done].min()
        node = int(np.argmax(ready))
        result[node] = best[node, placed[node]]
        done[node] = True
        others = problem.bit[:, node] >= 0
        placed[others] |= (1 << problem.bit[others, node]).astype(np.int32)
    return result
