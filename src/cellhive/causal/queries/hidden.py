"""Where a hidden common cause fits as well as an edge does.

A hidden cause of two variables leaves them correlated beyond what their causes explain, and a
graph without it can only draw an edge there. Such an edge has a price: what acts on its cause
alone would then act on its effect as well, through the edge, and where the data show nothing of
that the graph needs further edges that cancel it (how instruments tell a cause from a
correlation). So each edge within a period is taken away and what is left of both variables may
correlate instead: two regressions at once (Zellner 1962, "An efficient method of estimating
seemingly unrelated regressions"), with the causes that they still need. Both are compared by
the Bayesian information criterion.

What nothing else acts on has no such price: there an edge and a hidden cause fit alike, and no
data of this kind can tell. Edges from earlier periods are not asked about, and neither is an
edge with a hidden cause beside it.

Axis letters: ``D`` columns, ``V`` variables.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from cellhive.causal.effects import place_of
from cellhive.causal.posterior import Posterior
from cellhive.core.types import Floats

LEAST_PROBABLE = 0.5
"""Probability from which an edge is asked about."""
DOUBTFUL = 0.2
"""Probability of a hidden cause from which an edge is not to be relied on."""
_ROUNDS = 6
_RIDGE = 1e-9
_MOST_LOG = 700.0
_ROUNDING = 1e-3


@dataclass(frozen=True)
class Suspicion:
    """How well a hidden common cause of two variables fits, beside an edge between them."""

    cause: str
    effect: str
    log_odds: float
    """Natural logarithm of how much better the hidden cause fits; 0 where nothing can tell."""
    testable: bool
    """Whether anything acts on the cause alone, so that data can tell at all."""

    @property
    def share(self) -> float:
        """Probability of the hidden cause, where both were equally probable before data."""
        return 1.0 / (1.0 + math.exp(min(-self.log_odds, _MOST_LOG)))

    @property
    def suspected(self) -> bool:
        """Whether the hidden cause fits better, or nearly as well."""
        return self.testable and self.share >= DOUBTFUL

    def __str__(self) -> str:
        """Say it in a sentence."""
        if not self.testable:
            return (
                f"Nothing measured acts on {self.cause} alone, so that a hidden cause of it and "
                f"{self.effect} would look the same as the edge."
            )
        how = "less well than"
        if self.suspected:
            how = "better than" if self.log_odds > 0.0 else "nearly as well as"
        return (
            f"A hidden cause of {self.cause} and {self.effect} fits {how} the edge between them: "
            f"{self.share:.0%} probable where both were equally so before the data"
            + (" -- do not rely on the edge." if self.suspected else ".")
        )


def suspicions(posterior: Posterior, *, least: float = LEAST_PROBABLE) -> tuple[Suspicion, ...]:
    """Return what can be said against the edges within a period, the most suspect first.

    Args:
        posterior: Over graphs; those edges of its best graph are asked about that are probable.
        least: Probability from which an edge is, in whichever direction: which of two the
            data often cannot tell.
    """
    graph, probability = posterior.best_graph(), posterior.edge_probability()[0]
    either = probability + probability.T  # no graph holds both
    asked = np.argwhere(graph[0] & (either >= least)).tolist()
    causes = _causes(posterior)
    matrix = posterior.statistics.correlation()
    found = [_suspicion(posterior, matrix, causes, a, b) for a, b in asked]
    return tuple(sorted(found, key=lambda one: (not one.testable, -one.log_odds)))


def suspicion(posterior: Posterior, cause: str, effect: str) -> Suspicion | None:
    """Return what can be said against an edge; None if the best graph has none.

    Args:
        posterior: Over graphs.
        cause: Where the edge begins.
        effect: Where it ends, in the same period.

    Raises:
        NotFound: If a variable is unknown.
    """
    a, b = place_of(posterior.names, cause), place_of(posterior.names, effect)
    causes = _causes(posterior)
    if a not in causes[b]:
        return None
    return _suspicion(posterior, posterior.statistics.correlation(), causes, a, b)


def _causes(posterior: Posterior) -> list[list[int]]:
    """Return the columns of the parents of each variable in the best graph."""
    flat = posterior.best_graph().reshape(posterior.statistics.columns, -1)
    return [np.flatnonzero(flat[:, node]).tolist() for node in range(flat.shape[1])]


def _suspicion(
    posterior: Posterior, matrix: Floats, causes: Sequence[Sequence[int]], a: int, b: int
) -> Suspicion:
    samples, names = posterior.statistics.weight, posterior.names
    others = {column for column in causes[b] if column != a}
    edge = _alone(matrix, samples, a, causes[a]) + _alone(matrix, samples, b, causes[b])
    needed = sorted(causes[a]), sorted(others | set(causes[a]))
    gain = _best_pair(matrix, samples, (a, b), needed) - edge
    # where all that acts on the cause acts on the effect the two are the same model, until
    # some of it turns out to do nothing once the edge is gone
    alike = set(causes[a]) <= others and gain < _ROUNDING
    return Suspicion(names[a], names[b], 0.0 if alike else gain, not alike)


def _alone(matrix: Floats, samples: float, node: int, causes: Sequence[int]) -> float:
    """Return the criterion of a variable's regression on its causes."""
    left = float(matrix[node, node])
    if causes:
        cross = matrix[list(causes), node]
        inner = matrix[np.ix_(list(causes), list(causes))] + _RIDGE * np.eye(len(causes))
        left -= float(cross @ np.linalg.solve(inner, cross))
    return -0.5 * samples * math.log(max(left, _RIDGE)) - 0.5 * math.log(samples) * len(causes)


