"""A policy under the loop sees, may do and does what it would in the environment it learnt in."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from policies import drawn, logits_of
from small import two_layers

from cellhive.core.errors import BadInput
from cellhive.core.types import Change, KpiFrame, Network, Outcome
from cellhive.flows.policy.optimizer import Model, PolicyOptimizer, PolicyRole
from cellhive.flows.policy.plans import Grouping, Wanted, plans_of
from cellhive.flows.policy.reasons import influence, odds
from cellhive.flows.policy.track import Track
from cellhive.ran.guard.state import Limits
from cellhive.rl.actions import HEADS, KEEP, ActionSettings
from cellhive.rl.env import CellEnvironment, EnvironmentSettings
from cellhive.rl.policy import FLAT, NETWORK, PolicyShape, next_cells

SMALL = two_layers(8, 4.0)


class Watched(CellEnvironment):
    """An environment whose last frame can be looked at."""

    frame: KpiFrame

    def _observe(self, before: Any, after: Any) -> KpiFrame:
        self.frame = super()._observe(before, after)
        return self.frame


def environment(heads: tuple[str, ...] = HEADS) -> Watched:
    """Return a small environment whose budget the guard makes felt."""
    return Watched(
        EnvironmentSettings(
            SMALL, observed_s=4.0, warm_up_s=4.0, actions=ActionSettings(heads=heads, neighbours=3)
        )
    )


def numpy_forward(role: PolicyRole, network: Network) -> Any:
    """Return the slow forward pass of a role."""
    near = next_cells(network, role.shape.neighbours)
    return lambda seen: logits_of(role.shape, role.tensors, seen[None], near)[0]


def model(*roles: tuple[str, tuple[str, ...]], encoder: str = "neighbours") -> Model:
    """Return a model of roles with random opinions."""
    shapes = [PolicyShape(heads, 3, 16, 8, encoder) for _, heads in roles]
    return Model(
        "random@1",
        tuple(
            PolicyRole(name, shape, drawn(shape, 5 + index))
            for index, ((name, _), shape) in enumerate(zip(roles, shapes, strict=True))
        ),
    )


def frame_at(env: Watched) -> tuple[KpiFrame, float]:
    """Return the last frame as the loop would get it, and the end of its period [s]."""
    start_s = 8 * 3600.0 + env.period * 900.0  # the scenario begins at 8
    return replace(env.frame, time_s=start_s), start_s + 900.0


def test_track_knows_from_parameters_what_the_environment_remembers() -> None:
    """Values, times of change, wake-ups and budgets follow from what is read back."""
    env = environment()
    env.reset([3])
    track = Track(env.network, Limits())
    rng = np.random.default_rng(1)
    for _ in range(12):
        _, now_s = frame_at(env)
        course = track.take(env.parameters(), now_s)
        masks = env.masks()  # also sums up what was spent within the window
        real, began_s = env._course, now_s - env._now_s()
        np.testing.assert_allclose(course.values, real.values)
        np.testing.assert_array_equal(course.spent, real.spent)
        long_ago = real.changed_s < 0
        np.testing.assert_array_equal(course.changed_s < 0, long_ago)
        np.testing.assert_allclose(course.changed_s[~long_ago] - began_s, real.changed_s[~long_ago])
        np.testing.assert_allclose(np.maximum(course.woken_s - began_s, -1.0),
                                   np.maximum(real.woken_s, -1.0))  # fmt: skip
        chosen = np.where(
            rng.random(masks.shape[:3]) < 0.5, KEEP, rng.integers(0, 3, masks.shape[:3])
        )
        env.step(chosen)


@pytest.mark.parametrize("encoder", ["neighbours", FLAT, NETWORK])
def test_policy_proposes_what_it_would_do_in_the_environment(encoder: str) -> None:
    """The same observation, the same mask, the same choice: plans hold the changes made there."""
    policy = model(("joint", HEADS), encoder=encoder)
    env = environment()
    env.reset([4])
    optimizer = PolicyOptimizer(policy, forward=numpy_forward)
    logits = numpy_forward(policy.roles[0], env.network)
    proposed = 0
    for _ in range(8):
        frame, now_s = frame_at(env)
        before = env.parameters()
        plans = optimizer.propose(env.network, before, [frame], now_s)
        changes = {(c.object_id, c.parameter): c.after for p in plans for c in p.changes}
        mask = policy.roles[0].shape.joined(env.masks())  # as where it learns
        choices = np.where(mask > 0, logits(env.seen()[0])[None], -np.inf).argmax(-1)
        env.step(np.broadcast_to(choices, env.keep().shape))
        after = env.parameters()
        done = {
            (name, parameter): float(getattr(after, parameter)[index])
            for parameter in HEADS
            for index, name in enumerate(
                env.network.cell_ids if parameter != "cio_db" else relations(env.network)
            )
            if getattr(after, parameter)[index] != getattr(before, parameter)[index]
        }
        assert changes == pytest.approx(done)
        proposed += len(changes)
    assert proposed > 10


def relations(network: Network) -> list[str]:
    """Return the names of the relations in order."""
    names = network.cell_ids
    ends = zip(network.relation_source.tolist(), network.relation_target.tolist(), strict=True)
    return [f"{names[i]}->{names[j]}" for i, j in ends]


def test_roles_are_merged_in_order_and_plans_are_filed_under_them() -> None:
    """Where load and mobility turn the same knob, load prevails; each has plans of its own."""
    load, mobility = ("cio_db",), ("cio_db", "a3_offset_db")
    env = environment(mobility)
    env.reset([5])
    frame, now_s = frame_at(env)
    both = model(("load", load), ("mobility", mobility))
    alone = [Model("one", (role,)) for role in both.roles]

    def wanted(which: Model) -> dict[tuple[str, str], tuple[str, float]]:
        plans = PolicyOptimizer(which, forward=numpy_forward).propose(
            env.network, env.parameters(), [frame], now_s
        )
        assert [plan.plan_id for plan in plans if not plan.plan_id.startswith("RL-")] == []
        return {(c.object_id, c.parameter): (p.function, c.after) for p in plans for c in p.changes}

    first, second, merged = wanted(alone[0]), wanted(alone[1]), wanted(both)
    clash = {key for key in first.keys() & second.keys() if first[key][1] != second[key][1]}
    assert clash & merged.keys()
    assert all(merged[key] == first[key] for key in first.keys() & merged.keys())
    assert {function for function, _ in merged.values()} == {"RL/load", "RL/mobility"}


def test_cells_without_data_are_left_alone() -> None:
    """Nothing is proposed for, or towards, a cell of which nothing valid is known."""
    env = environment()
    env.reset([6])
    frame, now_s = frame_at(env)
    policy, blind = model(("joint", HEADS)), env.network.cell_ids[2]
    valid = frame.valid.copy()
    valid[2] = False
    plans = PolicyOptimizer(policy, forward=numpy_forward).propose(
        env.network, env.parameters(), [replace(frame, valid=valid)], now_s
    )
    named = {name for p in plans for c in p.changes for name in (c.cell, c.target)}
    assert named
    assert blind not in named


def test_what_was_rolled_back_is_not_proposed_again_for_a_while() -> None:
    """The guard blocks the repetition for two hours; the policy knows it."""
    env = environment(("a3_offset_db",))
    env.reset([7])
    frame, now_s = frame_at(env)
    optimizer = PolicyOptimizer(model(("joint", ("a3_offset_db",))), forward=numpy_forward)
    held = env.parameters()
    (first, *_) = optimizer.propose(env.network, held, [frame], now_s)
    change = first.changes[0]
    outcome = Outcome(first, "rolled back", "harm", now_s + 1800.0, {}, {})

    def proposed(after_s: float) -> bool:
        later = replace(frame, time_s=frame.time_s + after_s)
        plans = optimizer.propose(env.network, held, [later], now_s + after_s)
        again = [c for p in plans for c in p.changes if c.object_id == change.object_id]
        return any((c.after - c.before) * (change.after - change.before) > 0 for c in again)

    optimizer.learn(outcome)
    assert not proposed(1800.0)
    assert not proposed(1800.0 + 7200.0 - 900.0)
    assert proposed(1800.0 + 7200.0)


def test_another_version_knows_what_was_done_before_it() -> None:
    """It decides as it would alone, and still leaves alone what was changed and undone."""
    env = environment(("a3_offset_db",))
    env.reset([7])
    frame, now_s = frame_at(env)
    one, other = (model(("joint", ("a3_offset_db",))) for _ in range(2))
    shape = other.roles[0].shape
    other = Model("random@2", (PolicyRole("joint", shape, drawn(shape, 11)),))
    optimizer = PolicyOptimizer(one)
    held = env.parameters()
    optimizer.propose(env.network, held, [frame], now_s)
    optimizer.take(other)
    later = replace(frame, time_s=frame.time_s + 900.0)
    plans = optimizer.propose(env.network, held, [later], now_s + 900.0)
    fresh = PolicyOptimizer(other)
    assert fresh.propose(env.network, held, [frame], now_s)
    alone = fresh.propose(env.network, held, [later], now_s + 900.0)
    wanted = [
        {(c.object_id, c.after) for p in those for c in p.changes} for those in (plans, alone)
    ]
    assert wanted[0] == wanted[1] != set()
    assert plans[0].evidence[0] == "policy random@2"
    assert optimizer.deciding is other

    optimizer.learn(Outcome(plans[0], "rolled back", "harm", now_s + 1800.0, {}, {}))
    optimizer.take(one)
    optimizer.take(other)
    soon = replace(frame, time_s=frame.time_s + 1800.0)
    again = optimizer.propose(env.network, held, [soon], now_s + 1800.0)
    undone = {(c.object_id, c.after) for c in plans[0].changes}
    assert not undone & {(c.object_id, c.after) for p in again for c in p.changes}


def test_reasons_name_what_drove_a_choice() -> None:
    """Of a linear policy the margin is known by hand: the largest weight is named first."""
    seen = np.array([[0.9, 0.5, 0.2], [0.1, 0.5, 0.0]], np.float32)
    weight = np.array([2.0, 7.0, 1.0])

    def linear(given: Any) -> Any:
        up = given @ weight
        zero = np.zeros_like(up)
        return np.stack([zero, zero, up], axis=-1)[:, None, :].astype(np.float32)

    gave = influence(linear, seen, np.array([[0, 0, 2]], np.int32))
    # Less the mean over both cells: (0.9 - 0.5) 2, (0.5 - 0.5) 7, (0.2 - 0.1) 1.
    np.testing.assert_allclose(gave, [[0.8, 0.0, 0.1]], atol=1e-6)
    mask = np.array([[[0, 1, 1]]])
    share, kept = odds(np.array([[[9.0, 0.0, np.log(3.0)]]], np.float32), mask, (0, 0, 2))
    assert (share, kept) == pytest.approx((0.75, 0.25))


def test_reasons_are_written_for_engineers() -> None:
    """A change says its odds and the measured values behind it, with unit and mean."""
    env = environment()
    env.reset([8])
    frame, now_s = frame_at(env)
    plans = PolicyOptimizer(model(("joint", HEADS)), forward=numpy_forward).propose(
        env.network, env.parameters(), [frame], now_s
    )
    reasons = [change.reason for plan in plans for change in plan.changes]
    assert all(reason.startswith("The policy gives this step ") for reason in reasons)
    assert any("(mean " in reason for reason in reasons)
    assert plans[0].evidence == ("policy random@1", "period from 28800 s to 29700 s")


def test_a_decision_for_all_cells_says_so() -> None:
    """Of one decision for the network every change has the same odds, and no cell's features."""
    env = environment()
    env.reset([8])
    frame, now_s = frame_at(env)
    plans = PolicyOptimizer(model(("joint", HEADS), encoder=NETWORK)).propose(
        env.network, env.parameters(), [frame], now_s
    )
    of_a_kind: dict[str, set[str]] = {}
    changes = [change for plan in plans for change in plan.changes if change.target is None]
    for change in changes:
        of_a_kind.setdefault(change.parameter, set()).add(change.reason)
    assert len(changes) > len(of_a_kind) > 0
    assert all(len(reasons) == 1 for reasons in of_a_kind.values())
    assert changes[0].reason.endswith(" %, for all cells alike.")


