"""Training in one process: play, judge, learn, and take back what went wrong.

Seeds of episodes follow from the seed of the training and the number of the iteration, so
that the state of a trainer is its weights and a few numbers: training that was interrupted
goes on as if it had not been, to the bit on one machine.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from cellhive.core.errors import BadInput, Conflict
from cellhive.core.types import Floats32
from cellhive.rl.admission import REASONS
from cellhive.rl.env import CellEnvironment
from cellhive.rl.learning.episodes import (
    DRAWS,
    SHUFFLES,
    Explorations,
    State,
    Tally,
    batch_of,
    episode_seeds,
    part_of,
    random_of,
    tally_of,
    weight_seeds,
)
from cellhive.rl.learning.ppo import Batch, Learner, Losses, TrainingSettings, first_networks
from cellhive.rl.learning.roles import Role, check_roles
from cellhive.rl.learning.rollout import Clock, Rollout, Stage
from cellhive.rl.rewards import OBJECTIVES

__all__ = ["Iteration", "Role", "Trainer", "TrainingSettings"]

Spending = Callable[[str], None]

PARTS = ("simulate", "forward", "judge", "update")
"""Where the time of an iteration goes: the twin with observations and guard, the policies that
play, advantages and values, gradient steps."""


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
        self._learners = [
            Learner(first_networks(role.shape, draw, settings.keep_bias), settings, self.device)
            for role, draw in zip(roles, weight_seeds(seed, len(roles)), strict=True)
        ]
        unknown = sorted(set(actors or {}) - {role.name for role in roles})
        if unknown:
            raise BadInput(
                place="actors", expected=f"some of {', '.join(role.name for role in roles)}",
                found=", ".join(unknown),
            )  # fmt: skip
        for name, arrays in (actors or {}).items():
            self.learner(name).actor.load(arrays)
        cells = [stage.env.network.cells for stage in self._stages]
        self._explorations = Explorations(roles, settings, cells)
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

        rollouts = [self._play(which, spend) for which in range(len(self._stages))]
        pairs = zip(self._stages, rollouts, strict=True)
        tallies = [tally_of(stage, which, one) for which, (stage, one) in enumerate(pairs)]
        number = self.number = self.number + 1
        self.decisions += sum(tally.decisions for tally in tallies)
        trouble = next((tally.trouble for tally in tallies if tally.trouble), "")
        losses: dict[str, Losses] = {}
        if trouble:
            slow_down(self._learners)
        else:
            learners = dict(zip((role.name for role in self.roles), self._learners, strict=True))
            losses, trouble = update(
                learners, lambda which: self._batches(which, rollouts),
                lambda which: random_of(self.seed, SHUFFLES, which, number), spend,
            )  # fmt: skip
        self._failures = self._failures + 1 if trouble else 0
        check_patience(self._failures, self.settings, trouble)
        rate = self._learners[0].learning_rate
        return summary(number, self.decisions, tallies, losses, spent, trouble, rate)

    def state(self) -> State:
        """Return copies of everything needed to go on exactly, by name."""
        numbers = (self.seed, self.number, self.decisions, self._failures)
        state: State = {"trainer": np.array(numbers, np.int64)}
        for role, learner in zip(self.roles, self._learners, strict=True):
            state |= {f"{role.name}/{name}": array for name, array in learner.state().items()}
        return state | self._explorations.state()

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
        try:
            for role, learner in zip(self.roles, self._learners, strict=True):
                first = f"{role.name}/"
                learner.restore(
                    {name.removeprefix(first): array for name, array in state.items()
                     if name.startswith(first)}
                )  # fmt: skip
            self._explorations.restore(state)
        except BadInput:
            for learner, last in zip(self._learners, before, strict=True):
                learner.restore(last)
            raise
        self.number, self.decisions, self._failures = (int(number) for number in numbers[1:])

    def _play(self, which: int, spend: Spending) -> Rollout:
        stage, settings = self._stages[which], self.settings
        seeds = episode_seeds(self.seed, settings, which, self.number, stage.env.networks)
        idle = stage.idle(seeds) if settings.paired else None
        if not settings.episode_seeds:
            stage.forget()
        spend("simulate")
        actors = [learner.actor for learner in self._learners]
        rng = random_of(self.seed, DRAWS, which, self.number)
        return stage.play(actors, seeds, rng, idle, spend)

    def _batches(self, which: int, rollouts: Sequence[Rollout]) -> list[Batch]:
        """Return what one role learns from in all environments."""
        return [
            batch_of(
                self._learners[which], rollout.seen, stage.near, part_of(stage, which, rollout),
                self._explorations.of(self.roles[which].name, place),
            )
            for place, (stage, rollout) in enumerate(zip(self._stages, rollouts, strict=True))
        ]  # fmt: skip


def update(
    learners: Mapping[str, Learner], batches: Callable[[int], list[Batch]],
    shuffle: Callable[[int], np.random.Generator], spend: Spending = lambda part: None,
) -> tuple[dict[str, Losses], str]:  # fmt: skip
    """Let roles learn; take back what all have learnt where one comes to no good.

    Args:
        learners: Of each role, by name.
        batches: Returns what a role, by its place, learns from.
        shuffle: Returns the random numbers that shuffle for a role, by its place.
        spend: Told the part of the work that has just ended: judge, update.

    Returns:
        Losses by role, and why the update was taken back, "" where it was not.
    """
    before = [learner.state() for learner in learners.values()]
    losses, trouble = {}, ""
    for which, (name, learner) in enumerate(learners.items()):
        ready = batches(which)
        spend("judge")
        losses[name] = learner.update(ready, shuffle(which))
        spend("update")
        trouble = trouble or learner.sound(losses[name])
    if trouble:
        for learner, last in zip(learners.values(), before, strict=True):
            learner.restore(last)
        slow_down(learners.values())
    return losses, trouble


def slow_down(learners: Iterable[Learner]) -> None:
    """Halve learning rates."""
    for learner in learners:
        learner.learning_rate /= 2


def check_patience(failures: int, settings: TrainingSettings, trouble: str) -> None:
    """End a training in which too many updates in a row were taken back.

    Raises:
        Conflict: They were.
    """
    if failures >= settings.patience:
        message = (
            f"training stopped after {failures} updates in a row were taken back: "
            f"{trouble}; the weights are the last good ones, a lower learning rate or "
            "other rewards may help"
        )
        raise Conflict(message)


def summary(  # noqa: PLR0913, PLR0917 - the parts of an iteration
    number: int, decisions: int, tallies: Sequence[Tally], losses: Mapping[str, Losses],
    seconds: Mapping[str, float], trouble: str, learning_rate: float,
) -> Iteration:  # fmt: skip
    """Return what an iteration came to; see ``Iteration``.

    Args:
        number: Of the iteration, from 1 on.
        decisions: Of cells so far.
        tallies: Of each environment.
        losses: Of each role.
        seconds: By ``PARTS``.
        trouble: Why the update was taken back.
        learning_rate: Of the next iteration.
    """
    parts = np.mean([tally.parts for tally in tallies], axis=0)
    refused = np.sum([tally.refused for tally in tallies], axis=0)
    return Iteration(
        number=number, decisions=decisions, reward=float(parts.sum()),
        parts=dict(zip(OBJECTIVES, parts.tolist(), strict=True)),
        gain=float(np.mean([tally.gain for tally in tallies])), losses=losses,
        made=sum(tally.made for tally in tallies),
        refused={why: int(n) for why, n in zip(REASONS[1:], refused, strict=True) if n},
        seconds=seconds, taken_back=trouble, learning_rate=learning_rate,
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
