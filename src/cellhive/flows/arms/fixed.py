"""Fixed settings as arms: the sets of 3GPP, and whoever leads a network to a setting."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from cellhive.core.schema import QUANTITIES
from cellhive.core.types import Change, KpiFrame, Network, Outcome, Parameters, Plan
from cellhive.flows.tuning import Setting
from cellhive.ran.parameters import TOLERANCE, diff, step_on_grid


class MobilitySet(NamedTuple):
    """One column of TR 36.839 table 5.3.2.1."""

    time_to_trigger_s: float
    a3_offset_db: float
    filter_coefficient: float


MOBILITY_SETS = {
    "set-1": MobilitySet(0.48, 3.0, 4.0),
    "set-2": MobilitySet(0.16, 3.0, 4.0),
    "set-3": MobilitySet(0.16, 2.0, 1.0),
    "set-4": MobilitySet(0.08, 1.0, 1.0),
    "set-5": MobilitySet(0.04, -1.0, 0.0),
}
"""Parameter sets 1 to 5 of TR 36.839; the hysteresis of each is 0 dB. Set 5 hands a user at
the border back and forth for ever: it needs a guard that lets loops through."""


def mobility_set(name: str, initial: Parameters) -> Setting:
    """Return a set of TR 36.839 over a whole network; everything else stays as it was."""
    chosen = MOBILITY_SETS[name]
    cells = initial.asleep.size
    columns = {key: np.full(cells, value) for key, value in chosen._asdict().items()}
    parameters = replace(initial, **columns, hysteresis_db=np.zeros(cells))
    return Setting(parameters, np.zeros(cells, np.bool_))


class Toward:
    """An optimiser that leads a network to a setting, in steps that a guard may let through.

    One plan per period, with every change that is still to be made, each cut to the largest
    step of its parameter. What is refused is asked for again.
    """

    def __init__(self, setting: Setting, busy: Callable[[float], float]) -> None:
        """Keep where to go.

        Args:
            setting: The setting, with the cells that sleep while it is quiet.
            busy: Share of the busiest hour's traffic at a time of day [s].
        """
        self._setting, self._busy = setting, busy

    def propose(
        self, network: Network, parameters: Parameters, frames: Sequence[KpiFrame], now_s: float
    ) -> list[Plan]:
        """Return one plan with the next step of everything that is not there yet, or none."""
        wanted = self._setting.at(self._busy(now_s))
        steps = tuple(_step(change) for change in diff(network, parameters, wanted))
        if not steps or not frames:
            return []
        number = round(now_s / frames[-1].period_s)
        return [Plan(f"fixed-{number}", "fixed", now_s, steps)]

    def learn(self, outcome: Outcome) -> None:
        """Take in nothing: the setting stays what it is."""


def _step(change: Change) -> Change:
    """Return a change cut to the largest step of its parameter, on its grid."""
    quantity = QUANTITIES[change.parameter]
    size = abs(change.after - change.before)
    if size <= quantity.max_step or not quantity.grid:
        return change
    sign = 1 if change.after > change.before else -1
    after = step_on_grid(change.parameter, change.before, sign)
    while True:
        further = step_on_grid(change.parameter, after, sign)
        if further == after or abs(further - change.before) > quantity.max_step + TOLERANCE:
            return replace(change, after=after)
        after = further
