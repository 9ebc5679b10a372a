"""What a policy was not trained for is left to the rules, and both are told what came of it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from policies import drawn
from small import ASLEEP, two_layers

from cellhive.core.errors import BadInput
from cellhive.core.types import Change, KpiFrame, Network, Outcome, Plan
from cellhive.flows.decide import ROLLED_BACK, Silent
from cellhive.flows.policy.optimizer import Model, PolicyOptimizer, PolicyRole, PolicySettings
from cellhive.flows.policy.plans import AUTHOR, BESIDE_RULES
from cellhive.flows.policy.together import PolicyWithRules, Turns, left_to_rules
from cellhive.ran.layout import SiteDesign, hex_grid
from cellhive.rl.actions import HEADS
from cellhive.rl.env import CellEnvironment, EnvironmentSettings
from cellhive.rl.policy import PolicyShape

MOBILITY = ("a3_offset_db", "hysteresis_db", "time_to_trigger_s")
NIGHT = two_layers(4, 4.0, ASLEEP)


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


def beside(one: Model) -> Model:
    """Return a model all of whose roles learned beside the rules."""
    return replace(one, roles=tuple(role._replace(beside_rules=True) for role in one.roles))


def test_what_learned_beside_the_rules_leaves_them_everything_and_needs_them() -> None:
    """A role of the same model that learned alone decides alone."""
    added, alone = beside(model(("asleep",))), model(MOBILITY)
    assert left_to_rules(added) == {"ES", "CCO", "MLB", "MRO"}
    both = Model("both@1", (*added.roles, alone.roles[0]._replace(name="alone")))
    assert left_to_rules(both) == {"ES", "CCO", "MLB", "MRO"}
    assert [role.name for role in both.without_rules().roles] == ["alone"]
    assert alone.without_rules() is alone
    with pytest.raises(BadInput, match="rl:random@1\\+rules"):
        added.without_rules()
    serving = PolicyOptimizer(alone)
    serving.take(both)  # promoted while it runs, with no rules beside it
    assert [role.name for role in serving.deciding.roles] == ["alone"]
    with pytest.raises(BadInput, match="learned to decide alone"):
        serving.take(added)


def test_what_learned_beside_the_rules_goes_first_and_repeats_nothing() -> None:
    """It acts at sites of several carriers only, and never on what the rules want themselves."""
    env, frames = night()
    one = beside(model(("electrical_tilt_deg", "asleep")))
    name = env.network.cell_ids
    policy = PolicyOptimizer(one, PolicySettings(beside_rules=True))
    alone = policy.propose(env.network, env.parameters(), frames, 36000.0)
    wanted = {(c.cell, c.parameter): c for plan in alone for c in plan.changes}
    (cell, parameter), taken = next(iter(wanted.items()))
    assert len(wanted) > 1
    mine = Plan("ES-1", "ES", 36000.0, (replace(taken, reason="the rules"),))
    other = Change(name[0], "cio_db", 0.0, 1.0, name[1])
    mro = Plan("MRO-1", "MRO", 36000.0, (other,))
    together = PolicyWithRules(one)
    together.rules = Asked([mine, mro])  # type: ignore[assignment]
    plans = together.propose(env.network, env.parameters(), frames, 36000.0)
    assert [plan.plan_id for plan in plans[-2:]] == ["ES-1", "MRO-1"]
    assert {plan.function for plan in plans[:-2]} == {"RL/beside-coverage", "RL/beside-energy"}
    assert {plan.function for plan in plans[:-2]} <= BESIDE_RULES
    added = {(c.cell, c.parameter) for plan in plans[:-2] for c in plan.changes}
    assert added == wanted.keys() - {(cell, parameter)}
    single, _ = two_sites()  # one carrier everywhere
    there = PolicyWithRules(one)
    there.rules = Asked([])  # type: ignore[assignment]
    calm = [replace(single.frame, time_s=36000.0)]
    assert there.propose(single.network, single.parameters(), calm, 36900.0) == []


def test_at_sites_of_one_carrier_the_rest_decides_as_without_it() -> None:
    """What it would want there counts against no budget of the steps that are taken."""
    single, network = two_sites()
    frames = [replace(single.frame, time_s=36000.0)]
    timing = model(("a3_offset_db", "hysteresis_db", "time_to_trigger_s"))
    both = Model("both@1", (*beside(model(("electrical_tilt_deg", "tx_power_dbm"))).roles,
                            timing.roles[0]._replace(name="timing")))  # fmt: skip

    def wanted(one: Model) -> set[tuple[str, str, float]]:
        together = PolicyWithRules(one)
        together.rules = Asked([])  # type: ignore[assignment]
        plans = together.propose(network, single.parameters(), frames, 36900.0)
        return {(c.object_id, c.parameter, c.after) for plan in plans for c in plan.changes}

    assert wanted(both) == wanted(timing)
    assert wanted(timing)


class Asked(Silent):
    """Rules that want what they were told to."""

    def __init__(self, plans: list[Plan]) -> None:
        """Take what they want."""
        self._plans = plans

    def propose(self, *_: object) -> list[Plan]:  # type: ignore[override]
        """Return it."""
        return self._plans


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


def two_sites() -> tuple[Watched, Network]:
    """Return a network of one carrier, and the same with two carriers at its last site."""
    far = replace(NIGHT, network=lambda: hex_grid(7, 500.0, SiteDesign(carrier_hz=1.8e9)))
    env = Watched(EnvironmentSettings(far, observed_s=4.0, warm_up_s=4.0))
    env.reset([3])
    carrier_hz = np.full(env.network.cells, 1.8e9)
    carrier_hz[-1] = 2.6e9
    return env, replace(env.network, carrier_hz=carrier_hz)


def by(author: str, plans: list[Plan]) -> list[Plan]:
    """Return the plans of a function."""
    return [plan for plan in plans if plan.function.partition("/")[0] == author]


def steps(some: list[Plan]) -> set[tuple[str, str, bool]]:
    """Return what plans change, and which way."""
    return {(c.object_id, c.parameter, c.after > c.before) for p in some for c in p.changes}


def cells(some: list[Plan]) -> set[str]:
    """Return the cells that plans name."""
    return {name for p in some for c in p.changes for name in (c.cell, c.target) if name}


def beyond(turns: Turns) -> PolicyWithRules:
    """Return a policy beside rules that keeps away from the cells these name, and no further."""
    return PolicyWithRules(model(MOBILITY), replace(turns, reach=0, margin=0.0))


def test_both_propose_and_each_learns_of_its_own() -> None:
    """Rules put cells to sleep, the policy sets the handover; neither repeats what did harm."""
    env, frames = night()
    held, both = env.parameters(), beyond(Turns())

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

    for plan in (slept[0], moved[0]):
        both.learn(Outcome(plan, ROLLED_BACK, "harm", now_s, {}, {}))
    again = proposed(len(frames), frames[-1].time_s + 900.0)
    assert not steps([slept[0]]) & steps(by("ES", again))
    assert not steps([moved[0]]) & steps(by(AUTHOR, again))


def test_where_there_are_layers_energy_comes_first_and_the_policy_keeps_away() -> None:
    """In every period, also when at sites of one carrier it would be the rules' turn."""
    env, frames = night()
    held, both = env.parameters(), beyond(Turns(policy=1, rules=9))
    alone = PolicyOptimizer(both.policy.model)
    lately: list[set[str]] = [set()]
    for period, frame in enumerate(frames, start=1):
        plans = both.propose(env.network, held, frames[:period], frame.time_s)
        free = cells(alone.propose(env.network, held, frames[:period], frame.time_s))
        slept, moved = by("ES", plans), by(AUTHOR, plans)
        lately.append(cells(slept) | cells(by("MLB", plans)) | cells(by("CCO", plans)))
        assert cells(moved) == free - lately[-1] - lately[-2]
        if slept and moved:
            assert plans.index(slept[-1]) < plans.index(moved[0])
            assert free & cells(slept)  # otherwise this says nothing
            break
    else:
        pytest.fail("the night was never so quiet that a cell may sleep")


