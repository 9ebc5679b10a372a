"""Training in one process: play, judge, learn, and take back what went wrong.

Seeds of episodes follow from the seed of the training and the number of the iteration, so
that the state of a trainer is its weights and a few numbers: training that was interrupted
goes on as if it had not been, to the bit on one machine.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from cellhive.core.errors import BadInput, Conflict
from cellhive.core.types import Floats, Floats32
from cellhive.rl.admission import REASONS
from cellhive.rl.env import CellEnvironment
from cellhive.rl.learning.exploration import Exploration
from cellhive.rl.learning.networks import surroundings
from cellhive.rl.learning.ppo import Batch, Learner, Losses, TrainingSettings, advantages
from cellhive.rl.learning.roles import Role, check_roles
from cellhive.rl.learning.rollout import Clock, Rollout, Stage
from cellhive.rl.policy import NETWORK
from cellhive.rl.rewards import OBJECTIVES

__all__ = ["Iteration", "Role", "Trainer", "TrainingSettings"]

State = dict[str, npt.NDArray[np.generic]]
Spending = Callable[[str], None]

PARTS = ("simulate", "forward", "judge", "update")
"""Where the time of an iteration goes: the twin with observations and guard, the policies that
play, advantages and values, gradient steps."""

_EPISODES, _POOL, _DRAWS, _SHUFFLES, _WEIGHTS = range(5)
"""Streams of random numbers that follow from the seed of a training."""


@dataclass(frozen=True)
class Iteration:
    """What an iteration came to."""

    number: int
    """From 1 on."""
    decisions: int
    """Decisions of cells since the training began, those that paired episodes add excluded."""
    reward: float
    """Mean reward of a decision of a network, with the weights of the environments."""
    parts: Mapping[str, float]
    """The same by objective."""
    gain: float
    """By how much the mean reward of a cell is above that of changing nothing for the same
    users; NaN where ``paired`` is off."""
    losses: Mapping[str, Losses]
    """Of each role; of one whose update was taken back, what it had come to."""
    made: int
    """Changes made."""
    refused: Mapping[str, int]
    """Changes that the guard refused, by reason."""
    seconds: Mapping[str, float]
    """Time by ``PARTS`` [s]; 0 without a clock."""
    taken_back: str = ""
    """Why the update was taken back; empty where it was not."""
    learning_rate: float = 0.0
    """Of the next iteration."""


class Trainer:
    """Roles that learn together in some environments."""

    def __init__(  # noqa: PLR0913, PLR0917 - what training is: who, how, where, from which seed
        self, roles: Sequence[Role], settings: TrainingSettings,
        environments: Sequence[CellEnvironment], seed: int, device: str = "cpu",
        actors: Mapping[str, dict[str, Floats32]] | None = None, clock: Clock | None = None,
    ) -> None:  # fmt: skip
        """Prepare.

        Args:
            roles: Who decides, in order of precedence; see ``roles.merged``.
            settings: How they learn.
            environments: Where; they may have different numbers of cells, networks and
                decisions, and one iteration is an episode in each network of all of them.
            seed: Of first weights, episodes, draws and shuffles.
            device: For example "cuda".
            actors: First weights of some roles.
            clock: What ``Iteration.seconds`` are measured with.

        Raises:
            BadInput: Roles and environments do not fit each other, or weights do not fit.
        """
        check_roles(roles)
        if not environments:
            raise BadInput(place="environments", expected="one or more", found="none")
        self.roles, self.settings, self.seed = tuple(roles), settings, seed
        self.device = _device(device)
        self._stages = [Stage(env, roles, self.device) for env in environments]
        self._clock = clock or (lambda: 0.0)
        draws = np.random.SeedSequence([seed, _WEIGHTS]).generate_state(len(roles))
        self._learners = [
            Learner(role.shape, settings, int(draw), self.device)
            for role, draw in zip(roles, draws, strict=True)
        ]
        unknown = sorted(set(actors or {}) - {role.name for role in roles})
        if unknown:
            raise BadInput(
                place="actors", expected=f"some of {', '.join(role.name for role in roles)}",
                found=", ".join(unknown),
            )  # fmt: skip
        for name, arrays in (actors or {}).items():
            self.learner(name).actor.load(arrays)
        self._explorations = {
            (role.name, place): Exploration(role.shape.deciding(stage.env.network.cells))
            for role in roles
            for place, stage in enumerate(self._stages)
            if settings.adaptive
        }
        self.number, self.decisions, self._failures = 0, 0, 0

    def learner(self, role: str) -> Learner:
        """Return the networks and the optimiser of a role.

        Raises:
            BadInput: There is no such role.
        """
        names = [known.name for known in self.roles]
        if role not in names:
            raise BadInput(place="role", expected=f"one of {', '.join(names)}", found=repr(role))
        return self._learners[names.index(role)]

    def arrays(self, role: str) -> dict[str, Floats32]:
        """Return copies of the tensors of a role's actor, as ``PolicyShape`` lists them."""
        return self.learner(role).actor.arrays()

    def iterate(self) -> Iteration:
        """Play an episode in every network and learn from it.

        An update that leaves numbers that are not finite, or moves a policy too far, is
        taken back and the learning rate halved.

        Raises:
            Conflict: ``patience`` updates in a row had to be taken back. The weights are the
                last good ones.
        """
        spent = dict.fromkeys(PARTS, 0.0)
        last_s = self._clock()

        def spend(part: str) -> None:
            nonlocal last_s
            now_s = self._clock()
            spent[part] += now_s - last_s
            last_s = now_s

        before = [learner.state() for learner in self._learners]
        rollouts = [self._play(which, spend) for which in range(len(self._stages))]
        self.number += 1
        self.decisions += sum(int(np.prod(stage.shape)) for stage in self._stages)
        trouble = _trouble(rollouts)
        losses: dict[str, Losses] = {}
        if not trouble:
            for which, role in enumerate(self.roles):
                losses[role.name] = self._learn(which, rollouts, spend)
                trouble = trouble or self._learners[which].sound(losses[role.name])
        self._settle(trouble, before)
        return self._summary(rollouts, losses, spent, trouble)

    def state(self) -> State:
        """Return copies of everything needed to go on exactly, by name."""
        numbers = (self.seed, self.number, self.decisions, self._failures)
        state: State = {"trainer": np.array(numbers, np.int64)}
        for role, learner in zip(self.roles, self._learners, strict=True):
            state |= {f"{role.name}/{name}": array for name, array in learner.state().items()}
        for (name, place), exploration in self._explorations.items():
            parts = exploration.state()
            state |= {f"{name}/explored/{place}/{part}": array for part, array in parts.items()}
        return state

    def restore(self, state: State) -> None:
        """Go on from a state of a trainer with the same roles, settings and environments.

        Raises:
            BadInput: It is not the state of such a trainer; nothing has changed then.
        """
        numbers = state.get("trainer")
        if numbers is None or numbers.shape != (4,) or numbers[0] != self.seed:
            raise BadInput(
                place="training state", expected=f"one that began from seed {self.seed}",
                found="none" if numbers is None else f"seed {numbers.reshape(-1)[:1].tolist()}",
            )  # fmt: skip
        before = [learner.state() for learner in self._learners]
        explored = {key: one.state() for key, one in self._explorations.items()}
        try:
            for role, learner in zip(self.roles, self._learners, strict=True):
                first = f"{role.name}/"
                learner.restore(
                    {name.removeprefix(first): array for name, array in state.items()
                     if name.startswith(first)}
                )  # fmt: skip
            for (role_name, place), exploration in self._explorations.items():
                first = f"{role_name}/explored/{place}/"
                exploration.restore(
                    {name.removeprefix(first): array for name, array in state.items()
                     if name.startswith(first)}
                )  # fmt: skip
        except BadInput:
            for key, one in explored.items():
                self._explorations[key].restore(one)
            for learner, last in zip(self._learners, before, strict=True):
                learner.restore(last)
            raise
        self.number, self.decisions, self._failures = (int(number) for number in numbers[1:])

    def _random(self, stream: int, *key: int) -> np.random.Generator:
        return np.random.default_rng([self.seed, stream, *key])

    def _seeds(self, which: int) -> list[int]:
        """Return the seeds of the episodes of this iteration in one environment."""
        networks, pool = self._stages[which].env.networks, self.settings.episode_seeds
        rng = self._random(_EPISODES, which, self.number)
        if not pool:
            return [int(seed) for seed in rng.integers(2**32, size=networks)]
        known = self._random(_POOL, which).integers(2**32, size=pool)
        return [int(known[place]) for place in rng.choice(pool, networks, networks > pool)]

    def _play(self, which: int, spend: Spending) -> Rollout:
        stage, seeds = self._stages[which], self._seeds(which)
        idle = stage.idle(seeds) if self.settings.paired else None
        if not self.settings.episode_seeds:
            stage.forget()
        spend("simulate")
        actors = [learner.actor for learner in self._learners]
        rng = self._random(_DRAWS, which, self.number)
        return stage.play(actors, seeds, rng, idle, spend)

    def _learn(self, which: int, rollouts: Sequence[Rollout], spend: Spending) -> Losses:
        """Let one role learn from all environments."""
        learner = self._learners[which]
        batches = [self._judged(which, place, rollout) for place, rollout in enumerate(rollouts)]
        spend("judge")
        losses = learner.update(batches, self._random(_SHUFFLES, which, self.number))
        spend("update")
        return losses

    def _judged(self, which: int, place: int, rollout: Rollout) -> Batch:
        """Return what a role learns from in one environment."""
        stage = self._stages[place]
        learner, settings, choices = self._learners[which], self.settings, rollout.choices[which]
        rewards = stage.rewards_of(which, rollout.points - rollout.idle)
        values = learner.values(rollout.seen)
        found, returns = advantages(rewards, values, settings.discount, settings.trace_decay)

        def tensor(array: npt.NDArray[np.generic]) -> torch.Tensor:
            flat = np.ascontiguousarray(array).reshape(-1, *array.shape[2:])
            return torch.from_numpy(flat).to(self.device)

        seen = tensor(rollout.seen[:-1])
        return Batch(
            seen=seen, near=stage.near, around=surroundings(seen),
            mask=tensor(stage.masks_of(which, rollout.mask) > 0),
            moves=tensor(choices.moves.astype(np.int64)),
            likely=tensor(choices.log_probability),
            advantages=tensor(found.astype(np.float32)),
            returns=tensor(returns.astype(np.float32)),
            curious=tensor(self._curiosity(which, place, rollout, found)),
        )  # fmt: skip

    def _curiosity(self, which: int, place: int, rollout: Rollout, surprise: Floats) -> Floats32:
        """Return what the weight of the entropy is multiplied by, (T, E, A)."""
        role = self.roles[which]
        exploration = self._explorations.get((role.name, place))
        if exploration is None:
            return np.ones(surprise.shape, np.float32)
        # what a choice came to in unlikelihood is, in the mean over choices, their entropy
        unlikely = -rollout.choices[which].log_probability.astype(np.float64)
        exploration.learn(surprise, unlikely)
        seen = rollout.seen[:-1]
        if role.shape.encoder == NETWORK:
            seen = seen.mean(axis=2, keepdims=True)
        return exploration.weights(seen)

    def _settle(self, trouble: str, before: Sequence[State]) -> None:
        """Keep an update, or take it back and learn more slowly."""
        if not trouble:
            self._failures = 0
            return
        for learner, last in zip(self._learners, before, strict=True):
            learner.restore(last)
            learner.learning_rate /= 2
        self._failures += 1
        if self._failures >= self.settings.patience:
            message = (
                f"training stopped after {self._failures} updates in a row were taken back: "
                f"{trouble}; the weights are the last good ones, a lower learning rate or "
                "other rewards may help"
            )
            raise Conflict(message)

    def _summary(self, rollouts: Sequence[Rollout], losses: Mapping[str, Losses],
                 spent: Mapping[str, float], trouble: str) -> Iteration:  # fmt: skip
        parts = np.mean([rollout.parts for rollout in rollouts], axis=0)
        refused = np.sum([rollout.refused for rollout in rollouts], axis=0)
        return Iteration(
            number=self.number, decisions=self.decisions, reward=float(parts.sum()),
            parts=dict(zip(OBJECTIVES, parts.tolist(), strict=True)),
            gain=float(np.mean([rollout.gain for rollout in rollouts])), losses=losses,
            made=sum(rollout.made for rollout in rollouts),
            refused={why: int(n) for why, n in zip(REASONS[1:], refused, strict=True) if n},
            seconds=spent, taken_back=trouble, learning_rate=self._learners[0].learning_rate,
        )  # fmt: skip


def _device(name: str) -> str:
    """Return a device that is there."""
    try:
        torch.zeros(1, device=name)
    except (RuntimeError, AssertionError) as error:
        raise BadInput(
            place="device", expected='"cpu", or "cuda" where torch sees one', found=repr(name)
        ) from error
    return name


def _trouble(rollouts: Sequence[Rollout]) -> str:
    """Return what is wrong with what was collected, or nothing."""
    for which, rollout in enumerate(rollouts):
        wrong = np.argwhere(~np.isfinite(rollout.points))
        if len(wrong):
            t, e, c, part = (int(place) for place in wrong[0])
            return (
                f"the {OBJECTIVES[part]} reward of environment {which}, network {e}, cell {c} is "
                f"not finite in decision {t}, and {len(wrong) - 1} more"
            )
    return ""
