"""Runs with "do nothing" and exact branches beside them, on a network known by hand."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from cellhive.core.errors import BadInput
from cellhive.core.types import Effect, KpiFrame, Mode, Outcome, Plan
from cellhive.flows.decide import LoopSettings, PeriodObserved, PlanDecided, Silent
from cellhive.flows.replay import compare_runs
from cellhive.flows.trial import (
    AREA_OBJECTIVE,
    BaselineObserved,
    Hooks,
    Job,
    Progress,
    RunRecord,
    RunStart,
    TrialSettings,
    Truth,
    run_trial,
    truth_of,
)
from cellhive.flows.watch import OBJECTIVE, WatchRules
from cellhive.ran.guard import Guard

START = RunStart("r1", "0", "2026-01-01T00:00:00Z", "toy", 7, {"seed": 7})


def run(toy: Any, plans: dict[int, list[Plan]], periods: int, **options: Any) -> RunRecord:
    """Run the loop on a toy network; options are hooks, trial settings and watch rules."""
    hooks = Hooks(**{k: options.pop(k) for k in list(options) if k in Hooks.__annotations__})
    watch = WatchRules(periods=2, before=3, margin=options.pop("margin", 0.5))
    mode = options.pop("mode", Mode.AUTONOMOUS)
    network = toy.Network(**options.pop("network", {}))
    loop = LoopSettings(mode, watch, toy.scoring)
    settings = TrialSettings(periods, loop, **options)
    return run_trial(network, START, settings, toy.Script(plans), Guard(), hooks)


def effects(outcome: Outcome) -> dict[str, float]:
    """Return the mean true effects by name."""
    return {effect.kpi: effect.mean for effect in outcome.true_effect}


def test_true_effect_is_that_of_the_network_exactly(toy: Any) -> None:
    """Two degrees in c0 give 2 there and 0.5 in c1: 2.5/12 over all, 2.5/3 over c11, c0, c1."""
    record = run(toy, {2: [toy.tilt_plan("up", ("c0", 6.0, 8.0))]}, 5, network={"scatter": 1.0})
    (outcome,) = record.outcomes
    assert outcome.verdict == "kept"
    assert effects(outcome)[OBJECTIVE] == pytest.approx(2.5 / 12, abs=1e-12)
    assert effects(outcome)[AREA_OBJECTIVE] == pytest.approx(2.5 / 3, abs=1e-12)
    assert effects(outcome)["ue_throughput_mbps"] == pytest.approx(2.5 / 3, abs=1e-12)
    assert truth_of(outcome) is Truth.RIGHT


def test_effects_of_plans_applied_together_are_told_apart(toy: Any) -> None:
    """Each branch lacks one plan and has the others, those of later periods too."""
    plans = {
        1: [toy.tilt_plan("up", ("c0", 6.0, 8.0)), toy.tilt_plan("down", ("c5", 6.0, 7.0))],
        2: [toy.tilt_plan("later", ("c8", 6.0, 7.5))],
    }
    record = run(toy, plans, 5, margin=50.0)
    exact = {o.plan.plan_id: effects(o)[OBJECTIVE] for o in record.outcomes}
    assert exact == pytest.approx(
        {"up": 2.5 / 12, "down": -1.25 / 12, "later": 1.875 / 12}, abs=1e-12
    )
    truths = {o.plan.plan_id: truth_of(o) for o in record.outcomes}
    assert truths == {"up": "right", "down": "wrong", "later": "right"}


def test_roll_back_is_judged_by_what_the_plan_did(toy: Any) -> None:
    """The branch without the plan shows that the plan cost 2.5/12: undoing it was right."""
    record = run(toy, {2: [toy.tilt_plan("down", ("c1", 6.0, 8.0))]}, 5)
    (outcome,) = record.outcomes
    assert outcome.verdict == "rolled back"
    assert effects(outcome)[OBJECTIVE] == pytest.approx(-2.5 / 12, abs=1e-12)
    assert truth_of(outcome) is Truth.RIGHT
    assert [plan.function for plan in record.applied] == ["CCO", "rollback"]
    assert record.final.electrical_tilt_deg.tolist() == [6.0] * 12


def test_other_plans_rolled_back_meanwhile_do_not_blur_a_branch(toy: Any) -> None:
    """A roll-back during another plan's watch reaches that plan's branch too."""
    plans = {
        1: [toy.tilt_plan("down", ("c1", 6.0, 8.0))],
        2: [toy.tilt_plan("up", ("c6", 6.0, 8.0))],
    }
    record = run(toy, plans, 4)
    assert [o.verdict for o in record.outcomes] == ["rolled back", "kept"]
    exact = {o.plan.plan_id: effects(o)[OBJECTIVE] for o in record.outcomes}
    assert exact == pytest.approx({"down": -2.5 / 12, "up": 2.5 / 12}, abs=1e-12)


def test_doing_nothing_beside_doing_nothing_is_the_same(toy: Any) -> None:
    """Without plans, run and baseline are equal bit for bit."""
    record = run(toy, {}, 4, network={"scatter": 3.0})
    same = replace(record, frames=record.baseline)
    assert compare_runs(record, same) is None
    assert record.objective == record.baseline_objective


def test_run_gains_over_the_baseline_what_its_plan_gives(toy: Any) -> None:
    """The objective exceeds that of "do nothing" by the plan's effect from then on."""
    record = run(toy, {1: [toy.tilt_plan("up", ("c0", 6.0, 8.0))]}, 4, network={"scatter": 3.0})
    gain = np.subtract(record.objective, record.baseline_objective)
    assert gain.tolist() == pytest.approx([0.0] + [2.5 / 12] * 3, abs=1e-12)


