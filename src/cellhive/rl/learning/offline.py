"""Learning from what was done, without doing anything: better than imitation, close to it.

What turned out better than the critic expected counts more while it is imitated, what
turned out worse less: weights exp(A / temperature). That is the policy of highest
advantage at a bounded divergence from whoever acted (Peng et al. 2019,
"Advantage-weighted regression"; Wang et al. 2018, "Exponentially weighted imitation
learning"; Wang et al. 2020, "Critic regularized regression"). It is conservative by
construction: nothing that was never done gains probability, no value of an action that
was never tried is ever asked for, and with which probability one acted need not be known.

The critic is the central one. It is taught the returns of those who acted, or, with an
expectile above one half, leans towards the better ones (Kostrikov et al. 2021, "Offline
reinforcement learning with implicit Q-learning"; here of returns rather than of Q, which
also leans towards good luck: paired rewards leave little of that).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import torch

from cellhive.core.errors import BadInput
from cellhive.core.types import Floats, Floats32
from cellhive.rl.experience import History
from cellhive.rl.learning.imitation import CloningSettings, clone
from cellhive.rl.learning.networks import Actor, Critic
from cellhive.rl.learning.ppo import Scale, advantages

_LEAST = 1e-6


@dataclass(frozen=True)
class OfflineSettings:
    """How far to go from imitation, and how values are learnt."""

    cloning: CloningSettings = field(default_factory=CloningSettings)
    """How the policy is taught."""
    temperature: float = 1.0
    """Advantage that counts e times as much [standard deviations of advantages]; large ones
    are plain imitation."""
    most_weight: float = 20.0
    """Weights are cut off here: a single stroke of luck must not decide."""
    rounds: int = 3
    """How often returns are formed anew with the critic as it then is."""
    critic_steps: int = 300
    """Steps of Adam in each round."""
    critic_rate: float = 2e-3
    minibatch: int = 16
    """Decisions of whole networks in a step of the critic."""
    expectile: float = 0.5
    """One half: the mean return; more leans towards the better ones."""
    discount: float = 0.9
    trace_decay: float = 0.9
    """As in ``ppo.TrainingSettings``."""

    def __post_init__(self) -> None:
        """Refuse what means nothing."""
        inside = 0 < self.expectile < 1 and 0 <= self.discount <= 1 and 0 <= self.trace_decay <= 1
        if not (inside and self.temperature > 0 and self.most_weight >= 1 and self.rounds >= 1):
            raise BadInput(
                place="offline", expected="an expectile within 0 to 1, discount and trace of 0 to "
                "1, a temperature above 0, a largest weight and rounds of 1 or more",
                found=f"{self.expectile:g}, {self.discount:g}, {self.trace_decay:g}, "
                f"{self.temperature:g}, {self.most_weight:g}, {self.rounds}",
            )  # fmt: skip


class Judged(NamedTuple):
    """What a critic makes of histories."""

    advantages: list[Floats]
    """Of every decision of every cell, (T, S, C) of each history."""
    explained: float
    """Share of the variance of the returns that the critic explains."""


def learn_values(
    critic: Critic, histories: Sequence[History], settings: OfflineSettings,
    rng: np.random.Generator,
) -> Judged:  # fmt: skip
    """Teach a critic the value of situations under whoever acted, in place.

    It can go on to judge a policy that starts from a clone; its values are in units of the
    deviation of the returns about their mean.
    """
    if not histories:
        raise BadInput(place="histories", expected="one or more", found="none")
    optimiser = torch.optim.Adam(critic.parameters(), lr=settings.critic_rate)
    scale, known = Scale(), False
    for _ in range(settings.rounds):
        pairs = [_judge(critic, one, scale if known else None, settings) for one in histories]
        everything = np.concatenate([returns.ravel() for _, returns in pairs])
        scale, known = Scale(), True
        scale.learn(everything)
        targets = [
            ((returns - scale.centre) / scale.deviation).astype(np.float32) for _, returns in pairs
        ]
        for _ in range(settings.critic_steps):
            which = int(rng.integers(len(histories)))
            history = histories[which]
            t, s = np.divmod(
                rng.integers(0, history.decisions, settings.minibatch), history.mask.shape[1]
            )
            error = torch.from_numpy(targets[which][t, s]) - critic(
                torch.from_numpy(history.seen[t, s])
            )
            lean = torch.where(error > 0, settings.expectile, 1.0 - settings.expectile)
            loss = 2.0 * (lean * error.square()).mean()
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            optimiser.step()
    pairs = [_judge(critic, one, scale, settings) for one in histories]
    missed = np.concatenate([found.ravel() for found, _ in pairs])
    returns = np.concatenate([returns.ravel() for _, returns in pairs])
    explained = 1.0 - float(missed.var()) / max(float(returns.var()), _LEAST)
    return Judged([found for found, _ in pairs], explained)


def weights_of(judged: Judged, settings: OfflineSettings) -> list[Floats32]:
    """Return how much every decision of every cell counts, 1 on average."""
    everything = np.concatenate([found.ravel() for found in judged.advantages])
    centre, unit = everything.mean(), max(float(everything.std()), _LEAST) * settings.temperature
    raw = [
        np.minimum(
            np.exp(np.minimum((found - centre) / unit, np.log(settings.most_weight))),
            settings.most_weight,
        )
        for found in judged.advantages
    ]
    mean = np.concatenate([one.ravel() for one in raw]).mean()
    return [(one / mean).astype(np.float32) for one in raw]


def learn_offline(
    actor: Actor, critic: Critic, histories: Sequence[History], settings: OfflineSettings,
    rng: np.random.Generator,
) -> Judged:  # fmt: skip
    """Teach critic and actor from histories, in place; return what the critic made of them.

    Raises:
        BadInput: The histories do not fit the actor.
    """
    judged = learn_values(critic, histories, settings, rng)
    clone(actor, histories, settings.cloning, rng, weights_of(judged, settings))
    return judged


def _judge(
    critic: Critic, history: History, scale: Scale | None, settings: OfflineSettings
) -> tuple[Floats, Floats]:
    """Return advantages and returns, (T, S, C); without a scale all values are taken for 0."""
    seen = history.seen
    values = np.zeros(seen.shape[:3])
    if scale is not None:
        with torch.no_grad():
            flat = critic(torch.from_numpy(seen.reshape(-1, *seen.shape[2:])))
        values = flat.numpy().astype(np.float64).reshape(values.shape)
        values = values * scale.deviation + scale.centre
    rewards = history.reward.astype(np.float64)
    return advantages(rewards, values, settings.discount, settings.trace_decay)
