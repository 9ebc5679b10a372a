"""The networks of a role as RLlib holds them: our actor, and the critic where it learns."""

from __future__ import annotations

from typing import Any

import torch
from ray.rllib.core.columns import Columns
from ray.rllib.core.rl_module.apis import InferenceOnlyAPI
from ray.rllib.core.rl_module.torch.torch_rl_module import TorchRLModule

from cellhive.core.types import Floats32
from cellhive.rl.learning.networks import Actor, Critic
from cellhive.rl.learning.ppo import first_networks
from cellhive.rl.policy import check_tensors

NEAR, MASK = "near", "mask"
"""Columns of a batch beside RLlib's own: see ``networks.Actor.forward``."""


class RoleModule(TorchRLModule, InferenceOnlyAPI):
    """Actor and central critic of one role; processes that only play have no critic.

    ``model_config`` holds ``shape``, ``seed``, ``keep_bias``, and ``arrays``: tensors to begin
    with, or nothing.
    """

    actor: Actor
    critic: Critic

    def setup(self) -> None:
        """Draw first weights."""
        wanted: dict[str, Any] = self.model_config
        self.actor, self.critic = first_networks(
            wanted["shape"], wanted["seed"], wanted["keep_bias"]
        )
        arrays: dict[str, Floats32] = wanted["arrays"]
        if arrays:
            check_tensors(wanted["shape"], arrays)
            self.actor.load(dict(arrays))

    def get_non_inference_attributes(self) -> list[str]:
        """Return what players do not need."""
        return ["critic"]

    def _forward(self, batch: dict[str, Any], **_: Any) -> dict[str, torch.Tensor]:
        """Return masked logits of every option, (B, C, D, 3), for observations (B, C, F)."""
        logits = self.actor(batch[Columns.OBS], batch[NEAR], batch.get(MASK))
        return {Columns.ACTION_DIST_INPUTS: logits}
