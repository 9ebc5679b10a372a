"""A run of the loop on the twin, with "do nothing" beside it and the truth about every plan.

Three kinds of networks advance together, on common random numbers: the run itself; a
copy of its start to which nothing is done; and for each plan under watch a branch that
gets every other plan at the same moments and lacks only this one. What a plan did is
the run less its branch, over the periods in which the plan was watched: exact for this
run, with these users, not an estimate.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any, Protocol, Self

import numpy as np

from cellhive.core.errors import BadInput, CellHiveError
from cellhive.core.ports import Observer, RadioNetwork
from cellhive.core.types import (
    Effect,
    Floats32,
    KpiFrame,
    Network,
    Outcome,
    Parameters,
    Plan,
    Verdict,
)
from cellhive.flows.decide import (
    KEPT,
    ROLLBACK,
    ROLLED_BACK,
    Approve,
    CellsSetAside,
    Loop,
    LoopSettings,
    Optimizer,
    PeriodObserved,
    PlanApplied,
    PlanChecked,
    PlanDecided,
    PlanGuard,
    PlanHeld,
    Predictor,
    ReadBackDiffered,
    ValuesLeftOut,
)
from cellhive.flows.policy.beside import CandidateCompared
from cellhive.flows.policy.served import PolicyNotTaken, PolicyTaken
from cellhive.flows.watch import OBJECTIVE, area_of

AREA_OBJECTIVE = "area_objective"
"""Name of the objective over the cells that a plan reaches, among its true effects."""

NO_EFFECT = 1e-9
"""A true effect on the objective smaller than this is none [points]."""

Job = Callable[[], KpiFrame]
Advance = Callable[[list[Job]], list[KpiFrame]]
"""Runs jobs, perhaps side by side, and returns their results in order."""


class Twin(RadioNetwork, Protocol):
    """A network that can be branched."""

    def clone(self) -> Self:
        """Return an exact branch: same state, same random numbers to come."""
        ...


@dataclass(frozen=True)
class RunStart:
    """What is known of a run before it begins."""

    run_id: str
    version: str
    started: str
    """Wall-clock time, ISO 8601."""
    scenario: str
    seed: int
    settings: dict[str, Any]
    """Everything needed to run it again, as plain JSON values."""


@dataclass(frozen=True)
class BaselineObserved:
    """The same period in the network to which nothing is done."""

    index: int
    frame: KpiFrame
    objective: float


@dataclass(frozen=True)
class Progress:
    """So many periods of the run are done."""

    done: int
    total: int


@dataclass(frozen=True)
class Raster:
    """A map."""

    x0_m: float
    """West edge [m]."""
    y0_m: float
    """South edge [m]."""
    pixel_m: float
    values: Floats32
    """(rows, columns), the first row in the south."""


@dataclass(frozen=True)
class RunRecord:
    """A whole run, as reports draw it and run folders hold it."""

    run_id: str
    version: str
    started: str
    scenario: str
    seed: int
    settings: dict[str, Any]
    network: Network
    initial: Parameters
    final: Parameters
    frames: tuple[KpiFrame, ...]
    baseline: tuple[KpiFrame, ...]
    """The same periods with nothing done; may be empty."""
    verdicts: tuple[Verdict, ...]
    """Every plan that was checked, roll-backs included."""
    held: tuple[PlanHeld, ...]
    outcomes: tuple[Outcome, ...]
    objective: tuple[float, ...]
    baseline_objective: tuple[float, ...]
    notes: tuple[str, ...]
    """Assumptions, cells set aside, interruption."""
    interrupted: bool
    applied: tuple[Plan, ...] = ()
    """Plans as the network took them, in order, roll-backs included."""
    maps: dict[str, Raster] = field(default_factory=dict)
    taken: tuple[PolicyTaken, ...] = ()
    """Versions of the policy that took over while it ran."""
    compared: tuple[CandidateCompared, ...] = ()
    """What a candidate would have done, period by period."""


def _in_turn(jobs: list[Job]) -> list[KpiFrame]:
    return [job() for job in jobs]


@dataclass(frozen=True)
class Hooks:
    """What a run asks of its surroundings."""

    observer: Observer = lambda _: None
    """Is told every event."""
    approve: Approve | None = None
    advance: Advance = _in_turn
    """Advances the run, the baseline and the branches by one period."""
    should_stop: Callable[[], bool] = lambda: False
    """Asked between periods."""
    predictor: Predictor | None = None
    """Foretells what plans will do."""
    listen: Callable[[Observer], None] = lambda _: None
    """Is given the observer of the run, for an optimiser that has something to tell it."""


@dataclass(frozen=True)
class TrialSettings:
    """How long to run and what to run beside."""

    periods: int
    loop: LoopSettings = field(default_factory=LoopSettings)
    baseline: bool = True
    """Run "do nothing" beside."""
    branches: bool = True
    """Run a branch without each plan while the plan is watched."""
    most_branches: int = 8
    """Plans that are branched at the same time; the effect of further ones stays unknown."""
    notes: tuple[str, ...] = ()
    """What the reader of the record should know from the beginning."""

    def __post_init__(self) -> None:
        """Refuse a run of no periods."""
        if self.periods < 1:
            raise BadInput(
                expected="at least one period to run", found=str(self.periods), place="periods"
            )


class Truth(StrEnum):
    """How a verdict compares with the true effect of its plan."""

    RIGHT = "right"
    WRONG = "wrong"
    NO_EFFECT = "no effect"
    UNKNOWN = "unknown"


def truth_of(outcome: Outcome) -> Truth:
    """Return whether keeping or rolling back a plan was right.

    It was right to keep a plan that raised the objective of the whole network over the
    watched periods, and to roll back one that lowered it.
    """
    effects = {effect.kpi: effect.mean for effect in outcome.true_effect}
    effect = effects.get(OBJECTIVE, float("nan"))
    if not np.isfinite(effect) or outcome.verdict not in (KEPT, ROLLED_BACK):
        return Truth.UNKNOWN
    if abs(effect) <= NO_EFFECT:
        return Truth.NO_EFFECT
    return Truth.RIGHT if (effect > 0) == (outcome.verdict == KEPT) else Truth.WRONG


def note_of(event: object) -> str | None:
    """Return what the reader of a record should know of an event, or None."""
    match event:
        case CellsSetAside():
            return f"nothing decided about {', '.join(event.cells)}: {event.why}"
        case ValuesLeftOut():
            return f"values of {event.column} that cannot be were left out"
        case ReadBackDiffered():
            return f"plan {event.plan.plan_id}: {'; '.join(event.differences)}"
        case PolicyNotTaken():
            return f"no other version was taken over, {event.still} goes on deciding: {event.why}"
        case CandidateCompared() if event.failed:
            return f"{event.candidate}, which ran beside, gave no answer: {event.failed}"
        case _:
            return None


def gather_notes(found: Sequence[tuple[int, str]]) -> tuple[str, ...]:
    """Return notes, each once, with the period or the number of periods it was made in."""
    periods: dict[str, list[int]] = {}
    for period, text in found:
        periods.setdefault(text, []).append(period)
    return tuple(
        f"{text} (period {each[0]})"
        if len(set(each)) == 1
        else f"{text} ({len(set(each))} periods, first {each[0]})"
        for text, each in periods.items()
    )


@dataclass
class _Branch:
    """The run without one plan."""

    plan: Plan
    radio: Twin
    factual: list[KpiFrame] = field(default_factory=list)
    frames: list[KpiFrame] = field(default_factory=list)


class _Branching:
    """The twin as the loop sees it: branches are made when plans are applied."""

    def __init__(self, radio: RadioNetwork, clone: Callable[[], Twin] | None, most: int) -> None:
        self._radio, self._clone, self._most = radio, clone, most
        self._before: Twin | None = None
        self._applied: list[Plan] = []
        self._closed: set[str] = set()
        self.branches: dict[str, _Branch] = {}
        self.notes: list[str] = []

    @property
    def network(self) -> Network:
        return self._radio.network

    def observe(self) -> KpiFrame:
        return self._radio.observe()

    def parameters(self) -> Parameters:
        return self._radio.parameters()

    def apply(self, plan: Plan) -> None:
        if self._before is None and self._clone is not None:
            self._before = self._clone()
        self._radio.apply(plan)
        self._applied.append(plan)

    def close(self, plan_id: str) -> _Branch | None:
        """End the branch of a plan that has its verdict."""
        self._closed.add(plan_id)
        return self.branches.pop(plan_id, None)

    def end_period(self) -> None:
        """Pass the period's plans on to open branches and open those of new plans."""
        for branch in list(self.branches.values()):
            self._pass_on(branch, self._applied)
        before = self._before
        if before is not None:
            for index, plan in enumerate(self._applied):
                if plan.function != ROLLBACK and plan.plan_id not in self._closed:
                    others = self._applied[:index] + self._applied[index + 1 :]
                    self._open(before, plan, others)
        self._before = None
        self._applied.clear()

    def _open(self, before: Twin, plan: Plan, others: list[Plan]) -> None:
        if len(self.branches) >= self._most:
            self.notes.append(
                f"plan {plan.plan_id} was not branched, {self._most} others were: "
                "its true effect is unknown"
            )
            return
        branch = _Branch(plan, before.clone())
        self.branches[plan.plan_id] = branch
        self._pass_on(branch, others)

    def _pass_on(self, branch: _Branch, plans: Sequence[Plan]) -> None:
        for plan in plans:
            try:
                branch.radio.apply(plan)
            except CellHiveError as error:
                self.branches.pop(branch.plan.plan_id, None)
                self.notes.append(
                    f"the true effect of plan {branch.plan.plan_id} is unknown: "
                    f"its branch did not take plan {plan.plan_id} ({error})"
                )
                return