def test_frames_without_its_counters_are_refused_by_name() -> None:
    """What the policy was trained with and the files lack is named."""
    env = environment()
    env.reset([9])
    frame, now_s = frame_at(env)
    names = tuple("x" if name == "ping_pong_ratio" else name for name in frame.columns)
    with pytest.raises(BadInput, match="periods without ping_pong_ratio; map them"):
        PolicyOptimizer(model(("joint", HEADS)), forward=numpy_forward).propose(
            env.network, env.parameters(), [replace(frame, columns=names)], now_s
        )


def test_plans_are_neighbourhoods_of_one_function() -> None:
    """The strongest wish gathers those around it; the rest makes further plans."""
    network = environment().network
    names = network.cell_ids
    near = network.neighbours_of(0)

    def wish(cell: int, margin: float, function: str = "coverage") -> Wanted:
        return Wanted(function, margin, Change(names[cell], "electrical_tilt_deg", 6.0, 7.0))

    wishes = [wish(0, 2.0), wish(near[0], 1.0), wish(near[-1], 3.0, "load"), wish(near[1], 0.5)]
    plans = plans_of(wishes, network, Grouping(neighbours=1), ("7", 0.0), ())
    assert [plan.plan_id for plan in plans] == ["RL-load-7-1", "RL-coverage-7-2", "RL-coverage-7-3"]
    assert [[c.cell for c in plan.changes] for plan in plans] == [
        [names[near[-1]]], [names[0], names[near[0]]], [names[near[1]]],
    ]  # fmt: skip
    whole = plans_of(wishes, network, Grouping(neighbours=-1), ("7", 0.0), ())
    assert [len(plan.changes) for plan in whole] == [1, 3]


def test_models_that_cannot_decide_are_refused() -> None:
    """No roles, roles of different sight, tensors that do not fit."""
    shape = PolicyShape(("a3_offset_db",), 3, 8, 4)
    good = PolicyRole("joint", shape, drawn(shape, 1))
    with pytest.raises(BadInput, match="at least one role"):
        Model("none@1", ())
    other = PolicyShape(("a3_offset_db",), 2, 8, 4)
    with pytest.raises(BadInput, match="as many neighbours"):
        Model("two@1", (good, PolicyRole("more", other, drawn(other, 1))))
    bad = good._replace(tensors={**good.tensors, "own.bias": np.full(8, np.nan, np.float32)})
    with pytest.raises(BadInput, match=r"tensor own\.bias"):
        Model("nan@1", (bad,))
