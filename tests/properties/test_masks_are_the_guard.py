"""What is masked is what the guard refuses, and what is refused is what it would have refused."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cellhive.core.types import Change, Network, Parameters, Plan
from cellhive.ran.guard import Guard, Limits
from cellhive.ran.layout import SiteDesign, hex_grid
from cellhive.ran.parameters import diff
from cellhive.ran.scenarios import Scenario
from cellhive.ran.users import UserMix
from cellhive.rl.actions import DOWN, KEEP, UP, ActionSettings
from cellhive.rl.admission import REASONS
from cellhive.rl.env import FUNCTION, CellEnvironment, EnvironmentSettings

PLACE = Scenario(
    "guarded", "One site, two layers.", (),
    lambda: hex_grid(1, 500.0, SiteDesign(carrier_hz=1.8e9, capacity_carrier_hz=2.6e9)),
    users_per_cell=1, mix=UserMix(users=0), tilt_deg=6.0, hours=4.0,
)  # fmt: skip

LIMITS = (
    Limits(),
    Limits(network_budget_least=6, network_budget_per_cell=0.1, budget_per_cell=3),
    Limits(loop_margin_db=3.5, budget_per_cell=100, network_budget_least=1000),
    Limits(allow_loops=True, deviation={"cio_db": 2.0}, conflict_s=7200.0),
)


def environment(limits: Limits, kind: str, protect: int | None) -> CellEnvironment:
    """Return an environment of which one cell may be protected."""
    env = CellEnvironment(
        EnvironmentSettings(PLACE, observed_s=0.04, warm_up_s=0.0, limits=limits,
                            actions=ActionSettings(kind=kind))
    )  # fmt: skip
    if protect is not None:
        protected = np.zeros(env.network.cells, np.bool_)
        protected[protect] = True
        env._rules = env._rules._replace(protected=protected)
        env.world = replace(env.world, network=replace(env.network, protected=protected))
    env.reset([1])
    return env


def plan_of(env: CellEnvironment, parameters: Parameters, wanted: list[tuple[int, float]]) -> Plan:
    """Return the plan that sets columns to values, in the order given."""
    network, changes = env.network, []
    names = [column.parameter for column in env.actions.columns]
    for which, after in wanted:
        cell, column = divmod(which, len(names))
        before, target = getattr(parameters, names[column]), None
        where = cell
        if names[column] == "cio_db":
            where = int(env.actions.slots[cell, env.actions.columns[column].slot])
            target = network.cell_ids[network.relation_target[where]]
        change = Change(
            network.cell_ids[cell], names[column], float(before[where]), float(after), target
        )
        changes.append(change)
    return Plan("p", FUNCTION, 0.0, tuple(changes))


def turned(env: CellEnvironment, wanted: dict[int, float]) -> list[tuple[int, float]]:
    """Return proposals in the order of the cells' turn, as the environment takes them."""
    columns = len(env.actions.columns)
    first = round(env.period * 0.618 * env.network.cells) % env.network.cells * columns
    places = [(first + place) % (env.network.cells * columns)
              for place in range(env.network.cells * columns)]  # fmt: skip
    return [(place, wanted[place]) for place in places if place in wanted]


