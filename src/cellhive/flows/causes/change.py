"""What to change: settings that varied in the data, and what changing them is expected to do."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from cellhive.causal.motifs import Tier
from cellhive.causal.queries.planning import Advice, Aim, Harm, Lever, advise, responses_of
from cellhive.core.schema import QUANTITIES, Kind
from cellhive.flows.causes.model import CausalModel
from cellhive.flows.causes.summary import Summary

_MOST_GOALS, _MOST_LEVERS, _MOST_HARMS = 3, 6, 12
_HARM_SPREADS = 0.5
"""Fall of another KPI that counts as a harm [its standard deviations]."""
_HARM_PROBABILITY = 0.1
_STEPS = (-2.0, -1.0, -0.5, 0.5, 1.0, 2.0)
"""Changes to consider [standard deviations of the setting], where the registry has no grid."""
_NOT_SET = r"bandwidth|avail|azimuth|asleep"
"""Words of surroundings: in the tier of what is set, but no operator turns them."""


@dataclass(frozen=True)
class Proposal:
    """What to change for one goal."""

    goal: str
    better: str
    """"higher" or "lower"."""
    unit: str
    advice: Advice


@dataclass(frozen=True)
class Proposals:
    """What to change."""

    levers: tuple[str, ...]
    """Settings that varied in the data."""
    proposals: tuple[Proposal, ...]
    why: str = ""
    """Where there are none: why, and what to bring."""


def levers_of(model: CausalModel, tiers: Mapping[str, int]) -> tuple[str, ...]:
    """Return the variables of a model that an operator can set.

    Args:
        model: The model; a variable in it has varied.
        tiers: Of its variables.
    """
    return tuple(
        name for name in model.names
        if tiers.get(name) == Tier.CONFIGURATION and not re.search(_NOT_SET, name.casefold())
        and _kind(model.told.like.get(name, name)) in (None, Kind.PARAMETER)
    )  # fmt: skip


def _kind(name: str) -> Kind | None:
    quantity = QUANTITIES.get(name)
    return quantity.kind if quantity is not None else None


def proposals_of(summary: Summary, better: Mapping[str, str], hurt: Sequence[str]) -> Proposals:
    """Return which settings to change.

    Args:
        summary: Of the model.
        better: "higher" or "lower" for each variable of which it is known.
        hurt: Variables that got worse, the worst first: the goals, if a direction is known.
    """
    model = summary.model
    levers = levers_of(model, summary.tiers)
    if not levers:
        why = (
            "The data hold no setting that varied, so no change of one can be judged from them. "
            "Bring a table with a column for each setting (tilt, power, handover offsets) beside "
            "the KPIs, over a time in which some of them were changed; or try changes in the twin."
        )
        return Proposals((), (), why)
    known = [name for name in model.names if better.get(name) in ("higher", "lower")]
    late = sorted(known, key=lambda name: -summary.tiers.get(name, 0))
    goals = list(dict.fromkeys([*(name for name in hurt if name in known), *late]))[:_MOST_GOALS]
    if not goals:
        why = "Of no KPI in the data it is known whether higher or lower is better."
        return Proposals(levers, (), why)
    responses = responses_of(summary.mechanisms, levers[:_MOST_LEVERS])
    made = []
    for goal in goals:
        aim = Aim(
            {goal: 1.0 if better[goal] == "higher" else -1.0},
            _harms(model, better, goal),
            most_levers=1,
        )
        steps = [Lever(name, _steps(model, name)) for name in levers[:_MOST_LEVERS]]
        advice = advise(responses, steps, aim, top=3)
        made.append(Proposal(goal, better[goal], model.unit(goal), advice))
    return Proposals(levers, tuple(made))


def _harms(model: CausalModel, better: Mapping[str, str], goal: str) -> tuple[Harm, ...]:
    scale = model.posterior.statistics.deviation
    others = [
        (k, name) for k, name in enumerate(model.names)
        if name != goal and better.get(name) in ("higher", "lower")
    ]  # fmt: skip
    return tuple(
        Harm(
            name, float(_HARM_SPREADS * scale[k]) * (-1.0 if better[name] == "higher" else 1.0),
            _HARM_PROBABILITY,
        )
        for k, name in others[:_MOST_HARMS]
    )  # fmt: skip


def _steps(model: CausalModel, name: str) -> tuple[float, ...]:
    quantity = QUANTITIES.get(model.told.like.get(name, name))
    spread = float(model.posterior.statistics.deviation[model.names.index(name)])
    low, high = model.seen.limits[model.seen.names.index(name)]
    most = float(high - low)
    if quantity is not None and len(quantity.grid) > 1:
        most = min(most, quantity.max_step)
        grid = sorted(
            {round(b - a, 6) for a, b in zip(quantity.grid, quantity.grid[1:], strict=False)}
        )
        if len(grid) == 1:
            count = max(int(most / grid[0] + 1e-9), 1)
            steps = [k * grid[0] for k in range(1, count + 1)][:10]
            return (*(-step for step in reversed(steps)), *steps)
    steps_ = {float(f"{k * spread:.2g}") for k in _STEPS if abs(k * spread) <= most}
    return tuple(sorted(steps_ - {0.0})) or (-float(f"{spread:.2g}"), float(f"{spread:.2g}"))
