"""Networks on a GPU learn what they learn on the processor, and go on there."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from cellhive.rl.env import CellEnvironment
from cellhive.rl.policy import NETWORK, PolicyShape
from cellhive.rl.rewards import RewardSettings

pytest.importorskip("torch", reason="needs torch: pip install '.[train]'")
import torch

from cellhive.rl.learning.ppo import TrainingSettings
from cellhive.rl.learning.roles import Role, function_roles, joint_role
from cellhive.rl.learning.training import Trainer

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU of NVIDIA")


Build = Callable[..., CellEnvironment]
ROLES = {
    "joint": joint_role(hidden=16),
    "functions": function_roles(hidden=16),
    "network": [Role("network", PolicyShape(hidden=16, encoder=NETWORK), RewardSettings())],
}
QUICK = TrainingSettings(minibatch=24, epochs=2, episode_seeds=4)


@pytest.mark.parametrize("adaptive", [False, True])
@pytest.mark.parametrize("kind", ROLES)
def test_an_iteration_is_that_of_the_processor(build: Build, kind: str, adaptive: bool) -> None:
    """The gradient that torch derives there is the one written out here, up to rounding."""
    settings = replace(QUICK, adaptive=adaptive)
    here, there = (Trainer(ROLES[kind], settings, [build(2)], seed=5, device=device)
                   for device in ("cpu", "cuda"))  # fmt: skip
    mine, other = there.iterate(), here.iterate()
    assert (mine.reward, mine.gain, mine.made) == (other.reward, other.gain, other.made)
    for name, losses in other.losses.items():
        assert mine.losses[name] == pytest.approx(losses, rel=1e-3, abs=1e-5)
    for role in ROLES[kind]:
        weights = here.arrays(role.name)
        for name, found in there.arrays(role.name).items():
            assert np.abs(found - weights[name]).max() < settings.learning_rate
            assert np.abs(found - weights[name]).mean() < 0.02 * settings.learning_rate


def test_a_state_goes_on_elsewhere(build: Build) -> None:
    """What was learnt on a GPU is taken up on the processor to the bit, and the other way."""
    there = Trainer(ROLES["joint"], QUICK, [build(2)], seed=5, device="cuda")
    there.iterate()
    here = Trainer(ROLES["joint"], QUICK, [build(2)], seed=5)
    here.restore(there.state())
    back = Trainer(ROLES["joint"], QUICK, [build(2)], seed=5, device="cuda")
    back.restore(here.state())
    state = there.state()
    for again in (here.state(), back.state()):
        assert all(np.array_equal(again[name], array) for name, array in state.items())
    assert here.iterate().reward == back.iterate().reward
