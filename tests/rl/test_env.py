"""The batched core: determinism, branches, batches, time, sleep and rewards."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from cellhive.core.errors import BadInput, Conflict
from cellhive.ran import counters as n
from cellhive.ran.energy import WAKE_UP_J
from cellhive.ran.kpi import network_kpis, objective
from cellhive.ran.scenarios import RealSites, SiteListLayout
from cellhive.ran.simulator import Clock, Twin
from cellhive.rl.actions import DOWN, KEEP, UP, ActionSettings
from cellhive.rl.env import CellEnvironment, Step, settings_for
from cellhive.rl.observations import UNKNOWN, features_of
from cellhive.rl.rewards import CONSTANT, RewardSettings

Build = Callable[..., CellEnvironment]


def random_actions(env: CellEnvironment, rng: np.random.Generator) -> Any:
    """Return actions of which most are kept, so that budgets leave room for all kinds."""
    shape = env.keep().shape
    return np.where(rng.random(shape) < 0.15, rng.integers(0, 3, shape), KEEP)


def course(env: CellEnvironment, seeds: list[int], decisions: int = 4) -> list[Step]:
    """Return what random decisions lead to; the decisions depend on the seeds alone."""
    env.reset(seeds)
    rngs = [np.random.default_rng(seed) for seed in seeds]
    steps = []
    for _ in range(decisions):
        shape = env.keep().shape[1:]
        actions = [
            np.where(rng.random(shape) < 0.15, rng.integers(0, 3, shape), KEEP) for rng in rngs
        ]
        steps.append(env.step(np.stack(actions)))
    return steps


def same(left: Step, right: Step, e: int = 0, f: int = 0) -> bool:
    """Return whether network e of one step is network f of another, bit for bit."""
    pairs = [
        (left.observation, right.observation), (left.reward.cells, right.reward.cells),
        (left.reward.network_parts, right.reward.network_parts), (left.mask, right.mask),
        (left.outcome, right.outcome),
    ]  # fmt: skip
    return all(a[e].tobytes() == b[f].tobytes() for a, b in pairs)


def test_the_same_seed_gives_the_same_episode(build: Build) -> None:
    """Two environments agree bit for bit, and so does one that is reset again."""
    env = build()
    first, second, other = course(env, [5]), course(build(), [5]), course(env, [5])
    assert all(same(a, b) for a, b in zip(first, second, strict=True))
    assert all(same(a, b) for a, b in zip(first, other, strict=True))
    assert not same(first[0], course(env, [6])[0])


def test_a_batch_is_its_networks_one_by_one(build: Build) -> None:
    """A network in a batch of three does what it does alone, whatever the others do."""
    seeds = [3, 1, 7]
    together = course(build(3), seeds)
    for e, seed in enumerate(seeds):
        alone = course(build(), [seed])
        assert all(same(a, b, e, 0) for a, b in zip(together, alone, strict=True))


def test_seedless_resets_go_on_from_the_seed(build: Build) -> None:
    """After a seed, further resets differ from one another but repeat as a sequence."""
    env = build()
    first = [env.reset([4])[0], env.reset()[0], env.reset()[0]]
    second = [env.reset([4])[0], env.reset()[0], env.reset()[0]]
    assert all(a.tobytes() == b.tobytes() for a, b in zip(first, second, strict=True))
    assert first[0].tobytes() != first[1].tobytes() != first[2].tobytes()


def test_a_clone_goes_on_exactly_and_on_its_own(build: Build) -> None:
    """A branch repeats the future of the original; what it does does not touch it."""
    env, rng = build(2), np.random.default_rng(0)
    env.reset([1, 2])
    env.step(random_actions(env, rng))
    actions = [random_actions(env, rng) for _ in range(3)]
    branch, stray = env.clone(), env.clone()
    stray.step(np.full_like(env.keep(), UP))
    expected = [branch.step(action) for action in actions]
    found = [env.step(action) for action in actions]
    assert all(same(a, b, e, e) for a, b in zip(expected, found, strict=True) for e in (0, 1))
    assert env.reset()[0].tobytes() == branch.reset()[0].tobytes()


def test_observations_lie_in_their_range_and_name_their_features(build: Build) -> None:
    """Every value is -1 for "not known" or from 0 to 1, and there is a feature for each."""
    env = build(2)
    for step in course(env, [1, 2]):
        seen = step.observation
        assert seen.dtype == np.float32
        assert seen.shape == (2, 6, len(env.observations.features))
        assert np.all((seen == UNKNOWN) | ((seen >= 0) & (seen <= 1)))
    names = [feature.name for feature in env.observations.features]
    assert len(set(names)) == len(names)
    assert all(feature.low < feature.high for feature in features_of(2))


def test_observations_show_settings_in_their_place(build: Build) -> None:
    """A tilt of 7 degrees out of 0 to 15 is seen as 7/15 by its own cell alone; a CIO as well."""
    env = build(actions=ActionSettings(heads=("electrical_tilt_deg", "cio_db")))
    env.reset([1])
    actions = env.keep()
    names = [column.name for column in env.actions.columns]
    actions[0, 2, names.index("electrical_tilt_deg")] = UP
    actions[0, 2, names.index("cio_db[1]")] = UP
    seen = env.step(actions).observation[0]
    place = {feature.name: index for index, feature in enumerate(env.observations.features)}
    assert seen[2, place["electrical_tilt_deg"]] == pytest.approx(7 / 15)
    assert seen[1, place["electrical_tilt_deg"]] == pytest.approx(6 / 15)
    assert seen[2, place["cio_out_db[1]"]] == pytest.approx((1 + 24) / 48)
    assert seen[2, place["cio_out_db[0]"]] == pytest.approx(0.5)
    target = int(env.network.relation_target[env.actions.slots[2, 1]])
    back = [k for k in range(4)
            if env.network.relation_target[env.actions.slots[target, k]] == 2]  # fmt: skip
    assert seen[target, place[f"cio_back_db[{back[0]}]"]] == pytest.approx((1 + 24) / 48)


def test_the_parts_sum_to_the_reward(build: Build) -> None:
    """Rewards are the sum of their parts; the network's is the mean of what cells brought."""
    for step in course(build(2, rewards=RewardSettings(neighbour_share=0.0)), [1, 2]):
        reward = step.reward
        np.testing.assert_allclose(reward.cell_parts.sum(axis=-1), reward.cells)
        np.testing.assert_allclose(reward.network_parts.sum(axis=-1), reward.network)
        np.testing.assert_allclose(reward.cells.mean(axis=1), reward.network)


