"""How far drawn graphs can be trusted: whether chains agree, and to how many digits.

A share of drawn graphs is off from the probability for two reasons. Draws are few and hang
together: then the share wavers along a chain as much as between chains. Or chains are held
in different places: then shares differ between chains by more than they waver along them.
With thousands of edges the largest difference between two chains is large by chance alone,
and with chains that are held the wavering is small and says nothing. So each edge is asked
first, with regard to how many edges are asked, whether its chains differ by more than their
wavering explains; its error is half the difference if they do, else what the wavering says.

``C`` chains, ``M`` graphs of each, ``V`` variables, ``D`` columns, ``K`` candidates.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.special import fdtrc

from cellhive.core.types import Floats, Ints

_GOOD_R_HAT = 1.05
_GOOD_ERROR = 0.05
_BATCHES = 5
_BY_CHANCE = 0.01
_POSSIBLE = 0.01


@dataclass(frozen=True)
class Convergence:
    """Whether the chains agree, and how near the probabilities are."""

    r_hat: float
    """Of the log score, over halves of chains: 1 when they agree (Gelman and others 2013, 11.4)."""
    apart: float
    """Largest difference of an edge's probability between two chains."""
    apart_mean: float
    """Mean such difference over edges that any chain holds possible."""
    effective: float
    """Independent graphs that the kept ones are worth, by the log score's autocorrelation."""
    exchanged: tuple[float, ...]
    """Share of exchanges accepted between neighbouring rungs."""
    error: float = math.inf
    """Largest standard error of an edge's probability, see ``edge_errors``."""

    @property
    def reached(self) -> bool:
        """Whether chains agree on scores, and any probability is within 0.1 (two errors)."""
        return self.r_hat < _GOOD_R_HAT and self.error < _GOOD_ERROR

    def __str__(self) -> str:
        """Say it in a line."""
        verdict = "converged" if self.reached else "NOT converged"
        shares = ", ".join(f"{share:.0%}" for share in self.exchanged)
        return (
            f"{verdict}: R-hat {self.r_hat:.3f}, edges uncertain by at most ±{self.error:.2f}, "
            f"chains differ by at most {self.apart:.2f} on an edge ({self.apart_mean:.3f} on "
            f"average), {self.effective:.0f} independent graphs, exchanges {shares or 'none'}"
        )


def convergence_of(
    chosen: Ints, trace: Floats, exchanged: Floats, candidates: Ints, columns: int
) -> Convergence:
    """Return whether chains agree.

    Args:
        chosen: Parents in each kept graph, as sets of candidates, (C, M, V).
        trace: Log scores, (C, M).
        exchanged: Share of exchanges accepted, by colder rung.
        candidates: Column of each candidate, -1 behind the last, (V, K).
        columns: D.
    """
    chains, draws = trace.shape
    batches = _BATCHES if draws >= 2 * _BATCHES else 1
    length = draws // (2 * batches)
    shares = np.array([edge_shares(chain, candidates, columns) for chain in chosen])
    apart = shares.max(axis=0) - shares.min(axis=0)
    possible = shares.max(axis=0) > _POSSIBLE
    mean = float(apart[possible].mean()) if possible.any() else 0.0
    error = 1.0
    if length:
        parts = chosen[:, draws - 2 * batches * length :].reshape(-1, length, chosen.shape[2])
        means = np.array([edge_shares(part, candidates, columns) for part in parts])
        error = float(edge_errors(means.reshape(2 * chains, batches, -1)).max(initial=0.0))
    return Convergence(
        r_hat(trace), float(apart.max()), mean, effective_draws(trace),
        tuple(float(share) for share in exchanged), error,
    )  # fmt: skip


def edge_errors(means: Floats) -> Floats:
    """Return the standard error of the mean over all draws, for each of many quantities.

    Half chains are groups, and consecutive draws of a group make batches. Whether groups
    differ by more than their batches explain is asked by analysis of variance, at 1 % over
    all quantities together (Bonferroni). Where they do not, the error is that of batch means
    (Jones and others 2006, "Fixed-width output analysis for Markov chain Monte Carlo"); where
    they do, half of how far the groups are apart.

    Args:
        means: Of each batch, (groups, batches, quantities).
    """
    groups, batches = means.shape[:2]
    centre = means.mean(axis=1)
    held: Floats = 0.5 * (centre.max(axis=0) - centre.min(axis=0))
    if batches < 2:  # noqa: PLR2004  # nothing wavers that could be compared
        return held
    varied = means.std(axis=(0, 1)) > 0.0
    within = means.var(axis=1, ddof=1).mean(axis=0)
    between = batches * centre.var(axis=0, ddof=1)
    ratio = np.divide(between, within, out=np.full(len(varied), np.inf), where=within > 0.0)
    by_chance = fdtrc(groups - 1, groups * (batches - 1), ratio)
    differ = varied & (by_chance < _BY_CHANCE / max(int(varied.sum()), 1))
    wavering = means.std(axis=(0, 1), ddof=1) / math.sqrt(groups * batches)
    errors: Floats = np.where(differ, held, wavering)
    return errors


def edge_shares(chosen: Ints, candidates: Ints, columns: int) -> Floats:
    """Return how often each edge is among graphs, (D, V).

    Args:
        chosen: Parents in each graph, as sets of candidates, (M, V).
        candidates: Column of each candidate, -1 behind the last, (V, K).
        columns: D.
    """
    size, most = candidates.shape
    shares = np.zeros((columns, size))
    for slot in range(most):
        real = np.flatnonzero(candidates[:, slot] >= 0)
        shares[candidates[real, slot], real] = ((chosen[:, real] >> slot) & 1).mean(axis=0)
    return shares


def r_hat(trace: Floats) -> float:
    """Return the split potential scale reduction of chains (Gelman and others 2013, 11.4).

    Args:
        trace: A quantity along each chain, (C, M).
    """
    half = trace.shape[1] // 2
    parts = np.concatenate([trace[:, :half], trace[:, half : 2 * half]])
    within = float(parts.var(axis=1, ddof=1).mean())
    between = float(parts.mean(axis=1).var(ddof=1))
    if within <= 0.0:
        return 1.0 if between <= 0.0 else float("inf")
    return float(np.sqrt((half - 1.0) / half + between / within))


def effective_draws(trace: Floats) -> float:
    """Return how many independent draws chains are worth (Geyer 1992: initial positive pairs).

    Args:
        trace: A quantity along each chain, (C, M).
    """
    centred = trace - trace.mean(axis=1, keepdims=True)
    length = trace.shape[1]
    spread = float((centred**2).mean())
    if spread <= 0.0:
        return float(trace.size)
    time = 1.0
    for lag in range(1, length - 1, 2):
        pair = sum(
            float((centred[:, : length - at] * centred[:, at:]).sum()) / centred.size / spread
            for at in (lag, lag + 1)
        )
        if pair <= 0.0:
            break
        time += 2.0 * pair
    return trace.size / time
