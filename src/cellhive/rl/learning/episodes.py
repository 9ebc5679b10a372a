"""Episodes as learners take them: which seeds they have, what they tell, what is learnt from.

Nothing here needs an environment once it was played, so that who plays and who learns may
be different processes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch

from cellhive.core.errors import BadInput
from cellhive.core.types import Floats, Floats32, Ints
from cellhive.rl.env import Masks
from cellhive.rl.learning.exploration import Exploration
from cellhive.rl.learning.networks import Actor, surroundings
from cellhive.rl.learning.ppo import Batch, Learner, TrainingSettings, advantages
from cellhive.rl.learning.roles import Moves, Role
from cellhive.rl.learning.rollout import Rollout, Stage
from cellhive.rl.policy import NETWORK
from cellhive.rl.rewards import OBJECTIVES

State = dict[str, npt.NDArray[np.generic]]

EPISODES, POOL, DRAWS, SHUFFLES, WEIGHTS = range(5)
"""Streams of random numbers that follow from the seed of a training."""


def random_of(seed: int, stream: int, *key: int) -> np.random.Generator:
    """Return the random numbers of a training that belong to a stream and a place in it."""
    return np.random.default_rng([seed, stream, *key])


def weight_seeds(seed: int, roles: int) -> list[int]:
    """Return the seeds of the first weights of each role."""
    drawn = np.random.SeedSequence([seed, WEIGHTS]).generate_state(roles)
    return [int(draw) for draw in drawn]


def episode_seeds(
    seed: int, settings: TrainingSettings, which: int, number: int, networks: int
) -> list[int]:
    """Return the seeds of the episodes of an iteration in one environment, (E,).

    Args:
        seed: Of the training.
        settings: How many different episodes there are.
        which: Environment.
        number: Of the iteration, from 0 on.
        networks: E.
    """
    pool, rng = settings.episode_seeds, random_of(seed, EPISODES, which, number)
    if not pool:
        return [int(one) for one in rng.integers(2**32, size=networks)]
    known = random_of(seed, POOL, which).integers(2**32, size=pool)
    return [int(known[place]) for place in rng.choice(pool, networks, networks > pool)]


class Part(NamedTuple):
    """What one role did and got in the episodes of one environment."""

    mask: Masks
    """(T, E, A, D, 3)"""
    moves: Moves
    """(T, E, A, D)"""
    likely: Floats32
    """Logarithm of the probability when it was chosen, (T, E, A)."""
    rewards: Floats
    """Above those of changing nothing, where that is known, (T, E, A)."""


class Tally(NamedTuple):
    """What episodes came to, for those who look on."""

    parts: Floats
    """Mean reward of a decision by objective, (4,)."""
    gain: float
    made: int
    refused: Ints
    decisions: int
    """Of cells."""
    trouble: str
    """What is wrong with what was collected, or nothing."""


class Played(NamedTuple):
    """Episodes of one environment, or of some of its networks."""

    seen: Floats32
    """(T + 1, E, C, F)"""
    near: npt.NDArray[np.int64]
    """Cells next to each cell, (C, K)."""
    roles: tuple[Part, ...]
    tally: Tally


def part_of(stage: Stage, which: int, rollout: Rollout) -> Part:
    """Return what one role did and got."""
    choices = rollout.choices[which]
    rewards = stage.rewards_of(which, rollout.points - rollout.idle)
    mask = stage.masks_of(which, rollout.mask)
    return Part(mask, choices.moves, choices.log_probability, rewards)


def tally_of(stage: Stage, which: int, rollout: Rollout, first: int = 0) -> Tally:
    """Return what episodes came to.

    Args:
        stage: Where they were played.
        which: Environment, for what is said.
        rollout: The episodes.
        first: Number of the first network, for what is said.
    """
    return Tally(
        rollout.parts.copy(), rollout.gain, rollout.made, rollout.refused.copy(),
        int(np.prod(stage.shape)), _trouble(rollout.points, which, first),
    )  # fmt: skip


def play(  # noqa: PLR0913, PLR0917 - what an iteration is, and which part of it
    stage: Stage, actors: Sequence[Actor], settings: TrainingSettings, seed: int,
    which: int, number: int, share: tuple[int, int] = (0, 1),
) -> Played:  # fmt: skip
    """Play the episodes of an iteration in some networks of an environment.

    Whoever plays them gets the same.

    Args:
        stage: The environment with the networks of this share only.
        actors: Of each role.
        settings: Of the training.
        seed: Of the training.
        which: Environment.
        number: Of the iteration, from 0 on.
        share: Which share of the networks it is, of how many equal ones.
    """
    place, shares = share
    mine = stage.env.networks
    seeds = episode_seeds(seed, settings, which, number, mine * shares)
    seeds = seeds[place * mine : (place + 1) * mine]
    idle = stage.idle(seeds) if settings.paired else None
    if not settings.episode_seeds:
        stage.forget()
    key = (which, number) if shares == 1 else (which, number, place)
    rollout = stage.play(actors, seeds, random_of(seed, DRAWS, *key), idle)
    parts = tuple(part_of(stage, role, rollout) for role in range(len(actors)))
    near = stage.near.cpu().numpy()
    return Played(rollout.seen, near, parts, tally_of(stage, which, rollout, place * mine))


def joined(shares: Sequence[Played]) -> Played:
    """Return copies of the episodes of all networks of an environment, in their order."""
    tallies = [share.tally for share in shares]
    return Played(
        np.concatenate([share.seen for share in shares], axis=1),
        shares[0].near.copy(),
        tuple(
            Part(*(np.concatenate(arrays, axis=1) for arrays in zip(*parts, strict=True)))
            for parts in zip(*(share.roles for share in shares), strict=True)
        ),
        Tally(
            np.mean([tally.parts for tally in tallies], axis=0),
            float(np.mean([tally.gain for tally in tallies])),
            sum(tally.made for tally in tallies),
            np.sum([tally.refused for tally in tallies], axis=0),
            sum(tally.decisions for tally in tallies),
            next((tally.trouble for tally in tallies if tally.trouble), ""),
        ),
    )


class Explorations:
    """Curiosity of roles in environments, where a training asks for it (``adaptive``)."""

    def __init__(self, roles: Sequence[Role], settings: TrainingSettings,
                 cells: Sequence[int]) -> None:  # fmt: skip
        """Begin with the same everywhere.

        Args:
            roles: Who decides.
            settings: Of the training.
            cells: Of each environment.
        """
        self._each = {
            (role.name, place): Exploration(role.shape.deciding(count))
            for role in roles
            for place, count in enumerate(cells)
            if settings.adaptive
        }

    def of(self, role: str, place: int) -> Exploration | None:
        """Return that of a role in an environment; None where all are as curious as usual."""
        return self._each.get((role, place))

    def state(self) -> State:
        """Return copies of everything needed to go on exactly."""
        return {
            f"{name}/explored/{place}/{part}": array
            for (name, place), one in self._each.items()
            for part, array in one.state().items()
        }

    def restore(self, state: Mapping[str, npt.NDArray[np.generic]]) -> None:
        """Go on from a state.

        Raises:
            BadInput: It is another training's; nothing has changed then.
        """
        before = {key: one.state() for key, one in self._each.items()}
        try:
            for (name, place), one in self._each.items():
                first = f"{name}/explored/{place}/"
                one.restore({key.removeprefix(first): array for key, array in state.items()
                             if key.startswith(first)})  # fmt: skip
        except BadInput:
            for key, last in before.items():
                self._each[key].restore(last)
            raise


def batch_of(
    learner: Learner, seen: Floats32, near: torch.Tensor, part: Part,
    exploration: Exploration | None = None,
) -> Batch:  # fmt: skip
    """Return what a role learns from: with advantages and returns as its critic sees them.

    Args:
        learner: Of the role.
        seen: Observations, (T + 1, E, C, F).
        near: Cells next to each cell, (C, K).
        part: What the role did and got.
        exploration: Learns from it, and says how curious to be; None means as usual.
    """
    settings = learner.settings
    values = learner.values(seen)
    found, returns = advantages(part.rewards, values, settings.discount, settings.trace_decay)

    def tensor(array: npt.NDArray[np.generic]) -> torch.Tensor:
        flat = np.ascontiguousarray(array).reshape(-1, *array.shape[2:])
        return torch.from_numpy(flat).to(learner.device)

    curious = np.ones(found.shape, np.float32)
    if exploration is not None:
        # what a choice came to in unlikelihood is, in the mean over choices, their entropy
        exploration.learn(found, -part.likely.astype(np.float64))
        whole = learner.shape.encoder == NETWORK
        curious = exploration.weights(seen[:-1].mean(2, keepdims=True) if whole else seen[:-1])
    flat = tensor(seen[:-1])
    return Batch(
        seen=flat, near=near, around=surroundings(flat), mask=tensor(part.mask > 0),
        moves=tensor(part.moves.astype(np.int64)), likely=tensor(part.likely),
        advantages=tensor(found.astype(np.float32)),
        returns=tensor(returns.astype(np.float32)), curious=tensor(curious),
    )  # fmt: skip


def _trouble(points: Floats, which: int, first: int) -> str:
    wrong = np.argwhere(~np.isfinite(points))
    if not len(wrong):
        return ""
    t, e, c, part = (int(place) for place in wrong[0])
    return (
        f"the {OBJECTIVES[part]} reward of environment {which}, network {first + e}, cell {c} is "
        f"not finite in decision {t}, and {len(wrong) - 1} more"
    )
