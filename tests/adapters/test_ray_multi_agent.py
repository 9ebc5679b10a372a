"""RLlib's view of the environment, and one iteration of training through it."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
import warnings
from typing import Any

import numpy as np
import pytest

from cellhive.adapters.environments.parallel_env import CellsParallelEnv

QUICK: dict[str, Any] = {
    "scenario": "highway-corridor", "observed_s": 1.0, "warm_up_s": 1.0, "periods": 3,
}  # fmt: skip

TRAINING = """
import ray
from ray.rllib.algorithms.ppo import PPOConfig
from ray.rllib.core.rl_module.default_model_config import DefaultModelConfig
from cellhive.adapters.ray.multi_agent import CellsMultiAgentEnv

ray.init("local", num_cpus=2, include_dashboard=False, object_store_memory=80_000_000,
         log_to_driver=False, configure_logging=False)
config = (
    PPOConfig()
    .environment(CellsMultiAgentEnv, env_config={quick!r})
    .multi_agent(policies={{"cell"}}, policy_mapping_fn=lambda *_, **__: "cell",
                 count_steps_by="agent_steps")
    .env_runners(num_env_runners=0, rollout_fragment_length=6)
    .rl_module(model_config=DefaultModelConfig(fcnet_hiddens=[32]))
    .training(train_batch_size_per_learner=120, minibatch_size=60, num_epochs=1)
)
algorithm = config.build_algo()
before = algorithm.get_module("cell").state_dict()
before = {{name: value.clone() for name, value in before.items()}}
result = algorithm.train()
after = algorithm.get_module("cell").state_dict()
print("RETURN", result["env_runners"]["episode_return_mean"])
print("STEPS", result["env_runners"]["num_env_steps_sampled"])
print("MOVED", any((after[name] != before[name]).any().item() for name in before))
algorithm.stop()
ray.shutdown()
"""


@pytest.fixture(scope="module")
def view() -> Any:
    """The class, imported in spite of what Ray warns of when it is."""
    with warnings.catch_warnings():
        # Ray imports pkg_resources and old names of its own; nothing here is ours to change.
        warnings.simplefilter("ignore")
        return importlib.import_module("cellhive.adapters.ray.multi_agent").CellsMultiAgentEnv


def test_rllib_sees_what_pettingzoo_sees(view: Any) -> None:
    """Same spaces, numbers and agents; ``__all__`` ends the episode with a last observation."""
    env, other = view(QUICK), CellsParallelEnv(**QUICK)
    assert env.possible_agents == other.possible_agents
    assert env.get_action_space("S01-1") == other.action_space("S01-1")
    observations, infos = env.reset(seed=3)
    assert set(infos) == set(observations) == set(env.agents)
    assert observations["S01-2"].tobytes() == other.reset(seed=3)[0]["S01-2"].tobytes()
    actions = dict.fromkeys(env.agents, np.ones(11, int))
    for done in (False, False, True):
        observations, rewards, terminated, truncated, infos = env.step(actions)
        assert (terminated["__all__"], truncated["__all__"]) == (False, done)
    assert set(observations) == set(rewards) == set(infos) == set(env.possible_agents)
    env.reset()
    assert env.agents == env.possible_agents


def test_rllib_trains_an_iteration() -> None:
    """PPO with one policy for all cells samples, learns and reports a return."""
    environment = {
        **os.environ, "RAY_AUTH_MODE": "disabled", "RAY_USAGE_STATS_ENABLED": "0",
        "RAY_DISABLE_IMPORT_WARNING": "1",
    }  # fmt: skip
    done = subprocess.run(  # noqa: S603  # our own interpreter
        [sys.executable, "-c", TRAINING.format(quick=QUICK)], env=environment,
        capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    found = dict(line.split(" ", 1) for line in done.stdout.splitlines()
                 if line.startswith(("RETURN ", "STEPS ", "MOVED ")))  # fmt: skip
    assert np.isfinite(float(found["RETURN"]))
    assert float(found["STEPS"]) == 6
    assert found["MOVED"] == "True"