def test_weights_weigh_and_neighbours_share(build: Build) -> None:
    """A weight of zero leaves a part out; a share of one pays only what neighbours brought."""
    plain = course(build(rewards=RewardSettings(neighbour_share=0.0)), [1], 1)[0].reward
    light = RewardSettings(neighbour_share=0.0, energy=0.0, capacity=2.0, scale=1.0)
    weighed = course(build(rewards=light), [1], 1)[0].reward
    np.testing.assert_allclose(weighed.cell_parts, plain.cell_parts * [10, 20, 10, 0])
    env = build(rewards=RewardSettings(neighbour_share=1.0))
    shared = course(env, [1], 1)[0].reward
    near = env.network.neighbours_of(3)
    np.testing.assert_allclose(shared.cells[0, 3], plain.cells[0, near].mean())
    np.testing.assert_allclose(shared.network, plain.network)
    np.testing.assert_allclose(env.rewards.cells_of(plain.points), shared.cells)


def test_the_reward_is_the_objective_of_the_system(build: Build) -> None:
    """At a scale of one the network's reward is ``kpi.objective`` less its constant."""
    env = build(rewards=RewardSettings(scale=1.0), observed_s=60.0)
    env.reset([2])
    env.step(env.keep())
    reward = env.step(env.keep()).reward
    frame = env.simulator.frame(0, 0.0, env.settings.period_s)
    kpis = network_kpis(frame)
    assert kpis["handover_failure_ratio"] >= 0  # known: somebody moved
    assert reward.network[0] == pytest.approx(objective(kpis, 6) - CONSTANT, abs=1e-3)


