"""A policy for the functions it was trained for, rules for the others."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from itertools import compress

from cellhive.core.types import Change, KpiFrame, Network, Outcome, Parameters, Plan
from cellhive.flows.policy.optimizer import Model, PolicyOptimizer, PolicySettings, layered
from cellhive.flows.policy.plans import BESIDE_RULES
from cellhive.flows.watch import WatchRules
from cellhive.ran.son.rules import Rules

_TURNED_BY = {
    "ES": ("asleep",),
    "CCO": ("electrical_tilt_deg", "tx_power_dbm"),
    "MLB": ("cio_db",),
    "MRO": ("cio_db",),  # hysteresis and timing of a cell only where offsets cannot help
}
"""Parameters that each rule-based function is for."""

_FIRST = frozenset({"CCO", "MLB"})
"""Functions that come before the policy at sites of several carriers; energy saving always does.
Mobility robustness comes after it: handovers that fail are the policy's own work."""


@dataclass(frozen=True)
class Turns:
    """Who acts where and when."""

    policy: int = 6
    """Periods in which the policy is asked first, at sites of one carrier."""
    rules: int = 4
    """Periods in which it is not asked there."""
    margin: float = 1.0
    """See ``PolicySettings.margin``: beside rules a policy should settle."""
    clear: int = 2
    """Periods for which the policy keeps away from where load balancing, energy saving or
    coverage wanted something at a site of several carriers, that in which they did included."""
    reach: int = WatchRules().neighbours
    """Neighbours of such a cell that it keeps away from too: those that the loop watches."""


def left_to_rules(model: Model) -> frozenset[str]:
    """Return the rule-based functions that turn nothing which a policy turns by itself."""
    alone = (role for role in model.roles if not role.beside_rules)
    turned = {head for role in alone for head in role.shape.heads}
    return frozenset(name for name, heads in _TURNED_BY.items() if not turned & set(heads))


class PolicyWithRules:
    """A policy, and the rules for what it does not turn.

    Each waits where the other's plans are watched, so that it matters who is asked first.

    - At sites of **one carrier** they take turns, the policy first: asked in every period, it
      would leave the rules nothing (its steps are many), or the rules the policy.
    - At sites of **several carriers** load balancing, energy saving and coverage come first in
      every period: what a full or an idle layer needs is another layer, and it needs it now.
      The policy takes what is left, away from the cells these wanted something of lately and
      from their neighbours; mobility robustness comes last.
    - What a policy learned **beside the rules** goes first at sites of several carriers, as it did
      while it learned: there it knows what they do. It repeats nothing that they want.
    """

    def __init__(self, model: Model, turns: Turns | None = None) -> None:
        """Start without having seen a network."""
        self._turns, self._periods = turns or Turns(), 0
        settings = PolicySettings(margin=self._turns.margin, beside_rules=True)
        self.policy = PolicyOptimizer(model, settings)
        self.rules = Rules(functions=left_to_rules(model))
        self._lately: deque[frozenset[str]] = deque(maxlen=max(1, self._turns.clear))
        self._network: Network | None = None
        self._layered: frozenset[str] = frozenset()

    @property
    def deciding(self) -> Model:
        """The policy that decides, beside the rules."""
        return self.policy.model

    def take(self, model: Model) -> None:
        """Decide with another policy; the rules act for the functions that it leaves alone."""
        if left_to_rules(model) != left_to_rules(self.policy.model):
            self.rules = Rules(functions=left_to_rules(model))
        self.policy.take(model)

    def propose(
        self, network: Network, parameters: Parameters, frames: Sequence[KpiFrame], now_s: float
    ) -> list[Plan]:
        """Return the plans of both, those first that come first."""
        if self._network is not network:
            self._network = network
            self._layered = frozenset(compress(network.cell_ids, layered(network)))
        wanted = self.policy.propose(network, parameters, frames, now_s)
        added = [plan for plan in wanted if plan.function in BESIDE_RULES]
        own = [plan for plan in wanted if plan.function not in BESIDE_RULES]
        ruled = self.rules.propose(network, parameters, frames, now_s)
        first, later = self._parted(ruled)
        turn = self._periods % (self._turns.policy + self._turns.rules)
        self._periods += 1
        self._lately.append(frozenset(c for plan in first for c in _cells(plan.changes)))
        barred = self._near(network)
        if turn >= self._turns.policy:
            barred |= set(network.cell_ids) - self._layered
        added = _beyond(added, ruled)
        return [*added, *first, *_without(own, barred), *later]

    def learn(self, outcome: Outcome) -> None:
        """Tell both what became of a plan; each knows its own."""
        self.rules.learn(outcome)
        self.policy.learn(outcome)

    def _parted(self, plans: Sequence[Plan]) -> tuple[list[Plan], list[Plan]]:
        """Return the plans of the rules that come before the policy, and those after.

        A plan that reaches both kinds of site becomes two; the two changes of a pair of offsets
        name the same cells, and so stay together. What sleeps has another layer over it, at
        whichever site: that plan is never parted.
        """
        first: list[Plan] = []
        later: list[Plan] = []
        for plan in plans:
            urgent = tuple(
                change for change in plan.changes
                if plan.function == "ES"
                or (plan.function in _FIRST and _cells((change,)) & self._layered)
            )  # fmt: skip
            rest = tuple(change for change in plan.changes if change not in urgent)
            if urgent:
                first.append(replace(plan, changes=urgent))
            if rest:
                name = f"{plan.plan_id}-2" if urgent else plan.plan_id
                later.append(replace(plan, plan_id=name, changes=rest))
        return first, later

    def _near(self, network: Network) -> set[str]:
        """Return the cells that the rules wanted something of lately, and their neighbours."""
        wanted = set().union(*self._lately)
        index, names = network.cell_index, network.cell_ids
        for cell in tuple(wanted):
            near = network.neighbours_of(index[cell])[: self._turns.reach]
            wanted.update(names[other] for other in near)
        return wanted


def _cells(changes: Sequence[Change]) -> set[str]:
    """Return the cells that changes name."""
    return {name for c in changes for name in (c.cell, c.target) if name is not None}


def _without(plans: Sequence[Plan], barred: Collection[str]) -> list[Plan]:
    """Return plans without the changes that name some cells."""
    left = [
        replace(plan, changes=tuple(c for c in plan.changes if not _cells((c,)) & set(barred)))
        for plan in plans
    ]
    return [plan for plan in left if plan.changes]


def _beyond(plans: Sequence[Plan], others: Sequence[Plan]) -> list[Plan]:
    """Return plans without changes that others make too."""
    told = {(c.object_id, c.parameter) for plan in others for c in plan.changes}
    left = [
        replace(
            plan, changes=tuple(c for c in plan.changes if (c.object_id, c.parameter) not in told)
        )
        for plan in plans
    ]  # fmt: skip
    return [plan for plan in left if plan.changes]