def true_effects(
    plan: Plan,
    network: Network,
    factual: Sequence[KpiFrame],
    without: Sequence[KpiFrame],
    settings: LoopSettings,
) -> tuple[Effect, ...]:
    """Return what a plan did, from the same periods with and without it.

    The network's objective comes first, then objective and KPIs over the cells the
    plan reaches: means over the periods in which both are known, with less without.
    Low and high are the smallest and largest of the periods.
    """
    pairs = list(zip(factual, without, strict=True))
    scoring = settings.scoring
    area = area_of(plan, network, settings.watch.neighbours).watched
    if not pairs:
        return ()
    gaps: dict[str, list[float]] = {OBJECTIVE: [], AREA_OBJECTIVE: []}
    for with_plan, without_plan in pairs:
        here, there = scoring.over(with_plan, area), scoring.over(without_plan, area)
        whole = scoring.network_objective(with_plan) - scoring.network_objective(without_plan)
        gaps[OBJECTIVE].append(whole)
        for name, value in here.items():
            key = AREA_OBJECTIVE if name == OBJECTIVE else name
            gaps.setdefault(key, []).append(value - there[name])
    known = {name: [gap for gap in each if np.isfinite(gap)] for name, each in gaps.items()}
    return tuple(
        Effect(name, float(np.mean(each)), min(each), max(each))
        for name, each in known.items()
        if each
    )


