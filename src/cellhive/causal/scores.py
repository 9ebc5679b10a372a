"""How well parents explain a variable: scores of linear-Gaussian models, from statistics alone.

A score of a node and its parents is a function of three numbers: how many parents there
are, the log determinant of their matrix, and the residual variance of the node. The
marginal likelihood BGe and the criterion BIC differ in that function only, so one kernel
tabulates both.

``D`` columns, ``V`` nodes, ``K`` candidate parents of a node; a set of parents is a number
whose bit k says that the k-th candidate is one of them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from cellhive.causal.statistics import Statistics
from cellhive.core.compiled import compiled
from cellhive.core.errors import BadInput
from cellhive.core.types import Floats, Floats32, Ints

NEVER = -math.inf
_ALMOST_SINGULAR = 1e-9
_FAR = 40.0
"""Difference of logarithms above which the smaller term changes no digit of a sum."""
_MOST_CANDIDATES = 20


class Prior(StrEnum):
    """What is believed about coefficients and variances before data."""

    UNIT = "unit"
    """BGe whose prior matrix has the shape of the data's covariance and the worth of one
    sample: no scale of the variables matters, no coefficient is shrunk. Needs more samples
    than columns."""
    ISOTROPIC = "isotropic"
    """BGe with a multiple of the identity on standardised variables (Kuipers, Moffa and
    Heckerman 2014): defined for any number of samples."""
    BIC = "bic"
    """No prior: the Bayesian information criterion."""


@dataclass(frozen=True)
class Score:
    """A score: constant(l) - ½ parents_weight log|M_pp| - ½ residual_weight(l) log s²."""

    matrix: Floats
    """Of the columns; what determinants and residual variances are of, (D, D)."""
    samples: float
    """Weight of the statistics."""
    constant: Floats
    """By the number l of parents, with the log prior of such a set, (D,)."""
    parents_weight: float
    residual_weight: Floats
    """By the number l of parents, (D,)."""

    def local(self, node: int, parents: tuple[int, ...]) -> float:
        """Return the score of a node with these parents: the plain form of what tables hold."""
        rows = list(parents)
        inner = self.matrix[np.ix_(rows, rows)]
        cross = self.matrix[rows, node]
        residual = float(self.matrix[node, node])
        parents_log = 0.0
        if rows:
            parents_log = float(np.linalg.slogdet(inner)[1])
            residual -= float(cross @ np.linalg.solve(inner, cross))
        count = len(rows)
        return float(
            self.constant[count]
            - 0.5 * self.parents_weight * parents_log
            - 0.5 * self.residual_weight[count] * math.log(residual)
        )


def score_of(statistics: Statistics, prior: Prior, *, fair: bool = True) -> Score:
    """Return the score of graphs over the columns of statistics.

    BGe is equation 6 of Geiger and Heckerman 2002 with the corrections of Kuipers, Moffa and
    Heckerman 2014, supplementary A; alpha_mu = 1, alpha_w = D + 2, prior mean = mean of the
    data. Graphs that imply the same independences score alike under every choice here.

    Args:
        statistics: Of the variables; standardised here.
        prior: Of coefficients and variances.
        fair: Whether every number of parents is as probable as every other before data;
            else every graph is.
    """
    correlation = statistics.correlation()
    columns, samples = len(correlation), statistics.weight
    if prior is not Prior.ISOTROPIC and samples <= columns + 1:
        raise BadInput(
            expected=f"more samples than the {columns} columns for the prior {prior.value!r}",
            found=f"{samples:.4g}", remedy=f"use the prior {Prior.ISOTROPIC.value!r}",
        )  # fmt: skip
    counts = np.arange(columns, dtype=np.float64)
    fit = {Prior.UNIT: _unit, Prior.ISOTROPIC: _isotropic, Prior.BIC: _bic}[prior]
    made = fit(correlation, samples, counts)
    if fair:
        made.constant[:] -= _log_choose(columns - 1, columns)
    return made


def _log_choose(among: int, size: int) -> Floats:
    """Return the logarithm of the number of sets of 0, 1, ... members."""
    whole = math.lgamma(among + 1.0)
    return np.array(
        [whole - math.lgamma(k + 1.0) - math.lgamma(among - k + 1.0) for k in range(size)]
    )


def _gammas(samples: float, counts: Floats) -> Floats:
    """Return what all BGe scores share: alpha_w - D = 2, alpha_mu = 1."""
    upper = [math.lgamma(0.5 * (samples + 2.0 + count + 1.0)) for count in counts]
    lower = [math.lgamma(0.5 * (2.0 + count + 1.0)) for count in counts]
    common = -0.5 * samples * math.log(math.pi) - 0.5 * math.log(1.0 + samples)
    constant: Floats = common + np.array(upper) - np.array(lower)
    return constant


def _isotropic(correlation: Floats, samples: float, counts: Floats) -> Score:
    scale = 0.5  # alpha_mu (alpha_w - D - 1) / (alpha_mu + 1): the prior expects variance 1
    constant = _gammas(samples, counts) + 0.5 * (2.0 + 2.0 * counts + 1.0) * math.log(scale)
    matrix = samples * correlation + scale * np.eye(len(correlation))
    return Score(matrix, samples, constant, 1.0, samples + 3.0 + counts)


def _unit(correlation: Floats, samples: float, counts: Floats) -> Score:
    """With a prior matrix of ``correlation`` all determinants but the residual's cancel."""
    exponent = 2.0 + 2.0 * counts + 1.0
    constant = _gammas(samples, counts) - 0.5 * (samples + exponent) * math.log1p(samples)
    return Score(correlation, samples, constant, 0.0, np.full(len(counts), samples))


