"""Plays for RLlib: whole episodes in many networks at once, one forward pass for all agents."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from ray.rllib.core import COMPONENT_RL_MODULE
from ray.rllib.env import INPUT_ENV_SPACES
from ray.rllib.env.env_runner import EnvRunner
from ray.rllib.utils.checkpoints import Checkpointable

from cellhive.adapters.ray.plan import Piece, Plan
from cellhive.rl.actions import OPTIONS
from cellhive.rl.learning.episodes import Played, play
from cellhive.rl.learning.rollout import Stage
from cellhive.rl.policy import PolicyShape

PLAN = "plan"
"""Where RLlib's ``env_config`` keeps the ``Plan``."""

Spaces = dict[str, tuple[gym.Space[Any], gym.Space[Any]]]


def spaces_of(shape: PolicyShape) -> tuple[gym.Space[Any], gym.Space[Any]]:
    """Return what a cell sees and what it chooses from."""
    seen = gym.spaces.Box(-np.inf, np.inf, (shape.features,), np.float32)
    return seen, gym.spaces.MultiDiscrete([OPTIONS] * shape.columns)


class CellEnvRunner(EnvRunner, Checkpointable):
    """Plays pieces of an iteration; it needs to remember nothing, so any other can go on."""

    def __init__(self, *, config: Any, **kwargs: Any) -> None:
        """Make the networks; environments are built when they are first played."""
        super().__init__(config=config, **kwargs)
        self.plan: Plan = self.config.env_config[PLAN]
        if self.worker_index:
            torch.set_num_threads(1)
        self._stages: dict[int, Stage] = {}
        self.make_module()

    def make_env(self) -> None:
        """Build all environments anew when they are played next."""
        self._stages.clear()

    def make_module(self) -> None:
        """Make actors, without critics."""
        spec = self.config.get_multi_rl_module_spec(spaces=self.get_spaces(), inference_only=True)
        self.module = spec.build()

    def sample(
        self, number: int = 0, pieces: Sequence[Piece] = (), state: dict[str, Any] | None = None,
        **_: Any,
    ) -> list[tuple[Piece, Played]]:  # fmt: skip
        """Play.

        Args:
            number: Of the iteration, from 0 on.
            pieces: What to play.
            state: Weights to play with, as ``set_state`` takes them; None means those there are.
        """
        if state is not None:
            self.set_state(state)
        actors = [self.module[role.name].actor for role in self.plan.roles]
        plan, done = self.plan, []
        for piece in pieces:
            share = (piece.share, plan.shares(piece.which))
            played = play(
                self._stage(piece.which), actors, plan.settings, plan.seed, piece.which, number,
                share,
            )  # fmt: skip
            if share[1] > 1:  # the next share is played in the same arrays
                played = _copied(played)
            done.append((piece, played))
        return done

    def get_spaces(self) -> Spaces:
        """Return what the agents of each role see and choose from."""
        spaces = {role.name: spaces_of(role.shape) for role in self.plan.roles}
        return {INPUT_ENV_SPACES: next(iter(spaces.values())), **spaces}

    def get_metrics(self) -> Any:
        """Return RLlib's own metrics."""
        return self.metrics.reduce()

    def assert_healthy(self) -> None:
        """Be there."""
        assert self.module is not None  # noqa: S101 - what RLlib asks for

    def get_state(self, components: Any = None, *, not_components: Any = None,
                  **kwargs: Any) -> dict[str, Any]:  # fmt: skip
        """Return the weights of the actors."""
        if not self._check_component(COMPONENT_RL_MODULE, components, not_components):
            return {}
        return {COMPONENT_RL_MODULE: self.module.get_state(inference_only=True, **kwargs)}

    def set_state(self, state: dict[str, Any]) -> None:
        """Take weights over."""
        if COMPONENT_RL_MODULE in state:
            self.module.set_state(state[COMPONENT_RL_MODULE])

    def get_ctor_args_and_kwargs(self) -> tuple[tuple[Any, ...], dict[str, Any]]:
        """Return what it was made of."""
        return (), {"config": self.config}

    def get_checkpointable_components(self) -> list[tuple[str, Any]]:
        """Return the networks."""
        return [(COMPONENT_RL_MODULE, self.module)]

    def _stage(self, which: int) -> Stage:
        if which not in self._stages:
            self._stages[which] = Stage(self.plan.environment(which), self.plan.roles)
        return self._stages[which]


def _copied(played: Played) -> Played:
    roles = tuple(part._replace(moves=part.moves.copy(), likely=part.likely.copy())
                  for part in played.roles)  # fmt: skip
    return played._replace(seen=played.seen.copy(), roles=roles)
