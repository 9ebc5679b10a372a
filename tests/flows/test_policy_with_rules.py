"""What a policy was not trained for is left to the rules, and both are told what came of it."""

from __future__ import annotations

from dataclasses import replace

import pytest
from policies import drawn

from cellhive.core.types import KpiFrame, Outcome, Plan
from cellhive.flows.decide import ROLLED_BACK
from cellhive.flows.policy.optimizer import Model, PolicyRole
from cellhive.flows.policy.plans import AUTHOR
from cellhive.flows.policy.together import PolicyWithRules, left_to_rules
from cellhive.ran.layout import SiteDesign, hex_grid
from cellhive.ran.scenarios import Scenario
from cellhive.ran.users import Traffic, UserMix
from cellhive.rl.actions import HEADS
from cellhive.rl.env import CellEnvironment, EnvironmentSettings
from cellhive.rl.policy import PolicyShape

MOBILITY = ("a3_offset_db", "hysteresis_db", "time_to_trigger_s")
NIGHT = Scenario(
    "night", "One site, two layers, hardly anybody awake.", (),
    lambda: hex_grid(1, 500.0, SiteDesign(carrier_hz=1.8e9, capacity_carrier_hz=2.6e9)),
    users_per_cell=4,
    mix=UserMix(users=0, indoor_share=0.3, pedestrian_share=0.2, street_share=0.5),
    traffic=Traffic(mean_session_s=2.0, mean_pause_s=30.0), capacity_offset_db=6.0, tilt_deg=6.0,
    hours=4.0,
)  # fmt: skip


def model(*roles: tuple[str, ...]) -> Model:
    """Return a model with random opinions, a role for each set of heads."""
    shapes = [PolicyShape(heads, 3, 16, 8) for heads in roles]
    return Model(
        "random@1",
        tuple(
            PolicyRole(f"role{index}", shape, drawn(shape, 5 + index))
            for index, shape in enumerate(shapes)
        ),
    )


@pytest.mark.parametrize(
    ("roles", "left"),
    [
        ([HEADS], set()),
        ([MOBILITY], {"ES", "CCO", "MLB", "MRO"}),
        ([("cio_db",)], {"ES", "CCO"}),
        ([("cio_db", *MOBILITY)], {"ES", "CCO"}),
        ([("asleep",)], {"CCO", "MLB", "MRO"}),
        ([("electrical_tilt_deg",)], {"ES", "MLB", "MRO"}),
        ([("tx_power_dbm",), ("asleep",)], {"MLB", "MRO"}),
    ],
)
def test_rules_keep_the_functions_that_no_role_turns(
    roles: list[tuple[str, ...]], left: set[str]
) -> None:
    """A function is left to the rules only if the policy turns none of what it is for."""
    assert left_to_rules(model(*roles)) == left


class Watched(CellEnvironment):
    """An environment whose frames can be looked at."""

    frame: KpiFrame

    def _observe(self, before: object, after: object) -> KpiFrame:
        self.frame = super()._observe(before, after)  # type: ignore[arg-type]
        return self.frame


def night() -> tuple[Watched, list[KpiFrame]]:
    """Return a quiet network, and four periods of it in which nothing was changed."""
    env = Watched(EnvironmentSettings(NIGHT, observed_s=4.0, warm_up_s=4.0))
    env.reset([3])
    frames = []
    for period in range(4):
        frames.append(replace(env.frame, time_s=8 * 3600.0 + period * 900.0))
        env.step(env.keep())
    return env, frames


def by(author: str, plans: list[Plan]) -> list[Plan]:
    """Return the plans of a function."""
    return [plan for plan in plans if plan.function.partition("/")[0] == author]


def test_both_propose_and_each_learns_of_its_own() -> None:
    """Rules put cells to sleep, the policy sets the handover; neither repeats what did harm."""
    env, frames = night()
    held, both = env.parameters(), PolicyWithRules(model(MOBILITY))

    def proposed(periods: int, now_s: float) -> list[Plan]:
        return both.propose(env.network, held, frames[:periods], now_s)

    now_s = frames[0].time_s
    plans: list[Plan] = []
    for period in range(1, 4):
        now_s = frames[period].time_s
        plans = proposed(period, now_s)
        if by("ES", plans):
            break
    slept, moved = by("ES", plans), by(AUTHOR, plans)
    assert {change.parameter for plan in slept for change in plan.changes} == {"asleep"}
    turned = {change.parameter for plan in moved for change in plan.changes}
    assert turned
    assert turned <= set(MOBILITY)
    assert plans.index(moved[-1]) < plans.index(slept[0])  # the policy is asked first

    def steps(some: list[Plan]) -> set[tuple[str, str, bool]]:
        return {(c.object_id, c.parameter, c.after > c.before) for p in some for c in p.changes}

    for plan in (slept[0], moved[0]):
        both.learn(Outcome(plan, ROLLED_BACK, "harm", now_s, {}, {}))
    again = proposed(len(frames), frames[-1].time_s + 900.0)
    assert not steps([slept[0]]) & steps(by("ES", again))
    assert not steps([moved[0]]) & steps(by(AUTHOR, again))