def test_at_sites_of_one_carrier_they_take_turns() -> None:
    """The policy is asked first, then not at all."""
    env, frames = night()
    network = replace(env.network, carrier_hz=np.full(env.network.cells, 1.8e9))
    both = beyond(Turns(policy=2, rules=1))
    for period, frame in enumerate(frames, start=1):
        plans = both.propose(network, env.parameters(), frames[:period], frame.time_s)
        assert bool(by(AUTHOR, plans)) == (period != 3)


def test_a_plan_that_reaches_both_kinds_of_site_becomes_two() -> None:
    """Load balancing between layers comes before the policy, between neighbours after it."""
    env, network = two_sites()
    both = beyond(Turns(clear=1))
    single, double = (
        [c for c, site in zip(network.cell_ids, network.site_ids, strict=True) if site == one]
        for one in network.site_ids[:: network.cells - 1]
    )
    pairs = [(double[0], double[1]), (double[1], double[0]), (single[0], single[1])]
    asked = Plan(
        "MLB-1", "MLB", 0.0,
        tuple(Change(a, "cio_db", 0.0, 2.0, b, "full") for a, b in pairs),
    )  # fmt: skip
    both.rules = Asked([asked])  # type: ignore[assignment]
    plans = both.propose(network, env.parameters(), [env.frame], 9 * 3600.0)
    first, later = by("MLB", plans)
    assert (plans[0], plans[-1]) == (first, later)
    assert [(c.cell, c.target) for c in first.changes] == pairs[:2]
    assert [(c.cell, c.target) for c in later.changes] == pairs[2:]
    assert first.plan_id != later.plan_id
    assert not cells(by(AUTHOR, plans)) & set(double[:2])
    assert cells(by(AUTHOR, plans)) & set(single)


def test_a_policy_of_the_same_weights_is_not_another() -> None:
    """One weight more or less makes it one."""
    one, again = model(MOBILITY), model(MOBILITY)
    assert one.decides_as(again)
    tensors = again.roles[0].tensors
    name = sorted(tensors)[0]
    other = again.roles[0]._replace(tensors={**tensors, name: tensors[name] + np.float32(1e-3)})
    assert not one.decides_as(Model("other@1", (other,)))
    assert not one.decides_as(model(MOBILITY[:2]))