def test_doing_nothing_is_what_the_twin_does(settings: Callable[..., Any]) -> None:
    """An environment that keeps everything counts what a twin with the same clock counts."""
    chosen = settings(observed_s=6.0, warm_up_s=6.0)
    env = CellEnvironment(chosen)
    env.reset([9])
    seed = int(np.random.default_rng(9).integers(2**32))
    clock = Clock(period_s=900.0, observed_s=6.0, warm_up_s=6.0, start_s=8 * 3600.0)
    twin = Twin(env.world, env.initial, seed=seed, clock=clock, activity=env._activity)
    twin.observe()  # the environment counts a period before the first decision
    for _ in range(2):
        env.step(env.keep())
        expected, found = twin.observe(), env.simulator.frame(0, twin.time_s, 900.0)
        assert found.values.tobytes() == expected.values.tobytes()


def test_a_cell_sleeps_after_handing_over_and_is_charged_for_waking(build: Build) -> None:
    """Sleep empties the cell and saves power; waking costs its share of the energy."""
    env = build(actions=ActionSettings(heads=("asleep",)), guarded=False)
    env.reset([1])
    actions = env.keep()
    actions[0, 3:, 0] = UP
    env.step(actions)
    assert env.parameters().asleep.tolist() == [False] * 3 + [True] * 3
    plant = env.simulator.plant
    assert not np.isin(plant.users["serving"][0], (3, 4, 5)).any()
    second = env.step(env.keep())
    place = [f.name for f in env.observations.features].index("PEE.AvgPower")
    np.testing.assert_allclose(second.observation[0, 3:, place], 150 / 500, rtol=1e-6)
    actions[0, 3:, 0] = DOWN
    awake = env.clone()
    awake.step(actions)
    idle_j = awake.simulator.plant.cells[0, 3, n.ENERGY_J]
    awake.step(env.keep())
    later_j = awake.simulator.plant.cells[0, 3, n.ENERGY_J]
    assert idle_j > 4.0 * 260 + WAKE_UP_J * 4 / 900 - 1e-6
    assert later_j < idle_j + 4.0 * 4.7 * 40


def test_an_episode_ends_and_must_be_reset(build: Build) -> None:
    """The last decision says so, one more is refused, and a reset begins anew."""
    env = build(periods=2)
    with pytest.raises(Conflict, match="reset first"):
        env.step(env.actions)
    env.reset([1])
    assert not env.step(env.keep()).ended
    assert env.step(env.keep()).ended
    with pytest.raises(Conflict, match="is over; reset first"):
        env.step(env.keep())
    env.reset()
    assert not env.step(env.keep()).ended


def test_time_of_day_is_set_drawn_or_the_scenarios_own(build: Build) -> None:
    """The first observation shows the hour at which an episode starts."""
    env = build()
    names = [feature.name for feature in env.observations.features]

    def hour(seen: Any) -> float:
        sine, cosine = (2 * seen[0, 0, names.index(f"day_{x}")] - 1 for x in ("sine", "cosine"))
        return float(np.arctan2(sine, cosine) / (2 * np.pi) * 24 % 24)

    assert hour(env.reset([1])[0]) == pytest.approx(8.0, abs=1e-4)
    assert hour(env.reset([1], start_h=15.5)[0]) == pytest.approx(15.5, abs=1e-4)
    assert hour(build(start_h=3.0).reset([1])[0]) == pytest.approx(3.0, abs=1e-4)
    drawn = build(random_start=True)
    hours = {round(hour(drawn.reset()[0])) % 24 for _ in range(6)}
    assert len(hours) > 2