def _bic(correlation: Floats, samples: float, counts: Floats) -> Score:
    constant = -0.5 * samples * (math.log(2.0 * math.pi) + 1.0) - 0.5 * counts * math.log(samples)
    return Score(correlation, samples, constant, 0.0, np.full(len(counts), samples))


# ------------------------------------------------------------------ tables over parent sets


def parent_set_scores(
    score: Score, candidates: Ints, *, preference: Floats, required: Ints, prune: float = 12.0
) -> Floats:
    """Return the score of every set of candidate parents of every node, (V, 2^K).

    Sets that miss a required parent or are singular have -inf, and so have those that a
    subset of theirs beats by more than ``prune``: wherever they are possible so is the subset,
    and together they hold less than 2^K exp(-prune) of the probability.

    Args:
        score: The score.
        candidates: Columns that may be parents of each node, -1 behind the last, (V, K).
        preference: Log prior weight of each candidate, (V, K).
        required: Set of candidates that must be parents, (V,).
        prune: Natural logarithm of how much better a subset must be.
    """
    nodes, most = candidates.shape
    if most > _MOST_CANDIDATES:
        raise BadInput(expected=f"at most {_MOST_CANDIDATES} candidates", found=f"{most}")
    table = np.full((nodes, 1 << most), NEVER)
    for node in range(nodes):
        _fill(
            table[node], node, score.matrix, candidates[node], preference[node],
            score.constant, score.parents_weight, score.residual_weight,
        )  # fmt: skip
    restrict(table, required, prune)
    return table


def restrict(table: Floats, required: Ints, prune: float = 12.0) -> None:
    """Take sets out of a table that miss a required parent or that a subset beats by far.

    Args:
        table: Scores of sets, (V, 2^K); changed in place.
        required: Set of candidates that must be parents, (V,).
        prune: Natural logarithm of how much better a subset must be.
    """
    if required.any():
        sets = np.arange(table.shape[1], dtype=np.int32)
        lacking = (sets[None, :] & required[:, None]) != required[:, None]
        table[lacking] = NEVER
    _prune(table, prune)


