"""The loop on a network whose every effect is known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from cellhive.core.checked import check_frame
from cellhive.core.types import Change, KpiFrame, Mode, Plan, Verdict
from cellhive.flows.decide import (
    CellsSetAside,
    Loop,
    LoopSettings,
    PeriodObserved,
    PlanApplied,
    PlanChecked,
    PlanDecided,
    PlanHeld,
    PlanProposed,
    ReadBackDiffered,
    Silent,
)
from cellhive.flows.watch import WatchRules
from cellhive.ran.guard import Guard


class Stage:
    """A loop on a toy network, with every event kept."""

    def __init__(self, toy: Any, plans: dict[int, list[Plan]], **options: Any) -> None:
        """Set the loop up; options are those of the toy network, and mode and approve."""
        mode = options.pop("mode", Mode.AUTONOMOUS)
        approve = options.pop("approve", None)
        trust = {key: frozenset(options.pop(key, ())) for key in ("may_follow", "open_to_all")}
        self.network = toy.Network(**options)
        self.optimizer = toy.Script(plans)
        self.guard = Guard()
        self.events: list[object] = []
        settings = LoopSettings(mode, WatchRules(periods=2, before=3), toy.scoring, **trust)
        self.loop = Loop(
            self.network,
            self.optimizer,
            self.guard,
            settings,
            observer=self.events.append,
            approve=approve,
        )

    def run(self, periods: int) -> Stage:
        """Run some periods."""
        for _ in range(periods):
            self.loop.step()
        return self

    def of(self, kind: type) -> list[Any]:
        """Return the events of a kind."""
        return [event for event in self.events if isinstance(event, kind)]

    def tilt(self, cell: int) -> float:
        """Return the tilt that a cell holds now."""
        return float(self.network.parameters().electrical_tilt_deg[cell])


def test_good_plan_is_applied_watched_and_kept(toy: Any) -> None:
    """A plan that raises throughput stays, and its figures are those of the changed cells."""
    plan = toy.tilt_plan("up", ("c0", 6.0, 8.0))
    stage = Stage(toy, {3: [plan]}).run(5)
    (outcome,) = [event.outcome for event in stage.of(PlanDecided)]
    assert outcome.verdict == "kept"
    assert stage.tilt(0) == 8.0
    assert stage.of(PlanApplied) == [PlanApplied(plan, "autonomous mode")]
    # Watched are c11, c0 and c1: 64 before, (64 + 66 + 64.5) / 3 after.
    assert outcome.before["ue_throughput_mbps"] == pytest.approx(64.0)
    assert outcome.after["ue_throughput_mbps"] == pytest.approx(64.0 + 2.5 / 3)
    assert outcome.decided_s == 5 * 1800.0
    assert stage.optimizer.learned == [outcome]


def test_events_tell_the_story_in_order(toy: Any) -> None:
    """Observed, proposed, checked, applied, two periods later decided."""
    stage = Stage(toy, {1: [toy.tilt_plan("up", ("c0", 6.0, 8.0))]}).run(3)
    assert [type(event) for event in stage.events] == [
        PeriodObserved,
        PlanProposed,
        PlanChecked,
        PlanApplied,
        PeriodObserved,
        PeriodObserved,
        PlanDecided,
    ]
    assert [event.index for event in stage.of(PeriodObserved)] == [0, 1, 2]
    assert stage.of(PeriodObserved)[2].objective == pytest.approx(64.0 + 2.5 / 12)


def test_harmful_plan_is_rolled_back(toy: Any) -> None:
    """A plan that lowers throughput is undone by a plan of its own, through the guard."""
    stage = Stage(toy, {3: [toy.tilt_plan("down", ("c1", 6.0, 8.0))]}).run(5)
    (outcome,) = [event.outcome for event in stage.of(PlanDecided)]
    assert outcome.verdict == "rolled back"
    assert outcome.reason.startswith("harm: objective -0.83")
    assert stage.tilt(1) == 6.0
    undo = stage.of(PlanApplied)[-1]
    assert undo.approved_by == "the watch"
    assert undo.plan.function == "rollback"
    assert [(c.before, c.after) for c in undo.plan.changes] == [(8.0, 6.0)]
    assert [made.function for made in stage.guard.state.made] == ["CCO", "rollback"]
    assert [plan.plan_id for plan in stage.network.applied] == ["down", "down-rollback"]


def test_roll_back_passes_the_freeze_switch_and_new_plans_do_not(toy: Any) -> None:
    """A freeze stops what is new; what harms is still undone."""
    plans = {1: [toy.tilt_plan("down", ("c1", 6.0, 8.0))], 2: [toy.tilt_plan("x", ("c6", 6, 7))]}
    stage = Stage(toy, plans).run(1)
    stage.guard.freeze()
    stage.run(2)
    assert stage.tilt(1) == 6.0
    assert stage.tilt(6) == 6.0
    assert [r.rule for r in stage.of(PlanChecked)[1].verdict.refused] == ["frozen"]


def test_common_fall_is_not_blamed_on_the_plan(toy: Any) -> None:
    """When the whole network falls, cells left alone show that the plan did not do it."""
    stage = Stage(
        toy, {3: [toy.tilt_plan("up", ("c0", 6.0, 8.0))]}, trend=lambda period: -4.0 * period
    ).run(5)
    (outcome,) = [event.outcome for event in stage.of(PlanDecided)]
    assert outcome.verdict == "kept"
    assert outcome.after["ue_throughput_mbps"] < outcome.before["ue_throughput_mbps"]
    assert "against cells left alone" in outcome.reason


def test_scatter_widens_what_is_not_called_harm(toy: Any) -> None:
    """The same loss is harm in a calm network and within the scatter of a restless one."""
    plan = toy.tilt_plan("down", ("c1", 6.0, 8.0))
    calm = Stage(toy, {4: [plan]}).run(6).of(PlanDecided)
    restless = Stage(toy, {4: [plan]}, scatter=16.0).run(6).of(PlanDecided)
    assert [event.outcome.verdict for event in (*calm, *restless)] == ["rolled back", "kept"]


def test_shadow_mode_never_applies(toy: Any) -> None:
    """In shadow mode plans are checked and held, and the network is not touched."""
    plans = {n: [toy.tilt_plan(f"p{n}", (f"c{n}", 6.0, 8.0))] for n in range(1, 6)}
    stage = Stage(toy, plans, mode=Mode.SHADOW).run(6)
    assert stage.network.applied == []
    assert len(stage.of(PlanHeld)) == 5
    assert {event.why for event in stage.of(PlanHeld)} == {"shadow mode: nothing is applied"}
    assert stage.guard.state.made == ()


@pytest.mark.parametrize(
    ("answer", "why"), [(None, "waiting for approval"), (False, "not approved")]
)
def test_assist_mode_holds_without_a_yes(toy: Any, answer: bool | None, why: str) -> None:
    """Without an answer or with a no, a plan is held and says which."""
    plans = {1: [toy.tilt_plan("up", ("c0", 6.0, 8.0))]}
    stage = Stage(toy, plans, mode=Mode.ASSIST, approve=lambda _: answer).run(1)
    assert stage.network.applied == []
    assert [event.why for event in stage.of(PlanHeld)] == [why]


def test_assist_mode_asks_with_the_verdict_and_applies_on_a_yes(toy: Any) -> None:
    """The person sees what the guard let through, and that is what is applied."""
    asked: list[Verdict] = []

    def approve(verdict: Verdict) -> bool:
        asked.append(verdict)
        return True

    plan = toy.tilt_plan("mixed", ("c0", 6.0, 8.0), ("c6", 6.0, 9.0))
    stage = Stage(toy, {1: [plan]}, mode=Mode.ASSIST, approve=approve).run(1)
    assert [refusal.rule for refusal in asked[0].refused] == ["step"]
    assert stage.of(PlanApplied) == [
        PlanApplied(replace(plan, changes=plan.changes[:1]), "a person")
    ]
    assert (stage.tilt(0), stage.tilt(6)) == (8.0, 6.0)


def test_nobody_to_ask_means_waiting(toy: Any) -> None:
    """Assist mode without anyone to ask applies nothing."""
    plans = {1: [toy.tilt_plan("up", ("c0", 6.0, 8.0))]}
    stage = Stage(toy, plans, mode=Mode.ASSIST).run(3)
    assert stage.network.applied == []


def test_change_that_did_not_take_is_seen_and_all_of_it_undone(toy: Any) -> None:
    """Reading back shows the cell that kept its value; what did take is rolled back at once."""
    plan = toy.tilt_plan("half", ("c0", 6.0, 8.0), ("c6", 6.0, 8.0))
    stage = Stage(toy, {1: [plan]}, stuck=frozenset({"c6"})).run(1)
    assert stage.of(ReadBackDiffered)[0].differences == ("c6 electrical_tilt_deg is 6, written 8",)
    (outcome,) = [event.outcome for event in stage.of(PlanDecided)]
    assert outcome.verdict == "rolled back"
    assert (stage.tilt(0), stage.tilt(6)) == (6.0, 6.0)
    undo = stage.of(PlanApplied)[-1].plan
    assert [change.cell for change in undo.changes] == ["c0"]


def test_roll_back_that_fails_is_tried_again(toy: Any) -> None:
    """While the network is busy the plan stays watched; the next period undoes it."""
    stage = Stage(toy, {1: [toy.tilt_plan("down", ("c1", 6.0, 8.0))]}).run(2)
    stage.network.refusals = 1
    stage.run(1)
    assert stage.of(PlanDecided) == []
    assert stage.of(PlanHeld)[0].why == "the network did not take it: the network is busy"
    assert [plan.plan_id for plan in stage.loop.under_watch] == ["down"]
    stage.run(1)
    assert stage.of(PlanDecided)[0].outcome.verdict == "rolled back"
    assert stage.tilt(1) == 6.0


def test_refusing_network_leaves_no_trace(toy: Any) -> None:
    """A plan that the network does not take is held, not recorded and not watched."""
    stage = Stage(toy, {1: [toy.tilt_plan("up", ("c0", 6.0, 8.0))]}, refusals=1).run(1)
    assert stage.of(PlanApplied) == []
    assert stage.of(PlanHeld)[0].why == "the network did not take it: the network is busy"
    assert stage.guard.state.made == ()
    assert stage.loop.under_watch == ()


def test_no_plan_is_applied_twice(toy: Any) -> None:
    """The same plan proposed again, after its verdict, is refused as a duplicate."""
    plan = toy.tilt_plan("up", ("c0", 6.0, 8.0))
    stage = Stage(toy, {1: [plan, plan], 4: [plan]}).run(4)
    refused = [[r.rule for r in event.verdict.refused] for event in stage.of(PlanChecked)]
    assert refused == [[], ["duplicate"], ["duplicate"]]
    assert [applied.plan_id for applied in stage.network.applied] == ["up"]


def test_what_is_under_watch_is_left_alone(toy: Any) -> None:
    """The watched cell is closed to all, its neighbours to the same family, others to none."""
    cio = Change("c0", "cio_db", 0.0, 1.0, target="c1")
    offset = Change("c1", "a3_offset_db", 3.0, 3.5)
    plans = [
        toy.tilt_plan("first", ("c0", 6.0, 8.0)),
        Plan("relation", "MRO", 0.0, (cio,)),
        toy.tilt_plan("near", ("c1", 6.0, 5.0)),
        Plan("other-family", "MRO", 0.0, (offset,)),
        toy.tilt_plan("far", ("c6", 6.0, 8.0)),
    ]
    stage = Stage(toy, {1: plans}).run(1)
    refused = [[r.rule for r in event.verdict.refused] for event in stage.of(PlanChecked)]
    assert refused == [[], ["under watch"], ["under watch"], [], []]
    reason = stage.of(PlanChecked)[1].verdict.refused[0].reason
    assert reason == "plan first (CCO) is being watched here"


def test_watched_cell_may_be_woken(toy: Any) -> None:
    """A cell that was put to sleep may be woken before the watch over its sleep has ended."""
    sleep = Plan("sleep", "ES", 0.0, (Change("c0", "asleep", 0.0, 1.0),))
    wake = Plan("wake", "ES", 0.0, (Change("c0", "asleep", 1.0, 0.0),))
    stage = Stage(toy, {1: [sleep], 2: [wake]})
    stage.network.network.coverage_cell[0] = False
    stage.run(3)
    assert not stage.network.parameters().asleep[0]
    outcomes = {e.outcome.plan.plan_id: e.outcome for e in stage.of(PlanDecided)}
    assert outcomes["sleep"].verdict == "unconfirmed"
    assert outcomes["sleep"].reason == "c0 was changed again while it was watched"


def test_nothing_is_decided_about_cells_without_data(toy: Any) -> None:
    """A blank cell is set aside, said so, and changes about it are refused."""
    plan = toy.tilt_plan("up", ("c0", 6.0, 8.0), ("c6", 6.0, 8.0))
    stage = Stage(toy, {1: [plan]}, blank={0: frozenset({0})}).run(1)
    assert stage.of(CellsSetAside) == [CellsSetAside(0.0, ("c0",), "no valid value")]
    verdict = stage.of(PlanChecked)[0].verdict
    assert [(r.change.cell, r.rule) for r in verdict.refused] == [("c0", "no data")]
    assert (stage.tilt(0), stage.tilt(6)) == (6.0, 8.0)


def test_impossible_values_are_not_used(toy: Any) -> None:
    """A negative or infinite throughput marked valid is taken out, and the cell set aside."""
    frame = toy.Network().observe()
    values = frame.values.copy()
    values[3], values[4] = -5.0, np.inf
    checked = check_frame(replace(frame, values=values))
    assert np.argwhere(checked.impossible).tolist() == [[3, 0], [4, 0]]
    assert np.flatnonzero(~checked.usable).tolist() == [3, 4]
    assert np.isnan(checked.frame.values[[3, 4]]).all()
    assert values[3] == -5.0, "the frame that came in is left as it was"


def test_watch_without_data_waits_and_then_rolls_back(toy: Any) -> None:
    """What cannot be confirmed does not stay: two more periods, then it is undone."""
    blank = {period: frozenset({0}) for period in range(1, 9)}
    stage = Stage(toy, {1: [toy.tilt_plan("up", ("c0", 6.0, 8.0))]}, blank=blank).run(4)
    assert stage.of(PlanDecided) == []
    stage.run(1)
    (outcome,) = [event.outcome for event in stage.of(PlanDecided)]
    assert outcome.verdict == "rolled back"
    assert outcome.reason == "the changed cells gave no data to judge by"
    assert stage.tilt(0) == 6.0


def test_other_hands_win(toy: Any) -> None:
    """What somebody else has changed meanwhile is not rolled back over their head."""
    stage = Stage(toy, {1: [toy.tilt_plan("down", ("c1", 6.0, 8.0))]}).run(2)
    stage.network.apply(toy.tilt_plan("hand", ("c1", 8.0, 9.0)))
    stage.run(1)
    (outcome,) = [event.outcome for event in stage.of(PlanDecided)]
    assert outcome.verdict == "unconfirmed"
    assert outcome.reason == "c1 was changed again while it was watched"
    assert stage.tilt(1) == 9.0


def test_closing_reports_what_is_still_watched(toy: Any) -> None:
    """A run that ends says of every open plan that it is unconfirmed, with what was seen."""
    stage = Stage(toy, {2: [toy.tilt_plan("up", ("c0", 6.0, 8.0))]}).run(3)
    stage.loop.close("the run ended")
    (outcome,) = [event.outcome for event in stage.of(PlanDecided)]
    assert (outcome.verdict, outcome.reason) == ("unconfirmed", "the run ended")
    assert outcome.after["ue_throughput_mbps"] == pytest.approx(64.0 + 2.5 / 3)
    assert stage.tilt(0) == 8.0
    assert stage.loop.under_watch == ()


def test_repeated_or_late_period_is_not_acted_on(toy: Any) -> None:
    """The same period twice counts once: no proposal, no step of a watch."""
    stage = Stage(toy, {1: [toy.tilt_plan("up", ("c0", 6.0, 8.0))]})
    frame: KpiFrame = stage.network.observe()
    for _ in range(4):
        stage.loop.take(frame)
    assert stage.optimizer.seen == 1
    assert stage.of(PlanDecided) == []
    assert [event.why for event in stage.of(CellsSetAside)] == [
        "the period was reported before, or is older than one that was"
    ] * 3


def test_silent_optimiser_does_nothing(toy: Any) -> None:
    """The optimiser "none" leads to observations and nothing else."""
    events: list[object] = []
    network = toy.Network()
    settings = LoopSettings(Mode.AUTONOMOUS, scoring=toy.scoring)
    loop = Loop(network, Silent(), Guard(), settings, observer=events.append)
    for _ in range(3):
        loop.step()
    assert {type(event) for event in events} == {PeriodObserved}
    assert network.applied == []


def test_history_given_to_the_optimiser_is_bounded_and_checked(toy: Any) -> None:
    """The optimiser sees at most the frames kept, without impossible values."""
    lengths: list[int] = []

    class Counting(Silent):
        def propose(
            self, network: object, parameters: object, frames: Sequence[KpiFrame], now_s: float
        ) -> list[Plan]:
            lengths.append(len(frames))
            return []

    settings = LoopSettings(Mode.SHADOW, scoring=toy.scoring, history=3)
    loop = Loop(toy.Network(), Counting(), Guard(), settings)
    for _ in range(5):
        loop.step()
    assert lengths == [1, 2, 3, 3, 3]


def test_what_is_left_of_a_harmful_plan_is_undone(toy: Any) -> None:
    """Where one of two cells was changed by hand meanwhile, the other is rolled back."""
    plan = toy.tilt_plan("down", ("c1", 6.0, 8.0), ("c5", 6.0, 8.0))
    stage = Stage(toy, {1: [plan]}).run(2)
    stage.network.apply(toy.tilt_plan("hand", ("c5", 8.0, 9.0)))
    stage.run(1)
    assert stage.of(PlanDecided)[0].outcome.verdict == "rolled back"
    assert (stage.tilt(1), stage.tilt(5)) == (6.0, 9.0)


def test_trusted_author_goes_on_where_it_is_watched(toy: Any) -> None:
    """Its next steps are not put off; without trust they are."""
    first = toy.tilt_plan("one", ("c0", 6.0, 8.0), function="RL/coverage")
    second = toy.tilt_plan("two", ("c0", 8.0, 10.0), ("c1", 6.0, 5.0), function="RL/load")
    stage = Stage(toy, {3: [first], 4: [second]}, may_follow={"RL"}).run(6)
    outcomes = [event.outcome for event in stage.of(PlanDecided)]
    assert [(o.plan.plan_id, o.verdict) for o in outcomes] == [("one", "kept"), ("two", "kept")]
    assert (stage.tilt(0), stage.tilt(1)) == (10.0, 5.0)
    strict = Stage(toy, {3: [first], 4: [second]}).run(6)
    (_, verdict) = [event.verdict for event in strict.of(PlanChecked)]
    assert [refusal.rule for refusal in verdict.refused] == ["under watch", "under watch"]
    assert (strict.tilt(0), strict.tilt(1)) == (8.0, 6.0)


def test_others_wait_for_what_a_trusted_author_does(toy: Any) -> None:
    """Trust is in one author's own plans, not in those of others near them."""
    first = toy.tilt_plan("one", ("c0", 6.0, 8.0), function="RL/coverage")
    second = toy.tilt_plan("two", ("c0", 8.0, 10.0), function="CCO")
    stage = Stage(toy, {3: [first], 4: [second]}, may_follow={"RL"}).run(4)
    (_, verdict) = [event.verdict for event in stage.of(PlanChecked)]
    assert [refusal.rule for refusal in verdict.refused] == ["under watch"]


