"""What a SON function sees, and what it must offer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from cellhive.core.types import Change, Effect, Floats, KpiFrame, Network, Outcome, Parameters
from cellhive.ran.parameters import Address, step_on_grid, value_of

ROLLED_BACK = "rolled back"
"""``Outcome.verdict`` of a plan that was undone."""


@dataclass(frozen=True)
class View:
    """A network as it stands at the end of a period."""

    network: Network
    parameters: Parameters
    """As read back now, (C,) and (R,)."""
    base: Parameters
    """Initial configuration; offsets are limited relative to it."""
    frames: Sequence[KpiFrame]
    """Periods observed so far, oldest first; not empty."""
    now_s: float
    """End of the last period [s]."""
    _kept: dict[tuple[str, int], Floats] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )
    """What was asked for before: functions ask for the same of every cell in turn."""

    def latest(self, name: str) -> Floats:
        """Return a cell column of the last period, (C,); NaN where nothing is known."""
        return self.column(name, -1)

    def column(self, name: str, period: int) -> Floats:
        """Return a cell column of a period counted from the last, -1, backwards, (C,).

        NaN where nothing is known, also where the period or the column does not exist. It is
        for reading only.
        """
        if (name, period) not in self._kept:
            if -period > len(self.frames) or name not in self.frames[period].columns:
                found = np.full(self.network.cells, np.nan)
            else:
                found = self.frames[period].column(name).astype(np.float64)
            found.setflags(write=False)
            self._kept[name, period] = found
        return self._kept[name, period]

    def users_by_coverage(self, period: int) -> Floats:
        """Return mean users of a period counted backwards, (3, C).

        All of them, the weakly covered and those interfered with; 0 where nothing is known.
        """
        if ("", period) not in self._kept:
            users, weak, interfered = (
                np.nan_to_num(self.column(name, period))
                for name in ("RRC.ConnMean", "weak_coverage_ratio", "interference_ratio")
            )
            self._kept["", period] = np.stack([users, users * weak, users * interfered])
        return self._kept["", period]

    def relation(self, name: str) -> Floats:
        """Return a relation column of the last period, (R,); 0 where it does not exist."""
        frame = self.frames[-1]
        if name not in frame.relation_columns or not frame.relation_values.size:
            return np.zeros(self.network.relations)
        return np.nan_to_num(frame.relation_column(name).astype(np.float64))

    def change(self, what: Address, after: float, reason: str) -> Change:
        """Return the change of a parameter from what it holds now."""
        before = value_of(self.parameters, self.network, what)
        return Change(what[0], what[1], before, after, what[2], reason)

    def step(self, what: Address, steps: int, reason: str) -> Change:
        """Return the change of a parameter by some points of its grid."""
        before = value_of(self.parameters, self.network, what)
        return self.change(what, step_on_grid(what[1], before, steps), reason)

    def relation_address(self, relation: int) -> Address:
        """Return the address of the offset of a relation."""
        source, target = self.ends(relation)
        return self.network.cell_ids[source], "cio_db", self.network.cell_ids[target]

    def ends(self, relation: int) -> tuple[int, int]:
        """Return source and target cell index of a relation."""
        network = self.network
        return int(network.relation_source[relation]), int(network.relation_target[relation])

    def back(self, relation: int) -> int | None:
        """Return the relation the other way, or None."""
        source, target = self.ends(relation)
        return self.network.relation_index.get((target, source))


@dataclass(frozen=True)
class Proposal:
    """What a SON function wants changed, and what it expects of it."""

    changes: tuple[Change, ...] = ()
    expected: tuple[Effect, ...] = ()


class SonFunction(Protocol):
    """A self-optimisation function: a state machine that is shown each period once."""

    @property
    def name(self) -> str:
        """Name that plans carry as ``Plan.function``."""
        ...

    def propose(self, view: View) -> Proposal:
        """Take in the last period and return what to change now.

        Call it once per period. Whether a proposal was carried out is seen from the
        parameters of the next call, so refusals need not be reported.
        """
        ...

    def learn(self, outcome: Outcome) -> None:
        """Take in what became of an own plan."""
        ...


@dataclass
class Lessons:
    """Directions in which a parameter was changed and rolled back, and until when to wait."""

    wait_s: float
    until_s: dict[tuple[str, str, bool], float]

    def learn(self, outcome: Outcome) -> None:
        """Note the directions of a plan that was rolled back."""
        if outcome.verdict != ROLLED_BACK:
            return
        for change in outcome.plan.changes:
            self.note(change, outcome.decided_s)

    def note(self, change: Change, now_s: float) -> None:
        """Note that a change did harm."""
        key = (change.object_id, change.parameter, change.after > change.before)
        self.until_s[key] = now_s + self.wait_s

    def forbid(self, change: Change, now_s: float) -> bool:
        """Return whether a change repeats what was rolled back too recently."""
        key = (change.object_id, change.parameter, change.after > change.before)
        return now_s < self.until_s.get(key, -np.inf)


def percent(part: float, whole: float) -> str:
    """Return a share in words and figures: "12 of 80 (15.0 %)"."""
    return f"{part:.0f} of {whole:.0f} ({100 * part / whole:.1f} %)"
