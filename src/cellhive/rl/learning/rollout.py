"""Episodes of many networks under policies that explore, as arrays laid out beforehand.

Axis ``T`` counts decisions, ``E`` networks, ``C`` cells, ``A`` those who decide: the cells,
or one for the whole network where a policy turns all cells alike.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from cellhive.core.types import Floats, Floats32, Ints
from cellhive.rl.actions import DOWN, KEEP, UP
from cellhive.rl.admission import REASONS
from cellhive.rl.env import CellEnvironment, Masks
from cellhive.rl.learning.networks import Actor
from cellhive.rl.learning.roles import Moves, Role, columns_in, merged
from cellhive.rl.policy import NETWORK, next_cells
from cellhive.rl.rewards import Rewards

Clock = Callable[[], float]
"""Seconds since whenever; only differences count."""


@dataclass
class Choices:
    """What one role chose in the episodes of one environment."""

    moves: Moves
    """(T, E, A, D)"""
    log_probability: Floats32
    """Of all columns together, when it was chosen, (T, E, A)."""


@dataclass
class Rollout:
    """Episodes of the networks of one environment, one in each."""

    seen: Floats32
    """Observations, the last one after the last decision, (T + 1, E, C, F)."""
    mask: Masks
    """Options that the guard would let through, columns of the environment, (T, E, C, D, 3)."""
    points: Floats
    """What each cell brought by objective, see ``rewards.Reward``, (T, E, C, 4)."""
    idle: Floats
    """The same where nothing is changed, and 0 where that is not known."""
    choices: list[Choices]
    """Of each role."""
    parts: Floats
    """Mean reward of a decision by objective, with the weights of the environment, (4,)."""
    gain: float
    """By how much the mean reward is above that of changing nothing; NaN where not known."""
    made: int = 0
    """Changes made."""
    refused: Ints = field(default_factory=lambda: np.zeros(len(REASONS) - 1, np.int64))
    """Changes refused, by ``admission.REASONS`` from the second on."""


class Stage:
    """An environment, and what roles must know to play in it."""

    def __init__(self, env: CellEnvironment, roles: Sequence[Role], device: str = "cpu") -> None:
        """Find the neighbours and the columns of each role.

        Raises:
            BadInput: A role cannot play here; see ``roles.columns_in``.
        """
        self.env, self.roles = env, tuple(roles)
        self.places = [columns_in(role, env.settings.actions) for role in roles]
        self.near = torch.from_numpy(
            next_cells(env.network, env.settings.actions.neighbours).astype(np.int64)
        ).to(device)
        self.rewards = [Rewards(role.rewards, env.network) for role in roles]
        self.device = device
        self._idle: dict[int, Floats] = {}
        self._kept: Rollout | None = None

    @property
    def shape(self) -> tuple[int, int, int]:
        """Decisions of an episode, networks, cells."""
        return self.env.settings.decisions, self.env.networks, self.env.network.cells

    def masks_of(self, which: int, mask: Masks) -> Masks:
        """Return what a role may choose, (..., A, D, 3), from a mask of the environment."""
        return self.roles[which].shape.joined(mask[..., self.places[which], :])

    def rewards_of(self, which: int, points: Floats) -> Floats:
        """Return what a role is paid, (..., A), for points (..., C, 4)."""
        cells = self.rewards[which].cells_of(points)
        if self.roles[which].shape.encoder == NETWORK:
            return np.asarray(cells.mean(axis=-1, keepdims=True))
        return cells

    def idle(self, seeds: Sequence[int]) -> Floats:
        """Return the points of episodes in which nothing is changed, (T, E, C, 4).

        They are played once for each seed and kept for when it comes again.
        """
        if any(seed not in self._idle for seed in seeds):
            self.env.reset(seeds)
            points = np.stack(
                [self.env.step(self.env.keep()).reward.points for _ in range(self.shape[0])]
            )
            self._idle |= {seed: points[:, e] for e, seed in enumerate(seeds)}
        return np.stack([self._idle[seed] for seed in seeds], axis=1)

    def forget(self) -> None:
        """Drop what is kept of episodes in which nothing is changed."""
        self._idle.clear()

    def play(
        self, actors: Sequence[Actor], seeds: Sequence[int], rng: np.random.Generator,
        idle: Floats | None = None, spend: Callable[[str], None] = lambda part: None,
    ) -> Rollout:  # fmt: skip
        """Play an episode in every network.

        The arrays of the rollout are those of the one before: use it before playing again.

        Args:
            actors: Of each role.
            seeds: Of each network.
            rng: Draws the options.
            idle: From ``idle``, for the same seeds.
            spend: Told the part of the work that has just ended: forward, simulate.
        """
        rollout = self._kept = self._kept or self._blank()
        rollout.idle[:] = 0.0 if idle is None else idle
        rollout.made, rollout.refused[:] = 0, 0
        rollout.seen[0], mask = self.env.reset(seeds)
        spend("simulate")
        weighed = np.zeros(4)
        for t in range(self.shape[0]):
            rollout.mask[t] = mask
            decision = self._decide(t, rollout, actors, rng)
            spend("forward")
            step = self.env.step(decision)
            mask, rollout.seen[t + 1] = step.mask, step.observation
            rollout.points[t] = step.reward.points
            weighed += step.reward.network_parts.mean(axis=0)
            rollout.made += int(step.made.sum())
            rollout.refused += step.refused.sum(axis=0)
            spend("simulate")
        rollout.parts = weighed / self.shape[0]
        if idle is None:
            rollout.gain = float("nan")
        else:
            gained = (rollout.points - rollout.idle).mean(axis=(0, 1, 2))
            rollout.gain = float(gained @ self.env.rewards.weights)
        return rollout

    def _decide(
        self, t: int, rollout: Rollout, actors: Sequence[Actor], rng: np.random.Generator
    ) -> npt.NDArray[np.int64]:
        """Let every role choose, note it, and return the decision of all together."""
        seen, chosen = torch.from_numpy(rollout.seen[t]).to(self.device), []
        for which, actor in enumerate(actors):
            mask = self.masks_of(which, rollout.mask[t])
            with torch.no_grad():
                logits = actor(seen, self.near, torch.from_numpy(mask).to(self.device))
            choices = rollout.choices[which]
            moves, choices.log_probability[t] = drawn(logits, mask, rng)
            choices.moves[t] = moves
            chosen.append(np.broadcast_to(moves, (*self.shape[1:], moves.shape[-1])))
        return merged(chosen, self.places, rollout.mask.shape[3])

    def _blank(self) -> Rollout:
        periods, networks, cells = self.shape
        env = self.env
        size = (periods, networks, cells)
        choices = []
        for role in self.roles:
            flat = (periods, networks, role.shape.deciding(cells))
            choices.append(
                Choices(np.empty((*flat, role.shape.columns), np.int8), np.empty(flat, np.float32))
            )
        return Rollout(
            seen=np.empty((periods + 1, networks, cells, len(env.observations.features)),
                          np.float32),
            mask=np.empty((*size, len(env.actions.columns), 3), np.int8),
            points=np.empty((*size, 4)), idle=np.empty((*size, 4)), choices=choices,
            parts=np.zeros(4), gain=float("nan"),
        )  # fmt: skip


def drawn(logits: Tensor, mask: Masks, rng: np.random.Generator) -> tuple[Moves, Floats32]:
    """Return options drawn with the chances of masked logits, and how likely all were together.

    Args:
        logits: (..., D, 3), very low where the mask is 0.
        mask: The same shape; keeping is always possible.
        rng: Draws.

    Returns:
        Moves (..., D) and logarithms of probabilities (...).
    """
    logs = torch.log_softmax(logits, -1).cpu().numpy()
    down, keep = np.exp(logs[..., DOWN]), np.exp(logs[..., KEEP])
    draw = rng.random(down.shape)
    moves = (draw >= down).astype(np.int8)
    # what is masked out has no chance, but the others may sum to a little less than 1
    moves += (draw >= down + keep) & (mask[..., UP] > 0)
    likely = np.take_along_axis(logs, moves[..., None].astype(np.intp), -1)[..., 0]
    return moves, likely.sum(axis=-1)


def greedy(logits: Tensor) -> Moves:
    """Return the most likely options, (..., D), of masked logits."""
    return logits.argmax(-1).cpu().numpy().astype(np.int8)
