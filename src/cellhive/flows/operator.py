"""What a person adds to a run: a plan of their own, and hours in which nothing may change."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from cellhive.core.errors import BadInput
from cellhive.core.types import Change, KpiFrame, Network, Outcome, Parameters, Plan
from cellhive.flows.decide import Optimizer
from cellhive.ran.parameters import value_of

_DAY_S = 86_400.0
_WINDOW = re.compile(r"([01]\d|2[0-3]):([0-5]\d)-([01]\d|2[0-3]):([0-5]\d)")


class FreezeWindow(NamedTuple):
    """Hours of every day in which the guard's freeze switch is on."""

    start_s: float
    """Time of day [s after midnight]."""
    end_s: float
    """Not included; before the start where the window spans midnight."""

    @classmethod
    def parse(cls, text: str, place: str) -> FreezeWindow:
        """Return the window that "17:00-21:30" says, or raise BadInput."""
        match = _WINDOW.fullmatch(text.strip())
        times = [int(part) * 60.0 for part in match.groups()] if match else []
        if not times or text[:5] == text[-5:]:
            raise BadInput(
                place=place, expected="two different times of day, such as 17:00-21:30",
                found=repr(text),
            )  # fmt: skip
        return cls(times[0] * 60.0 + times[1], times[2] * 60.0 + times[3])

    def holds(self, now_s: float) -> bool:
        """Return whether a time [s after midnight of the first day] lies in the window."""
        time_s = now_s % _DAY_S
        if self.start_s < self.end_s:
            return self.start_s <= time_s < self.end_s
        return time_s >= self.start_s or time_s < self.end_s


class Operator:
    """Puts one given plan forward in the first period, then lets another propose."""

    def __init__(self, plan: Plan, then: Optimizer) -> None:
        """Take the plan of a person and who proposes after it."""
        self._plan: Plan | None = plan
        self._then = then

    def propose(
        self, network: Network, parameters: Parameters, frames: Sequence[KpiFrame], now_s: float
    ) -> list[Plan]:
        """Return the given plan once, then whatever the other proposes."""
        if self._plan is not None:
            plan, self._plan = self._plan, None
            changes = tuple(_from_present(change, network, parameters) for change in plan.changes)
            return [replace(plan, function="operator", time_s=now_s, changes=changes)]
        return self._then.propose(network, parameters, frames, now_s)

    def learn(self, outcome: Outcome) -> None:
        """Pass outcomes on."""
        self._then.learn(outcome)


def _from_present(change: Change, network: Network, parameters: Parameters) -> Change:
    """Return a change that says what it starts from, where its file did not."""
    if np.isfinite(change.before):
        return change
    return replace(change, before=value_of(parameters, network, change))
