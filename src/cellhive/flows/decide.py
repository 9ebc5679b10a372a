"""The closed loop: observe, check, propose, guard, apply, watch, keep or roll back.

It runs unchanged on any ``RadioNetwork``: the twin, recorded frames, a live network.
It reads no clock and no file; what happens is told to an ``Observer``.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

import numpy as np

from cellhive.core.checked import Checked, check_frame
from cellhive.core.errors import CellHiveError
from cellhive.core.ports import Observer, RadioNetwork
from cellhive.core.types import (
    Bools,
    Change,
    KpiFrame,
    Mode,
    Network,
    Outcome,
    Parameters,
    Plan,
    Refusal,
    Verdict,
)
from cellhive.flows.watch import (
    Area,
    Comparison,
    Finding,
    Kpis,
    Scoring,
    WatchRules,
    area_of,
    control_cells,
    judge,
    placebo_groups,
)
from cellhive.ran.guard.rules import is_wake
from cellhive.ran.guard.state import author_of
from cellhive.ran.parameters import TOLERANCE, value_of

KEPT, ROLLED_BACK, UNCONFIRMED = "kept", "rolled back", "unconfirmed"
ROLLBACK = "rollback"
"""Function name of the plans that undo others."""

FAMILY = {
    "cio_db": "mobility",
    "a3_offset_db": "mobility",
    "hysteresis_db": "mobility",
    "time_to_trigger_s": "mobility",
    "filter_coefficient": "mobility",
    "electrical_tilt_deg": "coverage",
    "tx_power_dbm": "coverage",
    "asleep": "energy",
}
"""Parameters whose effects mix, by family."""


@dataclass(frozen=True)
class PeriodObserved:
    """A reporting period came in."""

    index: int
    frame: KpiFrame
    objective: float


@dataclass(frozen=True)
class CellsSetAside:
    """Nothing will be decided about these cells in this period."""

    time_s: float
    cells: tuple[str, ...]
    why: str


@dataclass(frozen=True)
class ValuesLeftOut:
    """Values that cannot be were not used; other values of the cells were."""

    time_s: float
    column: str
    cells: tuple[str, ...]


@dataclass(frozen=True)
class PlanProposed:
    """The optimiser proposes a plan."""

    plan: Plan


@dataclass(frozen=True)
class PlanChecked:
    """Loop and guard have looked at a plan."""

    verdict: Verdict


@dataclass(frozen=True)
class PlanApplied:
    """The network took a plan; it holds only the changes that were let through."""

    plan: Plan
    approved_by: str


@dataclass(frozen=True)
class PlanHeld:
    """A plan that the guard let through was not applied."""

    plan: Plan
    why: str


@dataclass(frozen=True)
class ReadBackDiffered:
    """After applying a plan the network does not hold what was written."""

    plan: Plan
    differences: tuple[str, ...]


@dataclass(frozen=True)
class PlanDecided:
    """What became of an applied plan."""

    outcome: Outcome


class Optimizer(Protocol):
    """Whoever proposes plans."""

    def propose(
        self, network: Network, parameters: Parameters, frames: Sequence[KpiFrame], now_s: float
    ) -> list[Plan]:
        """Return plans for the network as it stands, most urgent first.

        Args:
            network: The network.
            parameters: Its parameters, read back.
            frames: Checked frames, oldest first; values that cannot be are not valid.
            now_s: End of the last period [s].
        """
        ...

    def learn(self, outcome: Outcome) -> None:
        """Take in what became of a plan."""
        ...


class PlanGuard(Protocol):
    """Whoever lets changes through."""

    def check(self, plan: Plan, network: Network, parameters: Parameters, now_s: float) -> Verdict:
        """Return which changes may be made now and why the others may not."""
        ...

    def record(self, plan: Plan, now_s: float) -> None:
        """Take note that a plan was applied."""
        ...


class Silent:
    """The optimiser called "none": proposes nothing."""

    def propose(
        self, network: Network, parameters: Parameters, frames: Sequence[KpiFrame], now_s: float
    ) -> list[Plan]:
        """Return no plans."""
        return []

    def learn(self, outcome: Outcome) -> None:
        """Take in nothing."""


class Predictor(Protocol):
    """Whoever foretells what plans will do."""

    def take(self, frame: KpiFrame, network: Network, parameters: Parameters) -> None:
        """Take in a checked period and the parameters it was observed with."""
        ...

    def applied(self, plan: Plan, network: Network) -> None:
        """Take note that a plan was applied."""
        ...

    def learn(self, outcome: Outcome) -> None:
        """Take in what became of a plan."""
        ...

    def predicted(
        self, plan: Plan, parameters: Parameters, others: Sequence[Area], usable: Collection[int]
    ) -> Plan:
        """Return a plan with what it will do, or with why that cannot be told."""
        ...


Approve = Callable[[Verdict], bool | None]
"""Asks a person; None means that nobody has answered yet."""


@dataclass(frozen=True)
class LoopSettings:
    """How the loop works."""

    mode: Mode = Mode.SHADOW
    watch: WatchRules = field(default_factory=WatchRules)
    scoring: Scoring = field(default_factory=Scoring)
    history: int = 16
    """Frames kept for the optimiser and for comparisons."""
    may_follow: frozenset[str] = frozenset()
    """Authors that may go on where an own plan is still watched. What does harm is undone with
    everything its author did there since, the newest first."""
    open_to_all: frozenset[str] = frozenset()
    """Functions whose watched plans keep nobody away; if undone, what others did there stays."""


def not_taken(plan: Plan, network: Network, parameters: Parameters) -> tuple[Change, ...]:
    """Return the changes of a plan that the parameters do not show."""
    return tuple(
        change
        for change in plan.changes
        if not abs(value_of(parameters, network, change) - change.after) <= TOLERANCE
    )


def _changed_again(changes: Sequence[Change]) -> str:
    return f"{changes[0].object_id} was changed again while it was watched"


@dataclass(eq=False)
class _Watch:
    """An applied plan that has no verdict yet."""

    plan: Plan
    area: Area
    families: frozenset[str]
    history: tuple[Checked, ...]
    """Periods before the plan."""
    seen: list[Checked] = field(default_factory=list)
    undo: str = ""
    """Why it must be rolled back; empty while it need not be."""
    undoing: bool = False
    """Whether a roll-back was tried."""
    finding: Finding | None = None

    def touches(self, change: Change, cells: frozenset[int]) -> bool:
        """Return whether a change would blur what is being watched."""
        if cells & self.area.changed:
            return True
        return FAMILY.get(change.parameter) in self.families and bool(cells & self.area.watched)


class Loop:
    """One network under the loop; ``step`` once per reporting period."""

    def __init__(  # noqa: PLR0913  # all who have a part meet here
        self,
        radio: RadioNetwork,
        optimizer: Optimizer,
        guard: PlanGuard,
        settings: LoopSettings,
        *,
        observer: Observer = lambda _: None,
        approve: Approve | None = None,
        predictor: Predictor | None = None,
    ) -> None:
        """Prepare the loop; nothing is observed or changed yet.

        Args:
            radio: The network.
            optimizer: Who proposes.
            guard: Who lets changes through.
            settings: How the loop works.
            observer: Is told every event.
            approve: Asks a person, in mode "assist". Roll-backs are not asked for.
            predictor: Foretells what plans will do before the guard looks at them.
        """
        self._radio, self._optimizer, self._guard = radio, optimizer, guard
        self._settings, self._observer, self._approve = settings, observer, approve
        self._predictor = predictor
        self._checked: deque[Checked] = deque(maxlen=settings.history)
        self._watches: list[_Watch] = []
        self._applied: set[str] = set()
        self._periods = 0
        self._now_s = -np.inf

    @property
    def under_watch(self) -> tuple[Plan, ...]:
        """Applied plans that have no verdict yet."""
        return tuple(watch.plan for watch in self._watches)

    def step(self) -> None:
        """Observe one period and act on it."""
        self.take(self._radio.observe())

    def take(self, frame: KpiFrame) -> None:
        """Act on one observed period."""
        checked = check_frame(frame)
        scoring = self._settings.scoring
        objective = scoring.network_objective(checked.frame)
        self._observer(PeriodObserved(self._periods, frame, objective))
        self._periods += 1
        now_s = frame.time_s + frame.period_s
        if now_s <= self._now_s:
            names = self._radio.network.cell_ids
            why = "the period was reported before, or is older than one that was"
            self._observer(CellsSetAside(frame.time_s, names, why))
            return
        self._now_s = now_s
        self._set_aside(checked)
        self._checked.append(checked)
        if self._predictor is not None:
            radio = self._radio
            self._predictor.take(checked.frame, radio.network, radio.parameters())
        for watch in self._watches:
            watch.seen.append(checked)
        for watch in list(self._watches):
            if watch in self._watches:  # it may have been undone with one that it followed
                self._decide(watch)
        frames = [each.frame for each in self._checked]
        network, parameters = self._radio.network, self._radio.parameters()
        for plan in self._optimizer.propose(network, parameters, frames, now_s):
            self._consider(plan)

    def close(self, reason: str) -> None:
        """End the loop: plans still watched are reported as unconfirmed."""
        for watch in list(self._watches):
            why = f"{watch.undo}; not undone: {reason}" if watch.undo else reason
            finding = self._find(watch) if watch.seen else None
            self._settle(watch, UNCONFIRMED, why, finding)

    def _set_aside(self, checked: Checked) -> None:
        names, time_s = self._radio.network.cell_ids, checked.frame.time_s

        def named(cells: Bools) -> tuple[str, ...]:
            return tuple(names[int(cell)] for cell in np.flatnonzero(cells))

        if not checked.usable.all():
            self._observer(CellsSetAside(time_s, named(~checked.usable), "no valid value"))
        for column in np.flatnonzero(checked.impossible.any(axis=0)).tolist():
            cells = named(checked.impossible[:, column])
            self._observer(ValuesLeftOut(time_s, checked.frame.columns[column], cells))

    def _consider(self, plan: Plan) -> None:
        """Check a plan and, as far as the mode goes, apply it."""
        self._observer(PlanProposed(plan))
        verdict = self._check(plan)
        self._observer(PlanChecked(verdict))
        if not verdict.accepted:
            return
        allowed = replace(verdict.plan, changes=verdict.accepted)
        match self._settings.mode:
            case Mode.SHADOW:
                self._observer(PlanHeld(allowed, "shadow mode: nothing is applied"))
            case Mode.ASSIST:
                answer = None if self._approve is None else self._approve(verdict)
                if answer:
                    self._apply(allowed, "a person")
                else:
                    why = "waiting for approval" if answer is None else "not approved"
                    self._observer(PlanHeld(allowed, why))
            case Mode.AUTONOMOUS:
                self._apply(allowed, "autonomous mode")

    def _check(self, plan: Plan) -> Verdict:
        """Return the verdict of the loop's own rules and of the guard."""
        refused, open_changes = [], []
        for change in plan.changes:
            refusal = self._refusal(plan, change)
            if refusal is None:
                open_changes.append(change)
            else:
                refused.append(refusal)
        if not open_changes:
            return Verdict(plan, (), tuple(refused))
        verdict = self._guard.check(
            replace(plan, changes=tuple(open_changes)),
            self._radio.network,
            self._radio.parameters(),
            self._now_s,
        )
        verdict = Verdict(plan, verdict.accepted, (*refused, *verdict.refused))
        return self._foretold(verdict) if verdict.accepted else verdict

    def _foretold(self, verdict: Verdict) -> Verdict:
        """Foretell what is let through and let the guard look at it once more."""
        if self._predictor is None:
            return verdict
        network, parameters = self._radio.network, self._radio.parameters()
        plan = self._predictor.predicted(
            replace(verdict.plan, changes=verdict.accepted),
            parameters,
            [watch.area for watch in self._watches],
            np.flatnonzero(self._checked[-1].usable).tolist(),
        )
        told = replace(verdict.plan, predicted=plan.predicted, unpredicted=plan.unpredicted)
        if not plan.predicted:
            return replace(verdict, plan=told)
        again = self._guard.check(plan, network, parameters, self._now_s)
        return Verdict(told, again.accepted, (*verdict.refused, *again.refused))

    def _refusal(self, plan: Plan, change: Change) -> Refusal | None:
        """Return why the loop itself lets a change not through, or None."""
        if plan.plan_id in self._applied:
            return Refusal(change, "duplicate", f"plan {plan.plan_id} was applied before")
        index = self._radio.network.cell_index
        cells = frozenset(index[name] for name in (change.cell, change.target) if name in index)
        usable = self._checked[-1].usable
        blind = [name for name in (change.cell, change.target) if name in index
                 and not usable[index[name]]]  # fmt: skip
        if blind:
            return Refusal(change, "no data", f"nothing valid is known of {', '.join(blind)}")
        for watch in () if is_wake(change) else self._watches:
            if watch.touches(change, cells) and not self._follows(plan, watch):
                reason = f"plan {watch.plan.plan_id} ({watch.plan.function}) is being watched here"
                return Refusal(change, "under watch", reason)
        return None

    def _follows(self, plan: Plan, watch: _Watch) -> bool:
        """Return whether a plan may go on where an earlier one is watched."""
        author = author_of(watch.plan.function)
        same = author == author_of(plan.function) and author in self._settings.may_follow
        return (same or watch.plan.function in self._settings.open_to_all) and not watch.undo

    def _followers(self, watch: _Watch) -> list[_Watch]:
        """Return what the author did since where a plan is felt, the newest first."""
        reach, found = set(watch.area.watched), []
        for later in self._watches[self._watches.index(watch) + 1 :]:
            mine = author_of(later.plan.function) == author_of(watch.plan.function)
            if mine and later.area.changed & reach:
                found.append(later)
                reach |= later.area.changed
        return found[::-1] if author_of(watch.plan.function) in self._settings.may_follow else []

    def _apply(self, plan: Plan, approved_by: str) -> None:
        """Apply a plan, read it back and start to watch it."""
        try:
            self._radio.apply(plan)
        except CellHiveError as error:
            self._observer(PlanHeld(plan, f"the network did not take it: {error}"))
            return
        self._applied.add(plan.plan_id)
        self._note(plan)
        self._observer(PlanApplied(plan, approved_by))
        network = self._radio.network
        rules = self._settings.watch
        families = frozenset(FAMILY.get(c.parameter, c.parameter) for c in plan.changes)
        history = tuple(self._checked)[-rules.before :]
        watch = _Watch(plan, area_of(plan, network, rules.neighbours), families, history)
        self._watches.append(watch)
        differences = self._differences(plan)
        if differences:
            self._observer(ReadBackDiffered(plan, differences))
            watch.undo = f"the network does not hold what was written: {'; '.join(differences)}"
            self._roll_back(watch)

    def _note(self, plan: Plan) -> None:
        """Let guard and predictor take note that a plan was applied."""
        self._guard.record(plan, self._now_s)
        if self._predictor is not None:
            self._predictor.applied(plan, self._radio.network)

    def _differences(self, plan: Plan) -> tuple[str, ...]:
        """Return in words what reading back shows to be other than written."""
        network, parameters = self._radio.network, self._radio.parameters()
        return tuple(
            f"{change.object_id} {change.parameter} is {value_of(parameters, network, change):g}, "
            f"written {change.after:g}"
            for change in not_taken(plan, network, parameters)
        )

    def _decide(self, watch: _Watch) -> None:
        """Keep or roll back a plan once it has been watched long enough."""
        rules = self._settings.watch
        if watch.undo:
            self._undo(watch)
            return
        if len(watch.seen) < rules.periods:
            return
        finding = watch.finding = self._find(watch)
        if not finding.decidable:
            if len(watch.seen) < rules.periods + rules.patience:
                return
            watch.undo = finding.reason
        elif finding.harmful:
            watch.undo = finding.reason
        if watch.undo:
            self._undo(watch)
            return
        moved = not_taken(watch.plan, self._radio.network, self._radio.parameters())
        own = {c.object_id for each in self._followers(watch) for c in each.plan.changes}
        if moved and not own.issuperset(change.object_id for change in moved):
            self._settle(watch, UNCONFIRMED, _changed_again(moved), finding)
        else:
            self._settle(watch, KEPT, finding.reason, finding)

    def _find(self, watch: _Watch) -> Finding:
        """Compare the watched periods with those before and with control cells."""
        periods = (*watch.history, *watch.seen)
        usable = np.logical_and.reduce([each.usable for each in periods])
        known = frozenset(np.flatnonzero(usable).tolist())
        watched = watch.area.watched & known
        if not watch.area.changed & known:
            reason = "the changed cells gave no data to judge by"
            return Finding(False, False, reason, {}, {})
        others = [other.area for other in self._watches if other is not watch]
        control = control_cells(watch.area, others, known)
        score = self._settings.scoring.over

        def rows(checked: Sequence[Checked], cells: frozenset[int]) -> list[Kpis]:
            return [score(each.frame, cells) for each in checked] if cells else []

        groups = placebo_groups(control)
        comparison = Comparison(
            before=rows(watch.history, watched),
            after=rows(watch.seen, watched),
            control_before=rows(watch.history, control),
            control_after=rows(watch.seen, control),
            placebos=[(rows(watch.history, group), rows(watch.seen, group)) for group in groups],
            placebo_share=len(control) / len(groups) / len(watched) if groups else 1.0,
        )
        return judge(comparison, self._settings.watch)

    def _undo(self, watch: _Watch) -> None:
        """Roll back a plan, after what followed it; what fails is tried again next period."""
        for later in self._followers(watch):
            later.undo = later.undo or f"plan {watch.plan.plan_id}, which it followed, did harm"
            later.finding = later.finding or self._find(later)
            self._roll_back(later)
            if later in self._watches:
                return
        self._roll_back(watch)

    def _roll_back(self, watch: _Watch) -> None:
        """Undo a plan; where that is not possible now, it is tried again next period."""
        network, parameters = self._radio.network, self._radio.parameters()
        missing = not_taken(watch.plan, network, parameters)
        undo = tuple(
            change.reverted(watch.undo) for change in watch.plan.changes if change not in missing
        )
        plan = Plan(
            plan_id=f"{watch.plan.plan_id}-{ROLLBACK}",
            function=ROLLBACK,
            time_s=self._now_s,
            changes=undo,
            evidence=(watch.plan.plan_id,),
        )
        if not undo and watch.seen and not watch.undoing:
            self._settle(watch, UNCONFIRMED, _changed_again(missing), watch.finding)
            return
        watch.undoing = True
        if not undo or self._undone(plan):
            self._settle(watch, ROLLED_BACK, watch.undo, watch.finding)

    def _undone(self, plan: Plan) -> bool:
        """Return whether a roll-back passed the guard and took effect entirely."""
        verdict = self._guard.check(
            plan, self._radio.network, self._radio.parameters(), self._now_s
        )
        self._observer(PlanChecked(verdict))
        if verdict.accepted:
            allowed = replace(plan, changes=verdict.accepted)
            try:
                self._radio.apply(allowed)
            except CellHiveError as error:
                self._observer(PlanHeld(allowed, f"the network did not take it: {error}"))
                return False
            self._note(allowed)
            self._observer(PlanApplied(allowed, "the watch"))
            differences = self._differences(allowed)
            if differences:
                self._observer(ReadBackDiffered(allowed, differences))
                return False
        return not verdict.refused

    def _settle(self, watch: _Watch, verdict: str, reason: str, finding: Finding | None) -> None:
        """Report the outcome of a plan and stop watching it."""
        self._watches.remove(watch)
        outcome = Outcome(
            plan=watch.plan,
            verdict=verdict,
            reason=reason,
            decided_s=self._now_s,
            before={} if finding is None else finding.before,
            after={} if finding is None else finding.after,
            measured=() if finding is None else finding.measured,
        )
        self._observer(PlanDecided(outcome))
        self._optimizer.learn(outcome)
        if self._predictor is not None:
            self._predictor.learn(outcome)
