"""Proximal policy optimisation of one role: advantages, loss and update.

Schulman et al., "Proximal Policy Optimization Algorithms" (2017), with the central critic
and the value normalisation of Yu et al., "The Surprising Effectiveness of PPO in
Cooperative Multi-Agent Games" (2022). The columns of a cell are independent draws: its
probability is their product. An episode ends because the schedule says so, not because
the network does; so its last value is estimated, never 0.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, NamedTuple, Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from cellhive.core.errors import BadInput
from cellhive.core.types import Floats, Floats32
from cellhive.rl.actions import KEEP, OPTIONS
from cellhive.rl.learning.gradients import loss_gradient
from cellhive.rl.learning.networks import Actor, Critic
from cellhive.rl.policy import NETWORK, PolicyShape

_LEAST_DEVIATION = 1e-6
_BETAS, _EPSILON = (0.9, 0.999), 1e-5


@dataclass(frozen=True)
class TrainingSettings:
    """How roles learn. The defaults are those measured to learn on the scenarios shipped."""

    learning_rate: float = 1e-3
    """Of Adam; halved by each update that had to be taken back."""
    clip: float = 0.2
    """How far the probability of what was done may move in an update, as a ratio."""
    epochs: int = 4
    """Passes over what was collected."""
    minibatch: int = 1024
    """Decisions of cells in a gradient step, rounded to whole networks."""
    discount: float = 0.9
    """Weight of the next decision's reward: ten decisions, 2.5 hours, are looked ahead."""
    trace_decay: float = 0.9
    """Lambda of generalised advantage estimation: 1 trusts what was seen, 0 the critic."""
    entropy: float = 0.003
    """Weight of the entropy of a cell's columns: what keeps a policy curious."""
    value_weight: float = 0.5
    """Weight of the critic's squared error."""
    gradient_norm: float = 0.5
    """Longest gradient; longer ones are shortened to it."""
    most_kl: float = 0.03
    """Kullback-Leibler divergence from the policy that collected, per cell, at which an update
    ends early."""
    explosion_kl: float = 1.0
    """Divergence at which an update is taken back as a failure."""
    keep_bias: float = 2.0
    """First logit of keeping a knob as it is, above that of turning it."""
    paired: bool = True
    """Pay for the difference to the same episode in which nothing is changed: what the users
    do anyway cancels out. Each seed costs one more episode, the first time it is played."""
    episode_seeds: int = 64
    """Different episodes of an environment, which come again; 0 means always new ones."""
    adaptive: bool = False
    """Give every cell an entropy's weight of its own, after how surprising it still is, how far
    its decisions have settled and what a wrong one would cost; see ``exploration``."""
    patience: int = 3
    """Updates in a row that may fail before training stops."""

    def __post_init__(self) -> None:
        """Refuse numbers that mean nothing."""
        for field in fields(self):
            value = getattr(self, field.name)
            if not np.isfinite(value) or value < 0:
                raise BadInput(
                    place=field.name, expected="a finite number of 0 or more", found=f"{value:g}"
                )
        for name in ("discount", "trace_decay", "clip"):
            if getattr(self, name) > 1:
                raise BadInput(place=name, expected="0 to 1", found=f"{getattr(self, name):g}")
        for name in ("epochs", "minibatch", "patience", "gradient_norm"):
            if getattr(self, name) <= 0:
                raise BadInput(place=name, expected="above 0", found=f"{getattr(self, name):g}")


def settings_from(numbers: Mapping[str, float]) -> TrainingSettings:
    """Return the usual settings with some of them as given, by name.

    Raises:
        BadInput: There is no setting of such a name, or no such value of it.
    """
    usual = TrainingSettings()
    known = [field.name for field in fields(usual)]
    unknown = sorted(set(numbers) - set(known))
    if unknown:
        raise BadInput(
            place="--learning", expected=f"some of {', '.join(known)}", found=", ".join(unknown)
        )
    typed: dict[str, Any] = {}
    for name, value in numbers.items():
        kind = type(getattr(usual, name))
        words = {bool: "0 or 1", int: "a whole number"}.get(kind, "")
        if words and (not float(value).is_integer() or (kind is bool and value not in (0, 1))):
            raise BadInput(place=f"--learning {name}", expected=words, found=f"{value:g}")
        typed[name] = kind(value)
    return replace(usual, **typed)


