"""What a change does: effects with intervals, averaged over graphs and coefficients.

For each graph of a posterior, coefficients and noise are drawn given the data: a regression
of each variable on its parents. Where there are more samples than columns the prior is the
usual reference one, which shrinks nothing; else that of the isotropic score. The effect of
``do(cause)`` in a drawn model is the sum over directed paths of products of coefficients;
mean and quantiles over all drawn models are the answer.

Axis letters: ``M`` drawn models, ``V`` variables, ``K`` candidates, ``H`` horizons.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from cellhive.causal.posterior import Posterior
from cellhive.core.compiled import compiled
from cellhive.core.errors import BadInput, NotFound
from cellhive.core.types import Floats, Floats32, Ints

LEVELS = (0.5, 0.9)
_SLICE_BYTES = 256_000_000


@dataclass(frozen=True)
class Mechanisms:
    """Linear mechanisms drawn for every graph of a posterior, on standardised variables."""

    posterior: Posterior
    coefficients: Floats
    """Of each candidate, 0 where it is no parent, (M, V, K)."""
    noise: Floats
    """Standard deviation of what parents leave, (M, V)."""

    @cached_property
    def order(self) -> Ints:
        """Variables of each graph with causes before effects, (M, V)."""
        order = np.empty(self.posterior.chosen.shape, np.int32)
        sort_graphs(self.posterior.candidates, self.posterior.chosen, order)
        return order


@dataclass(frozen=True)
class Effects:
    """Effects of causes on all variables, in units of the effect per unit of the cause."""

    causes: tuple[str, ...]
    names: tuple[str, ...]
    levels: tuple[float, ...]
    mean: Floats
    """Posterior mean, [cause, horizon, effect]."""
    low: Floats
    """Lower end of the interval of each level, [level, cause, horizon, effect]."""
    high: Floats
    """Upper end, likewise."""
    probability: Floats
    """That there is an effect at all, [cause, horizon, effect]."""

    def interval(
        self, cause: str, effect: str, *, level: float = 0.9, horizon: int = 0
    ) -> tuple[float, float, float]:
        """Return low end, mean and high end of one effect.

        Args:
            cause: Variable that is set.
            effect: Variable that is looked at.
            level: Probability that the interval holds.
            horizon: Periods between.
        """
        which = level_of(self.levels, level)
        if not 0 <= horizon < self.mean.shape[1]:
            wanted = f"a horizon of 0 to {self.mean.shape[1] - 1}"
            raise BadInput(expected=wanted, found=str(horizon))
        at = (place_of(self.causes, cause), horizon, place_of(self.names, effect))
        return float(self.low[which][at]), float(self.mean[at]), float(self.high[which][at])


def place_of(names: Sequence[str], name: str) -> int:
    """Return the place of a name.

    Args:
        names: Among which.
        name: Which.

    Raises:
        NotFound: If it is none of them.
    """
    if name not in names:
        known = ", ".join(list(names)[:8])
        message = f"expected one of {known}, ..., found {name!r}; correct the name"
        raise NotFound(message)
    return list(names).index(name)


def level_of(levels: Sequence[float], level: float) -> int:
    """Return the place of a level.

    Args:
        levels: Among which.
        level: Which.

    Raises:
        BadInput: If it is none of them.
    """
    if level not in levels:
        known = "a level among " + ", ".join(f"{one:g}" for one in levels)
        raise BadInput(expected=known, found=f"{level:g}")
    return list(levels).index(level)


def checked_levels(levels: Sequence[float]) -> tuple[float, ...]:
    """Return levels of intervals, or refuse what is none.

    Args:
        levels: Probabilities, 0 to 1.

    Raises:
        BadInput: If there are none, or one is no probability.
    """
    if not levels or not all(0.0 <= level <= 1.0 for level in levels):
        found = ", ".join(f"{level:g}" for level in levels) or "none"
        raise BadInput(expected="levels of intervals between 0 and 1", found=found)
    return tuple(levels)


def drawn_mechanisms(posterior: Posterior, generator: np.random.Generator) -> Mechanisms:
    """Return coefficients and noise for every graph, drawn given graph and data.

    Args:
        posterior: Over graphs.
        generator: Where chance comes from.
    """
    statistics = posterior.statistics
    correlation, samples = statistics.correlation(), statistics.weight
    columns = statistics.columns
    draws, size = posterior.chosen.shape
    parents = np.bitwise_count(posterior.chosen)
    if samples > columns + 1:
        matrix, freedom = samples * correlation, samples - 1.0 - parents
    else:  # Wishart with alpha_w - D = 2 and scale ½, as in the isotropic score
        matrix, freedom = samples * correlation + 0.5 * np.eye(columns), samples + 3.0 + parents
    spread = 1.0 / generator.chisquare(freedom)
    normal = generator.standard_normal((draws, size, posterior.candidates.shape[1]))
    coefficients, noise = np.zeros(normal.shape), np.zeros((draws, size))
    _draw(matrix, posterior.candidates, posterior.chosen, normal, spread, coefficients, noise)
    return Mechanisms(posterior, coefficients, noise)


@compiled
def _draw(
    matrix: Floats, candidates: Ints, chosen: Ints, normal: Floats, spread: Floats,
    coefficients: Floats, noise: Floats,
) -> None:  # fmt: skip
    """Write coefficients and noise, from standard normals and reciprocals of chi-squares."""
    most = candidates.shape[1]
    factor, along, slots = np.zeros((most, most)), np.zeros(most), np.zeros(most, np.int32)
    for draw in range(chosen.shape[0]):
        for node in range(chosen.shape[1]):
            size, left = 0, matrix[node, node]
            for slot in range(most):
                if not (chosen[draw, node] >> slot) & 1:
                    continue
                slots[size] = slot
                column = candidates[node, slot]
                variance, cross = matrix[column, column], matrix[column, node]
                for a in range(size):
                    value = matrix[column, candidates[node, slots[a]]]
                    for b in range(a):
                        value -= factor[size, b] * factor[a, b]
                    factor[size, a] = value / factor[a, a]
                    variance -= factor[size, a] * factor[size, a]
                    cross -= factor[size, a] * along[a]
                factor[size, size] = np.sqrt(variance)
                along[size] = cross / factor[size, size]
                left -= along[size] * along[size]
                size += 1
            deviation = np.sqrt(left * spread[draw, node])
            noise[draw, node] = deviation
            for a in range(size - 1, -1, -1):
                value = along[a] + deviation * normal[draw, node, a]
                for b in range(a + 1, size):
                    value -= factor[b, a] * coefficients[draw, node, slots[b]]
                coefficients[draw, node, slots[a]] = value / factor[a, a]


def total_effects(
    mechanisms: Mechanisms,
    *,
    causes: Sequence[str] | None = None,
    horizons: int = 1,
    levels: Sequence[float] = LEVELS,
) -> Effects:
    """Return the total effects of raising each cause by one unit in one period.

    Args:
        mechanisms: Drawn models.
        causes: Variables that are set; None for all.
        horizons: Periods to look at, from the one in which the cause is set.
        levels: Probabilities of the intervals; they run from quantile to quantile, as much
            probability below as above, and hold 0 where "no effect" is probable enough.
    """
    posterior = mechanisms.posterior
    names = posterior.names
    wanted = tuple(names if causes is None else causes)
    index = np.array([place_of(names, name) for name in wanted], np.int32)
    _refuse_horizons(horizons)
    if not wanted:
        raise BadInput(expected="at least one cause", found="none")
    draws, size = posterior.chosen.shape
    step = max(_SLICE_BYTES // (4 * draws * horizons * size), 1)
    parts = []
    for first in range(0, len(index), step):
        some = index[first : first + step]
        effects = np.zeros((draws, len(some), horizons, size), np.float32)
        _follow(posterior.candidates, mechanisms.coefficients, mechanisms.order, some, effects)
        parts.append(_summary(effects, levels))
    scale = posterior.statistics.deviation[:size]
    unit = (scale[None, :] / scale[index][:, None])[:, None, :]
    mean, low, high, probability = (
        np.concatenate([part[k] for part in parts], axis=-3) for k in range(4)
    )
    return Effects(
        wanted, names, tuple(levels), mean * unit, low * unit, high * unit, probability
    )  # fmt: skip


def _refuse_horizons(horizons: int) -> None:
    if horizons < 1:
        raise BadInput(expected="at least 1 horizon", found=str(horizons))


def effect_draws(
    mechanisms: Mechanisms, causes: Sequence[str], *, horizons: int = 1, held: Sequence[str] = ()
) -> Floats32:
    """Return the total effects in every drawn model, [model, cause, horizon, effect].

    Args:
        mechanisms: Drawn models.
        causes: Variables that are raised by one standard deviation in one period.
        horizons: Periods to look at.
        held: Variables that stay as they are unless they are set: nothing runs through them.

    Effects are in standard deviations of the variables.
    """
    _refuse_horizons(horizons)
    posterior = mechanisms.posterior
    index = np.array([place_of(posterior.names, name) for name in causes], np.int32)
    weights = mechanisms.coefficients
    if held:
        weights = weights.copy()
        weights[:, [place_of(posterior.names, name) for name in held]] = 0.0
    draws, size = posterior.chosen.shape
    effects = np.zeros((draws, len(index), horizons, size), np.float32)
    _follow(posterior.candidates, weights, mechanisms.order, index, effects)
    return effects


def drawn_effects(mechanisms: Mechanisms, cause: str, *, horizons: int = 1) -> Floats:
    """Return the total effects of a cause in every drawn model, per unit, (M, H, V).

    Args:
        mechanisms: Drawn models.
        cause: Variable that is raised by one unit in one period.
        horizons: Periods to look at, from that one.
    """
    posterior = mechanisms.posterior
    at, size = place_of(posterior.names, cause), posterior.statistics.variables
    effects = effect_draws(mechanisms, [cause], horizons=horizons)
    scale = posterior.statistics.deviation[:size]
    scaled: Floats = effects[:, 0].astype(np.float64) * (scale / scale[at])
    return scaled


def direct_effects(mechanisms: Mechanisms, *, levels: Sequence[float] = LEVELS) -> Effects:
    """Return the direct effects: what a unit of a cause does with all other causes held.

    The horizon is the lag of the edge.

    Args:
        mechanisms: Drawn models.
        levels: Probabilities of the intervals.
    """
    posterior = mechanisms.posterior
    statistics, size = posterior.statistics, posterior.statistics.variables
    draws, most = len(posterior.chosen), posterior.candidates.shape[1]
    effects = np.zeros((draws, statistics.columns, size), np.float32)
    for slot in range(most):
        real = np.flatnonzero(posterior.candidates[:, slot] >= 0)
        effects[:, posterior.candidates[real, slot], real] = mechanisms.coefficients[:, real, slot]
    shaped = effects.reshape(draws, statistics.lags + 1, size, size).transpose(0, 2, 1, 3)
    mean, low, high, probability = _summary(np.ascontiguousarray(shaped), levels)
    scale = statistics.deviation[:size]
    unit = (scale[None, :] / scale[:, None])[:, None, :]
    return Effects(
        posterior.names, posterior.names, tuple(levels), mean * unit, low * unit, high * unit,
        probability,
    )  # fmt: skip


def _summary(
    effects: Floats32, levels: Sequence[float]
) -> tuple[Floats, Floats, Floats, Floats]:  # fmt: skip
    """Return mean, ends of intervals and probability of not being zero over draws."""
    tails = [0.5 * (1.0 - level) for level in checked_levels(levels)]
    quantiles = [*tails, *(1.0 - tail for tail in tails)]
    ends = _quantiles(effects, quantiles)
    mean: Floats = effects.mean(axis=0, dtype=np.float64)
    probability: Floats = (effects != 0.0).mean(axis=0)
    return mean, ends[: len(levels)], ends[len(levels) :], probability


def _quantiles(effects: Floats32, shares: Sequence[float]) -> Floats:
    """Return quantiles over draws, between two by a straight line; all from one sort."""
    ranked = np.sort(effects, axis=0)
    place = np.array(shares) * (len(ranked) - 1)
    below = np.floor(place).astype(np.int64)
    above = np.minimum(below + 1, len(ranked) - 1)
    beyond = (place - below).reshape(-1, *(1 for _ in effects.shape[1:]))
    ends: Floats = ranked[below] * (1.0 - beyond) + ranked[above] * beyond
    return ends


@compiled
def _follow(
    candidates: Ints, coefficients: Floats, order: Ints, causes: Ints, effects: Floats32
) -> None:  # fmt: skip
    """Write total effects along every drawn graph, (M, causes, H, V)."""
    size = candidates.shape[0]
    for draw in range(order.shape[0]):
        for horizon in range(effects.shape[2]):
            for k in range(size):
                node = order[draw, k]
                for slot in range(candidates.shape[1]):
                    weight = coefficients[draw, node, slot]
                    if weight == 0.0:
                        continue
                    lag, parent = divmod(candidates[node, slot], size)
                    if lag > horizon:
                        continue
                    for c in range(causes.size):
                        before = effects[draw, c, horizon - lag, parent]
                        if lag == horizon and parent == causes[c]:
                            before = 1.0
                        effects[draw, c, horizon, node] += weight * before


@compiled
def sort_graphs(candidates: Ints, chosen: Ints, order: Ints) -> bool:
    """Write the nodes of every graph with causes before effects; False if one has a cycle.

    Args:
        candidates: Columns, (V, K).
        chosen: Sets of candidates, (M, V).
        order: Written, (M, V).
    """
    size = candidates.shape[0]
    placed = np.zeros(size, np.bool_)
    for draw in range(chosen.shape[0]):
        placed[:] = False
        count, before = 0, -1
        while count < size:
            if count == before:
                return False
            before = count
            for node in range(size):
                ready = not placed[node]
                for slot in range(candidates.shape[1]):
                    column = candidates[node, slot]
                    if ready and (chosen[draw, node] >> slot) & 1 and column < size:
                        ready = placed[column]
                if ready:
                    order[draw, count] = node
                    placed[node] = True
                    count += 1
    return True
