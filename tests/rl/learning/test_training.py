"""Training: the same seed gives the same curve, a state is complete, and failures cost nothing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from cellhive.core.errors import BadInput, Conflict
from cellhive.rl.actions import ActionSettings
from cellhive.rl.env import CellEnvironment
from cellhive.rl.policy import FLAT, NETWORK, PolicyShape
from cellhive.rl.rewards import RewardSettings

pytest.importorskip("torch", reason="needs torch: pip install '.[train]'")
from cellhive.rl.learning.ppo import TrainingSettings
from cellhive.rl.learning.roles import Role, function_roles, joint_role
from cellhive.rl.learning.training import Trainer

Build = Callable[..., CellEnvironment]
ROLES = {
    "joint": joint_role(hidden=16),
    "functions": function_roles(hidden=16),
    "flat": [Role("joint", PolicyShape(hidden=16, encoder=FLAT), RewardSettings())],
    "network": [Role("network", PolicyShape(hidden=16, encoder=NETWORK), RewardSettings())],
}
QUICK = TrainingSettings(minibatch=24, epochs=2, episode_seeds=4)


def same(left: dict[str, np.ndarray], right: dict[str, np.ndarray]) -> bool:
    """Return whether two states are the same to the bit."""
    return left.keys() == right.keys() and all(np.array_equal(left[k], right[k]) for k in left)


@pytest.mark.parametrize("kind", ROLES)
def test_same_seed_same_curve_and_a_state_goes_on_exactly(build: Build, kind: str) -> None:
    """Three iterations, and one and two with a restored state between, are equal to the bit."""
    env = build(2)
    whole = Trainer(ROLES[kind], QUICK, [env], seed=5)
    reports = [whole.iterate() for _ in range(3)]
    first = Trainer(ROLES[kind], QUICK, [env], seed=5)
    assert first.iterate() == reports[0]
    second = Trainer(ROLES[kind], QUICK, [build(2)], seed=5)
    second.restore(first.state())
    assert [second.iterate(), second.iterate()] == reports[1:]
    assert same(second.state(), whole.state())
    assert not same(second.state(), first.state())
    assert reports[-1].decisions == 3 * 8 * 2 * 6
    assert sum(reports[0].parts.values()) == pytest.approx(reports[0].reward)


@pytest.mark.parametrize("kind", ["functions", "network"])
def test_curiosity_by_cell_is_part_of_the_state(build: Build, kind: str) -> None:
    """It teaches something else, goes on exactly, and is not taken from a state without it."""
    adaptive = replace(QUICK, adaptive=True, entropy=0.1)
    envs = [build(2), build(1, periods=3)]
    whole = Trainer(ROLES[kind], adaptive, envs, seed=5)
    reports = [whole.iterate() for _ in range(2)]
    plain = Trainer(ROLES[kind], replace(adaptive, adaptive=False), envs, seed=5)
    assert plain.iterate().reward == reports[0].reward  # played with the same first weights
    assert not same(plain.arrays(ROLES[kind][0].name), whole.arrays(ROLES[kind][0].name))
    first = Trainer(ROLES[kind], adaptive, envs, seed=5)
    first.iterate()
    again = Trainer(ROLES[kind], adaptive, envs, seed=5)
    again.restore(first.state())
    assert again.iterate() == reports[1]
    assert same(again.state(), whole.state())
    before = again.state()
    with pytest.raises(BadInput, match="exploration state"):
        again.restore(plain.state())
    assert same(again.state(), before)


def test_several_environments_with_different_networks_teach_one_policy(build: Build) -> None:
    """Environments may differ in the number of networks and of decisions."""
    trainer = Trainer(ROLES["joint"], QUICK, [build(2), build(1, periods=3)], seed=1)
    assert trainer.iterate().decisions == 6 * (2 * 8 + 3)


def test_gain_is_the_difference_to_changing_nothing(build: Build) -> None:
    """A policy that all but never turns anything gains nothing, whatever the users do."""
    still = replace(QUICK, keep_bias=60.0)
    report = Trainer(ROLES["joint"], still, [build(2)], seed=1).iterate()
    assert report.made == 0
    assert report.gain == 0.0
    eager = Trainer(ROLES["joint"], replace(QUICK, keep_bias=0.0), [build(2)], seed=1).iterate()
    assert eager.made > 0
    assert eager.gain == pytest.approx(eager.reward - report.reward, rel=1e-5)
    unpaired = Trainer(ROLES["joint"], replace(still, paired=False), [build(2)], seed=1).iterate()
    assert np.isnan(unpaired.gain)
    assert unpaired.reward == report.reward


def test_rewards_that_are_not_finite_are_reported_and_teach_nothing(
    build: Build, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Weights stay, the learning rate halves, and after a few times training stops."""
    env = build(2)
    trainer = Trainer(ROLES["joint"], replace(QUICK, paired=False, patience=2), [env], seed=1)
    before = trainer.arrays("joint")
    step = env.step

    def spoilt(actions: np.ndarray):
        done = step(actions)
        done.reward.points[1, 3, 2] = np.nan
        return done

    monkeypatch.setattr(env, "step", spoilt)
    report = trainer.iterate()
    assert "coverage reward of environment 0, network 1, cell 3" in report.taken_back
    assert report.learning_rate == QUICK.learning_rate / 2
    assert same(trainer.arrays("joint"), before)
    with pytest.raises(Conflict, match="after 2 updates"):
        trainer.iterate()
    monkeypatch.undo()
    assert trainer.iterate().taken_back == ""