class Losses(NamedTuple):
    """Means over the gradient steps of an update."""

    policy: float
    value: float
    """Mean squared error of the normalised values."""
    entropy: float
    """Of all columns of a cell together [nat]."""
    kl: float
    """Divergence from the policy that collected, in the last epoch [nat]."""
    clipped: float
    """Share of the cells' decisions whose ratio was clipped."""
    gradient: float
    """Length of the gradient before it was shortened."""
    epochs: int
    """Epochs begun."""
    explained: float
    """Share of the variance of the returns that the values had foretold; below 0 is worse than
    their mean."""


class Batch(NamedTuple):
    """What a role learns from in one environment; N networks of all decisions together."""

    seen: Tensor
    """(N, C, F)"""
    near: Tensor
    """(C, K)"""
    mask: Tensor
    """(N, A, D, 3) bool"""
    moves: Tensor
    """(N, A, D) int64"""
    likely: Tensor
    """Logarithm of the probability when it was chosen, (N, A)."""
    advantages: Tensor
    """(N, A)"""
    returns: Tensor
    """(N, A)"""
    around: Tensor
    """From ``networks.surroundings``, (N, 2 F)."""
    curious: Tensor
    """What the weight of the entropy is multiplied by, (N, A); 1 means as usual."""


def advantages(
    rewards: Floats, values: Floats, discount: float, trace_decay: float
) -> tuple[Floats, Floats]:
    """Return generalised advantages and returns, (T, ...) each.

    Args:
        rewards: (T, ...).
        values: Estimates before each decision and after the last, (T + 1, ...). The last is
            used as it is: the episode was cut off, it did not end.
        discount: Weight of what comes one decision later.
        trace_decay: Lambda of Schulman et al. (2016).
    """
    surprise = rewards + discount * values[1:] - values[:-1]
    out = np.empty_like(surprise)
    running = np.zeros_like(surprise[0])
    for t in range(len(surprise) - 1, -1, -1):
        running = surprise[t] + discount * trace_decay * running
        out[t] = running
    return out, out + values[:-1]


class Terms(NamedTuple):
    """Parts of the loss, each a mean over the cells of a minibatch."""

    policy: Tensor
    value: Tensor
    entropy: Tensor
    kl: Tensor
    clipped: Tensor
    curiosity: Tensor
    """The entropy with the weights of the batch: what the loss has in it."""


def loss_terms(logits: Tensor, values: Tensor, batch: Batch, clip: float) -> Terms:
    """Return the parts of the loss of a minibatch.

    Args:
        logits: Masked, (N, A, D, 3).
        values: Normalised, as the returns of the batch are, (N, A).
        batch: The minibatch.
        clip: See ``TrainingSettings.clip``.
    """
    logs = torch.log_softmax(logits, -1)
    likely = logs.gather(-1, batch.moves[..., None]).squeeze(-1).sum(-1)
    difference = likely - batch.likely
    ratio = difference.exp()
    held = ratio.clamp(1 - clip, 1 + clip)
    policy = -torch.min(ratio * batch.advantages, held * batch.advantages).mean()
    entropy = -(logs.exp() * logs).sum((-1, -2))
    value = (values - batch.returns).square().mean()
    with torch.no_grad():
        kl = (ratio - 1 - difference).mean()
        clipped = (ratio != held).float().mean()
    return Terms(policy, value, entropy.mean(), kl, clipped, (entropy * batch.curious).mean())


