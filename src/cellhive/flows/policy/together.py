"""A policy for the functions it was trained for, rules for the others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from cellhive.core.types import KpiFrame, Network, Outcome, Parameters, Plan
from cellhive.flows.policy.optimizer import Model, PolicyOptimizer, PolicySettings
from cellhive.ran.son.rules import Rules

_TURNED_BY = {
    "ES": ("asleep",),
    "CCO": ("electrical_tilt_deg", "tx_power_dbm"),
    "MLB": ("cio_db",),
    "MRO": ("cio_db",),  # hysteresis and timing of a cell only where offsets cannot help
}
"""Parameters that each rule-based function is for."""


@dataclass(frozen=True)
class Turns:
    """How long each acts before the other does."""

    policy: int = 6
    """Periods in which the policy proposes."""
    rules: int = 4
    """Periods in which it does not."""
    margin: float = 1.0
    """See ``PolicySettings.margin``: beside rules a policy should settle."""


def left_to_rules(model: Model) -> frozenset[str]:
    """Return the rule-based functions that turn nothing which a policy turns."""
    turned = {head for role in model.roles for head in role.shape.heads}
    return frozenset(name for name, heads in _TURNED_BY.items() if not turned & set(heads))


class PolicyWithRules:
    """A policy, and the rules for what it does not turn.

    They take turns, the policy first, because each waits where the other's plans are watched:
    asked in one period, the policy would leave the rules nothing (its steps are many), or the
    rules the policy.
    """

    def __init__(self, model: Model, turns: Turns | None = None) -> None:
        """Start without having seen a network."""
        self._turns, self._periods = turns or Turns(), 0
        self.policy = PolicyOptimizer(model, PolicySettings(margin=self._turns.margin))
        self.rules = Rules(functions=left_to_rules(model))

    def propose(
        self, network: Network, parameters: Parameters, frames: Sequence[KpiFrame], now_s: float
    ) -> list[Plan]:
        """Return the plans of the policy in its turn, and those of the rules."""
        own = self.policy.propose(network, parameters, frames, now_s)
        theirs = self.rules.propose(network, parameters, frames, now_s)
        turn = self._periods % (self._turns.policy + self._turns.rules)
        self._periods += 1
        return [*own, *theirs] if turn < self._turns.policy else theirs

    def learn(self, outcome: Outcome) -> None:
        """Tell both what became of a plan; each knows its own."""
        self.rules.learn(outcome)
        self.policy.learn(outcome)
