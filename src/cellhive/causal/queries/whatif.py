"""What would have been: one cell's periods, had some variables been set otherwise.

Three steps (Pearl 2009, section 7.1). *Abduction*: what nothing explains in each period stays
as it was. *Action*: the variables that are set listen to their causes no more. *Prediction*:
the difference runs along the graph. Mechanisms here are linear, so what nothing explains
cancels: a difference needs the values of the set variables and no others, and is exact in
every drawn model. Intervals are over drawn graphs and coefficients.

Axis letters: ``M`` drawn models, ``P`` periods, ``V`` variables, ``K`` candidates.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from cellhive.causal.effects import LEVELS, Mechanisms, checked_levels, level_of, place_of
from cellhive.core.compiled import compiled
from cellhive.core.errors import BadInput
from cellhive.core.types import Bools, Floats, Ints

FAR_SD = 3.0
"""Distance from the mean above which a value counts as outside the data, limits unknown."""


@dataclass(frozen=True)
class Counterfactual:
    """What periods of a cell would have been, and how far that is from what was."""

    names: tuple[str, ...]
    changes: Mapping[str, float]
    """What was set to which value."""
    levels: tuple[float, ...]
    factual: Floats
    """What was, NaN where not measured, (P, V)."""
    difference: Floats
    """Posterior mean of what would have been less what was, (P, V)."""
    low: Floats
    """Lower end of the interval of the difference, [level, period, variable]."""
    high: Floats
    """Upper end, likewise."""
    reach: Mapping[str, float]
    """How far each value that was set is from the mean of the data [standard deviations]."""

    @property
    def mean(self) -> Floats:
        """What would have been, (P, V)."""
        return self.factual + self.difference

    @property
    def extrapolated(self) -> tuple[str, ...]:
        """Variables set to what the data hardly saw: holds if mechanisms go on as they were."""
        return tuple(name for name, far in self.reach.items() if abs(far) > FAR_SD)

    def of(self, name: str, *, period: int = -1, level: float = 0.9) -> tuple[float, float, float]:
        """Return low end, mean and high end of what a variable would have been.

        Args:
            name: Variable.
            period: Of those given.
            level: Probability that the interval holds.
        """
        at, which = place_of(self.names, name), level_of(self.levels, level)
        last = len(self.factual)
        if not -last <= period < last:
            raise BadInput(expected=f"a period of {-last} to {last - 1}", found=str(period))
        was = float(self.factual[period, at])
        return (
            was + float(self.low[which, period, at]), was + float(self.difference[period, at]),
            was + float(self.high[which, period, at]),
        )  # fmt: skip


def counterfactual(
    mechanisms: Mechanisms,
    seen: Floats,
    changes: Mapping[str, float],
    *,
    since: int = 0,
    until: int | None = None,
    levels: Sequence[float] = LEVELS,
) -> Counterfactual:
    """Return what periods of one cell would have been, had variables been set to other values.

    Args:
        mechanisms: Drawn models.
        seen: What was, in the variables' units, periods in turn, (P, V) or (V,) for one.
        changes: Value that each changed variable is set to, in its unit.
        since: First of the periods in which it is set.
        until: Period from which it is its own master again; None for never.
        levels: Probabilities of the intervals.

    Raises:
        NotFound: If a changed variable is unknown.
        BadInput: If it was not measured in a period in which it is set.
    """
    posterior = mechanisms.posterior
    factual = rows_of(seen, posterior.names)
    scale, draws = posterior.statistics.deviation[: len(posterior.names)], len(posterior.chosen)
    set_in = slice(since, until)
    fixed = np.zeros(factual.shape, np.bool_)
    start = np.zeros(factual.shape)
    for name, value in changes.items():
        at = place_of(posterior.names, name)
        if not math.isfinite(value):
            raise BadInput(expected=f"a finite value to set {name!r} to", found=f"{value:g}")
        fixed[set_in, at] = True
        start[set_in, at] = (value - factual[set_in, at]) / scale[at]
        _refuse_gap(name, start[set_in, at])
    difference = np.tile(start, (draws, 1, 1))
    _spread(posterior.candidates, mechanisms.coefficients, mechanisms.order, fixed, difference)
    mean, low, high = band(difference, levels)
    mean_of = posterior.statistics.mean
    reach = {
        name: float((value - mean_of[at]) / scale[at])
        for name, value in changes.items()
        for at in [place_of(posterior.names, name)]
    }
    return Counterfactual(
        posterior.names, dict(changes), tuple(levels), factual, mean * scale, low * scale,
        high * scale, reach,
    )  # fmt: skip


def rows_of(seen: Floats, names: Sequence[str]) -> Floats:
    """Return periods of a cell as rows, (P, V).

    Raises:
        BadInput: If the shape is another.
    """
    rows = np.atleast_2d(np.asarray(seen, np.float64))
    if rows.ndim != 2 or rows.shape[1] != len(names):  # noqa: PLR2004
        raise BadInput(
            expected=f"periods of one cell with {len(names)} variables",
            found=f"shape {np.shape(seen)}", remedy="give a value, or NaN, for each variable",
        )  # fmt: skip
    return rows


def columns_of(rows: Floats, names: Sequence[str], lags: int) -> Floats:
    """Return the columns of a period: its variables, then those of earlier ones, (D,).

    Args:
        rows: The period and those before it, oldest first, (L + 1, V).
        names: Of the variables.
        lags: How many periods before it the model knows.

    Raises:
        BadInput: If the shape is another, or a value is missing.
    """
    checked = rows_of(rows, names)
    if len(checked) != lags + 1:
        raise BadInput(
            expected=f"the period and the {lags} before it", found=f"{len(checked)} periods",
            remedy="give as many periods as the model has lags, and one",
        )  # fmt: skip
    if not np.isfinite(checked).all():
        gaps = sorted({names[int(k)] for k in np.argwhere(~np.isfinite(checked))[:, 1]})
        raise BadInput(
            expected="a value of every variable in every period",
            found=f"no value of {', '.join(gaps[:6])}",
            remedy="choose periods without gaps, or fill them in",
        )  # fmt: skip
    return checked[::-1].reshape(-1)


def _refuse_gap(name: str, change: Floats) -> None:
    if not len(change):
        raise BadInput(
            expected="at least one period in which something is set", found="none",
            remedy="change since and until",
        )  # fmt: skip
    if not np.isfinite(change).all():
        raise BadInput(
            expected=f"values of {name!r} in the periods in which it is set",
            found=f"{int((~np.isfinite(change)).sum())} missing",
            remedy="fill in what was configured then",
        )  # fmt: skip


def band(values: Floats, levels: Sequence[float]) -> tuple[Floats, Floats, Floats]:
    """Return mean and ends of intervals over the first axis; ends are [level, ...].

    The ends are order statistics: of 500 draws the difference to interpolated quantiles is
    a fraction of their own error, and sorting once is several times as quick.

    Args:
        values: Draws, (M, ...).
        levels: Probabilities of the intervals.
    """
    checked_levels(levels)
    sorted_ = np.sort(np.moveaxis(values, 0, -1).copy(), axis=-1)
    last = values.shape[0] - 1
    low = np.stack([sorted_[..., round(0.5 * (1.0 - level) * last)] for level in levels])
    high = np.stack([sorted_[..., round(0.5 * (1.0 + level) * last)] for level in levels])
    return values.mean(axis=0), low, high


@compiled
def _spread(
    candidates: Ints, coefficients: Floats, order: Ints, fixed: Bools, change: Floats
) -> None:  # fmt: skip
    """Add to every change, (M, P, V), what comes from changes of causes; fixed ones listen not."""
    size = candidates.shape[0]
    for draw in range(change.shape[0]):
        for period in range(change.shape[1]):
            for k in range(size):
                node = order[draw, k]
                if fixed[period, node]:
                    continue
                total = 0.0
                for slot in range(candidates.shape[1]):
                    weight = coefficients[draw, node, slot]
                    if weight == 0.0:
                        continue
                    lag, parent = divmod(candidates[node, slot], size)
                    if lag <= period:
                        total += weight * change[draw, period - lag, parent]
                change[draw, period, node] += total
