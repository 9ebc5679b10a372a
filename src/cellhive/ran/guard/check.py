"""A plan against the rules, change by change."""

from __future__ import annotations

import math
from dataclasses import replace

from cellhive.core.types import Change, Network, Parameters, Plan, Refusal, Verdict
from cellhive.ran.guard.rules import RULES, Case, loop_push_db
from cellhive.ran.guard.state import GuardState, Limits, record
from cellhive.ran.parameters import apply_changes


def check(
    plan: Plan,
    network: Network,
    parameters: Parameters,
    state: GuardState,
    now_s: float,
    limits: Limits,
) -> Verdict:
    """Return which changes of a plan may be made now, and why the others may not.

    A change that is refused does not stop the others, with one exception: the two
    directions of a relation in one plan of MLB, or in a roll-back, belong together.
    Rules that look at several changes see those let through before: first what leads
    away from handover loops, then what leads towards them.

    Functions are told apart by ``Plan.function``. "operator" is a person, whom the rules
    between functions do not bind. "rollback" undoes changes that were made; neither freeze
    switch, grid, step, interval and budget nor the rules between functions stop it.

    Args:
        plan: Changes with the values they start from.
        network: The network.
        parameters: Its parameters, read back.
        state: What the guard remembers.
        now_s: The time now [s].
        limits: Settings of the guard.
    """
    case = Case(plan, network, parameters.copy(), state, now_s, limits)
    refused: dict[int, Refusal] = {}
    for group in _groups(plan):
        refused.update(_admit(case, group))
    accepted = tuple(c for place, c in enumerate(plan.changes) if place not in refused)
    return Verdict(plan, accepted, tuple(refused[place] for place in sorted(refused)))


def _groups(plan: Plan) -> list[list[int]]:
    """Return the places of the changes of a plan that stand or fall together, in order."""
    groups: dict[object, list[int]] = {}
    for place, change in enumerate(plan.changes):
        key: object = place
        if change.target is not None and plan.function in {"MLB", "rollback"}:
            key = frozenset((change.cell, change.target))
        groups.setdefault(key, []).append(place)

    def push_db(places: list[int]) -> float:
        total = sum(loop_push_db(plan.changes[place]) for place in places)
        return total if math.isfinite(total) else 0.0

    for places in groups.values():
        places.sort(key=lambda place: push_db([place]))
    return sorted(groups.values(), key=push_db)


def _admit(case: Case, group: list[int]) -> dict[int, Refusal]:
    """Take a group into the case, or return why not, by place."""
    before, taken = case.parameters, len(case.taken)
    for place in group:
        change = case.plan.changes[place]
        objection = _objection(case, change)
        if objection is not None:
            case.parameters = before
            del case.taken[taken:]
            return _refusals(case.plan, group, place, objection)
        case.parameters = apply_changes(case.parameters, case.network, [change])
        case.taken.append(change)
    return {}


def _objection(case: Case, change: Change) -> Refusal | None:
    for name, rule in RULES:
        reason = rule(case, change)
        if reason:
            return Refusal(change, name, reason)
    return None


def _refusals(plan: Plan, group: list[int], culprit: int, refusal: Refusal) -> dict[int, Refusal]:
    """Refuse the culprit for its own reason and its companions for its sake."""
    reason = f"It belongs together with the change of {refusal.change.object_id}: {refusal.reason}"
    others = {place: Refusal(plan.changes[place], "together", reason) for place in group}
    return {**others, culprit: refusal}


class Guard:
    """The guard of one network: ``check`` and ``record`` with their state."""

    def __init__(self, limits: Limits | None = None, state: GuardState | None = None) -> None:
        """Start with no change made; the first parameters checked are the initial ones."""
        self.limits = Limits() if limits is None else limits
        self.state = GuardState() if state is None else state

    def check(self, plan: Plan, network: Network, parameters: Parameters, now_s: float) -> Verdict:
        """Return which changes of a plan may be made now, and why the others may not."""
        if self.state.base is None:
            self.state = replace(self.state, base=parameters.copy())
        return check(plan, network, parameters, self.state, now_s, self.limits)

    def record(self, plan: Plan, now_s: float) -> None:
        """Take note that a plan, with exactly these changes, was applied."""
        self.state = record(self.state, plan, now_s, self.limits)

    def freeze(self, on: bool = True) -> None:
        """Set or release the freeze switch."""
        self.state = replace(self.state, frozen=on)
