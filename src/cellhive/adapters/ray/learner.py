"""Learns for RLlib: our loss, gradient and minibatches, in one process or in several alike."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed
from ray.rllib.core.learner.torch.torch_learner import TorchLearner
from torch import Tensor

from cellhive.adapters.ray.plan import Plan
from cellhive.adapters.ray.runner import PLAN
from cellhive.core.errors import BadInput, Conflict
from cellhive.core.types import Floats32
from cellhive.rl.learning.episodes import (
    SHUFFLES,
    Explorations,
    Part,
    Played,
    State,
    batch_of,
    joined,
    random_of,
)
from cellhive.rl.learning.ppo import Batch, Learner, Losses
from cellhive.rl.learning.training import slow_down, update


@dataclass
class Lesson:
    """What an iteration has to teach; RLlib hands it on as it is."""

    number: int
    """Of the iteration, from 1 on."""
    played: list[Played]
    """Of each environment."""
    trouble: str
    """Why nothing can be learnt from it, or nothing."""


@dataclass
class Learnt:
    """What came of a lesson."""

    losses: dict[str, Losses]
    """By role."""
    trouble: str
    """Why it was taken back, or nothing."""
    learning_rate: float
    """Of the next."""


class _Peers:
    """The learners of an RLlib learner group, which torch has connected."""

    def __init__(self) -> None:
        self.rank = torch.distributed.get_rank()
        self.count = torch.distributed.get_world_size()

    def add(self, numbers: Tensor) -> None:
        """Replace numbers by their sum over all."""
        torch.distributed.all_reduce(numbers)


class CellLearner(TorchLearner):
    """Learns all roles.

    Several learners see the same lesson, take turns with the networks of each minibatch, and
    add up gradients: they stay equal, and come to what one would, up to rounding. Gradients of
    all parameters of a role travel as one vector and in one order, so that nobody waits for
    what another has not sent (RLlib's own way may, with several modules).
    """

    roles: dict[str, Learner]
    """Learner of each role by name."""

    def build(self) -> None:
        """Take over the networks RLlib has made."""
        if self._is_built:
            return
        super().build()
        if self.config.num_learners:
            torch.set_num_threads(max(1, int(self.config.num_cpus_per_learner)))

    def configure_optimizers(self) -> None:
        """Make our learners, which have their own optimiser."""
        plan: Plan = self.config.env_config[PLAN]
        peers = _Peers() if self.config.num_learners > 1 else None
        self.roles, self.explorations = {}, Explorations(plan.roles, plan.settings, plan.cells())
        for role in plan.roles:
            module = self._module[role.name]
            self.roles[role.name] = Learner(
                (module.actor, module.critic), plan.settings, str(self._device), peers
            )

    def update(self, training_data: Any, **_: Any) -> dict[str, Any]:
        """Learn from a ``Lesson``; what came of it is in ``learnt``."""
        training_data.solve_refs()
        lesson: Lesson = training_data.batch
        played = lesson.played
        if self.config.num_learners:  # what comes from the object store cannot be written to
            played = [joined([one]) for one in played]
        plan: Plan = self.config.env_config[PLAN]
        losses: dict[str, Losses] = {}
        trouble = lesson.trouble
        if trouble:
            slow_down(self.roles.values())
        else:
            losses, trouble = update(
                self.roles, lambda which: self._batches(which, played),
                lambda which: random_of(plan.seed, SHUFFLES, which, lesson.number),
            )  # fmt: skip
        rate = next(iter(self.roles.values())).learning_rate
        self.learnt = Learnt(losses, trouble, rate)
        for name, found in losses.items():
            for loss, value in found._asdict().items():
                self.metrics.log_value((name, loss), float(value), window=1)
        metrics: dict[str, Any] = self.metrics.reduce()
        return metrics

    def compute_loss_for_module(self, **_: Any) -> Tensor:
        """Refuse: losses and gradients are ``rl.learning.ppo.Learner``'s, in ``update``.

        Raises:
            Conflict: Always.
        """
        message = "the loss of a role is computed by its learner; call update with a Lesson"
        raise Conflict(message)

    def states(self) -> State:
        """Return copies of everything needed to go on exactly, by role and name."""
        return {f"{role}/{name}": array for role, learner in self.roles.items()
                for name, array in learner.state().items()} | self.explorations.state()  # fmt: skip

    def go_on_from(self, state: State) -> None:
        """Go on from ``states``.

        Raises:
            BadInput: It is another training's; nothing has changed then.
        """
        before = self.states()
        try:
            self._restore(state)
        except BadInput:
            self._restore(before)
            raise

    def arrays(self, role: str) -> dict[str, Floats32]:
        """Return copies of the tensors of a role's actor."""
        return self.roles[role].actor.arrays()

    def _restore(self, state: State) -> None:
        for role, learner in self.roles.items():
            first = f"{role}/"
            learner.restore({name.removeprefix(first): array for name, array in state.items()
                             if name.startswith(first)})  # fmt: skip
        self.explorations.restore(state)

    def _batches(self, which: int, played: list[Played]) -> list[Batch]:
        name, learner = list(self.roles.items())[which]
        return [
            batch_of(learner, one.seen, torch.from_numpy(one.near).to(learner.device),
                     Part(*one.roles[which]), self.explorations.of(name, place))
            for place, one in enumerate(played)
        ]  # fmt: skip

    def _make_modules_ddp_if_necessary(self) -> None:
        """Leave the modules alone: gradients are added up by ``_Peers``."""

    def _get_optimizer_state(self) -> State:
        """Return what RLlib's checkpoint keeps beside the weights: here all there is."""
        return self.states()

    def _set_optimizer_state(self, state: State) -> None:
        self.go_on_from(state)