def test_same_settings_give_the_same_run(toy: Any) -> None:
    """A replay agrees bit for bit; another plan is named as the first difference."""
    up, down = toy.tilt_plan("up", ("c0", 6.0, 8.0)), toy.tilt_plan("down", ("c1", 6.0, 8.0))
    first = run(toy, {1: [up]}, 4, network={"scatter": 3.0})
    again = run(toy, {1: [up]}, 4, network={"scatter": 3.0})
    other = run(toy, {1: [down]}, 4, network={"scatter": 3.0})
    assert compare_runs(first, again) is None
    difference = compare_runs(first, other)
    assert difference is not None
    assert difference.startswith("frames, period 2, values, row 0, ue_throughput_mbps")


def test_advancing_side_by_side_changes_nothing(toy: Any) -> None:
    """Run, baseline and branches on two threads give the run of one thread."""
    plans = {1: [toy.tilt_plan("up", ("c0", 6.0, 8.0)), toy.tilt_plan("x", ("c6", 6.0, 7.0))]}
    with ThreadPoolExecutor(2) as pool:

        def advance(jobs: list[Job]) -> list[KpiFrame]:
            return list(pool.map(lambda job: job(), jobs))

        parallel = run(toy, plans, 5, advance=advance)
    assert compare_runs(run(toy, plans, 5), parallel) is None
    assert len(parallel.outcomes) == 2


def test_keyboard_interrupt_ends_the_run_cleanly(toy: Any) -> None:
    """What was done until then is in the record; the open plan is unconfirmed, with its truth."""
    seen: list[object] = []

    def advance(jobs: list[Job]) -> list[KpiFrame]:
        if sum(isinstance(event, Progress) for event in seen) == 2:
            raise KeyboardInterrupt
        return [job() for job in jobs]

    plans = {1: [toy.tilt_plan("up", ("c0", 6.0, 8.0))]}
    record = run(toy, plans, 9, advance=advance, observer=seen.append)
    assert record.interrupted
    assert record.notes == ("interrupted after 2 of 9 periods",)
    assert (len(record.frames), len(record.baseline)) == (2, 2)
    (outcome,) = record.outcomes
    assert (outcome.verdict, outcome.reason) == ("unconfirmed", "the run was interrupted")
    assert effects(outcome)[OBJECTIVE] == pytest.approx(2.5 / 12, abs=1e-12)
    assert truth_of(outcome) is Truth.UNKNOWN
    assert record.final.electrical_tilt_deg[0] == 8.0


def test_run_stops_between_periods_when_asked(toy: Any) -> None:
    """A stop that is asked for leaves whole periods and says so."""
    seen: list[object] = []
    record = run(toy, {}, 9, observer=seen.append, should_stop=lambda: len(seen) >= 6)
    assert record.interrupted
    assert len(record.frames) == 2
    whole = run(toy, {}, 2, should_stop=lambda: True)
    assert (len(whole.frames), whole.interrupted) == (1, True)


