"""Mobility robustness: handovers that come too late, too early or go to the wrong cell."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from cellhive.core.types import Bools, Change, Floats, Outcome, Parameters
from cellhive.ran.parameters import TOLERANCE, loop_slack_db
from cellhive.ran.son.view import Lessons, Proposal, View, percent

_COUNTERS = (
    "MM.HoExeInterSucc.nCI",
    "MM.HoExeInterFail.nCI",
    "HO.IntraSys.TooLate.nCI",
    "HO.IntraSys.TooEarly.nCI",
    "HO.IntraSys.ToWrongCell.nCI",
    "x.HoPingPong.nCI",
    "x.HoWrongCellTaken.nCI",
)


@dataclass(frozen=True)
class MroSettings:
    """Thresholds of mobility robustness optimisation.

    A merge of three published rules: a public "Mobility rApp" (act at a problem rate of
    5 %, from 50 attempts, offsets within 6 dB of the base), cdd_oran MROv2 (early and
    ping-pong above 10 % with at least 3 events; cell-wide hysteresis by 0.5 dB or time to
    trigger by one value where the offset of a relation cannot help) and HandoverLab
    ``a3_mro`` (1 dB per window).
    """

    late_ratio: float = 0.05
    """Share of attempts that fail too late at which handover is made earlier."""
    early_ratio: float = 0.10
    """Share of attempts that fail too early or bounce at which handover is made later."""
    wrong_ratio: float = 0.05
    """Share of attempts to the wrong cell at which the right one is made more attractive."""
    attempts: int = 50
    """Attempts after which a ratio is taken at its word."""
    fewest_attempts: int = 10
    """Attempts below which nothing is concluded; in between a ratio must be significant."""
    events: int = 3
    """Fewest events of a kind that count as a pattern."""
    significance: float = 1.64
    """Standard errors above its threshold that a ratio of few attempts must lie."""
    late_weight: float = 3.0
    """Early events and ping-pongs that weigh as much as one failure that came too late."""
    step_db: int = 1
    """Step of the offset of a relation [dB]."""
    deviation_db: float = 6.0
    """Largest distance of an offset from its base [dB]."""
    loop_margin_db: float = 1.0
    """Distance that is kept from handover loops [dB]."""
    cell_share: float = 0.5
    """Share of a cell's used relations with the same problem at which the cell is tuned."""
    cell_relations: int = 2
    """Fewest used relations for a cell to be tuned as a whole."""
    time_to_trigger_s: tuple[float, float] = (0.08, 0.64)
    """Range within which the time to trigger of a cell is moved [s]."""
    hysteresis_db: tuple[float, float] = (0.0, 3.0)
    """Range within which the hysteresis of a cell is moved [dB]."""
    lesson_s: float = 14400.0
    """How long a direction that was rolled back is not tried again [s]."""
    changes: int = 24
    """Most changes in one plan; the most events come first."""


@dataclass(frozen=True)
class _Counts:
    """Events per relation since its settings were last changed, each (R,)."""

    attempts: Floats
    late: Floats
    early: Floats
    """Too early and ping-pong together."""
    wrong: Floats
    taken: Floats