@compiled
def _fill(
    row: Floats, node: int, matrix: Floats, candidates: Ints, preference: Floats,
    constant: Floats, parents_weight: float, residual_weight: Floats,
) -> None:  # fmt: skip
    """Write the score of every set of candidates, depth first, growing a Cholesky factor."""
    most = 0
    while most < candidates.size and candidates[most] >= 0:
        most += 1
    factor = np.zeros((most + 1, most + 1))
    along, chosen = np.zeros(most + 1), np.zeros(most + 1, np.int32)
    logs, residual, liked = np.zeros(most + 1), np.zeros(most + 1), np.zeros(most + 1)
    upcoming = np.zeros(most + 1, np.int32)
    residual[0] = matrix[node, node]
    row[0] = constant[0] - 0.5 * residual_weight[0] * math.log(residual[0])
    depth, members = 0, 0
    while depth >= 0:
        k = upcoming[depth]
        if k >= most:
            depth -= 1
            if depth >= 0:
                members ^= 1 << chosen[depth]
            continue
        upcoming[depth] = k + 1
        chosen[depth] = k
        variance = _extend(node, matrix, candidates, chosen, depth, factor, along)
        left = residual[depth] - along[depth] * along[depth]
        if variance <= 0.0 or left <= _ALMOST_SINGULAR * matrix[node, node]:
            continue
        members |= 1 << k
        depth += 1
        logs[depth] = logs[depth - 1] + math.log(variance)
        liked[depth] = liked[depth - 1] + preference[k]
        residual[depth] = left
        upcoming[depth] = k + 1
        row[members] = (
            constant[depth] + liked[depth] - 0.5 * parents_weight * logs[depth]
            - 0.5 * residual_weight[depth] * math.log(left)
        )  # fmt: skip


@compiled
def _extend(
    node: int, matrix: Floats, candidates: Ints, chosen: Ints, depth: int, factor: Floats,
    along: Floats,
) -> float:  # fmt: skip
    """Add a row to a Cholesky factor; return what is left of its variance, 0 if singular."""
    column = candidates[chosen[depth]]
    variance, cross = matrix[column, column], matrix[column, node]
    for a in range(depth):
        value = matrix[column, candidates[chosen[a]]]
        for b in range(a):
            value -= factor[depth, b] * factor[a, b]
        value /= factor[a, a]
        factor[depth, a] = value
        variance -= value * value
        cross -= value * along[a]
    if variance <= _ALMOST_SINGULAR * matrix[column, column]:
        along[depth] = 0.0
        return 0.0
    factor[depth, depth] = math.sqrt(variance)
    along[depth] = cross / factor[depth, depth]
    return float(variance)


@compiled
def _prune(table: Floats, threshold: float) -> None:
    """Take out sets that a subset beats by more than the threshold."""
    best = np.empty(table.shape[1])
    for node in range(table.shape[0]):
        for members in range(best.size):
            top = table[node, members]
            rest = members
            while rest:
                bit = rest & -rest
                rest ^= bit
                top = max(top, best[members ^ bit])
            best[members] = top
            if table[node, members] < top - threshold:
                table[node, members] = NEVER


@compiled
def subset_sums(table: Floats) -> Floats:
    """Return, for every set, the log of the summed exponentials over its subsets, (V, 2^K).

    The zeta transform (Koivisto and Sood 2004, section 4), in logarithms.
    """
    sums = table.copy()
    for node in range(sums.shape[0]):
        bit = 1
        while bit < sums.shape[1]:
            for members in range(sums.shape[1]):
                if members & bit:
                    high, low = sums[node, members], sums[node, members ^ bit]
                    if low > high:
                        high, low = low, high
                    if low > high - _FAR:
                        high += math.log1p(math.exp(low - high))
                    sums[node, members] = high
            bit <<= 1
    return sums


@compiled
def best_subsets(table: Floats32) -> Ints:
    """Return, for every set, which of its subsets scores best, (V, 2^K)."""
    best = np.empty(table.shape, np.int32)
    for node in range(table.shape[0]):
        for members in range(table.shape[1]):
            top = members
            rest = members
            while rest:
                bit = rest & -rest
                rest ^= bit
                other = best[node, members ^ bit]
                if table[node, other] > table[node, top]:
                    top = other
            best[node, members] = top
    return best
