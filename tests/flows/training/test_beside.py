"""Where the rules act too, doing nothing is what they do, and a decision goes before theirs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from small import ASLEEP, two_layers

from cellhive.core.errors import BadInput, Conflict
from cellhive.core.types import Change, Plan
from cellhive.flows.training.beginning import Beginning
from cellhive.flows.training.beside import BesideRules
from cellhive.flows.training.history import demonstrate
from cellhive.flows.training.recipe import RECIPES, environments_of
from cellhive.rl.actions import DOWN, HEADS, KEEP, ActionSettings
from cellhive.rl.env import CellEnvironment, EnvironmentSettings

IDLE = two_layers(3, 2.0, ASLEEP, sites=3)
SETTINGS = EnvironmentSettings(IDLE, observed_s=4.0, warm_up_s=4.0)
SEEDS = (3, 4)


class Tilting:
    """Wants the tilt of the first cell one degree further down in every period."""

    def propose(self, network, parameters, frames, now_s) -> list[Plan]:  # type: ignore[no-untyped-def]
        """Return it as a plan."""
        del frames
        tilt_deg = float(parameters.electrical_tilt_deg[0])
        wanted = Change(network.cell_ids[0], "electrical_tilt_deg", tilt_deg, tilt_deg + 1.0)
        return [Plan("t", "CCO", now_s, (wanted,))]


def column(env: CellEnvironment, name: str) -> int:
    """Return the place of a column."""
    return [one.name for one in env.actions.columns].index(name)


def test_to_keep_everything_is_to_leave_it_to_the_rules() -> None:
    """Reward, observation and mask are those of the rules at work, step for step."""
    shown = demonstrate(CellEnvironment(SETTINGS, 2), SEEDS, paired=False)
    assert (shown.action != KEEP).any()
    beside = BesideRules(SETTINGS, 2)
    for _ in range(2):  # an episode leaves nothing behind
        seen, _ = beside.reset(SEEDS)
        for t in range(SETTINGS.decisions):
            assert np.array_equal(seen, shown.seen[t])
            step = beside.step(beside.keep())
            assert np.allclose(step.reward.cells, shown.reward[t])
            assert np.array_equal(step.made, (shown.action[t] != KEEP).sum(axis=(1, 2)))
            seen = step.observation


def test_a_decision_goes_before_what_the_rules_want_and_the_guard_before_both() -> None:
    """Of one column the decision counts; elsewhere the rules go on."""
    env = BesideRules(SETTINGS, 1, make=Tilting)
    env.reset([3])
    tilt = column(env, "electrical_tilt_deg")
    first = env.parameters().electrical_tilt_deg.copy()
    decided = env.keep()
    decided[0, 1, tilt] = DOWN
    env.step(decided)
    after = env.parameters().electrical_tilt_deg
    assert after[0] > first[0]
    assert after[1] < first[1]
    asked = 1
    while env.period < SETTINGS.decisions:  # the guard lets a cell be changed only so often
        before = env.parameters().electrical_tilt_deg[0]
        step = env.step(env.keep())
        moved = env.parameters().electrical_tilt_deg[0] > before
        assert moved == (step.outcome[0, 0, tilt] == 0)
        asked += 1
    assert first[0] < env.parameters().electrical_tilt_deg[0] < first[0] + asked


@pytest.mark.parametrize("copied", [lambda env: env.clone(), lambda env: env.branch(2)])
def test_it_has_no_copies(copied: Callable[[CellEnvironment], object]) -> None:
    """A copy would have rules that remember nothing."""
    env = BesideRules(SETTINGS)
    env.reset([1])
    with pytest.raises(Conflict, match="without rules"):
        copied(env)


def test_what_cannot_be_is_refused() -> None:
    """Amounts instead of options, and what was recorded without the rules' columns."""
    amounts = replace(SETTINGS, actions=ActionSettings(kind="step"))
    with pytest.raises(BadInput, match="discrete"):
        BesideRules(amounts)
    with pytest.raises(BadInput, match="learnt by playing"):
        replace(RECIPES["sleep"], beginning=Beginning(("rules",)))


def test_the_recipe_learns_beside_rules_that_may_turn_everything() -> None:
    """The policy turns what it says, the rules whatever they are for."""
    recipe = replace(RECIPES["sleep"], cities=1, observed_s=4.0)
    (env,) = environments_of(recipe, [IDLE])
    assert isinstance(env, BesideRules)
    assert recipe.heads == ("asleep",)
    assert env.settings.actions.heads == HEADS