def test_an_update_that_explodes_is_taken_back(build: Build) -> None:
    """A learning rate far too high leaves the weights as they were."""
    wild = replace(QUICK, learning_rate=1e3, most_kl=1e9)
    trainer = Trainer(ROLES["joint"], wild, [build(2)], seed=1)
    before = trainer.state()
    report = trainer.iterate()
    assert report.taken_back
    after = trainer.state()
    assert same(trainer.arrays("joint"), {k.removeprefix("joint/actor/"): v for k, v in
                before.items() if k.startswith("joint/actor/")})  # fmt: skip
    assert np.array_equal(after["joint/adam/square"], before["joint/adam/square"])
    assert report.learning_rate == 500.0


def test_what_does_not_fit_is_refused(build: Build) -> None:
    """Roles, environments, devices and states that do not belong together."""
    with pytest.raises(BadInput, match="heads of the role joint"):
        Trainer(ROLES["joint"], QUICK, [build(actions=ActionSettings(heads=("cio_db",)))], seed=1)
    with pytest.raises(BadInput, match="as in the environment"):
        Trainer(joint_role(neighbours=2), QUICK, [build()], seed=1)
    with pytest.raises(BadInput, match="device"):
        Trainer(ROLES["joint"], QUICK, [build()], seed=1, device="cuda:7")
    with pytest.raises(BadInput, match="each with a word"):
        Trainer([*ROLES["joint"], *ROLES["joint"]], QUICK, [build()], seed=1)
    trainer = Trainer(ROLES["joint"], QUICK, [build()], seed=1)
    with pytest.raises(BadInput, match="one of joint"):
        trainer.arrays("energy")
    before = trainer.state()
    with pytest.raises(BadInput, match="seed 1"):
        trainer.restore(Trainer(ROLES["joint"], QUICK, [build()], seed=2).state())
    with pytest.raises(BadInput, match=r"own\.weight"):
        trainer.restore(Trainer(joint_role(hidden=8), QUICK, [build()], seed=1).state())
    assert same(trainer.state(), before)
    with pytest.raises(BadInput, match="discount"):
        TrainingSettings(discount=1.5)


def test_weights_to_begin_with(build: Build) -> None:
    """A role begins with the tensors it is given."""
    given = Trainer(ROLES["joint"], QUICK, [build()], seed=1).arrays("joint")
    begun = Trainer(ROLES["joint"], QUICK, [build()], seed=2, actors={"joint": given})
    assert same(begun.arrays("joint"), given)
    with pytest.raises(BadInput, match="some of joint"):
        Trainer(ROLES["joint"], QUICK, [build()], seed=2, actors={"energy": given})