class _Trial:
    """The state of a run in progress."""

    def __init__(
        self,
        radio: RadioNetwork,
        clone: Callable[[], Twin] | None,
        settings: TrialSettings,
        agents: tuple[Optimizer, PlanGuard],
        hooks: Hooks,
    ) -> None:
        self._radio, self._settings, self._hooks = radio, settings, hooks
        self.initial = radio.parameters()
        self._baseline = clone() if clone is not None and settings.baseline else None
        self._branching = _Branching(
            radio, clone if settings.branches else None, settings.most_branches
        )
        optimizer, guard = agents
        self._loop = Loop(
            self._branching,
            optimizer,
            guard,
            settings.loop,
            observer=self._see,
            approve=hooks.approve,
            predictor=hooks.predictor,
        )
        self._periods = 0
        self._frames: list[KpiFrame] = []
        self._objective: list[float] = []
        self._baseline_frames: list[KpiFrame] = []
        self._baseline_objective: list[float] = []
        self._verdicts: list[Verdict] = []
        self._held: list[PlanHeld] = []
        self._outcomes: list[Outcome] = []
        self._applied: list[Plan] = []
        self._taken: list[PolicyTaken] = []
        self._compared: list[CandidateCompared] = []
        self._found: list[tuple[int, str]] = []
        hooks.listen(self._see)

    def period(self) -> None:
        """Run one period of everything and let the loop act on it."""
        branches = list(self._branching.branches.values())
        jobs: list[Job] = [self._radio.observe]
        if self._baseline is not None:
            jobs.append(self._baseline.observe)
        jobs += [branch.radio.observe for branch in branches]
        frames = self._hooks.advance(jobs)
        if branches:
            for branch, frame in zip(branches, frames[-len(branches) :], strict=True):
                branch.factual.append(frames[0])
                branch.frames.append(frame)
        if self._baseline is not None:
            objective = self._settings.loop.scoring.network_objective(frames[1])
            self._baseline_frames.append(frames[1])
            self._baseline_objective.append(objective)
            self._hooks.observer(BaselineObserved(self._periods, frames[1], objective))
        self._loop.take(frames[0])
        self._branching.end_period()
        self._periods += 1

    @property
    def observed(self) -> int:
        """Periods observed, the one that was being acted upon included."""
        return len(self._frames)

    def close(self, reason: str) -> None:
        """End the loop and with it all branches."""
        self._loop.close(reason)

    def _see(self, event: object) -> None:
        """Keep what belongs in the record, add the truth to outcomes, pass everything on."""
        match event:
            case PeriodObserved():
                self._frames.append(event.frame)
                self._objective.append(event.objective)
            case PlanChecked():
                self._verdicts.append(event.verdict)
            case PlanHeld():
                self._held.append(event)
            case PlanApplied():
                self._applied.append(event.plan)
            case PlanDecided():
                event = PlanDecided(self._with_truth(event.outcome))
                self._outcomes.append(event.outcome)
            case PolicyTaken():
                self._taken.append(event)
            case _:
                note = note_of(event)
                if note is not None:
                    self._found.append((len(self._frames), note))
        if isinstance(event, CandidateCompared):
            self._compared.append(event)
        self._hooks.observer(event)

    def _with_truth(self, outcome: Outcome) -> Outcome:
        branch = self._branching.close(outcome.plan.plan_id)
        if branch is None:
            return outcome
        effects = true_effects(
            outcome.plan,
            self._radio.network,
            branch.factual,
            branch.frames,
            self._settings.loop,
        )
        return replace(outcome, true_effect=effects)

    def record(self, start: RunStart, notes: Sequence[str], interrupted: bool) -> RunRecord:
        """Return all that happened."""
        periods = min(len(self._frames), len(self._baseline_frames) or len(self._frames))
        return RunRecord(
            run_id=start.run_id,
            version=start.version,
            started=start.started,
            scenario=start.scenario,
            seed=start.seed,
            settings=start.settings,
            network=self._radio.network,
            initial=self.initial,
            final=self._radio.parameters(),
            frames=tuple(self._frames[:periods]),
            baseline=tuple(self._baseline_frames[:periods]),
            verdicts=tuple(self._verdicts),
            held=tuple(self._held),
            outcomes=tuple(self._outcomes),
            objective=tuple(self._objective[:periods]),
            baseline_objective=tuple(self._baseline_objective[:periods]),
            notes=(
                *self._settings.notes,
                *gather_notes(self._found),
                *self._branching.notes,
                *notes,
            ),
            interrupted=interrupted,
            applied=tuple(self._applied),
            taken=tuple(self._taken),
            compared=tuple(self._compared),
        )


