"""From single changes to plans that can be watched: neighbourhoods of one function."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from cellhive.core.types import Change, Network, Plan
from cellhive.flows.decide import FAMILY

AUTHOR = "RL"
"""Author of the plans of a policy, as ``ran.guard.state.author_of`` reads it."""
_BESIDE = "beside"
BESIDE_RULES = frozenset(f"{AUTHOR}/{_BESIDE}-{family}" for family in set(FAMILY.values()))
"""Functions of plans of roles that learned beside the rules, such as "RL/beside-energy". The
rules were at work everywhere while these learned, and so may be where such plans are watched."""


class Wanted(NamedTuple):
    """A change that a policy wants, and how much."""

    function: str
    """See ``function_of``."""
    margin: float
    """By how much it is preferred over keeping [difference of logits]."""
    change: Change


@dataclass(frozen=True)
class Grouping:
    """How changes become plans."""

    neighbours: int = -1
    """Neighbours of the cell with the strongest wish that join its plan: those that the loop
    watches with it. Negative: the plan takes in the whole network, which no cell left alone is
    like: neighbourhoods were rolled back by comparison with cells that the policy changed too."""


def function_of(role: str, parameter: str, *, beside_rules: bool = False) -> str:
    """Return what a plan is filed under.

    Args:
        role: Name of the role that wants it: where one role turns everything, it is the family of
            the parameter instead.
        parameter: What is turned.
        beside_rules: Whether the role learned beside the rules: the family, marked.
    """
    family = FAMILY[parameter]
    if beside_rules:
        return f"{_BESIDE}-{family}"
    return family if role == "joint" else role


def plans_of(
    wanted: Sequence[Wanted], network: Network, grouping: Grouping, stamp: tuple[str, float],
    evidence: tuple[str, ...],
) -> list[Plan]:  # fmt: skip
    """Return plans, those with the strongest wish first.

    A plan holds changes of one function in one neighbourhood: what is judged together, and
    undone together if it does harm, is what can be told apart from the rest of the network.

    Args:
        wanted: Changes, each parameter of each object at most once.
        network: The network.
        grouping: How changes become plans.
        stamp: Part of the plans' names that no other period has, and the time [s].
        evidence: Where the reasons come from.
    """
    name, now_s = stamp
    left = sorted(wanted, key=lambda w: (-w.margin, w.function, w.change.object_id))
    index = network.cell_index
    plans: list[Plan] = []
    while left:
        first = left[0]
        centre = index[first.change.cell]
        area = {centre, *network.neighbours_of(centre)[: max(grouping.neighbours, 0)]}
        if first.change.target is not None:
            area.add(index[first.change.target])
        whole = grouping.neighbours < 0
        mine = [
            w for w in left
            if w.function == first.function
            and (whole or {index[c] for c in (w.change.cell, w.change.target) if c} <= area)
        ]  # fmt: skip
        plans.append(
            Plan(
                plan_id=f"{AUTHOR}-{first.function}-{name}-{len(plans) + 1}",
                function=f"{AUTHOR}/{first.function}",
                time_s=now_s,
                changes=tuple(w.change for w in mine),
                evidence=evidence,
            )
        )
        chosen = {id(w) for w in mine}
        left = [w for w in left if id(w) not in chosen]
    return plans
