"""Trains a policy with RLlib; see ``training_case``."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import ray
from ray.rllib.algorithms.ppo import PPOConfig
from ray.rllib.core.rl_module.default_model_config import DefaultModelConfig
from training_case import Case, Pass, measure

from cellhive.adapters.ray.multi_agent import CellsMultiAgentEnv
from cellhive.rl.env import CellEnvironment


def rllib(case: Case, style: str) -> Iterator[Pass]:
    """Train with RLlib's PPO as it comes: new API stack, one style."""
    ray.init("local", num_cpus=max(1, case.runners), include_dashboard=False,
             object_store_memory=100_000_000, log_to_driver=False,
             configure_logging=False)  # fmt: skip
    learning, periods = case.learning, case.settings.decisions
    cells = CellEnvironment(case.settings).network.cells
    batch = case.networks * periods * cells
    config = (
        PPOConfig()
        .environment(CellsMultiAgentEnv, env_config={"settings": case.settings,
                                                     "scenario": case.settings.scenario})
        .multi_agent(policies={"cell"}, policy_mapping_fn=lambda *_, **__: "cell",
                     count_steps_by="agent_steps")
        .env_runners(num_env_runners=case.runners,
                     num_envs_per_env_runner=case.networks // max(1, case.runners),
                     rollout_fragment_length=periods * cells)
        .learners(num_learners=0)
        .rl_module(model_config=DefaultModelConfig(
            fcnet_hiddens=[case.hidden] * 2, fcnet_activation="tanh", vf_share_layers=False))
        .training(train_batch_size_per_learner=batch, minibatch_size=learning.minibatch,
                  num_epochs=learning.epochs, lr=learning.learning_rate, gamma=learning.discount,
                  lambda_=learning.trace_decay, clip_param=learning.clip, use_kl_loss=False,
                  vf_loss_coeff=learning.value_weight, vf_clip_param=1e9,
                  entropy_coeff=learning.entropy, grad_clip=learning.gradient_norm)
        .debugging(seed=1)
    )  # fmt: skip
    algorithm = config.build_algo()
    before = 0
    while True:
        told = algorithm.train()
        steps = told["env_runners"]["num_agent_steps_sampled_lifetime"]
        steps = int(sum(steps.values()) if isinstance(steps, dict) else steps)
        timers = {name: float(value) for name, value in told["timers"].items()
                  if isinstance(value, float | int)}  # fmt: skip
        yield Pass(
            steps - before, timers, case.role, lambda: _from_rllib(algorithm.get_module("cell"))
        )
        before = steps


def _from_rllib(module: Any) -> dict[str, npt.NDArray[np.float32]]:
    """Return RLlib's policy as ours: its layers are those of the flat encoder."""
    names = {"own": "encoder.actor_encoder.net.mlp.0", "trunk": "encoder.actor_encoder.net.mlp.2",
             "cell": "pi.net.mlp.0"}  # fmt: skip
    state = module.state_dict()
    return {
        f"{mine}.{kind}": state[f"{theirs}.{kind}"].cpu().numpy().astype(np.float32)
        for mine, theirs in names.items()
        for kind in ("weight", "bias")
    }


if __name__ == "__main__":
    measure(rllib, "stock")
