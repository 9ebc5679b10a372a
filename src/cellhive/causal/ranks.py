"""Counters that are far from normal: statistics of their normal scores, and the way back.

Loads, drop counts and delays are skewed, bounded or heavy-tailed. Each variable is replaced by
the normal score of its rank (van der Waerden 1952), after which linear-Gaussian statistics and
the posterior over graphs are those of a Gaussian copula (Liu, Lafferty and Wasserman 2009;
for causal graphs Harris and Drton 2013): no monotone change of a variable's scale matters, and
no outlier counts for more than the highest rank.

The price: an effect is then in normal scores of the effect per normal score of the cause, not
in the units of either, since how much a step changes depends on where it begins.
``Marginals.change`` translates one step from one value to another; there is no effect "per
unit". What is not monotone, and what changes the spread only, stays unseen.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import special

from cellhive.causal.statistics import checked_panel
from cellhive.core.errors import BadInput, NotFound
from cellhive.core.types import Floats

_KNOTS = 512


@dataclass(frozen=True)
class Marginals:
    """How each variable is distributed: what normal score belongs to which value."""

    names: tuple[str, ...]
    knots: tuple[Floats, ...]
    """Rising values of each variable, in its unit."""
    at: tuple[Floats, ...]
    """Their normal scores."""

    def scores(self, values: Floats) -> Floats:
        """Return normal scores; values beyond those seen have the score of the outermost.

        Args:
            values: In the variables' units, NaN where missing, (..., V).
        """
        return self._through(values, self.knots, self.at)

    def values(self, scores: Floats) -> Floats:
        """Return the values of normal scores, within what was seen, (..., V).

        Args:
            scores: (..., V).
        """
        return self._through(scores, self.at, self.knots)

    def _through(
        self, given: Floats, source: Sequence[Floats], target: Sequence[Floats]
    ) -> Floats:  # fmt: skip
        array = np.asarray(given, np.float64)
        if array.ndim == 0 or array.shape[-1] != len(self.names):
            raise BadInput(
                expected=f"{len(self.names)} variables on the last axis",
                found=f"shape {array.shape}",
            )
        parts = [
            np.interp(array[..., k], source[k], target[k]) for k in range(len(self.names))
        ]  # fmt: skip
        found: Floats = np.stack(parts, axis=-1)
        return found

    def change(
        self,
        scored: Sequence[float],
        cause: str,
        effect: str,
        *,
        before: float,
        after: float,
        at: float | None = None,
    ) -> list[float]:
        """Return how a variable changes when a cause is set from one value to another.

        For a cell in which all else stays as it was: the effect moves its normal score, and
        the difference of the values before and after is returned. Outside the values seen
        there is no answer but their end.

        Args:
            scored: The effect or ends of its interval, in normal scores per normal score.
            cause: Variable that is set.
            effect: Variable that is looked at.
            before: Value of the cause without the change, in its unit.
            after: Value of the cause with it.
            at: Value of the effect without it, in its unit; None for its median.

        Returns:
            The same in the unit of the effect, rising.
        """
        source, target = self._index(cause), self._index(effect)
        outside = [v for v in (before, after) if not self._holds(source, v)]
        if outside or (at is not None and not self._holds(target, at)):
            which, value = (source, outside[0]) if outside else (target, at)
            low, high = self.knots[which][0], self.knots[which][-1]
            raise BadInput(
                expected=f"values of {self.names[which]!r} from {low:g} to {high:g}",
                found=f"{value:g}", remedy="ranks say nothing beyond what was seen",
            )  # fmt: skip
        steps = np.interp([before, after], self.knots[source], self.at[source])
        start = 0.0 if at is None else float(np.interp(at, self.knots[target], self.at[target]))
        begin = float(np.interp(start, self.at[target], self.knots[target]))
        ends = start + np.asarray(scored, np.float64) * (steps[1] - steps[0])
        moved = np.interp(ends, self.at[target], self.knots[target])
        return [float(each) for each in np.sort(moved - begin)]

    def _index(self, name: str) -> int:
        if name not in self.names:
            message = f"expected one of {', '.join(self.names[:8])}, ..., found {name!r}"
            raise NotFound(message)
        return self.names.index(name)

    def _holds(self, which: int, value: float) -> bool:
        return bool(self.knots[which][0] <= value <= self.knots[which][-1])


def marginals_of(panel: Floats, names: Sequence[str]) -> Marginals:
    """Return how each variable of a panel is distributed over all its cells and periods.

    Equal values share the mean of their ranks. Of more than 512 different values as many are
    kept, evenly over normal scores. Periods to come can be turned into scores by those of the
    past, which is what following a network asks for.

    Args:
        panel: Values [unit of the variable], NaN where missing: (T, C, V), or (T, V).
        names: Of the variables, length V.
    """
    values = checked_panel(panel, names, 0)
    knots, scores = [], []
    for k, name in enumerate(names):
        column = values[:, :, k]
        found, count = np.unique(column[np.isfinite(column)], return_counts=True)
        if len(found) < 2:  # noqa: PLR2004
            raise BadInput(
                expected="variables with different values", found=f"{len(found)} of {name!r}",
                remedy="leave it out of the variables",
            )  # fmt: skip
        share = (np.cumsum(count) - 0.5 * count) / count.sum()
        score = special.ndtri(share)
        if len(found) > _KNOTS:
            wanted = np.linspace(score[0], score[-1], _KNOTS)
            kept = np.unique(np.searchsorted(score, wanted).clip(0, len(score) - 1))
            found, score = found[kept], score[kept]
        knots.append(found)
        scores.append(score)
    return Marginals(tuple(names), tuple(knots), tuple(scores))


def normal_scores(panel: Floats, names: Sequence[str]) -> tuple[Floats, Marginals]:
    """Return a panel of normal scores, for ``statistics_of``, and the way back.

    Args:
        panel: Values [unit of the variable], NaN where missing: (T, C, V), or (T, V).
        names: Of the variables, length V.
    """
    marginals = marginals_of(panel, names)
    return marginals.scores(np.asarray(panel, np.float64)), marginals