@dataclass
class Mro:
    """Mobility robustness optimisation by the offset of a relation, or the timing of a cell.

    Per relation: events are summed over periods from the last change of anything that
    decides about them. Mostly late failures raise its offset, mostly early ones and
    ping-pongs lower it; failures in a wrong cell raise the offset of the cell that took
    the user over (half a step each way does not exist on the 1 dB grid of Q-OffsetRange).
    Where half of the used relations of a cell have the same problem, its time to trigger
    is moved by one value, or its hysteresis by half a dB. Causes: TS 38.300 §15.5.2.
    """

    settings: MroSettings = field(default_factory=MroSettings)
    name: str = "MRO"
    _sums: Floats | None = field(default=None, repr=False)
    _seen: Parameters | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        """Start without lessons."""
        self._lessons = Lessons(self.settings.lesson_s, {})

    def learn(self, outcome: Outcome) -> None:
        """Do not repeat for a while what was rolled back."""
        self._lessons.learn(outcome)

    def propose(self, view: View) -> Proposal:
        """Take in the last period and return offsets and timings to change."""
        counts = self._counted(view)
        slack_db = loop_slack_db(view.network, view.parameters)
        ranked: list[tuple[float, Change]] = []
        for cell in range(view.network.cells):
            if not view.parameters.asleep[cell]:
                ranked += self._of_cell(view, cell, counts, slack_db)
        ranked.sort(key=lambda item: -item[0])
        chosen: dict[tuple[str, str], Change] = {}
        for _, change in ranked:
            if not self._lessons.forbid(change, view.now_s):
                chosen.setdefault((change.object_id, change.parameter), change)
        return Proposal(tuple(chosen.values())[: self.settings.changes])

    def _counted(self, view: View) -> _Counts:
        """Add the last period to the sums and return them."""
        network = view.network
        if self._sums is None or self._seen is None:
            self._sums = np.zeros((len(_COUNTERS), network.relations))
        else:
            self._sums[:, _settings_changed(view, self._seen)] = 0.0
        self._seen = view.parameters
        self._sums += np.stack([view.relation(name) for name in _COUNTERS])
        success, failure, late, early, wrong, pingpong, taken = self._sums
        return _Counts(success + failure + late, late, early + pingpong, wrong, taken)

    def _of_cell(
        self, view: View, cell: int, counts: _Counts, slack_db: Floats
    ) -> list[tuple[float, Change]]:
        """Return the changes of one cell, each with the events behind it."""
        own = np.flatnonzero(view.network.relation_source == cell)
        whole = self._whole_cell(view, own, counts, slack_db)
        if whole:
            return whole
        changes = []
        for relation in own.tolist():
            found = self._of_relation(view, relation, counts, slack_db)
            if found is not None:
                changes.append(found)
        return changes

    def _above(self, events: float, attempts: float, ratio: float) -> bool:
        """Return whether a ratio is above its threshold beyond reasonable doubt."""
        s = self.settings
        if attempts < s.fewest_attempts or events < s.events or events <= ratio * attempts:
            return False
        error = np.sqrt(attempts * ratio * (1 - ratio))
        return bool(attempts >= s.attempts or events > ratio * attempts + s.significance * error)

    def _direction(self, attempts: float, late: float, early: float) -> int:
        """Return +1 to hand over earlier, -1 later, 0 to leave it."""
        s = self.settings
        if self._above(late, attempts, s.late_ratio) and s.late_weight * late >= early:
            return 1
        if self._above(early, attempts, s.early_ratio) and s.late_weight * late < early:
            return -1
        return 0

    def _whole_cell(
        self, view: View, own: npt.NDArray[np.intp], counts: _Counts,
        slack_db: Floats,
    ) -> list[tuple[float, Change]]:  # fmt: skip
        """Return the change of a cell's timing where most of its relations share a problem."""
        s = self.settings
        attempts, late, early = counts.attempts[own], counts.late[own], counts.early[own]
        used = attempts >= s.events
        direction = self._direction(attempts.sum(), late.sum(), early.sum())
        if direction == 0 or used.sum() < s.cell_relations:
            return []
        events, ratio = (late, s.late_ratio) if direction > 0 else (early, s.early_ratio)
        alike = int((used & (events > ratio * attempts)).sum())
        if alike < s.cell_share * used.sum():
            return []
        kind = "too late" if direction > 0 else "too early or bounced"
        reason = (
            f"{percent(events.sum(), attempts.sum())} handovers out of the cell were {kind}, "
            f"on {alike} of its {int(used.sum())} used relations."
        )
        change = self._timing(view, int(view.network.relation_source[own[0]]), direction, reason)
        if change is None or (change.parameter == "hysteresis_db" and direction > 0
                              and not self._clear(slack_db[own], 0.5)):  # fmt: skip
            return []
        return [(float(events.sum()), change)]

    def _timing(self, view: View, cell: int, direction: int, reason: str) -> Change | None:
        """Return the next step of time to trigger, or of hysteresis at its end, or None."""
        s, name = self.settings, view.network.cell_ids[cell]
        for parameter, (low, high) in (
            ("time_to_trigger_s", s.time_to_trigger_s),
            ("hysteresis_db", s.hysteresis_db),
        ):
            change = view.step((name, parameter, None), -direction, reason)
            inside = low - TOLERANCE <= change.after <= high + TOLERANCE
            if inside and abs(change.after - change.before) > TOLERANCE:
                return change
        return None

    def _clear(self, slack_db: Floats, push_db: float) -> bool:
        """Return whether all relations stay clear of a loop when pushed towards one."""
        return bool(np.all(slack_db - push_db >= self.settings.loop_margin_db - TOLERANCE))

    def _of_relation(
        self, view: View, relation: int, counts: _Counts, slack_db: Floats
    ) -> tuple[float, Change] | None:
        """Return the change of one relation with the events behind it, or None."""
        attempts, late = counts.attempts[relation], counts.late[relation]
        early, wrong = counts.early[relation], counts.wrong[relation]
        source, _, target = view.relation_address(relation)
        pair = f"{source}->{target}"
        direction = self._direction(attempts, late, early)
        if direction > 0:
            reason = f"{percent(late, attempts)} handovers {pair} were too late."
            return self._offset(view, relation, 1, reason, late, slack_db)
        if direction < 0:
            reason = f"{percent(early, attempts)} handovers {pair} were too early or bounced."
            return self._offset(view, relation, -1, reason, early, slack_db)
        if self._above(wrong, attempts, self.settings.wrong_ratio):
            reason = f"{percent(wrong, attempts)} handovers {pair} ended in another cell"
            return self._right_cell(view, relation, reason, counts, slack_db)
        return None

    def _right_cell(
        self, view: View, relation: int, reason: str, counts: _Counts, slack_db: Floats
    ) -> tuple[float, Change] | None:
        """Return the raised offset towards the cell that took most users over, or None."""
        own = np.flatnonzero(view.network.relation_source == view.ends(relation)[0])
        right = int(own[np.argmax(counts.taken[own])])
        if counts.taken[right] < self.settings.events or right == relation:
            return None
        target = view.relation_address(right)[2]
        reason = f"{reason}, {counts.taken[right]:.0f} of them in {target}."
        return self._offset(view, right, 1, reason, counts.wrong[relation], slack_db)

    def _offset(
        self, view: View, relation: int, direction: int, reason: str, events: float,
        slack_db: Floats,
    ) -> tuple[float, Change] | None:  # fmt: skip
        """Return a step of a relation's offset with its weight, or None where there is no room."""
        s = self.settings
        before = view.parameters.cio_db[relation]
        change = view.step(view.relation_address(relation), direction * s.step_db, reason)
        away = abs(change.after - view.base.cio_db[relation])
        if away > s.deviation_db + TOLERANCE and away > abs(before - view.base.cio_db[relation]):
            return None
        loops = direction > 0 and not self._clear(slack_db[[relation]], change.after - before)
        return None if loops else (float(events), change)


def _settings_changed(view: View, seen: Parameters) -> Bools:
    """Return the relations about which events from before say nothing any more, (R,)."""
    now, source, target = (
        view.parameters,
        view.network.relation_source,
        view.network.relation_target,
    )
    timing = np.zeros(view.network.cells, np.bool_)
    for name in ("a3_offset_db", "hysteresis_db", "time_to_trigger_s", "filter_coefficient"):
        timing |= getattr(now, name) != getattr(seen, name)
    radio = now.asleep != seen.asleep
    for name in ("electrical_tilt_deg", "tx_power_dbm"):
        radio |= getattr(now, name) != getattr(seen, name)
    changed: Bools = (now.cio_db != seen.cio_db) | timing[source] | radio[source] | radio[target]
    return changed
