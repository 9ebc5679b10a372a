"""Questions to a causal model of measured cells: effects, what-ifs, differences, advice.

Where lasting differences between cells were taken off, values are looked at beside the cell's
own mean; what goes in and comes out is in the variables' units all the same.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from cellhive.causal.effects import place_of
from cellhive.causal.queries.contributions import Contributions, contributions
from cellhive.causal.queries.identification import Answer, Question, Verdict, effect_answer
from cellhive.causal.queries.planning import Advice, Aim, Lever, advise, responses_of
from cellhive.causal.queries.whatif import Counterfactual, counterfactual
from cellhive.causal.statistics import cell_levels
from cellhive.core.errors import BadInput
from cellhive.core.types import Floats
from cellhive.flows.causes.model import CausalModel
from cellhive.flows.causes.observations import centred


def levels_of(model: CausalModel) -> Floats:
    """Return what each cell's values are looked at beside, (C, V).

    Args:
        model: Zeros where lasting differences between cells were left in.
    """
    values = model.seen.chosen_exactly(model.names).values
    if not model.asked.within_cells:
        return np.zeros(values.shape[1:])
    return cell_levels(values)


def effect_of(
    model: CausalModel, cause: str, effect: str, *, change: float | None = None, horizon: int = 0
) -> Answer:
    """Return what moving a cause does to an effect, and how far that can be relied on.

    Args:
        model: Of the network.
        cause: Variable that is moved, in one period.
        effect: Variable that is looked at.
        change: How far, in the cause's unit; None: one standard deviation.
        horizon: Periods later.

    Raises:
        NotFound: If a variable is unknown.
    """
    unusable = {one.name for one in model.unusable}
    limits, start, end = None, None, None
    if cause in model.names:
        values = model.seen.chosen_exactly([cause]).values[:, :, 0]
        values = centred(values[:, :, None])[:, :, 0] if model.asked.within_cells else values
        limits = (float(np.nanmin(values)), float(np.nanmax(values)))
        start = float(model.posterior.statistics.mean[place_of(model.names, cause)])
        end = None if change is None else start + change
    elif cause not in unusable:
        place_of(model.names, cause)
    return effect_answer(
        model.mechanisms(), Question(cause, effect, start, end, horizon), limits=limits,
        unusable=model.unusable,
    )  # fmt: skip


def what_if(
    model: CausalModel, cell: str, period: int, settings: Mapping[str, float], *, periods: int = 1
) -> Counterfactual:
    """Return what periods of a cell would have been with some variables set otherwise.

    Args:
        model: Of the network.
        cell: Its name.
        period: First period in which they are set, from 0; negative ones count from the end.
        settings: Value of each variable that is set, in its unit.
        periods: Periods for which they stay set and that are looked at.

    Raises:
        NotFound: If cell or variable is unknown.
        BadInput: If the periods are not there, or a value to be set was not measured.
    """
    at, values = model.seen.cell(cell), model.seen.chosen_exactly(model.names).values
    first, last = _periods(len(values), period, periods)
    lags = model.asked.lags
    begin = max(first - lags, 0)
    level = levels_of(model)[at]
    relative = {
        name: value - float(level[place_of(model.names, name)]) for name, value in settings.items()
    }
    answer = counterfactual(
        model.mechanisms(), values[begin:last, at] - level, relative, since=first - begin
    )
    kept = slice(first - begin, None)
    return replace(
        answer, changes=dict(settings), factual=answer.factual[kept] + level,
        difference=answer.difference[kept], low=answer.low[:, kept], high=answer.high[:, kept],
    )  # fmt: skip


def difference_of(
    model: CausalModel, cell: str, target: str, before: int, after: int
) -> Contributions:
    """Return where a difference between two periods of a cell came from.

    Args:
        model: Of the network.
        cell: Its name.
        target: Variable whose difference is split.
        before: The one period.
        after: The other.
    """
    at, values = model.seen.cell(cell), model.seen.chosen_exactly(model.names).values
    lags = model.asked.lags
    rows = []
    for period in (before, after):
        first, last = _periods(len(values), period, 1)
        if first < lags:
            wanted = f"a period from {lags} on, since {lags} earlier ones count"
            raise BadInput(expected=wanted, found=str(period))
        rows.append(values[first - lags : last, at])
    return contributions(model.mechanisms(), rows[0], rows[1], target)


def advice_for(
    model: CausalModel, levers: Sequence[Lever], aim: Aim, *, trial_samples: float = 0.0
) -> Advice:
    """Return the best changes of some levers, and what to try.

    Args:
        model: Of the network.
        levers: What may be changed.
        aim: What is wanted, and what is not.
        trial_samples: Cells times periods of a trial; 0 leaves trials out.

    Raises:
        NotFound: If a variable is unknown.
        BadInput: If a lever did not vary or cannot be told from others.
    """
    for lever in levers:
        why = [one.reason for one in model.unusable if one.name == lever.name]
        if why:
            raise BadInput(expected=f"{lever.name} as a variable that varied", found=why[0],
                           remedy="bring data in which it was changed by itself")  # fmt: skip
    names = [lever.name for lever in levers]
    responses = responses_of(model.mechanisms(), names, horizon=aim.horizon)
    return advise(responses, levers, aim, trial_samples=trial_samples)


def strongest(model: CausalModel, effect: str, most: int = 8) -> tuple[Answer, ...]:
    """Return the largest effects on a variable, each of a standard deviation of its cause.

    Args:
        model: Of the network.
        effect: Variable that is looked at.
        most: How many.
    """
    answers = [
        effect_of(model, cause, effect) for cause in model.names if cause != effect
    ]  # fmt: skip
    told = [one for one in answers if one.verdict is not Verdict.REFUSED and one.mean != 0.0]
    return tuple(sorted(told, key=lambda one: -abs(one.mean))[:most])


def _periods(there: int, period: int, periods: int) -> tuple[int, int]:
    first = period + there if period < 0 else period
    if periods < 1 or not 0 <= first <= there - periods:
        raise BadInput(
            expected=f"periods among 0 to {there - 1}",
            found=f"{periods} from {period} on", remedy="negative ones count from the end",
        )  # fmt: skip
    return first, first + periods
