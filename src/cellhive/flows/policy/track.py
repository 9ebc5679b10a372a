"""What was changed when, as somebody knows it who is shown the parameters once a period."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from cellhive.core.types import Bools, Change, Floats, Ints, Network, Outcome, Parameters
from cellhive.flows.decide import ROLLED_BACK
from cellhive.ran.guard.rules import is_wake
from cellhive.ran.guard.state import Limits
from cellhive.ran.parameters import TOLERANCE
from cellhive.rl.admission import (
    ASLEEP,
    KINDS,
    LONG_AGO_S,
    PARAMETERS_OF_A_CELL,
    Course,
    Standing,
    standing,
)
from cellhive.rl.env import values_of


class Track:
    """The course of one network: present and initial values, and when each was changed.

    The environment keeps it while it trains; here it follows from the parameters that are
    read back, so that it also knows what other functions and people did.
    """

    def __init__(self, network: Network, limits: Limits) -> None:
        """Begin with nothing changed.

        Args:
            network: The network.
            limits: Those of the guard that will look at the plans.
        """
        self.network, self._limits = network, limits
        self.rules: Standing = standing(network, limits)
        self._source = network.relation_source.astype(np.int64)
        self._course: Course | None = None
        self._now_s = LONG_AGO_S
        self._made: list[tuple[float, Ints]] = []
        self._undone: list[Outcome] = []
        self._blocked_s = np.full((2, 0), LONG_AGO_S)

    @property
    def course(self) -> Course:
        """What was decided so far, of one network (E = 1)."""
        if self._course is None:
            message = "take the parameters of a period first"
            raise RuntimeError(message)
        return self._course

    def undone(self, outcome: Outcome) -> None:
        """Take note that a plan was rolled back; kept ones need not be told."""
        if outcome.verdict == ROLLED_BACK:
            self._undone.append(outcome)

    def take(self, parameters: Parameters, now_s: float) -> Course:
        """Take in the parameters of a period and return the course.

        Args:
            parameters: As read back now.
            now_s: End of the period [s].
        """
        values = values_of(parameters)[None]
        if self._course is None:
            nothing = np.full((1, self.network.cells), LONG_AGO_S)
            self._course = Course(
                values, values.copy(), np.full(values.shape, LONG_AGO_S), nothing,
                np.zeros((1, self.network.cells), np.int32),
            )  # fmt: skip
            self._blocked_s = np.full((2, values.shape[1]), LONG_AGO_S)
        else:
            self._changed(values)
        self._note_undone()
        self._now_s = now_s
        since_s = now_s - self._limits.window_s
        self._made = [(time_s, count) for time_s, count in self._made if time_s > since_s]
        self._course.spent[0] = sum((count for _, count in self._made), np.int32(0))
        return self._course

    def _changed(self, values: Floats) -> None:
        """Note what differs from the period before: it was changed at the end of that one."""
        course = self.course
        before, undone = course.values[0], self._undone_places()
        moved = np.abs(values[0] - before) > TOLERANCE
        cells = self.network.cells
        woken = moved[ASLEEP * cells : (ASLEEP + 1) * cells] & (
            before[ASLEEP * cells : (ASLEEP + 1) * cells] > 0
        )
        course.changed_s[0, moved] = self._now_s
        course.woken_s[0, woken] = self._now_s
        counted = moved & ~undone
        counted[ASLEEP * cells : (ASLEEP + 1) * cells] &= ~woken
        count = np.bincount(self.rules.cell[counted], minlength=cells).astype(np.int32)
        self._made.append((self._now_s, count))
        course.values[:] = values

    def _undone_places(self) -> Bools:
        places = np.zeros(self.course.values.shape[1], np.bool_)
        for outcome in self._undone:
            places[self.places(outcome.plan.changes)] = True
        return places

    def _note_undone(self) -> None:
        """Note what was rolled back: it was changed just now, and not to be tried again soon."""
        for outcome in self._undone:
            for change, place in zip(
                outcome.plan.changes, self.places(outcome.plan.changes), strict=True
            ):
                self.course.changed_s[0, place] = outcome.decided_s
                if not is_wake(change):
                    until_s = outcome.decided_s + self._limits.block_s
                    self._blocked_s[int(change.after > change.before), place] = until_s
        self._undone.clear()

    def blocked(self, place: Ints) -> Bools:
        """Return where going down and up was rolled back lately, (N, 2).

        Args:
            place: Values asked about, -1 for none, (N,).
        """
        held = self._now_s < self._blocked_s[:, np.maximum(place, 0)]
        return np.asarray((held & (place >= 0)).T)

    def places(self, changes: Sequence[Change]) -> list[int]:
        """Return which value of the network each change is about."""
        index, cells = self.network.cell_index, self.network.cells
        found = []
        for change in changes:
            cell = index[change.cell]
            if change.target is None:
                found.append(KINDS.index(change.parameter) * cells + cell)
            else:
                relation = self.network.relation_index[cell, index[change.target]]
                found.append(len(PARAMETERS_OF_A_CELL) * cells + relation)
        return found
