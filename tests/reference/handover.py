"""Slow and obvious twin of connected-mode mobility: one user, plain Python floats.

Written from TS 38.331 §5.3.10 and §5.5.4.4, TR 36.839 §5.2, TS 38.300 §15.5.2 and TR
36.902 §4.5.2. Counts go into two ``collections.Counter``: by (cell, event) and by
((source, target), event).
"""

from __future__ import annotations

from collections import Counter
from types import SimpleNamespace
from typing import Any

IDLE, CONNECTED, PREPARING, EXECUTING, LOST, BLOCKED, COMMANDED = range(7)
LONG_AGO_S = 1e9
RATIO = 1e-4


class Mobility:
    """Procedures of the users of one network."""

    def __init__(self, procedures: Any, step_s: float) -> None:
        """Take the settings and start counting from nothing."""
        self.settings, self.step_s = procedures, step_s
        self.q_out = 10 ** (procedures.q_out_db / 10)
        self.q_in = 10 ** (procedures.q_in_db / 10)
        self.cell: Counter[tuple[int, str]] = Counter()
        self.relation: Counter[tuple[tuple[int, int], str]] = Counter()

    def attach(self, user: SimpleNamespace, cell: int, sinr: float) -> None:
        """Serve the user here; radio link monitoring starts afresh."""
        user.serving, user.state, user.target = cell, CONNECTED, -1
        user.sinr = sinr
        user.sinr_out = user.sinr_in = sinr
        user.past_1 = user.past_2 = user.past_3 = user.past_4 = sinr
        user.out_s = user.in_s = user.t310_s = 0.0

    def link_failed(self, user: SimpleNamespace, sinr: float, ties: Any) -> bool:
        """Advance radio link monitoring: means over 200 and 100 ms, N310, T310, N311."""
        window = [sinr, user.past_1, user.past_2, user.past_3, user.past_4]
        user.sinr_out, user.sinr_in = sum(window) / 5, sum(window[:2]) / 2
        user.past_1, user.past_2, user.past_3, user.past_4 = window[:4]
        if user.t310_s > 0:
            back = ties.above(user.sinr_in, self.q_in, RATIO * self.q_in)
            user.in_s = user.in_s + self.step_s if back else 0.0
            if user.in_s > (self.settings.n311 - 1) * 0.1 + self.step_s / 100:
                user.t310_s = user.out_s = user.in_s = 0.0
                return False
            user.t310_s -= self.step_s
            return bool(user.t310_s < self.step_s / 100)
        bad = ties.above(self.q_out, user.sinr_out, RATIO * self.q_out)
        user.out_s = user.out_s + self.step_s if bad else 0.0
        if user.out_s > (self.settings.n310 - 1) * 0.2 + self.step_s / 100:
            user.t310_s, user.in_s = self.settings.t310_s, 0.0
            return bool(user.t310_s <= 0)
        return False

    def lose(self, user: SimpleNamespace, *, in_handover: bool) -> None:
        """Leave the link; a failure outside a handover is a radio link failure."""
        if not in_handover:
            self.cell[user.serving, "rlf"] += 1
        user.state, user.lost_in, user.lost_kind = LOST, user.serving, int(in_handover)
        user.timer_s = self.settings.reestablishment_s

    def prepare(self, user: SimpleNamespace, target: int) -> None:
        """Ask the target for resources."""
        self.cell[user.serving, "preparation"] += 1
        self.relation[(user.serving, target), "preparation"] += 1
        user.state, user.target = PREPARING, target
        user.timer_s = self.settings.preparation_s

    def command(self, user: SimpleNamespace, sinr: float, *, admitted: bool, ties: Any) -> None:
        """Send the command, unless the target refuses or the radio link loses it."""
        if not admitted:
            self.cell[user.serving, "preparation failure"] += 1
            user.state, user.target = CONNECTED, -1
            return
        self.cell[user.serving, "preparation success"] += 1
        self.cell[user.serving, "execution"] += 1
        if self.settings.rule == 0 and user.t310_s > 0:  # TR 36.839: T310 is running
            self.lose(user, in_handover=False)
            return
        user.state = COMMANDED
        self.hear(user, sinr, ties)

    def hear(self, user: SimpleNamespace, sinr: float, ties: Any) -> None:
        """Start the execution, unless the command is not heard under TS 38.331."""
        if self.settings.rule == 1 and ties.above(self.q_out, sinr, RATIO * self.q_out):
            return
        user.state = EXECUTING
        user.timer_s += self.settings.execution_s

    def complete(self, user: SimpleNamespace, sinr: float, ties: Any) -> None:
        """Arrive in the target, or fail there because its SINR is below Qout."""
        source, target = user.serving, user.target
        user.ho_source, user.ho_target = source, target
        if ties.above(self.q_out, sinr, RATIO * self.q_out):
            self.cell[source, "execution failure"] += 1
            self.relation[(source, target), "execution failure"] += 1
            self.lose(user, in_handover=True)
            return
        self.cell[source, "execution success"] += 1
        self.relation[(source, target), "execution success"] += 1
        stay_limit = self.settings.minimum_stay_s
        if target == user.stay_from and ties.above(stay_limit, user.stay_s, 1e-4):
            self.cell[target, "ping-pong"] += 1
            self.relation[(target, source), "ping-pong"] += 1
        user.stay_from, user.stay_s, user.since_ho_s = source, 0.0, 0.0
        self.attach(user, target, sinr)

    def reestablish(self, user: SimpleNamespace, cell: int, sinr: float, ties: Any) -> None:
        """Come back, and say what the failure was."""
        self.cell[cell, "re-establishment"] += 1
        label, blamed = self._label(user, cell, ties)
        if label == "coverage hole":
            self.cell[cell, label] += 1
        elif label:
            self.cell[blamed[0], label] += 1
            self.relation[blamed, label] += 1
            if label == "wrong cell":
                self.relation[(blamed[0], cell), "wrong cell taken"] += 1
        user.since_ho_s, user.stay_s, user.stay_from = LONG_AGO_S, 0.0, -1
        user.lost_in = user.ho_source = user.ho_target = -1
        self.attach(user, cell, sinr)

    def _label(self, user: SimpleNamespace, cell: int, ties: Any) -> tuple[str, tuple[int, int]]:
        """Return the root cause and the (source, target) it is blamed on."""
        handover = (user.ho_source, user.ho_target)
        limit = self.settings.store_context_s
        recent = user.lost_in == user.ho_target and ties.above(limit, user.since_ho_s, 1e-4)
        if user.lost_kind == 1 or recent:
            if cell == user.ho_source:
                return "too early", handover
            if cell != user.ho_target:
                return "wrong cell", handover
            # Back in the target: a failed access that a second one mended, or a hole there.
            return ("coverage hole" if cell == user.lost_in else ""), handover
        if cell != user.lost_in:
            return "too late", (user.lost_in, cell)
        return "coverage hole", handover
