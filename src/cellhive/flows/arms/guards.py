"""Guards that count: one that refuses, and one that lets everything pass."""

from __future__ import annotations

from collections import Counter

from cellhive.core.types import Network, Parameters, Plan, Verdict
from cellhive.flows.decide import ROLLBACK, PlanGuard


class CountingGuard:
    """A guard that says how many changes it objected to, by rule."""

    def __init__(self, guard: PlanGuard, *, enforce: bool = True) -> None:
        """Stand before a guard.

        Args:
            guard: Who judges.
            enforce: Refuse what it refuses; otherwise everything passes and is counted only.
        """
        self._guard, self._enforce = guard, enforce
        self.objections: Counter[str] = Counter()
        """Changes objected to by rule; those of roll-backs are not counted."""

    def check(self, plan: Plan, network: Network, parameters: Parameters, now_s: float) -> Verdict:
        """Return the guard's verdict, or one that accepts all."""
        verdict = self._guard.check(plan, network, parameters, now_s)
        if plan.function != ROLLBACK:
            self.objections.update(refusal.rule for refusal in verdict.refused)
        return verdict if self._enforce else Verdict(plan, plan.changes, ())

    def record(self, plan: Plan, now_s: float) -> None:
        """Take note that a plan was applied."""
        self._guard.record(plan, now_s)
