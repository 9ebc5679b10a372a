"""Train PPO on the highway, in about four minutes, and see whether it beats doing nothing.

    pip install 'cellhive[rl]' stable-baselines3 torch==2.13.0
    python examples/train_ppo_sb3.py

One agent sets A3 offset, time to trigger and two neighbour offsets of all twenty cells of a
highway whose handovers come too late. It learns on some users and is judged on others.
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
from stable_baselines3 import PPO
from stable_baselines3.common.vec_env import DummyVecEnv

from cellhive.adapters.environments.gym_env import NetworkEnv
from cellhive.rl.actions import ActionSettings

KNOBS = ActionSettings(heads=("a3_offset_db", "time_to_trigger_s", "cio_db"), neighbours=2)
SETTINGS: dict[str, Any] = {"actions": KNOBS, "observed_s": 20.0, "periods": 16}


def make() -> NetworkEnv:
    """Return a highway whose episode is four hours long."""
    return NetworkEnv("highway-corridor", **SETTINGS)


def judged(policy: Any, seeds: range) -> tuple[float, dict[str, float]]:
    """Return the mean reward of a decision and its parts, on users of these seeds."""
    env, rewards, parts = make(), [], []
    for seed in seeds:
        seen, over = env.reset(seed=seed)[0], False
        while not over:
            seen, reward, _, over, info = env.step(policy(env, seen))
            rewards.append(reward)
            parts.append(info["reward_parts"])
    return float(np.mean(rewards)), {
        name: float(np.mean([part[name] for part in parts])) for name in parts[0]
    }


def main(decisions: int = 4_000) -> None:
    """Train, then compare with an agent that keeps everything."""
    model = PPO(
        "MlpPolicy", DummyVecEnv([make] * 4), n_steps=64, batch_size=64, n_epochs=5,
        learning_rate=3e-4, gamma=0.9, seed=1, device="cpu",
    )  # fmt: skip
    model.learn(decisions)
    agents = {
        "keeps everything": lambda env, _: env.core.keep().reshape(-1),
        "trained": lambda _, seen: model.predict(seen, deterministic=True)[0],
    }
    lines = [f"{'':<20}{'reward':>9}{'mobility':>10}{'capacity':>10}{'coverage':>10}{'energy':>9}"]
    for name, policy in agents.items():
        reward, parts = judged(policy, range(9001, 9006))
        figures = "".join(f"{value:>10.3f}" for value in parts.values())
        lines.append(f"{name:<20}{reward:>9.3f}{figures}")
    sys.stdout.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:2]))
