"""What changes lead to where mechanisms bend: by carrying observed rows through drawn models.

Each row keeps what its causes leave of every variable (abduction), some variables are set
(action), and what follows from them is worked out again (prediction). The mean over rows is
the average effect; over rows where another variable lies in a range, the effect among those;
of one row, its counterfactual. A row's values of earlier periods stay as they were.

Axis letters: ``M`` drawn models, ``R`` rows, ``D`` columns, ``V`` variables, ``S`` settings.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from cellhive.causal.effects import LEVELS, Effects, place_of
from cellhive.causal.queries.identification import Answer, Question, Verdict, direction_of, refused
from cellhive.causal.queries.mechanisms import POINTS, REACH_SD, BentMechanisms
from cellhive.causal.queries.whatif import Counterfactual, band, columns_of
from cellhive.core.compiled import compiled
from cellhive.core.errors import BadInput
from cellhive.core.types import Bools, Floats, Floats32, Ints

_ROWS = 200
_FEWEST_ROWS = 20


@dataclass(frozen=True)
class Prospect:
    """What is expected of each variable where some are set, over the rows of the data."""

    names: tuple[str, ...]
    levels: tuple[float, ...]
    shares: tuple[float, ...]
    """Of rows below each quantile."""
    mean: Floats
    """Posterior mean of the mean over rows, (V,)."""
    mean_low: Floats
    """Lower end of the interval of the mean, [level, variable]."""
    mean_high: Floats
    quantile: Floats
    """Posterior mean of each quantile over rows, [share, variable]."""
    quantile_low: Floats
    """Lower end of its interval, [level, share, variable]."""
    quantile_high: Floats


def prospect(
    mechanisms: BentMechanisms,
    generator: np.random.Generator,
    changes: Mapping[str, float],
    *,
    shares: Sequence[float] = (0.05, 0.5, 0.95),
    levels: Sequence[float] = LEVELS,
) -> Prospect:
    """Return means and quantiles of all variables where some are set.

    Args:
        mechanisms: Drawn models.
        generator: Where the choice of rows comes from.
        changes: Value that each variable is set to, in its unit.
        shares: Of rows below each quantile.
        levels: Probabilities of the intervals.
    """
    rows = _some_rows(mechanisms, generator, None)
    drawn = (
        rows[:, :, : len(mechanisms.posterior.names)] + _carried(mechanisms, rows, [changes])[:, 0]
    )
    mean, mean_low, mean_high = band(drawn.mean(axis=1), levels)
    points = np.moveaxis(np.quantile(drawn, shares, axis=1), 0, 1)
    middle, low, high = band(points, levels)
    size = len(mechanisms.posterior.names)
    unit = mechanisms.posterior.statistics.deviation[:size]
    centre = mechanisms.posterior.statistics.mean[:size]
    values = (centre + unit * one for one in (mean, mean_low, mean_high, middle, low, high))
    return Prospect(mechanisms.posterior.names, tuple(levels), tuple(shares), *values)


def average_effects(
    mechanisms: BentMechanisms,
    generator: np.random.Generator,
    *,
    causes: Sequence[str] | None = None,
    between: tuple[float, float] = (0.25, 0.75),
    levels: Sequence[float] = LEVELS,
) -> Effects:
    """Return mean slopes: what moving each cause does to all variables, over the move.

    Args:
        mechanisms: Drawn models.
        generator: Where the choice of rows comes from.
        causes: Variables that are set; None for all.
        between: Shares of rows below where a cause is moved from and where to.
        levels: Probabilities of the intervals.
    """
    posterior = mechanisms.posterior
    wanted = tuple(posterior.names if causes is None else causes)
    statistics, size = posterior.statistics, len(posterior.names)
    rows = _some_rows(mechanisms, generator, None)
    parts, probable = [], []
    for cause in wanted:
        at = place_of(posterior.names, cause)
        ends = np.quantile(mechanisms.basis.rows[:, at], between)
        ends = statistics.mean[at] + statistics.deviation[at] * ends
        settings = [{cause: float(end)} for end in ends]
        drawn = _carried(mechanisms, rows, settings)
        moved = (drawn[:, 1] - drawn[:, 0]).mean(axis=1, dtype=np.float64)
        moved[:, at] = 0.0
        parts.append(band(moved * (statistics.deviation[:size] / (ends[1] - ends[0])), levels))
        probable.append((moved != 0.0).mean(axis=0))
    mean = np.stack([part[0] for part in parts])[:, None]
    low, high = (np.stack([part[k] for part in parts], axis=1)[:, :, None] for k in (1, 2))
    return Effects(
        wanted, posterior.names, tuple(levels), mean, low, high, np.stack(probable)[:, None]
    )  # fmt: skip


def conditional_effect(
    mechanisms: BentMechanisms,
    generator: np.random.Generator,
    question: Question,
    *,
    where: Mapping[str, tuple[float, float]] | None = None,
) -> Answer:
    """Return what moving a cause does to an effect among rows in which others lie in ranges.

    With straight lines and no products this is the same in all rows.

    Args:
        mechanisms: Drawn models.
        generator: Where the choice of rows comes from.
        question: What is asked; the horizon must be 0.
        where: Smallest and largest value of variables among the rows meant, in their units.

    Raises:
        NotFound: If a variable is unknown.
        BadInput: If a later period is asked for.
    """
    posterior, basis = mechanisms.posterior, mechanisms.basis
    if question.horizon:
        raise BadInput(expected="a horizon of 0", found=str(question.horizon))
    cause, effect = (place_of(posterior.names, name) for name in (question.cause, question.effect))
    statistics = posterior.statistics
    begin, stop = question.ends(statistics)
    meant = _meant(mechanisms, where or {})
    if len(meant) < _FEWEST_ROWS:
        among = " and ".join(f"{low:g} <= {name} <= {high:g}"
                             for name, (low, high) in (where or {}).items())  # fmt: skip
        reason = f"Only {len(meant)} rows have {among}; {_FEWEST_ROWS} would be the fewest."
        return refused(question, [reason])
    rows = _some_rows(mechanisms, generator, meant)
    settings = [{question.cause: begin}, {question.cause: stop}]
    drawn = _carried(mechanisms, rows, settings)[..., effect]
    moved = (drawn[:, 1] - drawn[:, 0]).mean(axis=1, dtype=np.float64)
    moved *= statistics.deviation[effect]
    mean, low, high = band(moved, (0.5, 0.9))
    seen = statistics.mean[cause] + statistics.deviation[cause] * basis.rows[meant, cause]
    outside = max(float(seen.min()) - min(begin, stop), max(begin, stop) - float(seen.max()))
    way = direction_of(posterior, cause, effect)
    reasons = [f"Among {len(meant)} rows."]
    verdict = Verdict.CLEAR
    if outside > 0.0:
        verdict = Verdict.EXTRAPOLATED
        far = outside / float(statistics.deviation[cause])
        reasons.append(f"{far:.1f} standard deviations outside what these rows saw.")
    if way.undecided:
        verdict = Verdict.UNDECIDED
        reasons.append(
            f"Which comes first is open: {question.cause} in {way.forth:.0%} of the graphs that "
            f"fit, {question.effect} in {way.back:.0%}."
        )
    return Answer(
        question.cause, question.effect, stop - begin, verdict, float(mean),
        (float(low[0]), float(high[0])), (float(low[1]), float(high[1])), way, None, tuple(reasons),
    )  # fmt: skip


def bent_counterfactual(
    mechanisms: BentMechanisms,
    seen: Floats,
    changes: Mapping[str, float],
    *,
    levels: Sequence[float] = LEVELS,
) -> Counterfactual:
    """Return what a period of one cell would have been, had variables been set otherwise.

    Args:
        mechanisms: Drawn models.
        seen: The period and the earlier ones that the model knows, oldest first, (L + 1, V).
        changes: Value that each changed variable is set to, in its unit.
        levels: Probabilities of the intervals.

    Raises:
        BadInput: If a value is missing: how far a curve bends depends on where it stands.
    """
    posterior = mechanisms.posterior
    statistics, size = posterior.statistics, len(posterior.names)
    columns = columns_of(seen, posterior.names, statistics.lags)
    row = (columns - statistics.mean) / statistics.deviation
    rows = np.tile(row, (mechanisms.draws, 1, 1))
    drawn = _carried(mechanisms, rows, [changes])[:, 0].astype(np.float64)
    unit = statistics.deviation[:size]
    mean, low, high = band(drawn * unit, levels)
    reach = {
        name: float((value - statistics.mean[at]) / unit[at])
        for name, value in changes.items()
        for at in [place_of(posterior.names, name)]
    }
    return Counterfactual(
        posterior.names, dict(changes), tuple(levels), columns[None, :size], mean, low, high, reach
    )  # fmt: skip


def _meant(mechanisms: BentMechanisms, where: Mapping[str, tuple[float, float]]) -> Ints:
    """Return the rows in which all variables lie in their ranges."""
    statistics, inside = mechanisms.posterior.statistics, np.ones(len(mechanisms.basis.rows), bool)
    for name, (low, high) in where.items():
        at = place_of(statistics.names, name)
        values = statistics.mean[at] + statistics.deviation[at] * mechanisms.basis.rows[:, at]
        slack = 1e-9 * float(statistics.deviation[at])
        inside &= (values >= low - slack) & (values <= high + slack)
    return np.flatnonzero(inside).astype(np.int32)


def _some_rows(
    mechanisms: BentMechanisms, generator: np.random.Generator, among: Ints | None
) -> Floats:
    """Return rows for each drawn model, drawn with replacement, so that their chance counts."""
    every = mechanisms.basis.rows if among is None else mechanisms.basis.rows[among]
    return every[generator.integers(0, len(every), (mechanisms.draws, _ROWS))]


def _carried(
    mechanisms: BentMechanisms, rows: Floats, settings: Sequence[Mapping[str, float]]
) -> Floats32:
    """Return how rows change in each drawn model under each setting, (M, S, R, V)."""
    statistics, size = mechanisms.posterior.statistics, len(mechanisms.posterior.names)
    fixed = np.zeros((len(settings), size), np.bool_)
    value = np.zeros((len(settings), size))
    for k, changes in enumerate(settings):
        for name, to in changes.items():
            at = place_of(statistics.names, name)
            fixed[k, at] = True
            value[k, at] = (to - statistics.mean[at]) / statistics.deviation[at]
    out = np.zeros((len(rows), len(settings), rows.shape[1], size), np.float32)
    _carry_rows(
        mechanisms.order, mechanisms.first, mechanisms.column, mechanisms.curve, mechanisms.pairs,
        mechanisms.product, np.ascontiguousarray(rows), fixed, value, out,
    )  # fmt: skip
    return out


@compiled
def _carry_rows(
    order: Ints, first: Ints, column: Ints, curve: Floats, pairs: Ints, product: Floats,
    rows: Floats, fixed: Bools, value: Floats, out: Floats32,
) -> None:  # fmt: skip
    """Write how rows change under settings; what no set variable reaches does not, exactly."""
    size, columns = order.shape[1], rows.shape[2]
    now, moved = np.empty(columns), np.zeros(columns, np.bool_)
    for draw in range(order.shape[0]):
        for row in range(rows.shape[1]):
            was = rows[draw, row]
            for setting in range(fixed.shape[0]):
                for c in range(columns):
                    now[c], moved[c] = was[c], False
                for k in range(size):
                    node = order[draw, k]
                    if fixed[setting, node]:
                        now[node], moved[node] = value[setting, node], True
                    else:
                        edges = first[draw, node], first[draw, node + 1]
                        change = _bend(column, curve, edges[0], edges[1], was, now, moved)
                        change += _interplay(pairs[draw, node], product[draw, node], was, now)
                        now[node] += change
                        moved[node] = now[node] != was[node]
                    out[draw, setting, row, node] = now[node] - was[node]


@compiled
def _bend(
    column: Ints, curve: Floats, begin: int, end: int, was: Floats, now: Floats, moved: Bools
) -> float:  # fmt: skip
    """Return what the curves of moved parents add."""
    change = 0.0
    for edge in range(begin, end):
        parent = column[edge]
        if not moved[parent]:
            continue
        for side in range(2):
            x = now[parent] if side else was[parent]
            at = (x + REACH_SD) * ((POINTS - 1) / (2.0 * REACH_SD))
            left = min(max(int(at), 0), POINTS - 2)
            slope = curve[edge, left + 1] - curve[edge, left]
            height = curve[edge, left] + (at - left) * slope
            change += height if side else -height
    return change


@compiled
def _interplay(pairs: Ints, product: Floats, was: Floats, now: Floats) -> float:
    """Return what products of parents add."""
    change = 0.0
    for k in range(product.size):
        a, b = pairs[k, 0], pairs[k, 1]
        if a >= 0:
            change += product[k] * (now[a] * now[b] - was[a] * was[b])
    return change