@settings(max_examples=40, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    limits=st.sampled_from(LIMITS),
    kind=st.sampled_from(["discrete", "step", "target"]),
    protect=st.sampled_from([None, 1, 4]),
    eagerness=st.sampled_from([0.05, 0.3, 0.9]),
)
def test_masks_and_refusals_are_the_guards(
    seed: int, limits: Limits, kind: str, protect: int | None, eagerness: float
) -> None:
    """Over random decisions the masks, what is made and why not are those of ``ran.guard``.

    The guard itself checks every option alone, and the decision as one plan.
    """
    env, guard, rng = environment(limits, kind, protect), Guard(limits), np.random.default_rng(seed)
    network: Network = env.network
    for _ in range(8):
        now_s, parameters = env._now_s(), env.parameters()
        mask = env.masks().reshape(-1, 3)
        options = env.actions.options(env._course.values)[0]
        for which in rng.permutation(len(mask))[:25].tolist():
            for option, after in ((DOWN, options[which, 0]), (UP, options[which, 1])):
                if env.actions.place[which] < 0:
                    continue
                plan = plan_of(env, parameters, [(which, after)])
                verdict = guard.check(plan, network, parameters, now_s)
                assert mask[which, option] == len(verdict.accepted), verdict.refused
        shape = env.keep().shape
        if kind == "discrete":
            actions = np.where(rng.random(shape) < eagerness, rng.integers(0, 3, shape), KEEP)
        else:
            actions = np.where(rng.random(shape) < eagerness, rng.uniform(-1, 1, shape), env.keep())
        proposals = env.actions.proposals(actions, env._course, env._rules, 0)
        asked = {int(w): float(proposals.after[0, w]) for w in proposals.order[0] if w >= 0}
        plan = plan_of(env, parameters, turned(env, asked))
        verdict = guard.check(plan, network, parameters, now_s)
        step = env.step(actions)
        made = diff(network, parameters, env.parameters())
        assert {(c.object_id, c.parameter, c.after) for c in made} == {
            (c.object_id, c.parameter, c.after) for c in verdict.accepted
        }
        reasons = [refusal.rule for refusal in verdict.refused]
        assert step.refused[0].tolist() == [reasons.count(name) for name in REASONS[1:]]
        assert step.made[0] == len(verdict.accepted)
        guard.record(replace(plan, changes=verdict.accepted), now_s)


def test_every_reason_can_be_given() -> None:
    """The random decisions above are rough enough to meet most rules; no vacuous agreement."""
    met = np.zeros(len(REASONS) - 1, int)
    for seed, limits in enumerate(LIMITS):
        env, rng = environment(limits, "discrete", 1), np.random.default_rng(seed)
        for _ in range(16):
            shape = env.keep().shape
            eager = np.where(rng.random(shape) < 0.3, rng.integers(0, 3, shape), KEEP)
            met += env.step(eager).refused[0]
    named = {name for name, count in zip(REASONS[1:], met, strict=True) if count}
    assert named >= {"no-effect", "protected", "interval", "deviation", "area", "awake", "sleep",
                     "budget", "loop-free"}  # fmt: skip


def test_off_guard_anything_goes_that_a_parameter_can_take() -> None:
    """Without the guard a coverage cell may sleep, at once, twice, and against protection."""
    env = CellEnvironment(EnvironmentSettings(PLACE, observed_s=0.04, warm_up_s=0.0, guarded=False))
    env.reset([1])
    column = [c.name for c in env.actions.columns].index("asleep")
    assert env.masks()[0, 0, column].tolist() == [0, 1, 1]
    actions = env.keep()
    actions[0, :, column] = UP
    assert env.step(actions).made[0] == 6
    assert env.parameters().asleep.all()
    assert env.masks()[0, 0, column].tolist() == [1, 1, 0]
    step = env.step(actions)
    assert step.refused[0, REASONS.index("no-effect") - 1] == 6


@pytest.mark.parametrize("kind", ["step", "target"])
def test_continuous_extremes_stay_within_step_and_range(kind: str) -> None:
    """The largest action moves a parameter by at most its largest step, to a point of its grid."""
    env = CellEnvironment(
        EnvironmentSettings(PLACE, observed_s=0.04, warm_up_s=0.0,
                            actions=ActionSettings(kind=kind, heads=("electrical_tilt_deg",
                                                                     "time_to_trigger_s")))
    )  # fmt: skip
    env.reset([1])
    env.step(np.ones_like(env.keep()))
    parameters = env.parameters()
    assert parameters.electrical_tilt_deg.tolist() == [8.0] * 6  # 6 + 2 deg
    assert parameters.time_to_trigger_s.tolist() == [0.32] * 6  # 0.08 + 0.32 = 0.4: below is 0.32
    assert env.step(env.keep()).made[0] == 0