def test_where_a_function_is_open_to_all_nobody_waits_and_others_work_stays(toy: Any) -> None:
    """Rules go on beside what a policy learned beside them; what harms is undone without theirs."""
    plans = {
        3: [toy.tilt_plan("one", ("c1", 6.0, 8.0), function="RL/beside-coverage")],
        4: [
            toy.tilt_plan("two", ("c2", 6.0, 7.0), function="CCO"),
            toy.tilt_plan("three", ("c2", 7.0, 8.0), function="MRO"),
        ],
    }
    stage = Stage(toy, plans, open_to_all={"RL/beside-coverage"}).run(4)
    _, second, third = [event.verdict for event in stage.of(PlanChecked)]
    assert not second.refused
    assert [refusal.rule for refusal in third.refused] == ["under watch"]
    stage.run(1)
    assert [stage.tilt(cell) for cell in (1, 2)] == [6.0, 7.0]
    ended = {e.outcome.plan.plan_id: e.outcome.verdict for e in stage.of(PlanDecided)}
    assert ended == {"one": "rolled back"}


def test_harm_undoes_what_followed_newest_first(toy: Any) -> None:
    """Everything its author did since where the harm was felt goes, down to the first values."""
    plans = {
        3: [toy.tilt_plan("one", ("c1", 6.0, 8.0), function="RL/coverage")],
        4: [
            toy.tilt_plan("two", ("c1", 8.0, 9.0), ("c2", 6.0, 7.0), function="RL/coverage"),
            toy.tilt_plan("far", ("c6", 6.0, 7.0), function="RL/coverage"),
        ],
    }
    stage = Stage(toy, plans, may_follow={"RL"}).run(5)
    assert [stage.tilt(cell) for cell in (1, 2, 6)] == [6.0, 6.0, 7.0]
    outcomes = [event.outcome for event in stage.of(PlanDecided)]
    assert [(o.plan.plan_id, o.verdict) for o in outcomes] == [
        ("two", "rolled back"), ("one", "rolled back"),
    ]  # fmt: skip
    assert outcomes[0].reason == "plan one, which it followed, did harm"
    assert [plan.plan_id for plan in stage.loop.under_watch] == ["far"]
    assert [plan.plan_id for plan in stage.network.applied] == [
        "one", "two", "far", "two-rollback", "one-rollback",
    ]  # fmt: skip


def test_harm_waits_until_what_followed_is_undone(toy: Any) -> None:
    """Where the network does not take the newer roll-back, the older one waits for it."""
    plans = {
        3: [toy.tilt_plan("one", ("c1", 6.0, 8.0), function="RL/coverage")],
        4: [toy.tilt_plan("two", ("c1", 8.0, 9.0), function="RL/coverage")],
        5: [toy.tilt_plan("more", ("c1", 9.0, 9.5), function="RL/coverage")],
    }
    stage = Stage(toy, plans, may_follow={"RL"}).run(4)
    stage.network.refusals = 2  # "two" is tried for the sake of "one", and in its own turn
    stage.run(1)
    assert stage.tilt(1) == 9.0  # nothing undone, and nothing more goes on from there
    stage.run(1)
    assert stage.tilt(1) == 6.0
    assert [event.outcome.verdict for event in stage.of(PlanDecided)] == ["rolled back"] * 2
