"""Decisions beside the best single action: exact branches, and what counts as right."""

from __future__ import annotations

import numpy as np
import pytest

from cellhive.core.errors import BadInput, Conflict
from cellhive.core.types import Change, KpiFrame, Network, Outcome, Parameters, Plan
from cellhive.flows.arms.best_action import (
    BranchingSettings,
    Decision,
    DecisionStudy,
    Keeping,
    Proposing,
    judge_decisions,
)
from cellhive.ran.layout import SiteDesign
from cellhive.ran.scenarios import HexLayout, Scenario
from cellhive.rl.actions import DOWN, KEEP, UP, ActionSettings
from cellhive.rl.env import CellEnvironment, EnvironmentSettings

TINY = Scenario(
    "tiny", "One site.", ("demand_satisfied_ratio",), HexLayout(1, 500.0, SiteDesign()),
    users_per_cell=8, hours=2.0, start_h=12.0,
)  # fmt: skip


def environment(networks: int = 1, **changes: object) -> CellEnvironment:
    """Return the tiny network."""
    settings = EnvironmentSettings(TINY, observed_s=4.0, warm_up_s=4.0, **changes)  # type: ignore[arg-type]
    return CellEnvironment(settings, networks)


def test_a_branch_is_the_network_many_times_over() -> None:
    """Kept, every copy goes on exactly as the network itself; changed, only that one differs."""
    here = environment(2)
    here.reset([1, 2])
    turned = here.keep()
    turned[:, 0, here.actions.columns.index(next(
        column for column in here.actions.columns if column.parameter == "electrical_tilt_deg"
    ))] = UP  # fmt: skip
    here.step(turned)
    branch = here.branch(3, e=1)
    actions = branch.keep()
    actions[2, 1, -2] = DOWN
    there = branch.step(actions)
    kept = here.step(here.keep())
    np.testing.assert_array_equal(there.reward.network[:2], np.repeat(kept.reward.network[1], 2))
    np.testing.assert_array_equal(there.observation[0], kept.observation[1])
    np.testing.assert_array_equal(there.mask[0], kept.mask[1])
    assert there.reward.network[2] != kept.reward.network[1]
    np.testing.assert_array_equal(
        branch.parameters(1).electrical_tilt_deg, here.parameters(1).electrical_tilt_deg
    )
    with pytest.raises(Conflict, match="branch"):
        branch.reset([1, 2, 3])


def test_other_luck_is_other_only_from_now_on() -> None:
    """The same seed is the same future, another one another, with the users where they stand."""
    here = environment()
    here.reset([1])
    branch = here.branch(3, seeds=[7, 7, 8])
    users = branch.simulator.plant.users
    np.testing.assert_array_equal(users["x_m"][0], users["x_m"][2])
    rewards = [branch.step(branch.keep()).reward.network for _ in range(3)][-1]
    assert rewards[0] == rewards[1] != rewards[2]


def decision(gain: float, best: float, error: float = 0.1) -> Decision:
    """Return a decision of which only values matter."""
    return Decision(0, "c", 10, ("tilt up",), "power down", gain, best, error)


def test_what_counts_as_right_by_hand() -> None:
    """95 % of a clear best is right, 94 % is not; without a clear best, no clear harm is right."""
    clear = (decision(0.95, 1.0), decision(0.94, 1.0), decision(1.2, 1.0), decision(-0.1, 1.0))
    assert [one.right for one in clear] == [True, False, True, False]
    unclear = (decision(0.0, 0.19), decision(-0.19, 0.1), decision(-0.21, -0.5))
    assert [one.clear for one in unclear] == [False] * 3
    assert [one.right for one in unclear] == [True, True, False]
    found = DecisionStudy("tiny", "x", 1, BranchingSettings(), (*clear, *unclear))
    assert found.share_right == 0.5
    assert found.share_harmless == pytest.approx(2 / 3)
    assert found.regret == pytest.approx((0.05 + 0.06 - 0.2 + 1.1) / 4)
    nothing = DecisionStudy("tiny", "x", 1, BranchingSettings(), unclear)
    assert np.isnan(nothing.share_right)
    assert np.isnan(nothing.regret)


class Once:
    """An optimiser that proposes one tilt, one offset and one filter in the first period."""

    def propose(
        self, network: Network, parameters: Parameters, frames: list[KpiFrame], now_s: float
    ) -> list[Plan]:
        """Return a plan for cell 1 as long as there is one frame."""
        cell = network.cell_ids[1]
        tilt = float(parameters.electrical_tilt_deg[1])
        relation = int(np.flatnonzero(network.relation_source == 1)[0])
        target = network.cell_ids[int(network.relation_target[relation])]
        changes = (
            Change(cell, "electrical_tilt_deg", tilt, tilt - 1.0),
            Change(cell, "cio_db", 0.0, 1.0, target),
            Change(cell, "filter_coefficient", 4.0, 6.0),
        )
        return [Plan("p", "CCO", now_s, changes)] if len(frames) == 1 else []

    def learn(self, outcome: Outcome) -> None:
        """Take in nothing."""


def test_plans_become_options() -> None:
    """Tilt down, offset up and filter up are options; without its column the filter is left out."""
    every = ActionSettings().heads
    for heads in (every, tuple(head for head in every if head != "filter_coefficient")):
        here = environment(actions=ActionSettings(heads=heads))
        here.reset([1])
        chooser = Proposing(Once())
        chosen = chooser.choose(here)
        names = [column.name for column in here.actions.columns]
        assert chosen[1, names.index("electrical_tilt_deg")] == DOWN
        assert chosen[1, names.index("cio_db[0]")] == UP
        if heads == every:
            assert chosen[1, names.index("filter_coefficient")] == UP
        assert int((chosen != KEEP).sum()) == 2 + (heads == every)
        assert (chooser.choose(here) == KEEP).all()


def test_keeping_is_worth_nothing_and_repeats() -> None:
    """Whoever keeps everything has a gain of exactly 0; the same seed looks at the same cells."""
    settings = BranchingSettings(decisions=3, horizon=1, futures=4)
    here = environment(periods=4)
    first = judge_decisions(here, Keeping(), settings, ("nothing", 5))
    assert len(first.decisions) == 3
    assert all(one.gain == 0.0 and one.chosen == () for one in first.decisions)
    assert all(one.actions > 4 for one in first.decisions)
    assert first == judge_decisions(here, Keeping(), settings, ("nothing", 5))
    small = BranchingSettings(decisions=3, horizon=1, futures=4, batch=5)
    assert judge_decisions(here, Keeping(), small, ("nothing", 5)).decisions == first.decisions


def test_branching_refuses_what_gives_no_answer() -> None:
    """Half of the futures choose and half judge: an even number, from 4; one network."""
    with pytest.raises(BadInput, match="even number"):
        BranchingSettings(futures=5)
    with pytest.raises(BadInput, match="one network"):
        judge_decisions(environment(2), Keeping(), BranchingSettings(), ("x", 1))
    continuous = environment(actions=ActionSettings(kind="step"))
    with pytest.raises(BadInput, match="discrete"):
        judge_decisions(continuous, Keeping(), BranchingSettings(), ("x", 1))