def test_events_reach_the_observer_with_truth_and_progress(toy: Any) -> None:
    """Per period: baseline, run, progress; outcomes carry their true effect, learning does not."""
    seen: list[object] = []
    script = toy.Script({1: [toy.tilt_plan("up", ("c0", 6.0, 8.0))]})
    settings = TrialSettings(3, LoopSettings(Mode.AUTONOMOUS, scoring=toy.scoring))
    run_trial(toy.Network(), START, settings, script, Guard(), Hooks(observer=seen.append))
    assert [type(e) for e in seen[:2]] == [BaselineObserved, PeriodObserved]
    assert [e.done for e in seen if isinstance(e, Progress)] == [1, 2, 3]
    (decided,) = [e for e in seen if isinstance(e, PlanDecided)]
    assert decided.outcome.true_effect != ()
    assert script.learned == [replace(decided.outcome, true_effect=())]


def test_branches_are_capped_and_the_rest_said_to_be_unknown(toy: Any) -> None:
    """With one branch allowed, the second plan has no true effect and a note says so."""
    plans = {1: [toy.tilt_plan("a", ("c0", 6.0, 8.0)), toy.tilt_plan("b", ("c6", 6.0, 8.0))]}
    record = run(toy, plans, 3, most_branches=1)
    assert [bool(o.true_effect) for o in record.outcomes] == [True, False]
    assert truth_of(record.outcomes[1]) is Truth.UNKNOWN
    assert record.notes == ("plan b was not branched, 1 others were: its true effect is unknown",)


def test_branches_and_baseline_can_be_left_out(toy: Any) -> None:
    """Without them the run is the same, with no truth and no baseline."""
    plans = {1: [toy.tilt_plan("up", ("c0", 6.0, 8.0))]}
    record = run(toy, plans, 4, branches=False, baseline=False)
    assert record.baseline == ()
    assert record.outcomes[0].true_effect == ()
    assert compare_runs(replace(run(toy, plans, 4), baseline=()), record) is None


def test_shadow_run_equals_its_baseline(toy: Any) -> None:
    """Shadow mode holds every plan and leaves the network as "do nothing" does."""
    plans = {n: [toy.tilt_plan(f"p{n}", (f"c{n}", 6.0, 8.0))] for n in range(1, 4)}
    record = run(toy, plans, 4, mode=Mode.SHADOW)
    assert len(record.held) == 3
    assert record.applied == ()
    assert compare_runs(record, replace(record, frames=record.baseline)) is None


@pytest.mark.parametrize(
    ("verdict", "effect", "truth"),
    [
        ("kept", 0.1, Truth.RIGHT),
        ("kept", -0.1, Truth.WRONG),
        ("rolled back", -0.1, Truth.RIGHT),
        ("rolled back", 0.1, Truth.WRONG),
        ("kept", 0.0, Truth.NO_EFFECT),
        ("unconfirmed", 0.1, Truth.UNKNOWN),
        ("kept", float("nan"), Truth.UNKNOWN),
    ],
)
def test_verdict_is_held_against_the_truth(verdict: str, effect: float, truth: Truth) -> None:
    """Keeping what helped and undoing what harmed is right, the reverse wrong."""
    true_effect = (Effect(OBJECTIVE, effect, effect, effect),)
    outcome = Outcome(Plan("p", "CCO", 0.0, ()), verdict, "", 0.0, {}, {}, true_effect)
    assert truth_of(outcome) is truth


def test_run_of_no_periods_is_refused() -> None:
    """Zero and negative lengths are the caller's fault."""
    with pytest.raises(BadInput, match="at least one period to run, found 0"):
        TrialSettings(0)


def test_settings_notes_open_the_record(toy: Any) -> None:
    """Notes given at the start come first, cells set aside follow."""
    record = run(toy, {}, 2, network={"blank": {1: frozenset({4})}}, notes=("power defaulted",))
    assert record.notes == (
        "power defaulted",
        "nothing decided about c4: no valid value (period 2)",
    )


def test_silent_optimiser_on_a_trial(toy: Any) -> None:
    """The optimiser "none" ends with the parameters it began with."""
    settings = TrialSettings(2, LoopSettings(Mode.AUTONOMOUS, scoring=toy.scoring))
    record = run_trial(toy.Network(), START, settings, Silent(), Guard(), Hooks())
    assert np.array_equal(record.initial.cio_db, record.final.cio_db)
    assert record.verdicts == ()


def test_interrupt_while_a_period_is_acted_upon_is_said(toy: Any) -> None:
    """The period in which it happened is in the record, and the note names it."""

    def observer(event: object) -> None:
        if isinstance(event, PeriodObserved) and event.index == 2:
            raise KeyboardInterrupt

    record = run(toy, {}, 9, observer=observer)
    assert (len(record.frames), record.interrupted) == (3, True)
    assert record.notes == ("interrupted in period 3 of 9 periods",)
