"""The environment for RLlib: an agent in every cell, new API stack.

It is PettingZoo's view with the keys that RLlib wants: ``__all__`` says when an episode
is over, and every agent has its last observation then.
"""

from __future__ import annotations

from typing import Any

from ray.rllib.env.multi_agent_env import MultiAgentEnv

from cellhive.adapters.environments.parallel_env import CellsParallelEnv
from cellhive.core.types import Floats32

_ALL = "__all__"


class CellsMultiAgentEnv(MultiAgentEnv):
    """Every cell of a network is an agent, named by its cell id."""

    def __init__(self, config: dict[str, Any] | None = None) -> None:
        """Build the network.

        Args:
            config: RLlib's ``env_config``: arguments of ``CellsParallelEnv`` by name.
        """
        super().__init__()
        self.env = CellsParallelEnv(**dict(config or {}))
        self.agents = list(self.env.possible_agents)
        self.possible_agents = list(self.env.possible_agents)
        self.observation_spaces = dict(self.env.observation_spaces)
        self.action_spaces = dict(self.env.action_spaces)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, Floats32], dict[str, dict[str, Any]]]:
        """Begin an episode; see ``CellsParallelEnv.reset``."""
        super().reset(seed=seed)
        observations, infos = self.env.reset(seed=seed, options=options)
        self.agents = list(self.possible_agents)
        return observations, infos

    def step(
        self, action_dict: dict[str, Any]
    ) -> tuple[
        dict[str, Floats32], dict[str, float], dict[str, bool], dict[str, bool],
        dict[str, dict[str, Any]],
    ]:  # fmt: skip
        """Make the decisions of all agents and let a period pass."""
        observations, rewards, terminated, truncated, infos = self.env.step(action_dict)
        truncated[_ALL] = not self.env.agents
        terminated[_ALL] = False
        return observations, rewards, terminated, truncated, infos

    def render(self) -> Any:
        """Return a map of the network as it stands; None without a render mode."""
        return self.env.render()