def _best_pair(
    matrix: Floats, samples: float, pair: tuple[int, int], causes: tuple[list[int], list[int]]
) -> float:
    """Return the best criterion of two regressions at once; causes that add nothing go."""
    first, second = causes
    best, strength = _pair(matrix, samples, pair, (first, second))
    while first or second:
        weakest = int(np.argmin(strength))
        if weakest < len(first):
            fewer = [*first[:weakest], *first[weakest + 1 :]], second
        else:
            at = weakest - len(first)
            fewer = first, [*second[:at], *second[at + 1 :]]
        value, left = _pair(matrix, samples, pair, fewer)
        if value <= best:
            break
        best, strength, (first, second) = value, left, fewer
    return best


def _pair(
    matrix: Floats, samples: float, pair: tuple[int, int], causes: tuple[list[int], list[int]]
) -> tuple[float, Floats]:
    """Return the criterion of two regressions at once, and each coefficient's ratio to its error.

    Coefficients and the covariance of what is left are renewed in turn, from regressions apart.
    """
    columns = [*causes[0], *causes[1]]
    which = np.repeat([0, 1], [len(causes[0]), len(causes[1])])
    inner = matrix[np.ix_(columns, columns)] + _RIDGE * np.eye(len(columns))
    cross = matrix[np.ix_(columns, list(pair))]
    owner = which[:, None] == np.arange(2)
    precision, slopes = np.eye(2), np.zeros(len(columns))
    covariance = left = matrix[np.ix_(pair, pair)]
    for _ in range(_ROUNDS):
        weighed = precision[np.ix_(which, which)] * inner
        covariance = np.linalg.inv(weighed) if columns else weighed
        slopes = covariance @ (precision[which] * cross).sum(axis=1)
        each = slopes[:, None] * owner
        along = each.T @ cross
        left = matrix[np.ix_(pair, pair)] - along - along.T + each.T @ inner @ each
        precision = np.linalg.inv(left + _RIDGE * np.eye(2))
    spread = np.sqrt(np.maximum(np.diag(covariance), _RIDGE**2) / samples)
    size = float(np.linalg.slogdet(left + _RIDGE * np.eye(2))[1])
    price = 0.5 * math.log(samples) * (len(columns) + 1)
    return -0.5 * samples * size - price, np.abs(slopes) / spread