@pytest.mark.parametrize(
    ("broken", "expected"),
    [
        (lambda a: a[:, :5], r"expected shape \(1, 6, 11\)"),
        (lambda a: a.astype(float), "expected whole numbers, found an array of float64"),
        (lambda a: a + 2, r"network 0, cell S01-1, cio_db\[0\]: expected 0 \(down\).*found 3"),
        (lambda a: -a, "expected 0 \\(down\\), 1 \\(keep\\) or 2 \\(up\\), found -1"),
        (lambda a: [[1, 2], [3]], "rows of different lengths"),
        (lambda a: None, "expected shape"),
        (lambda a: "up", "expected shape"),
    ],
)
def test_bad_discrete_actions_are_refused_in_words(
    build: Build, broken: Callable[[Any], Any], expected: str
) -> None:
    """What is wrong is said, nothing has happened, and the next step is as if it had not been."""
    env, untouched = build(), build()
    env.reset([1])
    untouched.reset([1])
    with pytest.raises(BadInput, match=expected):
        env.step(broken(env.keep()))
    assert same(env.step(env.keep()), untouched.step(env.keep()))


@pytest.mark.parametrize(
    ("value", "expected"), [(np.nan, "found nan"), (np.inf, "found inf"), (1.5, "found 1.5")]
)
def test_bad_continuous_actions_are_refused_in_words(
    build: Build, value: float, expected: str
) -> None:
    """One NaN among good numbers is found, named by cell and column, and changes nothing."""
    env = build(actions=ActionSettings(kind="step"))
    env.reset([1])
    actions = env.keep()
    actions[0, 4, 6] = value
    with pytest.raises(BadInput, match=f"cell S01-2b, time_to_trigger_s.*{expected}"):
        env.step(actions)
    assert env.step(env.keep()).made[0] == 0


def test_settings_that_cannot_be_are_refused(settings: Callable[..., Any]) -> None:
    """Times, names, shares and seeds out of range say what would be right."""
    with pytest.raises(BadInput, match="observed_s"):
        settings(observed_s=0.0)
    with pytest.raises(BadInput, match="period_s"):
        settings(period_s=3.0)
    with pytest.raises(BadInput, match="periods"):
        settings(periods=0)
    with pytest.raises(BadInput, match="heads"):
        ActionSettings(heads=("azimuth_deg",))
    with pytest.raises(BadInput, match="kind"):
        ActionSettings(kind="quantum")
    with pytest.raises(BadInput, match="neighbour_share"):
        RewardSettings(neighbour_share=2.0)
    with pytest.raises(BadInput, match=r"expected some of .*guarded.*found colour"):
        settings_for(settings().scenario, None, {"colour": "red"})


def test_settings_can_be_copied_and_sent(settings: Callable[..., Any]) -> None:
    """A copy equals the original, limits and steps included; trainers copy what they are given."""
    made = settings(actions=ActionSettings(grid_points={"cio_db": 2}))
    assert deepcopy(made) == made
    assert deepcopy(settings()) == settings()


def test_a_site_list_is_a_place_as_well(settings: Callable[..., Any]) -> None:
    """A scenario over listed sites, which hold arrays, is built like any other."""
    network = settings().scenario.network()
    sites = RealSites(network, np.full(6, 6.0), np.full(6, 43.0))
    env = CellEnvironment(
        settings(scenario=replace(settings().scenario, network=SiteListLayout(sites)))
    )
    env.reset([1])
    assert env.parameters().tx_power_dbm.tolist() == [43.0] * 6
    assert env.step(env.keep()).made[0] == 0


def test_seeds_must_be_one_per_network(build: Build) -> None:
    """Too few seeds, or seeds that are none, are refused."""
    env = build(2)
    with pytest.raises(BadInput, match="2 whole numbers"):
        env.reset([1])
    with pytest.raises(BadInput, match="whole numbers from 0"):
        env.reset([1, -1])
