"""A policy for the functions it was trained for, rules for the others."""

from __future__ import annotations

from collections.abc import Sequence

from cellhive.core.types import KpiFrame, Network, Outcome, Parameters, Plan
from cellhive.flows.policy.optimizer import Model, PolicyOptimizer
from cellhive.ran.son.rules import Rules

_TURNED_BY = {
    "ES": ("asleep",),
    "CCO": ("electrical_tilt_deg", "tx_power_dbm"),
    "MLB": ("cio_db",),
    "MRO": ("cio_db",),  # hysteresis and timing of a cell only where offsets cannot help
}
"""Parameters that each rule-based function is for."""


def left_to_rules(model: Model) -> frozenset[str]:
    """Return the rule-based functions that turn nothing which a policy turns."""
    turned = {head for role in model.roles for head in role.shape.heads}
    return frozenset(name for name, heads in _TURNED_BY.items() if not turned & set(heads))


class PolicyWithRules:
    """A policy, and the rules for what it does not turn.

    The policy is asked first: it settles within hours, and then leaves the field to the rules,
    whose changes never end. The other way round it hardly gets to act on the highway.
    """

    def __init__(self, model: Model) -> None:
        """Start without having seen a network."""
        self.policy = PolicyOptimizer(model)
        self.rules = Rules(functions=left_to_rules(model))

    def propose(
        self, network: Network, parameters: Parameters, frames: Sequence[KpiFrame], now_s: float
    ) -> list[Plan]:
        """Return the plans of the policy, then those of the rules."""
        return [
            *self.policy.propose(network, parameters, frames, now_s),
            *self.rules.propose(network, parameters, frames, now_s),
        ]

    def learn(self, outcome: Outcome) -> None:
        """Tell both what became of a plan; each knows its own."""
        self.rules.learn(outcome)
        self.policy.learn(outcome)