def run_trial(
    twin: Twin,
    start: RunStart,
    settings: TrialSettings,
    optimizer: Optimizer,
    guard: PlanGuard,
    hooks: Hooks,
) -> RunRecord:
    """Run the loop on a twin and return the record.

    ``KeyboardInterrupt`` and ``hooks.should_stop`` end the run cleanly: plans that are
    still watched are reported as unconfirmed and stay applied.
    """
    trial = _Trial(twin, twin.clone, settings, (optimizer, guard), hooks)
    return _run(trial, start, settings, hooks)


def run_unbranched(
    radio: RadioNetwork,
    start: RunStart,
    settings: TrialSettings,
    optimizer: Optimizer,
    guard: PlanGuard,
    hooks: Hooks,
) -> RunRecord:
    """Run the loop on a network that cannot be branched: recorded or live.

    There is no "do nothing" beside it and no true effect of any plan.
    """
    trial = _Trial(radio, None, settings, (optimizer, guard), hooks)
    return _run(trial, start, settings, hooks)


def _run(trial: _Trial, start: RunStart, settings: TrialSettings, hooks: Hooks) -> RunRecord:
    notes: list[str] = []
    interrupted = False
    done = 0
    try:
        while done < settings.periods and not interrupted:
            trial.period()
            done += 1
            hooks.observer(Progress(done, settings.periods))
            interrupted = done < settings.periods and hooks.should_stop()
    except KeyboardInterrupt:
        interrupted = True
    if interrupted:
        where = f"in period {done + 1}" if trial.observed > done else f"after {done}"
        notes.append(f"interrupted {where} of {settings.periods} periods")
    trial.close("the run was interrupted" if interrupted else "the run ended")
    return trial.record(start, notes, interrupted)