class Scale:
    """Mean and deviation of returns, remembered over updates: what the critic is taught in."""

    _MEMORY = 0.9

    def __init__(self) -> None:
        """Know nothing yet."""
        self.weight, self.mean, self.square = 0.0, 0.0, 0.0

    def learn(self, returns: Floats) -> None:
        """Take in the returns of an update."""
        keep = self._MEMORY
        self.weight = keep * self.weight + 1 - keep
        self.mean = keep * self.mean + (1 - keep) * float(returns.mean())
        self.square = keep * self.square + (1 - keep) * float(np.square(returns).mean())

    @property
    def centre(self) -> float:
        """Mean return."""
        return self.mean / self.weight if self.weight else 0.0

    @property
    def deviation(self) -> float:
        """Standard deviation of returns, 1 as long as nothing is known."""
        if not self.weight:
            return 1.0
        return float(np.sqrt(max(_LEAST_DEVIATION, self.square / self.weight - self.centre**2)))


class Peers(Protocol):
    """Learners of the same role in other processes, each with a part of every minibatch."""

    rank: int
    """Of this one, from 0 on."""
    count: int
    """Of all."""

    def add(self, numbers: Tensor) -> None:
        """Replace numbers by their sum over all; everyone asks in the same order."""
        ...


def first_networks(shape: PolicyShape, seed: int, keep_bias: float) -> tuple[Actor, Critic]:
    """Return actor and critic with weights drawn from a seed.

    Args:
        shape: Of the policy.
        seed: Of the weights.
        keep_bias: See ``TrainingSettings.keep_bias``.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        actor, critic = Actor(shape), Critic(shape)
    with torch.no_grad():
        for name, tensor in actor.named_parameters():
            if name in ("cell.bias", "towards.bias"):
                tensor.view(-1, OPTIONS)[:, KEEP] += keep_bias
    return actor, critic


class Learner:
    """Actor, critic and optimiser of one role.

    All weights are one vector, of which the layers see parts: one optimiser step, one
    length of the gradient and one copy to fall back on.
    """

    def __init__(
        self, networks: tuple[Actor, Critic], settings: TrainingSettings, device: str = "cpu",
        peers: Peers | None = None,
    ) -> None:  # fmt: skip
        """Take networks over.

        Args:
            networks: From ``first_networks``.
            settings: How they learn.
            device: Where.
            peers: Others that learn the same at the same time; they must have the same
                weights, batches and shuffles, and stay equal.
        """
        self.actor, self.critic = networks
        self.shape, self.settings = self.actor.shape, settings
        self.device, self.peers = torch.device(device), peers
        self.actor.to(self.device)
        self.critic.to(self.device)
        self._parts = [*self.actor.parameters(), *self.critic.parameters()]
        self._flat = nn.Parameter(torch.cat([part.detach().reshape(-1) for part in self._parts]))
        self._flat.grad = torch.zeros_like(self._flat)
        self._bind()
        fused = {"fused": True} if self.device.type in ("cpu", "cuda") else {}
        self._adam = torch.optim.Adam(
            [self._flat], lr=settings.learning_rate, betas=_BETAS, eps=_EPSILON, **fused
        )
        self._moments()
        self.scale = Scale()

    @torch.no_grad()
    def values(self, seen: Floats32) -> Floats:
        """Return what is to be expected, (..., A), from observations (..., C, F)."""
        flat = torch.from_numpy(seen.reshape(-1, *seen.shape[-2:])).to(self.device)
        values = self._normal_values(flat).cpu().numpy().astype(np.float64)
        return (values * self.scale.deviation + self.scale.centre).reshape(*seen.shape[:-2], -1)

    def update(self, batches: Sequence[Batch], rng: np.random.Generator) -> Losses:
        """Learn from what was collected.

        Args:
            batches: Of each environment; advantages and returns as ``advantages`` gives them.
            rng: Shuffles the networks.
        """
        sums, steps, epochs, kl = torch.zeros(5, device=self.device), 0, 0, 0.0
        length = torch.zeros((), device=self.device)
        explained = _explained(batches)
        ready = self._prepared(batches)
        for _ in range(self.settings.epochs):
            epochs += 1
            before = sums[3].clone()
            pieces = _minibatches(ready, self.settings.minibatch, rng)
            for which, rows in pieces:
                terms, norm = self._step(ready[which], torch.from_numpy(rows).to(self.device))
                sums += terms
                length += norm
            steps += len(pieces)
            kl = float(sums[3] - before) / len(pieces)
            if not kl <= self.settings.most_kl:  # NaN ends it as well
                break
        mean = (sums / steps).tolist()
        return Losses(
            mean[0], mean[1], mean[2], kl, mean[4], float(length) / steps, epochs, explained
        )

    def sound(self, losses: Losses) -> str:
        """Return what is wrong after an update, or nothing."""
        if not np.isfinite(losses[:6]).all():
            return "losses are not finite"
        if losses.kl > self.settings.explosion_kl:
            return f"the policy has moved by {losses.kl:.2g} nat in one update"
        return "" if bool(torch.isfinite(self._flat).all()) else "weights are not finite"

    @property
    def learning_rate(self) -> float:
        """Learning rate of the next update."""
        return float(self._adam.param_groups[0]["lr"])

    @learning_rate.setter
    def learning_rate(self, rate: float) -> None:
        """Set it."""
        self._adam.param_groups[0]["lr"] = rate

    def state(self) -> dict[str, npt.NDArray[np.generic]]:
        """Return copies of everything needed to go on exactly."""
        moments = self._moments()
        named = {f"actor/{name}": a for name, a in self.actor.arrays().items()}
        for name, tensor in self.critic.state_dict().items():
            named[f"critic/{name}"] = tensor.cpu().numpy().copy()
        numbers = (self.learning_rate, self.scale.weight, self.scale.mean, self.scale.square)
        return {
            **named,
            "adam/mean": moments["exp_avg"].cpu().numpy().copy(),
            "adam/square": moments["exp_avg_sq"].cpu().numpy().copy(),
            "adam/steps": moments["step"].cpu().numpy().copy(),
            "numbers": np.array(numbers, np.float64),
        }

    def restore(self, state: dict[str, npt.NDArray[np.generic]]) -> None:
        """Go on from a state.

        Raises:
            BadInput: It is not the state of such a role.
        """
        mine = self.state()
        for name, array in mine.items():
            found = state.get(name)
            if found is None or found.shape != array.shape or found.dtype != array.dtype:
                raise BadInput(
                    place=f"{name} of a training state",
                    expected=f"{array.dtype} of shape {array.shape}",
                    found="nothing" if found is None else f"{found.dtype} of {found.shape}",
                )
        with torch.no_grad():
            for kind, network in (("actor", self.actor), ("critic", self.critic)):
                for name, tensor in network.state_dict().items():
                    tensor.copy_(torch.from_numpy(state[f"{kind}/{name}"]))
            moments = self._moments()
            for key, name in (("exp_avg", "mean"), ("exp_avg_sq", "square"), ("step", "steps")):
                moments[key].copy_(torch.from_numpy(state[f"adam/{name}"]))
        self.learning_rate, *rest = (float(number) for number in state["numbers"])
        self.scale.weight, self.scale.mean, self.scale.square = rest

    def _bind(self) -> None:
        """Make every layer's weights and gradients a part of the one vector."""
        gradient, first = self._flat.grad, 0
        assert gradient is not None  # noqa: S101 - it was just made
        for part in self._parts:
            last = first + part.numel()
            part.data = self._flat.data[first:last].view_as(part)
            part.grad = gradient[first:last].view_as(part)
            first = last

    def _moments(self) -> dict[str, Tensor]:
        """Return Adam's memory, made as it makes it in its first step."""
        state: dict[str, Tensor] = self._adam.state[self._flat]
        if not state:
            state["step"] = torch.zeros((), device=self.device)
            state["exp_avg"] = torch.zeros_like(self._flat)
            state["exp_avg_sq"] = torch.zeros_like(self._flat)
        return state

    def _normal_values(self, seen: Tensor, around: Tensor | None = None) -> Tensor:
        values: Tensor = self.critic(seen, around)
        return values.mean(1, keepdim=True) if self.shape.encoder == NETWORK else values

    def _prepared(self, batches: Sequence[Batch]) -> list[Batch]:
        """Normalise the advantages over all, and the returns by what is known of them."""
        every = torch.cat([batch.advantages.reshape(-1) for batch in batches])
        spread = every.std().clamp(min=_LEAST_DEVIATION)
        self.scale.learn(np.concatenate([b.returns.cpu().numpy().reshape(-1) for b in batches]))
        return [
            batch._replace(
                advantages=(batch.advantages - every.mean()) / spread,
                returns=(batch.returns - self.scale.centre) / self.scale.deviation,
            )
            for batch in batches
        ]

    def _step(self, batch: Batch, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Take one gradient step on some networks; return the terms and the gradient's length."""
        settings, peers = self.settings, self.peers
        gradient = self._flat.grad
        assert gradient is not None  # noqa: S101 - set when the vector was made
        gradient.zero_()
        mine = rows if peers is None else rows[peers.rank :: peers.count]
        terms = torch.zeros(5, device=self.device)
        if len(mine):
            part = Batch(batch.seen[mine], batch.near, *(tensor[mine] for tensor in batch[2:]))
            terms = (self._sloped if self.device.type == "cpu" else self._derived)(part)
        if peers is not None:
            every = torch.cat([gradient, terms]) * (len(mine) / len(rows))
            peers.add(every)
            gradient.copy_(every[:-5])
            terms = every[-5:]
        norm = gradient.norm()
        gradient.mul_((settings.gradient_norm / (norm + _LEAST_DEVIATION)).clamp(max=1.0))
        self._adam.step()
        return terms, norm

    def _derived(self, part: Batch) -> Tensor:
        """Leave the gradient of the loss of a minibatch, as torch derives it; return the terms."""
        settings = self.settings
        logits = self.actor(part.seen, part.near, part.mask)
        terms = loss_terms(logits, self._normal_values(part.seen, part.around), part, settings.clip)
        loss = terms.policy + settings.value_weight * terms.value
        loss -= settings.entropy * terms.curiosity
        loss.backward()  # type: ignore[no-untyped-call]
        return torch.stack([term.detach() for term in terms[:5]])

    def _sloped(self, part: Batch) -> Tensor:
        """Do the same with the gradient by logits and values written out."""
        settings = self.settings
        logits = self.actor(part.seen, part.near)
        values = self._normal_values(part.seen, part.around)
        slope, sums = loss_gradient(
            logits, part.mask, part.moves, part.likely, part.advantages, part.curious,
            (settings.clip, settings.entropy),
        )  # fmt: skip
        error = values.detach() - part.returns
        torch.autograd.backward(
            [logits, values], [slope, error * (2 * settings.value_weight / error.numel())]
        )
        policy, entropy, kl, clipped = sums.tolist()
        return torch.tensor([policy, float(error.square().mean()), entropy, kl, clipped])


def _minibatches(
    batches: Sequence[Batch], size: int, rng: np.random.Generator
) -> list[tuple[int, npt.NDArray[np.int64]]]:
    """Return minibatches, (environment, networks), each of one environment, in random order.

    The networks of an environment are dealt into equal hands of about ``size`` cells.
    """
    pieces = []
    for which, batch in enumerate(batches):
        networks, cells = batch.seen.shape[:2]
        hands = max(1, round(networks * cells / size))
        order = rng.permutation(networks)
        pieces += [(which, rows) for rows in np.array_split(order, min(hands, networks))]
    return [pieces[place] for place in rng.permutation(len(pieces))]


def _explained(batches: Sequence[Batch]) -> float:
    """Return the share of the returns' variance that the values explain."""
    returns = np.concatenate([batch.returns.cpu().numpy().reshape(-1) for batch in batches])
    errors = np.concatenate([batch.advantages.cpu().numpy().reshape(-1) for batch in batches])
    variance = float(returns.var())
    return 1.0 - float(errors.var()) / variance if variance > 0 else 0.0
