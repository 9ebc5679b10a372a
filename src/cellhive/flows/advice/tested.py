"""What the causal engine can tell of a step: what it does per unit, and what it proposes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from cellhive.causal.queries.planning import Outcome, responses_of
from cellhive.core.schema import QUANTITIES
from cellhive.core.types import Floats
from cellhive.diagnose.advice.capacity import users_of
from cellhive.diagnose.advice.recommendation import (
    Basis,
    Expected,
    Recommendation,
    Seen,
    Step,
    Topic,
)
from cellhive.diagnose.advice.verification import verification
from cellhive.flows.advice.seen import Present, parameter_like
from cellhive.flows.causes.change import Proposal, levers_of
from cellhive.flows.causes.model import CausalModel
from cellhive.flows.causes.why import Causes
from cellhive.ran.parameters import snap

CLEAR = 0.9
"""Probability of the sign from which an effect counts as identified."""
MOST_CELLS = 3
"""Cells for which one proposal of the causal engine is spelled out: the worst."""

_GEOMETRY = ("electrical_tilt_deg", "tx_power_dbm")
_NO_USERS = 0.1


@dataclass(frozen=True)
class Told:
    """What the causal engine says of steps."""

    causes: Causes | None

    def per_unit(self, parameter: str, quantity: str) -> Expected | None:
        """Return what a unit of a parameter does to a quantity, or None where it cannot tell.

        Args:
            parameter: Name in the registry.
            quantity: Name in the registry.
        """
        if self.causes is None or self.causes.summary is None:
            return None
        summary = self.causes.summary
        model = summary.model
        levers = [n for n in levers_of(model, summary.tiers) if parameter_like(_like(model, n))
                  == parameter]  # fmt: skip
        targets = [name for name in model.names if _like(model, name) == quantity]
        if not levers or not targets:
            return None
        responses = responses_of(summary.mechanisms, levers[:1])
        draws: Floats = responses.per_unit[:, 0, responses.names.index(targets[0])]
        sure = max(float((draws > 0).mean()), float((draws < 0).mean()))
        if sure < CLEAR:
            return None
        unit = QUANTITIES[quantity].unit
        factor = 0.01 if unit == "ratio" and model.unit(targets[0]) == "%" else 1.0
        return Expected.of_draws(quantity, unit, draws * factor, Basis.POSTERIOR)

    def why_not(self) -> str:
        """Return why the causal engine says nothing of steps, or "" where it does."""
        if self.causes is None:
            return "the causal engine was not asked: no effect of a change is identified"
        if self.causes.summary is None:
            return self.causes.problem.rstrip(".")
        proposals = self.causes.proposals
        return proposals.why if proposals is not None else ""


def _like(model: CausalModel, name: str) -> str:
    return str(model.told.like.get(name, name))


def causal_advice(
    causes: Causes | None, seen: Sequence[Seen], present: Present
) -> list[Recommendation]:
    """Return the causal engine's proposals as changes of the cells that need them most.

    Args:
        causes: What it says of the analysis, if it was asked.
        seen: Measurements.
        present: Values of parameters where known.
    """
    if causes is None or causes.summary is None or causes.proposals is None:
        return []
    out = []
    for proposal in causes.proposals.proposals:
        for option in proposal.advice.options[:1]:
            made = _proposed(proposal, option, causes, seen, present)
            out += [made] if made is not None else []
    return out


def _proposed(
    proposal: Proposal, option: Outcome, causes: Causes, seen: Sequence[Seen], present: Present
) -> Recommendation | None:
    summary = causes.summary
    if summary is None or option.better < CLEAR or len(option.changes) != 1:
        return None
    model = summary.model
    lever, by = next(iter(option.changes.items()))
    parameter = parameter_like(_like(model, lever)) or parameter_like(lever)
    if not parameter or QUANTITIES[parameter].per.value == "relation":
        return None
    cells = _worst(proposal, causes)
    steps = []
    for cell in cells:
        before = present.get((cell, None, parameter), math.nan)
        after = snap(parameter, before + by) if math.isfinite(before) else math.nan
        if not math.isfinite(after) or after != before:
            steps.append(Step(cell, parameter, before, after, by))
    if not steps:
        return None
    low, mean, high = option.effects.get(proposal.goal, (option.low, option.gain, option.high))
    effect = Expected.of_interval(proposal.goal, proposal.unit, low, mean, high, Basis.POSTERIOR)
    harm = max(option.harm.items(), key=lambda item: item[1], default=("", 0.0))
    at = model.seen.names.index(proposal.goal)
    row = model.seen.cell(steps[0].cell)
    series = model.seen.values[:, row, at]
    known = [users for one in seen if steps[0].cell in one.objects
             for users in (users_of(one, steps[0].cell),) if math.isfinite(users)]  # fmt: skip
    level = float(np.nanmean(np.abs(series)))
    share = abs(mean) / 100.0 if proposal.unit == "%" else _NO_USERS * abs(mean) / max(level, 1e-9)
    names = ", ".join(step.cell for step in steps)
    outside = (f"{lever} ends where the data have hardly been",) if option.outside else ()
    return Recommendation(
        Topic.COVERAGE if parameter in _GEOMETRY else Topic.MOBILITY,
        tuple(step.cell for step in steps),
        f"Change {lever} of {names} by {by:+g}: {proposal.goal} is expected to get better",
        tuple(steps), effect,
        (f"in the data {lever} was changed while other cells went on; the drawn models agree with "
         f"{option.better:.0%} that {proposal.goal} gains",
         f"these cells have the worst {proposal.goal}", *outside),
        known[0] if known else math.nan,
        f"{harm[0]} gets worse by half its usual spread" if harm[0] else "no other KPI is modelled",
        harm[1],
        verification(proposal.goal, proposal.unit, series, model.seen.step_s, mean),
        "; ".join(f"set {step.parameter} of {step.cell} back" for step in steps),
        option.better, min(share, 0.3),
    )  # fmt: skip


def _worst(proposal: Proposal, causes: Causes) -> list[str]:
    summary = causes.summary
    if summary is None:
        return []
    seen = summary.model.seen
    values = seen.values[:, :, seen.names.index(proposal.goal)]
    known = np.isfinite(values).any(axis=0)
    means = np.full(values.shape[1], np.nan)
    means[known] = np.nanmean(values[:, known], axis=0)
    order = np.argsort(means if proposal.better == "higher" else -means)
    return [seen.cells[k] for k in order.tolist() if np.isfinite(means[k])][:MOST_CELLS]
